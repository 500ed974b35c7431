//! A second, simple reader of structures: the whole message in memory, line by line, recursive.
//! What it says is what RFC 2046 says; the scanner must agree.

use std::ops::Range;

use crate::part::{Inside, Part};

/// A part, reduced to what the two readers must agree on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Simple {
    media: String,
    header: Range<usize>,
    body: Range<usize>,
    lines: u64,
    inner: Vec<Self>,
}

pub(super) fn simplify(part: &Part) -> Simple {
    let range = |range: &Range<u64>| {
        usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
    };
    let inner = match &part.inside {
        Inside::Leaf => Vec::new(),
        Inside::Multipart(parts) => parts.iter().map(simplify).collect(),
        Inside::Message(embedded) => vec![simplify(&embedded.part)],
    };
    Simple {
        media: format!("{}/{}", part.media, part.subtype),
        header: range(&part.header),
        body: range(&part.body),
        lines: part.lines,
        inner,
    }
}

pub(super) fn structure(message: &[u8]) -> Simple {
    let mut starts = vec![0];
    starts.extend((0..message.len()).filter(|at| message[*at] == b'\n').map(|at| at + 1));
    starts.dedup();
    if *starts.last().unwrap() != message.len() {
        starts.push(message.len());
    }
    let reader = Reader { message, starts };
    reader.entity(0, &mut Vec::new(), false).0
}

struct Reader<'a> {
    message: &'a [u8],
    /// Where lines start; the last is the end of the message.
    starts: Vec<usize>,
}

impl Reader<'_> {
    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn line(&self, line: usize) -> &[u8] {
        &self.message[self.starts[line]..self.starts[line + 1]]
    }

    /// Which of `open` the line is a delimiter of, and whether it is the last one.
    fn delimiter(&self, line: usize, open: &[Option<Vec<u8>>]) -> Option<(usize, bool)> {
        let text = self.line(line).strip_prefix(b"--")?.trim_ascii_end();
        (0..open.len()).rev().find_map(|index| {
            let boundary = open[index].as_ref()?;
            let is_last = text == [boundary, &b"--"[..]].concat();
            (is_last || text == boundary).then_some((index, is_last))
        })
    }

    /// The entity that begins at `line`, and the line after it: a delimiter of `open`, or the end.
    fn entity(
        &self,
        mut line: usize,
        open: &mut Vec<Option<Vec<u8>>>,
        digest: bool,
    ) -> (Simple, usize) {
        let start = self.starts[line];
        let mut declared: Option<String> = None;
        let mut encoding: Option<String> = None;
        let (mut cut_off, mut open_field) = (true, false);
        while line < self.count() && self.delimiter(line, open).is_none() {
            let text = self.line(line);
            line += 1;
            if matches!(text, b"\r\n" | b"\n") {
                cut_off = false;
                break;
            }
            let text = String::from_utf8(text.trim_ascii_end().to_vec()).unwrap();
            if let Some(value) = text.strip_prefix("Content-Type: ") {
                open_field = declared.is_none();
                declared.get_or_insert(value.to_owned());
            } else if let Some(value) = text.strip_prefix("Content-Transfer-Encoding: ") {
                open_field = false;
                encoding.get_or_insert(value.to_owned());
            } else if text.starts_with(' ') && open_field {
                declared.as_mut().unwrap().push_str(&text);
            } else {
                open_field = text.starts_with(' ') && open_field;
            }
        }
        let body = self.starts[line];
        let default = if digest { "message/rfc822" } else { "text/plain" };
        let declared = declared.unwrap_or(default.into());
        let media = declared.split([';', ' ']).next().unwrap().to_owned();
        let boundary = declared.split_once("boundary=").map(|(_, text)| text.as_bytes().to_vec());
        let mut inner = Vec::new();
        let mut media = media;
        if media.starts_with("multipart/") && boundary.is_some() && !cut_off {
            let mine = open.len();
            open.push(boundary);
            while line < self.count() {
                match self.delimiter(line, open) {
                    None => line += 1,
                    Some((index, _)) if index < mine => break,
                    Some((_, true)) => {
                        open[mine] = None;
                        line += 1;
                    }
                    Some((_, false)) => {
                        let (part, next) = self.entity(line + 1, open, media == "multipart/digest");
                        inner.push(part);
                        line = next;
                    }
                }
            }
            open.truncate(mine);
        } else if media == "message/rfc822" && encoding.is_none_or(|it| it != "base64") {
            let (part, next) = self.entity(line, open, false);
            inner.push(part);
            line = next;
        } else {
            if media == "message/rfc822" {
                media = "application/octet-stream".into();
            }
            while line < self.count() && self.delimiter(line, open).is_none() {
                line += 1;
            }
        }
        if media.starts_with("multipart/") && inner.is_empty() {
            media = "text/plain".into();
        }
        let mut end = self.starts[line];
        if line < self.count() {
            // The line end before a delimiter is the delimiter's.
            let whole = &self.message[..end];
            let without = whole.strip_suffix(b"\n").unwrap();
            end = without.strip_suffix(b"\r").unwrap_or(without).len();
        }
        let mut end = end.max(body);
        let text = &self.message[body..end];
        let feeds = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        let lines = feeds + u64::from(text.last().is_some_and(|last| *last != b'\n'));
        if let Some(last) = inner.last() {
            end = end.max(last.body.end);
        }
        (Simple { media, header: start..body, body: body..end, lines, inner }, line)
    }
}
