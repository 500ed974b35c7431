//! The scanner: makes the summary of a message while it streams through.
//!
//! Bytes go in by pieces of any size, the result is the same for every cut. Body bytes are only
//! searched for line ends and delimiter lines; what is held is the header field being read, the
//! fields that are kept, and the first bytes of the text. Never more than [`HELD_BYTES_MAX`].
//! Time is linear in the message (times the open multiparts, at most 100, for lines that begin
//! with `--`).
//!
//! Every message has a structure: what is broken, or beyond the bounds, is a leaf with its bytes.

mod head;
mod levels;
mod preview;
#[cfg(test)]
pub(crate) mod tests;

use memchr::memmem;

use crate::part::{DEPTH_MAX, PARTS_MAX};
use crate::summary::Summary;

use head::Head;
use levels::{Delimiter, Levels};
use preview::Preview;

/// Most bytes that a scanner holds (docs/rules.md: at most 1 MiB of a message in memory).
pub const HELD_BYTES_MAX: usize = 1024 * 1024;

/// Longest boundary that is taken. RFC 2046 §5.1.1 allows 70; longer ones are met.
pub(crate) const BOUNDARY_BYTES_MAX: usize = 250;

/// Most bytes of header fields that are held; what is left of [`HELD_BYTES_MAX`] is the preview's.
const HEADER_BYTES_MAX: usize = HELD_BYTES_MAX - 64 * 1024;

/// Longest line that can be a delimiter, with white space after it and its line end.
const DELIMITER_LINE_MAX: usize = 2 + BOUNDARY_BYTES_MAX + 2 + 144;

/// How far a scanner looks into a message. What is beyond is one opaque part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the message's own header.
    pub header_bytes: u64,
    /// Most parts; not over [`PARTS_MAX`].
    pub parts: usize,
    /// Deepest nesting; not over [`DEPTH_MAX`].
    pub depth: usize,
}

impl Default for Limits {
    /// Those of docs/rules.md.
    fn default() -> Self {
        Self { header_bytes: 1024 * 1024, parts: PARTS_MAX, depth: DEPTH_MAX }
    }
}

/// What a scanner found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The summary.
    pub summary: Summary,
    /// Whether the header is over [`Limits::header_bytes`]: refuse the message with 552 5.3.4.
    pub header_too_large: bool,
    /// Header fields of the message by name, counted for loop detection and well-formedness.
    pub counts: Counts,
    /// Whether a bare LF or a bare CR occurs, or a NUL: not allowed but in BDAT (A1).
    pub odd_bytes: OddBytes,
}

/// How often fields occur in the message's own header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All fields.
    pub fields: u32,
    /// `Received` (RFC 5321 §6.3: loops are found by counting them).
    pub received: u32,
    /// `Delivered-To`: whoever forwarded it says so.
    pub delivered_to: u32,
    /// `From`.
    pub from: u32,
    /// `Date`.
    pub date: u32,
    /// `Message-ID`.
    pub message_id: u32,
}

/// Bytes that RFC 5322 does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OddBytes {
    /// An LF without CR before it.
    pub bare_lf: bool,
    /// A byte over 127.
    pub eight_bit: bool,
    /// A NUL.
    pub nul: bool,
}

/// Scans one message; see the module.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    /// Where the next byte stands, and the line feeds before it.
    place: Place,
    /// The last four bytes before `place`.
    tail: [u8; 4],
    /// Where the header line or the possible delimiter that is being read begins, and its `tail`.
    line: Place,
    line_tail: [u8; 4],
    /// The begin of that line while it is not complete.
    held: Vec<u8>,
    /// How many bytes of that line did not fit `held`.
    dropped: u64,
    /// In a body: whether the line that `place` stands in cannot be a delimiter.
    mid_line: bool,
    head: Option<Head>,
    levels: Levels,
    preview: Preview,
    odd: OddBytes,
    counts: Counts,
    header_len: Option<u64>,
}

/// A place in the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes before it.
    pub(crate) at: u64,
    /// Line feeds before it.
    pub(crate) lf: u64,
}

impl Scanner {
    /// A scanner at the start of a message.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits {
            parts: limits.parts.clamp(1, PARTS_MAX),
            depth: limits.depth.min(DEPTH_MAX),
            ..limits
        };
        Self {
            limits,
            place: Place::default(),
            tail: [0; 4],
            line: Place::default(),
            line_tail: [0; 4],
            held: Vec::new(),
            dropped: 0,
            mid_line: false,
            head: Some(Head::new(true)),
            levels: Levels::new(limits),
            preview: Preview::default(),
            odd: OddBytes::default(),
            counts: Counts::default(),
            header_len: None,
        }
    }

    /// Takes the next bytes of the message.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.note_odd_bytes(bytes);
        while !bytes.is_empty() {
            let used =
                if self.head.is_some() { self.feed_header(bytes) } else { self.feed_body(bytes) };
            bytes = bytes.get(used.max(1)..).unwrap_or_default();
        }
    }

    /// Bytes that were fed.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.place.at
    }

    /// Whether the header is already over its limit: the edge may stop early.
    #[must_use]
    pub fn header_too_large(&self) -> bool {
        let so_far = self.header_len.unwrap_or(self.size());
        so_far > self.limits.header_bytes
    }

    /// Ends the message. A line without end is a line; a header without blank line is a header.
    #[must_use]
    pub fn finish(mut self) -> Scanned {
        let line = std::mem::take(&mut self.held);
        if !line.is_empty() {
            if self.head.is_some() {
                self.header_line(&line);
            } else {
                self.candidate_line(&line);
            }
        }
        self.end_headers();
        let header_too_large = self.header_too_large();
        let root = self.levels.finish(self.place, self.tail, &mut self.preview);
        let summary = Summary {
            fields: root.fields,
            header_len: root.part.header.end,
            size: self.place.at,
            lines: lines_between(Place::default(), self.place, self.tail[3]),
            structure: root.part,
            preview: self.preview.finish(),
            cut: root.cut,
        };
        Scanned { summary, header_too_large, counts: self.counts, odd_bytes: self.odd }
    }

    /// Takes header bytes up to the end of one line; how many.
    fn feed_header(&mut self, bytes: &[u8]) -> usize {
        let line_end = memchr::memchr(b'\n', bytes);
        let piece = line_end.map_or(bytes, |at| bytes.get(..=at).unwrap_or_default());
        let at_start = self.held.is_empty() && self.dropped == 0;
        if at_start {
            (self.line, self.line_tail) = (self.place, self.tail);
        }
        self.advance(piece);
        if at_start && line_end.is_some() {
            self.header_line(piece);
            return piece.len();
        }
        // However full it is: the blank line and delimiters must be seen.
        let room = self.room().max(DELIMITER_LINE_MAX).saturating_sub(self.held.len());
        let kept = piece.get(..room).unwrap_or(piece);
        self.held.extend_from_slice(kept);
        self.dropped += (piece.len() - kept.len()) as u64;
        if line_end.is_some() {
            let line = std::mem::take(&mut self.held);
            self.header_line(&line);
        }
        piece.len()
    }

    /// Bytes that the header being read may still hold.
    fn room(&self) -> usize {
        let head = self.head.as_ref().map_or(0, Head::bytes);
        HEADER_BYTES_MAX.saturating_sub(self.levels.kept_bytes()).saturating_sub(head)
    }

    /// One line of a header: a delimiter of a multipart around it, the blank line, or a field.
    fn header_line(&mut self, line: &[u8]) {
        let truncated = std::mem::take(&mut self.dropped) > 0;
        if let Some(delimiter) = self.levels.delimiter(line)
            && !truncated
        {
            return self.delimit(delimiter);
        }
        if crate::header::is_blank(line) && !truncated {
            self.end_header();
            return;
        }
        let room = self.room();
        if let Some(head) = &mut self.head {
            head.line(line, truncated, room);
        }
        if self.levels.is_at_root() {
            self.counts.note(line);
            // An endless header is none: what follows is the body.
            if self.place.at > self.limits.header_bytes {
                self.end_header();
            }
        }
    }

    /// Ends the header that is being read, if any, here. `true`: an embedded message begins, whose
    /// header is read next.
    fn end_header(&mut self) -> bool {
        let Some(head) = self.head.take() else { return false };
        self.header_len.get_or_insert(self.place.at);
        self.mid_line = false;
        let embedded = self.levels.end_header(head, self.place, &mut self.preview);
        if embedded {
            self.head = Some(Head::new(true));
        }
        embedded
    }

    /// Ends the header that is being read, and those of messages inside, for nothing follows.
    fn end_headers(&mut self) {
        while self.end_header() {}
    }

    /// Takes body bytes; how many.
    fn feed_body(&mut self, bytes: &[u8]) -> usize {
        if !self.levels.any_boundary() {
            return self.consume(bytes);
        }
        if !self.mid_line {
            if !self.held.is_empty() || bytes.first() == Some(&b'-') {
                return self.feed_candidate(bytes);
            }
            self.mid_line = true;
        }
        // Inside a line: on to the next one that begins with "--", or might.
        if let Some(at) = memmem::find(bytes, b"\n--") {
            self.mid_line = false;
            return self.consume(bytes.get(..=at).unwrap_or_default());
        }
        let used = if bytes.ends_with(b"\n-") { bytes.len() - 1 } else { bytes.len() };
        let taken = bytes.get(..used).unwrap_or_default();
        self.mid_line = !taken.ends_with(b"\n");
        self.consume(taken)
    }

    /// Takes bytes of a line that begins with `-` until it is known whether it is a delimiter.
    fn feed_candidate(&mut self, bytes: &[u8]) -> usize {
        let room = DELIMITER_LINE_MAX.saturating_sub(self.held.len());
        let window = bytes.get(..room).unwrap_or(bytes);
        let line_end = memchr::memchr(b'\n', window);
        let piece = line_end.map_or(window, |at| window.get(..=at).unwrap_or_default());
        if self.held.is_empty() {
            (self.line, self.line_tail) = (self.place, self.tail);
        }
        self.advance(piece);
        if self.held.is_empty() && line_end.is_some() {
            self.candidate_line(piece);
            return piece.len();
        }
        self.held.extend_from_slice(piece);
        let hopeless = self.held.len() >= DELIMITER_LINE_MAX
            || self.held.get(1).is_some_and(|second| *second != b'-');
        if line_end.is_some() || hopeless {
            let line = std::mem::take(&mut self.held);
            if line_end.is_some() {
                self.candidate_line(&line);
            } else {
                self.preview.take(&line);
                self.mid_line = true;
            }
        }
        piece.len()
    }

    /// A whole body line that begins with `-`, or what there is of it at the end of the message.
    fn candidate_line(&mut self, line: &[u8]) {
        match self.levels.delimiter(line) {
            Some(delimiter) => self.delimit(delimiter),
            None => self.preview.take(line),
        }
    }

    /// The line that was just read is a delimiter: it ends what was open inside its multipart, and
    /// begins the next part or, if it is the last, the epilogue.
    fn delimit(&mut self, delimiter: Delimiter) {
        let after = self.place;
        self.place = self.line;
        self.end_headers();
        self.place = after;
        self.levels.close_inside(delimiter, self.line, self.line_tail, &mut self.preview);
        self.mid_line = false;
        if !delimiter.is_last && self.levels.begin_part(after) {
            self.head = Some(Head::new(false));
        }
    }

    /// Body bytes that are of no further interest.
    fn consume(&mut self, bytes: &[u8]) -> usize {
        self.preview.take(bytes);
        self.advance(bytes);
        bytes.len()
    }

    fn advance(&mut self, bytes: &[u8]) {
        self.place.at += bytes.len() as u64;
        self.place.lf += memchr::memchr_iter(b'\n', bytes).count() as u64;
        if let Some(last) = bytes.last_chunk::<4>() {
            self.tail = *last;
        } else {
            for byte in bytes {
                let [_, second, third, fourth] = self.tail;
                self.tail = [second, third, fourth, *byte];
            }
        }
    }

    fn note_odd_bytes(&mut self, bytes: &[u8]) {
        self.odd.eight_bit |= !bytes.is_ascii();
        self.odd.nul |= memchr::memchr(0, bytes).is_some();
        if !self.odd.bare_lf {
            let mut before = self.tail[3];
            let mut rest = bytes;
            while let Some(at) = memchr::memchr(b'\n', rest) {
                if let Some(last) = at.checked_sub(1).and_then(|last| rest.get(last)) {
                    before = *last;
                }
                if before != b'\r' {
                    self.odd.bare_lf = true;
                    return;
                }
                before = b'\n';
                rest = rest.get(at + 1..).unwrap_or_default();
            }
        }
    }
}

impl Counts {
    fn note(&mut self, line: &[u8]) {
        let Some((name, _)) = crate::header::name_length(line) else { return };
        let name = line.get(..name).unwrap_or_default();
        let is = |known: &str| u32::from(name.eq_ignore_ascii_case(known.as_bytes()));
        self.fields = self.fields.saturating_add(1);
        self.received = self.received.saturating_add(is("Received"));
        self.delivered_to = self.delivered_to.saturating_add(is("Delivered-To"));
        self.from = self.from.saturating_add(is("From"));
        self.date = self.date.saturating_add(is("Date"));
        self.message_id = self.message_id.saturating_add(is("Message-ID"));
    }
}

/// Lines between two places; `last` is the byte before `end`. What has no line end counts too.
pub(crate) fn lines_between(start: Place, end: Place, last: u8) -> u64 {
    let unfinished = end.at > start.at && last != b'\n';
    end.lf.saturating_sub(start.lf) + u64::from(unfinished)
}
