//! Where a record's bytes are.
//!
//! A place is a segment and the record's number in it; the segment's own index says which bytes
//! (or which `big/` object) that is, so that places stay small and never change when formats do.

use std::fmt;

use mail::codec::{Malformed, Reader, put_varint};
use mail::{RecordId, WriterId};

/// The name of an object made by a function, or of an account segment, or of the body of an entry:
/// random bytes, fresh for each object, never content-addressed [I].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectNonce(pub [u8; 8]);

impl fmt::Display for ObjectNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ObjectNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An object that holds records and that an account's log may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentRef {
    /// `ingest/<writer>/<number>`: of many accounts. Let go by *release*.
    Ingest {
        /// The writer; a link is one too.
        writer: WriterId,
        /// Its number, from 1.
        number: u64,
    },
    /// `made/<id>`: one record made by a function, its id derived. Let go by *release*.
    Made {
        /// Id of the object and of its only record.
        id: RecordId,
    },
    /// `acct/…/s/<nonce>`: of this account only. Let go by *drop*.
    Account {
        /// Names the object within the account.
        nonce: ObjectNonce,
    },
}

impl SegmentRef {
    /// Whether *release* lets it go (else *drop* does). Records in such a segment are in the
    /// window until then [J].
    #[must_use]
    pub const fn is_released(&self) -> bool {
        matches!(self, Self::Ingest { .. } | Self::Made { .. })
    }

    /// Writes it in full.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ingest { writer, number } => {
                out.push(0);
                out.extend_from_slice(&writer.0);
                put_varint(out, *number);
            }
            Self::Made { id } => {
                out.push(1);
                out.extend_from_slice(&id.to_bytes());
            }
            Self::Account { nonce } => {
                out.push(2);
                out.extend_from_slice(&nonce.0);
            }
        }
    }

    /// Reads [`Self::put`].
    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.byte()? {
            0 => Self::Ingest { writer: WriterId(reader.array()?), number: reader.varint()? },
            1 => {
                let id = RecordId::from_bytes(reader.take(24)?).ok_or(Malformed("record id"))?;
                Self::Made { id }
            }
            2 => Self::Account { nonce: ObjectNonce(reader.array()?) },
            _ => return Err(Malformed("segment")),
        })
    }
}

/// A record within a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The segment.
    pub segment: SegmentRef,
    /// Number of the record in the segment's index, from 0.
    pub index: u32,
}

/// Where a message's bytes are, as the state knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a segment.
    Slot(Slot),
    /// In the entry that appended it, and so in the state's memory: `State::inline`. It moves to
    /// an account segment with the next checkpoint [ζ].
    Inline,
}

impl Place {
    /// The slot, unless the bytes are inline.
    #[must_use]
    pub const fn slot(&self) -> Option<Slot> {
        match self {
            Self::Slot(slot) => Some(*slot),
            Self::Inline => None,
        }
    }
}
