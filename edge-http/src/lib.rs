//! HTTP. For a process's operator: health, readiness and metrics; for everybody ([`web`]): what
//! domains publish.
//!
//! `/healthz` tells that the process runs, `/readyz` whether it can serve now (its store answers
//! and it does not drain), `/metrics` what it counts, for Prometheus. Nothing here reads or
//! changes mail, and nothing needs a login: bind the operator's pages where only they reach them. A
//! listener of its own shows an authority of certificates what it asks for.

mod connection;
pub mod web;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::{Consistency, Engines, Key};
use mail::Instant;
use metrics_exporter_prometheus::PrometheusHandle;
use net::acme::Challenges;
use net::{Bound, Drain, Server};
use tokio::sync::Mutex;

/// A store that does not answer for so long is not ready.
const READY_PATIENCE: Duration = Duration::from_secs(2);
/// The store is asked at most so often, whoever asks us.
const READY_FRESH: Duration = Duration::from_secs(1);

/// What the pages tell about.
pub struct Operator {
    engines: Engines,
    drain: Drain,
    metrics: PrometheusHandle,
    /// When the store was asked last, and what it said.
    seen: Mutex<Option<(Instant, Result<(), &'static str>)>>,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

impl Operator {
    /// Tells about these.
    #[must_use]
    pub fn new(engines: Engines, drain: Drain, metrics: PrometheusHandle) -> Self {
        Self { engines, drain, metrics, seen: Mutex::new(None) }
    }

    /// Whether this process can serve now. At most one question to the store in a second.
    /// # Errors
    /// One line for an operator.
    pub async fn ready(&self) -> Result<(), &'static str> {
        if self.drain.begun() {
            return Err("draining");
        }
        if self.engines.closed() {
            return Err("the store has closed itself after an error");
        }
        // Who comes while the store is being asked waits for that answer.
        let mut seen = self.seen.lock().await;
        let now = self.engines.clock.instant();
        if let Some((at, answer)) = *seen
            && now.since(at) < READY_FRESH
        {
            return answer;
        }
        let key = Key::new(b"r".as_slice(), b"ready".as_slice());
        let read = self.engines.index.get(&key, Consistency::Strong);
        let answer = match self.engines.clock.timeout(READY_PATIENCE, read).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the store does not answer"),
            Err(_) => Err("the store is slow"),
        };
        *seen = Some((self.engines.clock.instant(), answer));
        answer
    }
}

/// The pages.
pub fn router(operator: Arc<Operator>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
        .with_state(operator)
}

/// What an authority of certificates looks for (RFC 8555 §8.3), and nothing else: for a listener
/// that the world reaches at port 80.
pub fn challenges(challenges: Challenges) -> Router {
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(challenge))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
        .with_state(challenges)
}

/// F5: only tokens that were issued to us, and only while they are asked for.
async fn challenge(
    State(challenges): State<Challenges>,
    UrlPath(token): UrlPath<String>,
) -> Response {
    match challenges.answer(&token) {
        Some(answer) => answer.into_response(),
        None => (StatusCode::NOT_FOUND, "no such page\n").into_response(),
    }
}

async fn readyz(State(operator): State<Arc<Operator>>) -> Response {
    match operator.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(operator): State<Arc<Operator>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, operator.metrics.render()).into_response()
}

/// Serves `pages` at `bound` until the process drains.
pub fn start(server: &Server, bound: Bound, pages: Router) {
    let (listener, send) = connection::listener(bound.address(), server.clock.clone());
    server.start_with(bound, move |incoming| {
        let send = send.clone();
        async move {
            // Full or closed: the client sees its connection closed.
            if send.send(incoming).await.is_err() {
                tracing::debug!("an HTTP connection came while draining");
            }
        }
    });
    let mut drain = server.drain.signal();
    let serve =
        axum::serve(listener, pages).with_graceful_shutdown(async move { drain.draining().await });
    drop(server.tasks.spawn("http", async move {
        if let Err(why) = serve.await {
            tracing::error!(%why, "HTTP ended");
        }
    }));
}

#[cfg(test)]
mod tests;
