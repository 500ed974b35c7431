//! DMARC (RFC 9989): is what people see as the sender what SPF or DKIM has proved?

use mail::Domain;
use mail::dmarc::{Alignment, Author, DmarcRecord, Suffix, applying, organisation, walk};
use mail::verdicts::{Asked, DmarcVerdict, Found, Verdicts};
use net::dns::DnsFault;

use super::lookups::Lookups;

type Walked<'a> = Vec<(&'a str, DmarcRecord)>;

/// Checks a message whose SPF and DKIM are known. Of several domains in From the worst counts: the
/// one that fails and asks for most. Also whether the record that applies wants reports.
pub(super) async fn check(
    lookups: &Lookups<'_>,
    author: &Author,
    verdicts: &Verdicts,
) -> (DmarcVerdict, bool) {
    let domains = match author {
        Author::Domains(domains) => domains,
        Author::Nobody(_) | Author::Ambiguous => {
            return (DmarcVerdict { found: Found::PermError, ..DmarcVerdict::default() }, false);
        }
    };
    let mut worst: Option<(DmarcVerdict, bool)> = None;
    for domain in domains {
        let verdict = one(lookups, domain, verdicts).await;
        let badness = |(one, _): &(DmarcVerdict, bool)| {
            (one.found == Found::Fail, one.asked, rank(one.found))
        };
        if worst.as_ref().is_none_or(|worst| badness(worst) < badness(&verdict)) {
            worst = Some(verdict);
        }
    }
    worst.unwrap_or_default()
}

const fn rank(found: Found) -> u8 {
    match found {
        Found::Pass => 0,
        Found::None => 1,
        Found::TempError => 2,
        _ => 3,
    }
}

async fn one(lookups: &Lookups<'_>, domain: &Domain, verdicts: &Verdicts) -> (DmarcVerdict, bool) {
    let from = domain.as_str();
    let verdict = DmarcVerdict { from: from.to_owned(), ..DmarcVerdict::default() };
    let temporary = |verdict| (DmarcVerdict { found: Found::TempError, ..verdict }, false);
    let Ok(walked) = climb(lookups, from).await else { return temporary(verdict) };
    let Some((name, record, own)) = applying(from, &walked) else {
        return (verdict, false);
    };
    // `np` is for names that do not exist; whether this one does is asked only if it matters.
    let matters = !own && record.asks(false, false) != record.asks(false, true);
    let exists = match matters {
        true => lookups.exists(from).await,
        false => Ok(true),
    };
    let Ok(exists) = exists else { return temporary(verdict) };
    let Some(asked) = record.asks(own, exists) else { return (verdict, false) };
    let verdict = DmarcVerdict { record: name.to_owned(), asked, ..verdict };
    let author = AuthorDomain { lookups, from, organisation: organisation(from, &walked) };
    (author.compare(record, verdicts, verdict).await, !record.reports.is_empty())
}

/// The records on the way up (RFC 9989 §4.10).
async fn climb<'a>(lookups: &Lookups<'_>, domain: &'a str) -> Result<Walked<'a>, DnsFault> {
    let mut found = Vec::new();
    for name in walk(domain) {
        let texts = match lookups.txt(&format!("_dmarc.{name}")).await {
            Ok(texts) => texts,
            Err(fault) if fault.is_temporary() => return Err(fault),
            Err(_) => continue,
        };
        let mut records = texts.iter().filter_map(|text| DmarcRecord::parse(text.as_bytes()));
        // Several are none.
        if let (Some(record), None) = (records.next(), records.next()) {
            let ends = record.suffix != Suffix::Unknown;
            found.push((name, record));
            if ends {
                break;
            }
        }
    }
    Ok(found)
}

struct AuthorDomain<'a> {
    lookups: &'a Lookups<'a>,
    from: &'a str,
    organisation: &'a str,
}

impl AuthorDomain<'_> {
    async fn compare(
        &self,
        record: &DmarcRecord,
        verdicts: &Verdicts,
        mut verdict: DmarcVerdict,
    ) -> DmarcVerdict {
        // RFC 9989 §5.3.6: where DNS failed for what would have aligned, nothing can be said.
        let mut unsure = false;
        if let Some(spf) = &verdicts.spf
            && matters(spf.found)
        {
            match self.aligned(&spf.domain, record.spf).await {
                Ok(true) if spf.found == Found::Pass => verdict.spf_aligned = true,
                Ok(true) | Err(_) => unsure = true,
                Ok(false) => {}
            }
        }
        for dkim in verdicts.dkim.iter().flatten().filter(|one| matters(one.found)) {
            match self.aligned(&dkim.domain, record.dkim).await {
                Ok(true) if dkim.found == Found::Pass => verdict.dkim_aligned = true,
                Ok(true) | Err(_) => unsure = true,
                Ok(false) => {}
            }
        }
        verdict.found = match (verdict.spf_aligned || verdict.dkim_aligned, unsure) {
            (true, _) => Found::Pass,
            (false, true) => Found::TempError,
            (false, false) => Found::Fail,
        };
        verdict
    }

    async fn aligned(&self, domain: &str, alignment: Alignment) -> Result<bool, DnsFault> {
        let Ok(domain) = Domain::parse(domain) else { return Ok(false) };
        let domain = domain.as_str();
        if domain == self.from {
            return Ok(true);
        }
        let head = domain.strip_suffix(self.organisation);
        let may_be = head.is_some_and(|head| head.is_empty() || head.ends_with('.'));
        if alignment == Alignment::Strict || !may_be {
            return Ok(false);
        }
        let walked = climb(self.lookups, domain).await?;
        Ok(organisation(domain, &walked) == self.organisation)
    }
}

const fn matters(found: Found) -> bool {
    matches!(found, Found::Pass | Found::TempError)
}

/// Whether what a domain asks for is to be done.
pub(super) fn failed(verdicts: &Verdicts) -> Option<&DmarcVerdict> {
    let asks = |dmarc: &&DmarcVerdict| dmarc.found == Found::Fail && dmarc.asked != Asked::None;
    verdicts.dmarc.as_ref().filter(asks)
}
