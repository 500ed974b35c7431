//! Runs `replicate`: applies the directory's change log when told, and now and then.

use engine::{Event, Subscription};
use store::Store;
use tokio::sync::watch;

use super::stopped;
use crate::handler::{Handler, Outcome};
use crate::replicate::Replicate;

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
        let handler = Replicate::new(self.store.clone());
        loop {
            for outcome in handler.handle(()).await {
                if let Outcome::Later { why, .. } | Outcome::Park { why } = outcome {
                    tracing::warn!(%why, "the directory's changes are not all applied");
                }
            }
            let next = clock.instant().after(self.store.options().timing.sweep);
            loop {
                let wake = clock.sleep_until(next);
                tokio::select! {
                    biased;
                    () = stopped(&mut self.stopping) => return,
                    event = self.events.next() => {
                        if matches!(event, None | Some(Event::Directory)) {
                            break;
                        }
                    }
                    () = wake => break,
                }
            }
        }
    }
}
