//! Runs local items when they are due. Beside `deliver`, not in it: a look at all shards may take
//! long on a slow store, and new mail does not wait for it.

use engine::Event;
use store::rows::DuePlace;
use store::{Announced, Store};
use tokio::sync::watch;

use super::woken;
use crate::handler::{Handler, Outcome};
use crate::local_items::LocalItems;

/// Due rows read at once, and how often in one shard.
const ITEMS_MAX: usize = 64;
const PAGES_MAX: usize = 32;

pub(super) async fn run(store: Store, mut stopping: watch::Receiver<bool>) {
    let mut events = store.engines().events.subscribe();
    let handler = LocalItems::new(store.clone());
    loop {
        due_items(&store, &handler).await;
        let pause = store.options().timing.item_retry / 2;
        let next = store.engines().clock.instant().after(pause);
        let new = |event: &Event| matches!(event, Event::Items);
        if !woken(&store, next, &mut stopping, &mut events, new).await {
            return;
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
