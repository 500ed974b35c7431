//! The message that brings a report (RFC 9990 §4.2, RFC 8460 §5.3).

use base64::Engine as _;

use super::gzip;
use crate::address::Path;
use crate::date::DateTime;

/// Bytes of base64 on a line.
const LINE_BYTES: usize = 76;

/// Which report it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportKind {
    /// Of DMARC.
    Dmarc,
    /// Of TLS.
    Tls,
}

impl ReportKind {
    /// What it is called in metrics, and in what ids derive from.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dmarc => "dmarc",
            Self::Tls => "tls",
        }
    }
}

/// A report on its way. Nothing in it is of anybody's choosing but the domains, which are names,
/// and what is packed.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    /// Which report.
    pub kind: ReportKind,
    /// Who reports: a domain of ours.
    pub submitter: &'a str,
    /// Our host name, for Message-ID.
    pub host: &'a str,
    /// Name of the organisation, for people.
    pub organisation: &'a str,
    /// From: an address of `submitter`.
    pub from: &'a str,
    /// To whom.
    pub to: &'a Path,
    /// Whom it is about.
    pub domain: &'a str,
    /// Its id, unique among ours; letters, digits, dots, hyphens.
    pub id: &'a str,
    /// First second.
    pub begin: u64,
    /// Last second.
    pub end: u64,
    /// When it is written.
    pub now: DateTime,
    /// The report as text.
    pub report: &'a str,
}

impl Letter<'_> {
    /// The message, CRLF lines, ASCII.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let Self { submitter, host, domain, id, from, to, now, begin, end, .. } = self;
        let boundary = format!("=_{id}");
        let (what, kind, more, report, suffix) = match self.kind {
            ReportKind::Dmarc => {
                ("DMARC", "multipart/mixed", String::new(), "application/gzip", "xml")
            }
            ReportKind::Tls => (
                "TLS",
                "multipart/report; report-type=\"tlsrpt\"",
                // RFC 8460 §5.3; RFC 8689 §4: that TLS is broken must not stop the report of it.
                format!(
                    "TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {submitter}\r\n\
                     TLS-Required: No\r\n"
                ),
                "application/tlsrpt+gzip",
                "json",
            ),
        };
        let file = format!("{submitter}!{domain}!{begin}!{end}.{suffix}.gz");
        let name = plain(self.organisation);
        let mut out = format!(
            "From: \"{name}\" <{from}>\r\n\
             To: {to}\r\n\
             Subject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{id}>\r\n\
             Date: {now}\r\n\
             Message-ID: <{id}@{host}>\r\n\
             Auto-Submitted: auto-generated\r\n\
             {more}\
             MIME-Version: 1.0\r\n\
             Content-Type: {kind};\r\n\tboundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is a {what} report of {submitter} about {domain}, for programs.\r\n\
             It is about mail from {} to {}.\r\n\r\n\
             --{boundary}\r\n\
             Content-Type: {report};\r\n\tname=\"{file}\"\r\n\
             Content-Disposition: attachment;\r\n\tfilename=\"{file}\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
            moment(*begin),
            moment(*end),
        );
        let packed = gzip(self.report.as_bytes());
        let text = base64::engine::general_purpose::STANDARD.encode(packed);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at_checked(LINE_BYTES).unwrap_or((rest, ""));
            out.push_str(line);
            out.push_str("\r\n");
            rest = more;
        }
        out.push_str(&format!("\r\n--{boundary}--\r\n"));
        out.into_bytes()
    }
}

fn moment(seconds: u64) -> DateTime {
    DateTime::from_timestamp(crate::Timestamp(seconds.saturating_mul(1_000)))
}

/// What may stand in a quoted string.
fn plain(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).take(100).collect()
}
