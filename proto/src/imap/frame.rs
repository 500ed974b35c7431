//! Lines and literals: where a command ends (RFC 9051 §2.2.1, §4.3; RFC 7888).
//!
//! [`Frame`] collects a command up to a bound, [`Skip`] passes over the rest of one that is refused
//! and keeps 32 bytes. A bare LF ends a line too; a CR elsewhere is a syntax error later.

/// What announces a literal at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    /// Octets; [`u64::MAX`] where the number is larger than that.
    pub(crate) size: u64,
    /// The client waits for a continuation.
    pub(crate) synchronizing: bool,
    /// `~{`: NUL is allowed.
    pub(crate) binary: bool,
}

/// The literal that this line, without its end, announces, and where in the line that begins.
pub(crate) fn literal_at_end(line: &[u8]) -> Option<(Literal, usize)> {
    let open = memchr::memrchr(b'{', line)?;
    let (before, marker) = line.split_at_checked(open)?;
    let inner = marker.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let (digits, synchronizing) = match inner.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (inner, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
    let binary = before.ends_with(b"~");
    Some((Literal { size, synchronizing, binary }, open - usize::from(binary)))
}

/// A line without its CRLF or LF.
pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What a frame has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The command, or the line, is whole.
    Complete,
    /// A line ended with a literal's announcement: accept it or give the command up.
    Literal(Literal),
    /// The bound is reached within a line.
    TooLong,
}

/// A command being received.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    line_start: usize,
    literal_left: usize,
}

impl Frame {
    /// Takes bytes until something has come of them; returns how many were taken. Holds at most
    /// `bound` bytes; `literals` is false for lines that have none (DONE, SASL).
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        bound: usize,
        literals: bool,
    ) -> (usize, Option<Event>) {
        let mut taken = 0;
        let mut rest = bytes;
        if self.literal_left > 0 {
            let size = self.literal_left.min(rest.len());
            let (literal, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            self.bytes.extend_from_slice(literal);
            self.literal_left -= literal.len();
            self.line_start = self.bytes.len();
            taken = literal.len();
            rest = after;
        }
        if rest.is_empty() {
            return (taken, None);
        }
        let room = bound.saturating_sub(self.bytes.len());
        let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
        let size = end.unwrap_or(rest.len());
        if size > room {
            self.bytes.extend_from_slice(rest.get(..room).unwrap_or_default());
            return (taken + room, Some(Event::TooLong));
        }
        self.bytes.extend_from_slice(rest.get(..size).unwrap_or_default());
        let event = end.map(|_| {
            let line = self.bytes.get(self.line_start..).unwrap_or_default();
            let literal = literal_at_end(without_line_end(line)).filter(|_| literals);
            literal.map_or(Event::Complete, |(literal, _)| Event::Literal(literal))
        });
        (taken + size, event)
    }

    /// Goes on with the octets of the literal that the last line announced.
    pub(crate) fn accept(&mut self, size: usize) {
        self.literal_left = size;
        self.line_start = self.bytes.len();
    }

    /// Memory held.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What was received so far, line ends included.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole command without its last line end; the frame is empty and holds no memory after.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let Self { mut bytes, line_start, .. } = std::mem::take(self);
        // Only of the last line: a literal before it may end with CR.
        let line = bytes.get(line_start..).unwrap_or_default();
        bytes.truncate(line_start + without_line_end(line).len());
        bytes
    }

    /// The end of the line that is being received, for [`Skip::new`].
    pub(crate) fn line(&self) -> &[u8] {
        self.bytes.get(self.line_start..).unwrap_or_default()
    }
}

/// The rest of a command that is refused, passed over.
#[derive(Debug)]
pub(crate) struct Skip {
    /// The end of the line being passed over: enough to see a literal announced.
    tail: Vec<u8>,
    literal_left: u64,
    budget: u64,
}

/// What passing over has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// The command has ended, or its client waits for a continuation that it will not get.
    Ended,
    /// It is larger than what we are willing to pass over.
    TooMuch,
}

/// `~{18446744073709551615+}` and its line end.
const TAIL_MAX: usize = 32;

impl Skip {
    /// Passes over `literal` octets and then the rest of the command, in all at most `budget`
    /// octets besides them. `line` is what was received of the line that is not at its end.
    pub(crate) fn new(line: &[u8], literal: u64, budget: u64) -> Self {
        let mut skip = Self { tail: Vec::new(), literal_left: literal, budget };
        skip.keep(line);
        skip
    }

    fn keep(&mut self, line: &[u8]) {
        self.tail
            .extend_from_slice(line.get(line.len().saturating_sub(TAIL_MAX)..).unwrap_or(line));
        let surplus = self.tail.len().saturating_sub(TAIL_MAX);
        self.tail.drain(..surplus);
    }

    /// Takes bytes until the command has ended; returns how many were taken.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> (usize, Option<Skipped>) {
        let mut rest = bytes;
        let taken = |rest: &[u8]| bytes.len() - rest.len();
        while !rest.is_empty() {
            if self.literal_left > 0 {
                let size = usize::try_from(self.literal_left).unwrap_or(usize::MAX).min(rest.len());
                self.literal_left -= size as u64;
                rest = rest.get(size..).unwrap_or_default();
                continue;
            }
            let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
            let size = end.unwrap_or(rest.len());
            let (line, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            rest = after;
            self.keep(line);
            match self.budget.checked_sub(size as u64) {
                Some(budget) => self.budget = budget,
                None => return (taken(rest), Some(Skipped::TooMuch)),
            }
            if end.is_none() {
                continue;
            }
            let literal = literal_at_end(without_line_end(&self.tail));
            self.tail.clear();
            match literal {
                Some((literal, _)) if !literal.synchronizing => {
                    match self.budget.checked_sub(literal.size) {
                        Some(budget) => self.budget = budget,
                        None => return (taken(rest), Some(Skipped::TooMuch)),
                    }
                    self.literal_left = literal.size;
                }
                _ => return (taken(rest), Some(Skipped::Ended)),
            }
        }
        (bytes.len(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9051 §2.2.1, §4.3.
    #[test]
    fn literals_are_seen_at_the_end_of_a_line_only() {
        let literal = |size, synchronizing, binary| Literal { size, synchronizing, binary };
        for (line, expected) in [
            (&b"A LOGIN {5}"[..], Some((literal(5, true, false), 8))),
            (b"A LOGIN {5+}", Some((literal(5, false, false), 8))),
            (b"A APPEND x ~{0+}", Some((literal(0, false, true), 11))),
            (b"{99999999999999999999999}", Some((literal(u64::MAX, true, false), 0))),
            (b"A LOGIN {5} ", None),
            (b"A LOGIN {}", None),
            (b"A LOGIN {-1}", None),
            (b"A LOGIN {5++}", None),
            (b"A LOGIN \"{5}\"", None),
        ] {
            assert_eq!(literal_at_end(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_skip_finds_the_end_however_it_is_cut() {
        let bytes = b"more {12+}\r\n0123456789\r\n tail {3}\r\nB NOOP\r\n";
        for cut in 0..bytes.len() {
            let mut skip = Skip::new(b"A FOO ", 0, 100);
            let (first, second) = bytes.split_at(cut);
            let (taken, ended) = skip.receive(first);
            let all = match ended {
                Some(_) => taken,
                None => cut + skip.receive(second).0,
            };
            assert_eq!(&bytes[all..], b"B NOOP\r\n", "cut at {cut}");
        }
    }
}
