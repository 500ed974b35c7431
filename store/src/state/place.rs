//! What compaction and deletion ask the state: which records are where, and what was let go.

use std::collections::BTreeMap;

use mail::{RecordId, Seq, Timestamp};

use super::tables::SegmentUse;
use super::{Fences, State, Windowed};
use crate::place::{ObjectNonce, SegmentRef, Slot};

/// Something that *release* or *drop* let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LetGo {
    /// A segment: an ingest or made one by *release*, an account's by *drop*.
    Segment(SegmentRef),
    /// An entry's body.
    EntryBody(ObjectNonce),
}

/// Whether something was let go while somebody was not looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It was not.
    No,
    /// It was: append nothing that names it [D, F, G].
    LetGo,
    /// So many entries passed that it is not known: start again [D].
    Lapped,
}

/// A record of this account in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Its number there.
    pub slot: Slot,
    /// Number of its arrival.
    pub arrival: u32,
    /// The record.
    pub record: RecordId,
    /// Its size.
    pub bytes: u64,
    /// Whether a message of it lives. Others were expunged, and are still to be kept for the
    /// restore window [Y].
    pub live: bool,
}

/// How much of an account lies in ingest segments (and in objects that functions made).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestLoad {
    /// Segments.
    pub segments: usize,
    /// Records, expunged ones too.
    pub records: u64,
    /// Their sizes.
    pub bytes: u64,
    /// Time of the oldest delivery among them.
    pub oldest: Option<Timestamp>,
}

impl IngestLoad {
    /// Records from which compaction is due.
    pub const RECORDS_DUE: u64 = 64;
    /// Bytes from which compaction is due.
    pub const BYTES_DUE: u64 = 4 * 1024 * 1024;

    /// Whether compaction is due for its amount [S]; at the latest it is 30 days after acceptance.
    #[must_use]
    pub const fn is_due(&self) -> bool {
        self.records >= Self::RECORDS_DUE || self.bytes >= Self::BYTES_DUE
    }
}

impl State {
    /// All segments that this state names, in their order: what may not be deleted (I5).
    pub fn segments(&self) -> impl Iterator<Item = &SegmentUse> {
        self.tables.segments()
    }

    /// What is known of one segment; `None`: this account names it nowhere.
    #[must_use]
    pub fn segment(&self, segment: SegmentRef) -> Option<&SegmentUse> {
        self.tables.segment(segment)
    }

    /// How much lies in segments that are to be released.
    #[must_use]
    pub fn ingest_load(&self) -> IngestLoad {
        let mut load = IngestLoad::default();
        for known in self.tables.segments().filter(|known| known.segment.is_released()) {
            load.segments += 1;
            load.records += known.records;
            load.bytes += known.bytes;
            load.oldest = Some(load.oldest.map_or(known.first, |oldest| oldest.min(known.first)));
        }
        load
    }

    /// Every record of this account in the segments for which `wanted` is true: what compaction
    /// copies. Sorted by slot, each record once. Costs a walk over the messages.
    #[must_use]
    pub fn held(&self, wanted: impl Fn(SegmentRef) -> bool) -> Vec<Held> {
        let mut held = Vec::new();
        for row in self.mailboxes.values().flat_map(|mailbox| mailbox.messages.iter()) {
            let Some(known) = self.tables.segment_at(row.segment) else { continue };
            if wanted(known.segment) {
                held.push(Held {
                    slot: Slot { segment: known.segment, index: row.index },
                    arrival: row.arrival,
                    record: self.tables.record(row),
                    bytes: u64::from(row.size),
                    live: true,
                });
            }
        }
        held.sort_unstable();
        held.dedup();
        self.add_expunged(&wanted, &mut held);
        held.sort_unstable();
        held
    }

    /// Adds what was delivered from these segments and lives nowhere any more.
    fn add_expunged(&self, wanted: &impl Fn(SegmentRef) -> bool, held: &mut Vec<Held>) {
        let mut gone: BTreeMap<u32, Held> = self
            .window
            .iter()
            .filter(|(_, windowed)| wanted(windowed.slot.segment))
            .map(|(record, windowed)| {
                let Windowed { slot, arrival, size } = *windowed;
                let bytes = u64::from(size);
                (arrival, Held { slot, arrival, record: *record, bytes, live: false })
            })
            .collect();
        let rows = self.mailboxes.values().flat_map(|mailbox| mailbox.messages.iter());
        rows.for_each(|row| {
            gone.remove(&row.arrival);
        });
        held.extend(gone.into_values());
    }

    /// Whether `what` was let go by an entry after `since`: what an appender asks that last looked
    /// at `since` and wants to name it.
    #[must_use]
    pub fn met(&self, since: Seq, what: LetGo) -> Met {
        if self.fences.has_since(since, what) {
            return Met::LetGo;
        }
        if Fences::is_lapped(since, self.seq) { Met::Lapped } else { Met::No }
    }

    /// Whether a segment was let go by one of the last 128 entries.
    pub(crate) fn was_let_go(&self, segment: SegmentRef) -> bool {
        self.fences.has_since(Seq(0), LetGo::Segment(segment))
    }
}
