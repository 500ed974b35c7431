//! Finding the segment of a record by its id: by halves over the writer's segments, whose counters
//! rise with their numbers.

use std::sync::Arc;

use engine::ObjectKey;
use mail::header::{fields, unfold};
use mail::{Account, RecordId, Verdicts, WriterId};
use store::directory::ListCursor;
use store::names;
use store::segment::{Index, IndexRecord};

use super::{ACCOUNTS_MAX, Admin, AdminError, TraceStep, queue, text};

/// Up to eight segments of a writer are put at once, and one whose number was closed is put again
/// behind them [B]: near its place in the order, the order may be another.
const DISORDER: u64 = 16;
/// Numbers in a row without records (tombstones) that are passed over.
const TOMBSTONES_MAX: usize = 64;

/// A record's segment.
pub(super) struct Found {
    pub(super) key: ObjectKey,
    /// Of an ingest segment.
    pub(super) ingest: Option<(WriterId, u64)>,
    index: Arc<Index>,
    /// The record's number in it.
    pub(super) at: usize,
}

impl Found {
    fn new(key: ObjectKey, index: Arc<Index>, record: RecordId) -> Option<Self> {
        let at = index.records.iter().position(|one| one.location.id == record)?;
        Some(Self { ingest: names::parse_ingest(&key), key, index, at })
    }

    pub(super) fn record(&self) -> &IndexRecord {
        &self.index.records[self.at]
    }
}

impl Admin {
    /// The segment that the record was accepted in, or the object that a function made; `None`: it
    /// is gone, or never was.
    pub(super) async fn find_segment(&self, record: RecordId) -> Result<Option<Found>, AdminError> {
        let made = names::made(record);
        if let Some(index) = self.store.segment_index(&made).await? {
            return Ok(Found::new(made, index, record));
        }
        let writer = record.writer;
        let (mut below, mut above) = (0, self.last_number(writer).await?);
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            match self.segment_after(writer, middle - 1).await? {
                Some((number, counter)) if counter < record.counter => below = number,
                _ => above = middle,
            }
        }
        let prefix = names::ingest_prefix(writer);
        let start = names::ingest(writer, below.saturating_sub(DISORDER));
        let limit = usize::try_from(4 * DISORDER).unwrap_or(usize::MAX);
        for object in self.store.engines().objects.list(&prefix, Some(&start), limit).await? {
            let Some(index) = self.store.segment_index(&object.key).await? else { continue };
            if let Some(found) = Found::new(object.key, index, record) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A number behind all of a writer's segments.
    async fn last_number(&self, writer: WriterId) -> Result<u64, AdminError> {
        let prefix = names::ingest_prefix(writer);
        let mut last = 1;
        loop {
            let after = names::ingest(writer, last);
            let next = self.store.engines().objects.list(&prefix, Some(&after), 1).await?;
            if next.is_empty() || last >= u64::MAX / 2 {
                return Ok(last + 1);
            }
            last *= 2;
        }
    }

    /// The first segment with records behind this number: its number and its highest counter.
    async fn segment_after(
        &self,
        writer: WriterId,
        number: u64,
    ) -> Result<Option<(u64, u64)>, AdminError> {
        let prefix = names::ingest_prefix(writer);
        let after = names::ingest(writer, number);
        let objects = &self.store.engines().objects;
        for object in objects.list(&prefix, Some(&after), TOMBSTONES_MAX).await? {
            let Some((_, number)) = names::parse_ingest(&object.key) else { continue };
            let Some(index) = self.store.segment_index(&object.key).await? else { continue };
            let highest = index.records.iter().map(|one| one.location.id.counter).max();
            if let Some(highest) = highest {
                return Ok(Some((number, highest)));
            }
        }
        Ok(None)
    }

    /// What the segment says of the record's coming.
    pub(super) async fn accepted(
        &self,
        found: &Found,
        unknown: &mut Vec<String>,
    ) -> Result<TraceStep, AdminError> {
        let record = found.record();
        let what = if found.ingest.is_some() { "accepted" } else { "made" };
        let mut parts = Vec::new();
        if let Some(envelope) = &record.envelope {
            let sender = envelope.sender.as_ref().map_or("", |path| path.text());
            let to: Vec<_> =
                envelope.recipients.iter().map(|to| format!("<{}>", to.path.text())).collect();
            parts.push(format!("from <{sender}> for {}", to.join(" ")));
        }
        parts.push(format!("{} bytes", record.location.size()));
        parts.push(format!("in {} as number {}", found.key, found.at));
        match self.prefix(found).await? {
            Some(prefix) => {
                for name in ["Received", "Authentication-Results"] {
                    let of_name = fields(&prefix).find(|field| field.is(name));
                    parts.extend(of_name.map(|field| {
                        let value = String::from_utf8_lossy(&unfold(field.value)).into_owned();
                        format!("{name}: {}", text::one_line(&value))
                    }));
                }
            }
            None => unknown.push("the peer: the segment was deleted just now".to_owned()),
        }
        if let Some((item, number)) = store::cause_of(record) {
            parts.push(format!("report {} about the item {}", number + 1, queue::name(&item)));
        } else if !record.verdicts.is_empty() {
            match Verdicts::decode(&record.verdicts) {
                Ok(verdicts) => parts.extend(judged(&verdicts)),
                Err(_) => unknown.push("what the checks found: it cannot be read".to_owned()),
            }
        }
        Ok(TraceStep::new(Some(record.received), what, parts.join("; ")))
    }

    /// The header fields that we put before the message.
    async fn prefix(&self, found: &Found) -> Result<Option<Vec<u8>>, AdminError> {
        let location = &found.record().location;
        let reading = location.reading(0..location.prefix_bytes());
        let Some(own) = reading.own() else { return Ok(Some(Vec::new())) };
        let got = self.store.engines().objects.get_ranges(&found.key, &[own]).await?;
        let Some(bytes) = got.and_then(|mut ranges| ranges.pop()) else { return Ok(None) };
        let read = reading.finish(&bytes, &bytes::Bytes::new());
        Ok(Some(read.map_err(|why| AdminError::Damaged(why.to_string()))?.to_vec()))
    }

    /// Why there is no segment of a record.
    pub(super) async fn why_no_segment(&self, record: RecordId) -> Result<String, AdminError> {
        Ok(match self.store.writers().get(record.writer).await? {
            Some((row, _)) => format!(
                "its coming (peer, envelope, checks, plan): writer {} of edge {} has no segment with \
                 it any more; they go when everything in them is done and filed",
                record.writer, row.edge
            ),
            None => "its coming (peer, envelope, checks, plan): no writer of this id is known; it \
                     came by IMAP's APPEND or an import, or is older than 30 days"
                .to_owned(),
        })
    }

    /// The accounts that are searched for a record whose plan is gone: all, within a bound.
    pub(super) async fn searched(
        &self,
        unknown: &mut Vec<String>,
    ) -> Result<Vec<Account>, AdminError> {
        let mut all = Vec::new();
        for domain in self.all_domains().await? {
            let mut cursor = Some(ListCursor::default());
            while let Some(from) = cursor {
                let (page, next) = self.directory().list(&domain, from, 1_000).await?;
                cursor = next;
                for id in page.into_iter().filter_map(|(_, account)| account) {
                    if all.len() >= ACCOUNTS_MAX {
                        unknown.push(format!(
                            "only {ACCOUNTS_MAX} accounts were searched: name one with --account"
                        ));
                        return Ok(all);
                    }
                    all.extend(self.directory().account(id).await?.map(|entry| entry.account()));
                }
            }
        }
        Ok(all)
    }
}

/// What the checks made of it, besides what Authentication-Results tells.
fn judged(verdicts: &Verdicts) -> Vec<String> {
    let mut parts = Vec::new();
    if !verdicts.listed.is_empty() {
        parts.push(format!("listed by {}", verdicts.listed.join(" ")));
    }
    if let Some(points) = verdicts.spam {
        let sign = if points < 0 { "-" } else { "" };
        let points = points.unsigned_abs();
        parts.push(format!("spam filter: {sign}{}.{:02} points", points / 100, points % 100));
    }
    if verdicts.junk {
        parts.push(format!("to Junk: {}", verdicts.reasons.join(", ")));
    }
    parts
}
