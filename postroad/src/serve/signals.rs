//! What the operator tells the process.

use std::io;

use engine::Tasks;
use net::TlsServer;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::notify::notify;

/// The signals that mean something to us.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on they do nothing by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Until SIGTERM or Ctrl-C, or `failed`: whether it was that. SIGHUP reads certificates again.
    /// A second SIGTERM or Ctrl-C, while the process drains, ends it at once.
    pub(super) async fn until_the_end(
        mut self,
        tls: Option<&TlsServer>,
        tasks: &Tasks,
        failed: impl Future<Output = ()>,
    ) -> bool {
        let mut failed = std::pin::pin!(failed);
        let failed = loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => break false,
                _ = self.interrupt.recv() => break false,
                _ = self.hang_up.recv() => reload(tls),
                () = &mut failed => break true,
            }
        };
        // The default actions cannot be had back, so a task waits for the second one.
        let Self { mut terminate, mut interrupt, .. } = self;
        drop(tasks.spawn("second signal", async move {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("told to end twice: connections are cut");
            std::process::exit(1);
        }));
        failed
    }
}

fn reload(tls: Option<&TlsServer>) {
    notify("RELOADING=1");
    match tls.map(TlsServer::reload) {
        Some(Err(why)) => {
            tracing::error!(%why, hint = why.hint(), "certificates stay as they were");
        }
        _ => tracing::info!("certificates read again"),
    }
    notify("READY=1");
}
