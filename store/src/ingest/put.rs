//! Putting one ingest segment until what happened to it is a fact [N].

use bytes::Bytes;
use engine::{Checksum, ObjectKey, Put, WriteError};

use crate::context::Context;
use crate::segment::{self, Tombstone};

/// What certainly happened to a segment. "Unknown" is not among them: it is never success and
/// never failure, so the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// It is durable under its key.
    Stored,
    /// It is not there, and no try of ours can still land: its number is free.
    Nowhere,
    /// As [`Fact::Nowhere`], for want of room.
    NoRoom,
    /// A sweeper closed this number: the same batch goes under the next one [B].
    Closed,
    /// The writer was ended: what it has not acknowledged goes to a new one [γ].
    Ended,
    /// Somebody else's segment is there: a clone of this writer runs somewhere [L].
    Foreign,
}

/// Puts `parts` under `key` and pursues an unknown outcome without end; gives up only what
/// certainly is not there, after `unavailable_patience`.
pub(super) async fn put_to_fact(cx: &Context, key: &ObjectKey, parts: &[Bytes]) -> Fact {
    let began = cx.engines.clock.instant();
    let mut backoff = cx.backoff();
    let mut may_land = false;
    loop {
        match cx.engines.objects.put(key, parts).await {
            Ok(Put::Stored) => return Fact::Stored,
            Ok(Put::Exists(checksum)) if checksum == Checksum::of(parts) => return Fact::Stored,
            Ok(Put::Exists(_)) => {
                if let Some(fact) = occupied(cx, key).await {
                    return fact;
                }
            }
            Err(WriteError::Unknown(cause)) => {
                tracing::warn!(%key, %cause, "whether a segment was stored is not known yet");
                may_land = true;
            }
            Err(WriteError::Full(_)) if !may_land => return Fact::NoRoom,
            Err(error) => {
                let waited = cx.engines.clock.instant().since(began);
                if !may_land && waited >= cx.options.timing.unavailable_patience {
                    tracing::error!(%key, %error, "a segment cannot be stored");
                    return Fact::Nowhere;
                }
                tracing::warn!(%key, %error, "putting a segment failed; trying again");
            }
        }
        backoff.pause().await;
    }
}

/// What sits under our key instead of our segment; `None` if it could not be read now.
async fn occupied(cx: &Context, key: &ObjectKey) -> Option<Fact> {
    match cx.engines.objects.get(key).await {
        Ok(Some(bytes)) => Some(match segment::tombstone(&bytes) {
            Some(Tombstone::Closed) => Fact::Closed,
            Some(Tombstone::End) => Fact::Ended,
            None => Fact::Foreign,
        }),
        // Tombstones outlive their writer [C], so an object that is gone again was a segment.
        Ok(None) => Some(Fact::Foreign),
        Err(error) => {
            tracing::warn!(%key, %error, "cannot read what is under a segment's key");
            None
        }
    }
}
