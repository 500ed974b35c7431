//! Runs `maintain`: sweeps at start, now and then, and at once when events were lost.

use engine::Subscription;
use store::Store;
use tokio::sync::watch;

use super::stopped;
use crate::handler::{Handler, Outcome};
use crate::maintain::{Maintain, Task};

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
        let handler = Maintain::new(self.store.clone());
        loop {
            for outcome in handler.handle(vec![Task::Sweep]).await {
                if let Outcome::Later { why, .. } | Outcome::Park { why } = outcome {
                    tracing::warn!(%why, "a sweep did not see everything");
                }
            }
            let next = clock.instant().after(self.store.options().timing.sweep);
            loop {
                let wake = clock.sleep_until(next);
                tokio::select! {
                    biased;
                    () = stopped(&mut self.stopping) => return,
                    event = self.events.next() => match event {
                        // Some were lost: what they named may wait for nobody else.
                        None => break,
                        Some(_) => {}
                    },
                    () = wake => break,
                }
            }
        }
    }
}
