//! Reports of DMARC and TLS: counts for those that go out, and those that came in.
//!
//! Counts are kept in bounded memory and written in bulk, every some minutes: whoever counts costs
//! the index nothing by itself (I12), and a process that dies takes its last minutes along.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{Consistency, Expect, Order, Range, ReadError, Row, Version, WriteError};
use mail::report::{Digest, ReportKind};
use mail::{Domain, RecordId, Timestamp, WriterId};

use crate::context::{Context, damaged, too_large};
use crate::rows::{
    self, Lease, RECEIVED_SLOTS, ReceivedRow, RefusedRow, ReportSentRow, ReportWorkRow, RowValue,
    TALLY_BYTES_MAX, Tally, TallyRow,
};

/// Counts in memory, and their bytes (I8); what is beyond is not told.
const TALLIES_MAX: usize = 50_000;
const TALLIES_BYTES_MAX: usize = 8 << 20;

/// Bytes of a count beside its texts.
const TALLY_BYTES: usize = 64;

/// For how many of their times counts stay, and the word that they were worked on.
const TIMES_KEPT: u32 = 4;

/// How long a report that was made is looked after: longer than its item can live.
const SENT_KEPT: Duration = Duration::from_secs(40 * 24 * 60 * 60);

/// How long a report that came in is kept.
const RECEIVED_KEPT: Duration = Duration::from_secs(35 * 24 * 60 * 60);

/// Slots that are tried for a report that came in.
const PROBES_MAX: u16 = 8;

/// Tries to change a row that others change too.
const TRIES_MAX: u32 = 8;

const DAY: u64 = 24 * 60 * 60;

/// What became of a report that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filed {
    /// It is kept.
    New,
    /// It is there already.
    Known,
    /// There are too many of that day.
    Over,
}

/// Counts, by what they are of.
type Counts = BTreeMap<(ReportKind, u64, String, Vec<u8>), u64>;

/// Reports of this store.
pub struct Reports {
    cx: Arc<Context>,
    counts: Mutex<(Counts, usize)>,
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reports").finish_non_exhaustive()
    }
}

impl Reports {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        Self { cx, counts: Mutex::default() }
    }

    /// Whether anything of this kind is counted.
    #[must_use]
    pub fn counts(&self, kind: ReportKind) -> bool {
        let reporting = &self.cx.options.reporting;
        match kind {
            ReportKind::Dmarc => reporting.dmarc,
            ReportKind::Tls => reporting.tls,
        }
    }

    /// Seconds that one report is about.
    #[must_use]
    pub fn interval(&self) -> u64 {
        self.cx.options.reporting.interval.as_secs().max(1)
    }

    /// Counts what was seen of a domain, now. Costs memory only.
    pub fn count(&self, kind: ReportKind, domain: &str, seen: Vec<u8>) {
        if !self.counts(kind) {
            return;
        }
        let now = self.cx.engines.index.now().seconds();
        let from = now - now % self.interval();
        let bytes = TALLY_BYTES + domain.len() + seen.len();
        let mut counts = self.lock();
        let key = (kind, from, domain.to_owned(), seen);
        if let Some(count) = counts.0.get_mut(&key) {
            *count += 1;
        } else if counts.0.len() < TALLIES_MAX && counts.1 + bytes <= TALLIES_BYTES_MAX {
            counts.0.insert(key, 1);
            counts.1 += bytes;
        } else {
            drop(counts);
            metrics::counter!("postroad_reports_uncounted_total").increment(1);
        }
    }

    /// Writes what was counted since: some rows for all domains. What is not written for certain is
    /// kept for the next time; what may be written is not told twice.
    /// # Errors
    /// [`WriteError`]: the first that there was.
    pub async fn flush(&self) -> Result<(), WriteError> {
        let (counts, _) = std::mem::take(&mut *self.lock());
        let mut by_place: BTreeMap<(ReportKind, u64, u8), Vec<TallyRow>> = BTreeMap::new();
        for ((kind, from, domain, seen), count) in counts {
            let place = (kind, from, rows::tally_bucket(&domain));
            let rows = by_place.entry(place).or_default();
            let is_full = |row: &TallyRow| {
                let of = |one: &Tally| 16 + one.domain.len() + one.seen.len();
                row.tallies.iter().map(of).sum::<usize>() + 16 + domain.len() + seen.len()
                    > TALLY_BYTES_MAX
            };
            if rows.last().is_none_or(is_full) {
                rows.push(TallyRow::default());
            }
            if let Some(row) = rows.last_mut() {
                row.tallies.push(Tally { domain, seen, count });
            }
        }
        let mut first = Ok(());
        for ((kind, from, bucket), rows) in by_place {
            for row in rows {
                let Err(error) = self.put_tallies(kind, from, bucket, &row).await else { continue };
                if matches!(error, WriteError::Unavailable(_) | WriteError::Full(_)) {
                    self.take_back(kind, from, row);
                }
                first = first.and(Err(error));
            }
        }
        first
    }

    async fn put_tallies(
        &self,
        kind: ReportKind,
        from: u64,
        bucket: u8,
        row: &TallyRow,
    ) -> Result<(), WriteError> {
        let key = rows::tally_key(kind, from, bucket, self.cx.engines.random.bytes());
        let row = Row {
            value: row.encode().map_err(too_large)?,
            version: Version(1),
            nonce: self.cx.nonce(),
            expiry: Some(self.over(from)),
        };
        self.cx.engines.index.put_if(&key, row, Expect::Any).await
    }

    /// When nothing of a time is needed any more.
    fn over(&self, from: u64) -> Timestamp {
        let interval = Duration::from_secs(self.interval());
        // Not so short that a test's clock takes what is still being worked on.
        let kept = (interval * TIMES_KEPT).max(Duration::from_secs(3_600));
        Timestamp::from_seconds(from).after(kept)
    }

    fn take_back(&self, kind: ReportKind, from: u64, row: TallyRow) {
        let mut counts = self.lock();
        for Tally { domain, seen, count } in row.tallies {
            let bytes = TALLY_BYTES + domain.len() + seen.len();
            if counts.1 + bytes <= TALLIES_BYTES_MAX && counts.0.len() < TALLIES_MAX {
                counts.1 += bytes;
                *counts.0.entry((kind, from, domain, seen)).or_default() += count;
            }
        }
    }

    /// Counts of a time, from all processes, behind `after`; with the name of the last row.
    /// # Errors
    /// [`ReadError`].
    pub async fn tallies(
        &self,
        kind: ReportKind,
        from: u64,
        bucket: u8,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Vec<Tally>, Option<Vec<u8>>), ReadError> {
        let range = Range {
            partition: rows::tallies_partition(kind, from, bucket).into(),
            from: after.map(|after| after.iter().copied().chain([0]).collect()),
            to: None,
            order: Order::Forward,
            limit,
            consistency: Consistency::Strong,
        };
        let (mut all, mut last) = (Vec::new(), None);
        for (sort, row) in self.cx.engines.index.range(&range).await? {
            all.extend(TallyRow::decode(&row.value).map_err(damaged)?.tallies);
            last = Some(sort.to_vec());
        }
        Ok((all, last))
    }

    /// Takes the work on the counts of a time for `holder`, until the lease is over; `None`: it is
    /// done, or somebody else has it.
    /// # Errors
    /// [`ReadError`]; a write that fails is as if somebody else had it.
    pub async fn begin(
        &self,
        kind: ReportKind,
        from: u64,
        bucket: u8,
        holder: WriterId,
        lease: Duration,
    ) -> Result<Option<Version>, ReadError> {
        let key = rows::report_work_key(kind, from, bucket);
        let found = self.cx.engines.index.get(&key, Consistency::Strong).await?;
        let now = self.cx.engines.index.now();
        let before = found.as_ref().map(|row| row.version);
        if let Some(row) = found {
            let work = ReportWorkRow::decode(&row.value).map_err(damaged)?;
            if work.done || (work.lease.is_live(now, lease) && work.lease.holder != holder) {
                return Ok(None);
            }
        }
        let lease = Lease { holder, until: now.after(lease) };
        Ok(self
            .put_work(kind, from, bucket, &ReportWorkRow { lease, done: false }, before)
            .await
            .ok())
    }

    /// All reports of a time are made.
    /// # Errors
    /// [`WriteError`]; made again, they are the same.
    pub async fn done(
        &self,
        kind: ReportKind,
        from: u64,
        bucket: u8,
        holder: WriterId,
        version: Version,
    ) -> Result<(), WriteError> {
        let lease = Lease { holder, until: self.cx.engines.index.now() };
        let work = ReportWorkRow { lease, done: true };
        self.put_work(kind, from, bucket, &work, Some(version)).await.map(|_| ())
    }

    async fn put_work(
        &self,
        kind: ReportKind,
        from: u64,
        bucket: u8,
        work: &ReportWorkRow,
        before: Option<Version>,
    ) -> Result<Version, WriteError> {
        let version = Version(before.map_or(1, |version| version.0 + 1));
        let interval = Duration::from_secs(self.interval());
        let row = Row {
            value: work.encode().map_err(too_large)?,
            version,
            nonce: self.cx.nonce(),
            // Longer than the counts, so that these are not worked on again.
            expiry: Some(self.over(from).after(interval * TIMES_KEPT)),
        };
        let key = rows::report_work_key(kind, from, bucket);
        let expect = before.map_or(Expect::Absent, Expect::Version);
        self.cx.engines.index.put_if(&key, row, expect).await?;
        Ok(version)
    }

    /// Notes a report before it is made, so that somebody sees to its end.
    /// # Errors
    /// [`WriteError`]; do not make it.
    pub async fn note_sent(
        &self,
        from: u64,
        id: RecordId,
        sent: &ReportSentRow,
    ) -> Result<(), WriteError> {
        let row = Row {
            value: sent.encode().map_err(too_large)?,
            version: Version(1),
            nonce: self.cx.nonce(),
            expiry: Some(self.cx.engines.index.now().after(SENT_KEPT)),
        };
        self.cx.engines.index.put_if(&rows::report_sent_key(from, id), row, Expect::Any).await
    }

    /// Reports that are on their way, the oldest first, behind `after`.
    /// # Errors
    /// [`ReadError`].
    pub async fn sent(
        &self,
        after: Option<(u64, RecordId)>,
        limit: usize,
    ) -> Result<Vec<((u64, RecordId), ReportSentRow)>, ReadError> {
        let behind = |(from, id): (u64, RecordId)| {
            rows::report_sent_key(from, id).sort.iter().copied().chain([0]).collect()
        };
        let range = Range {
            partition: rows::report_sent_partition().into(),
            from: after.map(behind),
            to: None,
            order: Order::Forward,
            limit,
            consistency: Consistency::Strong,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found
            .into_iter()
            .map(|(sort, row)| {
                let key = ReportSentRow::parse_sort(&sort)
                    .ok_or_else(|| damaged("key of a report sent row"))?;
                Ok((key, ReportSentRow::decode(&row.value).map_err(damaged)?))
            })
            .collect()
    }

    /// Whether a report was noted before.
    /// # Errors
    /// [`ReadError`].
    pub async fn was_sent(&self, from: u64, id: RecordId) -> Result<bool, ReadError> {
        let key = rows::report_sent_key(from, id);
        Ok(self.cx.engines.index.get(&key, Consistency::Strong).await?.is_some())
    }

    /// Nothing is left of a report that was sent.
    /// # Errors
    /// [`WriteError`].
    pub async fn forget_sent(&self, from: u64, id: RecordId) -> Result<(), WriteError> {
        let key = rows::report_sent_key(from, id);
        self.cx.engines.index.delete_if(&key, Expect::Any).await
    }

    /// Keeps a report that came in about a domain of ours; once, however often it comes.
    /// # Errors
    /// [`WriteError`]; keep it again, it stays one.
    pub async fn receive(
        &self,
        domain: &Domain,
        report: &ReceivedRow,
    ) -> Result<Filed, WriteError> {
        let unread = |error: ReadError| WriteError::Unavailable(error.into());
        let day = day_of(report.at);
        let first = rows::received_slot(&report.digest.organisation, &report.digest.id);
        let index = &self.cx.engines.index;
        for probe in 0..PROBES_MAX {
            let slot = (first + probe) % RECEIVED_SLOTS;
            let key =
                engine::Key::new(rows::received_partition(domain), rows::received_sort(day, slot));
            if let Some(row) = index.get(&key, Consistency::Strong).await.map_err(unread)? {
                let there = ReceivedRow::decode(&row.value).map(|there| there.digest);
                if there.is_ok_and(|there| is_same(&there, &report.digest)) {
                    return Ok(Filed::Known);
                }
                continue;
            }
            let row = Row {
                value: report.encode().map_err(too_large)?,
                version: Version(1),
                nonce: self.cx.nonce(),
                expiry: Some(report.at.after(RECEIVED_KEPT)),
            };
            match index.put_if(&key, row, Expect::Absent).await {
                Ok(()) => return Ok(Filed::New),
                // Somebody was quicker, perhaps with the same.
                Err(WriteError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Filed::Over)
    }

    /// Counts a report that is not kept.
    /// # Errors
    /// [`WriteError`]: it is not counted.
    pub async fn refuse(
        &self,
        domain: &Domain,
        at: Timestamp,
        count: impl Fn(&mut RefusedRow),
    ) -> Result<(), WriteError> {
        let key = rows::refused_key(domain, day_of(at));
        let index = &self.cx.engines.index;
        for _ in 0..TRIES_MAX {
            let found = index.get(&key, Consistency::Strong).await;
            let found = found.map_err(|error| WriteError::Unavailable(error.into()))?;
            let before = found.as_ref().map(|row| row.version);
            let refused = found.and_then(|row| RefusedRow::decode(&row.value).ok());
            let mut refused = refused.unwrap_or_default();
            count(&mut refused);
            let row = Row {
                value: refused.encode().map_err(too_large)?,
                version: Version(before.map_or(1, |version| version.0 + 1)),
                nonce: self.cx.nonce(),
                expiry: Some(at.after(RECEIVED_KEPT)),
            };
            match index.put_if(&key, row, before.map_or(Expect::Absent, Expect::Version)).await {
                Err(WriteError::Conflict) => {}
                other => return other,
            }
        }
        Err(WriteError::Conflict)
    }

    /// Reports about a domain that came in from a day on (days since 1970), the oldest first, at
    /// most `limit`; and how many of these days were not kept.
    /// # Errors
    /// [`ReadError`].
    pub async fn received(
        &self,
        domain: &Domain,
        from_day: u32,
        limit: usize,
    ) -> Result<(Vec<ReceivedRow>, RefusedRow), ReadError> {
        let (mut all, mut refused) = (Vec::new(), RefusedRow::default());
        let mut from = rows::received_sort(from_day, 0);
        while all.len() < limit {
            let range = Range {
                partition: rows::received_partition(domain).into(),
                from: Some(from),
                to: None,
                order: Order::Forward,
                limit: 256,
                consistency: Consistency::Eventual,
            };
            let page = self.cx.engines.index.range(&range).await?;
            let Some((last, _)) = page.last() else { break };
            from = last.iter().copied().chain([0]).collect();
            for (sort, row) in page {
                match rows::parse_received_sort(&sort) {
                    Some((_, Some(_))) if all.len() < limit => {
                        all.push(ReceivedRow::decode(&row.value).map_err(damaged)?);
                    }
                    Some((_, None)) => {
                        let more = RefusedRow::decode(&row.value).map_err(damaged)?;
                        refused.malformed += more.malformed;
                        refused.foreign += more.foreign;
                        refused.over += more.over;
                    }
                    _ => {}
                }
            }
        }
        Ok((all, refused))
    }

    fn lock(&self) -> MutexGuard<'_, (Counts, usize)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(one: &Digest, other: &Digest) -> bool {
    one.organisation == other.organisation
        && one.id == other.id
        && one.domain == other.domain
        && std::mem::discriminant(&one.body) == std::mem::discriminant(&other.body)
}

fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.seconds() / DAY).unwrap_or(u32::MAX)
}
