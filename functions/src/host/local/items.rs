//! Runs local items when they are due. Beside `deliver`, not in it: a look at all shards may take
//! long on a slow store, and new mail does not wait for it.

use engine::{Event, Subscription};
use store::rows::DuePlace;
use store::{Announced, Store};
use tokio::sync::watch;

use super::stopped;
use crate::handler::{Handler, Outcome};
use crate::local_items::LocalItems;

/// Due rows read at once, and how often in one shard.
const ITEMS_MAX: usize = 64;
const PAGES_MAX: usize = 32;

pub(super) struct Loop {
    store: Store,
    stopping: watch::Receiver<bool>,
    events: Box<dyn Subscription>,
}

impl Loop {
    pub(super) fn new(store: Store, stopping: watch::Receiver<bool>) -> Self {
        let events = store.engines().events.subscribe();
        Self { store, stopping, events }
    }

    pub(super) async fn run(mut self) {
        let clock = self.store.engines().clock.clone();
        let handler = LocalItems::new(self.store.clone());
        loop {
            due_items(&self.store, &handler).await;
            let next = clock.instant().after(self.store.options().timing.item_retry / 2);
            loop {
                let wake = clock.sleep_until(next);
                tokio::select! {
                    biased;
                    () = stopped(&mut self.stopping) => return,
                    event = self.events.next() => {
                        // New items, or something that was lost.
                        if matches!(event, None | Some(Event::Items)) {
                            break;
                        }
                    }
                    () = wake => break,
                }
            }
        }
    }
}

/// Local items that are due. Rows of other kinds lie among them, so each shard is read to its end,
/// up to a bound; what is behind it comes when those before it are done. A shard that cannot be read
/// holds up no other.
async fn due_items(store: &Store, handler: &LocalItems) {
    for shard in 0..store::rows::DUE_SHARDS {
        let mut after: Option<Announced> = None;
        for _ in 0..PAGES_MAX {
            let place = DuePlace::Shard(shard);
            let due = match store.items().due(&place, after.as_ref(), ITEMS_MAX).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(shard, %error, "cannot look at due items");
                    break;
                }
            };
            let full = due.len() >= ITEMS_MAX;
            after = due.last().cloned();
            for outcome in handler.handle(due).await {
                if let Outcome::Park { why } = outcome {
                    tracing::error!(%why, "mail waits for somebody to look at its account");
                }
            }
            if !full {
                break;
            }
        }
    }
}
