//! Accepting mail: what was taken is durable in one object before anybody is told so (I1).
//!
//! A session spools a message into an [`Incoming`]; committing hands it to the one lane of this
//! process, which packs whatever waits into the next ingest segment while earlier ones are still
//! in flight: a group commit without a timer. A [`Receipt`] comes back only after the segment is
//! known to be stored; an outcome that is not known is pursued under the same key until it is [N].

mod coming;
mod incoming;
mod lane;
mod put;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mail::{Envelope, RecordId, Timestamp};
use tokio::sync::{Semaphore, mpsc};

use coming::Coming;

use crate::bodies::Bodies;
use crate::context::Context;
use crate::space::Space;

pub use incoming::{Incoming, Taken, Whole};
pub(crate) use incoming::{Spool, Spools};
use lane::Pending;

/// Messages that may wait for the next segment; beyond that a session waits before its message is
/// queued.
const WAITING_MESSAGES_MAX: usize = 4096;

/// One permit of the spool is so many bytes.
const SPOOL_UNIT: usize = 1024;

/// What is accepted: everything about a message but its content.
#[derive(Clone, Debug)]
pub struct Accept {
    /// Sender and recipients, as the client gave them.
    pub envelope: Envelope,
    /// Header fields known only at the end (Return-Path, Received, Authentication-Results, our
    /// signature), each ended by CRLF: read before the message by all its recipients.
    pub prefix: Bytes,
    /// What the checks said, for functions and for `trace`; at most 4 KiB.
    pub verdicts: Bytes,
}

/// The proof that a record is durable. Only the store makes one, and only 250 (IMAP: OK) spends
/// it.
#[derive(Debug)]
pub struct Receipt {
    record: RecordId,
    at: Timestamp,
}

impl Receipt {
    pub(crate) const fn new(record: RecordId, at: Timestamp) -> Self {
        Self { record, at }
    }

    /// Id of the record, to be told to the sender.
    #[must_use]
    pub const fn record(&self) -> RecordId {
        self.record
    }

    /// When it was taken, by the store's time.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// Why a message was not accepted. Variants differ by what the session does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Certainly not stored: the store is not there, or too much is being received. 451 4.3.2.
    #[error("cannot accept a message now")]
    Later,
    /// Certainly not stored: no room left. 452 4.3.1.
    #[error("no room left to accept a message")]
    Full,
    /// It may be stored or not: close the connection without a reply [N].
    #[error("whether the message was stored is not known")]
    Unknown,
    /// Larger than `message_bytes_max`. 552 5.3.4.
    #[error("message larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// Cannot be stored as it is (envelope or prefix over its limit). 554 5.6.0.
    #[error("message cannot be stored: {0}")]
    Malformed(&'static str),
}

/// Where messages come in.
pub struct Ingest {
    cx: Arc<Context>,
    space: Arc<Space>,
    queue: mpsc::Sender<Pending>,
    spools: Arc<Spools>,
    whole: Arc<Semaphore>,
    coming: Arc<Coming>,
    accepted: AtomicU64,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}

impl Ingest {
    pub(crate) fn new(
        cx: &Arc<Context>,
        bodies: &Arc<Bodies>,
        space: &Arc<Space>,
        spools: &Arc<Spools>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MESSAGES_MAX);
        let names = spools.big.clone();
        let coming = Arc::new(Coming::default());
        let lane = lane::Lane::new(
            cx.clone(),
            bodies.clone(),
            space.clone(),
            names,
            coming.clone(),
            waiting,
        );
        cx.engines.tasks.spawn("ingest", lane.run());
        Self {
            cx: cx.clone(),
            space: space.clone(),
            queue,
            spools: spools.clone(),
            whole: Arc::new(Semaphore::new(cx.options.whole_bytes_max / SPOOL_UNIT)),
            coming,
            accepted: AtomicU64::new(0),
        }
    }

    /// Starts to take a message. Nothing is written yet.
    /// # Errors
    /// [`AcceptError::Full`] while the medium has too little room.
    pub async fn begin(self: &Arc<Self>) -> Result<Incoming, AcceptError> {
        if self.space.is_full().await {
            return Err(AcceptError::Full);
        }
        Ok(Incoming::new(self.clone()))
    }

    /// Messages accepted by this process.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}
