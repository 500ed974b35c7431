//! What a client can say: the syntax tree of all commands, of IMAP4rev1, rev2 and the extensions.
//!
//! Everything in it is checked and bounded by the parser: names are decoded and canonical, numbers
//! are in range, nesting is at most [`search::DEPTH_MAX`]. A tree is never larger than a small
//! multiple of the bytes it was read from.

pub mod fetch;
pub mod list;
pub mod search;
pub mod set;

use std::fmt;
use std::num::NonZeroU32;

use mail::mailbox::utf7;
use mail::{Timestamp, UidValidity};

use super::response::{Style, is_atom_char};
use crate::sasl::Password;

pub use super::ask::Append;
pub use fetch::{Fetch, FetchItem, Partial, Section, SectionText};
pub use list::{List, ListReturn, ListSelect, StatusItem};
pub use search::{Search, SearchKey, SearchReturn};
pub use set::{Set, SetNumber, SetRange};

/// A command's tag, as the client sent it: 1 to 255 of ASTRING-CHAR but `+` (RFC 9051 §9 `tag`).
/// Safe to write back as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(pub(crate) String);

impl Tag {
    /// A tag of this text; `None` if it cannot be one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let tag_char = |byte: u8| byte != b'+' && (byte == b']' || is_atom_char(byte));
        let good = (1..=255).contains(&text.len()) && text.bytes().all(tag_char);
        good.then(|| Self(text.to_owned()))
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mailbox name, decoded to Unicode; `INBOX` in any case is `INBOX` (RFC 9051 §5.1). Has no
/// control characters and at most 1,000 bytes; whether it may be created is the store's to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(pub(crate) String);

impl MailboxName {
    /// The longest name in bytes.
    pub const BYTES_MAX: usize = 1_000;

    /// Reads a name as the client wrote it: UTF-8 after ENABLE IMAP4rev2, else modified UTF-7.
    /// `None` if it has another encoding, control characters, is empty or too long.
    #[must_use]
    pub fn decode(text: &[u8], style: Style) -> Option<Self> {
        if text.len() > Self::BYTES_MAX * 3 {
            return None;
        }
        let name = decode_name(text, style)?;
        let good = !name.is_empty()
            && name.len() <= Self::BYTES_MAX
            && !name.chars().any(char::is_control);
        good.then(|| Self(canonical(name)))
    }

    /// The name's text, hierarchy separator `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the INBOX.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Decodes a name or a pattern.
pub(crate) fn decode_name(text: &[u8], style: Style) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    if style.rev2 { Some(text.to_owned()) } else { utf7::decode(text) }
}

/// RFC 9051 §5.1: INBOX is INBOX in any case, also as the parent of others.
fn canonical(name: String) -> String {
    match name.split_at_checked(5) {
        Some((inbox, rest))
            if inbox.eq_ignore_ascii_case("INBOX")
                && (rest.is_empty() || rest.starts_with('/')) =>
        {
            format!("INBOX{rest}")
        }
        _ => name,
    }
}

/// A flag that a client can set (RFC 9051 §2.3.2). `\Recent` is not one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// `\Seen`
    Seen,
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Draft`
    Draft,
    /// A keyword, an atom as the client wrote it; keywords compare without case.
    Keyword(String),
}

/// One command with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Repeated in the tagged response.
    pub tag: Tag,
    /// What is wanted.
    pub body: Body,
}

/// What a command wants. The first group is answered by the core and never reaches an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// CAPABILITY
    Capability,
    /// LOGOUT
    Logout,
    /// STARTTLS
    StartTls,
    /// ID with the client's fields, at most 30 (RFC 2971 §3.3). Empty for `NIL`.
    Id(Vec<(String, Option<Vec<u8>>)>),
    /// ENABLE with the capability names, upper-cased (RFC 5161).
    Enable(Vec<String>),
    /// AUTHENTICATE with the initial response where there is one, decoded (RFC 4959).
    Authenticate {
        /// Mechanism, upper-cased.
        mechanism: String,
        /// Decoded initial response; empty for `=`.
        initial: Option<Vec<u8>>,
    },
    /// LOGIN
    Login {
        /// User name, as the client wrote it.
        user: String,
        /// Password.
        password: Password,
    },
    /// IDLE (RFC 2177).
    Idle,
    /// APPEND up to its message literal.
    Append(Append),

    /// NOOP
    Noop,
    /// SELECT, or EXAMINE if `read_only`.
    Select(Select),
    /// CREATE
    Create {
        /// The new mailbox; a separator at the end is gone (RFC 9051 §6.3.4).
        mailbox: MailboxName,
        /// `(USE (\…))` (RFC 6154 §3).
        special_use: Vec<SpecialUse>,
    },
    /// DELETE
    Delete(MailboxName),
    /// RENAME
    Rename {
        /// The mailbox.
        from: MailboxName,
        /// Its new name.
        to: MailboxName,
    },
    /// SUBSCRIBE
    Subscribe(MailboxName),
    /// UNSUBSCRIBE
    Unsubscribe(MailboxName),
    /// LIST, plain or extended.
    List(List),
    /// LSUB (RFC 3501 §6.3.9).
    Lsub {
        /// Put before the pattern.
        reference: String,
        /// With `*` and `%`.
        pattern: String,
    },
    /// STATUS
    Status {
        /// The mailbox.
        mailbox: MailboxName,
        /// What to tell, at least one.
        items: Vec<StatusItem>,
    },
    /// NAMESPACE (RFC 2342).
    Namespace,
    /// GETQUOTA of a quota root (RFC 9208 §4.1.1).
    GetQuota(String),
    /// GETQUOTAROOT of a mailbox (RFC 9208 §4.1.2).
    GetQuotaRoot(MailboxName),

    /// CHECK, which rev1 has and which does nothing here (RFC 3501 §6.4.1).
    Check,
    /// CLOSE: expunge silently, then no mailbox is selected.
    Close,
    /// UNSELECT (RFC 3691).
    Unselect,
    /// EXPUNGE, or UID EXPUNGE with its UIDs (RFC 4315 §2.1).
    Expunge {
        /// Only these UIDs.
        uids: Option<Set>,
    },
    /// SEARCH or UID SEARCH.
    Search(Search),
    /// FETCH or UID FETCH.
    Fetch(Fetch),
    /// STORE or UID STORE.
    Store(Store),
    /// COPY or UID COPY; MOVE or UID MOVE (RFC 6851) if `and_expunge`.
    Copy(Copy),
}

/// SELECT or EXAMINE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// EXAMINE.
    pub read_only: bool,
    /// `(CONDSTORE)` (RFC 7162 §3.1.8).
    pub condstore: bool,
    /// `(QRESYNC (…))` (RFC 7162 §3.2.5); only after ENABLE QRESYNC.
    pub qresync: Option<Qresync>,
}

/// What the client knows of the mailbox that it selects (RFC 7162 §3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qresync {
    /// The UIDVALIDITY that the client knows; another one voids the rest.
    pub uid_validity: UidValidity,
    /// The highest modseq that the client has seen, at least 1.
    pub modseq: u64,
    /// UIDs that the client knows; without it 1:`modseq`'s UIDNEXT-1. Has no `*`.
    pub known_uids: Option<Set>,
    /// Sequence numbers and the UIDs they had, two sets of the same length, without `*`.
    pub known_pairs: Option<(Set, Set)>,
}

/// A special use of a mailbox (RFC 6154 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// Every one with its attribute.
    pub const EACH: [(Self, &'static str); 7] = [
        (Self::All, "\\All"),
        (Self::Archive, "\\Archive"),
        (Self::Drafts, "\\Drafts"),
        (Self::Flagged, "\\Flagged"),
        (Self::Junk, "\\Junk"),
        (Self::Sent, "\\Sent"),
        (Self::Trash, "\\Trash"),
    ];
}

/// STORE or UID STORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// `set` holds UIDs.
    pub uid: bool,
    /// Which messages.
    pub set: Set,
    /// Only messages not changed after this modseq (RFC 7162 §3.1.3); 0 means "only if new".
    pub unchanged_since: Option<u64>,
    /// How the flags change.
    pub how: StoreHow,
    /// `.SILENT`: the client does not want to be told.
    pub silent: bool,
    /// The flags, without duplicates, at most 1,000.
    pub flags: Vec<Flag>,
}

/// How STORE changes flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreHow {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// COPY, UID COPY, MOVE or UID MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// `set` holds UIDs.
    pub uid: bool,
    /// MOVE (RFC 6851): the messages leave this mailbox.
    pub and_expunge: bool,
    /// Which messages.
    pub set: Set,
    /// Where to.
    pub mailbox: MailboxName,
}

/// A date without time, of SEARCH (RFC 9051 §9 `date`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31, a day of that month.
    pub day: u8,
}

impl Date {
    /// Days since 1970-01-01; negative before it.
    #[must_use]
    pub fn days(self) -> i64 {
        // Days from civil (Howard Hinnant): March is the first month, so that leap days come last.
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468
    }
}

/// A date with time and zone, of APPEND (RFC 9051 §9 `date-time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// The moment; times before 1970 are 1970.
    pub at: Timestamp,
    /// Minutes east of UTC, within ±(23:59).
    pub offset_minutes: i16,
}

/// A message sequence number (RFC 9051 §2.3.1.2).
pub type Msn = NonZeroU32;
