//! Header fields: walking through a header, unfolding, and (in the modules below) what structured
//! values say. Everything takes raw bytes, is total, and costs linear time.

pub mod addresses;
pub mod filter;
pub mod params;
pub mod words;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

pub use addresses::{AddressItem, addresses};
pub use params::{content_type, disposition, token_list};
pub use words::decode_text;

/// One field of a header, as [`fields`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawField<'a> {
    /// Its name as written, without white space before the colon. Empty for a line that is no
    /// field, such as an mbox `From ` line.
    pub name: &'a [u8],
    /// What follows the colon, with folds, without the last line end.
    pub value: &'a [u8],
    /// Where all of it is, from the name to its line end, in what was given to [`fields`].
    pub range: Range<usize>,
}

impl RawField<'_> {
    /// Whether it has this name, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of a header in order; ends at the blank line or at the end of `header`. Lines end
/// with CRLF or LF. A line that is no field is given too, with an empty name, so that the ranges
/// cover every byte before the blank line.
pub fn fields(header: &[u8]) -> impl Iterator<Item = RawField<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = header.get(at..)?;
        let first = line_of(rest);
        if first.is_empty() || is_blank(first) {
            return None;
        }
        let mut length = first.len();
        // RFC 5322 §2.2.3: lines that begin with white space go on with the field.
        while let Some(next) = rest.get(length..).map(line_of)
            && matches!(next.first(), Some(b' ' | b'\t'))
        {
            length += next.len();
        }
        let raw = rest.get(..length)?;
        let range = at..at + length;
        at = range.end;
        let (name, value) = split(raw);
        Some(RawField { name, value, range })
    })
}

/// The length of the header that `message` begins with, its blank line included.
#[must_use]
pub fn header_length(message: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let line = line_of(message.get(at..).unwrap_or_default());
        at += line.len();
        if line.is_empty() || is_blank(line) {
            return at;
        }
    }
}

/// Splits a raw field into name and value. What has no proper name has an empty one.
pub(crate) fn split(raw: &[u8]) -> (&[u8], &[u8]) {
    let whole = without_line_end(raw);
    match name_length(raw) {
        Some((name, colon)) => {
            (raw.get(..name).unwrap_or_default(), whole.get(colon + 1..).unwrap_or_default())
        }
        None => (&[], whole),
    }
}

/// Length of the name at the start of a field's first line, and where its colon is. RFC 5322
/// §3.6.8 names are printable without colon; obsolete syntax has white space before the colon.
pub(crate) fn name_length(line: &[u8]) -> Option<(usize, usize)> {
    let name = line.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':')?;
    let rest = line.get(name..)?;
    let blank = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    (name > 0 && rest.get(blank) == Some(&b':')).then_some((name, name + blank))
}

/// The first line of `bytes` with its line end; empty only for nothing.
fn line_of(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Whether a line is nothing but its line end: the end of a header.
pub(crate) const fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// `line` without one LF or CRLF at its end.
pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").map_or(line, |rest| rest.strip_suffix(b"\r").unwrap_or(rest))
}

/// The value on one line: line ends and NULs are taken out, white space at both ends too.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr3(b'\r', b'\n', 0, value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect())
}

/// Skims structured field values: white space, comments, quoted strings (RFC 5322 §3.2).
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(crate) const fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Takes `byte` if it comes next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Takes bytes while `good`.
    pub(crate) fn take_while(&mut self, good: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|byte| !good(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        taken
    }

    /// Skips white space (line ends and NULs too).
    pub(crate) fn skip_space(&mut self) {
        self.take_while(is_space);
    }

    /// Skips white space and comments; the text of the last comment that is not nested, raw.
    /// Comments nest (RFC 5322 §3.2.2): a counter, no recursion. An unclosed one takes the rest.
    pub(crate) fn skip_comments(&mut self) -> Option<&'a [u8]> {
        let mut last = None;
        loop {
            self.skip_space();
            if !self.eat(b'(') {
                return last;
            }
            let inside = self.rest;
            let mut depth = 1_usize;
            while depth > 0 {
                match self.next() {
                    Some(b'\\') => {
                        self.next();
                    }
                    Some(b'(') => depth += 1,
                    Some(b')') => depth -= 1,
                    Some(_) => {}
                    None => break,
                }
            }
            let length = inside.len() - self.rest.len();
            let text = inside.get(..length).unwrap_or_default();
            last = Some(text.strip_suffix(b")").unwrap_or(text));
        }
    }

    /// Takes the content of a quoted string whose opening quote was eaten: escapes resolved, line
    /// ends and NULs left out. An unclosed one takes the rest.
    pub(crate) fn quoted(&mut self, out: &mut Vec<u8>) {
        while let Some(byte) = self.next() {
            match byte {
                b'"' => return,
                b'\\' => out.extend(self.next().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0))),
                b'\r' | b'\n' | 0 => {}
                _ => out.push(byte),
            }
        }
    }
}

/// White space inside a folded value. A NUL counts as such: nothing can be said with it.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)
}
