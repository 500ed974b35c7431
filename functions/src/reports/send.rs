//! One report: written, signed, and on its way as an item like any other mail.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mail::date::DateTime;
use mail::report::{
    AggregateReport, AggregateRow, DMARC_ROWS_MAX, DmarcSeen, Letter, PublishedPolicy, ReportKind,
    TlsDates, TlsReport, TlsSeen, gzip, rfc3339,
};
use mail::{Envelope, Path, Recipient, RecordId, trace};
use net::http::Asked;
use store::place::{SegmentRef, Slot};
use store::rows::{PlanItem, ReportSentRow};
use store::{Made, derived_id};

use super::wanted::{self, Wanted};
use super::{Reports, item_key};
use crate::deliver::make_item;
use crate::handler::Error;
use crate::signing::signatures;

/// For a report by HTTPS.
const POST_TIME: Duration = Duration::from_secs(60);

/// What was seen of a domain, and how often.
type Seen = BTreeMap<Vec<u8>, u64>;

impl Reports {
    /// The reports about one domain.
    /// # Errors
    /// DNS or the store gives no answer now.
    pub(super) async fn about(
        &self,
        kind: ReportKind,
        from: u64,
        domain: &str,
        seen: &Seen,
    ) -> Result<(), Error> {
        match kind {
            ReportKind::Dmarc => self.about_mail(from, domain, seen).await,
            ReportKind::Tls => self.about_tls(from, domain, seen).await,
        }
    }

    async fn about_mail(&self, from: u64, domain: &str, seen: &Seen) -> Result<(), Error> {
        let wanted = wanted::of_dmarc(&*self.around.dns, domain).await?;
        let Some((record, wanted)) = wanted.filter(|(_, wanted)| !wanted.is_empty()) else {
            return Ok(());
        };
        let mut rows: Vec<_> = seen
            .iter()
            .filter_map(|(seen, count)| {
                Some(AggregateRow { count: *count, seen: DmarcSeen::decode(seen).ok()? })
            })
            .collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.seen.cmp(&b.seen)));
        let rest = rows.split_off(rows.len().min(DMARC_ROWS_MAX));
        let report = AggregateReport {
            organisation: self.reporter.organisation.clone(),
            email: self.reporter.from.to_string(),
            id: self.id_of(ReportKind::Dmarc, from, domain),
            begin: from,
            end: from + self.store.reports().interval() - 1,
            policy: PublishedPolicy::of(domain, &record),
            rows,
            cut: rest.iter().map(|row| row.count).sum(),
        };
        let text = report.write();
        for one in &wanted {
            self.mail(ReportKind::Dmarc, from, domain, one, &text).await?;
        }
        Ok(())
    }

    async fn about_tls(&self, from: u64, domain: &str, seen: &Seen) -> Result<(), Error> {
        let targets = wanted::of_tls(&*self.around.dns, domain).await?;
        if targets.addresses.is_empty() && targets.urls.is_empty() {
            return Ok(());
        }
        let seen: Vec<(TlsSeen, u64)> = seen
            .iter()
            .filter_map(|(seen, count)| Some((TlsSeen::decode(seen).ok()?, *count)))
            .collect();
        let report = TlsReport {
            organisation: self.reporter.organisation.clone(),
            date_range: TlsDates {
                start_datetime: rfc3339(from),
                end_datetime: rfc3339(from + self.store.reports().interval() - 1),
            },
            contact_info: self.reporter.from.to_string(),
            report_id: self.id_of(ReportKind::Tls, from, domain),
            policies: TlsReport::policies_of(domain, seen.iter().map(|(seen, n)| (seen, *n))),
        };
        let text = report.write();
        for address in &targets.addresses {
            let Ok(to) = Path::parse(address) else { continue };
            let wanted = Wanted { to, bytes_max: u64::MAX };
            self.mail(ReportKind::Tls, from, domain, &wanted, &text).await?;
        }
        for url in &targets.urls {
            self.post(from, domain, url, &text).await?;
        }
        Ok(())
    }

    /// A report's id, as it says itself: one for all whom it goes to.
    fn id_of(&self, kind: ReportKind, from: u64, domain: &str) -> String {
        let id = derived(kind, from, domain, &self.reporter.host);
        format!("{from}.{:016x}", id.counter)
    }

    async fn mail(
        &self,
        kind: ReportKind,
        from: u64,
        domain: &str,
        wanted: &Wanted,
        text: &str,
    ) -> Result<(), Error> {
        let Wanted { to, bytes_max } = wanted;
        let at = to.address().domain();
        let destination = at.as_str();
        let ours = self.store.directory().domain(at).await?.is_some();
        // What we found ourselves we need not tell ourselves.
        if ours || !self.around.routes.leads_to(destination) {
            return Ok(());
        }
        let id = derived(kind, from, domain, to.text());
        let (own, now) = (&self.reporter, self.store.engines().index.now());
        let content = Letter {
            kind,
            submitter: own.from.domain().as_str(),
            host: &own.host,
            organisation: &own.organisation,
            from: &own.from.to_string(),
            to,
            domain,
            id: &self.id_of(kind, from, domain),
            begin: from,
            end: from + self.store.reports().interval() - 1,
            now: DateTime::from_timestamp(now),
            report: text,
        }
        .write();
        if u64::try_from(content.len()).unwrap_or(u64::MAX) > *bytes_max {
            tracing::warn!(domain, %to, bytes = content.len(), "a report is larger than is wanted");
            metrics::counter!("postroad_reports_too_large_total").increment(1);
            return Ok(());
        }
        let key = item_key(id, destination);
        let sent = ReportSentRow {
            kind,
            domain: domain.to_owned(),
            to: to.text().to_owned(),
            destination: destination.to_owned(),
            at: now,
        };
        // First who sees to its end, then itself, then what takes it away.
        self.store.reports().note_sent(from, id, &sent).await?;
        let envelope = Envelope {
            smtputf8: to.needs_smtputf8(),
            ..Envelope::new(None, vec![Recipient::new(to.clone())])
        };
        let signed = signatures(&self.store, own.from.domain().as_str(), &content, now).await;
        let prefix = Bytes::from(trace::return_path(None) + &signed);
        let cause = (key.clone(), 0);
        let made = Made {
            id,
            envelope,
            at: now,
            prefix,
            content: content.into(),
            cause,
            told: Vec::new(),
        };
        self.store.make(made).await?;
        let segment = SegmentRef::Made { id };
        let index = self.store.index_of(Slot { segment, index: 0 }).await?;
        let index = index.ok_or("a report is not there")?;
        let item = PlanItem::new(key, vec![0]);
        make_item(&self.store, segment, &index, (&item, &[]), "a report for nobody").await?;
        tracing::info!(domain, %to, ?kind, record = %id, "a report was made");
        count(kind);
        Ok(())
    }

    /// By HTTPS (RFC 8460 §5.4): tried once, whatever comes of it. After a crash before that is noted
    /// it goes again, with the same id, by which whoever takes it knows it.
    async fn post(&self, from: u64, domain: &str, url: &str, text: &str) -> Result<(), Error> {
        let id = derived(ReportKind::Tls, from, domain, url);
        if self.store.reports().was_sent(from, id).await? {
            return Ok(());
        }
        let body = Bytes::from(gzip(text.as_bytes()));
        let asked = Asked::post(url, "application/tlsrpt+gzip", body, POST_TIME, 64 * 1024);
        match self.around.http.ask(asked).await {
            Ok(answered) if answered.response.status().is_success() => {
                tracing::info!(domain, url, "a report was posted");
                count(ReportKind::Tls);
            }
            Ok(answered) => {
                let status = answered.response.status().as_u16();
                tracing::info!(domain, url, status, "a report was not taken");
            }
            Err(why) => tracing::info!(domain, url, %why, "a report could not be posted"),
        }
        let sent = ReportSentRow {
            kind: ReportKind::Tls,
            domain: domain.to_owned(),
            to: url.chars().take(250).collect(),
            destination: String::new(),
            at: self.store.engines().index.now(),
        };
        Ok(self.store.reports().note_sent(from, id, &sent).await?)
    }
}

fn count(kind: ReportKind) {
    metrics::counter!("postroad_reports_sent_total", "kind" => kind.name()).increment(1);
}

/// The id of a report [j].
fn derived(kind: ReportKind, from: u64, domain: &str, to: &str) -> RecordId {
    derived_id(format!("{}\0{from}\0{domain}\0{to}", kind.name()).as_bytes())
}
