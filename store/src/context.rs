//! What every part of one process's store shares: engines, options, the ids it hands out, and the
//! way it waits before it tries again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{Checksum, Engines, Nonce, ObjectKey, Put, WriteError};
use mail::{RecordId, WriterId};

use crate::Options;

/// Tries to put an object of a fresh name.
const PUT_TRIES_MAX: u32 = 6;

/// The parts of the store hold one of these in common.
pub(crate) struct Context {
    pub(crate) engines: Engines,
    pub(crate) options: Options,
    /// Names this process in the records it makes without an ingest segment (APPEND, import).
    process: WriterId,
    counter: AtomicU64,
}

impl Context {
    pub(crate) fn new(engines: Engines, options: Options) -> Self {
        let process = WriterId(engines.random.bytes());
        Self { engines, options, process, counter: AtomicU64::new(0) }
    }

    /// A record id that no other record has or will have.
    pub(crate) fn fresh_record(&self) -> RecordId {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
        RecordId { writer: self.process, counter }
    }

    pub(crate) fn nonce(&self) -> Nonce {
        self.engines.random.nonce()
    }

    /// Puts an object under a name that nobody else has or will have. An unknown outcome is
    /// pursued for a while; if it stays unknown the object may be there, and is an orphan then.
    pub(crate) async fn put_fresh(
        &self,
        key: &ObjectKey,
        parts: &[Bytes],
    ) -> Result<(), WriteError> {
        let mut backoff = self.backoff();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.engines.objects.put(key, parts).await {
                Ok(Put::Stored) => return Ok(()),
                Ok(Put::Exists(there)) if there == Checksum::of(parts) => return Ok(()),
                Ok(Put::Exists(_)) => return Err(WriteError::Conflict),
                Err(WriteError::Unknown(_)) if tries < PUT_TRIES_MAX => backoff.pause().await,
                // Nothing refers to it, so for the caller nothing has happened.
                Err(WriteError::Unknown(cause)) => return Err(WriteError::Unavailable(cause)),
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn backoff(&self) -> Backoff<'_> {
        Backoff { cx: self, wait: self.options.timing.retry_min }
    }
}

/// Waits that double from `retry_min` to `retry_max`, each with a random half.
pub(crate) struct Backoff<'a> {
    cx: &'a Context,
    wait: Duration,
}

impl Backoff<'_> {
    pub(crate) async fn pause(&mut self) {
        let whole = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let random = self.cx.engines.random.below(whole / 2 + 1);
        self.wait = (self.wait * 2).min(self.cx.options.timing.retry_max);
        self.cx.engines.clock.sleep(Duration::from_millis(whole / 2 + random)).await;
    }
}

/// A stored value that cannot be read: a person must look.
pub(crate) fn damaged(
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> engine::ReadError {
    engine::ReadError::Damaged(cause.into())
}

/// A value over the limit of every engine [Q].
pub(crate) fn too_large(error: crate::rows::RowTooLarge) -> WriteError {
    WriteError::Refused(Box::new(error))
}
