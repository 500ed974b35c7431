//! Copying an account's records into segments of its own, and letting go of what they leave.
//!
//! Bytes are copied and verified first; one entry then gives the new places and lets the old
//! segments go [F]. Whoever appends a place in them meets that entry on the way. What was copied
//! and is named by no entry is an orphan, let go by a *drop* of its own [G].

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use bytes::Bytes;
use engine::{Put, WriteError};
use mail::RecordId;

use super::{AccountLog, ChangeError, LogError};
use crate::change::{Change, Move};
use crate::names;
use crate::place::{ObjectNonce, SegmentRef, Slot};
use crate::segment::{Builder, Copying, Index, IndexRecord, NewRecord};
use crate::state::{Held, State};

/// What a copy made.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    /// New places, by arrival.
    pub moves: BTreeMap<u32, Move>,
    /// Segments that were put.
    pub segments: u64,
}

impl AccountLog {
    /// Copies records into account segments. `held` is sorted by slot ([`State::held`]). Nothing
    /// names the copies yet.
    /// # Errors
    /// [`LogError`]: nothing was changed; what was put is an orphan.
    pub async fn copy(&self, held: &[Held]) -> Result<Copied, LogError> {
        let mut copied = Copied::default();
        let mut target = Target::new(self);
        for of_one in held.chunk_by(|a, b| a.slot.segment == b.slot.segment) {
            let Some(first) = of_one.first() else { continue };
            let key = names::segment(self.account, first.slot.segment);
            let index = self.bodies.index(&key).await?;
            let Some(index) = index else { return Err(LogError::Behind) };
            for one in of_one {
                if self.is_large(&index, one) {
                    self.stream(&key, &index, one, &mut copied).await?;
                    continue;
                }
                let record = self.record(&key, &index, one).await?;
                target.add(one, &record, &mut copied).await?;
            }
        }
        target.put(&mut copied).await?;
        Ok(copied)
    }

    /// One record as it is stored, verified.
    async fn record(
        &self,
        key: &engine::ObjectKey,
        index: &Index,
        held: &Held,
    ) -> Result<NewRecord, LogError> {
        let record = named(index, held)?;
        let own = self.bodies.bytes(key, record.location.stored_range()).await?;
        let own = own.ok_or(LogError::Behind)?;
        let big = match record.location.big_range() {
            Some((big, range)) => {
                let bytes = self.bodies.bytes(&names::big(big), range).await?;
                Some(bytes.ok_or(LogError::Behind)?)
            }
            None => None,
        };
        NewRecord::copied(record, &own, big.as_ref()).ok_or_else(|| damaged(held, "checksum"))
    }

    /// Whether a record is no small segment by itself: then it gets one of its own, and is never in
    /// memory as a whole (I8).
    fn is_large(&self, index: &Index, held: &Held) -> bool {
        let small = self.cx.options.upkeep.small_segment_bytes;
        named(index, held).is_ok_and(|record| record.location.copied_bytes() >= small)
    }

    /// Copies one record into a segment of its own, piece by piece.
    async fn stream(
        &self,
        key: &engine::ObjectKey,
        index: &Index,
        held: &Held,
        copied: &mut Copied,
    ) -> Result<(), LogError> {
        let record = named(index, held)?;
        let mut builder = Builder::account(self.cx.nonce());
        let number = builder.add(held.record, &NewRecord::streamed(record));
        let nonce = ObjectNonce(self.cx.engines.random.bytes());
        let target = names::account_segment(self.account, nonce);
        self.sights.note(nonce, self.seq());
        let mut writer = self.cx.engines.objects.put_streaming(&target).await?;
        for part in builder.finish() {
            writer.write(part).await?;
        }
        let mut copying = Copying::new(&record.location);
        while let Some((big, range)) = copying.wanted() {
            let from = big.map_or_else(|| key.clone(), names::big);
            let bytes = self.bodies.bytes(&from, range).await?.ok_or(LogError::Behind)?;
            copying.take(&bytes).map_err(|_| damaged(held, "checksum"))?;
            writer.write(bytes).await?;
        }
        copying.finish().map_err(|_| damaged(held, "checksum"))?;
        match writer.finish().await {
            Ok(Put::Stored) => {}
            // The name is fresh, and nothing refers to it: for the caller nothing has happened, and
            // what is there is an orphan.
            Ok(Put::Exists(_)) => return Err(LogError::Behind),
            Err(WriteError::Unknown(cause)) => return Err(WriteError::Unavailable(cause).into()),
            Err(error) => return Err(error.into()),
        }
        copied.segments += 1;
        let to = Slot { segment: SegmentRef::Account { nonce }, index: number };
        copied.moves.insert(held.arrival, Move { arrival: held.arrival, record: held.record, to });
        Ok(())
    }

    /// Gives records their new places and lets those of `segments` go that nothing of this account
    /// is left in. Returns the segments let go.
    /// # Errors
    /// [`LogError`].
    pub async fn relocate(
        &self,
        copied: &Copied,
        segments: &BTreeSet<SegmentRef>,
    ) -> Result<Vec<SegmentRef>, LogError> {
        let decide = |state: &State| {
            // What was copied from may have got more records, or lost some, since.
            let held = state.held(|segment| segments.contains(&segment));
            let mut left = BTreeSet::new();
            let mut moves = Vec::new();
            for one in held {
                match copied.moves.get(&one.arrival) {
                    // Expunged ones too: history finds them there for the restore window [Y].
                    Some(to) => moves.push(*to),
                    None => {
                        left.insert(one.slot.segment);
                    }
                }
            }
            let known = |segment: &&SegmentRef| state.segment(**segment).is_some();
            let going = segments.iter().filter(|segment| segment.is_released());
            let released: Vec<SegmentRef> =
                going.filter(known).filter(|segment| !left.contains(segment)).copied().collect();
            if moves.is_empty() && released.is_empty() {
                return Err(());
            }
            Ok(Change::Reloc { moves, released })
        };
        let mut released = Vec::new();
        let changed = self.change(|state| {
            let change = decide(state)?;
            if let Change::Reloc { released: going, .. } = &change {
                released.clone_from(going);
            }
            Ok(change)
        });
        match changed.await {
            Ok(_) => Ok(released),
            Err(ChangeError::Refused(())) => Ok(Vec::new()),
            Err(ChangeError::Log(error)) => Err(error),
        }
    }

    /// Lets these segments go although nothing of them is here: a fence against who might still
    /// append a place in them [F].
    /// # Errors
    /// [`LogError`].
    pub async fn release(&self, segments: Vec<SegmentRef>) -> Result<(), LogError> {
        let change = Change::Release { segments };
        match self.change(|_| Ok::<_, Infallible>(change.clone())).await {
            Ok(_) => Ok(()),
            Err(ChangeError::Refused(never)) => match never {},
            Err(ChangeError::Log(error)) => Err(error),
        }
    }
}

/// A record in its segment's index.
fn named<'a>(index: &'a Index, held: &Held) -> Result<&'a IndexRecord, LogError> {
    let at = usize::try_from(held.slot.index).unwrap_or(usize::MAX);
    index.records.get(at).ok_or_else(|| damaged(held, "not in its segment"))
}

fn damaged(held: &Held, what: &str) -> LogError {
    LogError::Damaged(format!("{}: {what}", held.record).into())
}

/// The account segment being filled.
struct Target<'a> {
    log: &'a AccountLog,
    builder: Builder,
    bytes: u64,
    waiting: Vec<(u32, RecordId, u32)>,
}

impl<'a> Target<'a> {
    fn new(log: &'a AccountLog) -> Self {
        Self { log, builder: Builder::account(log.cx.nonce()), bytes: 0, waiting: Vec::new() }
    }

    async fn add(
        &mut self,
        held: &Held,
        record: &NewRecord,
        copied: &mut Copied,
    ) -> Result<(), LogError> {
        let full =
            self.bytes + record.stored_bytes() > self.log.cx.options.upkeep.account_segment_bytes;
        if !self.builder.is_empty() && (full || !self.builder.has_room(record)) {
            self.put(copied).await?;
        }
        self.bytes += record.stored_bytes();
        let index = self.builder.add(held.record, record);
        self.waiting.push((held.arrival, held.record, index));
        Ok(())
    }

    /// Puts the segment, if anything is in it.
    async fn put(&mut self, copied: &mut Copied) -> Result<(), LogError> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let empty = Builder::account(self.log.cx.nonce());
        let parts: Vec<Bytes> = std::mem::replace(&mut self.builder, empty).finish();
        let nonce = ObjectNonce(self.log.cx.engines.random.bytes());
        let key = names::account_segment(self.log.account, nonce);
        self.log.sights.note(nonce, self.log.seq());
        self.log.cx.put_fresh(&key, &parts).await?;
        self.bytes = 0;
        copied.segments += 1;
        let segment = SegmentRef::Account { nonce };
        for (arrival, record, index) in self.waiting.drain(..) {
            copied.moves.insert(arrival, Move { arrival, record, to: Slot { segment, index } });
        }
        Ok(())
    }
}
