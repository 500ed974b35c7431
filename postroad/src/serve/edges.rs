//! Which edges and functions a process runs.

use std::sync::Arc;

use edge_http::Operator;
use engine::Clock;
use metrics_exporter_prometheus::PrometheusHandle;
use net::{Bound, Protocol, Server};
use store::Store;
use tracing::Span;

use crate::config::Config;
use crate::failure::Failure;

/// The functions of this process.
pub(super) struct Functions {}

impl Functions {
    /// Lets each finish what it is at.
    pub(super) async fn finish(self, _clock: &dyn Clock) {}
}

/// Starts the functions of this process's roles.
pub(super) fn start_functions(
    _config: &Config,
    _store: &Store,
    _span: &Span,
) -> Result<Functions, Failure> {
    Ok(Functions {})
}

/// Lets clients in.
pub(super) fn start(
    _config: &Config,
    store: &Store,
    server: &Server,
    bound: Vec<(String, Bound)>,
    metrics: PrometheusHandle,
) {
    let operator = Arc::new(Operator::new(store.engines().clone(), server.drain.clone(), metrics));
    for (_name, bound) in bound {
        match bound.listener().protocol {
            Protocol::Http => edge_http::start(server, bound, operator.clone()),
            Protocol::Smtp | Protocol::Submission | Protocol::Imap => {}
        }
    }
}
