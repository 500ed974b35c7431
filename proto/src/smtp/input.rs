//! What was received and not yet used up: command lines and content, bounded.

use std::ops::Range;

use memchr::memchr3;

/// Most bytes kept: the longest line there is (RFC 4954 §4: 12,288 octets in an exchange), and one
/// read of the driver (16 KiB) beside the few bytes that a scanner may leave.
const INPUT_BYTES_MAX: usize = 16 * 1024 + 64;

/// What stands at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line of so many bytes, and CRLF.
    Whole(usize),
    /// No end of line yet.
    Incomplete,
    /// The line is longer than allowed: [`Input::skip_line`].
    TooLong,
    /// A bare CR or LF, or a NUL: not SMTP (RFC 5321 §2.3.8).
    Broken,
}

/// Received bytes, in order.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Bytes before it are used up; a lent range may lie there until the next [`Self::receive`].
    start: usize,
    /// Bytes from `start` that are known to hold no end of line.
    scanned: usize,
    /// An overlong line is being thrown away up to its end.
    skipping: bool,
}

impl Input {
    /// Takes what there is room for.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> usize {
        self.bytes.drain(..self.start);
        self.start = 0;
        let room = INPUT_BYTES_MAX.saturating_sub(self.bytes.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
        taken.len()
    }

    /// What is not used up yet.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Uses up `count` bytes (no more than wait) and returns where they are, for [`Self::lend`].
    pub(super) fn consume(&mut self, count: usize) -> Range<usize> {
        let from = self.start;
        self.start = from.saturating_add(count).min(self.bytes.len());
        self.scanned = 0;
        from..self.start
    }

    /// Bytes that were used up since the last [`Self::receive`].
    pub(super) fn lend(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Forgets everything (RFC 3207 §4.2: what came before TLS means nothing after it).
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives the memory of an idle connection back.
    pub(super) fn release(&mut self) {
        if self.start == self.bytes.len() && self.bytes.capacity() > 0 {
            self.bytes = Vec::new();
            self.start = 0;
        }
    }

    /// Looks at the line in front; takes linear time over all calls. `max` counts without CRLF.
    pub(super) fn line(&mut self, max: usize) -> Line {
        let waiting = self.bytes.get(self.start..).unwrap_or_default();
        let unseen = waiting.get(self.scanned..).unwrap_or_default();
        let Some(at) = memchr3(b'\r', b'\n', 0, unseen).map(|at| at + self.scanned) else {
            self.scanned = waiting.len();
            return if waiting.len() > max { Line::TooLong } else { Line::Incomplete };
        };
        match (waiting.get(at), waiting.get(at + 1)) {
            _ if at > max => Line::TooLong,
            (Some(b'\r'), None) => {
                self.scanned = at;
                Line::Incomplete
            }
            (Some(b'\r'), Some(b'\n')) => Line::Whole(at),
            _ => Line::Broken,
        }
    }

    /// Throws the overlong line in front away. True when its end was met, else it goes on with
    /// the next bytes.
    pub(super) fn skip_line(&mut self) -> bool {
        let waiting = self.waiting();
        let end = memchr::memmem::find(waiting, b"\r\n");
        // A CR at the very end may be half of the line's end.
        let rest = waiting.len() - usize::from(waiting.last() == Some(&b'\r'));
        self.skipping = end.is_none();
        self.consume(end.map_or(rest, |at| at + 2));
        !self.skipping
    }

    /// Whether [`Self::skip_line`] is to be called before anything else.
    pub(super) const fn skipping(&self) -> bool {
        self.skipping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: Line) {
        let mut whole = Input::default();
        whole.receive(input);
        assert_eq!(whole.line(10), expected);
        // Byte by byte the same, once all of it is there or an end was found.
        let mut bytes = Input::default();
        let mut last = Line::Incomplete;
        for byte in input {
            assert_eq!(bytes.receive(&[*byte]), 1);
            last = bytes.line(10);
            if last != Line::Incomplete {
                break;
            }
        }
        assert_eq!(last, expected);
    }

    #[test]
    fn only_crlf_ends_a_line() {
        check(b"NOOP\r\n", Line::Whole(4));
        check(b"\r\n", Line::Whole(0));
        check(b"0123456789\r\n", Line::Whole(10));
        check(b"NOOP", Line::Incomplete);
        check(b"NOOP\r", Line::Incomplete);
        check(b"NOOP\n", Line::Broken);
        check(b"NO\rOP\r\n", Line::Broken);
        check(b"NO\0OP\r\n", Line::Broken);
        check(b"\r\r\n", Line::Broken);
        check(b"0123456789x\r\n", Line::TooLong);
    }

    #[test]
    fn an_endless_line_is_thrown_away_in_bounded_memory() {
        let mut input = Input::default();
        for _ in 0..1_000 {
            assert_eq!(input.receive(&[b'x'; 4096]), 4096);
            assert!(input.skipping() || input.line(10) == Line::TooLong);
            assert!(!input.skip_line());
        }
        assert!(input.bytes.capacity() <= 2 * INPUT_BYTES_MAX);
        input.receive(b"x\r");
        assert!(!input.skip_line());
        input.receive(b"\nNOOP\r\n");
        assert!(input.skip_line());
        assert_eq!(input.line(10), Line::Whole(4));
    }

    #[test]
    fn no_more_is_taken_than_the_bound() {
        let mut input = Input::default();
        assert_eq!(input.receive(&[b'x'; 100_000]), INPUT_BYTES_MAX);
        assert_eq!(input.receive(b"x"), 0);
        let range = input.consume(INPUT_BYTES_MAX);
        assert_eq!(input.lend(range).len(), INPUT_BYTES_MAX);
        assert_eq!(input.receive(b"xyz"), 3);
        assert_eq!(input.waiting(), b"xyz");
        input.consume(3);
        input.release();
        assert_eq!(input.bytes.capacity(), 0);
    }
}
