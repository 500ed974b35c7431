//! Writes what is counted for reports, and makes them.

use store::Store;
use tokio::sync::watch;

use super::stopped;
use crate::reports::{Reports, flush_every};

/// Writes counts now and then, and at the end.
pub(super) async fn count(store: Store, mut stopping: watch::Receiver<bool>) {
    let clock = store.engines().clock.clone();
    let mut ends = false;
    while !ends {
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => ends = true,
            () = clock.sleep(flush_every(&store)) => {}
        }
        if let Err(error) = store.reports().flush().await {
            tracing::warn!(%error, "counts for reports are not all written");
        }
    }
}

/// Makes reports when it is time.
pub(super) async fn make(store: Store, handler: Reports, mut stopping: watch::Receiver<bool>) {
    let clock = store.engines().clock.clone();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => return,
            () = clock.sleep(flush_every(&store)) => {}
        }
        if let Err(why) = handler.round().await {
            tracing::warn!(%why, "reports are made later");
        }
    }
}
