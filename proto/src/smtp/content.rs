//! Content of a message on the wire: after DATA, and in chunks of BDAT.
//!
//! A1: only CRLF.CRLF ends a message, and a CR or LF that is not part of a CRLF makes it refused,
//! without any exemption: who disagrees with us about where a message ends could smuggle another.

use std::ops::Range;

use memchr::memchr3;

/// Why the content cannot be taken. Only the first fault is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A CR without LF or an LF without CR (RFC 5321 §2.3.8).
    BareLineEnd,
    /// A NUL outside of BINARYMIME.
    Nul,
    /// Over the limit for a message.
    TooLarge,
}

/// What the scanner found at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes of the input that are used up.
    pub(super) consumed: usize,
    /// Which of them are content; empty once there was a fault.
    pub(super) content: Range<usize>,
    /// What follows.
    pub(super) then: Then,
}

/// What follows a [`Piece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The rest of the input.
    More,
    /// More input is needed before anything else.
    Starved,
    /// An LF that was bare in the input: it is to be taken as CRLF. Only from [`Chunk`].
    CrLf,
    /// The content is complete.
    End,
}

/// Content after DATA: ends at CRLF.CRLF; dots at the start of lines are unstuffed (RFC 5321
/// §4.5.2). Whole states, not pieces of line ends, are kept between calls: a CR, a dot, or a dot
/// and a CR at the end of the input stay there until more is known.
#[derive(Debug)]
pub(super) struct Data {
    at_line_start: bool,
    pub(super) fault: Option<Fault>,
}

impl Data {
    /// The CRLF after DATA counts as a line's end: an empty message is ".CRLF".
    pub(super) const fn new() -> Self {
        Self { at_line_start: true, fault: None }
    }

    /// Looks at the front of the input.
    pub(super) fn scan(&mut self, input: &[u8]) -> Piece {
        let mut from = 0;
        if self.at_line_start {
            match input {
                [b'.', b'\r', b'\n', ..] => {
                    return Piece { consumed: 3, content: 0..0, then: Then::End };
                }
                [] | [b'.'] | [b'.', b'\r'] => {
                    return Piece { consumed: 0, content: 0..0, then: Then::Starved };
                }
                // RFC 5321 §4.5.2: a line that begins with a dot loses it.
                [b'.', ..] => from = 1,
                _ => {}
            }
            self.at_line_start = false;
        }
        let (end, then) = self.scan_lines(input, from);
        let content = if self.fault.is_some() { 0..0 } else { from..end };
        Piece { consumed: end, content, then }
    }

    /// From `from`, within a line, to the next line that begins with a dot or the end of input.
    fn scan_lines(&mut self, input: &[u8], from: usize) -> (usize, Then) {
        let mut at = from;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(found) = memchr3(b'\r', b'\n', 0, rest) else {
                return (input.len(), Then::Starved);
            };
            at += found;
            match (input.get(at), input.get(at + 1)) {
                (Some(b'\r'), None) => return (at, Then::Starved),
                (Some(b'\r'), Some(b'\n')) => {
                    at += 2;
                    match input.get(at) {
                        Some(b'.') | None => {
                            self.at_line_start = true;
                            return (at, Then::More);
                        }
                        Some(_) => {}
                    }
                }
                (Some(0), _) => {
                    self.fail(Fault::Nul);
                    at += 1;
                }
                _ => {
                    self.fail(Fault::BareLineEnd);
                    at += 1;
                }
            }
        }
    }

    /// From now on everything is thrown away up to the end.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

/// Content in the chunks of BDAT (RFC 3030), of one message after the other chunk.
#[derive(Debug)]
pub(super) struct Chunk {
    /// BODY=BINARYMIME: every byte is taken as it is.
    binary: bool,
    /// The last byte was a CR.
    after_cr: bool,
    pub(super) fault: Option<Fault>,
    /// Bytes of the current chunk that are to come.
    left: u64,
}

impl Chunk {
    pub(super) const fn new(binary: bool) -> Self {
        Self { binary, after_cr: false, fault: None, left: 0 }
    }

    /// A chunk of so many bytes begins.
    pub(super) const fn begin(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// Looks at the front of the input; [`Then::End`] is the end of the chunk.
    pub(super) fn scan(&mut self, input: &[u8]) -> Piece {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let input = input.get(..left).unwrap_or(input);
        if left == 0 {
            return Piece { consumed: 0, content: 0..0, then: Then::End };
        }
        if input.is_empty() {
            return Piece { consumed: 0, content: 0..0, then: Then::Starved };
        }
        let (end, consumed, then) = if self.binary || self.fault.is_some() {
            (input.len(), input.len(), Then::More)
        } else {
            self.scan_text(input)
        };
        self.left -= consumed as u64;
        let content = if self.fault.is_some() { 0..0 } else { 0..end };
        let then = if self.fault.is_some() { Then::More } else { then };
        Piece { consumed, content, then }
    }

    /// Where the content ends, how much is used up, and what follows.
    fn scan_text(&mut self, input: &[u8]) -> (usize, usize, Then) {
        let mut at = 0;
        if self.after_cr {
            self.after_cr = false;
            if input.first() != Some(&b'\n') {
                self.fault = Some(Fault::BareLineEnd);
            }
            at = 1;
        }
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(found) = memchr3(b'\r', b'\n', 0, rest) else {
                return (input.len(), input.len(), Then::More);
            };
            at += found;
            match (input.get(at), input.get(at + 1)) {
                (Some(b'\r'), None) => {
                    self.after_cr = true;
                    return (input.len(), input.len(), Then::More);
                }
                (Some(b'\r'), Some(b'\n')) => at += 2,
                // docs/rules.md, *Addresses and text*: the one place where a bare LF is mended, for some senders'
                // libraries do so; no end of message is looked for here, so nothing is smuggled.
                (Some(b'\n'), _) => return (at, at + 1, Then::CrLf),
                (Some(0), _) => {
                    self.fault = Some(Fault::Nul);
                    at += 1;
                }
                _ => {
                    self.fault = Some(Fault::BareLineEnd);
                    at += 1;
                }
            }
            if self.fault.is_some() {
                return (0, input.len(), Then::More);
            }
        }
    }

    /// The last chunk is complete: a CR at its very end is bare.
    pub(super) fn finish(&mut self) {
        if self.after_cr {
            self.fail(Fault::BareLineEnd);
        }
    }

    /// From now on everything is thrown away.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

#[cfg(test)]
mod tests;
