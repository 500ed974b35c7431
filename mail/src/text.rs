//! Charsets to text, as bytes arrive, and searching in it (RFC 9051 §6.4.4: SEARCH decodes transfer
//! encodings and charsets, and ignores case).

#[cfg(test)]
mod tests;

use encoding_rs::{EUC_KR, Encoding, GBK, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use mail_parser::decoders::charsets::map::charset_decoder;
use memchr::memmem;
use unicode_normalization::UnicodeNormalization;

use crate::transfer::base64_into;

/// Bytes of one line that are held for a charset that is decoded by lines.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Decodes text of one charset as it arrives. Holds at most 64 KiB.
pub struct TextDecoder {
    state: State,
}

enum State {
    /// WHATWG charsets: decoded in a stream.
    Stream(Box<encoding_rs::Decoder>),
    /// Charsets whose shifts end with the line: decoded line by line.
    Lines { held: Vec<u8>, decode: fn(&[u8]) -> String },
}

impl TextDecoder {
    /// A decoder for this charset label, in any case. Of none, an unknown one and `us-ascii`, each
    /// line is read as UTF-8 if it is that, else as windows-1252: total, and right for most mail.
    #[must_use]
    pub fn new(label: &[u8]) -> Self {
        let state = match Charset::of(label) {
            Charset::Stream(encoding) if [UTF_8, UTF_16LE, UTF_16BE].contains(&encoding) => {
                State::Stream(Box::new(encoding.new_decoder()))
            }
            Charset::Stream(encoding) => {
                State::Stream(Box::new(encoding.new_decoder_without_bom_handling()))
            }
            Charset::Lines(decode) => State::Lines { held: Vec::new(), decode },
        };
        Self { state }
    }

    /// Takes the next bytes and appends their text.
    pub fn feed(&mut self, bytes: &[u8], out: &mut String) {
        match &mut self.state {
            State::Stream(decoder) => stream(decoder, bytes, out, false),
            State::Lines { held, decode } => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    // Whole lines, as many as there are; what is left is held.
                    let end = memchr::memrchr(b'\n', rest).map_or(0, |at| at + 1);
                    let (lines, line) = rest.split_at_checked(end).unwrap_or_default();
                    if !lines.is_empty() {
                        held.extend_from_slice(lines);
                        out.push_str(&decode(held));
                        held.clear();
                    }
                    let room = LINE_BYTES_MAX.saturating_sub(held.len());
                    let (taken, after) = line.split_at_checked(room).unwrap_or((line, &[]));
                    held.extend_from_slice(taken);
                    if held.len() >= LINE_BYTES_MAX {
                        out.push_str(&decode(held));
                        held.clear();
                    }
                    rest = after;
                }
            }
        }
    }

    /// Appends what was held back, at the end of the text.
    pub fn finish(&mut self, out: &mut String) {
        match &mut self.state {
            State::Stream(decoder) => stream(decoder, &[], out, true),
            State::Lines { held, decode } => {
                out.push_str(&decode(held));
                held.clear();
            }
        }
    }
}

fn stream(decoder: &mut encoding_rs::Decoder, bytes: &[u8], out: &mut String, last: bool) {
    let mut rest = bytes;
    // Two rounds do: the space that is reserved is what the decoder asks for.
    for _ in 0..8 {
        let Some(most) = decoder.max_utf8_buffer_length(rest.len()) else { return };
        out.reserve(most);
        let (result, read, _) = decoder.decode_to_string(rest, out, last);
        rest = rest.get(read..).unwrap_or_default();
        if result == encoding_rs::CoderResult::InputEmpty {
            return;
        }
    }
}

/// The text of `bytes` in the charset of this label; as [`TextDecoder`], but what has no usable
/// label is judged as a whole.
#[must_use]
pub fn charset_to_text(label: &[u8], bytes: &[u8]) -> String {
    match Charset::of(label) {
        Charset::Stream(_) => {
            let (mut decoder, mut out) = (TextDecoder::new(label), String::new());
            decoder.feed(bytes, &mut out);
            decoder.finish(&mut out);
            out
        }
        Charset::Lines(decode) => decode(bytes),
    }
}

/// Whether text of this charset may be cut between any two bytes and joined again. Where shifts
/// change what bytes mean, each piece begins anew.
pub(crate) fn joins(label: &[u8]) -> bool {
    let label = label.to_ascii_lowercase();
    let shifting: [&[u8]; 4] = [b"iso-2022", b"utf-7", b"utf-16", b"hz"];
    !shifting.iter().any(|begin| label.starts_with(begin))
}

enum Charset {
    Stream(&'static Encoding),
    Lines(fn(&[u8]) -> String),
}

impl Charset {
    fn of(label: &[u8]) -> Self {
        let label = label.trim_ascii().to_ascii_lowercase();
        match label.as_slice() {
            b"" | b"us-ascii" | b"ascii" | b"ansi_x3.4-1968" => return Self::Lines(guess),
            b"utf-7" | b"unicode-1-1-utf-7" | b"utf7" => return Self::Lines(utf7),
            b"hz-gb-2312" | b"hz" => return Self::Lines(hz),
            b"iso-2022-kr" | b"csiso2022kr" => return Self::Lines(iso_2022_kr),
            b"mac-cyrillic" => return Self::Stream(encoding_rs::X_MAC_CYRILLIC),
            b"cp932" | b"ms932" => return Self::Stream(encoding_rs::SHIFT_JIS),
            b"cp949" | b"uhc" | b"ms949" => return Self::Stream(EUC_KR),
            b"cp950" => return Self::Stream(encoding_rs::BIG5),
            b"cp936" => return Self::Stream(GBK),
            _ => {}
        }
        match Encoding::for_label(&label) {
            Some(encoding) if encoding != REPLACEMENT => Self::Stream(encoding),
            // What browsers do not know (cp850 and kin): single bytes.
            _ => Self::Lines(charset_decoder(&label).unwrap_or(guess)),
        }
    }
}

/// UTF-8 if it is that, else windows-1252.
fn guess(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// UTF-7 (RFC 2152): runs of base64 between `+` and `-`, or whatever else ends them, hold UTF-16;
/// a line begins outside of one.
fn utf7(bytes: &[u8]) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'+', rest) {
        let (plain, run) = rest.split_at_checked(at).unwrap_or_default();
        units.extend(plain.iter().map(|byte| u16::from(*byte)));
        let run = run.get(1..).unwrap_or_default();
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let length = run.iter().position(|byte| !is_base64(byte)).unwrap_or(run.len());
        let (text, after) = run.split_at_checked(length).unwrap_or_default();
        if text.is_empty() {
            units.push(u16::from(b'+'));
        } else {
            let mut decoded = Vec::new();
            base64_into(text, &mut decoded);
            let (pairs, _) = decoded.as_chunks::<2>();
            units.extend(pairs.iter().map(|pair| u16::from_be_bytes(*pair)));
        }
        rest = after.strip_prefix(b"-").unwrap_or(after);
    }
    units.extend(rest.iter().map(|byte| u16::from(*byte)));
    String::from_utf16_lossy(&units)
}

/// HZ (RFC 1843): `~{` and `~}` switch to GB 2312 and back; a line begins in ASCII.
fn hz(bytes: &[u8]) -> String {
    let (mut plain, mut shifted) = (Vec::with_capacity(bytes.len()), false);
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.first()) {
            (b'~', Some(next @ (b'{' | b'}' | b'~' | b'\n'))) => {
                rest = after.get(1..).unwrap_or_default();
                match next {
                    b'{' => shifted = true,
                    b'}' => shifted = false,
                    b'~' => plain.push(b'~'),
                    _ => {}
                }
            }
            (b'\n', _) => {
                shifted = false;
                plain.push(b'\n');
            }
            (0x21..=0x7e, _) if shifted => plain.push(first | 0x80),
            _ => plain.push(*first),
        }
    }
    GBK.decode_without_bom_handling(&plain).0.into_owned()
}

/// ISO-2022-KR (RFC 1557): SO and SI switch to KS C 5601 and back; a line begins in ASCII.
fn iso_2022_kr(bytes: &[u8]) -> String {
    let (mut plain, mut shifted) = (Vec::with_capacity(bytes.len()), false);
    let bytes = bytes.strip_prefix(b"\x1b$)C").unwrap_or(bytes);
    for byte in bytes {
        match byte {
            0x0e => shifted = true,
            0x0f => shifted = false,
            b'\n' => {
                shifted = false;
                plain.push(b'\n');
            }
            0x21..=0x7e if shifted => plain.push(byte | 0x80),
            _ => plain.push(*byte),
        }
    }
    EUC_KR.decode_without_bom_handling(&plain).0.into_owned()
}

/// Text in the form in which it is compared: lower case, compatibility decomposition, so that `É`,
/// `é` and `e` + accent are equal (the idea of RFC 5051 i;unicode-casemap).
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).nfkd().collect()
}

/// A search string that is looked for in text that arrives in pieces.
#[derive(Clone, Debug)]
pub struct Needle {
    folded: String,
    finder: memmem::Finder<'static>,
    /// The end of what was fed, folded: shorter than the needle.
    tail: Vec<u8>,
    found: bool,
}

impl Needle {
    /// Looks for `text` without regard to case. The empty one is found in everything.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let folded = fold(text);
        let finder = memmem::Finder::new(folded.as_bytes()).into_owned();
        Self { found: folded.is_empty(), folded, finder, tail: Vec::new() }
    }

    /// Takes the next piece of text; whether the needle has been found by now. Linear.
    pub fn feed(&mut self, text: &str) -> bool {
        if self.found {
            return true;
        }
        self.tail.extend_from_slice(fold(text).as_bytes());
        self.found = self.finder.find(&self.tail).is_some();
        let keep = self.folded.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
        self.found
    }

    /// Whether it was found since the last [`Self::restart`].
    #[must_use]
    pub const fn is_found(&self) -> bool {
        self.found
    }

    /// Begins again, in another text.
    pub fn restart(&mut self) {
        self.tail.clear();
        self.found = self.folded.is_empty();
    }

    /// Whether it occurs in this text alone.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.finder.find(fold(text).as_bytes()).is_some()
    }
}
