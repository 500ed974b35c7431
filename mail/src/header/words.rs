//! RFC 2047 encoded words in header text.

use crate::header::unfold;
use crate::text::{charset_to_text, joins};
use crate::transfer::{base64_into, quoted_word_into};

/// The text of an unstructured value or a phrase: unfolded, encoded words decoded, white space
/// between two of them dropped (RFC 2047 §6.2), bytes outside of them read as UTF-8 if they are
/// that, else as windows-1252. Words of one charset that follow one another are joined before they
/// are decoded, for some senders cut characters in two.
#[must_use]
pub fn decode_text(value: &[u8]) -> String {
    let value = unfold(value);
    let mut out = String::with_capacity(value.len());
    let mut open: Option<Run<'_>> = None;
    let mut rest: &[u8] = &value;
    let mut plain_from: &[u8] = rest;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let (before, candidate) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        let Some((word, after)) = Word::parse(candidate) else {
            rest = candidate.get(2..).unwrap_or_default();
            continue;
        };
        // `plain_from` runs up to this word: what lies between is plain text.
        let plain = plain_from.get(..plain_from.len() - candidate.len()).unwrap_or(before);
        let adjacent = open.is_some() && plain.iter().all(u8::is_ascii_whitespace);
        if !adjacent {
            flush(&mut open, &mut out);
            out.push_str(&charset_to_text(b"", plain));
        }
        match &mut open {
            Some(run) if run.charset.eq_ignore_ascii_case(word.charset) && joins(word.charset) => {
                word.decode_into(&mut run.bytes);
            }
            _ => {
                flush(&mut open, &mut out);
                let mut bytes = Vec::new();
                word.decode_into(&mut bytes);
                open = Some(Run { charset: word.charset, bytes });
            }
        }
        rest = after;
        plain_from = after;
    }
    flush(&mut open, &mut out);
    out.push_str(&charset_to_text(b"", plain_from));
    out
}

/// Bytes of words of one charset that follow one another.
struct Run<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
}

fn flush(open: &mut Option<Run<'_>>, out: &mut String) {
    if let Some(run) = open.take() {
        let text = charset_to_text(run.charset, &run.bytes);
        out.extend(text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }));
    }
}

struct Word<'a> {
    charset: &'a [u8],
    base64: bool,
    text: &'a [u8],
}

impl<'a> Word<'a> {
    /// `=?charset*language?B?text?=` at the start of `bytes`, and what follows it. RFC 2047 §2
    /// allows 75 bytes a word; longer ones are met and taken. Linear: the next word's `?` ends this.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        const CHARSET_BYTES_MAX: usize = 64;
        let rest = bytes.strip_prefix(b"=?")?;
        let end = rest.iter().take(CHARSET_BYTES_MAX).position(|byte| *byte == b'?')?;
        let (charset, rest) = rest.split_at_checked(end)?;
        let base64 = match rest.get(..3)? {
            [b'?', b'B' | b'b', b'?'] => true,
            [b'?', b'Q' | b'q', b'?'] => false,
            _ => return None,
        };
        let rest = rest.get(3..)?;
        // The text itself has no "?": the first one ends it.
        let end = memchr::memchr(b'?', rest)?;
        let after = rest.get(end..)?.strip_prefix(b"?=")?;
        // RFC 2231 §5: a language may follow the charset.
        let charset = charset.split(|byte| *byte == b'*').next()?;
        let good = !charset.is_empty() && charset.iter().all(u8::is_ascii_graphic);
        good.then_some((Self { charset, base64, text: rest.get(..end)? }, after))
    }

    fn decode_into(&self, out: &mut Vec<u8>) {
        if self.base64 { base64_into(self.text, out) } else { quoted_word_into(self.text, out) }
    }
}
