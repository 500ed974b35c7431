//! Chunks of summaries.

use std::collections::BTreeMap;

use bytes::Bytes;
use mail::codec::{Malformed, Reader, put_bytes, put_varint};

use super::{LEVEL, SummaryChunk};
use crate::packing;

/// Most bytes of a chunk before compression.
const CHUNK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes of one summary in a chunk.
const SUMMARY_BYTES_MAX: usize = 128 * 1024;
/// Most arrivals of one chunk.
const ARRIVALS_MAX: u32 = 4_096;
/// Arrivals of a chunk of the lowest level.
const LOWEST: u32 = 64;
/// Chunks of one level that become one of the next.
const WIDTH: usize = 8;

impl SummaryChunk {
    /// The summaries in the chunk by arrival, as `mail::Summary::decode` reads them; those that
    /// nothing names any more are missing.
    /// # Errors
    /// [`Malformed`]: not the bytes that were written.
    pub fn decode(&self, bytes: &[u8]) -> Result<BTreeMap<u32, Bytes>, Malformed> {
        self.at.check(bytes)?;
        let all = Bytes::from(packing::unmark(bytes, CHUNK_BYTES_MAX)?);
        let mut reader = Reader::new(&all);
        let mut summaries = BTreeMap::new();
        let mut arrival = self.first;
        while !reader.is_empty() {
            arrival = arrival.checked_add(reader.varint32()?).ok_or(Malformed("arrival"))?;
            if arrival >= self.end {
                return Err(Malformed("checkpoint: summary out of its chunk"));
            }
            summaries.insert(arrival, all.slice_ref(reader.bytes(SUMMARY_BYTES_MAX)?));
        }
        Ok(summaries)
    }
}

/// The bytes of a chunk of these summaries, the first arrival of which is `first` or later. Each is
/// stored without its own compression: together they take half of the space.
pub(super) fn encode<'a>(
    first: u32,
    summaries: impl Iterator<Item = (&'a u32, &'a Bytes)>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = first;
    for (arrival, summary) in summaries {
        put_varint(&mut out, u64::from(arrival - before));
        match mail::Summary::uncompressed(summary) {
            Ok(raw) => put_bytes(&mut out, &raw),
            // From another chunk, or of a kind that this code does not know: as it is.
            Err(_) => put_bytes(&mut out, summary),
        }
        before = *arrival;
    }
    packing::marked(&out, LEVEL)
}

/// How many of the last chunks are to be merged into one; 0: none.
pub(super) fn to_merge(chunks: &[SummaryChunk]) -> usize {
    let arrivals = |chunk: &SummaryChunk| chunk.end - chunk.first;
    let level = |chunk: &SummaryChunk| arrivals(chunk).div_ceil(LOWEST).max(1).ilog(8);
    let Some(last) = chunks.last() else { return 0 };
    let same = chunks.iter().rev().take_while(|chunk| level(chunk) <= level(last)).count();
    let count = same.min(WIDTH);
    let sum: u32 = chunks.iter().rev().take(count).map(arrivals).sum();
    if count == WIDTH && sum <= ARRIVALS_MAX { WIDTH } else { 0 }
}
