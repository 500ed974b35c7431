//! Content-Transfer-Encoding: decoding base64 and quoted-printable as bytes arrive (RFC 2045 §6).
//!
//! Lenient as mail needs it: characters that do not belong are skipped (base64) or kept as they
//! are (quoted-printable); padding in the middle ends a piece and the next begins.

use crate::part::Encoding;

#[cfg(test)]
mod tests;

/// White space kept after a `=` while it is not known whether the line ends there.
const SPACE_MAX: usize = 80;

/// Decodes one body. Holds under 100 bytes, whatever is fed.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Identity,
    Base64 {
        bits: u32,
        count: u8,
    },
    /// What was seen since a `=` that is not decided yet; empty outside.
    Quoted {
        held: Vec<u8>,
    },
}

impl Decoder {
    /// A decoder of this encoding. What nobody can decode is passed on as it is.
    #[must_use]
    pub const fn new(encoding: &Encoding) -> Self {
        let state = match encoding {
            Encoding::Base64 => State::Base64 { bits: 0, count: 0 },
            Encoding::QuotedPrintable => State::Quoted { held: Vec::new() },
            Encoding::SevenBit | Encoding::EightBit | Encoding::Binary | Encoding::Other(_) => {
                State::Identity
            }
        };
        Self { state }
    }

    /// Takes the next bytes of the body and appends what they decode to.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.state {
            State::Identity => out.extend_from_slice(bytes),
            State::Base64 { bits, count } => {
                for byte in bytes {
                    base64_step(*byte, bits, count, out);
                }
            }
            State::Quoted { held } => {
                let mut rest = bytes;
                loop {
                    if held.is_empty() {
                        let plain = memchr::memchr(b'=', rest).unwrap_or(rest.len());
                        let (taken, after) = rest.split_at_checked(plain).unwrap_or_default();
                        out.extend_from_slice(taken);
                        rest = after;
                    }
                    let Some((byte, after)) = rest.split_first() else { break };
                    rest = after;
                    quoted_step(*byte, held, out);
                }
            }
        }
    }

    /// Appends what was held back, at the end of the body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.state {
            State::Identity => {}
            State::Base64 { bits, count } => base64_end(bits, count, out),
            State::Quoted { held } => {
                // A lone "=" at the end is a soft line break whose line end was taken away.
                if held.len() > 1 && !matches!(held.get(1), Some(b' ' | b'\t' | b'\r')) {
                    out.extend_from_slice(held);
                }
                held.clear();
            }
        }
    }
}

/// All of `bytes`, decoded.
#[must_use]
pub fn decode(encoding: &Encoding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut decoder = Decoder::new(encoding);
    decoder.feed(bytes, &mut out);
    decoder.finish(&mut out);
    out
}

/// Appends what base64 text decodes to, as in an encoded word.
pub(crate) fn base64_into(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0, 0);
    text.iter().for_each(|byte| base64_step(*byte, &mut bits, &mut count, out));
    base64_end(&mut bits, &mut count, out);
}

/// Appends what the "Q" encoding of RFC 2047 §4.2 decodes to.
pub(crate) fn quoted_word_into(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.first().copied().and_then(hex), after.get(1).copied().and_then(hex)) {
            (b'=', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'_', ..) => out.push(b' '),
            _ => out.push(*first),
        }
    }
}

fn base64_step(byte: u8, bits: &mut u32, count: &mut u8, out: &mut Vec<u8>) {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => return base64_end(bits, count, out),
        _ => return,
    };
    *bits = *bits << 6 | u32::from(value);
    *count += 1;
    if *count == 4 {
        let [_, first, second, third] = bits.to_be_bytes();
        out.extend_from_slice(&[first, second, third]);
        (*bits, *count) = (0, 0);
    }
}

/// Two or three characters before the padding make one or two bytes; one makes none.
fn base64_end(bits: &mut u32, count: &mut u8, out: &mut Vec<u8>) {
    let [_, first, second, _] = (*bits << (6 * u32::from(4 - (*count).min(4)))).to_be_bytes();
    match count {
        2 => out.push(first),
        3 => out.extend_from_slice(&[first, second]),
        _ => {}
    }
    (*bits, *count) = (0, 0);
}

/// One byte outside of, or after, a `=` (RFC 2045 §6.7).
fn quoted_step(byte: u8, held: &mut Vec<u8>, out: &mut Vec<u8>) {
    if held.is_empty() {
        if byte == b'=' {
            held.push(byte)
        } else {
            out.push(byte)
        }
        return;
    }
    let blank_so_far = held.iter().skip(1).all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    match byte {
        // A soft line break; white space before the line end was added on the way.
        b'\n' if blank_so_far => held.clear(),
        b' ' | b'\t' | b'\r' if blank_so_far && held.len() < SPACE_MAX => held.push(byte),
        _ => match (held.get(1).copied(), hex(byte)) {
            (None, Some(_)) => held.push(byte),
            (Some(high), Some(low)) if held.len() == 2 && hex(high).is_some() => {
                out.push(hex(high).unwrap_or(0) << 4 | low);
                held.clear();
            }
            _ => {
                // No encoding: as it is. This byte may begin one.
                out.append(held);
                quoted_step(byte, held, out);
            }
        },
    }
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
