//! Ending a process without ending anything in the middle.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use engine::Clock;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Draining,
    Over,
}

/// Ends all that was given a signal of it: listeners stop accepting, every core says good-bye
/// where nothing is half-acknowledged, and who is not done by a deadline is cut.
#[derive(Clone, Debug)]
pub struct Drain {
    stage: Arc<watch::Sender<Stage>>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { stage: Arc::new(watch::Sender::new(Stage::Running)) }
    }
}

impl Drain {
    /// Nothing drains yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal; [`Drain::finish`] waits until it is dropped.
    #[must_use]
    pub fn signal(&self) -> DrainSignal {
        DrainSignal { stage: self.stage.subscribe() }
    }

    /// Begins to drain, without waiting.
    pub fn begin(&self) {
        self.stage.send_if_modified(|stage| {
            let begun = *stage < Stage::Draining;
            *stage = (*stage).max(Stage::Draining);
            begun
        });
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn begun(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }

    /// Begins to drain and waits until all signals are dropped; at the end of `patience` cuts
    /// off who is left. Returns whether all were done in time.
    pub async fn finish(&self, clock: &dyn Clock, patience: Duration) -> bool {
        self.begin();
        let until = clock.instant().after(patience);
        if wait(clock, until, self.stage.closed()).await {
            return true;
        }
        tracing::warn!(left = self.stage.receiver_count(), "cutting connections still open");
        self.stage.send_replace(Stage::Over);
        // They are dropped where they stand; that takes no more than a turn of the scheduler.
        let until = clock.instant().after(Duration::from_secs(1));
        wait(clock, until, self.stage.closed()).await;
        false
    }
}

async fn wait(clock: &dyn Clock, until: mail::Instant, done: impl Future<Output = ()>) -> bool {
    let late = clock.sleep_until(until);
    tokio::select! {
        biased;
        () = done => true,
        () = late => false,
    }
}

/// One connection's, or one listener's, view of a [`Drain`].
#[derive(Clone, Debug)]
pub struct DrainSignal {
    stage: watch::Receiver<Stage>,
}

impl DrainSignal {
    /// Resolves when draining begins; at once if it has.
    pub async fn draining(&mut self) {
        self.at(Stage::Draining).await;
    }

    /// Resolves when it is polled after draining has begun. It wakes nobody: the task has to be
    /// woken by [`Self::over`], polled before it. Costs an idle connection no memory.
    pub(crate) fn seen(&self) -> impl Future<Output = ()> {
        std::future::poll_fn(|_| match *self.stage.borrow() >= Stage::Draining {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }

    /// Resolves when patience is over and everything must end where it stands.
    pub async fn over(&mut self) {
        self.at(Stage::Over).await;
    }

    async fn at(&mut self, stage: Stage) {
        if self.stage.wait_for(|now| *now >= stage).await.is_err() {
            // The process's `Drain` is gone, so it never drains.
            std::future::pending::<()>().await;
        }
    }
}
