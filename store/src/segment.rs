//! Segments: immutable objects that hold records (docs/formats.md; docs/formats.md has every
//! byte).
//!
//! ```text
//! head (40 bytes) · index: locations, details · per record: prefix frame, body frames
//! ```
//!
//! The index comes first, so that one range read from the start, of [`HEAD_BYTES_GUESS`] bytes,
//! usually gets it without knowing how long the object is (docs/decisions/0010). Bodies are cut
//! into frames of 256 KiB, each compressed only if that makes it smaller, each with its own CRC: a
//! partial read gets and verifies whole frames. Ingest segments, account segments, what functions
//! made, and tombstones share the format.

mod body;
mod build;
mod copy;
mod index;
mod read;
#[cfg(test)]
mod tests;

pub use body::{BIG_FRAMES_AT, Body, Framer, NewBody, big_head};
pub use build::{Builder, NewRecord, tombstone_object};
pub use copy::Copying;
pub use index::{Frame, Index, IndexRecord, Kind, Location, Locations, Read, Tombstone, tombstone};
pub use read::{Reading, SegmentDamaged};

/// Most bytes of an ingest segment before the last record that is added.
pub const SEGMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most bytes of an account segment.
pub const ACCOUNT_SEGMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most records of an ingest segment.
pub const SEGMENT_RECORDS_MAX: usize = 1_000;

/// Most records of an account segment.
pub const ACCOUNT_SEGMENT_RECORDS_MAX: usize = 65_536;

/// Most recipients of an ingest segment of more than one record: were each a `fan` item of its own,
/// they would fit one plan.
pub const SEGMENT_RECIPIENTS_MAX: usize = 400;

/// A message from this size on gets an object of its own.
pub const BIG_FROM_BYTES: u64 = 1024 * 1024;

/// Raw bytes of a frame; the last of a body may be shorter.
pub const FRAME_BYTES: usize = 256 * 1024;

/// Most bytes of the checks' verdicts of a record.
pub const VERDICTS_BYTES_MAX: usize = 4 * 1024;

/// Most bytes of a prefix: the header fields that are known only at the end.
pub const PREFIX_BYTES_MAX: usize = 64 * 1024;

/// How much to get from the start of a segment whose index is wanted.
pub const HEAD_BYTES_GUESS: u64 = 64 * 1024;

const MAGIC: [u8; 4] = *b"PSEG";
const BIG_MAGIC: [u8; 4] = *b"PBIG";
/// Version of both formats.
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 40;
