//! One entry of an account's log: a header of fixed size and the encoded [`Change`] (docs/rules.md,
//! *Entry*; docs/formats.md has every byte).
//!
//! The row's version is the entry's seq, and the header repeats it. The body is in the row up to
//! 8 KiB, else in an object put before the row. Bodies of small APPENDs ride behind it.

mod body;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use engine::{Nonce, VALUE_BYTES_MAX};
use mail::codec::{Malformed, Reader, put_bytes, put_varint};
use mail::{Seq, Timestamp};

use crate::change::Change;
use crate::packing;
use crate::place::ObjectNonce;

/// Entry format written by this version of the code. Replay of a version never changes [V].
pub const ENTRY_VERSION: u8 = 1;

/// Most stored bytes of a body in the row; a larger one is an object.
pub const BODY_ROW_BYTES_MAX: usize = 8 * 1024;

/// Most bytes of a body before compression, in the row or in an object (I8).
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of the header with its checksum.
const HEADER_BYTES: usize = 42;

/// Bodies from this size on are compressed if that makes them smaller.
const COMPRESS_FROM: usize = 512;

const IN_OBJECT: u8 = 1;
const ZSTD: u8 = 2;

/// Running totals of an account [R]: what quota is decided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages in all mailboxes; below 2^40.
    pub messages: u64,
    /// Their sizes in all; below 2^48.
    pub bytes: u64,
}

/// Which kind of change an entry holds; readable without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "as the variants of Change")]
pub enum Kind {
    Deliver = 1,
    Append = 2,
    Flags = 3,
    Expunge = 4,
    Copy = 5,
    Mailbox = 6,
    Reloc = 7,
    Release = 8,
    Drop = 9,
    Effect = 10,
    Fence = 11,
    Open = 12,
    Void = 13,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Deliver,
        Self::Append,
        Self::Flags,
        Self::Expunge,
        Self::Copy,
        Self::Mailbox,
        Self::Reloc,
        Self::Release,
        Self::Drop,
        Self::Effect,
        Self::Fence,
        Self::Open,
        Self::Void,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One entry of an account's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log, the version of its row, and the modseq of what it changed.
    pub seq: Seq,
    /// Of the appender: tells an own entry from a foreign one [M].
    pub nonce: Nonce,
    /// Store time: shown, never ordered by (I10).
    pub time: Timestamp,
    /// Totals after it [R].
    pub totals: Totals,
    /// What happened.
    pub change: Change,
}

/// What an entry's row says without its body: enough for finding the head and for quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// See [`Entry::seq`].
    pub seq: Seq,
    /// See [`Entry::nonce`].
    pub nonce: Nonce,
    /// See [`Entry::time`].
    pub time: Timestamp,
    /// See [`Entry::totals`].
    pub totals: Totals,
    /// Kind of its change.
    pub kind: Kind,
    /// Lowest entry version that who appends after this entry must be able to write.
    pub min_writer: u8,
    /// Format version of this entry.
    pub version: u8,
}

/// An entry made ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Value of the row, at most [`VALUE_BYTES_MAX`].
    pub row: Bytes,
    /// The body, if it is too large for the row: put it first, under `names::entry` of this nonce.
    pub object: Option<(ObjectNonce, Bytes)>,
}

/// The change does not fit one entry. Split it (arrivals: fewer in one; a set of UIDs: in parts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("change too large for one entry")]
pub struct EntryTooLarge;

/// What a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The whole entry.
    Whole(Entry),
    /// All but the body, which is in an object: get it, then [`Pending::finish`].
    Pending(Pending),
}

/// An entry whose body is in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    header: Header,
    zstd: bool,
    object: ObjectNonce,
    bytes: u32,
    crc: u32,
    inline: Bytes,
}

impl Entry {
    /// The entry as a row, and the object of its body if that needs one, to be named `object`.
    /// # Errors
    /// [`EntryTooLarge`]: nothing can be written; the change must be split.
    pub fn encode(&self, object: ObjectNonce) -> Result<Encoded, EntryTooLarge> {
        let mut inline = Vec::new();
        let mut body = body::encode(&self.change, &mut inline).ok_or(EntryTooLarge)?;
        if body.len() > BODY_BYTES_MAX {
            return Err(EntryTooLarge);
        }
        let mut flags = 0;
        if body.len() >= COMPRESS_FROM
            && let Some(packed) = packing::smaller(&body, 1)
        {
            body = packed;
            flags |= ZSTD;
        }
        let mut row = self.header(flags).ok_or(EntryTooLarge)?;
        let object = if body.len() <= BODY_ROW_BYTES_MAX {
            put_bytes(&mut row, &body);
            None
        } else {
            if let Some(byte) = row.get_mut(FLAGS_AT) {
                *byte |= IN_OBJECT;
            }
            row.extend_from_slice(&object.0);
            put_varint(&mut row, body.len() as u64);
            row.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
            Some((object, Bytes::from(body)))
        };
        row.extend_from_slice(&inline);
        if row.len() > VALUE_BYTES_MAX {
            return Err(EntryTooLarge);
        }
        let crc = row_crc(&row);
        row.splice(CRC_AT..HEADER_BYTES, crc.to_be_bytes());
        Ok(Encoded { row: Bytes::from(row), object })
    }

    /// The header with room for its checksum; `None` if a total is out of range.
    fn header(&self, flags: u8) -> Option<Vec<u8>> {
        let mut row = Vec::with_capacity(1024);
        row.push(ENTRY_VERSION);
        row.push(self.change.kind() as u8);
        row.extend_from_slice(&self.nonce.0);
        row.extend_from_slice(&self.seq.0.to_be_bytes());
        row.extend_from_slice(&self.time.0.to_be_bytes());
        row.extend_from_slice(&low_bytes::<5>(self.totals.messages)?);
        row.extend_from_slice(&low_bytes::<6>(self.totals.bytes)?);
        row.push(ENTRY_VERSION << 4 | flags);
        row.extend_from_slice(&[0; 4]);
        Some(row)
    }

    /// Reads the value of an entry's row.
    /// # Errors
    /// [`Malformed`]: damaged, or of a version this code does not know. The account stops [U].
    pub fn decode(row: &Bytes) -> Result<Decoded, Malformed> {
        let header = Header::decode(row)?;
        let flags = row.get(FLAGS_AT).copied().unwrap_or_default() & 0x0f;
        if flags & !(IN_OBJECT | ZSTD) != 0 {
            return Err(Malformed("entry flags"));
        }
        if row_crc(row).to_be_bytes() != *row.get(CRC_AT..HEADER_BYTES).unwrap_or_default() {
            return Err(Malformed("entry: checksum"));
        }
        let mut reader = Reader::new(row.get(HEADER_BYTES..).unwrap_or_default());
        let zstd = flags & ZSTD != 0;
        if flags & IN_OBJECT == 0 {
            let stored = reader.bytes(BODY_ROW_BYTES_MAX)?;
            let body = unpack(stored, zstd)?;
            return Self::assemble(header, &body, row.slice_ref(reader.rest())).map(Decoded::Whole);
        }
        let object = ObjectNonce(reader.array()?);
        let bytes = reader.varint32()?;
        let crc = u32::from_be_bytes(reader.array()?);
        let inline = row.slice_ref(reader.rest());
        Ok(Decoded::Pending(Pending { header, zstd, object, bytes, crc, inline }))
    }

    fn assemble(header: Header, body: &[u8], inline: Bytes) -> Result<Self, Malformed> {
        let change = body::decode(header.kind, body, inline)?;
        let Header { seq, nonce, time, totals, .. } = header;
        Ok(Self { seq, nonce, time, totals, change })
    }
}

impl Header {
    /// Reads only the header of an entry's row. Cheap; the checksum of the row is not compared.
    /// # Errors
    /// [`Malformed`]: damaged, or of a version this code does not know.
    pub fn decode(row: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(row);
        let version = reader.byte()?;
        if version != ENTRY_VERSION {
            return Err(Malformed("entry: unknown version"));
        }
        let kind = Kind::from_byte(reader.byte()?).ok_or(Malformed("entry: unknown kind"))?;
        let nonce = Nonce(reader.array()?);
        let seq = Seq(u64::from_be_bytes(reader.array()?));
        let time = Timestamp(u64::from_be_bytes(reader.array()?));
        let messages = from_low_bytes(reader.array::<5>()?);
        let bytes = from_low_bytes(reader.array::<6>()?);
        let min_writer = reader.byte()? >> 4;
        let totals = Totals { messages, bytes };
        Ok(Self { seq, nonce, time, totals, kind, min_writer, version })
    }
}

impl Pending {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Names the object with the body: `names::entry`.
    #[must_use]
    pub const fn object(&self) -> ObjectNonce {
        self.object
    }

    /// The whole entry, given the object's bytes.
    /// # Errors
    /// [`Malformed`]: not the bytes that were written. The account stops [U].
    pub fn finish(&self, object: &[u8]) -> Result<Entry, Malformed> {
        if u32::try_from(object.len()) != Ok(self.bytes) || crc32fast::hash(object) != self.crc {
            return Err(Malformed("entry: body object"));
        }
        let body = unpack(object, self.zstd)?;
        Entry::assemble(self.header, &body, self.inline.clone())
    }
}

impl Change {
    /// Its kind, as the header says it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Deliver(_) => Kind::Deliver,
            Self::Append(_) => Kind::Append,
            Self::Flags { .. } => Kind::Flags,
            Self::Expunge { .. } => Kind::Expunge,
            Self::Copy { .. } => Kind::Copy,
            Self::Mailbox(_) => Kind::Mailbox,
            Self::Reloc { .. } => Kind::Reloc,
            Self::Release { .. } => Kind::Release,
            Self::Drop { .. } => Kind::Drop,
            Self::Effect(_) => Kind::Effect,
            Self::Fence { .. } => Kind::Fence,
            Self::Open { .. } => Kind::Open,
            Self::Void { .. } => Kind::Void,
        }
    }
}

const FLAGS_AT: usize = 37;
const CRC_AT: usize = 38;

/// CRC-32 of a row without the four bytes that hold it.
fn row_crc(row: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(row.get(..CRC_AT).unwrap_or_default());
    hasher.update(row.get(HEADER_BYTES..).unwrap_or_default());
    hasher.finalize()
}

fn unpack(stored: &[u8], zstd: bool) -> Result<Vec<u8>, Malformed> {
    if zstd { packing::unpack(stored, BODY_BYTES_MAX) } else { Ok(stored.to_vec()) }
}

/// The low `N` bytes, big-endian; `None` if the number needs more.
fn low_bytes<const N: usize>(number: u64) -> Option<[u8; N]> {
    let bytes = number.to_be_bytes();
    let (high, low) = bytes.split_at_checked(8 - N)?;
    if high.iter().any(|byte| *byte != 0) { None } else { low.try_into().ok() }
}

fn from_low_bytes<const N: usize>(bytes: [u8; N]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
