//! Modified UTF-7 (RFC 3501 §5.1.3). There is exactly one right form of each text; reading refuses
//! every other one, such as `&AC8-` for "/" (B4).

/// Modified base64: "," for "/", no padding.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// `text` in modified UTF-7.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    for letter in text.chars() {
        if (' '..='~').contains(&letter) {
            flush(&mut units, &mut out);
            out.push(letter);
            if letter == '&' {
                out.push('-');
            }
        } else {
            units.extend_from_slice(letter.encode_utf16(&mut [0; 2]));
        }
    }
    flush(&mut units, &mut out);
    out
}

fn flush(units: &mut Vec<u16>, out: &mut String) {
    if units.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut count) = (0_u32, 0);
    let mut push = |value: u32| {
        let index = usize::try_from(value & 63).unwrap_or(0);
        out.push(ALPHABET.get(index).map_or('A', |letter| char::from(*letter)));
    };
    for unit in units.drain(..) {
        bits = (bits << 16) | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            push(bits >> count);
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        push(bits << (6 - count));
    }
    out.push('-');
}

/// The text of modified UTF-7; `None` if it is not the one right form.
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let (run, after) = after.split_once('-')?;
        if run.is_empty() {
            out.push('&');
        } else {
            decode_run(run, &mut out)?;
        }
        rest = after;
    }
    out.push_str(rest);
    // The right form is the one that we would write: no second spelling can pass.
    (encode(&out) == text).then_some(out)
}

fn decode_run(run: &str, out: &mut String) -> Option<()> {
    let (mut bits, mut count) = (0_u32, 0);
    let mut units = Vec::new();
    for byte in run.bytes() {
        let value = ALPHABET.iter().position(|letter| *letter == byte)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from((bits >> count) & 0xffff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    out.push_str(&String::from_utf16(&units).ok()?);
    Some(())
}
