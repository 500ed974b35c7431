//! The parts that are open: a stack from the message down to the part being read.

use crate::part::{Embedded, Encoding, Inside, Part};
use crate::structure::head::Head;
use crate::structure::preview::Preview;
use crate::structure::{BOUNDARY_BYTES_MAX, Limits, Place, lines_between};
use crate::summary::Field;

/// Bytes that a part costs beside its texts.
const PART_OVERHEAD: usize = 400;

/// The open parts; the first is the message and stays to the end.
#[derive(Debug)]
pub(super) struct Levels {
    limits: Limits,
    open: Vec<Level>,
    parts: usize,
    kept_bytes: usize,
    cut: bool,
    boundaries: usize,
}

#[derive(Debug)]
struct Level {
    part: Part,
    /// Listed fields, of a message.
    fields: Vec<Field>,
    /// Of a multipart whose last delimiter was not met yet.
    boundary: Option<Vec<u8>>,
    /// Parts of a multipart that are complete.
    children: Vec<Part>,
    /// The complete embedded message of a `message/rfc822`.
    embedded: Option<Box<Embedded>>,
    kind: Kind,
    body: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Not looked into, or its header is still being read.
    Leaf,
    Multipart,
    Message,
}

/// A delimiter line: of which open level, and whether it is the last of its multipart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delimiter {
    level: usize,
    pub(super) is_last: bool,
}

/// What the whole message came to.
pub(super) struct Root {
    pub(super) part: Part,
    pub(super) fields: Vec<Field>,
    pub(super) cut: bool,
}

impl Level {
    fn new(start: Place) -> Self {
        Self {
            part: Part::plain(start.at..start.at, start.at..start.at),
            fields: Vec::new(),
            boundary: None,
            children: Vec::new(),
            embedded: None,
            kind: Kind::Leaf,
            body: start,
        }
    }
}

impl Levels {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: vec![Level::new(Place::default())],
            parts: 1,
            kept_bytes: 0,
            cut: false,
            boundaries: 0,
        }
    }

    /// Bytes held by fields and parts, about.
    pub(super) const fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    pub(super) const fn any_boundary(&self) -> bool {
        self.boundaries > 0
    }

    /// Whether the header being read is the message's own.
    pub(super) const fn is_at_root(&self) -> bool {
        self.open.len() == 1
    }

    /// Whether `line` is a delimiter of an open multipart, the innermost first. RFC 2046 §5.1.1:
    /// the boundary after `--`, white space behind it; `--` after it for the last one.
    pub(super) fn delimiter(&self, line: &[u8]) -> Option<Delimiter> {
        if self.boundaries == 0 || line.len() > super::DELIMITER_LINE_MAX {
            return None;
        }
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        let last = text.strip_suffix(b"--");
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let boundary = open.boundary.as_deref()?;
            if boundary == text {
                Some(Delimiter { level, is_last: false })
            } else {
                (Some(boundary) == last).then_some(Delimiter { level, is_last: true })
            }
        })
    }

    /// Ends the header of the innermost part at `end`. `true`: it is an embedded message, whose
    /// own header comes next.
    pub(super) fn end_header(&mut self, head: Head, end: Place, preview: &mut Preview) -> bool {
        let in_digest =
            self.open.iter().rev().nth(1).is_some_and(|above| {
                above.kind == Kind::Multipart && above.part.subtype == "digest"
            });
        let in_message = self.open.iter().any(|level| level.kind == Kind::Message);
        let depth = self.open.len();
        let Some(level) = self.open.last_mut() else { return false };
        let held = head.bytes();
        let (fields, cut) = head.finish(&mut level.part, in_digest);
        level.fields = fields;
        self.cut |= cut;
        self.kept_bytes += held + PART_OVERHEAD;
        level.part.header.end = end.at;
        level.part.body = end.at..end.at;
        level.body = end;
        let part = &level.part;
        let deep = depth > self.limits.depth;
        let is_message = part.is("message", "rfc822") || part.is("message", "global");
        if part.media == "multipart" {
            let boundary = part
                .param("boundary")
                .filter(|boundary| !boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX);
            match boundary.map(|boundary| boundary.trim_ascii_end().to_vec()) {
                Some(boundary) if !deep => {
                    level.kind = Kind::Multipart;
                    level.boundary = Some(boundary);
                    self.boundaries += 1;
                }
                _ => make_leaf(&mut level.part, deep),
            }
            return false;
        }
        if is_message {
            // RFC 2046 §5.2.1: an embedded message is 7bit, 8bit or binary. Real mail has others in
            // base64: bytes to be decoded and saved, nothing that could be looked into as it is.
            let opaque = !matches!(
                part.encoding,
                Encoding::SevenBit | Encoding::EightBit | Encoding::Binary
            );
            if opaque || deep || self.parts >= self.limits.parts {
                make_leaf(&mut level.part, true);
                return false;
            }
            level.kind = Kind::Message;
            self.parts += 1;
            self.open.push(Level::new(end));
            return true;
        }
        if !in_message {
            preview.offer(part);
        }
        false
    }

    /// Begins a part after a delimiter line of the innermost level. `false`: there are too many;
    /// then one opaque part takes the rest of that multipart, and its header is not read.
    pub(super) fn begin_part(&mut self, start: Place) -> bool {
        self.parts += 1;
        let full = self.parts > self.limits.parts || self.kept_bytes > super::HELD_BYTES_MAX / 2;
        let mut level = Level::new(start);
        if full {
            make_leaf(&mut level.part, true);
            if let Some(multipart) = self.open.last_mut()
                && multipart.boundary.take().is_some()
            {
                self.boundaries -= 1;
            }
        }
        self.open.push(level);
        !full
    }

    /// Ends all that is open inside the multipart of this delimiter. `at` is the start of the
    /// delimiter line; the line end before it belongs to the delimiter (RFC 2046 §5.1.1).
    pub(super) fn close_inside(
        &mut self,
        delimiter: Delimiter,
        at: Place,
        tail: [u8; 4],
        preview: &mut Preview,
    ) {
        let (end, last) = match tail {
            [_, last, b'\r', b'\n'] => (2, last),
            [_, _, last, b'\n'] => (1, last),
            [.., last] => (0, last),
        };
        let before = Place { at: at.at.saturating_sub(end), lf: at.lf - u64::from(end > 0) };
        while self.open.len() > delimiter.level + 1 {
            self.close_innermost(at, before, last, preview);
        }
        preview.close();
        if delimiter.is_last
            && let Some(level) = self.open.last_mut()
            && level.boundary.take().is_some()
        {
            self.boundaries -= 1;
        }
    }

    /// Ends the innermost part at `before`; or at `at`, if its body has not even that.
    fn close_innermost(&mut self, at: Place, before: Place, last: u8, preview: &mut Preview) {
        let Some(level) = self.open.pop() else { return };
        preview.close();
        let (child, fields) = self.closed(level, at, before, last);
        let Some(above) = self.open.last_mut() else { return };
        match above.kind {
            Kind::Message => {
                above.embedded = Some(Box::new(Embedded { fields, part: child }));
            }
            Kind::Multipart | Kind::Leaf => above.children.push(child),
        }
    }

    fn closed(&mut self, level: Level, at: Place, before: Place, last: u8) -> (Part, Vec<Field>) {
        let Level { mut part, fields, boundary, children, embedded, kind, body } = level;
        self.boundaries -= usize::from(boundary.is_some());
        // Where a header is cut off by the delimiter, or nothing follows it, the line end before
        // the delimiter is the header's.
        let end = if body.at > before.at { body } else { before };
        debug_assert!(end.at <= at.at);
        part.body.end = end.at;
        part.lines = lines_between(body, end, last);
        // What an inner header took is inside this part too.
        let inner = embedded.as_ref().map(|embedded| &embedded.part).or(children.last());
        if let Some(inner) = inner {
            part.body.end = part.body.end.max(inner.body.end);
        }
        part.inside = match (kind, embedded) {
            (Kind::Message, Some(embedded)) => Inside::Message(embedded),
            (Kind::Multipart, _) if !children.is_empty() => Inside::Multipart(children),
            (Kind::Leaf, _) => Inside::Leaf,
            (Kind::Multipart | Kind::Message, _) => {
                // No delimiter was met.
                make_leaf(&mut part, false);
                Inside::Leaf
            }
        };
        (part, fields)
    }

    /// Ends everything at the end of the message.
    pub(super) fn finish(mut self, end: Place, tail: [u8; 4], preview: &mut Preview) -> Root {
        while self.open.len() > 1 {
            self.close_innermost(end, end, tail[3], preview);
        }
        preview.close();
        let root = self.open.pop().unwrap_or_else(|| Level::new(Place::default()));
        let (part, fields) = self.closed(root, end, end, tail[3]);
        Root { part, fields, cut: self.cut }
    }
}

/// What is not looked into: opaque bytes if it is beyond a limit; text if it says that it is a
/// multipart but has no usable boundary or no part (as RFC 2045 §5.2 has it for what is unclear).
fn make_leaf(part: &mut Part, beyond_limit: bool) {
    let (media, subtype) =
        if beyond_limit { ("application", "octet-stream") } else { ("text", "plain") };
    (part.media, part.subtype) = (media.into(), subtype.into());
    part.params.clear();
}
