//! Copying an account's records into segments of its own, and letting go of what they leave.
//!
//! Bytes are copied and verified first; one entry then gives the new places and lets the old
//! segments go [F]. Whoever appends a place in them meets that entry on the way. What was copied
//! and is named by no entry is an orphan, let go by a *drop* of its own [G].

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use bytes::Bytes;
use mail::RecordId;

use super::{AccountLog, ChangeError, LogError};
use crate::change::{AccountObject, Change, Move};
use crate::entry::{Decoded, Entry};
use crate::names;
use crate::place::{ObjectNonce, SegmentRef, Slot};
use crate::segment::{Builder, Index, NewRecord};
use crate::state::{Held, State};

/// Objects listed and dropped at once; the rest comes with the next run.
const OBJECTS_MAX: usize = 1_000;

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
        let at = usize::try_from(held.slot.index).unwrap_or(usize::MAX);
        let damaged = |what: &str| LogError::Damaged(format!("{}: {what}", held.record).into());
        let record = index.records.get(at).ok_or_else(|| damaged("not in its segment"))?;
        let own = self.bodies.bytes(key, record.location.stored_range()).await?;
        let own = own.ok_or(LogError::Behind)?;
        let big = match record.location.big_range() {
            Some((big, range)) => {
                let bytes = self.bodies.bytes(&names::big(big), range).await?;
                Some(bytes.ok_or(LogError::Behind)?)
            }
            None => None,
        };
        NewRecord::copied(record, &own, big.as_ref()).ok_or_else(|| damaged("checksum"))
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

    /// Lets go and deletes what nothing names: orphans of appends and copies, segments that
    /// everything left before the restore window, bodies of entries that are in a checkpoint.
    /// Returns how many objects were deleted.
    /// # Errors
    /// [`LogError`]: what was dropped and not deleted is found again as an orphan.
    pub async fn clean(&self) -> Result<usize, LogError> {
        self.fresh().await?;
        let objects = &self.cx.engines.objects;
        let mut listed = Vec::new();
        for prefix in
            [names::account_segment_prefix(self.account), names::entry_prefix(self.account)]
        {
            let is_body = prefix.ends_with("/e/");
            for one in objects.list(&prefix, None, OBJECTS_MAX).await? {
                let Some(nonce) = names::parse_nonce(&one.key) else { continue };
                listed.push(match is_body {
                    true => AccountObject::EntryBody(nonce),
                    false => AccountObject::Segment(nonce),
                });
            }
        }
        if listed.is_empty() {
            return Ok(0);
        }
        // [I]: a checkpointer who began before fails, so no checkpoint comes to name them.
        self.bump_pointer().await?;
        let bodies = self.tail_bodies().await?;
        let now = self.cx.engines.index.now();
        let window = self.cx.options.timing.restore_window;
        let mut dropped = Vec::new();
        let changed = self.change(|state| {
            dropped = listed
                .iter()
                .filter(|object| match object {
                    AccountObject::EntryBody(nonce) => !bodies.contains(nonce),
                    AccountObject::Segment(nonce) => {
                        let known = state.segment(SegmentRef::Account { nonce: *nonce });
                        known.is_none_or(|known| {
                            known.live == 0 && now.since(known.touched) > window
                        })
                    }
                })
                .copied()
                .collect();
            if dropped.is_empty() {
                return Err(());
            }
            // [G]: who is about to name one of them meets this entry.
            Ok(Change::Drop { objects: dropped.clone() })
        });
        match changed.await {
            Ok(_) => {}
            Err(ChangeError::Refused(())) => return Ok(0),
            Err(ChangeError::Log(error)) => return Err(error),
        }
        for object in &dropped {
            self.delete(*object).await?;
        }
        Ok(dropped.len())
    }

    /// Bodies that entries after the checkpoint lie in.
    async fn tail_bodies(&self) -> Result<BTreeSet<ObjectNonce>, LogError> {
        let rows = self.ring.rows().await?;
        let after = self.read_state().pointer.checkpointed();
        let mut bodies = BTreeSet::new();
        for (seq, row) in rows.range(after.next()..) {
            if let Ok(Decoded::Pending(pending)) = Entry::decode(row) {
                tracing::trace!(%seq, "an entry's body is an object");
                bodies.insert(pending.object());
            }
        }
        Ok(bodies)
    }

    /// Deletes an object that an entry let go, and what only it names.
    async fn delete(&self, object: AccountObject) -> Result<(), LogError> {
        let objects = &self.cx.engines.objects;
        let key = match object {
            AccountObject::EntryBody(nonce) => names::entry(self.account, nonce),
            AccountObject::Segment(nonce) => names::account_segment(self.account, nonce),
        };
        if let AccountObject::Segment(_) = object
            && let Some(index) = self.bodies.index(&key).await?
        {
            for big in index.records.iter().filter_map(|record| record.location.big()) {
                objects.delete(&names::big(big)).await?;
            }
        }
        objects.delete(&key).await?;
        self.bodies.forget(&key);
        Ok(())
    }
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
