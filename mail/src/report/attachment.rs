//! The report within a message: found, and unpacked within bounds.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use mail_parser::{MessageParser, MimeHeaders as _, PartType};

use super::NoReport;

/// Largest message that is looked into.
pub const REPORT_MESSAGE_BYTES_MAX: u64 = 10 << 20;

/// Most bytes that the parts of one message are unpacked to, all together (F3).
pub const REPORT_BYTES_MAX: usize = 16 << 20;

/// Parts of a message that are tried.
const PARTS_MAX: usize = 4;

/// Entries of an archive that are looked at.
const ENTRIES_MAX: usize = 4;

/// A report as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpacked {
    /// XML: of DMARC.
    Xml(String),
    /// JSON: of TLS-RPT.
    Json(String),
}

/// Finds the report in a message. Types and names of parts only say where to look; what it is, its
/// first bytes say.
/// # Errors
/// [`NoReport`]: there is none, or it unpacks to more than [`REPORT_BYTES_MAX`].
pub fn unpack(message: &[u8]) -> Result<Unpacked, NoReport> {
    let message = MessageParser::new().parse(message).ok_or(NoReport("no message"))?;
    let mut left = REPORT_BYTES_MAX;
    let mut why = NoReport("nothing in it looks like one");
    for part in message.parts.iter().filter(|part| is_candidate(part)).take(PARTS_MAX) {
        let bytes = match &part.body {
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.as_ref(),
            PartType::Text(text) | PartType::Html(text) => text.as_bytes(),
            PartType::Message(_) | PartType::Multipart(_) => continue,
        };
        match of(bytes, &mut left) {
            Ok(found) => return Ok(found),
            Err(error) => why = error,
        }
    }
    Err(why)
}

fn is_candidate(part: &mail_parser::MessagePart<'_>) -> bool {
    const TYPES: [&str; 10] = [
        "gzip",
        "x-gzip",
        "zip",
        "x-zip",
        "x-zip-compressed",
        "xml",
        "json",
        "tlsrpt+gzip",
        "tlsrpt+json",
        "octet-stream",
    ];
    let kind = part.content_type().and_then(|kind| kind.subtype()).unwrap_or_default();
    let name = part.attachment_name().unwrap_or_default().to_ascii_lowercase();
    let is_named = [".xml", ".gz", ".zip", ".json"].iter().any(|end| name.ends_with(end));
    is_named || TYPES.iter().any(|one| one.eq_ignore_ascii_case(kind))
}

fn of(bytes: &[u8], left: &mut usize) -> Result<Unpacked, NoReport> {
    match bytes {
        [0x1f, 0x8b, ..] => text(read(MultiGzDecoder::new(bytes), left)?),
        [b'P', b'K', 3, 4, ..] => text(unzip(bytes, left)?),
        _ => text(read(bytes, left)?),
    }
}

/// All there is, if it is not too much.
fn read(from: impl Read, left: &mut usize) -> Result<Vec<u8>, NoReport> {
    let most = u64::try_from(*left).unwrap_or(u64::MAX);
    let mut out = Vec::new();
    let done = from.take(most.saturating_add(1)).read_to_end(&mut out);
    if out.len() > *left {
        *left = 0;
        return Err(NoReport("it unpacks to too much"));
    }
    *left -= out.len();
    done.map(|_| out).map_err(|_| NoReport("it cannot be unpacked"))
}

fn text(bytes: Vec<u8>) -> Result<Unpacked, NoReport> {
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => rest.to_vec(),
        None => bytes,
    };
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    match text.trim_start().chars().next() {
        Some('<') => Ok(Unpacked::Xml(text)),
        Some('{') => Ok(Unpacked::Json(text)),
        _ => Err(NoReport("neither XML nor JSON")),
    }
}

/// The first file of an archive, by its local headers (APPNOTE §4.3.7): what the directory at its
/// end says is not needed for that, and cannot lead astray.
fn unzip(archive: &[u8], left: &mut usize) -> Result<Vec<u8>, NoReport> {
    const BROKEN: NoReport = NoReport("a broken archive");
    let mut rest = archive;
    for _ in 0..ENTRIES_MAX {
        let head = rest.get(..30).ok_or(BROKEN)?;
        if !head.starts_with(b"PK\x03\x04") {
            return Err(BROKEN);
        }
        let short = |at: usize| {
            let bytes = head.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
            bytes.map(|bytes| usize::from(u16::from_le_bytes(bytes))).ok_or(BROKEN)
        };
        let size = head.get(18..22).and_then(|bytes| bytes.try_into().ok()).ok_or(BROKEN)?;
        let size = usize::try_from(u32::from_le_bytes(size)).map_err(|_| BROKEN)?;
        let (flags, method, name, extra) = (short(6)?, short(8)?, short(26)?, short(28)?);
        let is_folder = rest.get(30..30 + name).ok_or(BROKEN)?.ends_with(b"/");
        let data = rest.get(30 + name + extra..).ok_or(BROKEN)?;
        if flags & 1 != 0 {
            return Err(NoReport("an archive with a password"));
        }
        // Bit 3: the size stands behind the data; what is deflated ends by itself.
        let stored = data.get(..size);
        match method {
            _ if is_folder => rest = stored.and_then(|_| data.get(size..)).ok_or(BROKEN)?,
            0 if flags & 8 == 0 => return read(stored.ok_or(BROKEN)?, left),
            8 => return read(DeflateDecoder::new(data), left),
            _ => return Err(NoReport("an archive of another kind")),
        }
    }
    Err(BROKEN)
}
