//! Modified UTF-7, how IMAP4rev1 writes mailbox names (RFC 3501 §5.1.3).

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Without padding, and strict about the bits left over: one text has one encoding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Encodes a name. The result is printable US-ASCII.
pub(crate) fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for char in name.chars() {
        if matches!(char, ' '..='~') {
            flush(&mut shifted, &mut text);
            text.push(char);
            if char == '&' {
                text.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut shifted, &mut text);
    text
}

fn flush(shifted: &mut Vec<u8>, text: &mut String) {
    if !shifted.is_empty() {
        text.push('&');
        BASE64.encode_string(&*shifted, text);
        text.push('-');
        shifted.clear();
    }
}

/// Decodes a name. `None` for what [`encode`] never writes: octets that are not printable
/// US-ASCII, `&` without end, bad base64 or UTF-16, printable characters in base64 (`&AC8-`),
/// adjacent shifts (RELIABILITY B4: one name has one encoding).
pub(crate) fn decode(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, shifted)) = rest.split_once('&') {
        name.push_str(plain);
        let (coded, after) = shifted.split_once('-')?;
        if coded.is_empty() {
            name.push('&');
        } else {
            let bytes = BASE64.decode(coded).ok()?;
            let units = bytes.chunks(2).map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
            let units: Vec<u16> = units.collect::<Option<_>>()?;
            name.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    name.push_str(rest);
    // One name has one encoding; this also refuses plain octets out of range.
    (encode(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_encoding() {
        for (name, text) in [
            ("INBOX", "INBOX"),
            ("Entw\u{fc}rfe", "Entw&APw-rfe"),
            ("a&b", "a&-b"),
            (
                "~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}",
                "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
            ),
            ("\u{1f600}", "&2D3eAA-"),
            ("", ""),
        ] {
            assert_eq!(encode(name), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(name));
        }
        // RFC 3501 §5.1.3: printable characters are not shifted, shifts are not adjacent.
        for bad in ["&AC8-", "&", "&AGE-", "a&b", "&U,BTFw-&ZeVnLIqe-", "&2D0-", "&AP-", "é", "\r"]
        {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
