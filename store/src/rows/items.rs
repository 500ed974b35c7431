//! Rows of outgoing and delayed work: items, and the due rows that announce them.

use bytes::Bytes;
use engine::Key;
use mail::codec::{Malformed, Reader, put_bytes, put_varint};
use mail::{RecordId, Timestamp};

use super::ingest::Lease;
use super::{RowValue, put_list, put_text, shard_of, take_list};
use crate::place::{ObjectNonce, SegmentRef, Slot};

/// Most recipients of one item.
pub const RECIPIENTS_MAX: usize = 100;

/// Most attempts kept in an item's history; middle ones go [i].
pub const HISTORY_MAX: usize = 64;

/// Partitions of items.
pub const ITEM_SHARDS: u16 = 256;

/// Shards of due rows by hash of their destination; a busy destination gets one of its own from
/// this number on.
pub const DUE_SHARDS: u16 = 64;

/// Partitions of maintenance due rows.
pub const MAINTENANCE_SHARDS: u16 = 16;

/// Longest text of an attempt, or of why something is parked.
const WORDS_BYTES_MAX: usize = 160;

/// What an item is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// SMTP to a domain.
    Remote,
    /// To another region, over a link.
    Link,
    /// Members of a group beyond the plan, at a directory number [δ].
    Fan,
    /// To an account of this store that could not be appended to.
    Local,
    /// Waits for an admin's act.
    Parked,
}

impl ItemKind {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Remote => 1,
            Self::Link => 2,
            Self::Fan => 3,
            Self::Local => 4,
            Self::Parked => 5,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Remote, Self::Link, Self::Fan, Self::Local, Self::Parked]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// Names an item: derived from what it is for, so that whoever makes it makes the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// The record it carries, or the id of what was made.
    pub id: RecordId,
    /// What for.
    pub kind: ItemKind,
    /// A domain, a region, a group id, or an account as text; at most 255 bytes, no NUL.
    pub destination: String,
    /// Counts the items of one destination ([`RECIPIENTS_MAX`] recipients each).
    pub k: u16,
}

impl ItemKey {
    /// Sort key of the item's row: id, kind, destination, k.
    #[must_use]
    pub fn to_sort(&self) -> Vec<u8> {
        let mut sort = self.id.to_bytes().to_vec();
        sort.push(self.kind.number());
        sort.extend_from_slice(self.destination.as_bytes());
        sort.push(0);
        sort.extend_from_slice(&self.k.to_be_bytes());
        sort
    }

    /// Reads [`Self::to_sort`].
    #[must_use]
    pub fn from_sort(sort: &[u8]) -> Option<Self> {
        let (id, rest) = sort.split_at_checked(24)?;
        let (kind, rest) = rest.split_first()?;
        let (text, end) = rest.split_at_checked(rest.len().checked_sub(3)?)?;
        let (nul, k) = end.split_first()?;
        let destination = std::str::from_utf8(text).ok()?.to_owned();
        (*nul == 0 && !text.contains(&0)).then_some(Self {
            id: RecordId::from_bytes(id)?,
            kind: ItemKind::from_number(*kind)?,
            destination,
            k: u16::from_be_bytes(k.try_into().ok()?),
        })
    }
}

/// Partition of the items of one of [`ITEM_SHARDS`] shards.
#[must_use]
pub fn items_partition(shard: u8) -> Vec<u8> {
    vec![b'o', shard]
}

/// Key of an item's row. `deliver` puts it where absent, the relay changes it by version.
#[must_use]
pub fn item_key(item: &ItemKey) -> Key {
    let shard = shard_of(&item.id.to_bytes(), ITEM_SHARDS);
    Key::new(items_partition(shard), item.to_sort())
}

/// State of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemState {
    /// To be tried at its due time.
    Waiting,
    /// Held: by a route, a destination, an admin, or after a restore [z].
    Held,
    /// Gave up; its DSN is being made [e].
    Bouncing,
    /// Finished: every recipient was taken.
    Delivered,
    /// Finished: a DSN told the sender what was not delivered.
    Failed,
    /// Finished by an admin's act.
    Removed,
}

impl ItemState {
    const ALL: [Self; 6] =
        [Self::Waiting, Self::Held, Self::Bouncing, Self::Delivered, Self::Failed, Self::Removed];

    /// Whether nothing will be done for it any more.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed | Self::Removed)
    }
}

/// Where one recipient of an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// Not yet taken by anyone.
    Open,
    /// Taken.
    Delivered,
    /// Refused for good.
    Failed,
}

/// One recipient of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRecipient {
    /// Its number in the record's envelope (NOTIFY and ORCPT are there).
    pub envelope: u32,
    /// The path as it goes out (RFC 5321), at most 254 bytes.
    pub path: String,
    /// Where it stands.
    pub state: RecipientState,
}

/// One attempt in an item's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended, store time.
    pub at: Timestamp,
    /// Through which egress or to which account, at most 160 bytes.
    pub via: String,
    /// What was said, or "unknown" [c]; at most 160 bytes.
    pub words: String,
}

/// One unit of work: a record for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// State.
    pub state: ItemState,
    /// When it is due, store time.
    pub due: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// One up with each start [c].
    pub fence: u64,
    /// How often it was tried.
    pub tries: u32,
    /// Where the record is.
    pub place: Slot,
    /// 1 to [`RECIPIENTS_MAX`].
    pub recipients: Vec<ItemRecipient>,
    /// At most [`HISTORY_MAX`]; see [`Self::record_attempt`].
    pub history: Vec<Attempt>,
}

impl Item {
    /// Adds an attempt; when there are too many, the oldest but the first goes [i].
    pub fn record_attempt(&mut self, attempt: Attempt) {
        let shortened = Attempt {
            via: cut(attempt.via, WORDS_BYTES_MAX),
            words: cut(attempt.words, WORDS_BYTES_MAX),
            ..attempt
        };
        self.history.push(shortened);
        while self.history.len() > HISTORY_MAX || self.history_bytes() > 8 * 1024 {
            self.history.remove(1);
        }
    }

    fn history_bytes(&self) -> usize {
        self.history.iter().map(|attempt| attempt.via.len() + attempt.words.len() + 9).sum()
    }
}

/// The text, cut at a character so that it has at most `most` bytes.
fn cut(mut text: String, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

fn put_slot(out: &mut Vec<u8>, slot: Slot) {
    match slot.segment {
        SegmentRef::Ingest { writer, number } => {
            out.push(0);
            out.extend_from_slice(&writer.0);
            put_varint(out, number);
        }
        SegmentRef::Made { id } => {
            out.push(1);
            out.extend_from_slice(&id.to_bytes());
        }
        SegmentRef::Account { nonce } => {
            out.push(2);
            out.extend_from_slice(&nonce.0);
        }
    }
    put_varint(out, u64::from(slot.index));
}

fn take_slot(reader: &mut Reader<'_>) -> Result<Slot, Malformed> {
    let segment = match reader.byte()? {
        0 => {
            SegmentRef::Ingest { writer: mail::WriterId(reader.array()?), number: reader.varint()? }
        }
        1 => {
            let id = RecordId::from_bytes(reader.take(24)?).ok_or(Malformed("record id"))?;
            SegmentRef::Made { id }
        }
        2 => SegmentRef::Account { nonce: ObjectNonce(reader.array()?) },
        _ => return Err(Malformed("segment")),
    };
    Ok(Slot { segment, index: reader.varint32()? })
}

impl RowValue for Item {
    const NAME: &'static str = "item row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        let state = ItemState::ALL.iter().position(|state| *state == self.state)?;
        out.push(u8::try_from(state).ok()?);
        put_varint(out, self.due.0);
        put_varint(out, self.created.0);
        out.push(u8::from(self.lease.is_some()));
        self.lease.iter().for_each(|lease| lease.put(out));
        put_varint(out, self.fence);
        put_varint(out, u64::from(self.tries));
        put_slot(out, self.place);
        put_list(out, &self.recipients, RECIPIENTS_MAX, |out, one| {
            put_varint(out, u64::from(one.envelope));
            put_text(out, &one.path, 254)?;
            out.push(match one.state {
                RecipientState::Open => 0,
                RecipientState::Delivered => 1,
                RecipientState::Failed => 2,
            });
            Some(())
        })?;
        put_list(out, &self.history, HISTORY_MAX, |out, one| {
            put_varint(out, one.at.0);
            put_text(out, &one.via, WORDS_BYTES_MAX)?;
            put_text(out, &one.words, WORDS_BYTES_MAX)
        })
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let wrong = Malformed(Self::NAME);
        let state = *ItemState::ALL.get(usize::from(reader.byte()?)).ok_or(wrong)?;
        let due = Timestamp(reader.varint()?);
        let created = Timestamp(reader.varint()?);
        let lease = match reader.byte()? {
            0 => None,
            1 => Some(Lease::take(reader)?),
            _ => return Err(wrong),
        };
        let fence = reader.varint()?;
        let tries = reader.varint32()?;
        let place = take_slot(reader)?;
        let recipients = take_list(reader, RECIPIENTS_MAX, |r| {
            let envelope = r.varint32()?;
            let path = r.str(254)?.to_owned();
            let state = match r.byte()? {
                0 => RecipientState::Open,
                1 => RecipientState::Delivered,
                2 => RecipientState::Failed,
                _ => return Err(wrong),
            };
            Ok(ItemRecipient { envelope, path, state })
        })?;
        let history = take_list(reader, HISTORY_MAX, |r| {
            let at = Timestamp(r.varint()?);
            let via = r.str(WORDS_BYTES_MAX)?.to_owned();
            Ok(Attempt { at, via, words: r.str(WORDS_BYTES_MAX)?.to_owned() })
        })?;
        Ok(Self { state, due, created, lease, fence, tries, place, recipients, history })
    }
}

/// The due shard of a destination, unless it has one of its own.
#[must_use]
pub fn due_shard(destination: &str) -> u16 {
    u16::from(shard_of(destination.as_bytes(), DUE_SHARDS))
}

/// Partition of the due rows of a shard. Below 27,904, so that it is never `d` `m` or `d` `p`.
#[must_use]
pub fn due_partition(shard: u16) -> Vec<u8> {
    let mut partition = vec![b'd'];
    partition.extend_from_slice(&shard.to_be_bytes());
    partition
}

/// Key of a due row: when, which item. Written and deleted unconditionally, before the item [a].
#[must_use]
pub fn due_key(shard: u16, due: Timestamp, item: &ItemKey) -> Key {
    Key::new(due_partition(shard), timed(due, &item.to_sort()))
}

fn timed(at: Timestamp, rest: &[u8]) -> Vec<u8> {
    let mut sort = at.0.to_be_bytes().to_vec();
    sort.extend_from_slice(rest);
    sort
}

/// Upper end (exclusive) of the sort keys of what is due at `now` or before: due rows, maintenance
/// due rows and parked rows alike.
#[must_use]
pub fn due_sort_until(now: Timestamp) -> Bytes {
    Bytes::copy_from_slice(&now.0.saturating_add(1).to_be_bytes())
}

/// A due row: announces a version of an item. Only a hint; deleted by whoever sees that the item
/// has reached that version and is due elsewhere, or is finished [a].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The item's version that is due then.
    pub version: u64,
}

impl Due {
    /// Reads the sort key of a due row.
    #[must_use]
    pub fn parse_sort(sort: &[u8]) -> Option<(Timestamp, ItemKey)> {
        let (due, item) = sort.split_at_checked(8)?;
        Some((Timestamp(u64::from_be_bytes(due.try_into().ok()?)), ItemKey::from_sort(item)?))
    }
}

impl RowValue for Due {
    const NAME: &'static str = "due row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_varint(out, self.version);
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { version: reader.varint()? })
    }
}

/// Partition of maintenance due rows.
#[must_use]
pub fn maintenance_partition(shard: u8) -> Vec<u8> {
    vec![b'd', b'm', shard]
}

/// Key of a maintenance due row. Written and deleted unconditionally.
#[must_use]
pub fn maintenance_key(due: Timestamp, account: mail::Account) -> Key {
    let bytes = account.to_bytes();
    Key::new(maintenance_partition(shard_of(&bytes, MAINTENANCE_SHARDS)), timed(due, &bytes))
}

/// Why `maintain` should look at an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaintenanceWhy {
    /// Its tail is long.
    Checkpoint,
    /// Records lie in ingest segments.
    Compact,
    /// Objects are to be deleted.
    Clean,
}

/// A maintenance due row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Why.
    pub why: MaintenanceWhy,
}

impl Maintenance {
    /// Reads the sort key of a maintenance due row.
    #[must_use]
    pub fn parse_sort(sort: &[u8]) -> Option<(Timestamp, mail::Account)> {
        let (due, account) = sort.split_at_checked(8)?;
        let due = Timestamp(u64::from_be_bytes(due.try_into().ok()?));
        Some((due, mail::Account::from_bytes(account)?))
    }
}

impl RowValue for Maintenance {
    const NAME: &'static str = "maintenance row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.push(match self.why {
            MaintenanceWhy::Checkpoint => 0,
            MaintenanceWhy::Compact => 1,
            MaintenanceWhy::Clean => 2,
        });
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let why = match reader.byte()? {
            0 => MaintenanceWhy::Checkpoint,
            1 => MaintenanceWhy::Compact,
            2 => MaintenanceWhy::Clean,
            _ => return Err(Malformed(Self::NAME)),
        };
        Ok(Self { why })
    }
}

/// Partition of parked rows.
#[must_use]
pub fn parked_partition() -> Vec<u8> {
    vec![b'd', b'p']
}

/// Key of a parked row: since when, which item. Written and deleted unconditionally; its sort key
/// is read by [`Due::parse_sort`].
#[must_use]
pub fn parked_key(since: Timestamp, item: &ItemKey) -> Key {
    Key::new(parked_partition(), timed(since, &item.to_sort()))
}

/// A parked row: shown to admins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// One line of reason, at most 1,000 bytes.
    pub why: String,
}

impl RowValue for Parked {
    const NAME: &'static str = "parked row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_bytes(out, self.why.as_bytes());
        (self.why.len() <= 1_000).then_some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { why: reader.str(1_000)?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use mail::{Account, AccountId, Epoch, WriterId};

    use super::*;
    use crate::rows::tests::survives;

    fn key(counter: u64, destination: &str) -> ItemKey {
        let id = RecordId { writer: WriterId([1; 16]), counter };
        ItemKey { id, kind: ItemKind::Local, destination: destination.into(), k: 3 }
    }

    fn item() -> Item {
        let slot = |segment| Slot { segment, index: 3 };
        Item {
            state: ItemState::Waiting,
            due: Timestamp(77),
            created: Timestamp(70),
            lease: Some(Lease { holder: WriterId([8; 16]), until: Timestamp(99) }),
            fence: 4,
            tries: 2,
            place: slot(SegmentRef::Ingest { writer: WriterId([1; 16]), number: 9 }),
            recipients: vec![ItemRecipient {
                envelope: 200,
                path: "bob@example.test".into(),
                state: RecipientState::Open,
            }],
            history: vec![],
        }
    }

    #[test]
    fn items_survive_and_their_history_is_bounded() {
        survives(&item());
        let mut long = item();
        long.lease = None;
        long.place.segment = SegmentRef::Made { id: key(1, "").id };
        long.recipients = (0..100)
            .map(|i| ItemRecipient {
                envelope: i,
                path: format!("{i:03}{}@example.test", "x".repeat(50)),
                state: RecipientState::Failed,
            })
            .collect();
        for n in 0..200 {
            let words = format!("{n} {}", "é".repeat(150));
            long.record_attempt(Attempt { at: Timestamp(n), via: "e1".into(), words });
        }
        assert!(long.history.len() <= HISTORY_MAX);
        assert_eq!(long.history[0].at, Timestamp(0));
        assert_eq!(long.history.last().unwrap().at, Timestamp(199));
        survives(&long);
        long.recipients.push(long.recipients[0].clone());
        assert!(long.encode().is_err());
    }

    #[test]
    fn item_keys_come_back_from_sort_keys_and_sort_by_time() {
        let item = key(7, "example.test");
        let at = due_key(due_shard("example.test"), Timestamp(500), &item);
        assert_eq!(Due::parse_sort(&at.sort), Some((Timestamp(500), item.clone())));
        assert_eq!(ItemKey::from_sort(&item_key(&item).sort), Some(item.clone()));
        assert!(at.sort < due_key(0, Timestamp(501), &key(1, "a")).sort);
        assert!(at.sort < due_sort_until(Timestamp(500)));
        assert!(at.sort > due_sort_until(Timestamp(499)));
        assert!(ItemKey::from_sort(b"short").is_none());
        let longest = due_key(1, Timestamp(0), &key(1, &"d".repeat(255)));
        assert!(longest.partition.len() + longest.sort.len() <= engine::KEY_BYTES_MAX);
    }

    #[test]
    fn partitions_of_due_rows_are_apart() {
        for shard in 0..DUE_SHARDS {
            assert_ne!(due_partition(shard)[1], b'm');
            assert_ne!(due_partition(shard)[1], b'p');
        }
        let account = Account { id: AccountId([5; 16]), epoch: Epoch(1) };
        let row = maintenance_key(Timestamp(3), account);
        assert_eq!(Maintenance::parse_sort(&row.sort), Some((Timestamp(3), account)));
        assert!(row.partition[2] < 16);
        survives(&Due { version: 300 });
        survives(&Maintenance { why: MaintenanceWhy::Compact });
        survives(&Parked { why: "poison".into() });
    }
}
