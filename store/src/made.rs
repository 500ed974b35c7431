//! What functions make: one message in an object of its own, whose id derives from what caused it
//! [ε, j].

use bytes::Bytes;
use engine::{Put, WriteError};
use mail::structure::{Limits, Scanner};
use mail::{Envelope, RecordId, Timestamp};

use crate::context::Context;
use crate::names;
use crate::segment::{Builder, NewBody, NewRecord};

/// A message to be made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Names the object and its only record; derived, never random.
    pub id: RecordId,
    /// To whom, from whom (the null sender, as a rule).
    pub envelope: Envelope,
    /// When, by the store's time.
    pub at: Timestamp,
    /// Header fields that go before it (Return-Path).
    pub prefix: Bytes,
    /// The message, CRLF lines.
    pub content: Bytes,
}

/// Puts it, if nothing is there yet. Whoever made it before made it for the same reason, so what
/// is there counts, whatever its bytes.
pub(crate) async fn make(cx: &Context, made: Made) -> Result<(), WriteError> {
    let Made { id, envelope, at, prefix, content } = made;
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(&content);
    let summary = Bytes::from(scanner.finish().summary.encode());
    let body = NewBody::of(&content);
    let record = NewRecord::new(at, Some(envelope), Bytes::new(), summary, &prefix, body);
    let record = record.ok_or(WriteError::Refused("prefix over its limit".into()))?;
    let mut builder = Builder::made(cx.nonce());
    builder.add(id, &record);
    let key = names::made(id);
    let parts = builder.finish();
    let mut backoff = cx.backoff();
    for _ in 0..TRIES_MAX {
        match cx.engines.objects.put(&key, &parts).await {
            Ok(Put::Stored | Put::Exists(_)) => return Ok(()),
            // Unknown is never success: once more, until it is a fact.
            Err(WriteError::Unknown(_)) => backoff.pause().await,
            Err(error) => return Err(error),
        }
    }
    Err(WriteError::Unknown("whether a message was made is not known".into()))
}

/// Tries to learn whether an object was put.
const TRIES_MAX: u32 = 6;
