//! What messages share is kept once: flag sets, writers, segments.

use std::collections::BTreeMap;

use mail::flags::FlagSet;
use mail::{RecordId, Seq, Timestamp, WriterId};

use crate::place::{Place, SegmentRef, Slot};
use crate::state::messages::Packed;

/// The segment number of messages whose bytes are inline.
pub(crate) const INLINE: u32 = u32::MAX;

/// What the state knows of one segment that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentUse {
    /// Which.
    pub segment: SegmentRef,
    /// Messages that live in it; copies of a record count each.
    pub live: u64,
    /// Their sizes.
    pub live_bytes: u64,
    /// Records of this account that ever came into it.
    pub records: u64,
    /// Their sizes.
    pub bytes: u64,
    /// Entry that named it first.
    pub since: Seq,
    /// Time of that entry.
    pub first: Timestamp,
    /// Time of the entry that last took a message out of it, or that put the last one in.
    pub touched: Timestamp,
}

/// Tables of one state. Numbers are those of this state in this process only; formats have tables
/// of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    flags: Vec<FlagSet>,
    flag_numbers: BTreeMap<Vec<u8>, u32>,
    writers: Vec<WriterId>,
    writer_numbers: BTreeMap<WriterId, u32>,
    segments: Vec<Option<SegmentUse>>,
    segment_numbers: BTreeMap<SegmentRef, u32>,
    free: Vec<u32>,
}

fn number(length: usize) -> u32 {
    u32::try_from(length).expect("tables hold no more than messages, which are below 2^32")
}

impl Tables {
    pub(crate) fn flags(&self, number: u32) -> &FlagSet {
        static NONE: FlagSet = FlagSet::system(mail::flags::SystemFlags::NONE);
        self.flags.get(number as usize).unwrap_or(&NONE)
    }

    pub(crate) fn flag_sets(&self) -> usize {
        self.flags.len()
    }

    /// The number of a flag set. Spelling counts: the same keyword in other case is another set.
    pub(crate) fn flags_number(&mut self, set: &FlagSet) -> u32 {
        let mut key = Vec::with_capacity(8);
        set.encode(&mut key);
        *self.flag_numbers.entry(key).or_insert_with(|| {
            self.flags.push(set.clone());
            number(self.flags.len() - 1)
        })
    }

    /// Keeps only the flag sets for which `used` is true; returns the new numbers.
    pub(crate) fn shrink_flags(&mut self, used: &[bool]) -> Vec<u32> {
        let old = std::mem::take(&mut self.flags);
        self.flag_numbers.clear();
        let keep = |(index, set): (usize, FlagSet)| {
            if used.get(index).copied().unwrap_or_default() { self.flags_number(&set) } else { 0 }
        };
        old.into_iter().enumerate().map(keep).collect()
    }

    pub(crate) fn writer(&self, number: u32) -> WriterId {
        self.writers.get(number as usize).copied().unwrap_or(WriterId([0; 16]))
    }

    pub(crate) fn writer_number(&mut self, writer: WriterId) -> u32 {
        *self.writer_numbers.entry(writer).or_insert_with(|| {
            self.writers.push(writer);
            number(self.writers.len() - 1)
        })
    }

    pub(crate) fn record(&self, row: &Packed) -> RecordId {
        RecordId { writer: self.writer(row.writer), counter: row.counter }
    }

    pub(crate) fn segment(&self, segment: SegmentRef) -> Option<&SegmentUse> {
        let number = *self.segment_numbers.get(&segment)?;
        self.segments.get(number as usize)?.as_ref()
    }

    pub(crate) fn segment_at(&self, number: u32) -> Option<&SegmentUse> {
        self.segments.get(number as usize)?.as_ref()
    }

    pub(crate) fn segment_at_mut(&mut self, number: u32) -> Option<&mut SegmentUse> {
        self.segments.get_mut(number as usize)?.as_mut()
    }

    pub(crate) fn known_segment(&self, segment: SegmentRef) -> Option<u32> {
        self.segment_numbers.get(&segment).copied()
    }

    /// All segments named, in their order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &SegmentUse> {
        self.segment_numbers.values().filter_map(|number| self.segment_at(*number))
    }

    /// The number of a segment, which is taken up if it was not known.
    pub(crate) fn segment_number(&mut self, segment: SegmentRef, seq: Seq, at: Timestamp) -> u32 {
        let fresh = SegmentUse {
            segment,
            live: 0,
            live_bytes: 0,
            records: 0,
            bytes: 0,
            since: seq,
            first: at,
            touched: at,
        };
        self.restore_segment(fresh)
    }

    /// Takes up a segment as it was known before; the number of one that is known already.
    pub(crate) fn restore_segment(&mut self, known: SegmentUse) -> u32 {
        if let Some(number) = self.segment_numbers.get(&known.segment) {
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.segments.push(None);
            number(self.segments.len() - 1)
        });
        if let Some(place) = self.segments.get_mut(number as usize) {
            *place = Some(known);
        }
        self.segment_numbers.insert(known.segment, number);
        number
    }

    /// Forgets a segment in which nothing lives.
    pub(crate) fn forget_segment(&mut self, segment: SegmentRef) {
        if let Some(number) = self.segment_numbers.remove(&segment)
            && let Some(place) = self.segments.get_mut(number as usize)
        {
            // I5: a segment is let go only when no message is in it.
            assert!(place.is_none_or(|known| known.live == 0), "a live segment is let go");
            *place = None;
            self.free.push(number);
        }
    }

    /// A message is in its segment from now on.
    pub(crate) fn entered(&mut self, row: &Packed) {
        if let Some(segment) = self.segment_at_mut(row.segment) {
            segment.live += 1;
            segment.live_bytes += u64::from(row.size);
        }
    }

    /// A message is in its segment no more.
    pub(crate) fn left(&mut self, row: &Packed, at: Timestamp) {
        if let Some(segment) = self.segment_at_mut(row.segment) {
            segment.live -= 1;
            segment.live_bytes -= u64::from(row.size);
            segment.touched = at;
        }
    }

    pub(crate) fn place(&self, row: &Packed) -> Place {
        self.segment_at(row.segment).map_or(Place::Inline, |known| {
            Place::Slot(Slot { segment: known.segment, index: row.index })
        })
    }

    /// Bytes of memory, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let flags: usize = self.flags.iter().map(|set| 96 + set.keywords().len() * 48).sum();
        flags + self.writers.len() * 64 + self.segments.len() * 160
    }
}
