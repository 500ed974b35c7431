//! The MIME structure of a message as IMAP's BODYSTRUCTURE and section numbers need it, with the
//! place of each part's bytes. Made by [`crate::structure::Scanner`], kept in
//! [`crate::summary::Summary`].

use std::ops::Range;

use crate::summary::Field;

/// Deepest nesting of multiparts and embedded messages that is looked into (docs/rules.md). Decoding
/// refuses more, so walking a [`Part`] may recurse.
pub const DEPTH_MAX: usize = 100;

/// Most parts of a message that are looked into (docs/rules.md).
pub const PARTS_MAX: usize = 1_000;

/// One entity (RFC 2045 §2.4): a whole message, a part of a multipart, or what an embedded message
/// consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Media type, lower case: `text`. Never empty.
    pub media: String,
    /// Media subtype, lower case: `plain`. Never empty.
    pub subtype: String,
    /// Parameters of Content-Type.
    pub params: Vec<Param>,
    /// Content-ID, unfolded.
    pub id: Option<Vec<u8>>,
    /// Content-Description, unfolded, RFC 2047 words not decoded.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding.
    pub encoding: Encoding,
    /// Content-MD5.
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-Language, one element per tag.
    pub language: Vec<Vec<u8>>,
    /// Content-Location, unfolded.
    pub location: Option<Vec<u8>>,
    /// Where the header is, its blank line included. Like all ranges here: bytes of the message as
    /// received, without the prefix that we put before it.
    pub header: Range<u64>,
    /// Where the body is; begins where the header ends.
    pub body: Range<u64>,
    /// Lines of the body; one without a line end at its end counts.
    pub lines: u64,
    /// What is inside.
    pub inside: Inside,
}

/// What a part consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inside {
    /// Nothing that is looked into.
    Leaf,
    /// Parts of a multipart; at least one.
    Multipart(Vec<Part>),
    /// An embedded message (`message/rfc822`, `message/global`).
    Message(Box<Embedded>),
}

/// A message inside a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Its listed header fields, raw, for its ENVELOPE.
    pub fields: Vec<Field>,
    /// Its structure. Its header range is the embedded message's header.
    pub part: Part,
}

/// A parameter of Content-Type or Content-Disposition. RFC 2231 pieces are kept as they came
/// (`filename*0*`), for BODYSTRUCTURE shows them raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Name, lower case.
    pub name: String,
    /// Value, without quotes.
    pub value: Vec<u8>,
}

/// Content-Disposition (RFC 2183).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// `inline`, `attachment` …, lower case.
    pub kind: String,
    /// Its parameters.
    pub params: Vec<Param>,
}

/// Content-Transfer-Encoding (RFC 2045 §6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `7bit`, also when nothing is said.
    #[default]
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `binary`.
    Binary,
    /// `quoted-printable`.
    QuotedPrintable,
    /// `base64`.
    Base64,
    /// Any other token, lower case. Its content cannot be decoded.
    Other(String),
}

impl Encoding {
    /// The token of this encoding, lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::Binary => "binary",
            Self::QuotedPrintable => "quoted-printable",
            Self::Base64 => "base64",
            Self::Other(token) => token,
        }
    }

    /// The encoding of this token, in any case; an empty one is `7bit`.
    #[must_use]
    pub fn parse(token: &str) -> Self {
        let token = token.to_ascii_lowercase();
        match token.as_str() {
            "" | "7bit" => Self::SevenBit,
            "8bit" => Self::EightBit,
            "binary" => Self::Binary,
            "quoted-printable" => Self::QuotedPrintable,
            "base64" => Self::Base64,
            _ => Self::Other(token),
        }
    }
}

impl Part {
    /// A leaf `text/plain` of these bytes, as RFC 2045 §5.2 has it where nothing is said.
    #[must_use]
    pub fn plain(header: Range<u64>, body: Range<u64>) -> Self {
        Self {
            media: "text".into(),
            subtype: "plain".into(),
            params: Vec::new(),
            id: None,
            description: None,
            encoding: Encoding::SevenBit,
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
            header,
            body,
            lines: 0,
            inside: Inside::Leaf,
        }
    }

    /// Bytes of the body, as BODYSTRUCTURE counts them (in its transfer encoding).
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.body.end.saturating_sub(self.body.start)
    }

    /// Whether the type is `media/subtype`, both given in lower case.
    #[must_use]
    pub fn is(&self, media: &str, subtype: &str) -> bool {
        self.media == media && self.subtype == subtype
    }

    /// The parameter of Content-Type with this lower-case name, if it is given plainly.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.params.iter().find(|param| param.name == name).map(|param| &*param.value)
    }

    /// Whether it says that it is an attachment.
    #[must_use]
    pub fn is_attachment(&self) -> bool {
        self.disposition.as_ref().is_some_and(|disposition| disposition.kind == "attachment")
    }

    /// The parts directly inside a multipart; none for any other.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        match &self.inside {
            Inside::Multipart(parts) => parts,
            Inside::Leaf | Inside::Message(_) => &[],
        }
    }

    /// The embedded message, if this part is one.
    #[must_use]
    pub fn embedded(&self) -> Option<&Embedded> {
        match &self.inside {
            Inside::Message(embedded) => Some(embedded),
            Inside::Leaf | Inside::Multipart(_) => None,
        }
    }

    /// The part with this IMAP section number, of a whole message's structure (RFC 9051 §6.4.5.1):
    /// `BODY[1.2]` is `body` of `section(&[1, 2])`, `BODY[1.2.MIME]` its `header`, and
    /// `BODY[1.2.HEADER]` the `header`, `BODY[1.2.TEXT]` the `body` of the part in its `embedded()`.
    /// The empty number is the message itself. `None`: there is no such part.
    #[must_use]
    pub fn section(&self, number: &[u32]) -> Option<&Self> {
        let mut whole = self;
        let mut found = self;
        for (depth, index) in number.iter().enumerate() {
            if depth > 0 {
                // Numbers go on inside an embedded message as if its body stood in its place.
                match &found.inside {
                    Inside::Multipart(_) => whole = found,
                    Inside::Message(embedded) => whole = &embedded.part,
                    Inside::Leaf => return None,
                }
            }
            let index = usize::try_from(*index).ok()?.checked_sub(1)?;
            found = match &whole.inside {
                Inside::Multipart(parts) => parts.get(index)?,
                // RFC 9051 §6.4.5.1: a message that is no multipart has its body as part 1.
                Inside::Leaf | Inside::Message(_) => Some(whole).filter(|_| index == 0)?,
            };
        }
        Some(found)
    }

    /// All parts in the order of their bytes, this one first, those of embedded messages included.
    /// At most [`PARTS_MAX`] and some for what [`crate::structure::Scanner`] made.
    pub fn walk(&self) -> impl Iterator<Item = &Self> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let part = waiting.pop()?;
            match &part.inside {
                Inside::Leaf => {}
                Inside::Multipart(parts) => waiting.extend(parts.iter().rev()),
                Inside::Message(embedded) => waiting.push(&embedded.part),
            }
            Some(part)
        })
    }
}
