//! Reports that mail servers send one another: how mail in a domain's name fared (DMARC,
//! RFC 9990, and RFC 7489 before it), and how TLS to its servers fared (TLS-RPT, RFC 8460).
//!
//! What comes in was written by anybody: it is unpacked within one bound (F3), read within others,
//! and anything odd is [`NoReport`]. What goes out is written from typed values only.

mod aggregate;
mod attachment;
mod digest;
mod letter;
#[cfg(test)]
mod tests;
mod tls;
mod xml;

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::date::Date;

pub use aggregate::{
    AggregateReport, AggregateRow, DMARC_ROWS_MAX, Disposition, DmarcSeen, PublishedPolicy,
    SeenSignature, SeenSpf,
};
pub use attachment::{REPORT_BYTES_MAX, REPORT_MESSAGE_BYTES_MAX, Unpacked, unpack};
pub use digest::{DIGEST_BYTES_MAX, Digest, DigestBody, DmarcSums, TlsSums};
pub use letter::{Letter, ReportKind};
pub use tls::{
    Hosts, TLS_DETAILS_MAX, TLS_POLICIES_MAX, TlsDates, TlsDetail, TlsOutcome, TlsPolicy,
    TlsPolicyKind, TlsPublished, TlsReport, TlsReportTargets, TlsReportedPolicy, TlsSeen,
    TlsSummary,
};

/// Longest name or word of others that is kept.
pub(crate) const WORD_BYTES_MAX: usize = 255;

/// It is no report, or none that can be read; why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no report that can be read: {0}")]
pub struct NoReport(pub &'static str);

/// Packs a report for its letter (RFC 1952).
#[must_use]
pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    // Into memory: neither can fail.
    packer.write_all(text).and_then(|()| packer.finish()).unwrap_or_default()
}

/// At most [`WORD_BYTES_MAX`] bytes of a text, without control characters.
pub(crate) fn word(text: &str) -> String {
    let mut out = String::new();
    for letter in text.trim().chars().map(|c| if c.is_control() { '?' } else { c }) {
        if out.len() + letter.len_utf8() > WORD_BYTES_MAX {
            break;
        }
        out.push(letter);
    }
    out
}

/// A time of reports (RFC 3339), in UTC.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let date = Date::from_days(i64::try_from(seconds / 86_400).unwrap_or(i64::MAX));
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let Date { year, month, day } = date;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Seconds since 1970 of a time of RFC 3339; fractions are dropped, zones taken off.
pub(crate) fn parse_rfc3339(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize, to: usize| u8::try_from(number(from, to)?).ok();
    let date = Date::new(number(0, 4)?, small(5, 7)?, small(8, 10)?)?;
    let time = i64::from(number(11, 13)?) * 3_600
        + i64::from(number(14, 16)?) * 60
        + i64::from(number(17, 19)?);
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let away = match zone.split_at_checked(1) {
        Some((sign @ ("+" | "-"), rest)) => {
            let (hours, minutes) = rest.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "+" { minutes * 60 } else { -minutes * 60 }
        }
        _ => 0,
    };
    u64::try_from(date.days() * 86_400 + time - away).ok()
}
