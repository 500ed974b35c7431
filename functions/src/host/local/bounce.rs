//! Runs `bounce` when an item asks for it.

use std::time::Duration;

use engine::Event;
use store::rows::{DuePlace, REPORT_SHARDS};
use store::{Announced, Store};
use tokio::sync::watch;

use super::stopped;
use crate::bounce::Bounce;
use crate::handler::{Handler as _, Outcome};

/// Due rows read at once.
const PAGE: usize = 64;

/// Reports begin so soon after a wake-up.
const GATHER: Duration = Duration::from_millis(100);

pub(super) async fn run(
    store: Store,
    handler: Bounce,
    poll: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let clock = store.engines().clock.clone();
    let mut events = store.engines().events.subscribe();
    loop {
        for shard in 0..REPORT_SHARDS {
            look(&store, &handler, shard, &stopping).await;
        }
        let mut next = clock.instant().after(poll);
        loop {
            let wake = clock.sleep_until(next);
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                event = events.next() => {
                    if matches!(event, None | Some(Event::Items)) {
                        next = next.min(clock.instant().after(GATHER));
                    }
                }
                () = wake => break,
            }
        }
    }
}

async fn look(store: &Store, handler: &Bounce, shard: u8, stopping: &watch::Receiver<bool>) {
    let place = DuePlace::Reports(shard);
    let mut after: Option<Announced> = None;
    loop {
        let due = match store.items().due(&place, after.as_ref(), PAGE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(shard, %error, "cannot look at reports to be made");
                return;
            }
        };
        let full = due.len() >= PAGE;
        after = due.last().cloned();
        for outcome in handler.handle(due).await {
            if let Outcome::Later { why, .. } | Outcome::Park { why } = outcome {
                tracing::warn!(%why, "a report is made later");
            }
        }
        if !full || *stopping.borrow() {
            return;
        }
    }
}
