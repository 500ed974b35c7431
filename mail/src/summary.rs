//! What clients list of a message: the summary. Made once, while the message is accepted; it rides
//! in the account's log, so that listing a mailbox never reads bodies.

mod encoding;
#[cfg(test)]
mod tests;

use crate::part::Part;

pub use encoding::{SUMMARY_BYTES_MAX, SUMMARY_RAW_MAX};

/// Longest preview in bytes of UTF-8 (docs/rules.md; RFC 8970 §3.1 wants at least 200 characters
/// where there are so many; clients show fewer).
pub const PREVIEW_BYTES_MAX: usize = 256;

/// A message as it is listed. ENVELOPE, BODY, BODYSTRUCTURE, PREVIEW and the listed header fields
/// come from it alone. All offsets are of the message as received, without our prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The listed header fields, raw, in their order, all occurrences.
    pub fields: Vec<Field>,
    /// Bytes of the header with its blank line.
    pub header_len: u64,
    /// Bytes of the message.
    pub size: u64,
    /// Lines of the message.
    pub lines: u64,
    /// The structure; its root is the message.
    pub structure: Part,
    /// The first words of the text, at most [`PREVIEW_BYTES_MAX`] bytes, white space made single.
    pub preview: String,
    /// Whether something did not fit [`SUMMARY_BYTES_MAX`] and was left out: who needs fields or
    /// structure must then scan the message itself. Size, `header_len` and lines are right anyway.
    pub cut: bool,
}

impl Summary {
    /// The first listed field of this name.
    #[must_use]
    pub fn field(&self, name: FieldName) -> Option<&Field> {
        first(&self.fields, name)
    }
}

/// The first field of this name; what ENVELOPE takes where a field is there twice.
#[must_use]
pub fn first(fields: &[Field], name: FieldName) -> Option<&Field> {
    fields.iter().find(|field| field.name == name)
}

/// A header field as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which one.
    pub name: FieldName,
    /// Its bytes: name, colon, value with its folds, line end.
    pub raw: Vec<u8>,
}

impl Field {
    /// The raw value: what follows the colon, with folds, without the last line end.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        let colon = memchr::memchr(b':', &self.raw).map_or(self.raw.len(), |at| at + 1);
        let value = self.raw.get(colon..).unwrap_or_default();
        value.strip_suffix(b"\n").map_or(value, |rest| rest.strip_suffix(b"\r").unwrap_or(rest))
    }
}

/// The header fields that clients list by (docs/formats.md). The order is that of the stored
/// numbers: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldName {
    /// From.
    From,
    /// Sender.
    Sender,
    /// Reply-To.
    ReplyTo,
    /// To.
    To,
    /// Cc.
    Cc,
    /// Bcc.
    Bcc,
    /// Subject.
    Subject,
    /// Date.
    Date,
    /// Message-ID.
    MessageId,
    /// In-Reply-To.
    InReplyTo,
    /// References.
    References,
    /// Content-Type.
    ContentType,
    /// List-Id (RFC 2919).
    ListId,
}

impl FieldName {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::From,
        Self::Sender,
        Self::ReplyTo,
        Self::To,
        Self::Cc,
        Self::Bcc,
        Self::Subject,
        Self::Date,
        Self::MessageId,
        Self::InReplyTo,
        Self::References,
        Self::ContentType,
        Self::ListId,
    ];

    /// The name as its RFC spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::From => "From",
            Self::Sender => "Sender",
            Self::ReplyTo => "Reply-To",
            Self::To => "To",
            Self::Cc => "Cc",
            Self::Bcc => "Bcc",
            Self::Subject => "Subject",
            Self::Date => "Date",
            Self::MessageId => "Message-ID",
            Self::InReplyTo => "In-Reply-To",
            Self::References => "References",
            Self::ContentType => "Content-Type",
            Self::ListId => "List-Id",
        }
    }

    /// The listed field of this name in any case; `None` if it is not one of them.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str().as_bytes().eq_ignore_ascii_case(name))
    }
}
