//! Takes fields out of a message's header, and adds what it lacks, while it streams through: the
//! few cases in which a message is changed at all (docs/rules.md, *Addresses and text*).

use crate::header::{is_blank, name_length};
use crate::trace::NotAField;

#[cfg(test)]
mod tests;

/// Begin of a field that is held until it is known whether it goes. A field whose first line is
/// longer is judged by this much of it.
const FIRST_LINE_MAX: usize = 2 * 1024;

/// Which fields are taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// `Bcc` of what our own people submit: who gets a blind copy is in the envelope.
    Bcc,
    /// `Authentication-Results` that claim to be of this authserv-id, ours: whoever sent it cannot
    /// have it from us (RFC 8601 §5).
    AuthenticationResults(String),
}

impl Unwanted {
    /// Whether the field that begins with these lines is unwanted; `None`: they do not yet tell.
    fn is(&self, line: &[u8]) -> Option<bool> {
        let Some((length, colon)) = name_length(line) else { return Some(false) };
        let name = line.get(..length).unwrap_or_default();
        match self {
            Self::Bcc => Some(name.eq_ignore_ascii_case(b"Bcc")),
            Self::AuthenticationResults(id) => {
                if !name.eq_ignore_ascii_case(b"Authentication-Results") {
                    return Some(false);
                }
                let value = line.get(colon + 1..).unwrap_or_default();
                let mut lexer = super::Lexer::new(value);
                lexer.skip_comments();
                lexer.eat(b'"');
                let said =
                    lexer.take_while(|byte| !super::is_space(byte) && !b";\"(".contains(&byte));
                // The id may stand on the next line.
                (!said.is_empty()).then(|| said.eq_ignore_ascii_case(id.as_bytes()))
            }
        }
    }
}

/// Copies a message without its unwanted fields, and with those that it lacks at the end of its
/// header. Holds at most 4 KiB; after the header everything is passed on as it is.
#[derive(Debug)]
pub struct Filter {
    unwanted: Vec<Unwanted>,
    /// Fields to add unless one of their name was seen.
    missing: Vec<String>,
    state: State,
    held: Vec<u8>,
    /// Whole lines of a field that do not yet tell.
    untold: Vec<u8>,
    removed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a line, or within one that is held.
    Line {
        dropping: bool,
    },
    /// Within a line that is already judged.
    Rest {
        dropping: bool,
    },
    Body,
}

impl Filter {
    /// A filter at the start of a message.
    #[must_use]
    pub const fn new(unwanted: Vec<Unwanted>) -> Self {
        let state = State::Line { dropping: false };
        let missing = Vec::new();
        Self { unwanted, missing, state, held: Vec::new(), untold: Vec::new(), removed: 0 }
    }

    /// Adds `field` (name to line end) if the message has none of its name: Message-ID and Date of
    /// a submission (RFC 6409 §8). Its place is the end of the header, so that the summary has it.
    /// # Errors
    /// [`NotAField`] if it is not one whole header field.
    pub fn adding(mut self, field: String) -> Result<Self, NotAField> {
        crate::trace::check_field(&field)?;
        self.missing.push(field);
        Ok(self)
    }

    /// Takes the next bytes; appends those that stay.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let taken = match self.state {
                State::Body => {
                    out.extend_from_slice(bytes);
                    return;
                }
                State::Rest { dropping } => {
                    let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
                    let taken = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                    if !dropping {
                        out.extend_from_slice(taken);
                    }
                    if end.is_some() {
                        self.state = State::Line { dropping };
                    }
                    taken.len()
                }
                State::Line { dropping } => {
                    let room = FIRST_LINE_MAX.saturating_sub(self.held.len());
                    let window = bytes.get(..room).unwrap_or(bytes);
                    let end = memchr::memchr(b'\n', window).map(|at| at + 1);
                    let taken = window.get(..end.unwrap_or(window.len())).unwrap_or_default();
                    self.held.extend_from_slice(taken);
                    if end.is_some() || self.held.len() >= FIRST_LINE_MAX {
                        self.judge(dropping, end.is_some(), out);
                    }
                    taken.len()
                }
            };
            bytes = bytes.get(taken.max(1)..).unwrap_or_default();
        }
    }

    /// Appends what was held back, at the end of a message that ends within its header.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let State::Line { dropping } = self.state
            && !self.held.is_empty()
        {
            self.judge(dropping, true, out);
        }
        out.append(&mut self.untold);
        if self.state != State::Body {
            if !self.missing.is_empty() && out.last().is_some_and(|last| *last != b'\n') {
                out.extend_from_slice(b"\r\n");
            }
            self.add_missing(out);
        }
    }

    fn add_missing(&mut self, out: &mut Vec<u8>) {
        self.missing.drain(..).for_each(|field| out.extend_from_slice(field.as_bytes()));
    }

    /// Whether the header is over: all that comes is passed on as it is, and need not be fed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Body
    }

    /// How many fields were taken out.
    #[must_use]
    pub const fn removed(&self) -> usize {
        self.removed
    }

    fn judge(&mut self, dropping: bool, complete: bool, out: &mut Vec<u8>) {
        let mut line = std::mem::take(&mut self.held);
        let mut continues = matches!(line.first(), Some(b' ' | b'\t'));
        if continues && !self.untold.is_empty() {
            self.untold.append(&mut line);
            line = std::mem::take(&mut self.untold);
            continues = false;
        }
        // A field that ended without telling is not ours.
        out.append(&mut self.untold);
        if is_blank(&line) {
            self.state = State::Body;
            self.add_missing(out);
            out.extend_from_slice(&line);
            return;
        }
        if let Some((length, _)) = name_length(&line) {
            let name = line.get(..length).unwrap_or_default();
            self.missing.retain(|field| !name_of(field).eq_ignore_ascii_case(name));
        }
        let drop = if continues {
            dropping
        } else {
            match self.verdict(&line) {
                Some(drop) => drop,
                None if complete && line.len() < FIRST_LINE_MAX => {
                    self.untold = line;
                    self.state = State::Line { dropping: false };
                    return;
                }
                // Two kilobytes of white space are no honest field.
                None => true,
            }
        };
        self.removed += usize::from(drop && !continues);
        if !drop {
            out.extend_from_slice(&line);
        }
        self.state =
            if complete { State::Line { dropping: drop } } else { State::Rest { dropping: drop } };
    }

    fn verdict(&self, line: &[u8]) -> Option<bool> {
        let mut told = Some(false);
        for unwanted in &self.unwanted {
            match unwanted.is(line) {
                Some(true) => return Some(true),
                None => told = None,
                Some(false) => {}
            }
        }
        told
    }
}

/// The name of a whole field.
fn name_of(field: &str) -> &[u8] {
    field.as_bytes().split(|byte| *byte == b':').next().unwrap_or_default()
}
