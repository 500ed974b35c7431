//! Runs `maintain`: everything at start; then sweeps, accounts that ask, and audits, each in its own
//! time; a sweep at once when events were lost.

use engine::Subscription;
use mail::Instant;
use store::Store;
use tokio::sync::watch;

use super::stopped;
use crate::handler::{Handler, Outcome};
use crate::maintain::{Maintain, Task};

pub(super) struct Loop {
    store: Store,
    stopping: watch::Receiver<bool>,
    events: Box<dyn Subscription>,
    sweep: Instant,
    asked: Instant,
    audit: Instant,
}

impl Loop {
    pub(super) fn new(store: Store, stopping: watch::Receiver<bool>) -> Self {
        let events = store.engines().events.subscribe();
        let now = store.engines().clock.instant();
        Self { store, stopping, events, sweep: now, asked: now, audit: now }
    }

    pub(super) async fn run(mut self) {
        let clock = self.store.engines().clock.clone();
        let handler = Maintain::new(self.store.clone());
        loop {
            let tasks = self.due();
            for (task, outcome) in tasks.iter().zip(handler.handle(tasks.clone()).await) {
                if let Outcome::Later { why, .. } | Outcome::Park { why } = outcome {
                    tracing::warn!(?task, %why, "upkeep did not see everything");
                }
                if *self.stopping.borrow() {
                    return;
                }
            }
            let wake = clock.sleep_until(self.sweep.min(self.asked).min(self.audit));
            tokio::pin!(wake);
            loop {
                tokio::select! {
                    biased;
                    () = stopped(&mut self.stopping) => return,
                    event = self.events.next() => {
                        // Some were lost: what they named may wait for nobody else.
                        if event.is_none() {
                            self.sweep = clock.instant();
                            break;
                        }
                    }
                    () = &mut wake => break,
                }
            }
        }
    }

    /// What is due now; each is due again after its time.
    fn due(&mut self) -> Vec<Task> {
        let timing = &self.store.options().timing;
        let now = self.store.engines().clock.instant();
        let mut tasks = Vec::new();
        let all = [
            (&mut self.sweep, timing.sweep, Task::Sweep),
            (&mut self.asked, timing.maintain_poll, Task::Asked),
            (&mut self.audit, timing.audit, Task::Audit),
        ];
        for (at, every, task) in all {
            if *at <= now {
                *at = now.after(every);
                tasks.push(task);
            }
        }
        tasks
    }
}
