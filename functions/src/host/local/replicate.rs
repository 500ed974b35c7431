//! Runs `replicate`: applies the directory's change log when told, and now and then.

use engine::Event;
use store::Store;
use tokio::sync::watch;

use super::woken;
use crate::handler::{Handler, Outcome};
use crate::replicate::Replicate;

pub(super) async fn run(store: Store, mut stopping: watch::Receiver<bool>) {
    let mut events = store.engines().events.subscribe();
    let handler = Replicate::new(store.clone());
    loop {
        for outcome in handler.handle(()).await {
            if let Outcome::Later { why, .. } | Outcome::Park { why } = outcome {
                tracing::warn!(%why, "the directory's changes are not all applied");
            }
        }
        let next = store.engines().clock.instant().after(store.options().timing.sweep);
        let changed = |event: &Event| matches!(event, Event::Directory);
        if !woken(&store, next, &mut stopping, &mut events, changed).await {
            return;
        }
    }
}
