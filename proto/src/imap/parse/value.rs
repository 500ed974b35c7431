//! Values of several commands: sets, flags, dates, and APPEND.

use super::cursor::{Cursor, Stop};
use crate::imap::command::{Append, Date, DateTime, Flag, Set, SetNumber, SetRange, Tag};
use mail::Timestamp;

/// Flags that one command may name; as many keywords as a mailbox may have (docs/rules.md).
const FLAGS_MAX: usize = 1_000;

impl Cursor<'_> {
    /// RFC 9051 §9 `sequence-set`.
    pub(super) fn set(&mut self) -> Result<Set, Stop> {
        if self.eat(b'$') {
            return Ok(Set::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let from = self.set_number()?;
            let to = if self.eat(b':') { self.set_number()? } else { from };
            ranges.push(SetRange { from, to });
            if !self.eat(b',') {
                return Ok(Set::Ranges(ranges));
            }
        }
    }

    fn set_number(&mut self) -> Result<SetNumber, Stop> {
        if self.eat(b'*') {
            return Ok(SetNumber::Last);
        }
        self.nonzero().map(SetNumber::Value)
    }

    /// RFC 7162 §7 `known-uids`: a set without `*` and `$`.
    pub(super) fn known_set(&mut self) -> Result<Set, Stop> {
        let set = self.set()?;
        let last = |range: &SetRange| range.from == SetNumber::Last || range.to == SetNumber::Last;
        match &set {
            Set::Ranges(ranges) if !ranges.iter().any(last) => Ok(set),
            _ => Err(Stop::Bad("no * or $ in what is known")),
        }
    }

    /// RFC 9051 §9 `flag-list`.
    pub(super) fn flag_list(&mut self) -> Result<Vec<Flag>, Stop> {
        self.expect(b'(', "expected ( and flags")?;
        if self.eat(b')') {
            return Ok(Vec::new());
        }
        let flags = self.flags()?;
        self.expect(b')', "expected ) after flags")?;
        Ok(flags)
    }

    /// Flags with spaces between them, at least one. `\Recent`, which no client can set, is left
    /// out: there are clients that copy it from what they read.
    pub(super) fn flags(&mut self) -> Result<Vec<Flag>, Stop> {
        let mut flags = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        loop {
            if let Some(flag) = self.flag()? {
                let folded = match &flag {
                    Flag::Keyword(name) => Flag::Keyword(name.to_ascii_lowercase()),
                    system => system.clone(),
                };
                if seen.insert(folded) {
                    flags.push(flag);
                }
            }
            if flags.len() > FLAGS_MAX {
                return Err(Stop::Bad("too many flags"));
            }
            if !self.eat(b' ') {
                return Ok(flags);
            }
        }
    }

    fn flag(&mut self) -> Result<Option<Flag>, Stop> {
        if !self.eat(b'\\') {
            return Ok(Some(Flag::Keyword(self.atom()?)));
        }
        Ok(Some(match self.word()?.as_str() {
            "SEEN" => Flag::Seen,
            "ANSWERED" => Flag::Answered,
            "FLAGGED" => Flag::Flagged,
            "DELETED" => Flag::Deleted,
            "DRAFT" => Flag::Draft,
            "RECENT" => return Ok(None),
            _ => return Err(Stop::Bad("unknown system flag")),
        }))
    }

    /// RFC 9051 §9 `date`, quoted or not.
    pub(super) fn date(&mut self) -> Result<Date, Stop> {
        let quoted = self.eat(b'"');
        let day = self.digits(1, 2)?;
        let date = self.month_and_year(day)?;
        if quoted {
            self.expect(b'"', "expected \" after the date")?;
        }
        Ok(date)
    }

    fn month_and_year(&mut self, day: u16) -> Result<Date, Stop> {
        const MONTHS: [(&str, u8); 12] = [
            ("JAN", 31),
            ("FEB", 29),
            ("MAR", 31),
            ("APR", 30),
            ("MAY", 31),
            ("JUN", 30),
            ("JUL", 31),
            ("AUG", 31),
            ("SEP", 30),
            ("OCT", 31),
            ("NOV", 30),
            ("DEC", 31),
        ];
        self.expect(b'-', "expected a date like 1-Feb-2024")?;
        let mut name = String::new();
        while let Some(letter) = self.peek().filter(u8::is_ascii_alphabetic) {
            if name.len() == 3 {
                return Err(Stop::Bad("expected a month's first three letters"));
            }
            name.push(char::from(letter.to_ascii_uppercase()));
            self.skip();
        }
        let month = MONTHS.iter().position(|(each, _)| *each == name);
        let month = month.ok_or(Stop::Bad("expected a month's first three letters"))?;
        self.expect(b'-', "expected a date like 1-Feb-2024")?;
        let year = self.digits(4, 4)?;
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = MONTHS.get(month).map_or(31, |(_, days)| *days);
        let days = if month == 1 && !leap { 28 } else { days };
        let day = u8::try_from(day).unwrap_or(0);
        if day == 0 || day > days || year == 0 {
            return Err(Stop::Bad("no such day"));
        }
        Ok(Date { year, month: u8::try_from(month + 1).unwrap_or(12), day })
    }

    fn digits(&mut self, least: usize, most: usize) -> Result<u16, Stop> {
        let mut number = 0;
        let mut count = 0;
        while let Some(digit) = self.peek().filter(|byte| byte.is_ascii_digit() && count < most) {
            number = number * 10 + u16::from(digit - b'0');
            count += 1;
            self.skip();
        }
        if count < least { Err(Stop::Bad("expected digits of a date")) } else { Ok(number) }
    }

    /// RFC 9051 §9 `date-time`: `"dd-Mon-yyyy hh:mm:ss +zzzz"`, a day of one digit after a space.
    fn date_time(&mut self) -> Result<DateTime, Stop> {
        self.expect(b'"', "expected a date and time")?;
        let day = if self.eat(b' ') { self.digits(1, 1)? } else { self.digits(1, 2)? };
        let date = self.month_and_year(day)?;
        self.expect(b' ', "expected a time after the date")?;
        let hour = self.digits(2, 2)?;
        self.expect(b':', "expected minutes")?;
        let minute = self.digits(2, 2)?;
        self.expect(b':', "expected seconds")?;
        let second = self.digits(2, 2)?;
        self.expect(b' ', "expected a zone after the time")?;
        let west = match self.peek() {
            Some(b'+') => false,
            Some(b'-') => true,
            _ => return Err(Stop::Bad("expected a zone like +0100")),
        };
        self.skip();
        let zone = self.digits(4, 4)?;
        self.expect(b'"', "expected \" after the zone")?;
        // A leap second is the second after it.
        if hour > 23 || minute > 59 || second > 60 || zone / 100 > 23 || zone % 100 > 59 {
            return Err(Stop::Bad("no such time"));
        }
        let offset = i16::try_from(zone / 100 * 60 + zone % 100).unwrap_or(0);
        let offset_minutes = if west { -offset } else { offset };
        let seconds = date.days() * 86_400
            + i64::from(hour) * 3_600
            + i64::from(minute) * 60
            + i64::from(second)
            - i64::from(offset_minutes) * 60;
        let at = Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0));
        Ok(DateTime { at, offset_minutes })
    }
}

/// RFC 9051 §6.3.12: `mailbox [(flags)] ["date-time"]` and the announcement of the message.
pub(super) fn append(cursor: &mut Cursor<'_>, tag: &Tag) -> Result<Append, Stop> {
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.flag_list()?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(cursor.date_time()?);
        cursor.space()?;
    }
    let literal = cursor.literal_head()?;
    if !cursor.is_at_end() {
        return Err(Stop::Bad("expected one message"));
    }
    let (size, binary) = (literal.size, literal.binary);
    Ok(Append { tag: tag.clone(), mailbox, flags, date, size, binary })
}
