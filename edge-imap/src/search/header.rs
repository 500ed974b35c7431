//! Header fields as SEARCH sees them, from a summary or from the header itself.

use mail::header;
use mail::summary::{FieldName, Summary};
use mail::text::Needle;

use crate::search::expression::Header;

/// What a summary says; of fields that it does not list it cannot say anything.
pub(crate) struct Listed<'a>(pub(crate) &'a Summary);

/// A whole header, our prefix included.
pub(crate) struct Whole<'a>(pub(crate) &'a [u8]);

impl Header for Listed<'_> {
    fn contains(&self, name: &[u8], value: Option<&Needle>) -> Option<bool> {
        let name = FieldName::parse(name)?;
        let mut fields = self.0.fields.iter().filter(|field| field.name == name);
        let found = fields.any(|field| holds(field.value(), value));
        // What was cut from a summary may hold it.
        if found || !self.0.cut { Some(found) } else { None }
    }

    fn sent(&self) -> Option<Option<i64>> {
        match self.0.field(FieldName::Date) {
            Some(date) => Some(day(date.value())),
            None if self.0.cut => None,
            None => Some(None),
        }
    }
}

impl Header for Whole<'_> {
    fn contains(&self, name: &[u8], value: Option<&Needle>) -> Option<bool> {
        let mut fields =
            header::fields(self.0).filter(|field| field.name.eq_ignore_ascii_case(name));
        Some(fields.any(|field| holds(field.value, value)))
    }

    fn sent(&self) -> Option<Option<i64>> {
        let date = header::fields(self.0).find(|field| field.is("Date"));
        Some(date.and_then(|date| day(date.value)))
    }
}

/// RFC 9051 §6.4.4: the text after the field's name holds the string.
fn holds(value: &[u8], needle: Option<&Needle>) -> bool {
    needle.is_none_or(|needle| needle.is_in(&header::decode_text(value)))
}

/// The day of a Date field, its time and zone disregarded (RFC 9051 §6.4.4).
fn day(value: &[u8]) -> Option<i64> {
    mail::date::DateTime::parse(value).map(|date| date.date().days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_sender() {
        let days = |value: &str| day(value.as_bytes());
        let expected = proto::imap::command::Date { year: 2026, month: 11, day: 24 }.days();
        assert_eq!(days("Tue, 24 Nov 2026 23:59:59 -0800"), Some(expected));
        assert_eq!(days("24 Nov 2026 00:00 +0900"), Some(expected));
        assert_eq!(days("nonsense"), None);
    }

    #[test]
    fn fields_are_found_in_a_header() {
        let header =
            Whole(b"From: a\r\nX-Odd: =?utf-8?q?=C3=BC?=ber\r\nDate: 1 Jan 2020 1:2 +0\r\n\r\n");
        let needle = Needle::new("ÜBER");
        assert_eq!(header.contains(b"x-odd", Some(&needle)), Some(true));
        assert_eq!(header.contains(b"from", Some(&needle)), Some(false));
        assert_eq!(header.contains(b"from", None), Some(true));
        assert_eq!(header.contains(b"to", None), Some(false));
    }
}
