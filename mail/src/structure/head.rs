//! The header being read: which fields are kept, and what they say about their part.

use crate::header::{
    content_type, disposition, is_blank, name_length, params, split, token_list, unfold,
};
use crate::part::{Encoding, Part};
use crate::summary::{Field, FieldName};

/// Bytes that one kept field costs beside its text.
const FIELD_OVERHEAD: usize = 64;

/// Longest Content-Transfer-Encoding token that is kept.
const ENCODING_BYTES_MAX: usize = 64;

/// Reads one header line by line.
#[derive(Debug)]
pub(super) struct Head {
    /// Whether it is a message's header, so that the listed fields are kept.
    is_message: bool,
    /// The field being read, if it is kept.
    current: Option<(Kept, Vec<u8>)>,
    fields: Vec<Field>,
    content: Vec<(Content, Vec<u8>)>,
    bytes: usize,
    cut: bool,
}

/// Why a field is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Listed(FieldName),
    Content(Content),
}

/// The fields that describe a part (RFC 2045 §3; RFC 1864, RFC 3282, RFC 2557).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Type,
    Encoding,
    Id,
    Description,
    Disposition,
    Md5,
    Language,
    Location,
}

impl Content {
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Type, "Content-Type"),
        (Self::Encoding, "Content-Transfer-Encoding"),
        (Self::Id, "Content-ID"),
        (Self::Description, "Content-Description"),
        (Self::Disposition, "Content-Disposition"),
        (Self::Md5, "Content-MD5"),
        (Self::Language, "Content-Language"),
        (Self::Location, "Content-Location"),
    ];

    fn parse(name: &[u8]) -> Option<Self> {
        let found = |(_, known): &&(Self, &str)| known.as_bytes().eq_ignore_ascii_case(name);
        Self::NAMES.iter().find(found).map(|(content, _)| *content)
    }
}

impl Head {
    pub(super) const fn new(is_message: bool) -> Self {
        Self {
            is_message,
            current: None,
            fields: Vec::new(),
            content: Vec::new(),
            bytes: 0,
            cut: false,
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.current.as_ref().map_or(0, |(_, raw)| raw.len())
    }

    /// Takes one line that is not the blank one. `truncated`: its end did not fit; `room`: bytes
    /// that may be held in addition.
    pub(super) fn line(&mut self, line: &[u8], truncated: bool, room: usize) {
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            self.flush();
            self.current = self.begins(line).map(|kept| (kept, Vec::new()));
        }
        let Some((_, raw)) = &mut self.current else { return };
        // The line itself may be held too. Half a field is none.
        if truncated || 2 * line.len() + FIELD_OVERHEAD > room {
            self.current = None;
            self.cut = true;
            return;
        }
        raw.extend_from_slice(line);
    }

    fn begins(&self, line: &[u8]) -> Option<Kept> {
        let (length, _) = name_length(line)?;
        let name = line.get(..length)?;
        if self.is_message
            && let Some(listed) = FieldName::parse(name)
        {
            return Some(Kept::Listed(listed));
        }
        let content = Content::parse(name)?;
        // Of fields that must be there once, the first is taken.
        let new = self.content.iter().all(|(known, _)| *known != content);
        new.then_some(Kept::Content(content))
    }

    fn flush(&mut self) {
        let Some((kept, raw)) = self.current.take() else { return };
        self.bytes += raw.len() + FIELD_OVERHEAD;
        match kept {
            Kept::Listed(name) => self.fields.push(Field { name, raw }),
            Kept::Content(content) => self.content.push((content, raw)),
        }
    }

    /// Ends the header: writes what it says about the part into `part`, and gives the listed
    /// fields and whether something had to be left out. `default_message`: what a part without
    /// Content-Type is (RFC 2046 §5.1.5).
    pub(super) fn finish(mut self, part: &mut Part, default_message: bool) -> (Vec<Field>, bool) {
        self.flush();
        let value = |content: Content| {
            self.content.iter().find(|(known, _)| *known == content).map(|(_, raw)| split(raw).1)
        };
        let listed_type = crate::summary::first(&self.fields, FieldName::ContentType);
        let declared = match listed_type {
            Some(field) => Some(split(&field.raw).1),
            None => value(Content::Type),
        };
        match declared.and_then(content_type) {
            Some((media, subtype, params)) => {
                (part.media, part.subtype, part.params) = (media, subtype, params);
            }
            None if default_message && declared.is_none() => {
                (part.media, part.subtype) = ("message".into(), "rfc822".into());
            }
            None => {}
        }
        if let Some(value) = value(Content::Encoding) {
            let mut token = params::first_token(value);
            token.truncate(ENCODING_BYTES_MAX);
            part.encoding = Encoding::parse(&token);
        }
        let text = |content| value(content).map(|value| unfold(value).into_owned());
        part.id = text(Content::Id);
        part.description = text(Content::Description);
        part.md5 = text(Content::Md5);
        part.location = text(Content::Location);
        part.disposition = value(Content::Disposition).and_then(disposition);
        part.language = value(Content::Language).map(token_list).unwrap_or_default();
        debug_assert!(self.fields.iter().all(|field| !is_blank(&field.raw)));
        (self.fields, self.cut)
    }
}
