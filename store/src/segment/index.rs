//! The head and the index of a segment.

use bytes::Bytes;
use engine::Nonce;
use mail::codec::{Malformed, Reader, put_bytes, put_varint};
use mail::{Envelope, RecordId, Timestamp, WriterId};

use super::body::Body;
use super::{
    ACCOUNT_SEGMENT_RECORDS_MAX, FRAME_BYTES, HEAD_BYTES, MAGIC, PREFIX_BYTES_MAX,
    VERDICTS_BYTES_MAX, VERSION,
};
use crate::change::{MESSAGE_BYTES_MAX, SUMMARY_BYTES_MAX};
use crate::packing;

/// Most bytes of an index: 1,000 records of 1,000 recipients would not fit a segment.
const INDEX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest encoded envelope: 1,000 recipients with ORCPT.
const ENVELOPE_BYTES_MAX: usize = 2 * 1024 * 1024;

const BIG: u8 = 1;
const PREFIX_ZSTD: u8 = 2;

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ingest/`: what one writer accepted.
    Ingest,
    /// `acct/…/s/`: records of one account.
    Account,
    /// `made/`: one record made by a function.
    Made,
    /// A number that is closed or ended: no records.
    Tombstone(Tombstone),
}

/// What stands at a number where no segment will ever be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstone {
    /// The number was closed: the writer puts that segment again under its next number [B].
    Closed,
    /// The writer was ended: it starts anew as another [γ].
    End,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Ingest,
        Self::Account,
        Self::Made,
        Self::Tombstone(Tombstone::Closed),
        Self::Tombstone(Tombstone::End),
    ];

    const fn number(self) -> u8 {
        match self {
            Self::Ingest => 0,
            Self::Account => 1,
            Self::Made => 2,
            Self::Tombstone(Tombstone::Closed) => 3,
            Self::Tombstone(Tombstone::End) => 4,
        }
    }
}

/// One frame of a body, or a prefix, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Stored bytes.
    pub stored: u32,
    /// Whether they are zstd.
    pub zstd: bool,
    /// CRC-32 of the stored bytes.
    pub crc: u32,
}

impl Frame {
    /// Packs raw bytes: zstd level 1 if that is smaller.
    pub(super) fn pack(raw: &[u8]) -> (Self, Bytes) {
        let packed = packing::smaller(raw, 1);
        let zstd = packed.is_some();
        let stored = packed.map_or_else(|| Bytes::copy_from_slice(raw), Bytes::from);
        let crc = crc32fast::hash(&stored);
        let length = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        (Self { stored: length, zstd, crc }, stored)
    }

    /// The raw bytes, if the stored ones are what was written and give `raw_bytes`.
    pub(super) fn unpack(&self, stored: &Bytes, raw_bytes: usize) -> Option<Bytes> {
        if u32::try_from(stored.len()) != Ok(self.stored) || crc32fast::hash(stored) != self.crc {
            return None;
        }
        let raw = if self.zstd {
            Bytes::from(packing::exactly(stored, raw_bytes)?)
        } else {
            stored.clone()
        };
        (raw.len() == raw_bytes).then_some(raw)
    }
}

/// Where the bytes of one record are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The record.
    pub id: RecordId,
    /// Where its prefix, and then its body, begin in the segment.
    pub(super) offset: u64,
    pub(super) prefix: Frame,
    pub(super) prefix_raw_bytes: u32,
    pub(super) body: Body,
    /// The `big/` object that holds the body, if the segment does not.
    pub(super) big: Option<RecordId>,
    /// SHA-256 of the raw body, then the prefix.
    pub(super) sha256: [u8; 32],
}

impl Location {
    /// Bytes of the prefix.
    #[must_use]
    pub const fn prefix_bytes(&self) -> u64 {
        self.prefix_raw_bytes as u64
    }

    /// Bytes of the message as received, without the prefix.
    #[must_use]
    pub const fn body_bytes(&self) -> u64 {
        self.body.raw_bytes
    }

    /// Bytes that a client reads: RFC822.SIZE.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.prefix_bytes() + self.body.raw_bytes
    }

    /// Bytes that it takes in a segment when it is copied into one.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        u64::from(self.prefix.stored) + self.body.stored_bytes()
    }

    /// The `big/` object with the body, if it is not in the segment.
    #[must_use]
    pub const fn big(&self) -> Option<RecordId> {
        self.big
    }

    /// SHA-256 of the raw body, then the prefix.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

/// The part of an index that reading needs: where each record's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locations {
    /// What the segment is.
    pub kind: Kind,
    /// Nonce of who put it.
    pub nonce: Nonce,
    /// Records in order.
    pub records: Vec<Location>,
}

/// One record of an index: all that `deliver` needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRecord {
    /// Where its bytes are.
    pub location: Location,
    /// When it was accepted, store time.
    pub received: Timestamp,
    /// Sender and recipients; none in account segments.
    pub envelope: Option<Envelope>,
    /// What the checks said.
    pub verdicts: Bytes,
    /// Encoded `mail::Summary`.
    pub summary: Bytes,
}

/// The whole index of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// What the segment is.
    pub kind: Kind,
    /// Nonce of who put it.
    pub nonce: Nonce,
    /// Records in order.
    pub records: Vec<IndexRecord>,
}

/// What the first bytes of a segment gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// All that was wanted.
    Whole(T),
    /// Get so many bytes from the start and try again.
    Short(u64),
}

/// What is at a key instead of a segment; `None` if it is a segment, or nothing of ours.
#[must_use]
pub fn tombstone(object: &[u8]) -> Option<Tombstone> {
    match Head::decode(object).ok()?.kind {
        Kind::Tombstone(tombstone) => Some(tombstone),
        _ => None,
    }
}

impl Locations {
    /// Reads from the first bytes of a segment.
    /// # Errors
    /// [`Malformed`]: damaged or of an unknown version. Never taken for "not there".
    pub fn read(start: &[u8]) -> Result<Read<Self>, Malformed> {
        let head = Head::decode(start)?;
        let Some(bytes) = start.get(HEAD_BYTES..HEAD_BYTES + head.locations_bytes) else {
            return Ok(Read::Short((HEAD_BYTES + head.locations_bytes) as u64));
        };
        if crc32fast::hash(bytes) != head.locations_crc {
            return Err(Malformed("segment: checksum of the locations"));
        }
        Ok(Read::Whole(head.locations(bytes)?))
    }
}

impl Index {
    /// Reads from the first bytes of a segment.
    /// # Errors
    /// [`Malformed`]: damaged or of an unknown version. Never taken for "not there".
    pub fn read(start: &Bytes) -> Result<Read<Self>, Malformed> {
        let head = Head::decode(start)?;
        let details_at = HEAD_BYTES + head.locations_bytes;
        let end = details_at + head.details_bytes;
        if start.len() < end {
            return Ok(Read::Short(end as u64));
        }
        let locations = match Locations::read(start)? {
            Read::Whole(locations) => locations,
            Read::Short(bytes) => return Ok(Read::Short(bytes)),
        };
        let details = start.slice(details_at..end);
        if crc32fast::hash(&details) != head.details_crc {
            return Err(Malformed("segment: checksum of the details"));
        }
        let mut reader = Reader::new(&details);
        let records = locations.records.into_iter();
        let records = records
            .map(|location| IndexRecord::take(location, &mut reader, &details))
            .collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Read::Whole(Self { kind: head.kind, nonce: head.nonce, records }))
    }

    /// The locations alone.
    #[must_use]
    pub fn locations(&self) -> Locations {
        let records = self.records.iter().map(|record| record.location.clone()).collect();
        Locations { kind: self.kind, nonce: self.nonce, records }
    }
}

impl IndexRecord {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.received.0);
        let envelope = self.envelope.as_ref().map(Envelope::encode);
        mail::codec::put_option(out, envelope.as_deref());
        put_bytes(out, &self.verdicts);
        put_bytes(out, &self.summary);
    }

    fn take(location: Location, reader: &mut Reader<'_>, all: &Bytes) -> Result<Self, Malformed> {
        let received = Timestamp(reader.varint()?);
        let envelope = reader.option(ENVELOPE_BYTES_MAX)?.map(Envelope::decode).transpose()?;
        let verdicts = all.slice_ref(reader.bytes(VERDICTS_BYTES_MAX)?);
        let summary = all.slice_ref(reader.bytes(SUMMARY_BYTES_MAX)?);
        Ok(Self { location, received, envelope, verdicts, summary })
    }
}

/// The first 40 bytes.
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) nonce: Nonce,
    pub(super) records: u32,
    pub(super) locations_bytes: usize,
    pub(super) locations_crc: u32,
    pub(super) details_bytes: usize,
    pub(super) details_crc: u32,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.kind.number(), 0, 0]);
        out.extend_from_slice(&self.nonce.0);
        out.extend_from_slice(&self.records.to_be_bytes());
        out.extend_from_slice(&length(self.locations_bytes));
        out.extend_from_slice(&self.locations_crc.to_be_bytes());
        out.extend_from_slice(&length(self.details_bytes));
        out.extend_from_slice(&self.details_crc.to_be_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(start: &[u8]) -> Result<Self, Malformed> {
        let head = start.get(..HEAD_BYTES).ok_or(Malformed("segment: too short"))?;
        let mut reader = Reader::new(head);
        if reader.array()? != MAGIC || reader.byte()? != VERSION {
            return Err(Malformed("segment: not one, or of an unknown version"));
        }
        let kind = reader.byte()?;
        let [0, 0] = reader.array()? else { return Err(Malformed("segment: head")) };
        let nonce = Nonce(reader.array()?);
        let mut number = || reader.array().map(u32::from_be_bytes);
        let (records, locations_bytes, locations_crc) = (number()?, number()?, number()?);
        let (details_bytes, details_crc, crc) = (number()?, number()?, number()?);
        if crc32fast::hash(head.get(..HEAD_BYTES - 4).unwrap_or_default()) != crc {
            return Err(Malformed("segment: checksum of the head"));
        }
        let kind = Kind::ALL.into_iter().find(|known| known.number() == kind);
        let (locations_bytes, details_bytes) = (locations_bytes as usize, details_bytes as usize);
        if locations_bytes > INDEX_BYTES_MAX || details_bytes > INDEX_BYTES_MAX {
            return Err(Malformed("segment: size of the index"));
        }
        let kind = kind.ok_or(Malformed("segment: kind"))?;
        Ok(Self {
            kind,
            nonce,
            records,
            locations_bytes,
            locations_crc,
            details_bytes,
            details_crc,
        })
    }

    fn locations(&self, bytes: &[u8]) -> Result<Locations, Malformed> {
        let mut reader = Reader::new(bytes);
        let writers = reader.count(ACCOUNT_SEGMENT_RECORDS_MAX * 2)?;
        let writers: Vec<WriterId> =
            (0..writers).map(|_| reader.array().map(WriterId)).collect::<Result<_, _>>()?;
        let count = self.records as usize;
        if count > ACCOUNT_SEGMENT_RECORDS_MAX || count > reader.rest().len() {
            return Err(Malformed("segment: records"));
        }
        // Records lie one after the other behind the index.
        let mut offset = (HEAD_BYTES + self.locations_bytes + self.details_bytes) as u64;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let location = Location::take(&mut reader, &writers, offset)?;
            offset += u64::from(location.prefix.stored);
            if location.big.is_none() {
                offset += location.body.stored_bytes();
            }
            records.push(location);
        }
        reader.end()?;
        Ok(Locations { kind: self.kind, nonce: self.nonce, records })
    }
}

/// Table of the writers that an index names.
#[derive(Default)]
pub(super) struct Writers(pub(super) Vec<WriterId>);

impl Writers {
    fn put(&mut self, out: &mut Vec<u8>, id: RecordId) {
        // Mostly one writer; at most as many as records.
        let at = self.0.iter().rposition(|known| *known == id.writer).unwrap_or_else(|| {
            self.0.push(id.writer);
            self.0.len() - 1
        });
        put_varint(out, at as u64);
        put_varint(out, id.counter);
    }
}

fn take_record(reader: &mut Reader<'_>, writers: &[WriterId]) -> Result<RecordId, Malformed> {
    let at = usize::try_from(reader.varint()?).map_err(|_| Malformed("segment: writer"))?;
    let writer = *writers.get(at).ok_or(Malformed("segment: writer"))?;
    Ok(RecordId { writer, counter: reader.varint()? })
}

impl Location {
    pub(super) fn put(&self, out: &mut Vec<u8>, writers: &mut Writers) {
        writers.put(out, self.id);
        let big = if self.big.is_some() { BIG } else { 0 };
        out.push(big | if self.prefix.zstd { PREFIX_ZSTD } else { 0 });
        if let Some(big) = self.big {
            writers.put(out, big);
        }
        put_varint(out, u64::from(self.prefix_raw_bytes));
        put_varint(out, u64::from(self.prefix.stored));
        out.extend_from_slice(&self.prefix.crc.to_be_bytes());
        put_varint(out, self.body.raw_bytes);
        for frame in &self.body.frames {
            // A frame is at most 256 KiB, so its length and flag are one number.
            put_varint(out, u64::from(frame.stored) << 1 | u64::from(frame.zstd));
            out.extend_from_slice(&frame.crc.to_be_bytes());
        }
        out.extend_from_slice(&self.sha256);
    }

    fn take(reader: &mut Reader<'_>, writers: &[WriterId], offset: u64) -> Result<Self, Malformed> {
        let id = take_record(reader, writers)?;
        let flags = reader.byte()?;
        if flags & !(BIG | PREFIX_ZSTD) != 0 {
            return Err(Malformed("segment: flags of a record"));
        }
        let big = (flags & BIG != 0).then(|| take_record(reader, writers)).transpose()?;
        let prefix_raw_bytes = reader.varint32()?;
        let stored = reader.varint32()?;
        let crc = u32::from_be_bytes(reader.array()?);
        let prefix = Frame { stored, zstd: flags & PREFIX_ZSTD != 0, crc };
        let raw_bytes = reader.varint()?;
        if prefix_raw_bytes as usize > PREFIX_BYTES_MAX || raw_bytes > MESSAGE_BYTES_MAX {
            return Err(Malformed("segment: size of a record"));
        }
        let count = frames_of(raw_bytes);
        if count > reader.rest().len() {
            return Err(Malformed("segment: frames"));
        }
        let mut frames = Vec::with_capacity(count);
        for _ in 0..count {
            let word = reader.varint32()?;
            let crc = u32::from_be_bytes(reader.array()?);
            frames.push(Frame { stored: word >> 1, zstd: word & 1 != 0, crc });
        }
        let sha256 = reader.array()?;
        let body = Body { frames, raw_bytes };
        Ok(Self { id, offset, prefix, prefix_raw_bytes, body, big, sha256 })
    }
}

/// How many frames a body of so many raw bytes has.
pub(super) fn frames_of(raw_bytes: u64) -> usize {
    usize::try_from(raw_bytes.div_ceil(FRAME_BYTES as u64)).unwrap_or(usize::MAX)
}
