//! Whom a message says to be from, as DMARC needs it: one domain, or it is not to be trusted.

use crate::address::Domain;
use crate::header::{addresses, fields, header_length};

/// Domains of From that are looked at; a message of more is of nobody.
pub const FROM_DOMAINS_MAX: usize = 4;

/// Whose a message says to be (F1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// There is one From, and its addresses are of these domains: one, or up to
    /// [`FROM_DOMAINS_MAX`].
    Domains(Vec<Domain>),
    /// There is no From, or none that can be understood: nobody's.
    Nobody(&'static str),
    /// There are several, or lines that some readers take for one (RFC 9989 §11.5): what people
    /// see may not be what was checked.
    Ambiguous,
}

impl Author {
    /// Reads the header of a message.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        let header = message.get(..header_length(message)).unwrap_or_default();
        let mut from = None;
        for field in fields(header) {
            let raw = header.get(field.range.clone()).unwrap_or_default();
            if !looks_like_from(raw) {
                continue;
            }
            let strict = raw.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"From:"));
            if !strict || from.is_some() {
                return Self::Ambiguous;
            }
            from = Some(field.value);
        }
        let Some(value) = from else { return Self::Nobody("there is no From") };
        let mut domains = Vec::new();
        for item in addresses(value) {
            if item.is_group_start() || item.is_group_end() {
                continue;
            }
            let host = item.host.as_deref().and_then(|host| std::str::from_utf8(host).ok());
            let Some(domain) = host.and_then(|host| Domain::parse(host).ok()) else {
                return Self::Nobody("an address of From is none");
            };
            if !domains.contains(&domain) {
                domains.push(domain);
            }
            if domains.len() > FROM_DOMAINS_MAX {
                return Self::Nobody("From has too many domains");
            }
        }
        if domains.is_empty() {
            return Self::Nobody("From has no address");
        }
        Self::Domains(domains)
    }
}

/// Whether somebody may read these lines as a From: with white space before the name, before the
/// colon, or folded there.
fn looks_like_from(raw: &[u8]) -> bool {
    let text = raw.trim_ascii_start();
    let Some((name, rest)) = text.split_at_checked(4) else { return false };
    name.eq_ignore_ascii_case(b"From") && rest.trim_ascii_start().first() == Some(&b':')
}
