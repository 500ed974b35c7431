//! What can happen to an account: the body of one entry of its log.
//!
//! An edge or a function decides on a [`Change`] by looking at the state, the log makes an entry of
//! it. UIDs, modseqs and counts are not in it: they follow from replay, whose rules never change
//! for a version of the entry format [V].

use bytes::Bytes;
use mail::flags::FlagSet;
use mail::uidset::UidSet;
use mail::{RecordId, Seq, Timestamp, Uid, UidValidity};

use crate::inline::Inline;
use crate::place::{ObjectNonce, SegmentRef, Slot};

/// A mailbox for its whole life, renamed or not; never reused within an account's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub u32);

impl MailboxId {
    /// INBOX has this id in every account and always exists.
    pub const INBOX: Self = Self(1);
}

/// Most arrivals in one entry.
pub const ARRIVALS_MAX: usize = 4096;

/// Most bytes of a message's summary, encoded [Q]. The summary's own encoder cuts at this.
pub const SUMMARY_BYTES_MAX: usize = 8 * 1024;

/// Most bytes of one message: its size is four bytes everywhere. Configuration stays far below.
pub const MESSAGE_BYTES_MAX: u64 = u32::MAX as u64;

/// Where the bytes of an arriving message are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrivalPlace {
    /// In a segment that is durable already (R5).
    Slot(Slot),
    /// In this very entry: an APPEND of at most 8 KiB compressed [ζ].
    Inline(Inline),
}

/// One message that comes into a mailbox, by *deliver* or by *append*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Id of the record. A delivered one that is in the window already is ignored at replay [J].
    pub record: RecordId,
    /// Another copy of the arrival just before it in the same entry (a rule files one message
    /// twice): same record, place and summary; it comes or is ignored together with that one.
    pub again: bool,
    /// Into which mailbox.
    pub mailbox: MailboxId,
    /// Flags it starts with.
    pub flags: FlagSet,
    /// IMAP's internal date: when delivered, or what APPEND said. Kept in whole seconds, up to the
    /// year 2106.
    pub date: Timestamp,
    /// Bytes as a client reads it (prefix + body): RFC822.SIZE. At most [`MESSAGE_BYTES_MAX`].
    pub size: u64,
    /// Where its bytes are.
    pub place: ArrivalPlace,
    /// Encoded `mail::Summary`, at most [`SUMMARY_BYTES_MAX`]. Empty where `again`.
    pub summary: Bytes,
}

/// How flags are changed (RFC 9051 §6.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOp {
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
    /// `FLAGS`.
    Set,
}

/// A change of the tree of mailboxes. Names are canonical (`mail::mailbox`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxChange {
    /// Makes it, and the parents it lacks (RFC 9051 §6.3.4).
    Create {
        /// Name.
        name: String,
        /// RFC 6154 use, if any.
        special_use: Option<SpecialUse>,
    },
    /// Renames it and its children; renaming INBOX moves its messages to a new mailbox and leaves
    /// it empty (RFC 9051 §6.3.6). Missing parents of the new name are made.
    Rename {
        /// Old name.
        from: String,
        /// New name, under which there is nothing.
        to: String,
    },
    /// Deletes it with its messages; children stay (RFC 9051 §6.3.5). Never INBOX.
    Delete {
        /// Name.
        name: String,
    },
    /// Adds the name to the subscriptions, or takes it out; it need not exist (RFC 9051 §6.3.7).
    Subscribe {
        /// Name.
        name: String,
        /// Add or take out.
        on: bool,
    },
}

/// What a mailbox is for (RFC 6154 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialUse {
    /// `\Archive`.
    Archive,
    /// `\Drafts`.
    Drafts,
    /// `\Junk`.
    Junk,
    /// `\Sent`.
    Sent,
    /// `\Trash`.
    Trash,
}

/// New place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Number of its arrival in this account (`Message::arrival`): how replay finds it.
    pub arrival: u32,
    /// The record: compared at replay, and how history finds it [Y].
    pub record: RecordId,
    /// Where it is from now on: in an account segment.
    pub to: Slot,
}

/// An object of an account that is let go by *drop*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountObject {
    /// `s/<nonce>`.
    Segment(ObjectNonce),
    /// `e/<nonce>`.
    EntryBody(ObjectNonce),
}

/// What a rule did, so that it does it once: a vacation reply to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Which kind of rule; numbers are given by the function that uses them.
    pub kind: u8,
    /// To whom or what, at most 512 bytes.
    pub key: Bytes,
    /// Until when it counts.
    pub until: Timestamp,
}

/// One change of an account: what an edge or a function asks for, and the body of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Mail accepted by a writer or made by a function comes in; 1 to [`ARRIVALS_MAX`].
    Deliver(Vec<Arrival>),
    /// A client's APPEND, or an import; 1 to [`ARRIVALS_MAX`].
    Append(Vec<Arrival>),
    /// Changes flags. UIDs that do not exist are passed over; a message whose flags stay the same
    /// keeps its modseq. Decide `UNCHANGEDSINCE` before: only the UIDs that passed are named.
    Flags {
        /// In this mailbox.
        mailbox: MailboxId,
        /// Of these messages.
        uids: UidSet,
        /// How.
        op: FlagOp,
        /// Which.
        flags: FlagSet,
    },
    /// Removes messages. UIDs that do not exist are passed over.
    Expunge {
        /// From this mailbox.
        mailbox: MailboxId,
        /// These messages.
        uids: UidSet,
    },
    /// Copies messages, in the order of their UIDs, or moves them (then they are expunged in the
    /// same entry, RFC 6851). Every UID must exist. `from` and `to` may be the same.
    Copy {
        /// Source.
        from: MailboxId,
        /// Target.
        to: MailboxId,
        /// Which messages.
        uids: UidSet,
        /// MOVE.
        is_move: bool,
    },
    /// Changes the tree of mailboxes.
    Mailbox(MailboxChange),
    /// Compaction: records have new places, segments are let go (both may be given alone).
    Reloc {
        /// New places.
        moves: Vec<Move>,
        /// *Release* of these segments. A fence: no later entry names a place in them [F]. Nothing
        /// that lives may still be there.
        released: Vec<SegmentRef>,
    },
    /// *Release* alone: nothing in them lives.
    Release {
        /// Segments let go.
        segments: Vec<SegmentRef>,
    },
    /// Objects of the account are let go before they are deleted. An appender that meets its own
    /// object here starts again [G].
    Drop {
        /// The objects.
        objects: Vec<AccountObject>,
    },
    /// A rule did something that must not be done twice.
    Effect(Effect),
    /// The log is closed: mail goes to the account's next log [n].
    Fence {
        /// Region of the next log, 1 to 63 bytes.
        region: String,
        /// Its epoch.
        epoch: u32,
    },
    /// The log takes mail (`waiting`: not yet, the rest of the old log is still being copied).
    Open {
        /// Not yet.
        waiting: bool,
    },
    /// The entry of that seq, before this one and after the checkpoint, has no effect: it could not
    /// be replayed [U]. An admin's act, audited.
    Void {
        /// Which entry.
        seq: Seq,
        /// Who and why, at most 512 bytes.
        reason: String,
    },
}

impl Change {
    /// Whether it removes something, or prepares that: it may use the last of the room [α].
    pub(crate) const fn deletes(&self) -> bool {
        matches!(
            self,
            Self::Flags { .. }
                | Self::Expunge { .. }
                | Self::Copy { is_move: true, .. }
                | Self::Mailbox(MailboxChange::Delete { .. })
                | Self::Reloc { .. }
                | Self::Release { .. }
                | Self::Drop { .. }
        )
    }
}

/// One message that came into a mailbox at replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Mailbox.
    pub mailbox: MailboxId,
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The UID it got.
    pub uid: Uid,
}

/// What one entry did, for responses (APPENDUID, COPYUID, EXPUNGE, FETCH …). Everything has the
/// entry's seq as its modseq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Per arrival of *deliver* and *append*, in order: where it is now, `None` where it was in
    /// the account already [J].
    pub arrived: Vec<Option<Assigned>>,
    /// *copy*: source UIDs that were copied, in order; the UID of the i-th copy is
    /// `first copy + i`.
    pub copied: Option<Copied>,
    /// *flags*: messages whose flags are different now.
    pub flagged: Option<(MailboxId, UidSet)>,
    /// Messages that are gone, of one mailbox (*expunge*, *copy* as a move, INBOX's rename).
    pub expunged: Option<(MailboxId, UidSet)>,
    /// Mailboxes made, parents first.
    pub created: Vec<MailboxId>,
    /// Mailbox deleted.
    pub deleted: Option<MailboxId>,
    /// Mailboxes that have another name now.
    pub renamed: Vec<MailboxId>,
}

/// What a *copy* did (COPYUID of RFC 4315).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Target.
    pub to: MailboxId,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// Source UIDs.
    pub source: UidSet,
    /// UIDs of the copies: as many, ascending in the order of the sources.
    pub copies: UidSet,
}
