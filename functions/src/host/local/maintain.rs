//! Runs `maintain`, in two loops, so that no long work holds up the sweep that mail may wait for:
//! sweeps at start, now and then, and at once when events were lost; and the upkeep of accounts that
//! ask, and audits.

use engine::Subscription;
use mail::Instant;
use store::Store;
use tokio::sync::watch;

use super::stopped;
use crate::handler::{Handler, Outcome};
use crate::maintain::{Maintain, Task};

/// Looks at every writer.
pub(super) struct Sweeps {
    store: Store,
    stopping: watch::Receiver<bool>,
    events: Box<dyn Subscription>,
}

impl Sweeps {
    pub(super) fn new(store: Store, stopping: watch::Receiver<bool>) -> Self {
        let events = store.engines().events.subscribe();
        Self { store, stopping, events }
    }

    pub(super) async fn run(mut self) {
        let clock = self.store.engines().clock.clone();
        let handler = Maintain::new(self.store.clone());
        loop {
            carry_out(&handler, Task::Sweep).await;
            let (over, timing) = (clock.instant(), &self.store.options().timing);
            let mut next = over.after(timing.sweep);
            // I8: of a large backlog a sweep tells more than listeners keep, this one too. Were each
            // gap a sweep at once, it would wake itself without end.
            let soonest = over.after(timing.deliver_retry);
            loop {
                let wake = clock.sleep_until(next);
                tokio::select! {
                    biased;
                    () = stopped(&mut self.stopping) => return,
                    () = wake => break,
                    event = self.events.next() => {
                        // Some were lost: what they named may wait for nobody else.
                        if event.is_none() {
                            next = soonest.min(next);
                        }
                    }
                }
            }
        }
    }
}

/// Looks at accounts and claims.
pub(super) struct Upkeep {
    store: Store,
    stopping: watch::Receiver<bool>,
    asked: Instant,
    audit: Instant,
}

impl Upkeep {
    pub(super) fn new(store: Store, stopping: watch::Receiver<bool>) -> Self {
        let now = store.engines().clock.instant();
        // A start has other things to do first.
        let audit = now.after(store.options().timing.sweep);
        Self { store, stopping, asked: now, audit }
    }

    pub(super) async fn run(mut self) {
        let clock = self.store.engines().clock.clone();
        let handler = Maintain::new(self.store.clone());
        loop {
            for task in self.due() {
                carry_out(&handler, task).await;
                if *self.stopping.borrow() {
                    return;
                }
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return,
                () = clock.sleep_until(self.asked.min(self.audit)) => {}
            }
        }
    }

    /// What is due now; each is due again after its time.
    fn due(&mut self) -> Vec<Task> {
        let timing = &self.store.options().timing;
        let now = self.store.engines().clock.instant();
        let mut tasks = Vec::new();
        let all = [
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

async fn carry_out(handler: &Maintain, task: Task) {
    for outcome in handler.handle(vec![task]).await {
        if let Outcome::Later { why, .. } | Outcome::Park { why } = outcome {
            tracing::warn!(?task, %why, "upkeep did not see everything");
        }
    }
}
