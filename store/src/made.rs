//! What functions make: one message in an object of its own, whose id derives from what caused it
//! [ε, j].

use bytes::Bytes;
use engine::{Put, WriteError};
use mail::structure::{Limits, Scanner};
use mail::{Envelope, RecordId, Timestamp};

use crate::context::Context;
use crate::names;
use crate::rows::ItemKey;
use crate::segment::{Builder, IndexRecord, NewBody, NewRecord};

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
    /// The item that caused it, and how many reports that had before: as long as the item does not
    /// say that it knows of this one, it may be taken to where it goes again.
    pub cause: (ItemKey, u32),
}

/// First byte of a cause, where verdicts begin with their version.
const CAUSE: u8 = 0xca;

fn encode_cause((item, reports): &(ItemKey, u32)) -> Bytes {
    let mut out = vec![CAUSE];
    out.extend_from_slice(&reports.to_be_bytes());
    out.extend_from_slice(&item.to_sort());
    out.into()
}

/// What caused a record that a function made; `None`: it says nothing of that.
#[must_use]
pub fn cause_of(record: &IndexRecord) -> Option<(ItemKey, u32)> {
    let (first, rest) = record.verdicts.split_first()?;
    let (reports, item) = rest.split_at_checked(4)?;
    let reports = u32::from_be_bytes(reports.try_into().ok()?);
    (*first == CAUSE).then_some((ItemKey::from_sort(item)?, reports))
}

/// Puts it, if nothing is there yet. Whoever made it before made it for the same reason, so what
/// is there counts, whatever its bytes.
pub(crate) async fn make(cx: &Context, made: Made) -> Result<(), WriteError> {
    let Made { id, envelope, at, prefix, content, cause } = made;
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(&content);
    let summary = Bytes::from(scanner.finish().summary.encode());
    let body = NewBody::of(&content);
    let record = NewRecord::new(at, Some(envelope), encode_cause(&cause), summary, &prefix, body);
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
