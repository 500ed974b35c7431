//! Messages as a checkpoint keeps them: a column for each attribute, differences where neighbours
//! are alike, then zstd. A block stands for itself: it has tables of the flag sets, writers and
//! segments that it names.

use std::collections::BTreeMap;

use mail::WriterId;
use mail::codec::{Malformed, Reader, put_signed, put_varint};
use mail::flags::FlagSet;

use super::{LEVEL, ROWS_MAX};
use crate::packing;
use crate::place::SegmentRef;
use crate::state::messages::Packed;
use crate::state::tables::Tables;

/// Most bytes of a block before compression.
const BLOCK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Numbers given in the order of first use.
struct Numbers(BTreeMap<u32, u64>, Vec<u32>);

impl Numbers {
    const fn new() -> Self {
        Self(BTreeMap::new(), Vec::new())
    }

    fn of(&mut self, number: u32) -> u64 {
        let next = self.1.len() as u64;
        *self.0.entry(number).or_insert_with(|| {
            self.1.push(number);
            next
        })
    }
}

/// Differences of one column.
struct Deltas(u64);

impl Deltas {
    fn put(&mut self, out: &mut Vec<u8>, value: u64) {
        put_signed(out, value.wrapping_sub(self.0).cast_signed());
        self.0 = value;
    }

    fn take(&mut self, reader: &mut Reader<'_>) -> Result<u64, Malformed> {
        self.0 = self.0.wrapping_add(reader.signed()?.cast_unsigned());
        Ok(self.0)
    }

    fn take32(&mut self, reader: &mut Reader<'_>) -> Result<u32, Malformed> {
        u32::try_from(self.take(reader)?).map_err(|_| Malformed("checkpoint: number"))
    }
}

/// The block of these rows.
pub(super) fn encode<'a>(
    rows: impl Iterator<Item = &'a Packed> + Clone,
    tables: &Tables,
) -> Vec<u8> {
    let (mut flags, mut writers, mut segments) = (Numbers::new(), Numbers::new(), Numbers::new());
    let mut columns = Vec::new();
    let column = |put: &mut dyn FnMut(&mut Vec<u8>, &Packed)| {
        let mut out = Vec::new();
        rows.clone().for_each(|row| put(&mut out, row));
        out
    };
    let deltas = |get: fn(&Packed) -> u64| {
        let mut deltas = Deltas(0);
        column(&mut |out, row| deltas.put(out, get(row)))
    };
    columns.push(deltas(|row| u64::from(row.uid)));
    columns.push(deltas(|row| row.modseq));
    columns.push(column(&mut |out, row| put_varint(out, flags.of(row.flags))));
    columns.push(column(&mut |out, row| put_varint(out, u64::from(row.size))));
    columns.push(deltas(|row| u64::from(row.date)));
    columns.push(column(&mut |out, row| put_varint(out, writers.of(row.writer))));
    let mut counters: BTreeMap<u32, Deltas> = BTreeMap::new();
    columns.push(column(&mut |out, row| {
        counters.entry(row.writer).or_insert(Deltas(0)).put(out, row.counter);
    }));
    columns.push(column(&mut |out, row| put_varint(out, segments.of(row.segment))));
    columns.push(deltas(|row| u64::from(row.index)));
    columns.push(deltas(|row| u64::from(row.arrival)));
    let mut out = Vec::new();
    put_varint(&mut out, rows.clone().count() as u64);
    put_varint(&mut out, flags.1.len() as u64);
    flags.1.iter().for_each(|number| tables.flags(*number).encode(&mut out));
    put_varint(&mut out, writers.1.len() as u64);
    writers.1.iter().for_each(|number| out.extend_from_slice(&tables.writer(*number).0));
    put_varint(&mut out, segments.1.len() as u64);
    for number in &segments.1 {
        // Inline bodies have a place before a checkpoint is made.
        let known = tables.segment_at(*number).expect("every message of a checkpoint has a place");
        known.segment.put(&mut out);
    }
    columns.iter().for_each(|column| out.extend_from_slice(column));
    packing::marked(&out, LEVEL)
}

/// Reads what [`encode`] wrote; numbers are those of `tables`.
pub(super) fn decode(bytes: &[u8], tables: &mut Tables) -> Result<Vec<Packed>, Malformed> {
    let raw = packing::unmark(bytes, BLOCK_BYTES_MAX)?;
    let mut reader = Reader::new(&raw);
    let r = &mut reader;
    let count = r.count(ROWS_MAX)?;
    let flags = r.count(count)?;
    let flags: Vec<u32> = (0..flags)
        .map(|_| FlagSet::decode(r).map(|set| tables.flags_number(&set)))
        .collect::<Result<_, _>>()?;
    let writers = r.count(count)?;
    let writers: Vec<u32> = (0..writers)
        .map(|_| r.array().map(|id| tables.writer_number(WriterId(id))))
        .collect::<Result<_, _>>()?;
    let segments = r.count(count)?;
    let segments: Vec<u32> = (0..segments)
        .map(|_| {
            let segment = SegmentRef::take(r)?;
            tables.known_segment(segment).ok_or(Malformed("checkpoint: unknown segment"))
        })
        .collect::<Result<_, _>>()?;
    let empty = Packed {
        modseq: 0,
        counter: 0,
        uid: 0,
        flags: 0,
        size: 0,
        date: 0,
        writer: 0,
        segment: 0,
        index: 0,
        arrival: 0,
    };
    let mut rows = vec![empty; count];
    take_deltas(r, &mut rows, |row| &mut row.uid)?;
    let mut modseqs = Deltas(0);
    for row in &mut rows {
        row.modseq = modseqs.take(r)?;
    }
    take_numbers(r, &mut rows, &flags, |row| &mut row.flags)?;
    for row in &mut rows {
        row.size = r.varint32()?;
    }
    take_deltas(r, &mut rows, |row| &mut row.date)?;
    take_numbers(r, &mut rows, &writers, |row| &mut row.writer)?;
    let mut counters: BTreeMap<u32, Deltas> = BTreeMap::new();
    for row in &mut rows {
        row.counter = counters.entry(row.writer).or_insert(Deltas(0)).take(r)?;
    }
    take_numbers(r, &mut rows, &segments, |row| &mut row.segment)?;
    take_deltas(r, &mut rows, |row| &mut row.index)?;
    take_deltas(r, &mut rows, |row| &mut row.arrival)?;
    r.end()?;
    Ok(rows)
}

fn take_deltas(
    reader: &mut Reader<'_>,
    rows: &mut [Packed],
    field: fn(&mut Packed) -> &mut u32,
) -> Result<(), Malformed> {
    let mut deltas = Deltas(0);
    rows.iter_mut().try_for_each(|row| {
        *field(row) = deltas.take32(reader)?;
        Ok(())
    })
}

fn take_numbers(
    reader: &mut Reader<'_>,
    rows: &mut [Packed],
    table: &[u32],
    field: fn(&mut Packed) -> &mut u32,
) -> Result<(), Malformed> {
    rows.iter_mut().try_for_each(|row| {
        let number = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        *field(row) = *table.get(number).ok_or(Malformed("checkpoint: number"))?;
        Ok(())
    })
}
