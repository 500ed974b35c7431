//! The seams to the outside: [`Objects`], [`Index`], [`Events`], [`Clock`], [`Random`], and all
//! their engines.
//!
//! What Postroad keeps is kept through these only. Nothing above this crate knows an engine's
//! name: [`Engines`] is all it sees. Each promise in a trait's documentation has a number and a
//! test of that number in the conformance suite, run on every engine.

mod clock;
mod condition;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counters;
mod dice;
mod events;
mod index;
mod local;
pub mod memory;
mod objects;
mod peers;
mod sqlite;
mod system;
mod tasks;
mod work;

use std::sync::Arc;

pub use clock::{Clock, Elapsed, Random};
pub use counters::{Counters, Counts};
pub use events::{Event, Events, Subscription};
pub use index::{
    Consistency, Expect, Index, KEY_BYTES_MAX, Key, Nonce, Op, Order, Range, Row, VALUE_BYTES_MAX,
    Version,
};
pub use local::{Config, OpenError, open};
pub use objects::{Checksum, Listed, ObjectKey, ObjectWriter, Objects, Put, Space};
pub use peers::{Peers, Strangers};
pub use tasks::Tasks;
pub use work::{Busy, Work};

/// What an operation on an engine can end with besides success. Variants differ by what the
/// caller does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The condition did not hold and the row there is not ours [M]. Read, decide again.
    #[error("condition does not hold")]
    Conflict,
    /// It may have happened, or may happen later. Never success and never failure: read back (or
    /// repeat under the same key) before acting again.
    #[error("outcome unknown: {0}")]
    Unknown(Cause),
    /// It certainly did not happen, and may work later.
    #[error("store unavailable: {0}")]
    Unavailable(Cause),
    /// It certainly did not happen: no space left. Accepting stops; deleting may help.
    #[error("store full: {0}")]
    Full(Cause),
    /// It certainly did not happen and never will as asked (a limit, a permission).
    #[error("refused: {0}")]
    Refused(Cause),
}

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nobody answered; may work later.
    #[error("store unavailable: {0}")]
    Unavailable(Cause),
    /// What is stored is not what was written (checksum, format). Needs a person.
    #[error("stored data damaged: {0}")]
    Damaged(Cause),
    /// The question itself is not allowed (a limit, a permission).
    #[error("refused: {0}")]
    Refused(Cause),
}

/// What an engine said went wrong.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The engines of one process in one region: all that the rest of the system is given.
#[derive(Clone)]
pub struct Engines {
    /// Object storage of the region.
    pub objects: Arc<dyn Objects>,
    /// Rows of the region.
    pub index: Arc<dyn Index>,
    /// Best-effort wake-ups between the processes of the region.
    pub events: Arc<dyn Events>,
    /// Which of those processes are dead, where that can be known.
    pub peers: Arc<dyn Peers>,
    /// This process's monotonic clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// The tasks that end with this process.
    pub tasks: Tasks,
    /// Where what costs CPU for long is done.
    pub work: Work,
    /// What this process's engines did so far.
    pub counters: Arc<Counters>,
}

impl Engines {
    /// Whether an engine has closed itself: see [`Objects::is_closed`] and [`Index::is_closed`].
    #[must_use]
    pub fn closed(&self) -> bool {
        self.objects.is_closed() || self.index.is_closed()
    }
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engines").finish_non_exhaustive()
    }
}
