//! What is kept of a report of somebody else: sums by source, within a bound.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{AggregateReport, Disposition, TlsReport, WORD_BYTES_MAX, parse_rfc3339, word};
use crate::codec::{Malformed, Reader, put_str, put_varint};
use crate::verdicts::Asked;

/// Longest encoded form.
pub const DIGEST_BYTES_MAX: usize = 8_000;

/// Sources that are told apart.
const SOURCES_MAX: usize = 500;

/// Policies, and failures of each, that are told apart.
const POLICIES_MAX: usize = 10;
const FAILURES_MAX: usize = 10;

/// A report in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Who reports.
    pub organisation: String,
    /// Its id among theirs.
    pub id: String,
    /// Whom it is about; lower case.
    pub domain: String,
    /// First second.
    pub begin: u64,
    /// Last second.
    pub end: u64,
    /// What it says.
    pub body: DigestBody,
}

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DigestBody {
    /// Of DMARC.
    Dmarc {
        /// The policy that was found.
        asked: Option<Asked>,
        /// By source, the most messages first.
        sources: Vec<(IpAddr, DmarcSums)>,
        /// All sources that did not fit.
        others: DmarcSums,
    },
    /// Of TLS.
    Tls(Vec<TlsSums>),
}

impl Default for DigestBody {
    fn default() -> Self {
        Self::Tls(Vec::new())
    }
}

/// Messages of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DmarcSums {
    /// All.
    pub messages: u64,
    /// DMARC passed.
    pub passed: u64,
    /// By an aligned signature.
    pub dkim: u64,
    /// By SPF of an aligned domain.
    pub spf: u64,
    /// Sent to Junk.
    pub quarantined: u64,
    /// Refused.
    pub rejected: u64,
}

impl DmarcSums {
    /// Adds others.
    pub const fn add(&mut self, other: &Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.passed = self.passed.saturating_add(other.passed);
        self.dkim = self.dkim.saturating_add(other.dkim);
        self.spf = self.spf.saturating_add(other.spf);
        self.quarantined = self.quarantined.saturating_add(other.quarantined);
        self.rejected = self.rejected.saturating_add(other.rejected);
    }

    const fn all(&self) -> [u64; 6] {
        [self.messages, self.passed, self.dkim, self.spf, self.quarantined, self.rejected]
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.all().iter().for_each(|one| put_varint(out, *one));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            messages: reader.varint()?,
            passed: reader.varint()?,
            dkim: reader.varint()?,
            spf: reader.varint()?,
            quarantined: reader.varint()?,
            rejected: reader.varint()?,
        })
    }
}

/// Calls under one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSums {
    /// `sts`, `tlsa` or `no-policy-found`.
    pub policy: String,
    /// Under TLS, as asked.
    pub succeeded: u64,
    /// Not so.
    pub failed: u64,
    /// What went wrong at which host, how often; the most frequent first.
    pub failures: Vec<(String, String, u64)>,
}

impl Digest {
    /// What is kept of a report of DMARC.
    #[must_use]
    pub fn of_dmarc(report: &AggregateReport) -> Self {
        let mut by_source: BTreeMap<IpAddr, DmarcSums> = BTreeMap::new();
        for row in &report.rows {
            let (seen, count) = (&row.seen, row.count);
            let if_so = |so: bool| if so { count } else { 0 };
            by_source.entry(seen.source.to_canonical()).or_default().add(&DmarcSums {
                messages: count,
                passed: if_so(seen.passed()),
                dkim: if_so(seen.dkim_aligned),
                spf: if_so(seen.spf_aligned),
                quarantined: if_so(seen.disposition == Disposition::Quarantine),
                rejected: if_so(seen.disposition == Disposition::Reject),
            });
        }
        let mut sources: Vec<_> = by_source.into_iter().collect();
        sources.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.messages));
        let mut others = DmarcSums { messages: report.cut, ..DmarcSums::default() };
        sources
            .split_off(sources.len().min(SOURCES_MAX))
            .iter()
            .for_each(|(_, one)| others.add(one));
        let mut digest = Self {
            organisation: report.organisation.clone(),
            id: report.id.clone(),
            domain: report.policy.domain.clone(),
            begin: report.begin,
            end: report.end,
            body: DigestBody::Dmarc { asked: report.policy.asked, sources, others },
        };
        digest.fit();
        digest
    }

    fn fit(&mut self) {
        while self.encode().len() > DIGEST_BYTES_MAX {
            match &mut self.body {
                DigestBody::Dmarc { sources, others, .. } => {
                    let least = sources.split_off(sources.len() - sources.len().div_ceil(10));
                    least.iter().for_each(|(_, one)| others.add(one));
                    if least.is_empty() {
                        return;
                    }
                }
                DigestBody::Tls(policies) => {
                    let longest = policies.iter_mut().max_by_key(|one| one.failures.len());
                    if longest.and_then(|one| one.failures.pop()).is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// What is kept of a report of TLS: one for each domain that it is about, at most ten.
    #[must_use]
    pub fn of_tls(report: &TlsReport) -> Vec<Self> {
        let mut by_domain: BTreeMap<&str, Vec<TlsSums>> = BTreeMap::new();
        for one in &report.policies {
            let policies = by_domain.entry(&one.policy.policy_domain).or_default();
            if policies.len() >= POLICIES_MAX {
                continue;
            }
            let mut failures: Vec<_> = one
                .failure_details
                .iter()
                .map(|detail| {
                    let host = detail.receiving_mx_hostname.clone();
                    (detail.result_type.clone(), host, detail.failed_session_count)
                })
                .collect();
            failures.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
            failures.truncate(FAILURES_MAX);
            policies.push(TlsSums {
                policy: one.policy.policy_type.clone(),
                succeeded: one.summary.total_successful_session_count,
                failed: one.summary.total_failure_session_count,
                failures,
            });
        }
        let seconds = |text: &str| parse_rfc3339(text).unwrap_or(0);
        let all = by_domain.into_iter().take(POLICIES_MAX).map(|(domain, policies)| {
            let mut digest = Self {
                organisation: report.organisation.clone(),
                id: report.report_id.clone(),
                domain: domain.to_owned(),
                begin: seconds(&report.date_range.start_datetime),
                end: seconds(&report.date_range.end_datetime),
                body: DigestBody::Tls(policies),
            };
            digest.fit();
            digest
        });
        all.collect()
    }

    /// As it is kept: at most [`DIGEST_BYTES_MAX`] bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        for text in [&self.organisation, &self.id, &self.domain] {
            put_str(&mut out, &word(text));
        }
        put_varint(&mut out, self.begin);
        put_varint(&mut out, self.end);
        match &self.body {
            DigestBody::Dmarc { asked, sources, others } => {
                out.push(1);
                out.push(asked.map_or(0, |asked| match asked {
                    Asked::None => 1,
                    Asked::Quarantine => 2,
                    Asked::Reject => 3,
                }));
                others.put(&mut out);
                put_varint(&mut out, sources.len() as u64);
                for (source, sums) in sources {
                    match source {
                        IpAddr::V4(v4) => {
                            out.push(4);
                            out.extend_from_slice(&v4.octets());
                        }
                        IpAddr::V6(v6) => {
                            out.push(6);
                            out.extend_from_slice(&v6.octets());
                        }
                    }
                    sums.put(&mut out);
                }
            }
            DigestBody::Tls(policies) => {
                out.push(2);
                put_varint(&mut out, policies.len() as u64);
                for one in policies {
                    put_str(&mut out, &word(&one.policy));
                    put_varint(&mut out, one.succeeded);
                    put_varint(&mut out, one.failed);
                    put_varint(&mut out, one.failures.len() as u64);
                    for (kind, host, count) in &one.failures {
                        put_str(&mut out, &word(kind));
                        put_str(&mut out, &word(host));
                        put_varint(&mut out, *count);
                    }
                }
            }
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        const BAD: Malformed = Malformed("a report in short");
        let mut reader = Reader::new(bytes);
        if reader.byte()? != 1 {
            return Err(BAD);
        }
        let organisation = reader.str(WORD_BYTES_MAX)?.to_owned();
        let id = reader.str(WORD_BYTES_MAX)?.to_owned();
        let domain = reader.str(WORD_BYTES_MAX)?.to_owned();
        let (begin, end) = (reader.varint()?, reader.varint()?);
        let body = match reader.byte()? {
            1 => {
                let asked = match reader.byte()? {
                    0 => None,
                    1 => Some(Asked::None),
                    2 => Some(Asked::Quarantine),
                    3 => Some(Asked::Reject),
                    _ => return Err(BAD),
                };
                let others = DmarcSums::take(&mut reader)?;
                let mut sources = Vec::new();
                for _ in 0..reader.count(SOURCES_MAX)? {
                    let source = match reader.byte()? {
                        4 => IpAddr::from(reader.array::<4>()?),
                        6 => IpAddr::from(reader.array::<16>()?),
                        _ => return Err(BAD),
                    };
                    sources.push((source, DmarcSums::take(&mut reader)?));
                }
                DigestBody::Dmarc { asked, sources, others }
            }
            2 => {
                let mut policies = Vec::new();
                for _ in 0..reader.count(POLICIES_MAX)? {
                    let mut one = TlsSums {
                        policy: reader.str(WORD_BYTES_MAX)?.to_owned(),
                        succeeded: reader.varint()?,
                        failed: reader.varint()?,
                        failures: Vec::new(),
                    };
                    for _ in 0..reader.count(FAILURES_MAX)? {
                        let kind = reader.str(WORD_BYTES_MAX)?.to_owned();
                        let host = reader.str(WORD_BYTES_MAX)?.to_owned();
                        one.failures.push((kind, host, reader.varint()?));
                    }
                    policies.push(one);
                }
                DigestBody::Tls(policies)
            }
            _ => return Err(BAD),
        };
        reader.end()?;
        Ok(Self { organisation, id, domain, begin, end, body })
    }
}
