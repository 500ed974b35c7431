//! Names of mailboxes: one canonical name for all that look alike (B4).

use mail::mailbox::{self, ListPattern, NameSyntax};
use proto::imap::command::MailboxName;

use crate::replies::Refusal;

/// The name in the form in which mailboxes are found.
pub(crate) fn canonical(name: &MailboxName) -> Result<String, Refusal> {
    // What cannot be a name is the name of nothing.
    let name = mailbox::MailboxName::parse(name.as_str()).map_err(|_| Refusal::NoMailbox)?;
    Ok(name.as_str().to_owned())
}

/// Likewise the name of a mailbox to be made.
pub(crate) fn creatable(name: &MailboxName) -> Result<String, Refusal> {
    let name = mailbox::MailboxName::parse_for_create(name.as_str());
    name.map(|name| name.as_str().to_owned()).map_err(|error| match error {
        NameSyntax::TooLong => {
            Refusal::Limit("a mailbox name has at most 1,000 bytes, a level of it 255")
        }
        NameSyntax::EmptyLevel => Refusal::Name("a level of the mailbox name is empty or dots"),
        NameSyntax::Character => Refusal::Name("a character that mailbox names cannot have"),
        NameSyntax::Utf7 => Refusal::Name("not a mailbox name"),
    })
}

/// Most bytes of all patterns of one LIST.
const PATTERNS_BYTES_MAX: usize = 8_000;

/// What a client looks for with LIST.
pub(crate) struct Patterns(Vec<ListPattern>);

impl Patterns {
    /// Each of `patterns` behind `reference`; one that is longer than any name matches none. All
    /// together are bounded, for each is held against every name (B2).
    pub(crate) fn new(reference: &str, patterns: &[String]) -> Result<Self, Refusal> {
        let bytes: usize = patterns.iter().map(|pattern| reference.len() + pattern.len()).sum();
        if bytes > PATTERNS_BYTES_MAX {
            return Err(Refusal::Limit("the patterns of LIST have at most 8,000 bytes in all"));
        }
        let patterns = patterns.iter().filter_map(|text| ListPattern::new(reference, text).ok());
        Ok(Self(patterns.collect()))
    }

    /// Whether one of them matches. Linear (B2).
    pub(crate) fn match_name(&self, name: &str) -> bool {
        let name = mailbox::MailboxName::parse(name);
        name.is_ok_and(|name| self.0.iter().any(|pattern| pattern.matches(&name)))
    }
}
