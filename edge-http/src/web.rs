//! Pages for everybody: what a domain of ours publishes by HTTPS. They tell nothing of the process.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mail::Domain;
use mail::sts::{StsMode, StsPolicy};
use store::Store;
use store::directory::DirectoryError;

/// What the pages tell about.
#[derive(Debug)]
pub struct Web {
    store: Store,
    /// Name of our mail exchanger.
    host: String,
}

impl Web {
    /// Pages of the domains of this store, whose mail goes to `host`.
    #[must_use]
    pub const fn new(store: Store, host: String) -> Self {
        Self { store, host }
    }

    /// The MTA-STS policy of the domain that `host` (`mta-sts.<domain>`) is of.
    async fn policy(&self, host: &str) -> Result<Option<StsPolicy>, DirectoryError> {
        // A port may follow (RFC 9110 §7.2).
        let name = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let domain = name.strip_prefix("mta-sts.").and_then(|name| Domain::parse(name).ok());
        let Some(domain) = domain else { return Ok(None) };
        let Some(row) = self.store.directory().domain(&domain).await? else { return Ok(None) };
        let mode = row.policy("mta-sts").map_or(Some(StsMode::default()), StsMode::parse);
        Ok(mode.map(|mode| StsPolicy { mode, hosts: vec![self.host.clone()] }))
    }
}

/// The pages.
pub fn router(web: Arc<Web>) -> Router {
    Router::new()
        // RFC 8461 §3.3: this path, at https://mta-sts.<domain>.
        .route("/.well-known/mta-sts.txt", get(policy))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
        .with_state(web)
}

async fn policy(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match web.policy(host).await {
        // RFC 8461 §3.2: text/plain.
        Ok(Some(policy)) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], policy.text()).into_response()
        }
        Ok(None) => (StatusCode::NOT_FOUND, "no such page\n").into_response(),
        Err(why) => {
            tracing::warn!(%why, "a policy cannot be told");
            (StatusCode::SERVICE_UNAVAILABLE, "try again later\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests;
