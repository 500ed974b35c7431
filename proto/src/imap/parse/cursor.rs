//! The tokens of IMAP's grammar (RFC 9051 §9).

use std::borrow::Cow;
use std::num::NonZeroU32;

use crate::imap::command::{MailboxName, Tag};
use crate::imap::frame;
use crate::imap::response::{Style, is_atom_char};

/// Longest flag keyword.
const ATOM_BYTES_MAX: usize = 1_000;

/// Why parsing stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A syntax error.
    Bad(&'static str),
    /// Not a mailbox name.
    Name,
    /// Not a special use that we have.
    Use,
    /// The octets of a literal are next and not here.
    Need,
}

/// A place in the bytes of a command.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    whole: bool,
    pub(super) style: Style,
    /// Good syntax so far, but not to be taken: why.
    pub(super) refused: Option<Stop>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], whole: bool, style: Style) -> Self {
        Self { rest: bytes, whole, style, refused: None }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Skips one byte.
    pub(super) fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.skip();
        }
        there
    }

    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Stop> {
        if self.eat(byte) { Ok(()) } else { Err(Stop::Bad(what)) }
    }

    pub(super) fn space(&mut self) -> Result<(), Stop> {
        self.expect(b' ', "expected a space and more")
    }

    /// The end of the command. Spaces before it are forgiven.
    pub(super) fn end(&mut self) -> Result<(), Stop> {
        if self.rest.iter().all(|byte| *byte == b' ') {
            Ok(())
        } else {
            Err(Stop::Bad("expected nothing more"))
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !wanted(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// The tag and the space after it.
    pub(super) fn tag(&mut self) -> Result<Tag, Stop> {
        let bytes = self.take_while(|byte| byte != b' ' && byte.is_ascii_graphic());
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let tag = Tag::new(text).ok_or(Stop::Bad("expected a tag"))?;
        self.space()?;
        Ok(tag)
    }

    /// A word of the grammar, upper-cased; may be empty at what is no word.
    pub(super) fn word(&mut self) -> Result<String, Stop> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'=');
        let word = self.take_while(word);
        if word.is_empty() || word.len() > 64 {
            return Err(Stop::Bad("expected a word"));
        }
        Ok(word.iter().map(|byte| char::from(byte.to_ascii_uppercase())).collect())
    }

    pub(super) fn atom(&mut self) -> Result<String, Stop> {
        let atom = self.take_while(is_atom_char);
        if atom.is_empty() || atom.len() > ATOM_BYTES_MAX {
            return Err(Stop::Bad("expected an atom"));
        }
        Ok(atom.iter().copied().map(char::from).collect())
    }

    /// `NIL`, where no string begins with it.
    pub(super) fn nil(&mut self) -> bool {
        match self.rest.split_at_checked(3) {
            Some((nil, rest))
                if nil.eq_ignore_ascii_case(b"NIL")
                    && rest.first().is_none_or(|byte| !is_atom_char(*byte)) =>
            {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Digits as a number of at most 63 bits (RFC 9051 §9 `number64`).
    pub(super) fn number64(&mut self) -> Result<u64, Stop> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let number: i64 = number.ok_or(Stop::Bad("expected a number"))?;
        u64::try_from(number).map_err(|_| Stop::Bad("expected a number"))
    }

    pub(super) fn nonzero(&mut self) -> Result<NonZeroU32, Stop> {
        let number = u32::try_from(self.number64()?).ok().and_then(NonZeroU32::new);
        number.ok_or(Stop::Bad("expected a number from 1 to 4294967295"))
    }

    /// RFC 9051 §9 `astring`.
    pub(super) fn astring(&mut self) -> Result<Cow<'a, [u8]>, Stop> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string();
        }
        let atom = self.take_while(|byte| byte == b']' || is_atom_char(byte));
        if atom.is_empty() {
            return Err(Stop::Bad("expected an atom or a string"));
        }
        Ok(Cow::Borrowed(atom))
    }

    pub(super) fn utf8_astring(&mut self) -> Result<String, Stop> {
        let text = String::from_utf8(self.astring()?.into_owned());
        text.map_err(|_| Stop::Bad("expected UTF-8"))
    }

    pub(super) fn nstring(&mut self) -> Result<Option<Vec<u8>>, Stop> {
        if self.nil() { Ok(None) } else { Ok(Some(self.string()?.into_owned())) }
    }

    /// A quoted string or a literal.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, Stop> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(Stop::Bad("expected a string")),
        }
    }

    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Stop> {
        self.skip();
        let plain = self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut value = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'"') => break self.skip(),
                Some(b'\\') => {
                    self.skip();
                    match self.peek() {
                        Some(byte @ (b'"' | b'\\')) => value.push(byte),
                        _ => return Err(Stop::Bad("only \" and \\ are escaped")),
                    }
                    self.skip();
                }
                _ => return Err(Stop::Bad("a quoted string without its end")),
            }
            let more = |byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0);
            value.extend_from_slice(self.take_while(more));
        }
        Ok(Cow::Owned(value))
    }

    fn literal(&mut self) -> Result<&'a [u8], Stop> {
        let literal = self.literal_head()?;
        if literal.binary {
            return Err(Stop::Bad("no literal8 here"));
        }
        if !self.whole && self.rest.is_empty() {
            // Also for {0}: nothing after it is here yet.
            return Err(Stop::Need);
        }
        let cut = Stop::Bad("a literal without its octets");
        let size = usize::try_from(literal.size).map_err(|_| cut)?;
        let (value, rest) = self.rest.split_at_checked(size).ok_or(cut)?;
        self.rest = rest;
        // RFC 9051 §4.3: no NUL in a literal.
        if memchr::memchr(0, value).is_some() {
            return Err(Stop::Bad("a NUL in a literal"));
        }
        Ok(value)
    }

    /// `{n}`, `{n+}`, `~{n}` or `~{n+}` and the end of its line.
    pub(super) fn literal_head(&mut self) -> Result<frame::Literal, Stop> {
        let line_end = memchr::memchr(b'\n', self.rest).ok_or(Stop::Bad("expected a literal"))?;
        let (line, rest) = self.rest.split_at_checked(line_end + 1).unwrap_or((self.rest, &[]));
        let line = frame::without_line_end(line);
        let (literal, start) =
            frame::literal_at_end(line).ok_or(Stop::Bad("expected a literal"))?;
        if start != 0 {
            return Err(Stop::Bad("expected a literal"));
        }
        self.rest = rest;
        Ok(literal)
    }

    pub(super) fn mailbox(&mut self) -> Result<MailboxName, Stop> {
        let text = self.astring()?;
        Ok(self.mailbox_of(&text))
    }

    /// The name in this text; an empty one, and the command refused, if it is none.
    pub(super) fn mailbox_of(&mut self, text: &[u8]) -> MailboxName {
        MailboxName::decode(text, self.style).unwrap_or_else(|| {
            self.refused.get_or_insert(Stop::Name);
            MailboxName(String::new())
        })
    }

    /// What is left of a name's characters in LIST: atoms with wildcards (RFC 9051 `list-char`).
    pub(super) fn pattern(&mut self) -> Result<Cow<'a, [u8]>, Stop> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string();
        }
        let list_char = |byte| matches!(byte, b'%' | b'*' | b']') || is_atom_char(byte);
        let pattern = self.take_while(list_char);
        if pattern.is_empty() {
            return Err(Stop::Bad("expected a pattern"));
        }
        Ok(Cow::Borrowed(pattern))
    }
}
