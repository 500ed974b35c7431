//! Who wants a report, by DNS: the policy record of a domain, and whether those whom it names for
//! its reports agree (RFC 9990 §4).

use mail::dmarc::{DmarcRecord, Suffix, organisation, walk};
use mail::report::TlsReportTargets;
use mail::{Domain, Path};
use net::dns::{Dns, DnsFault};

/// Largest report for which nothing else is said (RFC 7489 leaves it open).
const BYTES_MAX: u64 = 10 << 20;

/// One who wants a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The address.
    pub(super) to: Path,
    /// Largest message.
    pub(super) bytes_max: u64,
}

/// Records of TXT; none where there is no such name.
async fn texts(dns: &dyn Dns, name: &str) -> Result<Vec<String>, DnsFault> {
    match dns.txt(name).await {
        Ok(answer) => Ok(answer.records),
        Err(fault) if fault.is_temporary() => Err(fault),
        Err(_) => Ok(Vec::new()),
    }
}

/// The one policy record at a name.
async fn policy(dns: &dyn Dns, domain: &str) -> Result<Option<DmarcRecord>, DnsFault> {
    let texts = texts(dns, &format!("_dmarc.{domain}")).await?;
    let mut records = texts.iter().filter_map(|text| DmarcRecord::parse(text.as_bytes()));
    Ok(records.next().filter(|_| records.next().is_none()))
}

/// The policy of a domain as it is now, and those who want its reports and may have them. `None`:
/// nobody any more.
/// # Errors
/// DNS gives no answer now.
pub(super) async fn of_dmarc(
    dns: &dyn Dns,
    domain: &str,
) -> Result<Option<(DmarcRecord, Vec<Wanted>)>, DnsFault> {
    let Some(record) = policy(dns, domain).await? else { return Ok(None) };
    let mut all = Vec::new();
    for one in &record.reports {
        let Ok(to) = Path::parse(&one.address) else { continue };
        let at = to.address().domain();
        if agrees(dns, domain, at).await? {
            all.push(Wanted { bytes_max: one.bytes_max.unwrap_or(BYTES_MAX), to });
        } else {
            tracing::info!(domain, destination = %at, "it does not want reports about this domain");
        }
    }
    Ok(Some((record, all)))
}

/// RFC 9990 §4: whoever is not of the same organisation says that it wants reports about a domain.
/// Else anybody's mailbox could be filled by reports.
async fn agrees(dns: &dyn Dns, about: &str, at: &Domain) -> Result<bool, DnsFault> {
    if at.is_literal() {
        return Ok(false);
    }
    let at = at.as_str();
    if about == at || organisation_of(dns, about).await? == organisation_of(dns, at).await? {
        return Ok(true);
    }
    let texts = texts(dns, &format!("{about}._report._dmarc.{at}")).await?;
    Ok(texts.iter().any(|text| DmarcRecord::parse(text.as_bytes()).is_some()))
}

/// RFC 9989 §4.10.2.
async fn organisation_of(dns: &dyn Dns, domain: &str) -> Result<String, DnsFault> {
    let mut found = Vec::new();
    for name in walk(domain) {
        if let Some(record) = policy(dns, name).await? {
            let ends = record.suffix != Suffix::Unknown;
            found.push((name, record));
            if ends {
                break;
            }
        }
    }
    Ok(organisation(domain, &found).to_owned())
}

/// Where a domain wants reports of TLS (RFC 8460 §3); nowhere if it has no record, or several.
/// # Errors
/// DNS gives no answer now.
pub(super) async fn of_tls(dns: &dyn Dns, domain: &str) -> Result<TlsReportTargets, DnsFault> {
    let texts = texts(dns, &format!("_smtp._tls.{domain}")).await?;
    let mut records = texts.iter().filter_map(|text| TlsReportTargets::parse(text));
    Ok(records.next().filter(|_| records.next().is_none()).unwrap_or_default())
}
