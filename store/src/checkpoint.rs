//! Checkpoints: the state of an account in object storage.

use engine::ObjectKey;
use mail::{Account, Seq};

use crate::names;
use crate::place::ObjectNonce;

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
    pub fn range(&self) -> std::ops::Range<u64> {
        let start = u64::from(self.offset);
        start..start + u64::from(self.bytes)
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
