//! Checkpoints: the state of an account in object storage, from which it opens in at most three
//! requests (docs/rules.md, *Reading*; docs/formats.md has every byte).
//!
//! A **root** names everything: mailboxes, tables, the window, what vanished, and the blocks of
//! messages. A **block** holds up to 1,024 messages of a mailbox by columns; it lies in a chunk
//! object, or in the root while it is young. A checkpoint shares the blocks of the one it replaces
//! [I] where they are unchanged, and keeps a few changed messages beside them in the root, so that
//! flags changed in a large mailbox do not write it anew. **Summaries** lie in chunks of their own,
//! by arrival, merged as they get many. **History**, the entries since the checkpoint before [Y],
//! stays for the restore window. Inline bodies are put into an account segment first [ζ].
//!
//! All here is pure: [`Planner`] says what to get and what to put, in which order, and the pointer
//! row to write then; [`Root`] says what to get and makes the state of it.

mod block;
mod history;
mod plan;
mod root;
mod summaries;
#[cfg(test)]
mod tests;

use std::ops::Range;

use engine::ObjectKey;
use mail::codec::{Malformed, Reader, put_varint};
use mail::{Account, Seq};

use crate::names;
use crate::place::ObjectNonce;

pub use history::{HISTORY_TRAILER_BYTES, decode_history, history_part};
pub use plan::{Plan, PlanError, Planner, Written};
pub use root::Root;

/// Most messages in one block.
const ROWS_MAX: usize = 1 << 17;

/// Compression of blocks, roots, summaries and history.
const LEVEL: i32 = 3;

/// Part of a chunk object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkPart {
    /// Seq of the checkpoint that put the object.
    pub seq: Seq,
    /// Nonce of that checkpoint.
    pub nonce: ObjectNonce,
    /// Which of its objects.
    pub number: u8,
    /// Where the part begins in it.
    pub offset: u32,
    /// How long it is.
    pub bytes: u32,
    /// CRC-32 of it.
    pub crc: u32,
}

impl ChunkPart {
    /// The object that it is a part of.
    #[must_use]
    pub fn key(&self, account: Account) -> ObjectKey {
        names::chunk(account, self.seq, self.nonce, self.number)
    }

    /// The bytes to get.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        let start = u64::from(self.offset);
        start..start + u64::from(self.bytes)
    }

    /// The object's name within the account.
    const fn object(&self) -> (Seq, ObjectNonce, u8) {
        (self.seq, self.nonce, self.number)
    }

    /// Whether these are its bytes.
    fn check(&self, bytes: &[u8]) -> Result<(), Malformed> {
        let same = bytes.len() == self.bytes as usize && crc32fast::hash(bytes) == self.crc;
        if same { Ok(()) } else { Err(Malformed("checkpoint: checksum of a chunk")) }
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.seq.0);
        out.extend_from_slice(&self.nonce.0);
        out.push(self.number);
        put_varint(out, u64::from(self.offset));
        put_varint(out, u64::from(self.bytes));
        out.extend_from_slice(&self.crc.to_be_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            seq: Seq(reader.varint()?),
            nonce: ObjectNonce(reader.array()?),
            number: reader.byte()?,
            offset: reader.varint32()?,
            bytes: reader.varint32()?,
            crc: u32::from_be_bytes(reader.array()?),
        })
    }
}

/// Summaries of a run of arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryChunk {
    /// First arrival in it.
    pub first: u32,
    /// One past the last.
    pub end: u32,
    /// Where it is.
    pub at: ChunkPart,
}

/// Ranges of one object that are to be got, in one request where the engine can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The object.
    pub key: ObjectKey,
    /// Ranges in order; none overlaps another.
    pub ranges: Vec<Range<u64>>,
}

/// Ranges this near each other are got as one.
const GAP_BYTES: u64 = 16 * 1024;

/// What to get so that all these parts are got; sorted by object, neighbours joined.
fn wanted(account: Account, parts: impl Iterator<Item = ChunkPart>) -> Vec<Wanted> {
    let mut parts: Vec<ChunkPart> = parts.collect();
    parts.sort_unstable();
    let mut wanted: Vec<Wanted> = Vec::new();
    for part in parts {
        let key = part.key(account);
        let range = part.range();
        match wanted.last_mut() {
            Some(last) if last.key == key => match last.ranges.last_mut() {
                Some(before) if range.start <= before.end + GAP_BYTES => {
                    before.end = before.end.max(range.end);
                }
                _ => last.ranges.push(range),
            },
            _ => wanted.push(Wanted { key, ranges: vec![range] }),
        }
    }
    wanted
}

/// What was got for [`wanted`], in its order.
struct Got<'a> {
    account: Account,
    wanted: &'a [Wanted],
    bytes: &'a [Vec<bytes::Bytes>],
}

impl Got<'_> {
    /// The verified bytes of a part.
    fn part(&self, part: &ChunkPart) -> Result<bytes::Bytes, Malformed> {
        let missing = Malformed("checkpoint: chunk was not got");
        let key = part.key(self.account);
        let at = self.wanted.iter().position(|wanted| wanted.key == key).ok_or(missing)?;
        let (wanted, got) = (&self.wanted[at], self.bytes.get(at).ok_or(missing)?);
        let range = part.range();
        let covers = |have: &Range<u64>| have.start <= range.start && range.end <= have.end;
        let at = wanted.ranges.iter().position(covers).ok_or(missing)?;
        let bytes = got.get(at).ok_or(missing)?;
        let start = range.start - wanted.ranges[at].start;
        let start = usize::try_from(start).map_err(|_| missing)?;
        let end = start + part.bytes as usize;
        if bytes.len() < end {
            return Err(missing);
        }
        let bytes = bytes.slice(start..end);
        part.check(&bytes)?;
        Ok(bytes)
    }
}
