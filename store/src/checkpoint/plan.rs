//! What to put for a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use engine::{Nonce, ObjectKey};
use mail::RecordId;
use mail::codec::Malformed;

use super::root::{Parts, Run, kept};
use super::{ChunkPart, Got, SummaryChunk, Wanted, block, history, root, summaries, wanted};
use crate::change::{ArrivalPlace, Change, MailboxId};
use crate::entry::Entry;
use crate::names;
use crate::place::{ObjectNonce, SegmentRef, Slot};
use crate::rows::{CheckpointRef, Pointer};
use crate::segment::{Builder, NewBody, NewRecord};
use crate::state::State;
use crate::state::messages::{Chunk, Packed};

/// Bytes of young blocks that the root carries itself; more go to an object.
const YOUNG_BYTES_MAX: usize = 24 * 1024;

/// Most changed messages kept beside their blocks; more, and those blocks are written anew.
const OVERLAY_ROWS_MAX: usize = 4_096;

/// Chunk objects that hold blocks: with the root, three requests open an account.
const BLOCK_OBJECTS_MAX: usize = 2;

/// Numbers of the chunk objects of one checkpoint.
const PAST: u8 = 0;
const BLOCKS: u8 = 1;

/// Why no checkpoint can be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The state was read from another checkpoint than the pointer names: read it again from
    /// there, for a checkpoint shares chunks only with the one that it replaces [I].
    #[error("the state is of another checkpoint")]
    Stale,
    /// The entries given are not those since the checkpoint.
    #[error("not the entries since the checkpoint")]
    History,
    /// Something read is not what was written: a person must look.
    #[error("damaged: {0}")]
    Damaged(#[from] Malformed),
    /// An inline body is not what was written: a person must look.
    #[error("inline body damaged")]
    InlineDamaged(#[from] crate::inline::InlineDamaged),
}

/// Plans the checkpoint of a state: get what [`Self::wanted`] names, then [`Self::finish`].
#[derive(Debug)]
pub struct Planner {
    state: State,
    pointer: Pointer,
    history: Vec<Entry>,
    /// How many of the last summary chunks are merged.
    merged: usize,
    wanted: Vec<Wanted>,
}

/// What to put, in this order, and the pointer row to write then by compare-and-set.
#[derive(Debug)]
pub struct Plan {
    /// Objects: account segment of inline bodies, chunks, root. Each only if its key is free.
    pub objects: Vec<(ObjectKey, Vec<Bytes>)>,
    /// The pointer row's new value.
    pub pointer: Pointer,
    /// For [`State::adopt`] once the pointer row is written.
    pub written: Written,
}

/// What a checkpoint wrote, as the state that goes on needs to know it.
#[derive(Debug)]
pub struct Written {
    replaces: Option<CheckpointRef>,
    checkpoint: CheckpointRef,
    /// Chunks that have a block now.
    blocks: Vec<Blocked>,
    /// All blocks that the root names: no other may be shared by the next checkpoint [I].
    named: BTreeSet<ChunkPart>,
    inline: BTreeMap<u32, Slot>,
    segment: Option<(SegmentRef, u64, u64)>,
    time: mail::Timestamp,
    summary_chunks: Vec<SummaryChunk>,
    next_arrival: u32,
}

/// A chunk of a mailbox, and where it is now.
type Blocked = (MailboxId, Arc<Chunk>, ChunkPart);

impl Planner {
    /// Starts from a state, the pointer row as it is, and the entries after its checkpoint up to
    /// the state's seq.
    /// # Errors
    /// [`PlanError::Stale`], [`PlanError::History`].
    pub fn new(state: &State, pointer: &Pointer, history: Vec<Entry>) -> Result<Self, PlanError> {
        if state.checkpoint() != pointer.checkpoint {
            return Err(PlanError::Stale);
        }
        let given: BTreeSet<u64> = history.iter().map(|entry| entry.seq.0).collect();
        let seqs = (pointer.checkpointed().0 + 1)..=state.seq().0;
        // A voided entry may be one that nobody can read [U].
        let complete = seqs.clone().all(|seq| given.contains(&seq) || state.is_voided(seq));
        let sorted = history.is_sorted_by(|a, b| a.seq < b.seq);
        if !complete || !sorted || !given.iter().all(|seq| seqs.contains(seq)) {
            return Err(PlanError::History);
        }
        let merged = summaries::to_merge(&state.summary_chunks);
        let chunks = &state.summary_chunks;
        let old = chunks.get(chunks.len() - merged..).unwrap_or_default();
        let wanted = wanted(state.account(), old.iter().map(|chunk| chunk.at));
        Ok(Self { state: state.clone(), pointer: pointer.clone(), history, merged, wanted })
    }

    /// Old summary chunks that are merged with the new one; usually none.
    #[must_use]
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// The plan, given what [`Self::wanted`] names, in its order. `nonce` names the checkpoint's
    /// objects, `segment` the account segment of inline bodies: both fresh and random.
    /// # Errors
    /// [`PlanError`]; nothing was put.
    pub fn finish(
        self,
        got: &[Vec<Bytes>],
        nonce: ObjectNonce,
        segment: ObjectNonce,
    ) -> Result<Plan, PlanError> {
        let Self { state: before, pointer, history, merged, wanted } = self;
        let (account, seq) = (before.account(), before.seq());
        let checkpoint = CheckpointRef { seq, nonce };
        let mut objects = Vec::new();
        let mut state = before.clone();
        let placed = place_inline(&mut state, &history, segment)?;
        if let Some((parts, ..)) = &placed.object {
            objects.push((names::account_segment(account, segment), parts.clone()));
        }
        let mut past = Vec::new();
        let got = Got { account, wanted: &wanted, bytes: got };
        renew_summaries(&mut state, merged, &got, &mut past, checkpoint)?;
        let slots = placed.records;
        let bytes = history::encode(&history, &slots).ok_or(PlanError::History)?;
        let history = append_part(&mut past, &bytes, checkpoint, PAST);
        past.extend_from_slice(&history::trailer(&history));
        objects.push((names::chunk(account, seq, nonce, PAST), vec![Bytes::from(past)]));
        let (parts, blocks, bytes) =
            lay_out(&state, &before, pointer.checkpoint, history, checkpoint);
        if !bytes.is_empty() {
            objects.push((names::chunk(account, seq, nonce, BLOCKS), vec![Bytes::from(bytes)]));
        }
        let named = parts.runs.values().flatten().filter_map(Run::part).collect();
        let root = Bytes::from(root::encode(&state, &parts));
        objects.push((names::checkpoint(account, seq, nonce), vec![root]));
        let written = Written {
            replaces: pointer.checkpoint,
            checkpoint,
            blocks,
            named,
            inline: placed.arrivals,
            segment: placed.object.map(|(_, records, bytes)| {
                (SegmentRef::Account { nonce: segment }, records, bytes)
            }),
            time: state.time(),
            summary_chunks: state.summary_chunks.clone(),
            next_arrival: state.next_arrival,
        };
        let pointer = Pointer {
            checkpoint: Some(checkpoint),
            first: pointer.first,
            totals: state.totals(),
            phase: state.phase().clone(),
        };
        Ok(Plan { objects, pointer, written })
    }
}

/// Where inline bodies went.
struct Placed {
    records: BTreeMap<RecordId, Slot>,
    arrivals: BTreeMap<u32, Slot>,
    /// The account segment, its records and their bytes.
    object: Option<(Vec<Bytes>, u64, u64)>,
}

/// Puts all inline bodies into an account segment, expunged ones too (they stay for the restore
/// window [Y]), and gives the messages their places there [ζ].
fn place_inline(
    state: &mut State,
    history: &[Entry],
    nonce: ObjectNonce,
) -> Result<Placed, PlanError> {
    let segment = SegmentRef::Account { nonce };
    let mut builder = Builder::account(Nonce(nonce.0));
    let (mut records, mut bytes) = (0, 0);
    let mut placed = Placed { records: BTreeMap::new(), arrivals: BTreeMap::new(), object: None };
    for entry in history {
        let Change::Append(arrivals) = &entry.change else { continue };
        for arrival in arrivals.iter().filter(|arrival| !arrival.again) {
            let ArrivalPlace::Inline(inline) = &arrival.place else { continue };
            let body = NewBody::of(&inline.unpack()?);
            let (none, summary) = (Bytes::new(), arrival.summary.clone());
            let record = NewRecord::new(entry.time, None, none, summary, b"", body)
                .ok_or(PlanError::History)?;
            let index = builder.add(arrival.record, &record);
            placed.records.insert(arrival.record, Slot { segment, index });
            records += 1;
            bytes += arrival.size;
        }
    }
    let mut by_arrival = BTreeMap::new();
    for (arrival, record) in state.inline_messages() {
        by_arrival.insert(arrival, *placed.records.get(&record).ok_or(PlanError::History)?);
    }
    if !builder.is_empty() {
        state.settle_inline(&by_arrival, segment, (records, bytes), state.seq(), state.time());
        placed.object = Some((builder.finish(), records, bytes));
    }
    placed.arrivals = by_arrival;
    Ok(placed)
}

/// Adds bytes to a chunk object that is being made.
fn append_part(out: &mut Vec<u8>, bytes: &[u8], of: CheckpointRef, number: u8) -> ChunkPart {
    let length = |bytes: usize| u32::try_from(bytes).expect("a chunk object is far below 4 GiB");
    let part = ChunkPart {
        seq: of.seq,
        nonce: of.nonce,
        number,
        offset: length(out.len()),
        bytes: length(bytes.len()),
        crc: crc32fast::hash(bytes),
    };
    out.extend_from_slice(bytes);
    part
}

/// The summaries since the checkpoint become a chunk, together with old ones if those are many.
fn renew_summaries(
    state: &mut State,
    merged: usize,
    got: &Got<'_>,
    past: &mut Vec<u8>,
    checkpoint: CheckpointRef,
) -> Result<(), PlanError> {
    let keep = state.summary_chunks.len() - merged;
    let old = state.summary_chunks.split_off(keep);
    let mut summaries = std::mem::take(&mut state.summaries);
    let fresh_from = summaries.keys().next().copied();
    for chunk in &old {
        summaries.append(&mut chunk.decode(&got.part(&chunk.at)?)?);
    }
    let first = old.first().map(|chunk| chunk.first).or(fresh_from);
    let Some(first) = first else { return Ok(()) };
    // What nothing names any more is left out.
    let live = state.live_arrivals(first);
    summaries.retain(|arrival, _| live.contains(arrival));
    if summaries.is_empty() {
        return Ok(());
    }
    let bytes = summaries::encode(first, summaries.iter());
    let at = append_part(past, &bytes, checkpoint, PAST);
    state.summary_chunks.push(SummaryChunk { first, end: state.next_arrival, at });
    Ok(())
}

/// Chunks by what is done with them.
struct Sorted<'a> {
    /// Of each chunk, in order: where its block is, if it is kept.
    chunks: Vec<(MailboxId, &'a Arc<Chunk>, Option<ChunkPart>)>,
}

impl<'a> Sorted<'a> {
    fn new(state: &'a State) -> Self {
        let mut chunks: Vec<(MailboxId, &Arc<Chunk>, Option<ChunkPart>)> = Vec::new();
        for mailbox in state.mailboxes.values() {
            let of = mailbox.messages.chunks().iter();
            chunks.extend(of.map(|chunk| (mailbox.id, chunk, chunk.block)));
        }
        let mut sorted = Self { chunks };
        if sorted.overlay_rows() > OVERLAY_ROWS_MAX {
            sorted.rewrite(|chunk, _| !chunk.changed.is_empty() || !chunk.gone.is_empty());
        }
        sorted
    }

    fn overlay_rows(&self) -> usize {
        let kept = self.chunks.iter().filter(|(_, _, block)| block.is_some());
        kept.map(|(_, chunk, _)| chunk.changed.len() + chunk.gone.len()).sum()
    }

    fn rewrite(&mut self, which: impl Fn(&Chunk, &ChunkPart) -> bool) {
        for (_, chunk, block) in &mut self.chunks {
            if block.as_ref().is_some_and(|part| which(chunk, part)) {
                *block = None;
            }
        }
    }

    /// Objects of kept blocks: bytes used, by object.
    fn objects(&self) -> BTreeMap<(mail::Seq, ObjectNonce, u8), u64> {
        let mut objects = BTreeMap::new();
        for part in self.chunks.iter().filter_map(|(_, _, block)| block.as_ref()) {
            *objects.entry(part.object()).or_default() += u64::from(part.bytes);
        }
        objects
    }

    /// Writes old objects anew until there is room for a new one, and as long as they are not
    /// much larger than what is written: each block is written a few times in its life.
    fn merge_objects(&mut self, mut new_bytes: u64) {
        loop {
            let objects = self.objects();
            let Some((object, bytes)) = objects.iter().min_by_key(|(_, bytes)| **bytes) else {
                return;
            };
            if objects.len() < BLOCK_OBJECTS_MAX && *bytes > 2 * new_bytes {
                return;
            }
            let object = *object;
            new_bytes += bytes;
            self.rewrite(|_, part| part.object() == object);
        }
    }
}

/// Decides which blocks are kept, which are written, and where.
fn lay_out(
    state: &State,
    before: &State,
    previous: Option<CheckpointRef>,
    history: ChunkPart,
    checkpoint: CheckpointRef,
) -> (Parts, Vec<Blocked>, Vec<u8>) {
    let mut sorted = Sorted::new(state);
    let encode = |chunk: &Chunk| block::encode(chunk.rows.iter(), &state.tables);
    let fresh = |sorted: &Sorted<'_>| -> Vec<Option<Vec<u8>>> {
        let chunks = sorted.chunks.iter();
        chunks.map(|(_, chunk, block)| block.is_none().then(|| encode(chunk))).collect()
    };
    let mut encoded = fresh(&sorted);
    let young: usize = encoded.iter().flatten().map(Vec::len).sum();
    let here = young <= YOUNG_BYTES_MAX;
    if !here {
        let kept = sorted.objects().len();
        sorted.merge_objects(young as u64);
        if sorted.objects().len() < kept {
            encoded = fresh(&sorted);
        }
    }
    let mut originals = before.mailboxes.values().flat_map(|mailbox| mailbox.messages.chunks());
    let (mut bytes, mut blocks, mut overlay) = (Vec::new(), Vec::new(), Vec::new());
    let mut runs: BTreeMap<MailboxId, Vec<Run>> = BTreeMap::new();
    for ((id, chunk, block), encoded) in sorted.chunks.iter().zip(encoded) {
        // Giving inline bodies a place changes no order: the same chunk, before.
        let original = originals.next();
        let run = match (block, encoded) {
            (Some(part), _) => {
                overlay.extend(changed_rows(chunk));
                kept(*part, chunk)
            }
            (None, Some(encoded)) if !here => {
                let part = append_part(&mut bytes, &encoded, checkpoint, BLOCKS);
                blocks.extend(original.map(|chunk| (*id, chunk.clone(), part)));
                Run::There { part, gone: Vec::new(), changed: 0 }
            }
            (None, encoded) => Run::Here(encoded.unwrap_or_default()),
        };
        runs.entry(*id).or_default().push(run);
    }
    let overlay =
        if overlay.is_empty() { Vec::new() } else { block::encode(overlay.iter(), &state.tables) };
    (Parts { runs, overlay, previous, history: Some(history) }, blocks, bytes)
}

/// The rows that differ from the block.
fn changed_rows(chunk: &Chunk) -> impl Iterator<Item = Packed> {
    let at = |uid: &u32| chunk.rows.binary_search_by_key(uid, |row| row.uid).ok();
    chunk.changed.iter().filter_map(at).filter_map(|at| chunk.rows.get(at).copied())
}

impl State {
    /// Whether the entry of this seq was passed over.
    fn is_voided(&self, seq: u64) -> bool {
        self.voided.contains(&mail::Seq(seq))
    }

    /// Arrival and record of every message whose bytes are inline.
    fn inline_messages(&self) -> impl Iterator<Item = (u32, RecordId)> {
        let first = self.inline.keys().next().copied();
        let rows = self.mailboxes.values().flat_map(|mailbox| mailbox.messages.iter());
        rows.filter(move |row| first.is_some() && self.tables.segment_at(row.segment).is_none())
            .map(|row| (row.arrival, self.tables.record(row)))
    }

    /// Gives messages with inline bodies their places in an account segment.
    fn settle_inline(
        &mut self,
        to: &BTreeMap<u32, Slot>,
        segment: SegmentRef,
        (records, bytes): (u64, u64),
        seq: mail::Seq,
        time: mail::Timestamp,
    ) {
        let number = self.tables.segment_number(segment, seq, time);
        if let Some(known) = self.tables.segment_at_mut(number) {
            known.records += records;
            known.bytes += bytes;
        }
        let to = to.iter().map(|(arrival, slot)| (*arrival, (number, slot.index))).collect();
        self.place_anew(&to, |_, _| ());
    }

    /// Arrivals from this one on that a message names.
    fn live_arrivals(&self, first: u32) -> BTreeSet<u32> {
        let rows = self.mailboxes.values().flat_map(|mailbox| mailbox.messages.iter());
        rows.map(|row| row.arrival).filter(|arrival| *arrival >= first).collect()
    }

    /// Takes note of a checkpoint that was made of an earlier state of this account and is in the
    /// pointer row now: inline bodies have places, summaries up to it are in its chunks. Seq and
    /// what clients see stay as they are. `false`: this state was not read from the checkpoint
    /// which that one replaced; it stays as it is, and is to be read again.
    #[must_use]
    pub fn adopt(&mut self, written: &Written) -> bool {
        if self.checkpoint != written.replaces || self.seq < written.checkpoint.seq {
            return false;
        }
        // Chunks that are still as the checkpoint wrote them have a block now; found before inline
        // bodies get their places, which changes chunks.
        let mut found = Vec::new();
        for (id, chunk, part) in &written.blocks {
            let Some(mailbox) = self.mailboxes.get(id) else { continue };
            if let Some(at) = mailbox.messages.position(chunk) {
                found.push((*id, at, *part));
            }
        }
        if let Some((segment, records, bytes)) = written.segment {
            let seq = written.checkpoint.seq;
            self.settle_inline(&written.inline, segment, (records, bytes), seq, written.time);
        }
        for (id, at, part) in found {
            if let Some(mailbox) = self.mailboxes.get_mut(&id) {
                mailbox.messages.set_block(at, part);
            }
        }
        for mailbox in self.mailboxes.values_mut() {
            mailbox.messages.keep_blocks(|part| written.named.contains(part));
        }
        self.inline = self.inline.split_off(&written.next_arrival);
        self.summaries = self.summaries.split_off(&written.next_arrival);
        self.summary_chunks.clone_from(&written.summary_chunks);
        self.checkpoint = Some(written.checkpoint);
        true
    }
}
