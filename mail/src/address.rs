//! Addresses: domains, the canonical form by which addresses are looked up, and SMTP paths.
//!
//! The canonical form (docs/rules.md, *Addresses*): NFC, local part lower-cased, domain in A-labels.
//! What a client wrote is kept beside it in [`Path`], for text is never rewritten.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;

/// Longest local part in octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_BYTES_MAX: usize = 64;

/// Longest domain in octets (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;

/// Longest path in octets, without `<>` (RFC 5321 §4.5.3.1.3).
pub const PATH_BYTES_MAX: usize = 254;

/// Longest canonical local part: NFC and lower case may make one of 64 octets three times longer.
const CANONICAL_LOCAL_BYTES_MAX: usize = 4 * LOCAL_BYTES_MAX;

/// Longest text of an address that is read: a canonical local part, each byte escaped, and a
/// domain in U-labels.
const TEXT_BYTES_MAX: usize = 2 * CANONICAL_LOCAL_BYTES_MAX + 4 * DOMAIN_BYTES_MAX + 3;

/// Text that is no address or domain. Refuse it: 501 5.1.3 (recipient) or 5.1.7 (sender).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressSyntax {
    /// It has no `@domain`. A bare `postmaster` ends here too: see [`Path::postmaster`].
    #[error("address without a domain")]
    NoDomain,
    /// The local part is neither a dot-atom nor a quoted string.
    #[error("malformed local part")]
    Local,
    /// The domain is neither a domain name nor an address literal.
    #[error("malformed domain")]
    Domain,
    /// It is longer than RFC 5321 allows.
    #[error("address too long")]
    TooLong,
}

/// A mail domain in A-labels, lower case, or the address literal of an SMTP path (`[192.0.2.1]`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

impl Domain {
    /// Reads a domain name of U-labels or A-labels. Underscores are let through: senders use them.
    /// # Errors
    /// [`AddressSyntax::Domain`] if it is none, or longer than 253 bytes as A-labels.
    pub fn parse(text: &str) -> Result<Self, AddressSyntax> {
        let wrong = AddressSyntax::Domain;
        if text.len() > 4 * DOMAIN_BYTES_MAX {
            return Err(wrong);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let ascii = if text.is_ascii() {
            if !text.bytes().all(plain) {
                return Err(wrong);
            }
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL)
                .map_err(|_| wrong)?
                .into_owned()
        };
        let mut internationalised = false;
        for label in ascii.split('.') {
            let edge = label.starts_with('-') || label.ends_with('-');
            if label.is_empty() || label.len() > 63 || edge || !label.bytes().all(plain) {
                return Err(wrong);
            }
            internationalised |= label.starts_with("xn--");
        }
        // An A-label that decodes to nothing valid would be shown as something it is not.
        if ascii.len() > 253 || (internationalised && idna::domain_to_unicode(&ascii).1.is_err()) {
            return Err(wrong);
        }
        // A name of digits only is an IPv4 address that lacks its brackets.
        if ascii.rsplit('.').next().is_some_and(|top| top.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(wrong);
        }
        Ok(Self(ascii.into()))
    }

    /// Reads an address literal with its brackets (RFC 5321 §4.1.3): IPv4 or `IPv6:`.
    fn parse_literal(text: &str) -> Result<Self, AddressSyntax> {
        let wrong = AddressSyntax::Domain;
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(wrong)?;
        if let Ok(v4) = inner.parse::<Ipv4Addr>() {
            return Ok(Self(format!("[{v4}]").into()));
        }
        let v6 = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).and(inner.get(5..));
        let v6 = v6.and_then(|text| text.parse::<Ipv6Addr>().ok()).ok_or(wrong)?;
        Ok(Self(format!("[ipv6:{v6}]").into()))
    }

    /// A-labels, lower case; or the literal with its brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an address literal.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.0.starts_with('[')
    }

    /// As people read it: U-labels where they are valid.
    #[must_use]
    pub fn to_unicode(&self) -> String {
        match idna::domain_to_unicode(&self.0) {
            (text, Ok(())) if !self.is_literal() => text,
            _ => self.0.to_string(),
        }
    }
}

impl FromStr for Domain {
    type Err = AddressSyntax;

    fn from_str(text: &str) -> Result<Self, AddressSyntax> {
        Self::parse(text)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address in the canonical form by which it is looked up. Its text (`Display`) is the key of
/// the directory's address row, and reads back as the same address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Without quotes, NFC, lower case; empty for a catch-all.
    local: Box<str>,
    domain: Domain,
}

impl Address {
    /// Reads `local@domain` in any spelling, the local part quoted or not, the domain a name or an
    /// address literal; also `@domain`, a catch-all, as directory keys have it.
    /// # Errors
    /// [`AddressSyntax`] says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressSyntax> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(AddressSyntax::TooLong);
        }
        if let Some(domain) = text.strip_prefix('@') {
            return Ok(Self::catch_all(&Domain::parse(domain)?));
        }
        let (_, local, domain) = split(text)?;
        let domain = if domain.starts_with('[') {
            Domain::parse_literal(domain)?
        } else {
            Domain::parse(domain)?
        };
        Self::new(&local, domain)
    }

    /// The address of `local` (without quotes) at `domain`.
    /// # Errors
    /// [`AddressSyntax`] if the local part is empty, too long, or has control characters.
    pub fn new(local: &str, domain: Domain) -> Result<Self, AddressSyntax> {
        let local = canonical_local(local);
        if local.is_empty() || local.chars().any(char::is_control) {
            return Err(AddressSyntax::Local);
        }
        if local.len() > CANONICAL_LOCAL_BYTES_MAX {
            return Err(AddressSyntax::TooLong);
        }
        Ok(Self { local: local.into(), domain })
    }

    /// `@domain`: takes what no other address of the domain takes.
    #[must_use]
    pub fn catch_all(domain: &Domain) -> Self {
        Self { local: "".into(), domain: domain.clone() }
    }

    /// The local part without quotes; empty for a catch-all.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    #[must_use]
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether it is [`Self::catch_all`].
    #[must_use]
    pub fn is_catch_all(&self) -> bool {
        self.local.is_empty()
    }

    /// This address without its `+detail`; `None` if it has none. Looked up when the full address
    /// is unknown (docs/rules.md, *Addresses*; RFC 5233).
    #[must_use]
    pub fn without_detail(&self) -> Option<Self> {
        let (local, _) = self.local.split_once('+')?;
        (!local.is_empty()).then(|| Self { local: local.into(), domain: self.domain.clone() })
    }

    /// The `+detail` without its `+` (RFC 5233 `:detail`).
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.local.split_once('+').map(|(_, detail)| detail)
    }
}

/// NFC, lower case, and NFC again: lower-casing may leave a sequence that NFC would compose.
fn canonical_local(local: &str) -> String {
    if local.is_ascii() {
        return local.to_ascii_lowercase();
    }
    local.nfc().flat_map(char::to_lowercase).nfc().collect()
}

impl FromStr for Address {
    type Err = AddressSyntax;

    fn from_str(text: &str) -> Result<Self, AddressSyntax> {
        Self::parse(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_catch_all() || is_dot_atom(&self.local) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for letter in self.local.chars() {
            if matches!(letter, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{letter}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An SMTP path that is not null: the address as the client wrote it, and its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    text: Box<str>,
    address: Address,
}

impl Path {
    /// Reads an RFC 5321 §4.1.2 `Mailbox` (with RFC 6531 §3.3's UTF-8), without `<>`. A source
    /// route (`@a,@b:user@c`) is refused here; RFC 5321 §4.1.1.3 lets a server do so.
    /// # Errors
    /// [`AddressSyntax`] says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressSyntax> {
        if text.len() > PATH_BYTES_MAX || split(text)?.0.len() > LOCAL_BYTES_MAX {
            return Err(AddressSyntax::TooLong);
        }
        Ok(Self { text: text.into(), address: Address::parse(text)? })
    }

    /// What RCPT TO:`<Postmaster>` without a domain means at `domain` (RFC 5321 §4.1.1.3).
    #[must_use]
    pub fn postmaster(domain: &Domain) -> Self {
        let address = Address { local: "postmaster".into(), domain: domain.clone() };
        Self { text: address.to_string().into(), address }
    }

    /// The path of what was stored as text and canonical form together; no rule is applied again,
    /// so that what was accepted once stays readable.
    pub(crate) const fn stored(text: Box<str>, address: Address) -> Self {
        Self { text, address }
    }

    /// As the client wrote it, without `<>`. For replies, trace headers and further transport.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The canonical form, for look-ups and comparing.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it can only be said with SMTPUTF8 (RFC 6531 §3.2): a local part that is not ASCII,
    /// or a domain written in U-labels.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

impl From<Address> for Path {
    fn from(address: Address) -> Self {
        Self { text: address.to_string().into(), address }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits into the local part as written, without quotes, and the domain.
fn split(text: &str) -> Result<(&str, String, &str), AddressSyntax> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (local, after) = unquote(quoted).ok_or(AddressSyntax::Local)?;
        let domain = after.strip_prefix('@').ok_or(AddressSyntax::NoDomain)?;
        let written = text.strip_suffix(after).unwrap_or(text);
        return Ok((written, local, domain));
    }
    // The last "@": whatever comes before it must be a dot-atom, which has none.
    let (local, domain) = text.rsplit_once('@').ok_or(AddressSyntax::NoDomain)?;
    if is_dot_atom(local) {
        Ok((local, local.to_owned(), domain))
    } else {
        Err(AddressSyntax::Local)
    }
}

/// RFC 5321 §4.1.2 `Quoted-string` after its opening quote: the content, and what follows.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => return Some((content, letters.as_str())),
            '\\' => content.push(letters.next().filter(|letter| (' '..='~').contains(letter))?),
            letter if letter.is_control() => return None,
            letter => content.push(letter),
        }
    }
}

/// RFC 5321 §4.1.2 `Dot-string`, with RFC 6531 §3.3's letters.
fn is_dot_atom(local: &str) -> bool {
    let letter = |letter: char| {
        letter.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(letter)
            || (!letter.is_ascii() && !letter.is_control())
    };
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(letter))
}
