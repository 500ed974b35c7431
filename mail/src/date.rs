//! Dates and times of mail: RFC 5322 §3.3 with the obsolete forms of §4.3, and IMAP's own two
//! (RFC 9051 §9 `date-time`, `date`). Proleptic Gregorian, no leap seconds, years 0 to 9999.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::header::Lexer;
use crate::time::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const SECONDS_A_DAY: i64 = 86_400;

/// A day. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// The day if there is such a day.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(leap),
            _ => return None,
        };
        (year <= 9999 && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn days(self) -> i64 {
        // Years that begin in March, so that the leap day is the last.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
            - 719_468
    }

    /// The day that is so many days after 1970-01-01; clamped to the years 0 to 9999.
    #[must_use]
    pub fn from_days(days: i64) -> Self {
        let days = days.clamp(-719_528, 2_932_896) + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let small = |number: i64| u8::try_from(number).unwrap_or(1);
        Self { year: u16::try_from(year).unwrap_or(0), month: small(month), day: small(day) }
    }

    /// Reads IMAP's `date-text`: `1-Feb-1994` (RFC 9051 §9), without quotes.
    #[must_use]
    pub fn parse_imap(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let good = parts.next().is_none() && (1..=2).contains(&day.len()) && year.len() == 4;
        if !good {
            return None;
        }
        Self::new(digits(year)?, month_number(month.as_bytes())?, u8::try_from(digits(day)?).ok()?)
    }
}

/// A point in time as it was written: in its own zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// The zone: minutes east of UTC, −5999 to 5999.
    pub offset_minutes: i16,
}

impl DateTime {
    /// The time of the store, shown in UTC.
    #[must_use]
    pub fn from_timestamp(time: Timestamp) -> Self {
        Self { seconds: i64::try_from(time.seconds()).unwrap_or(i64::MAX), offset_minutes: 0 }
    }

    /// The same point as a time of the store; 1970 for what is before.
    #[must_use]
    pub fn to_timestamp(self) -> Timestamp {
        Timestamp::from_seconds(u64::try_from(self.seconds).unwrap_or(0))
    }

    /// The day in its own zone: what SENTBEFORE and kin compare (RFC 9051 §6.4.4).
    #[must_use]
    pub fn date(self) -> Date {
        Date::from_days(self.local_seconds().div_euclid(SECONDS_A_DAY))
    }

    fn local_seconds(self) -> i64 {
        self.seconds.saturating_add(i64::from(self.offset_minutes) * 60)
    }

    fn new(date: Date, [hour, minute, second]: [u8; 3], offset_minutes: i16) -> Self {
        let time = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let seconds = date.days() * SECONDS_A_DAY + time - i64::from(offset_minutes) * 60;
        Self { seconds, offset_minutes }
    }

    /// Reads a Date field's value, raw. Obsolete forms are taken: two-digit years, named zones,
    /// comments, no seconds, no zone; the day of week is not believed. `None` if it is no date.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut lexer = Lexer::new(value);
        lexer.skip_comments();
        if lexer.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
            lexer.take_while(|byte| byte.is_ascii_alphabetic() || byte == b'.');
            lexer.skip_comments();
            lexer.eat(b',');
            lexer.skip_comments();
        }
        // asctime, which some programs write: month, day, time, year.
        if lexer.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
            let month = month_name(&mut lexer)?;
            lexer.skip_comments();
            let day = u8::try_from(number(&mut lexer, 2)?.0).ok()?;
            lexer.skip_comments();
            let time = time_of_day(&mut lexer)?;
            let year = number(&mut lexer, 4)?.0;
            return Some(Self::new(Date::new(year, month, day)?, time, 0));
        }
        let day = u8::try_from(number(&mut lexer, 2)?.0).ok()?;
        separator(&mut lexer);
        let month = month_name(&mut lexer)?;
        separator(&mut lexer);
        let year = match number(&mut lexer, 4)? {
            // RFC 5322 §4.3: two digits are 1950–2049, three are counted from 1900.
            (year, 1 | 2) if year < 50 => year + 2000,
            (year, 1..=3) => year + 1900,
            (year, _) => year,
        };
        lexer.skip_comments();
        let time = time_of_day(&mut lexer)?;
        let offset = zone(&mut lexer).unwrap_or(0);
        Some(Self::new(Date::new(year, month, day)?, time, offset))
    }

    /// Reads IMAP's `date-time` without quotes: `17-Jul-1996 02:44:25 -0700`, the day of one digit
    /// with a space before it.
    #[must_use]
    pub fn parse_imap(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(11)?;
        let date = Date::parse_imap(date.strip_prefix(' ').unwrap_or(date))?;
        let (time, rest) = rest.strip_prefix(' ')?.split_at_checked(8)?;
        let mut parts = time.split(':').map(|part| digits(part).filter(|_| part.len() == 2));
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        let zone = rest.strip_prefix(' ')?;
        let (sign, minutes) = zone.split_at_checked(1)?;
        if minutes.len() != 4 || !["+", "-"].contains(&sign) {
            return None;
        }
        let offset = offset(sign == "-", digits(minutes)?)?;
        Some(Self::new(date, clock(hour, minute, second)?, offset))
    }

    /// As IMAP's INTERNALDATE shows it, without quotes: `17-Jul-1996 02:44:25 -0700`.
    #[must_use]
    pub fn to_imap(self) -> String {
        let Date { year, month, day } = self.date();
        let month = MONTHS.get(usize::from(month) - 1).unwrap_or(&"Jan");
        format!("{day:2}-{month}-{year:04} {} {}", self.clock_text(), self.zone_text())
    }

    fn clock_text(self) -> String {
        let of_day = self.local_seconds().rem_euclid(SECONDS_A_DAY);
        format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
    }

    fn zone_text(self) -> String {
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let minutes = self.offset_minutes.unsigned_abs();
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }
}

/// As RFC 5322 §3.3 writes it: `Tue, 24 Nov 2026 20:52:15 +0000`.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        let week = usize::try_from((date.days() + 4).rem_euclid(7)).unwrap_or(0);
        let name = DAYS.get(week).unwrap_or(&"Sun");
        let month = MONTHS.get(usize::from(date.month) - 1).unwrap_or(&"Jan");
        let (clock, zone) = (self.clock_text(), self.zone_text());
        write!(f, "{name}, {} {month} {:04} {clock} {zone}", date.day, date.year)
    }
}

fn digits(text: &str) -> Option<u16> {
    let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// A number of at most `most` digits, and how many there were.
fn number(lexer: &mut Lexer<'_>, most: usize) -> Option<(u16, usize)> {
    let text = lexer.take_while(|byte| byte.is_ascii_digit());
    if text.len() > most {
        return None;
    }
    Some((digits(std::str::from_utf8(text).ok()?)?, text.len()))
}

/// White space, comments, and the hyphens that some put between the parts of a date.
fn separator(lexer: &mut Lexer<'_>) {
    lexer.skip_comments();
    if lexer.eat(b'-') {
        lexer.skip_comments();
    }
}

fn colon(lexer: &mut Lexer<'_>) -> bool {
    lexer.skip_comments();
    let found = lexer.eat(b':') || lexer.eat(b'.');
    lexer.skip_comments();
    found
}

/// `hh:mm` or `hh:mm:ss`, and the white space behind it.
fn time_of_day(lexer: &mut Lexer<'_>) -> Option<[u8; 3]> {
    let hour = number(lexer, 2)?.0;
    let minute = if colon(lexer) { number(lexer, 2)?.0 } else { return None };
    let second = if colon(lexer) { number(lexer, 2)?.0 } else { 0 };
    lexer.skip_comments();
    clock(hour, minute, second)
}

fn month_name(lexer: &mut Lexer<'_>) -> Option<u8> {
    month_number(lexer.take_while(|byte| byte.is_ascii_alphabetic()))
}

fn month_number(name: &[u8]) -> Option<u8> {
    let found = |known: &str| {
        // Some write the whole name.
        name.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case(known.as_bytes()))
    };
    let index = MONTHS.iter().position(|known| found(known))?;
    u8::try_from(index + 1).ok()
}

/// A leap second is shown as the second before it.
fn clock(hour: u16, minute: u16, second: u16) -> Option<[u8; 3]> {
    let small = |number: u16| u8::try_from(number).ok();
    let good = hour < 24 && minute < 60 && second <= 60;
    if !good {
        return None;
    }
    Some([small(hour)?, small(minute)?, small(second.min(59))?])
}

/// `hhmm` as minutes; the last two digits are 00 to 59 (RFC 5322 §3.3).
fn offset(west: bool, hhmm: u16) -> Option<i16> {
    if hhmm % 100 > 59 {
        return None;
    }
    let minutes = i16::try_from(hhmm / 100 * 60 + hhmm % 100).ok()?;
    Some(if west { -minutes } else { minutes })
}

/// RFC 5322 §4.3: what is not known means UTC; military letters are not trustworthy.
fn zone(lexer: &mut Lexer<'_>) -> Option<i16> {
    let west = match lexer.peek()? {
        b'+' => false,
        b'-' => true,
        // "0530" has lost its sign; nothing else is known of it.
        b'0'..=b'9' => return offset(false, number(lexer, 4)?.0),
        _ => {
            let name = lexer.take_while(|byte| byte.is_ascii_alphabetic()).to_ascii_uppercase();
            return Some(match name.as_slice() {
                b"EDT" => -240,
                b"EST" | b"CDT" => -300,
                b"CST" | b"MDT" => -360,
                b"MST" | b"PDT" => -420,
                b"PST" => -480,
                b"BST" | b"CET" | b"MET" => 60,
                b"CEST" | b"EET" | b"MEST" => 120,
                b"JST" => 540,
                _ => 0,
            });
        }
    };
    lexer.next();
    let hhmm = number(lexer, 4)?.0;
    offset(west, hhmm)
}
