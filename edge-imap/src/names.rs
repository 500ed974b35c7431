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

/// What a client looks for with LIST.
pub(crate) struct Patterns(Vec<ListPattern>);

impl Patterns {
    /// Each of `patterns` behind `reference`; one that is longer than any name matches none.
    pub(crate) fn new(reference: &str, patterns: &[String]) -> Self {
        Self(patterns.iter().filter_map(|text| ListPattern::new(reference, text).ok()).collect())
    }

    /// Whether one of them matches. Linear (B2).
    pub(crate) fn match_name(&self, name: &str) -> bool {
        let name = mailbox::MailboxName::parse(name);
        name.is_ok_and(|name| self.0.iter().any(|pattern| pattern.matches(&name)))
    }
}
