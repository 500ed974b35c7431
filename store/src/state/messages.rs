//! The messages of one mailbox, packed: 48 bytes each, in chunks that clones of a state share.

use std::sync::Arc;

use mail::uidset::UidSet;

use crate::checkpoint::ChunkPart;

/// Most messages in one chunk.
pub(crate) const CHUNK_MESSAGES: usize = 1024;

/// One message. Numbers that many messages share (flags, writers, segments) are numbers of the
/// state's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) modseq: u64,
    /// Of the record id.
    pub(crate) counter: u64,
    pub(crate) uid: u32,
    /// Number of the flag set.
    pub(crate) flags: u32,
    pub(crate) size: u32,
    /// Internal date in seconds.
    pub(crate) date: u32,
    /// Number of the record id's writer.
    pub(crate) writer: u32,
    /// Number of the segment, or [`super::tables::INLINE`].
    pub(crate) segment: u32,
    /// Of the record in its segment.
    pub(crate) index: u32,
    /// Number of its arrival: names its summary.
    pub(crate) arrival: u32,
}

/// Most messages by which a chunk may differ from its block before the block is written anew.
const DIFFERENCES_MAX: usize = 32;

/// A run of messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) rows: Vec<Packed>,
    /// Never below any row's; may be above after an expunge.
    pub(crate) modseq_max: u64,
    /// Where a checkpoint has it, but for what follows.
    pub(crate) block: Option<ChunkPart>,
    /// UIDs whose rows are other than in the block, or not in it.
    pub(crate) changed: Vec<u32>,
    /// UIDs that are in the block and gone.
    pub(crate) gone: Vec<u32>,
}

impl Chunk {
    /// As it was read from a block.
    pub(crate) fn of_block(rows: Vec<Packed>, block: Option<ChunkPart>) -> Self {
        let modseq_max = rows.iter().map(|row| row.modseq).max().unwrap_or_default();
        Self { rows, modseq_max, block, changed: Vec::new(), gone: Vec::new() }
    }

    /// Notes that the row of this UID is not as in the block.
    fn note_change(&mut self, uid: u32) {
        if self.block.is_some() && !self.changed.contains(&uid) {
            self.changed.push(uid);
            self.limit_differences();
        }
    }

    fn note_gone(&mut self, uid: u32) {
        if self.block.is_some() {
            self.changed.retain(|changed| *changed != uid);
            self.gone.push(uid);
            self.limit_differences();
        }
    }

    fn limit_differences(&mut self) {
        if self.changed.len() + self.gone.len() > DIFFERENCES_MAX {
            (self.block, self.changed, self.gone) = (None, Vec::new(), Vec::new());
        }
    }

    /// Takes over rows that a checkpoint has besides the block.
    pub(crate) fn patch(&mut self, changed: Vec<Packed>, gone: Vec<u32>) {
        self.rows.retain(|row| gone.binary_search(&row.uid).is_err());
        for row in changed {
            self.modseq_max = self.modseq_max.max(row.modseq);
            self.changed.push(row.uid);
            match self.rows.binary_search_by_key(&row.uid, |row| row.uid) {
                Ok(at) => self.rows[at] = row,
                Err(at) => self.rows.insert(at, row),
            }
        }
        self.gone = gone;
    }

    fn first_uid(&self) -> u32 {
        self.rows.first().map_or(0, |row| row.uid)
    }

    fn last_uid(&self) -> u32 {
        self.rows.last().map_or(0, |row| row.uid)
    }
}

/// All messages of a mailbox, sorted by UID. No chunk is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Messages {
    chunks: Vec<Arc<Chunk>>,
    len: usize,
}

impl Messages {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Packed> {
        self.chunks.iter().flat_map(|chunk| chunk.rows.iter())
    }

    /// Adds a message; its UID is above all others.
    pub(crate) fn push(&mut self, row: Packed) {
        let full = self.chunks.last().is_none_or(|chunk| chunk.rows.len() >= CHUNK_MESSAGES);
        if full {
            self.chunks.push(Arc::default());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            let chunk = Arc::make_mut(chunk);
            assert!(chunk.last_uid() < row.uid, "UIDs only go up (I3)");
            if chunk.rows.len() == chunk.rows.capacity() {
                // Grow by half, not by doubling: the last chunk stays near 48 bytes a message.
                let more = (chunk.rows.len() / 2).max(4);
                let more = more.min(CHUNK_MESSAGES - chunk.rows.len());
                chunk.rows.reserve_exact(more);
            }
            chunk.modseq_max = chunk.modseq_max.max(row.modseq);
            chunk.rows.push(row);
            chunk.note_change(row.uid);
            self.len += 1;
        }
    }

    /// Adds a chunk that was read, whose messages sort after those here. `false`: they do not.
    pub(crate) fn push_chunk(&mut self, chunk: Chunk) -> bool {
        let last = self.chunks.last().map_or(0, |chunk| chunk.last_uid());
        let sorted = chunk.rows.is_sorted_by(|a, b| a.uid < b.uid) && chunk.first_uid() > last;
        self.len += chunk.rows.len();
        if !chunk.rows.is_empty() {
            self.chunks.push(Arc::new(chunk));
        }
        sorted
    }

    /// Where this very chunk is, unchanged.
    pub(crate) fn position(&self, chunk: &Arc<Chunk>) -> Option<usize> {
        self.chunks.iter().position(|known| Arc::ptr_eq(known, chunk))
    }

    /// The chunk at this place is in a block of a checkpoint now, as it is.
    pub(crate) fn set_block(&mut self, at: usize, block: ChunkPart) {
        if let Some(chunk) = self.chunks.get_mut(at) {
            let chunk = Arc::make_mut(chunk);
            (chunk.block, chunk.changed, chunk.gone) = (Some(block), Vec::new(), Vec::new());
        }
    }

    /// Forgets blocks that are not named any more: they may be deleted at any time.
    pub(crate) fn keep_blocks(&mut self, is_named: impl Fn(&ChunkPart) -> bool) {
        for chunk in &mut self.chunks {
            if chunk.block.as_ref().is_some_and(|part| !is_named(part)) {
                let chunk = Arc::make_mut(chunk);
                (chunk.block, chunk.changed, chunk.gone) = (None, Vec::new(), Vec::new());
            }
        }
    }

    /// Which chunk holds `uid` if any does.
    fn chunk_of(&self, uid: u32) -> usize {
        self.chunks.partition_point(|chunk| chunk.last_uid() < uid)
    }

    pub(crate) fn get(&self, uid: u32) -> Option<&Packed> {
        let chunk = self.chunks.get(self.chunk_of(uid))?;
        let at = chunk.rows.binary_search_by_key(&uid, |row| row.uid).ok()?;
        chunk.rows.get(at)
    }

    /// The message at this place, from 0.
    pub(crate) fn at(&self, mut index: usize) -> Option<&Packed> {
        for chunk in &self.chunks {
            if index < chunk.rows.len() {
                return chunk.rows.get(index);
            }
            index -= chunk.rows.len();
        }
        None
    }

    /// How many messages have a UID below this one.
    pub(crate) fn rank(&self, uid: u32) -> usize {
        let chunk = self.chunk_of(uid);
        let before: usize = self.chunks.iter().take(chunk).map(|chunk| chunk.rows.len()).sum();
        let within = self
            .chunks
            .get(chunk)
            .map_or(0, |chunk| chunk.rows.partition_point(|row| row.uid < uid));
        before + within
    }

    /// The messages with a UID in the set, ascending. Costs the ranges and what is found.
    pub(crate) fn in_set<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = &'a Packed> {
        uids.ranges().flat_map(move |range| {
            let (first, last) = (*range.start(), *range.end());
            self.chunks[self.chunk_of(first)..]
                .iter()
                .take_while(move |chunk| chunk.first_uid() <= last)
                .flat_map(move |chunk| {
                    let from = chunk.rows.partition_point(|row| row.uid < first);
                    let to = chunk.rows.partition_point(|row| row.uid <= last);
                    chunk.rows.get(from..to).unwrap_or_default()
                })
        })
    }

    /// Messages changed after `modseq`, ascending by UID. Skips chunks without one.
    pub(crate) fn changed_since(&self, modseq: u64) -> impl Iterator<Item = &Packed> {
        self.chunks
            .iter()
            .filter(move |chunk| chunk.modseq_max > modseq)
            .flat_map(|chunk| chunk.rows.iter())
            .filter(move |row| row.modseq > modseq)
    }

    /// Changes the messages with a UID in the set: `change` says whether it did.
    pub(crate) fn update(&mut self, uids: &UidSet, mut change: impl FnMut(&mut Packed) -> bool) {
        for range in uids.ranges() {
            let (first, last) = (*range.start(), *range.end());
            let start = self.chunk_of(first);
            for chunk in self.chunks.iter_mut().skip(start) {
                if chunk.first_uid() > last {
                    break;
                }
                let from = chunk.rows.partition_point(|row| row.uid < first);
                let to = chunk.rows.partition_point(|row| row.uid <= last);
                change_rows(chunk, from, to, &mut change);
            }
        }
    }

    /// Changes messages of any UID, chunk by chunk; `wanted` tells cheaply which may change.
    pub(crate) fn update_where(
        &mut self,
        wanted: impl Fn(&Packed) -> bool,
        mut change: impl FnMut(&mut Packed) -> bool,
    ) {
        for chunk in &mut self.chunks {
            let Some(from) = chunk.rows.iter().position(&wanted) else { continue };
            let to = chunk.rows.len();
            change_rows(chunk, from, to, &mut |row| wanted(row) && change(row));
        }
    }

    /// Takes out the messages with a UID in the set and returns how it went to `gone`.
    pub(crate) fn remove(&mut self, uids: &UidSet, mut gone: impl FnMut(&Packed)) {
        let mut touched = false;
        for range in uids.ranges() {
            let (first, last) = (*range.start(), *range.end());
            let start = self.chunk_of(first);
            for chunk in self.chunks.iter_mut().skip(start) {
                if chunk.first_uid() > last {
                    break;
                }
                let from = chunk.rows.partition_point(|row| row.uid < first);
                let to = chunk.rows.partition_point(|row| row.uid <= last);
                if from < to {
                    let chunk = Arc::make_mut(chunk);
                    let taken: Vec<Packed> = chunk.rows.drain(from..to).collect();
                    for row in &taken {
                        chunk.note_gone(row.uid);
                        gone(row);
                    }
                    self.len -= to - from;
                    touched = true;
                }
            }
            if touched {
                // Searching by last UID needs that no chunk is empty.
                self.chunks.retain(|chunk| !chunk.rows.is_empty());
            }
        }
        if touched {
            self.merge_small();
        }
    }

    /// Joins neighbours that are together at most half full, so that chunks stay few.
    fn merge_small(&mut self) {
        let mut merged: Vec<Arc<Chunk>> = Vec::with_capacity(self.chunks.len());
        for chunk in self.chunks.drain(..) {
            match merged.last_mut() {
                Some(last) if last.rows.len() + chunk.rows.len() <= CHUNK_MESSAGES / 2 => {
                    let last = Arc::make_mut(last);
                    last.modseq_max = last.modseq_max.max(chunk.modseq_max);
                    last.rows.extend_from_slice(&chunk.rows);
                    (last.block, last.changed, last.gone) = (None, Vec::new(), Vec::new());
                }
                _ => merged.push(chunk),
            }
        }
        self.chunks = merged;
    }

    /// Bytes of memory, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let row = size_of::<Packed>();
        self.chunks.iter().map(|chunk| chunk.rows.capacity() * row + 64).sum()
    }
}

/// Changes rows of a chunk, copying it only if something in it does change.
fn change_rows(
    chunk: &mut Arc<Chunk>,
    from: usize,
    to: usize,
    change: &mut impl FnMut(&mut Packed) -> bool,
) {
    for at in from..to {
        let Some(mut row) = chunk.rows.get(at).copied() else { return };
        if change(&mut row) {
            let chunk = Arc::make_mut(chunk);
            chunk.modseq_max = chunk.modseq_max.max(row.modseq);
            if let Some(place) = chunk.rows.get_mut(at) {
                *place = row;
            }
            chunk.note_change(row.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Dice;

    fn row(uid: u32, modseq: u64) -> Packed {
        let (flags, size, date, writer, segment, index, arrival) = (0, 1, 0, 0, 0, 0, uid);
        Packed { modseq, counter: 0, uid, flags, size, date, writer, segment, index, arrival }
    }

    #[test]
    fn a_message_takes_48_bytes() {
        assert_eq!(size_of::<Packed>(), 48);
        let mut messages = Messages::default();
        (1..=100_000).for_each(|uid| messages.push(row(uid, 1)));
        assert!(messages.memory_bytes() <= 50 * 100_000);
    }

    #[test]
    fn agrees_with_a_map_under_random_operations() {
        let mut dice = Dice(7);
        let mut messages = Messages::default();
        let mut naive = BTreeMap::new();
        let mut next = 1_u32;
        for round in 1..400_u64 {
            for _ in 0..dice.below(40) {
                next += 1 + u32::try_from(dice.below(3)).unwrap();
                messages.push(row(next, round));
                naive.insert(next, round);
            }
            let first = u32::try_from(dice.below(next as usize)).unwrap();
            let uids = UidSet::from_ranges([(first, first + 30), (first + 90, first + 95)]);
            if dice.one_in(2) {
                messages.update(&uids, |row| {
                    row.modseq = round;
                    true
                });
                uids.iter().for_each(|uid| {
                    naive.entry(uid).and_modify(|modseq| *modseq = round);
                });
            } else {
                let mut gone = Vec::new();
                messages.remove(&uids, |row| gone.push(row.uid));
                let expected: Vec<_> =
                    uids.iter().filter(|uid| naive.remove(uid).is_some()).collect();
                assert_eq!(gone, expected);
            }
            assert_eq!(messages.len(), naive.len());
            let found: Vec<_> = messages.in_set(&uids).map(|row| row.uid).collect();
            let expected: Vec<_> = uids.iter().filter(|uid| naive.contains_key(uid)).collect();
            assert_eq!(found, expected);
            assert_eq!(messages.rank(first), naive.range(..first).count());
            let since: Vec<_> = messages.changed_since(round - 1).map(|row| row.uid).collect();
            let expected: Vec<_> =
                naive.iter().filter(|(_, m)| **m >= round).map(|(uid, _)| *uid).collect();
            assert_eq!(since, expected);
        }
        assert!(messages.iter().map(|row| (row.uid, row.modseq)).eq(naive.clone()));
        for (index, uid) in naive.keys().enumerate() {
            assert_eq!(messages.at(index).unwrap().uid, *uid);
            assert_eq!(messages.get(*uid).unwrap().uid, *uid);
        }
        assert!(messages.chunks().len() < naive.len() / 200 + 3);
    }
}
