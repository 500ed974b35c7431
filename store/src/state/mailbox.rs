//! One mailbox and its messages, as edges see them.

use std::collections::BTreeSet;

use mail::flags::{FlagSet, Keyword, SystemFlags};
use mail::uidset::UidSet;
use mail::{RecordId, Seq, Timestamp, Uid, UidValidity};

use super::messages::{Messages, Packed};
use super::tables::Tables;
use super::vanished::TooOld;
use super::{State, SummaryPlace};
use crate::change::{MailboxId, SpecialUse};
use crate::place::Place;

/// What the state keeps of a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct MailboxData {
    pub(crate) id: MailboxId,
    pub(crate) name: String,
    pub(crate) special_use: Option<SpecialUse>,
    pub(crate) uid_validity: u32,
    /// The next UID; 0 after the last one was given.
    pub(crate) uid_next: u64,
    pub(crate) highest_modseq: Seq,
    /// Entry that made it.
    pub(crate) created: Seq,
    pub(crate) unseen: u64,
    pub(crate) deleted: u64,
    pub(crate) bytes: u64,
    /// Keywords ever used in it, as first spelled.
    pub(crate) keywords: BTreeSet<Keyword>,
    pub(crate) messages: Messages,
}

impl MailboxData {
    pub(crate) fn new(id: MailboxId, name: String, uid_validity: u32, created: Seq) -> Self {
        Self {
            id,
            name,
            special_use: None,
            uid_validity,
            uid_next: 1,
            highest_modseq: created,
            created,
            unseen: 0,
            deleted: 0,
            bytes: 0,
            keywords: BTreeSet::new(),
            messages: Messages::default(),
        }
    }

    /// The set with its keywords as they were first spelled in this mailbox.
    pub(crate) fn spelled(&self, set: &FlagSet) -> FlagSet {
        if set.keywords().is_empty() {
            return set.clone();
        }
        let spelled = |keyword: &Keyword| {
            self.keywords.get(keyword).cloned().unwrap_or_else(|| keyword.clone())
        };
        FlagSet::new(set.system, set.keywords().iter().map(spelled))
    }

    /// Counts a message with these flags in.
    pub(crate) fn count_in(&mut self, flags: SystemFlags, size: u32) {
        self.unseen += u64::from(!flags.contains(SystemFlags::SEEN));
        self.deleted += u64::from(flags.contains(SystemFlags::DELETED));
        self.bytes += u64::from(size);
    }

    /// Counts a message with these flags out.
    pub(crate) fn count_out(&mut self, flags: SystemFlags, size: u32) {
        self.unseen -= u64::from(!flags.contains(SystemFlags::SEEN));
        self.deleted -= u64::from(flags.contains(SystemFlags::DELETED));
        self.bytes -= u64::from(size);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        512 + self.keywords.len() * 64 + self.messages.memory_bytes()
    }
}

/// A mailbox of a state.
#[derive(Clone, Copy, Debug)]
pub struct Mailbox<'a> {
    state: &'a State,
    data: &'a MailboxData,
}

/// A message of a state.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// UID in its mailbox.
    pub uid: Uid,
    /// Last change of it.
    pub modseq: Seq,
    /// Flags.
    pub flags: &'a FlagSet,
    /// Internal date, whole seconds.
    pub date: Timestamp,
    /// RFC822.SIZE.
    pub size: u64,
    /// Id of its record; copies have the same.
    pub record: RecordId,
    /// Where its bytes are.
    pub place: Place,
    /// Number of its arrival in the account; copies have the same. Names its summary
    /// (`State::summary`) and its inline bytes (`State::inline`).
    pub arrival: u32,
}

fn resolve<'a>(tables: &'a Tables, row: &Packed) -> Message<'a> {
    Message {
        uid: Uid::new(row.uid).unwrap_or(Uid::MIN),
        modseq: Seq(row.modseq),
        flags: tables.flags(row.flags),
        date: Timestamp::from_seconds(u64::from(row.date)),
        size: u64::from(row.size),
        record: tables.record(row),
        place: tables.place(row),
        arrival: row.arrival,
    }
}

impl State {
    /// All mailboxes, in the order of their ids.
    pub fn mailboxes(&self) -> impl ExactSizeIterator<Item = Mailbox<'_>> {
        self.mailboxes.values().map(|data| Mailbox { state: self, data })
    }

    /// All mailboxes, sorted by the bytes of their names.
    pub fn by_names(&self) -> impl Iterator<Item = Mailbox<'_>> {
        self.names.values().filter_map(|id| self.mailbox(*id))
    }

    /// The mailbox of this id.
    #[must_use]
    pub fn mailbox(&self, id: MailboxId) -> Option<Mailbox<'_>> {
        self.mailboxes.get(&id).map(|data| Mailbox { state: self, data })
    }

    /// The mailbox of this canonical name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<Mailbox<'_>> {
        self.mailbox(*self.names.get(name)?)
    }

    /// The mailbox of this use (RFC 6154).
    #[must_use]
    pub fn by_use(&self, special_use: SpecialUse) -> Option<Mailbox<'_>> {
        self.mailboxes().find(|mailbox| mailbox.special_use() == Some(special_use))
    }

    /// Names that are subscribed to, sorted; some may not exist (RFC 9051 §6.3.7).
    pub fn subscriptions(&self) -> impl ExactSizeIterator<Item = &str> {
        self.subscriptions.iter().map(String::as_str)
    }

    /// Whether this name is subscribed to.
    #[must_use]
    pub fn is_subscribed(&self, name: &str) -> bool {
        self.subscriptions.contains(name)
    }

    /// Whether there are mailboxes below this name.
    #[must_use]
    pub fn has_children(&self, name: &str) -> bool {
        let below = format!("{name}/");
        self.names.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below))
    }
}

impl<'a> Mailbox<'a> {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> MailboxId {
        self.data.id
    }

    /// Its canonical name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.data.name
    }

    /// What it is for.
    #[must_use]
    pub const fn special_use(&self) -> Option<SpecialUse> {
        self.data.special_use
    }

    /// Whether its name is subscribed to.
    #[must_use]
    pub fn subscribed(&self) -> bool {
        self.state.is_subscribed(&self.data.name)
    }

    /// UIDVALIDITY; never given twice in an account.
    #[must_use]
    pub fn uid_validity(&self) -> UidValidity {
        UidValidity::new(self.data.uid_validity).unwrap_or(UidValidity::MIN)
    }

    /// UIDNEXT. After the last UID was given it is that one, and nothing can come in any more.
    #[must_use]
    pub fn uid_next(&self) -> Uid {
        u32::try_from(self.data.uid_next).ok().and_then(Uid::new).unwrap_or(Uid::MAX)
    }

    /// HIGHESTMODSEQ: at least 1, as RFC 7162 §3.1.2.1 wants it.
    #[must_use]
    pub fn highest_modseq(&self) -> Seq {
        self.data.highest_modseq.max(Seq(1))
    }

    /// Entry that made it.
    #[must_use]
    pub const fn created(&self) -> Seq {
        self.data.created
    }

    /// How many messages are in it.
    #[must_use]
    pub const fn exists(&self) -> usize {
        self.data.messages.len()
    }

    /// How many are not `\Seen`.
    #[must_use]
    pub const fn unseen(&self) -> u64 {
        self.data.unseen
    }

    /// How many are `\Deleted`.
    #[must_use]
    pub const fn deleted(&self) -> u64 {
        self.data.deleted
    }

    /// Their sizes in all.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.data.bytes
    }

    /// Keywords ever used in it, sorted, as first spelled.
    pub fn keywords(&self) -> impl ExactSizeIterator<Item = &'a Keyword> + use<'a> {
        self.data.keywords.iter()
    }

    /// Its messages, ascending by UID.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = Message<'a>> + use<'a> {
        let tables = &self.state.tables;
        self.data.messages.iter().map(move |row| resolve(tables, row))
    }

    /// The message of this UID.
    #[must_use]
    pub fn message(&self, uid: u32) -> Option<Message<'a>> {
        self.data.messages.get(uid).map(|row| resolve(&self.state.tables, row))
    }

    /// The message at this place in UID order, from 0.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<Message<'a>> {
        self.data.messages.at(index).map(|row| resolve(&self.state.tables, row))
    }

    /// How many messages have a UID below this one: its place, if it exists.
    #[must_use]
    pub fn rank(&self, uid: u32) -> usize {
        self.data.messages.rank(uid)
    }

    /// The messages with a UID in the set, ascending. Costs its ranges and what is found.
    pub fn in_set<'s>(&self, uids: &'s UidSet) -> impl Iterator<Item = Message<'a>> + use<'a, 's>
    where
        'a: 's,
    {
        let tables = &self.state.tables;
        self.data.messages.in_set(uids).map(move |row| resolve(tables, row))
    }

    /// All UIDs, ascending.
    #[must_use]
    pub fn uids(&self) -> UidSet {
        let mut uids = UidSet::new();
        self.data.messages.iter().for_each(|row| uids.insert(row.uid));
        uids
    }

    /// Messages changed or come in after this modseq, ascending by UID (I4).
    pub fn changed_since(&self, modseq: Seq) -> impl Iterator<Item = Message<'a>> + use<'a> {
        let tables = &self.state.tables;
        self.data.messages.changed_since(modseq.0).map(move |row| resolve(tables, row))
    }

    /// UIDs that vanished after this modseq (I4).
    /// # Errors
    /// [`TooOld`]: not all are known any more [W]; compare with the UIDs that exist.
    pub fn vanished_since(&self, modseq: Seq) -> Result<UidSet, TooOld> {
        self.state.vanished.since(self.data.id, modseq)
    }

    /// Where the summary of a message of it is.
    #[must_use]
    pub fn summary(&self, message: &Message<'_>) -> Option<SummaryPlace<'a>> {
        self.state.summary(message.arrival)
    }
}
