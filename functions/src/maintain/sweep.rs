//! The sweep: what makes events optional. It looks at each writer after its watermark, has open
//! segments delivered, closes holes, moves the watermark, and ends writers [B, C, γ].

use std::collections::{BTreeMap, BTreeSet};

use engine::{ObjectKey, Put, ReadError, Version, WriteError};
use mail::WriterId;
use store::rows::{ClaimState, WriterRow, WriterState};
use store::segment::{Tombstone, tombstone, tombstone_object};
use store::{Store, names};

/// Segments of one writer looked at in one sweep; the rest comes with the next.
const SEGMENTS_MAX: usize = 1_000;

/// End tombstones in a row that end a writer: as many as it may have numbers in flight [γ].
const ENDS: u64 = 8;

/// What a sweep found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Segments that are there and not done: to be delivered.
    pub(super) open: Vec<ObjectKey>,
    /// Holes that wait for the next sweep to be closed.
    pub(super) holes: usize,
}

/// What lies at one number.
enum At {
    /// A segment that is done, or a tombstone: the watermark may pass.
    Passed,
    /// A segment to be delivered.
    Open,
    /// Nothing.
    Hole,
}

/// Looks at all writers. `seen` remembers holes from one sweep to the next: a hole is closed only
/// when two sweeps saw it, so that a put under way is not met for nothing.
/// # Errors
/// [`ReadError`]: the rest is looked at in the next sweep.
pub(super) async fn sweep(
    store: &Store,
    seen: &mut BTreeSet<(WriterId, u64)>,
) -> Result<Swept, ReadError> {
    let mut swept = Swept::default();
    let mut holes = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.writers().page(after).await?;
        let Some((last, ..)) = page.last() else { break };
        after = Some(*last);
        for (writer, row, version) in page {
            if matches!(row.state, WriterState::Ended { .. }) && row.watermark >= row.last {
                continue;
            }
            let one = Sweep { store, writer, row, version, seen };
            one.run(&mut swept, &mut holes).await?;
        }
    }
    swept.holes = holes.len();
    *seen = holes;
    Ok(swept)
}

struct Sweep<'a> {
    store: &'a Store,
    writer: WriterId,
    row: WriterRow,
    version: Version,
    seen: &'a BTreeSet<(WriterId, u64)>,
}

impl Sweep<'_> {
    async fn run(
        mut self,
        swept: &mut Swept,
        holes: &mut BTreeSet<(WriterId, u64)>,
    ) -> Result<(), ReadError> {
        let present = self.present().await?;
        let top = present.keys().next_back().copied().unwrap_or(self.row.watermark);
        let mut passed = self.row.watermark;
        let mut all = true;
        for number in self.row.watermark + 1..=top {
            let at =
                if present.contains_key(&number) { self.look(number).await? } else { At::Hole };
            match at {
                At::Passed => {}
                At::Open => {
                    swept.open.push(names::ingest(self.writer, number));
                    all = false;
                }
                At::Hole if !self.seen.contains(&(self.writer, number)) => {
                    holes.insert((self.writer, number));
                    all = false;
                }
                At::Hole => all = self.close(number, swept).await && all,
            }
            if all {
                passed = number;
            }
        }
        let ended = if all { self.end(top, swept).await? } else { None };
        self.advance(passed, top, ended).await;
        Ok(())
    }

    /// What is listed after the watermark.
    async fn present(&self) -> Result<BTreeMap<u64, ObjectKey>, ReadError> {
        let prefix = names::ingest_prefix(self.writer);
        let after = names::ingest(self.writer, self.row.watermark);
        let objects = &self.store.engines().objects;
        let listed = objects.list(&prefix, Some(&after), SEGMENTS_MAX).await?;
        let numbered = listed.into_iter().filter_map(|one| {
            let (_, number) = names::parse_ingest(&one.key)?;
            Some((number, one.key))
        });
        Ok(numbered.collect())
    }

    async fn look(&self, number: u64) -> Result<At, ReadError> {
        if let Some((claim, _)) = self.store.claims().get(self.writer, number).await? {
            let done = claim.state == ClaimState::Done;
            return Ok(if done { At::Passed } else { At::Open });
        }
        // No claim: a tombstone, or a segment that nobody has begun.
        let key = names::ingest(self.writer, number);
        Ok(match self.store.engines().objects.get(&key).await? {
            Some(bytes) if tombstone(&bytes).is_some() => At::Passed,
            Some(_) => At::Open,
            None => At::Hole,
        })
    }

    /// Closes a hole. Whether the watermark may pass it.
    async fn close(&self, number: u64, swept: &mut Swept) -> bool {
        let key = names::ingest(self.writer, number);
        match put(self.store, &key, Tombstone::Closed).await {
            Ok(Put::Stored) => {
                tracing::warn!(%key, "a hole among the segments of a writer was closed");
                true
            }
            // [B]: something came in between: a segment to deliver, or another sweep's tombstone.
            Ok(Put::Exists(_)) => {
                swept.open.push(key);
                false
            }
            Err(error) => {
                tracing::warn!(%key, %error, "cannot close a hole now");
                false
            }
        }
    }

    /// Ends a writer whose life is over and all of whose segments are done: puts *end* tombstones
    /// until eight stand in a row after its last segment. Facts end it, not its age: if it still
    /// lives it meets one of them [γ].
    async fn end(&self, top: u64, swept: &mut Swept) -> Result<Option<u64>, ReadError> {
        let timing = &self.store.options().timing;
        let now = self.store.engines().index.now();
        let over = now.since(self.row.started) > timing.writer_life + timing.writer_grace;
        let ended = matches!(self.row.state, WriterState::Ended { .. });
        if ended || !(over || self.row.state == WriterState::Ending) {
            return Ok(None);
        }
        let (mut run, mut number) = (self.ends_before(top).await?, top);
        // It can use at most eight numbers beyond each answer, so this ends.
        while run < ENDS {
            number += 1;
            let key = names::ingest(self.writer, number);
            match put(self.store, &key, Tombstone::End).await {
                Ok(Put::Stored) => run += 1,
                Ok(Put::Exists(_)) => match self.tombstone_at(number).await? {
                    Some(Tombstone::End) => run += 1,
                    Some(Tombstone::Closed) => run = 0,
                    None => {
                        swept.open.push(key);
                        return Ok(None);
                    }
                },
                Err(error) => {
                    tracing::warn!(%key, %error, "cannot end a writer now");
                    return Ok(None);
                }
            }
        }
        Ok(Some(number))
    }

    /// How many *end* tombstones stand in a row up to `top`, of an ending that was interrupted.
    async fn ends_before(&self, top: u64) -> Result<u64, ReadError> {
        let mut run = 0;
        while run < ENDS && run < top {
            match self.tombstone_at(top - run).await? {
                Some(Tombstone::End) => run += 1,
                _ => break,
            }
        }
        Ok(run)
    }

    async fn tombstone_at(&self, number: u64) -> Result<Option<Tombstone>, ReadError> {
        let key = names::ingest(self.writer, number);
        let bytes = self.store.engines().objects.get(&key).await?;
        Ok(bytes.and_then(|bytes| tombstone(&bytes)))
    }

    /// Moves the watermark, by compare-and-set.
    async fn advance(&mut self, passed: u64, top: u64, ended: Option<u64>) {
        let before = self.row.clone();
        self.row.watermark = ended.unwrap_or(passed).max(before.watermark);
        self.row.last = ended.unwrap_or(top).max(before.last);
        if ended.is_some() {
            self.row.state = WriterState::Ended { at: self.store.engines().index.now() };
            tracing::info!(writer = %self.writer, last = self.row.last, "a writer has ended");
        }
        if self.row == before {
            return;
        }
        let updated = self.store.writers().update(self.writer, &self.row, self.version).await;
        match updated {
            // Another sweep was here; an unknown outcome is looked at by the next.
            Ok(()) | Err(WriteError::Conflict | WriteError::Unknown(_)) => {}
            Err(error) => tracing::warn!(writer = %self.writer, %error,
                "cannot move a writer's watermark"),
        }
    }
}

async fn put(store: &Store, key: &ObjectKey, tombstone: Tombstone) -> Result<Put, WriteError> {
    let nonce = store.engines().random.nonce();
    store.engines().objects.put(key, &[tombstone_object(tombstone, nonce)]).await
}
