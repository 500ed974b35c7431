//! What functions make: one message in an object of its own, whose id derives from what caused it
//! [ε, j].

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use engine::{Consistency, Expect, Order, Put, Range, ReadError, Row, Version, WriteError};
use mail::structure::{Limits, Scanner};
use mail::{Account, Envelope, RecordId, Timestamp};

use crate::context::{Context, damaged, too_large};
use crate::names;
use crate::rows::{self, ItemKey, MadeFor, RowValue};
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
    /// Numbers of the item's recipients that it tells the end of.
    pub told: Vec<u8>,
}

/// The id of what a function makes, from what names its cause: the same whenever it is made again [j].
#[must_use]
pub fn derived_id(cause: &[u8]) -> RecordId {
    let sum = digest(&SHA256, cause);
    let mut bytes = [0; 24];
    bytes.iter_mut().zip(sum.as_ref()).for_each(|(to, from)| *to = *from);
    RecordId::of(bytes)
}

/// First byte of a cause, where verdicts begin with their version; and of one that says whom it tells
/// of.
const CAUSE: u8 = 0xca;
const CAUSE_TELLS: u8 = 0xcb;

fn encode_cause((item, reports): &(ItemKey, u32), told: &[u8]) -> Bytes {
    let mut out = vec![CAUSE_TELLS];
    out.extend_from_slice(&reports.to_be_bytes());
    // At most as many as an item has recipients.
    out.push(u8::try_from(told.len()).unwrap_or(u8::MAX));
    out.extend(told.iter().take(usize::from(u8::MAX)));
    out.extend_from_slice(&item.to_sort());
    out.into()
}

/// An item, and how many reports it had before.
type Cause = (ItemKey, u32);

/// The cause of a record, and whom it tells of, if it says.
fn decode_cause(record: &IndexRecord) -> Option<(Cause, Option<&[u8]>)> {
    let (first, rest) = record.verdicts.split_first()?;
    let (reports, rest) = rest.split_at_checked(4)?;
    let reports = u32::from_be_bytes(reports.try_into().ok()?);
    let (told, item) = match *first {
        CAUSE => (None, rest),
        CAUSE_TELLS => {
            let (count, rest) = rest.split_first()?;
            let (told, item) = rest.split_at_checked(usize::from(*count))?;
            (Some(told), item)
        }
        _ => return None,
    };
    Some(((ItemKey::from_sort(item)?, reports), told))
}

/// What caused a record that a function made; `None`: it says nothing of that.
#[must_use]
pub fn cause_of(record: &IndexRecord) -> Option<(ItemKey, u32)> {
    decode_cause(record).map(|(cause, _)| cause)
}

/// Numbers of the item's recipients that a report tells the end of; `None`: it does not say.
#[must_use]
pub fn told_by(record: &IndexRecord) -> Option<&[u8]> {
    decode_cause(record)?.1
}

/// Puts it, if nothing is there yet. Whoever made it before made it for the same reason, so what
/// is there counts, whatever its bytes.
pub(crate) async fn make(cx: &Context, made: Made) -> Result<(), WriteError> {
    let Made { id, envelope, at, prefix, content, cause, told } = made;
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(&content);
    let summary = Bytes::from(scanner.finish().summary.encode());
    let body = NewBody::of(&content);
    let record =
        NewRecord::new(at, Some(envelope), encode_cause(&cause, &told), summary, &prefix, body);
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

/// Accounts of one made message that are read at once: more than one message reaches.
const REACHED_MAX: usize = 4_096;

/// Notes that a made message may be appended to an account from now on. Whoever appends it does so
/// only after that, and after it then saw that its cause does not know of it yet: so whoever sees
/// that the cause knows, and asks after that whom it may have reached, is told everybody.
pub(crate) async fn reach(cx: &Context, id: RecordId, account: Account) -> Result<(), WriteError> {
    let value = MadeFor.encode().map_err(too_large)?;
    let row = Row { value, version: Version(1), nonce: cx.nonce(), expiry: None };
    cx.engines.index.put_if(&rows::made_for_key(id, account), row, Expect::Any).await
}

/// The accounts that a made message may have been appended to.
pub(crate) async fn reached(cx: &Context, id: RecordId) -> Result<Vec<Account>, ReadError> {
    let mut end = id.to_bytes().to_vec();
    end.extend([u8::MAX; 32]);
    let range = Range {
        partition: rows::made_partition(id).into(),
        from: Some(id.to_bytes().to_vec().into()),
        to: Some(end.into()),
        order: Order::Forward,
        limit: REACHED_MAX,
        consistency: Consistency::Strong,
    };
    let found = cx.engines.index.range(&range).await?;
    if found.len() == REACHED_MAX {
        return Err(ReadError::Refused("a made message reached too many accounts".into()));
    }
    let account = |(sort, _): (Bytes, Row)| {
        let (_, account) = rows::parse_made_for(&sort).ok_or_else(|| damaged("made-for row"))?;
        Ok(account)
    };
    found.into_iter().map(account).collect()
}

/// Deletes a made message that nothing names any more, then the rows that say whom it reached.
pub(crate) async fn delete(
    cx: &Context,
    id: RecordId,
    reached: &[Account],
) -> Result<(), WriteError> {
    cx.engines.objects.delete(&names::made(id)).await?;
    for account in reached {
        cx.engines.index.delete_if(&rows::made_for_key(id, *account), Expect::Any).await?;
    }
    Ok(())
}
