//! `deliver`: every recipient of a segment gets a successor.
//!
//! **Wakes it:** a new ingest segment (an event, lost or doubled at will), and the sweep.
//! **Reads:** the claim, the segment's index, the directory, heads of account logs, the writer's
//! row. **Writes:** the claim row, one entry per account, items for what is not an account here or
//! cannot be appended to now.
//!
//! **A second run is harmless** by its order [D, E, H]: (1) claim row and index, done = stop;
//! (2) the plan, or the one in the claim row, for ever; (3) each account's head; (4) the claim, by
//! its version; (5) the writer's row, below the watermark = stop; (6) entries at the head, every
//! entry met on the way read; (7) the claim is done. Any number of deliverers at once is correct;
//! the lease only saves work.
//!
//! **Upholds:** I1, I6 (each recipient once), I11 (every recipient of a done segment has a
//! successor). An unknown outcome is never success: the segment is begun again.

mod items;
mod plan;
mod run;
#[cfg(test)]
mod tests;
mod work;

use std::sync::{Mutex, PoisonError};

use engine::{ObjectKey, Op, Version};
use mail::WriterId;
use store::rows::Claim;
use store::{Store, names};

use crate::handler::{Handler, Outcome};

pub(crate) use items::{PARKED_FOR, make_item};
pub(crate) use plan::{local_destination, pages, parse_local};
pub(crate) use work::arrivals;

/// Claims that were carried out and wait for the next batch to say so.
const FINISHED_MAX: usize = 256;

/// The handler. One per process, so that it knows what it finished.
#[derive(Debug)]
pub struct Deliver {
    store: Store,
    /// This process, in leases.
    process: WriterId,
    /// Done, but their rows do not say so yet: they ride with the next batch. Lost in a crash,
    /// they are begun again and found done.
    finished: Mutex<Vec<Finished>>,
}

/// A claim whose plan is carried out.
#[derive(Clone, Debug)]
struct Finished {
    writer: WriterId,
    number: u64,
    claim: Claim,
    version: Version,
}

impl Deliver {
    /// A deliverer on this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let process = WriterId(store.engines().random.bytes());
        Self { store, process, finished: Mutex::default() }
    }

    fn finished(&self) -> std::sync::MutexGuard<'_, Vec<Finished>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations that mark what was finished as done, to ride with a batch.
    fn take_finished(&self) -> (Vec<Finished>, Vec<Op>) {
        let finished = std::mem::take(&mut *self.finished());
        let ops = finished.iter().filter_map(|one| {
            let version = Some(one.version);
            self.store.claims().put_op(one.writer, one.number, &one.claim, version).ok()
        });
        let ops = ops.collect();
        (finished, ops)
    }

    /// Marks what was finished as done. A host calls it when it has nothing else to do, or is
    /// about to stop; forgetting it costs work, never mail.
    pub async fn flush(&self) {
        let (finished, ops) = self.take_finished();
        if ops.is_empty() {
            return;
        }
        let answers = self.store.engines().index.batch(ops).await;
        for (one, answer) in finished.iter().zip(answers) {
            if let Err(error) = answer {
                // The next sweep finds it open and done.
                tracing::debug!(writer = %one.writer, number = one.number, %error,
                    "a claim was not marked as done");
            }
        }
    }

    /// Whether something waits for [`Self::flush`].
    #[must_use]
    pub fn has_finished(&self) -> bool {
        !self.finished().is_empty()
    }
}

impl Handler for Deliver {
    /// Keys of ingest segments.
    type Event = Vec<ObjectKey>;

    async fn handle(&self, keys: Vec<ObjectKey>) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = keys.iter().map(|_| Outcome::Done).collect();
        let mut segments = std::collections::BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            // Keys of other objects are nothing of ours; a key that came twice is done once.
            if let Some(segment) = names::parse_ingest(key) {
                segments.entry(segment).or_insert(at);
            }
        }
        let results = self.deliver(segments.keys().copied().collect()).await;
        for (at, outcome) in segments.into_values().zip(results) {
            if let Some(place) = outcomes.get_mut(at) {
                *place = outcome;
            }
        }
        if self.finished().len() >= FINISHED_MAX {
            self.flush().await;
        }
        outcomes
    }
}
