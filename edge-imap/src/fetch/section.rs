//! Which bytes of a message a section names (RFC 9051 §6.4.5.1), from its summary: only those are
//! read.
//!
//! Offsets here are of the message as clients read it: the prefix that we put before it, then the
//! message as received, to which all ranges of the summary refer.

use std::ops::Range;

use mail::part::Part;
use mail::summary::{Field, FieldName, Summary};
use proto::imap::command::{Partial, Section, SectionText};

/// Where to find a section's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// There is no such part: NIL.
    Missing,
    /// These bytes of the message.
    Span(Range<u64>),
    /// Made from a header's fields.
    Fields {
        /// The header.
        header: Range<u64>,
        /// Its listed fields, where they are all that is asked for: nothing is read then.
        listed: Option<&'a [Field]>,
    },
}

/// Where a message's parts are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout<'a> {
    /// Its summary, with its structure (not cut).
    pub(crate) summary: &'a Summary,
    /// Bytes of the whole message: prefix and message as received.
    pub(crate) size: u64,
}

impl<'a> Layout<'a> {
    /// Bytes of the prefix.
    pub(crate) fn prefix(&self) -> u64 {
        self.size.saturating_sub(self.summary.size)
    }

    fn span(&self, range: &Range<u64>) -> Range<u64> {
        let end = range.end.saturating_add(self.prefix()).min(self.size);
        range.start.saturating_add(self.prefix()).min(end)..end
    }

    /// The header of `part`; the message's own has our prefix before it.
    fn header(&self, part: &Part) -> Range<u64> {
        let header = self.span(&part.header);
        if part.header.start == 0 { 0..header.end } else { header }
    }

    /// The header of a part inside the message.
    pub(crate) fn mime_header(&self, part: &Part) -> Range<u64> {
        self.span(&part.header)
    }

    /// The part of this number; the empty one is the message.
    pub(crate) fn part(&self, number: &[std::num::NonZeroU32]) -> Option<&'a Part> {
        let number: Vec<u32> = number.iter().map(|n| n.get()).collect();
        self.summary.structure.section(&number)
    }

    /// The body of a part, for BINARY; of the message: all of it.
    pub(crate) fn body(&self, part: &Part) -> Range<u64> {
        self.span(&part.body)
    }

    /// Where the bytes of `section` are.
    pub(crate) fn find(&self, section: &Section) -> Content<'a> {
        let Some(part) = self.part(&section.part) else { return Content::Missing };
        if section.part.is_empty() {
            return match &section.text {
                SectionText::Whole => Content::Span(0..self.size),
                SectionText::Header | SectionText::Mime => Content::Span(self.header(part)),
                SectionText::Text => Content::Span(self.header(part).end..self.size),
                SectionText::HeaderFields(names) => {
                    self.fields(part, &self.summary.fields, Some(names))
                }
                SectionText::HeaderFieldsNot(_) => self.fields(part, &[], None),
            };
        }
        // HEADER and TEXT of a part are those of the message in it (RFC 9051 §6.4.5.1).
        let inner = part.embedded();
        match &section.text {
            SectionText::Whole => Content::Span(self.span(&part.body)),
            SectionText::Mime => Content::Span(self.header(part)),
            SectionText::Header => {
                inner.map_or(Content::Missing, |m| Content::Span(self.span(&m.part.header)))
            }
            SectionText::Text => {
                inner.map_or(Content::Missing, |m| Content::Span(self.span(&m.part.body)))
            }
            SectionText::HeaderFields(names) => {
                inner.map_or(Content::Missing, |m| self.fields(&m.part, &m.fields, Some(names)))
            }
            SectionText::HeaderFieldsNot(_) => {
                inner.map_or(Content::Missing, |m| self.fields(&m.part, &[], None))
            }
        }
    }

    fn fields(
        &self,
        part: &Part,
        listed: &'a [Field],
        names: Option<&Vec<Vec<u8>>>,
    ) -> Content<'a> {
        let all_listed = names.is_some_and(|names| all_listed(names)) && !self.summary.cut;
        Content::Fields { header: self.header(part), listed: all_listed.then_some(listed) }
    }
}

/// Whether a summary has every field of these names; our prefix has none of them.
pub(crate) fn all_listed(names: &[Vec<u8>]) -> bool {
    names.iter().all(|name| FieldName::parse(name).is_some())
}

/// What `partial` leaves of `length` bytes (RFC 9051 §6.4.5: beyond the end is nothing).
pub(crate) fn window(length: u64, partial: Option<Partial>) -> Range<u64> {
    match partial {
        None => 0..length,
        Some(Partial { start, count }) => {
            let start = start.min(length);
            start..start.saturating_add(count).min(length)
        }
    }
}
