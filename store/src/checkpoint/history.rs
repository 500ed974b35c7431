//! Entries since the checkpoint before: what undelete and restore read [Y].

use std::collections::BTreeMap;

use bytes::Bytes;
use mail::codec::{Malformed, Reader, put_bytes, put_option};
use mail::{RecordId, Seq};

use super::{ChunkPart, LEVEL};
use crate::change::{ArrivalPlace, Change};
use crate::entry::{Decoded, Entry};
use crate::packing;
use crate::place::{ObjectNonce, Slot};

/// Most bytes of a checkpoint's history before compression: 128 entries.
const HISTORY_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes at the end of a chunk object with history.
pub const HISTORY_TRAILER_BYTES: u64 = 12;
const TRAILER_MARK: [u8; 4] = *b"PHST";
/// Most bytes of one entry's row, and of its body.
const ENTRY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The entries as they were, but for inline bodies: those are named by the place they got.
/// `None` if one of them cannot be encoded, which cannot be for an entry that was read.
pub(super) fn encode(entries: &[Entry], places: &BTreeMap<RecordId, Slot>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for entry in entries {
        let mut entry = entry.clone();
        if let Change::Append(arrivals) = &mut entry.change {
            for arrival in arrivals {
                if matches!(arrival.place, ArrivalPlace::Inline(_)) {
                    arrival.place = ArrivalPlace::Slot(*places.get(&arrival.record)?);
                }
            }
        }
        let encoded = entry.encode(ObjectNonce([0; 8])).ok()?;
        put_bytes(&mut out, &encoded.row);
        put_option(&mut out, encoded.object.as_ref().map(|(_, body)| &body[..]));
    }
    Some(packing::marked(&out, LEVEL))
}

/// Ends a chunk object that holds history: length and CRC of its last part, and a mark. Roots come
/// and go, history stays for the restore window [Y], so its object says itself where it is.
pub(super) fn trailer(history: &ChunkPart) -> [u8; 12] {
    let mut out = [0; 12];
    let numbers = history.bytes.to_be_bytes().into_iter().chain(history.crc.to_be_bytes());
    out.iter_mut().zip(numbers.chain(TRAILER_MARK)).for_each(|(to, byte)| *to = byte);
    out
}

/// Where the history lies in a chunk object of that many bytes, by its last
/// [`HISTORY_TRAILER_BYTES`]; `None` if they are not what [`trailer`] wrote.
#[must_use]
pub fn history_part(
    seq: Seq,
    nonce: ObjectNonce,
    object_bytes: u64,
    trailer: &[u8],
) -> Option<ChunkPart> {
    let mut reader = Reader::new(trailer);
    let bytes = u32::from_be_bytes(reader.array().ok()?);
    let crc = u32::from_be_bytes(reader.array().ok()?);
    if reader.array() != Ok(TRAILER_MARK) || !reader.is_empty() {
        return None;
    }
    let offset = object_bytes.checked_sub(HISTORY_TRAILER_BYTES)?.checked_sub(u64::from(bytes))?;
    Some(ChunkPart { seq, nonce, number: 0, offset: u32::try_from(offset).ok()?, bytes, crc })
}

/// Reads the history of a checkpoint ([`super::Root::history`]): entries in order.
/// # Errors
/// [`Malformed`]: not the bytes that were written.
pub fn decode_history(part: &ChunkPart, bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    part.check(bytes)?;
    let raw = packing::unmark(bytes, HISTORY_BYTES_MAX)?;
    let mut reader = Reader::new(&raw);
    let mut entries = Vec::new();
    while !reader.is_empty() {
        let row = Bytes::copy_from_slice(reader.bytes(ENTRY_BYTES_MAX)?);
        let body = reader.option(ENTRY_BYTES_MAX)?;
        entries.push(match (Entry::decode(&row)?, body) {
            (Decoded::Whole(entry), None) => entry,
            (Decoded::Pending(pending), Some(body)) => pending.finish(body)?,
            _ => return Err(Malformed("checkpoint: history")),
        });
    }
    Ok(entries)
}
