//! Strings of the protocol: text, atoms, quoted strings, literals, mailbox names, dates, sets.

use mail::mailbox::utf7;

use super::{Ranges, Style, put};
use crate::imap::command::{DateTime, Flag};

/// Longest string that is written quoted; longer ones are literals, so that clients with a line
/// limit read them.
const QUOTED_MAX: usize = 1_000;

/// Longest human text; the rest is cut. RFC 9051 §4 lets clients limit lines.
const TEXT_MAX: usize = 1_000;

/// Writes text of a status response: never empty, no control characters, one line.
pub(super) fn text(text: &str, style: Style, out: &mut Vec<u8>) {
    let mut rest = text.trim();
    if rest.is_empty() {
        rest = "-";
    }
    // RFC 9051 §7: text that begins with `[` would be read as a response code.
    if rest.starts_with('[') {
        out.push(b'-');
    }
    let mut left = TEXT_MAX;
    let mut buffer = [0; 4];
    for char in rest.chars() {
        let char = match char {
            _ if char.is_control() => ' ',
            // RFC 3501 §9: text is US-ASCII.
            _ if !style.rev2 && !char.is_ascii() => '?',
            _ => char,
        };
        let bytes = char.encode_utf8(&mut buffer).as_bytes();
        let Some(remaining) = left.checked_sub(bytes.len()) else { break };
        left = remaining;
        out.extend_from_slice(bytes);
    }
}

/// `nil` or a string.
pub(super) fn nstring(value: Option<&[u8]>, style: Style, out: &mut Vec<u8>) {
    match value {
        None => out.extend_from_slice(b"NIL"),
        Some(value) => string(value, style, out),
    }
}

/// A quoted string where it can be one, else a literal. NUL, which neither may have, becomes `?`.
pub(crate) fn string(value: &[u8], style: Style, out: &mut Vec<u8>) {
    let seven_bit = value.iter().all(|byte| !matches!(byte, 0 | b'\r' | b'\n' | 0x80..));
    let quotable = seven_bit
        || (style.rev2
            && value.iter().all(|byte| !matches!(byte, 0 | b'\r' | b'\n'))
            && std::str::from_utf8(value).is_ok());
    if quotable && value.len() <= QUOTED_MAX {
        quoted(value, out);
    } else {
        put(out, format_args!("{{{}}}\r\n", value.len()));
        out.extend(value.iter().map(|byte| if *byte == 0 { b'?' } else { *byte }));
    }
}

/// A quoted string; what cannot be in one becomes `?`.
pub(super) fn quoted(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in value {
        match byte {
            0 | b'\r' | b'\n' => out.push(b'?'),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// An atom where it can be one, else a string.
pub(super) fn astring(value: &[u8], style: Style, out: &mut Vec<u8>) {
    if !value.is_empty() && value.iter().all(|byte| is_atom_char(*byte)) && !is_nil(value) {
        out.extend_from_slice(value);
    } else {
        string(value, style, out);
    }
}

fn is_nil(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"NIL")
}

/// RFC 9051 §9 `ATOM-CHAR`.
pub(crate) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// A mailbox name, in UTF-8 or modified UTF-7 as the client has chosen.
pub(super) fn mailbox(name: &str, style: Style, out: &mut Vec<u8>) {
    if style.rev2 {
        string(name.as_bytes(), style, out);
    } else {
        string(utf7::encode(name).as_bytes(), style, out);
    }
}

/// A parenthesized list of flags; keywords that are no atoms are left out.
pub(super) fn flags(flags: &[Flag], any: bool, out: &mut Vec<u8>) {
    out.push(b'(');
    let mut first = true;
    let names = flags.iter().filter_map(flag_name).chain(any.then_some("\\*"));
    for name in names {
        if !std::mem::take(&mut first) {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    }
    out.push(b')');
}

fn flag_name(flag: &Flag) -> Option<&str> {
    match flag {
        Flag::Seen => Some("\\Seen"),
        Flag::Answered => Some("\\Answered"),
        Flag::Flagged => Some("\\Flagged"),
        Flag::Deleted => Some("\\Deleted"),
        Flag::Draft => Some("\\Draft"),
        Flag::Keyword(name) => (!name.is_empty() && name.bytes().all(is_atom_char)).then_some(name),
    }
}

/// A set of numbers; `ranges` is not empty.
pub(super) fn ranges(ranges: &Ranges, out: &mut Vec<u8>) {
    for (index, range) in ranges.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (start, end) = (range.start(), range.end());
        if start == end {
            put(out, format_args!("{comma}{start}"));
        } else {
            put(out, format_args!("{comma}{start}:{end}"));
        }
    }
}

/// `"dd-Mon-yyyy hh:mm:ss +zzzz"` (RFC 9051 §9 `date-time`).
pub(super) fn date_time(date: DateTime, out: &mut Vec<u8>) {
    let offset = i64::from(date.offset_minutes.clamp(-1_439, 1_439));
    // 253,402,300,799 is the end of the year 9999, the last that the syntax can tell; a day less
    // leaves room for the zone.
    let seconds = date.at.seconds().min(253_402_214_400);
    let local = i64::try_from(seconds).unwrap_or(0) + offset * 60;
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov"];
    let month = months.get(month).copied().unwrap_or("Dec");
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let sign = if offset < 0 { '-' } else { '+' };
    let (zone_hour, zone_minute) = (offset.abs() / 60, offset.abs() % 60);
    put(
        out,
        format_args!(
            "\"{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} \
             {sign}{zone_hour:02}{zone_minute:02}\""
        ),
    );
}

/// Year, month from 0 and day of a day since 1970-01-01 (Howard Hinnant, civil from days).
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month <= 1);
    (year, usize::try_from(month).unwrap_or(0), day)
}
