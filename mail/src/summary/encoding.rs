//! How summaries are stored: one byte for a dictionary id, then zstd without its magic number, of
//!
//! ```text
//! version, flags (1 = cut), lines, root part, fields, preview
//! ```
//!
//! Header length and size are those of the root part.
//! Frequent words (media types, parameter names, field names in their usual spelling) are one byte;
//! ranges are gaps and lengths from where the part before ended. No dictionary is shipped.
//! What does not fit is cut, least needed first, and marked: every message has a summary [Q].

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use crate::codec::{Malformed, Reader, put_bytes, put_str, put_varint};
use crate::part::{DEPTH_MAX, Disposition, Embedded, Encoding, Inside, PARTS_MAX, Param, Part};
use crate::summary::{Field, FieldName, PREVIEW_BYTES_MAX, Summary};

/// Largest encoded summary (docs/rules.md).
pub const SUMMARY_BYTES_MAX: usize = 8 * 1024;

/// Largest summary before compression. Bounds what decoding allocates.
pub const SUMMARY_RAW_MAX: usize = 64 * 1024;

const VERSION: u8 = 1;
const NO_DICTIONARY: u8 = 0;
/// In the place of a dictionary's id: not compressed.
const UNCOMPRESSED: u8 = 255;
const FLAG_CUT: u8 = 1;
/// Four bytes that begin every zstd frame (RFC 8878 §3.1.1); not stored.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
// Higher levels gain 1 % and cost four times as much on real mail.
const ZSTD_LEVEL: i32 = 1;

/// Media types in one byte; 0 stands for one that is spelled out. Append only.
const TYPES: [(&str, &str); 28] = [
    ("text", "plain"),
    ("text", "html"),
    ("multipart", "alternative"),
    ("multipart", "mixed"),
    ("multipart", "related"),
    ("multipart", "signed"),
    ("multipart", "report"),
    ("multipart", "digest"),
    ("message", "rfc822"),
    ("message", "delivery-status"),
    ("message", "global"),
    ("text", "rfc822-headers"),
    ("text", "calendar"),
    ("application", "octet-stream"),
    ("application", "pdf"),
    ("application", "pgp-signature"),
    ("application", "pkcs7-signature"),
    ("application", "zip"),
    ("application", "msword"),
    ("application", "vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("application", "vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("image", "jpeg"),
    ("image", "png"),
    ("image", "gif"),
    ("text", "x-patch"),
    ("text", "csv"),
    ("application", "ics"),
    ("application", "x-pkcs7-signature"),
];

/// Parameter names in one byte; 0 stands for one that is spelled out. Append only.
const PARAMS: [&str; 16] = [
    "charset",
    "boundary",
    "name",
    "filename",
    "format",
    "delsp",
    "type",
    "micalg",
    "protocol",
    "report-type",
    "size",
    "creation-date",
    "modification-date",
    "name*",
    "filename*",
    "method",
];

/// Spellings of field names in one byte; 0 stands for one that is not here. Append only.
const SPELLINGS: [(FieldName, &str); 20] = [
    (FieldName::From, "From"),
    (FieldName::Sender, "Sender"),
    (FieldName::ReplyTo, "Reply-To"),
    (FieldName::To, "To"),
    (FieldName::Cc, "Cc"),
    (FieldName::Bcc, "Bcc"),
    (FieldName::Subject, "Subject"),
    (FieldName::Date, "Date"),
    (FieldName::MessageId, "Message-ID"),
    (FieldName::InReplyTo, "In-Reply-To"),
    (FieldName::References, "References"),
    (FieldName::ContentType, "Content-Type"),
    (FieldName::ListId, "List-Id"),
    (FieldName::MessageId, "Message-Id"),
    (FieldName::ListId, "List-ID"),
    (FieldName::Cc, "CC"),
    (FieldName::ReplyTo, "Reply-to"),
    (FieldName::ContentType, "Content-type"),
    (FieldName::InReplyTo, "In-reply-to"),
    (FieldName::MessageId, "Message-id"),
];

/// Which rare attributes of a part follow.
mod has {
    pub(super) const ID: u8 = 1;
    pub(super) const DESCRIPTION: u8 = 2;
    pub(super) const MD5: u8 = 4;
    pub(super) const DISPOSITION: u8 = 8;
    pub(super) const LANGUAGE: u8 = 16;
    pub(super) const LOCATION: u8 = 32;
    pub(super) const CHILDREN: u8 = 64;
    pub(super) const MESSAGE: u8 = 128;
}

impl Summary {
    /// The stored form, at most [`SUMMARY_BYTES_MAX`] bytes. If it would be larger, what is longest
    /// and least needed is left out and the result says `cut`: long fields first, then the
    /// structure (an opaque part stands for it), then all fields.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if let Some(encoded) = self.try_encode() {
            return encoded;
        }
        let mut cut = Self { cut: true, ..self.clone() };
        for field_bytes_max in [1024, 256] {
            cut.fields.retain(|field| field.raw.len() <= field_bytes_max);
            if let Some(encoded) = cut.try_encode() {
                return encoded;
            }
        }
        cut.structure = opaque(&cut.structure);
        if let Some(encoded) = cut.try_encode() {
            return encoded;
        }
        // Many short fields, such as a thousand To: the first of each name.
        let mut seen = Vec::new();
        cut.fields.retain(|field| {
            let new = !seen.contains(&field.name);
            seen.push(field.name);
            new
        });
        cut.try_encode().unwrap_or_else(|| {
            cut.fields.clear();
            cut.preview.clear();
            // What is left is under a hundred bytes: numbers, and the opaque root.
            cut.try_encode().unwrap_or_default()
        })
    }

    /// What is compressed.
    pub(crate) fn raw(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(1024);
        raw.push(VERSION);
        raw.push(if self.cut { FLAG_CUT } else { 0 });
        put_varint(&mut raw, self.lines);
        put_part(&mut raw, &self.structure, 0);
        put_fields(&mut raw, &self.fields);
        put_str(&mut raw, &self.preview);
        raw
    }

    fn try_encode(&self) -> Option<Vec<u8>> {
        let raw = self.raw();
        if raw.len() > SUMMARY_RAW_MAX {
            return None;
        }
        let mut packed = pack(&raw)?;
        // The dictionary's id stands where the magic number ends.
        packed.drain(..ZSTD_MAGIC.len() - 1);
        *packed.first_mut()? = NO_DICTIONARY;
        (packed.len() <= SUMMARY_BYTES_MAX).then_some(packed)
    }

    /// Reads what [`Self::encode`] wrote.
    /// # Errors
    /// [`Malformed`] if it is not that.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if let Some((&UNCOMPRESSED, raw)) = bytes.split_first()
            && raw.len() <= SUMMARY_RAW_MAX
        {
            return Self::decode_raw(&mut Reader::new(raw));
        }
        let uncompressed = Self::uncompressed(bytes)?;
        Self::decode_raw(&mut Reader::new(uncompressed.get(1..).unwrap_or_default()))
    }

    /// The stored form without its compression, which [`Self::decode`] reads too: for a store that
    /// compresses many together. At most [`SUMMARY_RAW_MAX`] + 1 bytes.
    /// # Errors
    /// [`Malformed`] if it is not what [`Self::encode`] wrote.
    pub fn uncompressed(encoded: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut reader = Reader::new(encoded);
        if encoded.len() > SUMMARY_BYTES_MAX || reader.byte()? != NO_DICTIONARY {
            return Err(Malformed("summary"));
        }
        let packed = [&ZSTD_MAGIC, reader.rest()].concat();
        let raw = unpack(&packed).ok_or(Malformed("summary compression"))?;
        Ok([&[UNCOMPRESSED], &raw[..]].concat())
    }

    pub(crate) fn decode_raw(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if reader.byte()? != VERSION {
            return Err(Malformed("summary version"));
        }
        let cut = match reader.byte()? {
            0 => false,
            FLAG_CUT => true,
            _ => return Err(Malformed("summary flags")),
        };
        let lines = reader.varint()?;
        let structure = take_part(reader, 0, 0, &mut 0)?;
        let fields = take_fields(reader)?;
        let preview = reader.str(PREVIEW_BYTES_MAX)?.to_owned();
        reader.end()?;
        let (header_len, size) = (structure.header.end, structure.body.end);
        Ok(Self { fields, header_len, size, lines, structure, preview, cut })
    }
}

thread_local! {
    // Making a context costs several times what a summary costs: each thread keeps its own.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn pack(raw: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Compressor::new(ZSTD_LEVEL).ok();
        }
        kept.as_mut()?.compress(raw).ok()
    })
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    // What the frame says that it holds, if it says so; the bound holds in any case.
    let size = Decompressor::upper_bound(packed).unwrap_or(SUMMARY_RAW_MAX);
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        kept.as_mut()?.decompress(packed, size.min(SUMMARY_RAW_MAX)).ok()
    })
}

/// The same bytes as one leaf that is not looked into.
fn opaque(part: &Part) -> Part {
    Part {
        media: "application".into(),
        subtype: "octet-stream".into(),
        lines: part.lines,
        ..Part::plain(part.header.clone(), part.body.clone())
    }
}

fn put_fields(out: &mut Vec<u8>, fields: &[Field]) {
    put_varint(out, fields.len() as u64);
    for field in fields {
        let usual = SPELLINGS.iter().zip(1_u8..).find_map(|((name, spelling), index)| {
            let value = field.raw.strip_prefix(spelling.as_bytes())?.strip_prefix(b": ")?;
            (*name == field.name).then_some((index, value.strip_suffix(b"\r\n")?))
        });
        match usual {
            Some((index, value)) => {
                out.push(index);
                put_bytes(out, value);
            }
            None => {
                out.push(0);
                put_bytes(out, &field.raw);
            }
        }
    }
}

fn take_fields(reader: &mut Reader<'_>) -> Result<Vec<Field>, Malformed> {
    let count = reader.count(SUMMARY_RAW_MAX)?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let index = reader.byte()?;
        let bytes = reader.bytes(SUMMARY_RAW_MAX)?;
        let field = if index == 0 {
            let colon = memchr::memchr(b':', bytes).ok_or(Malformed("field"))?;
            let name = bytes.get(..colon).unwrap_or_default().trim_ascii_end();
            let name = FieldName::parse(name).ok_or(Malformed("field name"))?;
            Field { name, raw: bytes.to_vec() }
        } else {
            let (name, spelling) =
                SPELLINGS.get(usize::from(index) - 1).ok_or(Malformed("field name"))?;
            Field { name: *name, raw: [spelling.as_bytes(), b": ", bytes, b"\r\n"].concat() }
        };
        fields.push(field);
    }
    Ok(fields)
}

/// `from`: where the part before, or the header around, ended.
fn put_part(out: &mut Vec<u8>, part: &Part, from: u64) {
    put_type(out, part);
    put_params(out, &part.params);
    let mut flags = 0;
    flags |= if part.id.is_some() { has::ID } else { 0 };
    flags |= if part.description.is_some() { has::DESCRIPTION } else { 0 };
    flags |= if part.md5.is_some() { has::MD5 } else { 0 };
    flags |= if part.disposition.is_some() { has::DISPOSITION } else { 0 };
    flags |= if part.language.is_empty() { 0 } else { has::LANGUAGE };
    flags |= if part.location.is_some() { has::LOCATION } else { 0 };
    flags |= match &part.inside {
        Inside::Leaf => 0,
        Inside::Multipart(_) => has::CHILDREN,
        Inside::Message(_) => has::MESSAGE,
    };
    out.push(flags);
    put_encoding(out, &part.encoding);
    for text in [&part.id, &part.description, &part.md5, &part.location].into_iter().flatten() {
        put_bytes(out, text);
    }
    if let Some(disposition) = &part.disposition {
        put_str(out, &disposition.kind);
        put_params(out, &disposition.params);
    }
    if !part.language.is_empty() {
        put_varint(out, part.language.len() as u64);
        part.language.iter().for_each(|tag| put_bytes(out, tag));
    }
    put_varint(out, part.header.start.saturating_sub(from));
    put_varint(out, part.body.start.saturating_sub(part.header.start));
    put_varint(out, part.octets());
    put_varint(out, part.lines);
    match &part.inside {
        Inside::Leaf => {}
        Inside::Multipart(parts) => {
            put_varint(out, parts.len() as u64);
            let mut from = part.body.start;
            for part in parts {
                put_part(out, part, from);
                from = part.body.end;
            }
        }
        Inside::Message(embedded) => {
            put_fields(out, &embedded.fields);
            put_part(out, &embedded.part, part.body.start);
        }
    }
}

fn take_part(
    reader: &mut Reader<'_>,
    from: u64,
    depth: usize,
    parts: &mut usize,
) -> Result<Part, Malformed> {
    *parts += 1;
    // The scanner puts at most one opaque part under what it no longer looks into.
    if depth > DEPTH_MAX + 1 || *parts > PARTS_MAX + DEPTH_MAX + 1 {
        return Err(Malformed("structure"));
    }
    let (media, subtype) = take_type(reader)?;
    let params = take_params(reader)?;
    let flags = reader.byte()?;
    let encoding = take_encoding(reader)?;
    let mut text = |flag: u8| -> Result<Option<Vec<u8>>, Malformed> {
        let there = flags & flag != 0;
        if there {
            reader.bytes(SUMMARY_RAW_MAX).map(|bytes| Some(bytes.to_vec()))
        } else {
            Ok(None)
        }
    };
    let (id, description, md5, location) =
        (text(has::ID)?, text(has::DESCRIPTION)?, text(has::MD5)?, text(has::LOCATION)?);
    let disposition = if flags & has::DISPOSITION == 0 {
        None
    } else {
        let kind = reader.str(SUMMARY_RAW_MAX)?.to_owned();
        Some(Disposition { kind, params: take_params(reader)? })
    };
    let mut language = Vec::new();
    if flags & has::LANGUAGE != 0 {
        for _ in 0..reader.count(SUMMARY_RAW_MAX)? {
            language.push(reader.bytes(SUMMARY_RAW_MAX)?.to_vec());
        }
    }
    let mut at = |base: u64| -> Result<u64, Malformed> {
        base.checked_add(reader.varint()?).ok_or(Malformed("range"))
    };
    let start = at(from)?;
    let body_start = at(start)?;
    let (header, body) = (start..body_start, body_start..at(body_start)?);
    let lines = reader.varint()?;
    let inside = take_inside(reader, flags, body.start, depth, parts)?;
    Ok(Part {
        media,
        subtype,
        params,
        id,
        description,
        encoding,
        md5,
        disposition,
        language,
        location,
        header,
        body,
        lines,
        inside,
    })
}

fn take_inside(
    reader: &mut Reader<'_>,
    flags: u8,
    mut from: u64,
    depth: usize,
    parts: &mut usize,
) -> Result<Inside, Malformed> {
    match flags & (has::CHILDREN | has::MESSAGE) {
        0 => Ok(Inside::Leaf),
        has::CHILDREN => {
            let count = reader.count(PARTS_MAX + 1)?;
            if count == 0 {
                return Err(Malformed("multipart"));
            }
            let mut children = Vec::new();
            for _ in 0..count {
                let part = take_part(reader, from, depth + 1, parts)?;
                from = part.body.end;
                children.push(part);
            }
            Ok(Inside::Multipart(children))
        }
        has::MESSAGE => {
            let fields = take_fields(reader)?;
            let part = take_part(reader, from, depth + 1, parts)?;
            Ok(Inside::Message(Box::new(Embedded { fields, part })))
        }
        _ => Err(Malformed("part flags")),
    }
}

fn put_type(out: &mut Vec<u8>, part: &Part) {
    let known = TYPES.iter().zip(1_u8..).find(|((media, subtype), _)| part.is(media, subtype));
    match known {
        Some((_, index)) => out.push(index),
        None => {
            out.push(0);
            put_str(out, &part.media);
            put_str(out, &part.subtype);
        }
    }
}

fn take_type(reader: &mut Reader<'_>) -> Result<(String, String), Malformed> {
    match reader.byte()? {
        0 => {
            let media = reader.str(SUMMARY_RAW_MAX)?.to_owned();
            Ok((media, reader.str(SUMMARY_RAW_MAX)?.to_owned()))
        }
        index => TYPES
            .get(usize::from(index) - 1)
            .map(|(media, subtype)| ((*media).to_owned(), (*subtype).to_owned()))
            .ok_or(Malformed("media type")),
    }
}

fn put_params(out: &mut Vec<u8>, params: &[Param]) {
    put_varint(out, params.len() as u64);
    for param in params {
        match PARAMS.iter().zip(1_u8..).find(|(name, _)| **name == param.name) {
            Some((_, index)) => out.push(index),
            None => {
                out.push(0);
                put_str(out, &param.name);
            }
        }
        put_bytes(out, &param.value);
    }
}

fn take_params(reader: &mut Reader<'_>) -> Result<Vec<Param>, Malformed> {
    let mut params = Vec::new();
    for _ in 0..reader.count(SUMMARY_RAW_MAX)? {
        let name = match reader.byte()? {
            0 => reader.str(SUMMARY_RAW_MAX)?,
            index => PARAMS.get(usize::from(index) - 1).ok_or(Malformed("parameter"))?,
        };
        let name = name.to_owned();
        params.push(Param { name, value: reader.bytes(SUMMARY_RAW_MAX)?.to_vec() });
    }
    Ok(params)
}

fn put_encoding(out: &mut Vec<u8>, encoding: &Encoding) {
    match encoding {
        Encoding::SevenBit => out.push(0),
        Encoding::EightBit => out.push(1),
        Encoding::Binary => out.push(2),
        Encoding::QuotedPrintable => out.push(3),
        Encoding::Base64 => out.push(4),
        Encoding::Other(token) => {
            out.push(5);
            put_str(out, token);
        }
    }
}

fn take_encoding(reader: &mut Reader<'_>) -> Result<Encoding, Malformed> {
    Ok(match reader.byte()? {
        0 => Encoding::SevenBit,
        1 => Encoding::EightBit,
        2 => Encoding::Binary,
        3 => Encoding::QuotedPrintable,
        4 => Encoding::Base64,
        5 => Encoding::Other(reader.str(SUMMARY_RAW_MAX)?.to_owned()),
        _ => return Err(Malformed("encoding")),
    })
}
