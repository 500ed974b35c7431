//! Reports that come in: read while their message is delivered, and kept in short. The message
//! itself is in its mailbox whatever becomes of that.

use std::collections::BTreeSet;

use engine::WriteError;
use mail::report::{
    AggregateReport, Digest, NoReport, REPORT_MESSAGE_BYTES_MAX, TlsReport, Unpacked, unpack,
};
use mail::summary::FieldName;
use mail::verdicts::Found;
use mail::{Domain, Summary, Verdicts};
use store::place::{SegmentRef, Slot};
use store::rows::ReceivedRow;
use store::segment::{Index, IndexRecord};
use store::{Filed, Store};

/// Reads the reports among the records of a segment. A second time it finds them there.
/// # Errors
/// [`WriteError`]: they are read again with the segment.
pub(crate) async fn learn(
    store: &Store,
    segment: SegmentRef,
    index: &Index,
) -> Result<(), WriteError> {
    for (number, record) in (0_u32..).zip(&index.records) {
        let domains = addressed(record);
        if domains.is_empty() || !looks_like_one(record) {
            continue;
        }
        let slot = Slot { segment, index: number };
        let read = read(store, slot, record).await;
        for domain in domains {
            if store.directory().domain(&domain).await.is_ok_and(|row| row.is_some()) {
                keep(store, &domain, record, &read).await?;
            }
        }
    }
    Ok(())
}

/// The domains whose postmaster it is to: there `domain show` has reports sent.
fn addressed(record: &IndexRecord) -> BTreeSet<Domain> {
    let recipients = record.envelope.iter().flat_map(|envelope| &envelope.recipients);
    let addresses = recipients.map(|to| to.path.address());
    let postmasters = addresses.filter(|to| to.local().eq_ignore_ascii_case("postmaster"));
    postmasters.map(|to| to.domain().clone()).collect()
}

/// RFC 9990 §4.2 and RFC 8460 §5.3 say how the message looks; both are kept to.
fn looks_like_one(record: &IndexRecord) -> bool {
    let Ok(summary) = Summary::decode(&record.summary) else { return false };
    let value = |name| {
        let field = summary.field(name).map(|field| field.value().to_ascii_lowercase());
        String::from_utf8_lossy(&field.unwrap_or_default()).trim().to_owned()
    };
    let (subject, kind) = (value(FieldName::Subject), value(FieldName::ContentType));
    let packed = ["application/gzip", "application/x-gzip", "application/zip", "application/x-zip"];
    subject.contains("report domain:")
        || kind.contains("tlsrpt")
        || packed.iter().any(|start| kind.starts_with(start))
}

/// The reports in a message, one for each domain that they are about.
async fn read(store: &Store, slot: Slot, record: &IndexRecord) -> Result<Vec<Digest>, NoReport> {
    let size = record.location.size();
    if size > REPORT_MESSAGE_BYTES_MAX {
        return Err(NoReport("too large a message"));
    }
    let Ok(Some(bytes)) = store.read_record(slot, 0..size).await else {
        return Err(NoReport("it cannot be read now"));
    };
    // By itself: whatever is in it cannot harm more than that.
    let parsed = store.engines().tasks.spawn("report", async move { parse(&bytes) });
    parsed.await.unwrap_or(Err(NoReport("it cannot be read at all")))
}

fn parse(message: &[u8]) -> Result<Vec<Digest>, NoReport> {
    match unpack(message)? {
        Unpacked::Xml(xml) => Ok(vec![Digest::of_dmarc(&AggregateReport::read(&xml)?)]),
        Unpacked::Json(json) => Ok(Digest::of_tls(&TlsReport::read(&json)?)),
    }
}

async fn keep(
    store: &Store,
    domain: &Domain,
    record: &IndexRecord,
    read: &Result<Vec<Digest>, NoReport>,
) -> Result<(), WriteError> {
    let (reports, at) = (store.reports(), record.received);
    let digests = match read {
        Ok(digests) => digests,
        Err(why) => {
            tracing::info!(record = %record.location.id, %domain, %why, "a report is not read");
            count("malformed");
            return reports.refuse(domain, at, |refused| refused.malformed += 1).await;
        }
    };
    let verdicts = Verdicts::decode(&record.verdicts).unwrap_or_default();
    let dmarc = verdicts.dmarc.unwrap_or_default();
    let sender = record.envelope.as_ref().and_then(|envelope| envelope.sender.as_ref());
    let of_sender = || sender.map_or("", |path| path.address().domain().as_str()).to_owned();
    for digest in digests {
        if !is_about(&digest.domain, domain) {
            count("foreign");
            reports.refuse(domain, at, |refused| refused.foreign += 1).await?;
            continue;
        }
        let row = ReceivedRow {
            at,
            verified: dmarc.found == Found::Pass,
            from: if dmarc.from.is_empty() { of_sender() } else { dmarc.from.clone() },
            digest: digest.clone(),
        };
        let filed = match reports.receive(domain, &row).await {
            // No row holds it: it holds up nobody's mail.
            Err(WriteError::Refused(why)) => {
                tracing::info!(record = %record.location.id, %domain, %why, "a report is not kept");
                count("malformed");
                reports.refuse(domain, at, |refused| refused.malformed += 1).await?;
                continue;
            }
            filed => filed?,
        };
        match filed {
            Filed::New => {
                tracing::info!(record = %record.location.id, %domain,
                    organisation = row.digest.organisation, "a report was read");
                count("new");
            }
            Filed::Known => count("known"),
            Filed::Over => {
                count("over");
                reports.refuse(domain, at, |refused| refused.over += 1).await?;
            }
        }
    }
    Ok(())
}

/// A report about the domain itself, or one below it.
fn is_about(reported: &str, domain: &Domain) -> bool {
    let reported = reported.trim_end_matches('.');
    let reported = Domain::parse(reported).map_or_else(|_| String::new(), |one| one.to_string());
    let rest = reported.strip_suffix(domain.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn count(result: &'static str) {
    metrics::counter!("postroad_reports_received_total", "result" => result).increment(1);
}
