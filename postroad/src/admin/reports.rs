//! Reports of others about domains of ours: how mail in their name fared there (DMARC), and how TLS
//! to our servers went (TLS-RPT).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mail::Domain;
use mail::report::{DigestBody, DmarcSums};
use serde::Serialize;
use store::rows::{ReceivedRow, RefusedRow};

use super::{Admin, AdminError, domain_name};

/// Reports of one domain that are looked at.
const REPORTS_MAX: usize = 20_000;

const DAY: u64 = 24 * 60 * 60;

/// One report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportInfo {
    /// The domain of ours.
    pub domain: String,
    /// `dmarc` or `tls`.
    pub kind: &'static str,
    /// Who reports.
    pub organisation: String,
    /// Its id among theirs.
    pub id: String,
    /// What it is about exactly: the domain, or one below it.
    pub about: String,
    /// First second, since 1970.
    pub begin: u64,
    /// Last second.
    pub end: u64,
    /// When it came, in milliseconds since 1970.
    pub received_ms: u64,
    /// The domain of its sender.
    pub sender: String,
    /// Whether DMARC proved that.
    pub verified: bool,
    /// Messages, or calls.
    pub total: u64,
    /// Of them, those that passed.
    pub passed: u64,
}

/// Messages of one source in a domain's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceSums {
    /// Its address; `null`: all that were not told apart.
    pub source: Option<IpAddr>,
    /// All.
    pub messages: u64,
    /// DMARC passed.
    pub passed: u64,
    /// By a signature.
    pub dkim: u64,
    /// By SPF.
    pub spf: u64,
    /// Held as suspicious.
    pub quarantined: u64,
    /// Refused.
    pub rejected: u64,
    /// How many told of it.
    pub reporters: usize,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportFailure {
    /// In the word of RFC 8460.
    pub kind: String,
    /// At which server.
    pub host: String,
    /// How often.
    pub count: u64,
}

/// Calls under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsPolicySums {
    /// `sts`, `tlsa` or `no-policy-found`.
    pub policy: String,
    /// Under TLS, as asked.
    pub succeeded: u64,
    /// Not so.
    pub failed: u64,
    /// What went wrong, the most frequent first.
    pub failures: Vec<ReportFailure>,
}

/// What all reports about a domain say together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportSums {
    /// The domain.
    pub domain: String,
    /// How many there are.
    pub reports: usize,
    /// Of them, those whose sender is proved.
    pub verified: usize,
    /// Messages in its name, by source, the most first.
    pub sources: Vec<SourceSums>,
    /// Calls to its servers.
    pub tls: Vec<TlsPolicySums>,
    /// Reports that could not be read.
    pub malformed: u64,
    /// Reports about others' domains.
    pub foreign: u64,
    /// Reports that were too many.
    pub over: u64,
}

impl Admin {
    /// Reports about a domain, or about all of ours, that came in within a time; the newest first.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn received_reports(
        &self,
        name: Option<&str>,
        since: Duration,
        limit: usize,
    ) -> Result<Vec<ReportInfo>, AdminError> {
        let domains = match name {
            Some(name) => vec![self.own_domain(name).await?],
            None => self.all_domains().await?,
        };
        let mut all = Vec::new();
        for domain in domains {
            let (rows, _) = self.received(&domain, since).await?;
            all.extend(rows.into_iter().map(|row| info(&domain, row)));
        }
        all.sort_by(|a, b| b.received_ms.cmp(&a.received_ms).then_with(|| a.id.cmp(&b.id)));
        all.truncate(limit);
        Ok(all)
    }

    /// What the reports about a domain that came in within a time say together.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn report_sums(&self, name: &str, since: Duration) -> Result<ReportSums, AdminError> {
        let domain = self.own_domain(name).await?;
        let (rows, refused) = self.received(&domain, since).await?;
        let mut sources: BTreeMap<Option<IpAddr>, (DmarcSums, BTreeSet<&str>)> = BTreeMap::new();
        let mut tls: BTreeMap<&str, TlsPolicySums> = BTreeMap::new();
        for row in &rows {
            let who = row.digest.organisation.as_str();
            let mut add = |source, sums: &DmarcSums| {
                let (all, reporters) = sources.entry(source).or_default();
                all.add(sums);
                reporters.insert(who);
            };
            match &row.digest.body {
                DigestBody::Dmarc { sources, others, .. } => {
                    sources.iter().for_each(|(source, sums)| add(Some(*source), sums));
                    if others.messages > 0 {
                        add(None, others);
                    }
                }
                DigestBody::Tls(policies) => policies.iter().for_each(|one| {
                    let sums = tls.entry(&one.policy).or_insert_with(|| TlsPolicySums {
                        policy: one.policy.clone(),
                        succeeded: 0,
                        failed: 0,
                        failures: Vec::new(),
                    });
                    sums.succeeded = sums.succeeded.saturating_add(one.succeeded);
                    sums.failed = sums.failed.saturating_add(one.failed);
                    for (kind, host, count) in &one.failures {
                        add_failure(&mut sums.failures, kind, host, *count);
                    }
                }),
            }
        }
        let mut sources: Vec<_> = sources.into_iter().map(source_sums).collect();
        sources.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.source.cmp(&b.source)));
        let mut tls: Vec<_> = tls.into_values().collect();
        tls.iter_mut().for_each(|one| one.failures.sort_by_key(|one| std::cmp::Reverse(one.count)));
        Ok(ReportSums {
            domain: domain.to_string(),
            reports: rows.len(),
            verified: rows.iter().filter(|row| row.verified).count(),
            sources,
            tls,
            malformed: refused.malformed,
            foreign: refused.foreign,
            over: refused.over,
        })
    }

    async fn own_domain(&self, name: &str) -> Result<Domain, AdminError> {
        let domain = domain_name(name)?;
        match self.look().await?.domain(&domain).await? {
            Some(_) => Ok(domain),
            None => Err(AdminError::NotFound { what: "domain", name: domain.to_string() }),
        }
    }

    async fn received(
        &self,
        domain: &Domain,
        since: Duration,
    ) -> Result<(Vec<ReceivedRow>, RefusedRow), AdminError> {
        let from = self.now().seconds().saturating_sub(since.as_secs());
        let day = u32::try_from(from / DAY).unwrap_or(u32::MAX);
        let found = self.store.reports().received(domain, day, REPORTS_MAX).await?;
        Ok(found)
    }
}

fn info(domain: &Domain, row: ReceivedRow) -> ReportInfo {
    let (kind, total, passed) = match &row.digest.body {
        DigestBody::Dmarc { sources, others, .. } => {
            let mut all = *others;
            sources.iter().for_each(|(_, sums)| all.add(sums));
            ("dmarc", all.messages, all.passed)
        }
        DigestBody::Tls(policies) => {
            let passed = policies.iter().map(|one| one.succeeded).fold(0, u64::saturating_add);
            let failed = policies.iter().map(|one| one.failed).fold(0, u64::saturating_add);
            ("tls", passed.saturating_add(failed), passed)
        }
    };
    ReportInfo {
        domain: domain.to_string(),
        kind,
        organisation: row.digest.organisation,
        id: row.digest.id,
        about: row.digest.domain,
        begin: row.digest.begin,
        end: row.digest.end,
        received_ms: row.at.millis(),
        sender: row.from,
        verified: row.verified,
        total,
        passed,
    }
}

fn source_sums(
    (source, (sums, reporters)): (Option<IpAddr>, (DmarcSums, BTreeSet<&str>)),
) -> SourceSums {
    SourceSums {
        source,
        messages: sums.messages,
        passed: sums.passed,
        dkim: sums.dkim,
        spf: sums.spf,
        quarantined: sums.quarantined,
        rejected: sums.rejected,
        reporters: reporters.len(),
    }
}

fn add_failure(all: &mut Vec<ReportFailure>, kind: &str, host: &str, count: u64) {
    match all.iter_mut().find(|one| one.kind == kind && one.host == host) {
        Some(one) => one.count = one.count.saturating_add(count),
        None => all.push(ReportFailure { kind: kind.to_owned(), host: host.to_owned(), count }),
    }
}
