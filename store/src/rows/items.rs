//! Rows of outgoing and delayed work: items. The due rows that announce them are in `due.rs`.

use engine::Key;
use mail::codec::{Malformed, Reader, put_varint};
use mail::{RecordId, Timestamp};

use super::ingest::Lease;
use super::{RowValue, put_list, put_text, shard_of, take_list};
use crate::place::{SegmentRef, Slot};

/// Most recipients of one item.
pub const RECIPIENTS_MAX: usize = 100;

/// Most attempts kept in an item's history; middle ones go [i].
pub const HISTORY_MAX: usize = 64;

/// Partitions of items.
pub const ITEM_SHARDS: u16 = 256;

/// Most bytes of the recipients' paths of one item; more recipients make the next item.
pub const PATHS_BYTES_MAX: usize = 6_000;

/// Longest text of an attempt, or of why something is parked.
const WORDS_BYTES_MAX: usize = 160;

/// Longest path of a recipient; a canonical address may be longer than RFC 5321 lets one write.
const PATH_BYTES_MAX: usize = 1_024;

/// Bytes of the attempts of one item.
const HISTORY_BYTES_MAX: usize = 5_000;

/// Bytes of what was said to the recipients of one item.
const SAID_BYTES_MAX: usize = 3_000;

/// In the byte that tells of the delay: the origin follows (version 3).
const WITH_ORIGIN: u8 = 0x80;

/// In the same byte: its recipient was expanded (version 4).
const EXPANDED_BIT: u8 = 0x40;

/// Longest name of an egress.
const EGRESS_BYTES_MAX: usize = 64;

/// In the byte that tells of the delay: to be held.
const HOLD: u8 = 4;

/// What is held is due in a thousand years.
const HELD_FOR: std::time::Duration = std::time::Duration::from_secs(1_000 * 365 * 86_400);

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
    /// Tells the sender what became of recipients here, who asked for it (RFC 3461): the destination
    /// is [`DELIVERED`] or [`EXPANDED`].
    Report,
}

/// Destination of the report on recipients whose mailbox has the message.
pub const DELIVERED: &str = "delivered";

/// Destination of the report on recipients that stand for several addresses.
pub const EXPANDED: &str = "expanded";

impl ItemKind {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Remote => 1,
            Self::Link => 2,
            Self::Fan => 3,
            Self::Local => 4,
            Self::Parked => 5,
            Self::Report => 6,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Remote, Self::Link, Self::Fan, Self::Local, Self::Parked, Self::Report]
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
    /// Its sender is to be told something: the report is being made [e].
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
    /// Refused for good; the sender is not told yet.
    Failed,
    /// Refused for good, and a report says so.
    Told,
    /// Taken; its sender asked to be told of that, and is not yet (RFC 3461).
    Taken,
}

/// Whether the sender is told that an item is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delay {
    /// Not yet.
    #[default]
    Untold,
    /// A report is to be made.
    Due,
    /// It was told, or nobody wants to know.
    Told,
}

/// One recipient of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRecipient {
    /// Its number in the record's envelope (NOTIFY and ORCPT are there).
    pub envelope: u32,
    /// The path as it goes out (RFC 5321).
    pub path: String,
    /// Where it stands.
    pub state: RecipientState,
    /// What was last said to it; see [`Item::say`].
    pub said: String,
}

impl ItemRecipient {
    /// One that nothing was tried for.
    #[must_use]
    pub fn new(envelope: u32, path: impl Into<String>) -> Self {
        Self { envelope, path: path.into(), state: RecipientState::Open, said: String::new() }
    }
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
    /// Whether the sender is told that it is late.
    pub delay: Delay,
    /// Reports made: the next one's id derives from this [e, j].
    pub reports: u32,
    /// The egress it has to go through: a greylist knows it, or an unknown outcome came from it;
    /// empty: any.
    pub egress: String,
    /// The address of ours that forwards it (a canonical one); empty: it goes out as it came.
    pub forwarder: String,
    /// Whose message it is, see [`crate::origin`]; 0: nobody looks for it.
    pub origin: u64,
    /// Its recipient stood for several addresses, and a report tells that: of success nothing more
    /// is told (RFC 3461 §5.2.7.3).
    pub expanded: bool,
    /// To be held as soon as the try that is under way has ended, unless that finishes it.
    pub hold: bool,
}

impl Item {
    /// A new one, due when it is made.
    #[must_use]
    pub const fn new(created: Timestamp, place: Slot, recipients: Vec<ItemRecipient>) -> Self {
        Self {
            state: ItemState::Waiting,
            due: created,
            created,
            lease: None,
            fence: 0,
            tries: 0,
            place,
            recipients,
            history: Vec::new(),
            delay: Delay::Untold,
            reports: 0,
            egress: String::new(),
            forwarder: String::new(),
            origin: 0,
            expanded: false,
            hold: false,
        }
    }

    /// Holds it from now on: nobody tries it before it is released.
    pub fn hold_now(&mut self, now: Timestamp) {
        (self.state, self.hold) = (ItemState::Held, false);
        self.due = now.after(HELD_FOR);
    }

    /// Notes what was said to recipient number `at`, cut so that the words of all fit the row.
    pub fn say(&mut self, at: usize, words: &str) {
        let room = (SAID_BYTES_MAX / self.recipients.len().max(1)).min(WORDS_BYTES_MAX * 2);
        if let Some(recipient) = self.recipients.get_mut(at) {
            recipient.said = cut(words.to_owned(), room);
        }
    }

    /// Whether there is more to be stored than in an item that nothing happened to.
    fn has_more(&self) -> bool {
        self.hold
            || self.delay != Delay::Untold
            || self.reports > 0
            || !self.egress.is_empty()
            || !self.forwarder.is_empty()
            || self.origin != 0
            || self.recipients.iter().any(|one| !one.said.is_empty())
            || self.has_success()
    }

    /// Whether it has what only the fourth format holds.
    fn has_success(&self) -> bool {
        self.expanded || self.recipients.iter().any(|one| one.state == RecipientState::Taken)
    }

    /// Adds an attempt; when there are too many, the oldest but the first goes [i].
    pub fn record_attempt(&mut self, attempt: Attempt) {
        let shortened = Attempt {
            via: cut(attempt.via, WORDS_BYTES_MAX),
            words: cut(attempt.words, WORDS_BYTES_MAX),
            ..attempt
        };
        self.history.push(shortened);
        while self.history.len() > HISTORY_MAX || self.history_bytes() > HISTORY_BYTES_MAX {
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

impl RowValue for Item {
    const NAME: &'static str = "item row";
    const VERSION_MAX: u8 = 4;

    fn version(&self) -> u8 {
        if self.has_success() {
            return 4;
        }
        1 + u8::from(self.has_more()) + u8::from(self.origin != 0)
    }

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        let state = ItemState::ALL.iter().position(|state| *state == self.state)?;
        out.push(u8::try_from(state).ok()?);
        put_varint(out, self.due.0);
        put_varint(out, self.created.0);
        out.push(u8::from(self.lease.is_some()));
        self.lease.iter().for_each(|lease| lease.put(out));
        put_varint(out, self.fence);
        put_varint(out, u64::from(self.tries));
        self.place.segment.put(out);
        put_varint(out, u64::from(self.place.index));
        put_list(out, &self.recipients, RECIPIENTS_MAX, |out, one| {
            put_varint(out, u64::from(one.envelope));
            put_text(out, &one.path, PATH_BYTES_MAX)?;
            out.push(match one.state {
                RecipientState::Open => 0,
                RecipientState::Delivered => 1,
                RecipientState::Failed => 2,
                RecipientState::Told => 3,
                RecipientState::Taken => 4,
            });
            Some(())
        })?;
        put_list(out, &self.history, HISTORY_MAX, |out, one| {
            put_varint(out, one.at.0);
            put_text(out, &one.via, WORDS_BYTES_MAX)?;
            put_text(out, &one.words, WORDS_BYTES_MAX)
        })?;
        // Nothing of this stands in an item that was only made, which is most of them.
        if !self.has_more() {
            return Some(());
        }
        let delay = match self.delay {
            Delay::Untold => 0,
            Delay::Due => 1,
            Delay::Told => 2,
        };
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let bits = bit(self.origin != 0, WITH_ORIGIN)
            | bit(self.expanded, EXPANDED_BIT)
            | bit(self.hold, HOLD);
        out.push(delay | bits);
        if self.origin != 0 {
            out.extend_from_slice(&self.origin.to_be_bytes());
        }
        put_varint(out, u64::from(self.reports));
        put_text(out, &self.egress, EGRESS_BYTES_MAX)?;
        put_text(out, &self.forwarder, PATH_BYTES_MAX)?;
        self.recipients.iter().try_for_each(|one| put_text(out, &one.said, WORDS_BYTES_MAX * 2))
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
        let place = Slot { segment: SegmentRef::take(reader)?, index: reader.varint32()? };
        let recipients = take_list(reader, RECIPIENTS_MAX, |r| {
            let envelope = r.varint32()?;
            let path = r.str(PATH_BYTES_MAX)?.to_owned();
            let state = match r.byte()? {
                0 => RecipientState::Open,
                1 => RecipientState::Delivered,
                2 => RecipientState::Failed,
                3 => RecipientState::Told,
                4 => RecipientState::Taken,
                _ => return Err(wrong),
            };
            Ok(ItemRecipient { state, ..ItemRecipient::new(envelope, path) })
        })?;
        let history = take_list(reader, HISTORY_MAX, |r| {
            let at = Timestamp(r.varint()?);
            let via = r.str(WORDS_BYTES_MAX)?.to_owned();
            Ok(Attempt { at, via, words: r.str(WORDS_BYTES_MAX)?.to_owned() })
        })?;
        Ok(Self {
            state,
            due,
            lease,
            fence,
            tries,
            history,
            ..Self::new(created, place, recipients)
        })
    }

    fn take_more(mut self, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let first = reader.byte()?;
        self.hold = first & HOLD != 0;
        self.delay = match first & !(WITH_ORIGIN | EXPANDED_BIT | HOLD) {
            0 => Delay::Untold,
            1 => Delay::Due,
            2 => Delay::Told,
            _ => return Err(Malformed(Self::NAME)),
        };
        self.expanded = first & EXPANDED_BIT != 0;
        if first & WITH_ORIGIN != 0 {
            self.origin = u64::from_be_bytes(reader.array()?);
        }
        self.reports = reader.varint32()?;
        reader.str(EGRESS_BYTES_MAX)?.clone_into(&mut self.egress);
        reader.str(PATH_BYTES_MAX)?.clone_into(&mut self.forwarder);
        for one in &mut self.recipients {
            reader.str(WORDS_BYTES_MAX * 2)?.clone_into(&mut one.said);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use mail::WriterId;

    use super::*;
    use crate::rows::tests::survives;

    fn key(counter: u64, destination: &str) -> ItemKey {
        let id = RecordId { writer: WriterId([1; 16]), counter };
        ItemKey { id, kind: ItemKind::Local, destination: destination.into(), k: 3 }
    }

    fn item() -> Item {
        let segment = SegmentRef::Ingest { writer: WriterId([1; 16]), number: 9 };
        let place = Slot { segment, index: 3 };
        Item {
            due: Timestamp(77),
            lease: Some(Lease { holder: WriterId([8; 16]), until: Timestamp(99) }),
            fence: 4,
            tries: 2,
            ..Item::new(Timestamp(70), place, vec![ItemRecipient::new(200, "bob@example.test")])
        }
    }

    #[test]
    fn items_survive_and_their_history_is_bounded() {
        survives(&item());
        survives(&Item { origin: u64::MAX, ..item() });
        let mut long = item();
        long.lease = None;
        long.place.segment = SegmentRef::Made { id: key(1, "").id };
        long.recipients = (0..100)
            .map(|i| ItemRecipient {
                state: RecipientState::Failed,
                ..ItemRecipient::new(i, format!("{i:03}{}", "x".repeat(PATHS_BYTES_MAX / 100 - 3)))
            })
            .collect();
        long.delay = Delay::Due;
        long.origin = 1;
        long.hold = true;
        long.reports = 3;
        long.egress = "e".repeat(EGRESS_BYTES_MAX);
        long.forwarder = format!("{}@example.test", "f".repeat(256));
        (0..100).for_each(|at| long.say(at, &"550 5.1.1 no ".repeat(20)));
        for n in 0..200 {
            let words = format!("{n} {}", "é".repeat(150));
            long.record_attempt(Attempt { at: Timestamp(n), via: "e1".into(), words });
        }
        assert!(long.history.len() <= HISTORY_MAX);
        assert_eq!(long.history[0].at, Timestamp(0));
        assert_eq!(long.history.last().unwrap().at, Timestamp(199));
        survives(&long);
        long.recipients[3].state = RecipientState::Taken;
        survives(&long);
        survives(&Item { expanded: true, ..item() });
        long.recipients.push(long.recipients[0].clone());
        assert!(long.encode().is_err());
    }

    #[test]
    fn item_keys_come_back_from_sort_keys() {
        let item = key(7, "example.test");
        assert_eq!(ItemKey::from_sort(&item_key(&item).sort), Some(item));
        assert!(ItemKey::from_sort(b"short").is_none());
    }
}
