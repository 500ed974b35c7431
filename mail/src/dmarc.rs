//! DMARC (RFC 9989): records, whom a message says to be from, where policies are looked for, and
//! which domains belong together. Asking DNS is the edge's.

mod from;
#[cfg(test)]
mod tests;

use crate::verdicts::Asked;

pub use from::{Author, FROM_DOMAINS_MAX};

/// Longest record that is read.
const RECORD_BYTES_MAX: usize = 8 * 1024;

/// Most names that are asked for one domain (RFC 9989 §4.10).
pub const WALK_MAX: usize = 8;

/// Most addresses for reports that are kept.
const REPORTS_MAX: usize = 5;

/// How near an authenticated domain must be to that of From.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alignment {
    /// The same organisation.
    #[default]
    Relaxed,
    /// The same domain.
    Strict,
}

/// What a record says of its place among public suffixes (RFC 9989 §4.7, `psd`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suffix {
    /// `psd=y`: others' domains are below it.
    Public,
    /// `psd=n`: it is the organisation's own domain.
    Own,
    /// Not told.
    #[default]
    Unknown,
}

/// Where reports go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportAddress {
    /// The address.
    pub address: String,
    /// Largest report that is taken there (RFC 7489 §6.2), if that is told.
    pub bytes_max: Option<u64>,
}

/// A policy record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmarcRecord {
    /// For the domain itself; `None` if not told, or not understood.
    pub policy: Option<Asked>,
    /// For domains below it.
    pub below: Option<Asked>,
    /// For domains below it that do not exist.
    pub missing: Option<Asked>,
    /// How near DKIM's domain must be.
    pub dkim: Alignment,
    /// How near SPF's domain must be.
    pub spf: Alignment,
    /// Where it stands among public suffixes.
    pub suffix: Suffix,
    /// `t=y`: what it asks for is done one step less.
    pub testing: bool,
    /// Where aggregate reports go (`mailto:` of `rua`), at most 5.
    pub reports: Vec<ReportAddress>,
}

impl DmarcRecord {
    /// Reads a TXT record; `None` if it is none of DMARC (RFC 9989 §4.7: `v=DMARC1` is first).
    /// Tags that are not known or not understood are passed over.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.get(..RECORD_BYTES_MAX).unwrap_or(text);
        let text = String::from_utf8_lossy(text);
        let mut tags = text.split(';').map(|tag| match tag.split_once('=') {
            Some((name, value)) => (name.trim().to_ascii_lowercase(), value.trim()),
            None => (tag.trim().to_ascii_lowercase(), ""),
        });
        let (name, version) = tags.next()?;
        if name != "v" || version != "DMARC1" {
            return None;
        }
        let mut record = Self::default();
        for (name, value) in tags {
            let lower = value.to_ascii_lowercase();
            match name.as_str() {
                "p" => record.policy = asked(&lower),
                "sp" => record.below = asked(&lower),
                "np" => record.missing = asked(&lower),
                "adkim" => record.dkim = alignment(&lower),
                "aspf" => record.spf = alignment(&lower),
                "t" => record.testing = lower == "y",
                "psd" if lower == "y" => record.suffix = Suffix::Public,
                "psd" if lower == "n" => record.suffix = Suffix::Own,
                "rua" => record.reports = addresses(value),
                _ => {}
            }
        }
        Some(record)
    }

    /// What it asks for a message of a domain: `own` says that the record is the domain's, and
    /// `exists` that there is such a domain. `None`: the record asks for nothing and wants
    /// nothing (RFC 9989 §4.10.1).
    #[must_use]
    pub fn asks(&self, own: bool, exists: bool) -> Option<Asked> {
        let policy = match self.policy {
            Some(policy) => policy,
            None if self.reports.is_empty() => return None,
            None => Asked::None,
        };
        let below = self.below.unwrap_or(policy);
        let asked = match (own, exists) {
            (true, _) => policy,
            (false, true) => below,
            (false, false) => self.missing.unwrap_or(below),
        };
        Some(match (self.testing, asked) {
            (true, Asked::Reject) => Asked::Quarantine,
            (true, _) => Asked::None,
            (false, asked) => asked,
        })
    }
}

pub(crate) fn asked(value: &str) -> Option<Asked> {
    [Asked::None, Asked::Quarantine, Asked::Reject].into_iter().find(|one| one.keyword() == value)
}

fn alignment(value: &str) -> Alignment {
    if value == "s" { Alignment::Strict } else { Alignment::Relaxed }
}

fn addresses(value: &str) -> Vec<ReportAddress> {
    let uris = value.split(',').map(str::trim);
    let mailto = uris.filter_map(|uri| {
        let scheme = uri.get(..7)?;
        let rest = scheme.eq_ignore_ascii_case("mailto:").then(|| uri.get(7..))??;
        // RFC 7489 §6.2: a size may follow.
        let (address, size) =
            rest.split_once('!').map_or((rest, None), |(a, size)| (a, Some(size)));
        let bytes_max = size.and_then(bytes_of);
        Some(ReportAddress { address: address.to_owned(), bytes_max })
    });
    mailto.take(REPORTS_MAX).collect()
}

/// `10m`: a number, and perhaps its unit.
fn bytes_of(size: &str) -> Option<u64> {
    let digits = size.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = size.split_at_checked(digits)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The names below which a policy of `domain` may stand, from itself up: at most [`WALK_MAX`]
/// (RFC 9989 §4.10).
#[must_use]
pub fn walk(domain: &str) -> Vec<&str> {
    let mut names = vec![domain];
    let labels = domain.split('.').count();
    let mut rest = domain;
    let mut left = labels;
    while let Some((_, above)) = rest.split_once('.') {
        left -= 1;
        rest = above;
        // Of a longer name only the last seven labels are asked for.
        if left < WALK_MAX {
            names.push(rest);
        }
    }
    names.truncate(WALK_MAX);
    names
}

/// The organisation's domain, by the records met on the walk from `domain` up, longest name first
/// (RFC 9989 §4.10.2).
#[must_use]
pub fn organisation<'a>(domain: &'a str, found: &[(&'a str, DmarcRecord)]) -> &'a str {
    for (name, record) in found {
        match record.suffix {
            Suffix::Own => return name,
            Suffix::Public if *name != domain => return one_below(domain, name),
            Suffix::Public | Suffix::Unknown => {}
        }
    }
    found.last().map_or(domain, |(name, _)| name)
}

/// The name one label longer than `suffix`, on the way to `domain`.
fn one_below<'a>(domain: &'a str, suffix: &str) -> &'a str {
    let before = domain.len().saturating_sub(suffix.len() + 1);
    let start = domain.get(..before).and_then(|head| head.rfind('.')).map_or(0, |dot| dot + 1);
    domain.get(start..).unwrap_or(domain)
}

/// Which of the records met applies, and whether it is the domain's own (RFC 9989 §4.10.1).
#[must_use]
pub fn applying<'r>(
    domain: &str,
    found: &'r [(&str, DmarcRecord)],
) -> Option<(&'r str, &'r DmarcRecord, bool)> {
    let own = found.iter().find(|(name, _)| *name == domain);
    if let Some((name, record)) = own {
        return Some((name, record, true));
    }
    let organisation = organisation(domain, found);
    let of_it = found.iter().find(|(name, _)| *name == organisation);
    // Else the one of the public suffix, which is the last that was asked.
    of_it.or(found.last()).map(|(name, record)| (*name, record, false))
}
