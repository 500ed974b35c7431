//! FETCH responses, written item by item, so that a body is never whole in memory.

use std::num::NonZeroU32;

use mail::Uid;

use super::{Envelope, Part, Style, put, string, structure};
use crate::imap::command::{DateTime, FetchItem, Flag, Msn, Section, SectionText};

/// One item of a FETCH response that is written at once.
#[derive(Clone, Debug)]
pub enum FetchData<'a> {
    /// FLAGS
    Flags(&'a [Flag]),
    /// UID
    Uid(Uid),
    /// MODSEQ
    ModSeq(u64),
    /// INTERNALDATE
    InternalDate(DateTime),
    /// RFC822.SIZE
    Size(u64),
    /// ENVELOPE
    Envelope(&'a Envelope),
    /// BODY
    Body(&'a Part),
    /// BODYSTRUCTURE
    BodyStructure(&'a Part),
    /// BINARY.SIZE
    BinarySize(&'a [NonZeroU32], u64),
    /// `NIL` for what this message does not have.
    Missing(LiteralName<'a>),
}

/// The name of an item whose value is octets of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralName<'a> {
    /// RFC822
    Rfc822,
    /// RFC822.HEADER
    Rfc822Header,
    /// RFC822.TEXT
    Rfc822Text,
    /// `BODY[…]<origin>`
    Section(&'a Section, Option<u64>),
    /// `BINARY[…]<origin>`
    Binary(&'a [NonZeroU32], Option<u64>),
}

impl FetchItem {
    /// The name in the response, if this item's value is octets of the message.
    #[must_use]
    pub fn literal_name(&self) -> Option<LiteralName<'_>> {
        match self {
            Self::Rfc822 => Some(LiteralName::Rfc822),
            Self::Rfc822Header => Some(LiteralName::Rfc822Header),
            Self::Rfc822Text => Some(LiteralName::Rfc822Text),
            Self::Section { section, partial, .. } => {
                Some(LiteralName::Section(section, partial.map(|partial| partial.start)))
            }
            Self::Binary { part, partial, .. } => {
                Some(LiteralName::Binary(part, partial.map(|partial| partial.start)))
            }
            _ => None,
        }
    }
}

/// A FETCH response being written: [`Self::begin`], items, [`Self::end`].
#[derive(Debug)]
#[must_use = "a FETCH response without its end breaks the stream"]
pub struct FetchLine {
    style: Style,
    first: bool,
}

impl FetchLine {
    /// Starts `* n FETCH (`.
    pub fn begin(msn: Msn, style: Style, out: &mut Vec<u8>) -> Self {
        put(out, format_args!("* {msn} FETCH ("));
        Self { style, first: true }
    }

    /// Appends one item.
    pub fn item(&mut self, data: &FetchData<'_>, out: &mut Vec<u8>) {
        self.space(out);
        match data {
            FetchData::Flags(flags) => {
                out.extend_from_slice(b"FLAGS ");
                string::flags(flags, false, out);
            }
            FetchData::Uid(uid) => put(out, format_args!("UID {uid}")),
            FetchData::ModSeq(modseq) => put(out, format_args!("MODSEQ ({modseq})")),
            FetchData::InternalDate(date) => {
                out.extend_from_slice(b"INTERNALDATE ");
                string::date_time(*date, out);
            }
            FetchData::Size(size) => put(out, format_args!("RFC822.SIZE {size}")),
            FetchData::Envelope(envelope) => {
                out.extend_from_slice(b"ENVELOPE ");
                structure::envelope(envelope, self.style, out);
            }
            FetchData::Body(part) => {
                out.extend_from_slice(b"BODY ");
                structure::part(part, false, self.style, out);
            }
            FetchData::BodyStructure(part) => {
                out.extend_from_slice(b"BODYSTRUCTURE ");
                structure::part(part, true, self.style, out);
            }
            FetchData::BinarySize(part, size) => {
                out.extend_from_slice(b"BINARY.SIZE[");
                numbers(part, out);
                put(out, format_args!("] {size}"));
            }
            FetchData::Missing(name) => {
                name.encode(self.style, out);
                out.extend_from_slice(b" NIL");
            }
        }
    }

    /// Appends the name and length of an item made of octets. The caller writes `out` and then
    /// *exactly* `size` octets, and goes on with the next item or [`Self::end`]. `nul` makes a
    /// literal8, which only BINARY may be (RFC 9051 §4.3: no NUL in other literals).
    pub fn literal(&mut self, name: LiteralName<'_>, size: u64, nul: bool, out: &mut Vec<u8>) {
        self.space(out);
        name.encode(self.style, out);
        let tilde = if nul && matches!(name, LiteralName::Binary(..)) { "~" } else { "" };
        put(out, format_args!(" {tilde}{{{size}}}\r\n"));
    }

    /// Ends the response.
    pub fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b")\r\n");
    }

    fn space(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.first) {
            out.push(b' ');
        }
    }
}

impl LiteralName<'_> {
    fn encode(self, style: Style, out: &mut Vec<u8>) {
        let origin = match self {
            Self::Rfc822 => return out.extend_from_slice(b"RFC822"),
            Self::Rfc822Header => return out.extend_from_slice(b"RFC822.HEADER"),
            Self::Rfc822Text => return out.extend_from_slice(b"RFC822.TEXT"),
            Self::Section(section, origin) => {
                out.extend_from_slice(b"BODY[");
                self::section(section, style, out);
                origin
            }
            Self::Binary(part, origin) => {
                out.extend_from_slice(b"BINARY[");
                numbers(part, out);
                origin
            }
        };
        out.push(b']');
        if let Some(origin) = origin {
            put(out, format_args!("<{origin}>"));
        }
    }
}

fn numbers(part: &[NonZeroU32], out: &mut Vec<u8>) {
    for (index, number) in part.iter().enumerate() {
        let dot = if index == 0 { "" } else { "." };
        put(out, format_args!("{dot}{number}"));
    }
}

fn section(section: &Section, style: Style, out: &mut Vec<u8>) {
    numbers(&section.part, out);
    let (word, fields) = match &section.text {
        SectionText::Whole => return,
        SectionText::Header => ("HEADER", None),
        SectionText::HeaderFields(fields) => ("HEADER.FIELDS", Some(fields)),
        SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT", Some(fields)),
        SectionText::Text => ("TEXT", None),
        SectionText::Mime => ("MIME", None),
    };
    if !section.part.is_empty() {
        out.push(b'.');
    }
    out.extend_from_slice(word.as_bytes());
    for (index, field) in fields.into_iter().flatten().enumerate() {
        out.extend_from_slice(if index == 0 { b" (" } else { b" " });
        string::astring(field, style, out);
    }
    if fields.is_some_and(|fields| !fields.is_empty()) {
        out.push(b')');
    }
}
