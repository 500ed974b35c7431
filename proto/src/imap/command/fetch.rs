//! FETCH and UID FETCH (RFC 9051 §6.4.5).

use std::num::NonZeroU32;

use super::Set;

/// FETCH or UID FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// `set` holds UIDs; the answers must have UID items.
    pub uid: bool,
    /// Which messages.
    pub set: Set,
    /// What of them, in the client's order; macros are written out. At least one, at most 1,000.
    pub items: Vec<FetchItem>,
    /// Only messages changed after this modseq (RFC 7162 §3.1.4); then MODSEQ is told too.
    pub changed_since: Option<u64>,
    /// VANISHED (RFC 7162 §3.2.6): tell what was expunged since; only with `uid` and
    /// `changed_since`, and only after ENABLE QRESYNC.
    pub vanished: bool,
}

/// One thing to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// ENVELOPE
    Envelope,
    /// FLAGS
    Flags,
    /// INTERNALDATE
    InternalDate,
    /// RFC822.SIZE
    Size,
    /// UID
    Uid,
    /// MODSEQ (RFC 7162)
    ModSeq,
    /// BODY: the structure without extension data.
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
    /// RFC822: like `BODY[]`, named otherwise (RFC 3501).
    Rfc822,
    /// RFC822.HEADER: like `BODY.PEEK[HEADER]`, named otherwise (RFC 3501).
    Rfc822Header,
    /// RFC822.TEXT: like `BODY[TEXT]`, named otherwise (RFC 3501).
    Rfc822Text,
    /// `BODY[section]<partial>` or `BODY.PEEK[…]`
    Section {
        /// Which part of the message.
        section: Section,
        /// Which octets of it.
        partial: Option<Partial>,
        /// Leave `\Seen` alone.
        peek: bool,
    },
    /// `BINARY[part]<partial>` or `BINARY.PEEK[…]`: transfer encoding undone (RFC 9051 §6.4.5).
    Binary {
        /// Numbers of the part; none for the whole message.
        part: Vec<NonZeroU32>,
        /// Which octets of it.
        partial: Option<Partial>,
        /// Leave `\Seen` alone.
        peek: bool,
    },
    /// `BINARY.SIZE[part]`
    BinarySize {
        /// Numbers of the part; none for the whole message.
        part: Vec<NonZeroU32>,
    },
}

impl FetchItem {
    /// Whether fetching it sets `\Seen` (RFC 9051 §6.4.5).
    #[must_use]
    pub fn sets_seen(&self) -> bool {
        match self {
            Self::Section { peek, .. } | Self::Binary { peek, .. } => !peek,
            Self::Rfc822 | Self::Rfc822Text => true,
            _ => false,
        }
    }
}

/// What of a message: `[1.2.HEADER]` and the like (RFC 9051 §9 `section-spec`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Numbers of the part, at most 100; none for the message itself.
    pub part: Vec<NonZeroU32>,
    /// What of that part.
    pub text: SectionText,
}

/// What of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SectionText {
    /// All of it; of a part: its body.
    #[default]
    Whole,
    /// HEADER: of the message, or of the message in a message/rfc822 part.
    Header,
    /// HEADER.FIELDS with the names as the client wrote them, at least one.
    HeaderFields(Vec<Vec<u8>>),
    /// HEADER.FIELDS.NOT with the names as the client wrote them, at least one.
    HeaderFieldsNot(Vec<Vec<u8>>),
    /// TEXT: without the header.
    Text,
    /// MIME: the header of a part; `part` is not empty.
    Mime,
}

/// Some octets of a section (RFC 9051 §9 `partial`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// First octet, from 0.
    pub start: u64,
    /// How many at most, at least 1.
    pub count: u64,
}
