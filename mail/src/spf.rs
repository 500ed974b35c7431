//! SPF records (RFC 7208): their grammar and macros. Evaluating one needs DNS and is the edge's.
//!
//! Total and bounded: what is not a record by §12's grammar is an error, and never half a record.

mod macros;
mod parse;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use macros::{MacroString, Variables};

/// Longest record that is read: a TXT record of several strings.
pub const RECORD_BYTES_MAX: usize = 8 * 1024;

/// A record breaks the grammar: `permerror` (RFC 7208 §4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SPF record cannot be understood: {0}")]
pub struct SpfSyntax(pub &'static str);

/// What a mechanism that matches means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    /// `+`, or none.
    Pass,
    /// `-`
    Fail,
    /// `~`
    SoftFail,
    /// `?`
    Neutral,
}

/// Prefix lengths of `a` and `mx`: of IPv4 and of IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// 0 to 32.
    pub v4: u8,
    /// 0 to 128.
    pub v6: u8,
}

/// A mechanism (RFC 7208 §5). A domain that is not told is the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Matches always.
    All,
    /// Matches if the check of another domain passes.
    Include(MacroString),
    /// Matches the domain's addresses.
    A(Option<MacroString>, Prefixes),
    /// Matches the addresses of the domain's mail exchangers.
    Mx(Option<MacroString>, Prefixes),
    /// Matches if the client's reverse name is of the domain.
    Ptr(Option<MacroString>),
    /// Matches a network.
    Ip4(Ipv4Addr, u8),
    /// Matches a network.
    Ip6(Ipv6Addr, u8),
    /// Matches if there is such a name.
    Exists(MacroString),
}

/// A mechanism and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// What it means.
    pub qualifier: Qualifier,
    /// When it matches.
    pub mechanism: Mechanism,
}

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpfRecord {
    /// In order.
    pub directives: Vec<Directive>,
    /// Whose record goes on when nothing matched.
    pub redirect: Option<MacroString>,
    /// Where the explanation of a failure stands.
    pub explanation: Option<MacroString>,
}

impl SpfRecord {
    /// Whether a TXT record is one of SPF at all (RFC 7208 §4.5).
    #[must_use]
    pub fn is_one(text: &[u8]) -> bool {
        text.get(..6).is_some_and(|version| version.eq_ignore_ascii_case(b"v=spf1"))
            && matches!(text.get(6), None | Some(b' '))
    }

    /// Reads a record.
    /// # Errors
    /// [`SpfSyntax`] for any error anywhere in it (RFC 7208 §4.6).
    pub fn parse(text: &[u8]) -> Result<Self, SpfSyntax> {
        parse::record(text)
    }
}
