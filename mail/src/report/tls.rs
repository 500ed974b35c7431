//! TLS-RPT (RFC 8460): how TLS to a domain's servers went.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{NoReport, WORD_BYTES_MAX, word};
use crate::codec::{Malformed, Reader, put_str, put_varint};

/// Most policies of a report that are read.
pub const TLS_POLICIES_MAX: usize = 100;

/// Most kinds of failure of a policy that are read, or kept.
pub const TLS_DETAILS_MAX: usize = 200;

/// Most lines of a policy that are kept.
const LINES_MAX: usize = 32;

/// Longest record of TLS-RPT that is read.
const RECORD_BYTES_MAX: usize = 4_096;

/// Most addresses that reports are sent to.
const TARGETS_MAX: usize = 4;

/// What said that TLS was needed (RFC 8460 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsPolicyKind {
    /// Nothing.
    #[default]
    None,
    /// MTA-STS.
    Sts,
    /// DANE.
    Tlsa,
}

impl TlsPolicyKind {
    const ALL: [Self; 3] = [Self::None, Self::Sts, Self::Tlsa];

    /// Its word in a report.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::None => "no-policy-found",
            Self::Sts => "sts",
            Self::Tlsa => "tlsa",
        }
    }
}

/// What was published when a server was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsPolicy {
    /// Of which kind.
    pub kind: TlsPolicyKind,
    /// Its lines (MTA-STS), or its records (DANE).
    pub lines: Vec<String>,
    /// Hosts that a policy of MTA-STS allows.
    pub hosts: Vec<String>,
}

/// How one call ended. [`TlsOutcome::keyword`] of what failed is that of RFC 8460 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsOutcome {
    /// Under TLS, as the policy asks.
    Success,
    /// STARTTLS was not offered.
    NotSupported,
    /// The certificate is for another host.
    HostMismatch,
    /// It is too old, or too young.
    Expired,
    /// Nobody who is believed vouches for it.
    NotTrusted,
    /// Anything else went wrong.
    Failed,
    /// The hosts are not those that the policy allows.
    PolicyInvalid,
    /// The certificate is none of those of the TLSA records.
    TlsaInvalid,
    /// TLSA records whose signatures are wrong.
    DnssecInvalid,
}

impl TlsOutcome {
    const ALL: [Self; 9] = [
        Self::Success,
        Self::NotSupported,
        Self::HostMismatch,
        Self::Expired,
        Self::NotTrusted,
        Self::Failed,
        Self::PolicyInvalid,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
    ];

    /// Its word in a report; empty for a success, which has none.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Success => "",
            Self::NotSupported => "starttls-not-supported",
            Self::HostMismatch => "certificate-host-mismatch",
            Self::Expired => "certificate-expired",
            Self::NotTrusted => "certificate-not-trusted",
            Self::Failed => "validation-failure",
            Self::PolicyInvalid => "sts-policy-invalid",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
        }
    }
}

/// What was seen of a call to a domain's server: calls alike are one line of a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsSeen {
    /// The policy it was called under.
    pub policy: TlsPolicy,
    /// How it ended.
    pub outcome: TlsOutcome,
    /// Our address, where it is known.
    pub from: Option<IpAddr>,
    /// The server's name and address; only told of failures.
    pub host: String,
    /// Its address.
    pub to: Option<IpAddr>,
}

fn put_ip(out: &mut Vec<u8>, ip: Option<IpAddr>) {
    match ip.map(|ip| ip.to_canonical()) {
        None => out.push(0),
        Some(IpAddr::V4(v4)) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        Some(IpAddr::V6(v6)) => {
            out.push(6);
            out.extend_from_slice(&v6.octets());
        }
    }
}

fn take_ip(reader: &mut Reader<'_>) -> Result<Option<IpAddr>, Malformed> {
    Ok(match reader.byte()? {
        0 => None,
        4 => Some(IpAddr::from(reader.array::<4>()?)),
        6 => Some(IpAddr::from(reader.array::<16>()?)),
        _ => return Err(Malformed("an address")),
    })
}

fn put_lines(out: &mut Vec<u8>, lines: &[String]) {
    let lines = lines.iter().take(LINES_MAX);
    put_varint(out, lines.len() as u64);
    lines.for_each(|line| put_str(out, &word(line)));
}

fn take_lines(reader: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    let count = reader.count(LINES_MAX)?;
    (0..count).map(|_| Ok(reader.str(WORD_BYTES_MAX)?.to_owned())).collect()
}

impl TlsSeen {
    /// As it is kept until the report is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let place = |at: Option<usize>| at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
        let kind = TlsPolicyKind::ALL.iter().position(|one| *one == self.policy.kind);
        let outcome = TlsOutcome::ALL.iter().position(|one| *one == self.outcome);
        let mut out = vec![1, place(kind), place(outcome)];
        put_lines(&mut out, &self.policy.lines);
        put_lines(&mut out, &self.policy.hosts);
        put_ip(&mut out, self.from);
        put_str(&mut out, &word(&self.host));
        put_ip(&mut out, self.to);
        out
    }

    /// Reads what [`Self::encode`] wrote.
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        const BAD: Malformed = Malformed("what was seen of a call");
        let mut reader = Reader::new(bytes);
        if reader.byte()? != 1 {
            return Err(BAD);
        }
        let kind = *TlsPolicyKind::ALL.get(usize::from(reader.byte()?)).ok_or(BAD)?;
        let outcome = *TlsOutcome::ALL.get(usize::from(reader.byte()?)).ok_or(BAD)?;
        let (lines, hosts) = (take_lines(&mut reader)?, take_lines(&mut reader)?);
        let from = take_ip(&mut reader)?;
        let host = reader.str(WORD_BYTES_MAX)?.to_owned();
        let to = take_ip(&mut reader)?;
        reader.end()?;
        Ok(Self { policy: TlsPolicy { kind, lines, hosts }, outcome, from, host, to })
    }
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TlsReport {
    /// Who reports, for people.
    #[serde(rename = "organization-name")]
    pub organisation: String,
    /// When.
    pub date_range: TlsDates,
    /// Where they can be asked.
    #[serde(default)]
    pub contact_info: String,
    /// Its id, unique among those of who reports.
    pub report_id: String,
    /// What there is to tell, by policy.
    pub policies: Vec<TlsReportedPolicy>,
}

/// From when to when (RFC 3339).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TlsDates {
    /// First second.
    pub start_datetime: String,
    /// Last second.
    pub end_datetime: String,
}

/// What there is to tell of one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TlsReportedPolicy {
    /// The policy.
    pub policy: TlsPublished,
    /// How often it went well, and how often not.
    pub summary: TlsSummary,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<TlsDetail>,
}

/// A policy, as a report tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TlsPublished {
    /// `sts`, `tlsa` or `no-policy-found`.
    pub policy_type: String,
    /// Its lines or records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_string: Vec<String>,
    /// Whose it is.
    #[serde(default)]
    pub policy_domain: String,
    /// Hosts that it allows. Some write one as plain text.
    #[serde(default, skip_serializing_if = "Hosts::is_empty")]
    pub mx_host: Hosts,
}

/// Host names: a list, or one of them by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Hosts {
    /// A list.
    Many(Vec<String>),
    /// One.
    One(String),
}

impl Default for Hosts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Hosts {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Many(many) if many.is_empty())
    }
}

/// Counts of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TlsSummary {
    /// Under TLS, as asked.
    #[serde(default)]
    pub total_successful_session_count: u64,
    /// Not so.
    #[serde(default)]
    pub total_failure_session_count: u64,
}

/// One kind of failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TlsDetail {
    /// Which.
    pub result_type: String,
    /// Who called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sending_mta_ip: String,
    /// Whom.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub receiving_mx_hostname: String,
    /// At which address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub receiving_ip: String,
    /// How often.
    #[serde(default)]
    pub failed_session_count: u64,
}

impl TlsReport {
    /// Reads a report.
    /// # Errors
    /// [`NoReport`].
    pub fn read(json: &str) -> Result<Self, NoReport> {
        let mut report: Self =
            serde_json::from_str(json).map_err(|_| NoReport("no JSON of RFC 8460"))?;
        if report.organisation.is_empty() || report.report_id.is_empty() {
            return Err(NoReport("it lacks a part"));
        }
        report.organisation = word(&report.organisation);
        report.contact_info = word(&report.contact_info);
        report.report_id = word(&report.report_id);
        report.date_range.start_datetime = word(&report.date_range.start_datetime);
        report.date_range.end_datetime = word(&report.date_range.end_datetime);
        report.policies.truncate(TLS_POLICIES_MAX);
        for one in &mut report.policies {
            one.policy.policy_type = word(&one.policy.policy_type);
            one.policy.policy_domain = word(&one.policy.policy_domain).to_ascii_lowercase();
            one.failure_details.truncate(TLS_DETAILS_MAX);
            for detail in &mut one.failure_details {
                for text in [
                    &mut detail.result_type,
                    &mut detail.sending_mta_ip,
                    &mut detail.receiving_mx_hostname,
                    &mut detail.receiving_ip,
                ] {
                    *text = word(text);
                }
            }
        }
        Ok(report)
    }

    /// The report as JSON.
    #[must_use]
    pub fn write(&self) -> String {
        // Strings and numbers only: it cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// What was seen of the calls to `domain`'s servers, as policies of a report, with the most
    /// frequent failures of each.
    #[must_use]
    pub fn policies_of<'a>(
        domain: &str,
        seen: impl Iterator<Item = (&'a TlsSeen, u64)>,
    ) -> Vec<TlsReportedPolicy> {
        let mut by_policy: std::collections::BTreeMap<&TlsPolicy, TlsReportedPolicy> =
            std::collections::BTreeMap::new();
        for (one, count) in seen {
            let entry = by_policy.entry(&one.policy).or_insert_with(|| TlsReportedPolicy {
                policy: TlsPublished {
                    policy_type: one.policy.kind.keyword().to_owned(),
                    policy_string: one.policy.lines.clone(),
                    policy_domain: domain.to_owned(),
                    mx_host: Hosts::Many(one.policy.hosts.clone()),
                },
                ..TlsReportedPolicy::default()
            });
            let summary = &mut entry.summary;
            if one.outcome == TlsOutcome::Success {
                summary.total_successful_session_count += count;
                continue;
            }
            summary.total_failure_session_count += count;
            let ip = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
            entry.failure_details.push(TlsDetail {
                result_type: one.outcome.keyword().to_owned(),
                sending_mta_ip: ip(one.from),
                receiving_mx_hostname: one.host.clone(),
                receiving_ip: ip(one.to),
                failed_session_count: count,
            });
        }
        by_policy
            .into_values()
            .take(TLS_POLICIES_MAX)
            .map(|mut one| {
                one.failure_details.sort_by_key(|one| std::cmp::Reverse(one.failed_session_count));
                one.failure_details.truncate(TLS_DETAILS_MAX);
                one
            })
            .collect()
    }
}

/// Where a domain wants reports to go: its record at `_smtp._tls` (RFC 8460 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsReportTargets {
    /// Addresses (`mailto:`).
    pub addresses: Vec<String>,
    /// URLs (`https:`).
    pub urls: Vec<String>,
}

impl TlsReportTargets {
    /// Reads a TXT record; `None` if it is none of TLS-RPT.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.get(..RECORD_BYTES_MAX).unwrap_or(text);
        let mut tags = text.split(';').map(str::trim);
        if tags.next()? != "v=TLSRPTv1" {
            return None;
        }
        let mut targets = Self::default();
        for value in
            tags.filter_map(|tag| tag.split_once('=')).filter(|(name, _)| name.trim() == "rua")
        {
            for uri in value.1.split(',').map(str::trim) {
                let lower = uri.to_ascii_lowercase();
                if lower.starts_with("mailto:") && targets.addresses.len() < TARGETS_MAX {
                    targets.addresses.extend(uri.get(7..).map(str::to_owned));
                } else if lower.starts_with("https://") && targets.urls.len() < TARGETS_MAX {
                    targets.urls.push(uri.to_owned());
                }
            }
        }
        Some(targets)
    }
}
