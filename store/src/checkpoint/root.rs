//! The root of a checkpoint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use mail::codec::{Malformed, Reader, put_bytes, put_str, put_varint};
use mail::flags::{KEYWORD_BYTES_MAX, Keyword};
use mail::uidset::UidSet;
use mail::{Account, RecordId, Seq, Timestamp, WriterId};

use super::{ChunkPart, Got, LEVEL, SummaryChunk, Wanted, block, wanted};
use crate::change::{Effect, MailboxId, SpecialUse};
use crate::entry::Totals;
use crate::packing;
use crate::place::{ObjectNonce, SegmentRef, Slot};
use crate::rows::{CheckpointRef, Phase};
use crate::state::fences::Fences;
use crate::state::mailbox::MailboxData;
use crate::state::messages::{Chunk, Packed};
use crate::state::tables::SegmentUse;
use crate::state::vanished::{Gone, VANISHED_RANGES_MAX, Vanished};
use crate::state::{KEYWORDS_MAX, LetGo, MAILBOXES_MAX, NAME_BYTES_MAX, State, Windowed};

const MAGIC: [u8; 4] = *b"PCKP";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 9;
/// Most bytes of a root before compression.
const ROOT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Most elements of any list in it, but those with a bound of their own.
const LIST_MAX: usize = 1 << 24;

/// How a root names a run of messages.
#[derive(Clone, Debug)]
pub(super) enum Run {
    /// A block in the root itself.
    Here(Vec<u8>),
    /// A block in a chunk object, but for a few messages.
    There {
        part: ChunkPart,
        /// UIDs of the block that are gone, sorted.
        gone: Vec<u32>,
        /// How many rows of the overlay are of this block.
        changed: usize,
    },
}

impl Run {
    /// The part of a chunk object that it lies in.
    pub(super) const fn part(&self) -> Option<ChunkPart> {
        match self {
            Self::There { part, .. } => Some(*part),
            Self::Here(_) => None,
        }
    }
}

/// What a root says besides what is in the state.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) runs: BTreeMap<MailboxId, Vec<Run>>,
    /// A block of all changed rows, in the order of the runs.
    pub(super) overlay: Vec<u8>,
    pub(super) previous: Option<CheckpointRef>,
    pub(super) history: Option<ChunkPart>,
}

/// A root that was read: get what [`Self::wanted`] names, then [`Self::finish`].
#[derive(Debug)]
pub struct Root {
    state: State,
    parts: Parts,
    totals: Totals,
    wanted: Vec<Wanted>,
}

/// The bytes of a root. All inline bodies of the state have places.
pub(super) fn encode(state: &State, parts: &Parts) -> Vec<u8> {
    let mut out = Vec::new();
    put_state(&mut out, state);
    put_reference(&mut out, parts.previous);
    put_part(&mut out, parts.history);
    put_mailboxes(&mut out, state, &parts.runs);
    put_bytes(&mut out, &parts.overlay);
    let body = packing::marked(&out, LEVEL);
    let mut root = MAGIC.to_vec();
    root.push(VERSION);
    root.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
    root.extend_from_slice(&body);
    root
}

impl Root {
    /// Reads a root object.
    /// # Errors
    /// [`Malformed`]: damaged, of an unknown version, or another account's. The account stops.
    pub fn decode(
        account: Account,
        checkpoint: CheckpointRef,
        object: &[u8],
    ) -> Result<Self, Malformed> {
        let (head, body) = object.split_at_checked(HEAD_BYTES).ok_or(Malformed("checkpoint"))?;
        let mut reader = Reader::new(head);
        if reader.array()? != MAGIC || reader.byte()? != VERSION {
            return Err(Malformed("checkpoint: not one, or of an unknown version"));
        }
        if u32::from_be_bytes(reader.array()?) != crc32fast::hash(body) {
            return Err(Malformed("checkpoint: checksum"));
        }
        let raw = packing::unmark(body, ROOT_BYTES_MAX)?;
        let mut reader = Reader::new(&raw);
        let r = &mut reader;
        let (mut state, totals) = take_state(r, account)?;
        if state.seq != checkpoint.seq {
            return Err(Malformed("checkpoint: of another seq"));
        }
        state.checkpoint = Some(checkpoint);
        let previous = take_reference(r)?;
        let history = take_part(r)?;
        let runs = take_mailboxes(r, &mut state)?;
        let overlay = r.bytes(ROOT_BYTES_MAX)?.to_vec();
        reader.end()?;
        let there = runs.values().flatten().filter_map(Run::part);
        let wanted = wanted(account, there);
        let parts = Parts { runs, overlay, previous, history };
        Ok(Self { state, parts, totals, wanted })
    }

    /// The chunks that hold the messages: at most two objects. Not the summaries.
    #[must_use]
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// Time of the last entry in it.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.state.time()
    }

    /// The checkpoint that this one replaced: the next older part of history.
    #[must_use]
    pub const fn previous(&self) -> Option<CheckpointRef> {
        self.parts.previous
    }

    /// Where the entries between the two are: [`super::decode_history`].
    #[must_use]
    pub const fn history(&self) -> Option<ChunkPart> {
        self.parts.history
    }

    /// Every chunk object that this root names, history too: what may not be deleted (I5).
    #[must_use]
    pub fn chunk_objects(&self) -> BTreeSet<engine::ObjectKey> {
        let account = self.state.account;
        let summaries = self.state.summary_chunks.iter().map(|chunk| chunk.at.key(account));
        let blocks = self.wanted.iter().map(|wanted| wanted.key.clone());
        let history = self.parts.history.map(|part| part.key(account));
        blocks.chain(summaries).chain(history).collect()
    }

    /// The state, given what [`Self::wanted`] names, in its order. Everything is verified: the
    /// checksums, and that counts and totals are those of what is there.
    /// # Errors
    /// [`Malformed`]: not the bytes that were written.
    pub fn finish(mut self, got: &[Vec<Bytes>]) -> Result<State, Malformed> {
        let account = self.state.account;
        let got = Got { account, wanted: &self.wanted, bytes: got };
        let mut overlay = if self.parts.overlay.is_empty() {
            Vec::new()
        } else {
            block::decode(&self.parts.overlay, &mut self.state.tables)?
        }
        .into_iter();
        for (id, runs) in std::mem::take(&mut self.parts.runs) {
            for run in runs {
                let chunk = read_run(run, &got, &mut self.state, &mut overlay)?;
                take_in(&mut self.state, id, chunk)?;
            }
        }
        // Asserted after reading back [R]: nothing is missing, nothing is there twice.
        if overlay.next().is_some() || self.state.totals != self.totals {
            return Err(Malformed("checkpoint: totals"));
        }
        Ok(self.state)
    }
}

fn read_run(
    run: Run,
    got: &Got<'_>,
    state: &mut State,
    overlay: &mut std::vec::IntoIter<Packed>,
) -> Result<Chunk, Malformed> {
    match run {
        Run::Here(bytes) => Ok(Chunk::of_block(block::decode(&bytes, &mut state.tables)?, None)),
        Run::There { part, gone, changed } => {
            let rows = block::decode(&got.part(&part)?, &mut state.tables)?;
            let mut chunk = Chunk::of_block(rows, Some(part));
            let changed: Vec<Packed> = overlay.by_ref().take(changed).collect();
            chunk.patch(changed, gone);
            Ok(chunk)
        }
    }
}

/// Adds a chunk to its mailbox and counts what is in it.
fn take_in(state: &mut State, id: MailboxId, chunk: Chunk) -> Result<(), Malformed> {
    let mailbox = state.mailboxes.get_mut(&id).ok_or(Malformed("checkpoint: mailbox"))?;
    for row in &chunk.rows {
        let beyond = u64::from(row.uid) >= mailbox.uid_next
            || row.modseq > mailbox.highest_modseq.0
            || row.arrival >= state.next_arrival;
        if beyond {
            return Err(Malformed("checkpoint: message beyond its mailbox"));
        }
        mailbox.count_in(state.tables.flags(row.flags).system, row.size);
        state.tables.entered(row);
        state.totals.messages += 1;
        state.totals.bytes += u64::from(row.size);
    }
    if mailbox.messages.push_chunk(chunk) {
        Ok(())
    } else {
        Err(Malformed("checkpoint: UIDs out of order"))
    }
}

fn put_reference(out: &mut Vec<u8>, reference: Option<CheckpointRef>) {
    out.push(u8::from(reference.is_some()));
    if let Some(CheckpointRef { seq, nonce }) = reference {
        put_varint(out, seq.0);
        out.extend_from_slice(&nonce.0);
    }
}

fn take_reference(r: &mut Reader<'_>) -> Result<Option<CheckpointRef>, Malformed> {
    Ok(if take_bool(r)? {
        Some(CheckpointRef { seq: Seq(r.varint()?), nonce: ObjectNonce(r.array()?) })
    } else {
        None
    })
}

fn put_part(out: &mut Vec<u8>, part: Option<ChunkPart>) {
    out.push(u8::from(part.is_some()));
    part.iter().for_each(|part| part.put(out));
}

fn take_part(r: &mut Reader<'_>) -> Result<Option<ChunkPart>, Malformed> {
    if take_bool(r)? { ChunkPart::take(r).map(Some) } else { Ok(None) }
}

fn take_bool(r: &mut Reader<'_>) -> Result<bool, Malformed> {
    match r.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("checkpoint: yes or no")),
    }
}

/// All of the state but mailboxes and messages.
fn put_state(out: &mut Vec<u8>, state: &State) {
    out.extend_from_slice(&state.account.to_bytes());
    put_varint(out, state.seq.0);
    put_varint(out, state.time.0);
    put_varint(out, state.totals.messages);
    put_varint(out, state.totals.bytes);
    // A region's name was checked when its entry was encoded.
    assert!(state.phase.put(out).is_some(), "a phase that was replayed can be written");
    put_varint(out, u64::from(state.next_mailbox));
    put_varint(out, u64::from(state.next_validity));
    put_varint(out, u64::from(state.next_arrival));
    let segments: Vec<_> = state.tables.segments().collect();
    put_varint(out, segments.len() as u64);
    for known in segments {
        known.segment.put(out);
        for number in [known.records, known.bytes, known.since.0, known.first.0, known.touched.0] {
            put_varint(out, number);
        }
    }
    put_window(out, state);
    put_varint(out, state.vanished.known_after().0);
    put_varint(out, state.vanished.all().len() as u64);
    for Gone { modseq, mailbox, uids } in state.vanished.all() {
        put_varint(out, modseq.0);
        put_varint(out, u64::from(mailbox.0));
        uids.encode(out);
    }
    put_varint(out, state.fences.iter().len() as u64);
    for (seq, gone) in state.fences.iter() {
        put_varint(out, seq.0);
        match gone {
            LetGo::Segment(segment) => segment.put(out),
            LetGo::EntryBody(nonce) => {
                out.push(3);
                out.extend_from_slice(&nonce.0);
            }
        }
    }
    put_varint(out, state.effects.len() as u64);
    for Effect { kind, key, until } in &state.effects {
        out.push(*kind);
        put_bytes(out, key);
        put_varint(out, until.0);
    }
    put_varint(out, state.voided.len() as u64);
    state.voided.iter().for_each(|seq| put_varint(out, seq.0));
    put_varint(out, state.subscriptions.len() as u64);
    state.subscriptions.iter().for_each(|name| put_str(out, name));
    put_varint(out, state.summary_chunks.len() as u64);
    for chunk in &state.summary_chunks {
        put_varint(out, u64::from(chunk.first));
        put_varint(out, u64::from(chunk.end));
        chunk.at.put(out);
    }
}

/// The window: segments once, record ids by difference.
fn put_window(out: &mut Vec<u8>, state: &State) {
    let mut segments = BTreeMap::new();
    for windowed in state.window.values() {
        let next = segments.len() as u64;
        segments.entry(windowed.slot.segment).or_insert(next);
    }
    // In the order of their numbers.
    let mut table: Vec<_> = segments.iter().map(|(segment, number)| (*number, *segment)).collect();
    table.sort_unstable();
    put_varint(out, table.len() as u64);
    table.iter().for_each(|(_, segment)| segment.put(out));
    put_varint(out, state.window.len() as u64);
    let mut writer = None;
    for (record, windowed) in &state.window {
        let same = writer == Some(record.writer);
        out.push(u8::from(same));
        if !same {
            out.extend_from_slice(&record.writer.0);
            writer = Some(record.writer);
        }
        put_varint(out, record.counter);
        put_varint(out, segments.get(&windowed.slot.segment).copied().unwrap_or_default());
        put_varint(out, u64::from(windowed.slot.index));
        put_varint(out, u64::from(windowed.arrival));
        put_varint(out, u64::from(windowed.size));
    }
}

fn take_window(r: &mut Reader<'_>) -> Result<BTreeMap<RecordId, Windowed>, Malformed> {
    let count = r.count(LIST_MAX)?;
    let segments: Vec<_> = (0..count).map(|_| SegmentRef::take(r)).collect::<Result<_, _>>()?;
    let count = r.count(LIST_MAX)?;
    let mut window = BTreeMap::new();
    let mut writer = WriterId([0; 16]);
    for _ in 0..count {
        if !take_bool(r)? {
            writer = WriterId(r.array()?);
        }
        let record = RecordId { writer, counter: r.varint()? };
        let segment = usize::try_from(r.varint()?).unwrap_or(usize::MAX);
        let segment = *segments.get(segment).ok_or(Malformed("checkpoint: window"))?;
        let slot = Slot { segment, index: r.varint32()? };
        window.insert(record, Windowed { slot, arrival: r.varint32()?, size: r.varint32()? });
    }
    Ok(window)
}

fn take_vanished(r: &mut Reader<'_>) -> Result<Vanished, Malformed> {
    let known_after = Seq(r.varint()?);
    let count = r.count(VANISHED_RANGES_MAX)?;
    let mut gone = VecDeque::with_capacity(count);
    for _ in 0..count {
        let modseq = Seq(r.varint()?);
        let mailbox = MailboxId(r.varint32()?);
        gone.push_back(Gone { modseq, mailbox, uids: UidSet::decode(r)? });
    }
    if !gone.iter().is_sorted_by_key(|gone| gone.modseq) {
        return Err(Malformed("checkpoint: vanished"));
    }
    Ok(Vanished::restore(gone, known_after))
}

fn take_fences(r: &mut Reader<'_>) -> Result<Fences, Malformed> {
    let count = r.count(LIST_MAX)?;
    let mut fences = Fences::default();
    for _ in 0..count {
        let seq = Seq(r.varint()?);
        let gone = if r.rest().first() == Some(&3) {
            r.byte()?;
            LetGo::EntryBody(ObjectNonce(r.array()?))
        } else {
            LetGo::Segment(SegmentRef::take(r)?)
        };
        fences.push(seq, gone);
    }
    Ok(fences)
}

/// What [`put_state`] wrote, and the totals that the messages must come to.
fn take_state(r: &mut Reader<'_>, account: Account) -> Result<(State, Totals), Malformed> {
    if Account::from_bytes(r.take(20)?) != Some(account) {
        return Err(Malformed("checkpoint: of another account"));
    }
    let mut state = State::empty(account);
    state.seq = Seq(r.varint()?);
    state.time = Timestamp(r.varint()?);
    let totals = Totals { messages: r.varint()?, bytes: r.varint()? };
    state.phase = Phase::take(r)?;
    state.next_mailbox = r.varint32()?;
    state.next_validity = r.varint32()?;
    state.next_arrival = r.varint32()?;
    for _ in 0..r.count(LIST_MAX)? {
        let segment = SegmentRef::take(r)?;
        let (live, live_bytes) = (0, 0);
        let (records, bytes) = (r.varint()?, r.varint()?);
        let (since, first, touched) =
            (Seq(r.varint()?), Timestamp(r.varint()?), Timestamp(r.varint()?));
        let known = SegmentUse { segment, live, live_bytes, records, bytes, since, first, touched };
        state.tables.restore_segment(known);
    }
    state.window = take_window(r)?;
    state.vanished = take_vanished(r)?;
    state.fences = take_fences(r)?;
    for _ in 0..r.count(LIST_MAX)? {
        let kind = r.byte()?;
        let key = Bytes::copy_from_slice(r.bytes(512)?);
        state.effects.push_back(Effect { kind, key, until: Timestamp(r.varint()?) });
    }
    for _ in 0..r.count(LIST_MAX)? {
        state.voided.insert(Seq(r.varint()?));
    }
    for _ in 0..r.count(MAILBOXES_MAX)? {
        state.subscriptions.insert(r.str(NAME_BYTES_MAX)?.to_owned());
    }
    for _ in 0..r.count(LIST_MAX)? {
        let (first, end) = (r.varint32()?, r.varint32()?);
        state.summary_chunks.push(SummaryChunk { first, end, at: ChunkPart::take(r)? });
    }
    Ok((state, totals))
}

fn put_mailboxes(out: &mut Vec<u8>, state: &State, runs: &BTreeMap<MailboxId, Vec<Run>>) {
    // Objects are named once: parts of them by number.
    let mut objects = BTreeMap::new();
    for run in runs.values().flatten() {
        if let Run::There { part, .. } = run {
            let next = objects.len() as u64;
            objects.entry(part.object()).or_insert(next);
        }
    }
    let mut table: Vec<_> = objects.iter().map(|(object, number)| (*number, *object)).collect();
    table.sort_unstable();
    put_varint(out, table.len() as u64);
    for (_, (seq, nonce, number)) in table {
        put_varint(out, seq.0);
        out.extend_from_slice(&nonce.0);
        out.push(number);
    }
    put_varint(out, state.mailboxes.len() as u64);
    for (id, mailbox) in &state.mailboxes {
        put_varint(out, u64::from(id.0));
        put_str(out, &mailbox.name);
        out.push(mailbox.special_use.map_or(0, SpecialUse::number));
        put_varint(out, u64::from(mailbox.uid_validity));
        put_varint(out, mailbox.uid_next);
        put_varint(out, mailbox.highest_modseq.0);
        put_varint(out, mailbox.created.0);
        put_varint(out, mailbox.keywords.len() as u64);
        mailbox.keywords.iter().for_each(|keyword| put_str(out, keyword.as_str()));
        let runs = runs.get(id).map(Vec::as_slice).unwrap_or_default();
        put_varint(out, runs.len() as u64);
        for run in runs {
            match run {
                Run::Here(block) => {
                    out.push(0);
                    put_bytes(out, block);
                }
                Run::There { part, gone, changed } => {
                    out.push(1);
                    put_varint(out, objects.get(&part.object()).copied().unwrap_or_default());
                    put_varint(out, u64::from(part.offset));
                    put_varint(out, u64::from(part.bytes));
                    out.extend_from_slice(&part.crc.to_be_bytes());
                    gone.iter().copied().collect::<UidSet>().encode(out);
                    put_varint(out, *changed as u64);
                }
            }
        }
    }
}

fn take_mailboxes(
    r: &mut Reader<'_>,
    state: &mut State,
) -> Result<BTreeMap<MailboxId, Vec<Run>>, Malformed> {
    let count = r.count(LIST_MAX)?;
    let objects: Vec<(Seq, ObjectNonce, u8)> = (0..count)
        .map(|_| Ok((Seq(r.varint()?), ObjectNonce(r.array()?), r.byte()?)))
        .collect::<Result<_, _>>()?;
    let mut all = BTreeMap::new();
    for _ in 0..r.count(MAILBOXES_MAX)? {
        let mailbox = take_mailbox(r)?;
        let count = r.count(LIST_MAX)?;
        let runs = (0..count).map(|_| take_run(r, &objects)).collect::<Result<Vec<_>, _>>()?;
        let (id, name) = (mailbox.id, mailbox.name.clone());
        let known = state.mailboxes.insert(id, mailbox).is_some();
        if known || state.names.insert(name, id).is_some() {
            return Err(Malformed("checkpoint: mailbox twice"));
        }
        all.insert(id, runs);
    }
    if !state.mailboxes.contains_key(&MailboxId::INBOX) {
        return Err(Malformed("checkpoint: no INBOX"));
    }
    Ok(all)
}

fn take_mailbox(r: &mut Reader<'_>) -> Result<MailboxData, Malformed> {
    let id = MailboxId(r.varint32()?);
    let name = r.str(NAME_BYTES_MAX)?.to_owned();
    let special_use = match r.byte()? {
        0 => None,
        number => Some(SpecialUse::from_number(number).ok_or(Malformed("special use"))?),
    };
    let uid_validity = r.varint32()?;
    let uid_next = r.varint()?;
    let highest_modseq = Seq(r.varint()?);
    let created = Seq(r.varint()?);
    let mut keywords = BTreeSet::new();
    for _ in 0..r.count(KEYWORDS_MAX)? {
        let keyword = Keyword::parse(r.str(KEYWORD_BYTES_MAX)?);
        keywords.insert(keyword.map_err(|_| Malformed("keyword"))?);
    }
    if uid_next == 0 || uid_next > u64::from(u32::MAX) + 1 {
        return Err(Malformed("checkpoint: UIDNEXT"));
    }
    let empty = MailboxData::new(id, name, uid_validity, created);
    Ok(MailboxData { special_use, uid_next, highest_modseq, keywords, ..empty })
}

fn take_run(r: &mut Reader<'_>, objects: &[(Seq, ObjectNonce, u8)]) -> Result<Run, Malformed> {
    if !take_bool(r)? {
        return Ok(Run::Here(r.bytes(ROOT_BYTES_MAX)?.to_vec()));
    }
    let object = usize::try_from(r.varint()?).unwrap_or(usize::MAX);
    let (seq, nonce, number) = *objects.get(object).ok_or(Malformed("checkpoint: object"))?;
    let (offset, bytes) = (r.varint32()?, r.varint32()?);
    let crc = u32::from_be_bytes(r.array()?);
    let part = ChunkPart { seq, nonce, number, offset, bytes, crc };
    let gone = UidSet::decode(r)?;
    if gone.len() > 1 << 17 {
        return Err(Malformed("checkpoint: gone"));
    }
    let changed = usize::try_from(r.varint()?).map_err(|_| Malformed("checkpoint: changed"))?;
    Ok(Run::There { part, gone: gone.iter().collect(), changed })
}

/// A run as the state has it, that is kept as it is.
pub(super) fn kept(part: ChunkPart, chunk: &Arc<Chunk>) -> Run {
    let mut gone = chunk.gone.clone();
    gone.sort_unstable();
    Run::There { part, gone, changed: chunk.changed.len() }
}
