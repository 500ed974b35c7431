//! What another server said (RFC 5321 §4.2, RFC 2034, RFC 3463), in one bounded line.

use std::fmt;

/// Longest text kept of a reply, in bytes.
pub const REPLY_BYTES_MAX: usize = 2_000;

/// A reply as received, all its lines in one.
///
/// Its `Display` is the normal form that rules for refusals are matched against: code, enhanced
/// code if there is one, text, each separated by one space: `550 5.7.1 Not today`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    /// The three digits, 200..=599.
    pub code: u16,
    /// Enhanced status code: class, subject, detail (RFC 3463).
    pub enhanced: Option<(u8, u16, u16)>,
    /// The text: lines joined by one space, codes repeated on them dropped, white space collapsed,
    /// control characters replaced by "?" (D3); at most [`REPLY_BYTES_MAX`] bytes.
    pub text: String,
}

impl Reply {
    /// A reply of a code and a text of our own making, cleaned as if it had been received.
    #[must_use]
    pub fn new(code: u16, enhanced: Option<(u8, u16, u16)>, text: &str) -> Self {
        let mut reply = Self { code, enhanced, text: String::new() };
        reply.push(text);
        reply
    }

    /// The first line of a reply, after `ddd ` or `ddd-`.
    #[must_use]
    pub fn first(code: u16, line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line);
        let (enhanced, text) = split_enhanced(code, &line);
        Self::new(code, enhanced, text)
    }

    /// A further line of it, after `ddd ` or `ddd-`. What does not fit is dropped.
    pub fn extend(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let (enhanced, text) = split_enhanced(self.code, &line);
        // Some give the enhanced code on a later line only.
        if self.enhanced.is_none() && self.text.is_empty() {
            self.enhanced = enhanced;
        }
        let repeated = enhanced.is_none() || enhanced == self.enhanced;
        self.push(if repeated { text } else { &line });
    }

    /// Reads the normal form back, as `Display` wrote it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (code, rest) = text.split_at_checked(3)?;
        let code = code.parse().ok().filter(|code| (200..600).contains(code))?;
        Some(Self::first(code, rest.trim_start().as_bytes()))
    }

    /// 2xx, or 3xx after DATA.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 4xx: later may be better.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.code >= 400 && self.code < 500
    }

    /// 5xx.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    fn push(&mut self, text: &str) {
        for word in text.split(|c: char| c.is_whitespace() || c == '\0').filter(|w| !w.is_empty()) {
            if self.text.len() + word.len() + 1 > REPLY_BYTES_MAX {
                self.cut(word);
                return;
            }
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text.extend(word.chars().map(printable));
        }
    }

    /// A word that does not fit: its beginning, if nothing else is there; nothing comes after it.
    fn cut(&mut self, word: &str) {
        if self.text.is_empty() {
            let room = word.floor_char_boundary(REPLY_BYTES_MAX);
            self.text.extend(word.get(..room).unwrap_or_default().chars().map(printable));
        }
    }
}

/// A control character, or one that turns text around, could make a report say what it does not.
fn printable(c: char) -> char {
    match c {
        c if c.is_control() => '?',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '?',
        c => c,
    }
}

/// `5.7.1 text`, if the class is the code's.
fn split_enhanced(code: u16, line: &str) -> (Option<(u8, u16, u16)>, &str) {
    let line = line.trim_start();
    let end = line.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or((line, ""));
    let ends = rest.is_empty() || rest.starts_with([' ', '\t', ':', '-', ',']);
    match enhanced(word) {
        Some(found) if ends && u16::from(found.0) == code / 100 => {
            (Some(found), rest.trim_start_matches([' ', '\t', ':', '-', ',']))
        }
        _ => (None, line),
    }
}

fn enhanced(word: &str) -> Option<(u8, u16, u16)> {
    let mut parts = word.split('.');
    let class = parts.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
    let mut number = || {
        let part = parts.next().filter(|part| (1..=3).contains(&part.len()))?;
        part.parse::<u16>().ok()
    };
    let (subject, detail) = (number()?, number()?);
    parts.next().is_none().then_some((class, subject, detail))
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, lines: &[&str], expected: &str) {
        let mut reply = Reply::first(code, lines[0].as_bytes());
        lines[1..].iter().for_each(|line| reply.extend(line.as_bytes()));
        assert_eq!(reply.to_string(), expected);
        assert_eq!(Reply::parse(expected), Some(reply));
    }

    // RFC 5321 §4.2.
    // RFC 3463.
    #[test]
    fn all_lines_become_one() {
        check(250, &["ok"], "250 ok");
        check(250, &[""], "250");
        check(550, &["5.7.1 Not", "5.7.1 today,", "  ever "], "550 5.7.1 Not today, ever");
        check(550, &["Go away", "5.7.1 now"], "550 Go away 5.7.1 now");
        check(550, &["", "5.7.1 now"], "550 5.7.1 now");
        check(421, &["4.7.0 [TS01]", "4.7.1 other"], "421 4.7.0 [TS01] 4.7.1 other");
        check(452, &["4.2.2: full"], "452 4.2.2 full");
        // A class that is not the code's is only text.
        check(550, &["4.7.1 odd"], "550 4.7.1 odd");
        check(550, &["5.7.1.2 version"], "550 5.7.1.2 version");
        check(550, &["5.7.1x"], "550 5.7.1x");
    }

    #[test]
    fn no_reply_can_say_more_than_one_short_line() {
        let mut reply = Reply::first(550, b"a\x07b\x1b[1mc \xff\r\n d");
        assert_eq!(reply.text, "a?b?[1mc \u{fffd} d");
        for _ in 0..1_000 {
            reply.extend(b"many words in a line of a reply that does not end");
        }
        assert!(reply.text.len() <= REPLY_BYTES_MAX && reply.text.len() > 1_900);
        let long = Reply::new(550, None, &"\u{e9}".repeat(5_000));
        assert_eq!(long.text.len(), REPLY_BYTES_MAX);
        let turned = Reply::new(550, None, "a\u{202e}b");
        assert_eq!(turned.text, "a?b");
        assert_eq!(Reply::parse("99 x"), None);
        assert_eq!(Reply::parse("\u{e9}\u{e9}"), None);
    }
}
