//! SEARCH and UID SEARCH (RFC 9051 §6.4.4).

use super::{Date, Flag, Set};

/// Deepest nesting of keys (NOT, OR, parentheses); deeper is a syntax error.
pub const DEPTH_MAX: usize = 32;

/// SEARCH or UID SEARCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The answer tells UIDs.
    pub uid: bool,
    /// RETURN (…): the answer is ESEARCH (RFC 4731). `None`: the answer is SEARCH in rev1 and
    /// ESEARCH with ALL after ENABLE IMAP4rev2.
    pub told: Option<SearchReturn>,
    /// CHARSET as the client wrote it; `None` is UTF-8 (RFC 9051) and so US-ASCII (RFC 3501).
    pub charset: Option<String>,
    /// All of them must hold; at least one.
    pub keys: Vec<SearchKey>,
}

/// SEARCH return options (RFC 9051 §6.4.4). `RETURN ()` is `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchReturn {
    /// MIN
    pub min: bool,
    /// MAX
    pub max: bool,
    /// ALL
    pub all: bool,
    /// COUNT
    pub count: bool,
    /// SAVE (RFC 5182)
    pub save: bool,
}

/// A search key. Strings are bytes in the command's charset, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// ALL
    All,
    /// `(…)`, at least one.
    And(Vec<Self>),
    /// OR
    Or(Box<(Self, Self)>),
    /// NOT
    Not(Box<Self>),
    /// Message sequence numbers.
    Msn(Set),
    /// UID
    Uid(Set),
    /// ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, KEYWORD
    Has(Flag),
    /// UNANSWERED, UNDELETED, UNDRAFT, UNFLAGGED, UNSEEN, UNKEYWORD
    HasNot(Flag),
    /// NEW (RFC 3501): RECENT UNSEEN
    New,
    /// OLD (RFC 3501): NOT RECENT
    Old,
    /// RECENT (RFC 3501)
    Recent,
    /// BEFORE: internal date, its zone disregarded
    Before(Date),
    /// ON
    On(Date),
    /// SINCE
    Since(Date),
    /// SENTBEFORE: the Date field
    SentBefore(Date),
    /// SENTON
    SentOn(Date),
    /// SENTSINCE
    SentSince(Date),
    /// BCC, CC, FROM, SUBJECT, TO and HEADER: the field's name, upper-cased for the first five,
    /// and what it contains; empty: the field exists.
    Header {
        /// Name of the field, without colon.
        name: Vec<u8>,
        /// Contained in it.
        value: Vec<u8>,
    },
    /// BODY
    Body(Vec<u8>),
    /// TEXT
    Text(Vec<u8>),
    /// LARGER than so many octets
    Larger(u64),
    /// SMALLER than so many octets
    Smaller(u64),
    /// MODSEQ (RFC 7162 §3.1.5): changed at or after it. The optional entry name is disregarded,
    /// for modseqs are kept per message.
    ModSeq(u64),
}

impl SearchKey {
    /// Whether MODSEQ is anywhere in it: then the answer tells the highest modseq found.
    #[must_use]
    pub fn asks_modseq(&self) -> bool {
        match self {
            Self::ModSeq(_) => true,
            Self::Not(key) => key.asks_modseq(),
            Self::Or(pair) => pair.0.asks_modseq() || pair.1.asks_modseq(),
            Self::And(keys) => keys.iter().any(Self::asks_modseq),
            _ => false,
        }
    }
}
