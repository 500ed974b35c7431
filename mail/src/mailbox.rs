//! Mailbox names: one canonical name for each, modified UTF-7 for old clients, and the patterns of
//! LIST. A name is only a label: mailboxes are stored by number, so that no name leads anywhere
//! (B4).

pub mod pattern;
pub mod utf7;

#[cfg(test)]
mod tests;

use std::fmt;

use unicode_normalization::UnicodeNormalization;

pub use pattern::ListPattern;

/// Between the levels of a name.
pub const SEPARATOR: char = '/';

/// Longest level of a name in bytes (docs/rules.md).
pub const LEVEL_BYTES_MAX: usize = 255;

/// Longest name in bytes (docs/rules.md).
pub const NAME_BYTES_MAX: usize = 1_000;

/// A canonical mailbox name: NFC, levels with "/" between them, `INBOX` (as first level) in upper
/// case, however it was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(Box<str>);

/// Text that cannot be the name of a mailbox. Answer NO \[CANNOT\].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameSyntax {
    /// Nothing, or nothing between two separators, or `.` or `..`.
    #[error("a mailbox name has an empty level")]
    EmptyLevel,
    /// A level is over 255 bytes, or the name over 1,000.
    #[error("a mailbox name is at most 1,000 bytes, each level at most 255")]
    TooLong,
    /// A control character, a line or paragraph separator, a wildcard, or `#` in front.
    #[error("a mailbox name has a character that is not allowed")]
    Character,
    /// Not the one right form of modified UTF-7.
    #[error("a mailbox name is not modified UTF-7")]
    Utf7,
}

impl MailboxName {
    /// Reads a name in UTF-8 (after ENABLE `IMAP4rev2` or UTF8=ACCEPT).
    /// # Errors
    /// [`NameSyntax`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, NameSyntax> {
        // Before anything is allocated; NFC makes no text three times shorter.
        if text.len() > 3 * NAME_BYTES_MAX {
            return Err(NameSyntax::TooLong);
        }
        let mut name: String = text.nfc().collect();
        let first = name.find(SEPARATOR).unwrap_or(name.len());
        // RFC 9051 §5.1: INBOX in any case is the same mailbox.
        if name.get(..first).is_some_and(|level| level.eq_ignore_ascii_case("INBOX")) {
            name.replace_range(..first, "INBOX");
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(NameSyntax::TooLong);
        }
        for level in name.split(SEPARATOR) {
            if matches!(level, "" | "." | "..") {
                return Err(NameSyntax::EmptyLevel);
            }
            if level.len() > LEVEL_BYTES_MAX {
                return Err(NameSyntax::TooLong);
            }
        }
        // RFC 9051 §5.1: no control characters, no U+2028 and U+2029; "#" is for namespaces.
        let bad = |letter: char| {
            letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '*' | '%')
        };
        if name.starts_with('#') || name.contains(bad) {
            return Err(NameSyntax::Character);
        }
        Ok(Self(name.into()))
    }

    /// Reads a name as `IMAP4rev1` clients write it: modified UTF-7 (RFC 3501 §5.1.3), strictly.
    /// # Errors
    /// [`NameSyntax`] says what is wrong.
    pub fn parse_utf7(text: &str) -> Result<Self, NameSyntax> {
        Self::parse(&utf7::decode(text).ok_or(NameSyntax::Utf7)?)
    }

    /// As [`Self::parse`], but a separator at the end only says that mailboxes will be created
    /// below (RFC 9051 §6.3.4), and is left off.
    /// # Errors
    /// [`NameSyntax`] says what is wrong.
    pub fn parse_for_create(text: &str) -> Result<Self, NameSyntax> {
        Self::parse(text.strip_suffix(SEPARATOR).unwrap_or(text))
    }

    /// `INBOX`, which every account has.
    #[must_use]
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// Whether it is INBOX itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// The name in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in modified UTF-7.
    #[must_use]
    pub fn to_utf7(&self) -> String {
        utf7::encode(&self.0)
    }

    /// The last level.
    #[must_use]
    pub fn last_level(&self) -> &str {
        self.0.rsplit(SEPARATOR).next().unwrap_or_default()
    }

    /// The mailbox above; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once(SEPARATOR).map(|(above, _)| Self(above.into()))
    }

    /// Whether it lies below `above`, at any depth.
    #[must_use]
    pub fn is_below(&self, above: &Self) -> bool {
        self.0.strip_prefix(&*above.0).is_some_and(|rest| rest.starts_with(SEPARATOR))
    }

    /// The name that this one gets when `from` is renamed to `to` (RFC 9051 §6.3.6: all that is
    /// below moves along); `None` if it is neither `from` nor below it.
    /// # Errors
    /// [`NameSyntax::TooLong`] if the new name is.
    pub fn renamed(&self, from: &Self, to: &Self) -> Result<Option<Self>, NameSyntax> {
        if self == from {
            return Ok(Some(to.clone()));
        }
        if !self.is_below(from) {
            return Ok(None);
        }
        let rest = self.0.strip_prefix(&*from.0).unwrap_or_default();
        Self::parse(&format!("{to}{rest}")).map(Some)
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
