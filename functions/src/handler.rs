//! What every function is: a handler of a batch of events that knows no host.

use std::future::Future;
use std::time::Duration;

use mail::Timestamp;
use store::Store;

/// Why a handler could not do one thing; for people.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// An idempotent handler. Its file opens with: what wakes it, what it reads and writes, why a
/// second run is harmless, which invariants it upholds.
pub trait Handler: Send + Sync {
    /// A batch of things to do.
    type Event: Send;

    /// Does them. One outcome per thing, in order, so that one poison message blocks nobody.
    fn handle(&self, event: Self::Event) -> impl Future<Output = Vec<Outcome>> + Send;
}

/// How one thing ended.
#[derive(Debug)]
pub enum Outcome {
    /// Done, or found done, or nothing of ours.
    Done,
    /// Not done; all that was done can be done again. Ask again at that time of the store.
    Later {
        /// Not before.
        at: Timestamp,
        /// Why.
        why: Error,
    },
    /// Trying again does not help: shown to the admin, alarmed, never dropped.
    Park {
        /// Why.
        why: Error,
    },
}

impl Outcome {
    /// Whether there is nothing left to do.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// How it ended, or, where it failed, that it is to be tried again after so long.
    pub(crate) fn of(done: Result<Self, Error>, store: &Store, wait: Duration) -> Self {
        done.unwrap_or_else(|why| Self::Later { at: store.engines().index.now().after(wait), why })
    }
}
