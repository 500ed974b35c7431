//! Putting a segment together.

use bytes::Bytes;
use engine::Nonce;
use mail::codec::put_varint;
use mail::{Envelope, RecordId, Timestamp};

use super::body::NewBody;
use super::copy::Copying;
use super::index::{Frame, Head, IndexRecord, Kind, Location, Tombstone, Writers};
use super::{
    ACCOUNT_SEGMENT_BYTES_MAX, ACCOUNT_SEGMENT_RECORDS_MAX, HEAD_BYTES, PREFIX_BYTES_MAX,
    SEGMENT_BYTES_MAX, SEGMENT_RECIPIENTS_MAX, SEGMENT_RECORDS_MAX, VERDICTS_BYTES_MAX,
};
use crate::change::SUMMARY_BYTES_MAX;

/// A record that goes into a segment, whatever its id will be.
#[derive(Clone, Debug)]
pub struct NewRecord {
    received: Timestamp,
    envelope: Option<Envelope>,
    verdicts: Bytes,
    summary: Bytes,
    prefix: Frame,
    prefix_stored: Bytes,
    prefix_raw_bytes: u32,
    body: NewBody,
    sha256: [u8; 32],
}

impl NewRecord {
    /// A record of these parts; `summary` is an encoded `mail::Summary`. `None` if the prefix is
    /// over [`PREFIX_BYTES_MAX`], the verdicts over [`VERDICTS_BYTES_MAX`], or the summary over its
    /// limit.
    #[must_use]
    pub fn new(
        received: Timestamp,
        envelope: Option<Envelope>,
        verdicts: Bytes,
        summary: Bytes,
        prefix: &[u8],
        body: NewBody,
    ) -> Option<Self> {
        let fits = prefix.len() <= PREFIX_BYTES_MAX
            && verdicts.len() <= VERDICTS_BYTES_MAX
            && summary.len() <= SUMMARY_BYTES_MAX;
        if !fits {
            return None;
        }
        let sha256 = body.sum.with_prefix(prefix);
        let (frame, prefix_stored) = Frame::pack(prefix);
        Some(Self {
            received,
            envelope,
            verdicts,
            summary,
            prefix: frame,
            prefix_stored,
            prefix_raw_bytes: u32::try_from(prefix.len()).ok()?,
            body,
            sha256,
        })
    }

    /// A record copied from another segment (compaction): frames as they are stored, no envelope.
    /// `stored` is the bytes of [`Location::stored_range`], and for a `big/` body of its frames.
    /// `None` if a checksum does not hold: nothing damaged is ever copied on.
    #[must_use]
    pub fn copied(record: &IndexRecord, own: &Bytes, big: Option<&Bytes>) -> Option<Self> {
        let location = &record.location;
        let prefix_bytes = location.prefix.stored as usize;
        let prefix_stored = own.get(..prefix_bytes).map(|prefix| own.slice_ref(prefix))?;
        let frames = match (location.big, big) {
            (None, None) => own.slice(prefix_bytes..),
            (Some(_), Some(frames)) => frames.clone(),
            _ => return None,
        };
        let mut copying = Copying::new(location);
        copying.take(&prefix_stored).ok()?;
        copying.take(&frames).ok()?;
        copying.finish().ok()?;
        let mut copied = Self::streamed(record);
        copied.body.stored = split_frames(location, &frames)?;
        Some(Self { prefix_stored, ..copied })
    }

    /// The same without its bytes: they are written behind the head of the segment that is made of
    /// it alone, as a [`Copying`] names them.
    #[must_use]
    pub fn streamed(record: &IndexRecord) -> Self {
        let location = &record.location;
        Self {
            received: record.received,
            envelope: None,
            verdicts: record.verdicts.clone(),
            summary: record.summary.clone(),
            prefix: location.prefix,
            prefix_stored: Bytes::new(),
            prefix_raw_bytes: location.prefix_raw_bytes,
            body: NewBody::copied(location.body.clone(), Vec::new(), location.sha256),
            sha256: location.sha256,
        }
    }

    /// Bytes that it adds to a segment, about.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let details = self.summary.len() + self.verdicts.len() + self.prefix_stored.len();
        let recipients = self.recipients() * 64;
        self.body.stored_bytes() + (details + recipients + 96) as u64
    }

    /// Bytes that a client reads: RFC822.SIZE.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.prefix_raw_bytes as u64 + self.body.raw_bytes()
    }

    /// Recipients of its envelope.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.envelope.as_ref().map_or(0, |envelope| envelope.recipients.len())
    }

    /// The encoded summary.
    #[must_use]
    pub const fn summary(&self) -> &Bytes {
        &self.summary
    }
}

/// Cuts the bytes of a body into its frames.
fn split_frames(location: &Location, bytes: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = bytes.clone();
    let mut frames = Vec::with_capacity(location.body.frames.len());
    for frame in &location.body.frames {
        let length = frame.stored as usize;
        if rest.len() < length {
            return None;
        }
        frames.push(rest.split_to(length));
    }
    rest.is_empty().then_some(frames)
}

/// Collects records of one segment.
#[derive(Debug)]
pub struct Builder {
    kind: Kind,
    nonce: Nonce,
    records: Vec<(RecordId, NewRecord)>,
    bytes: u64,
    recipients: usize,
}

impl Builder {
    /// An ingest segment. The nonce tells it from another of the same content.
    #[must_use]
    pub const fn new(nonce: Nonce) -> Self {
        Self::of(Kind::Ingest, nonce)
    }

    /// An account segment.
    #[must_use]
    pub const fn account(nonce: Nonce) -> Self {
        Self::of(Kind::Account, nonce)
    }

    /// An object of one record made by a function. The nonce derives from what caused it, so that
    /// a second run makes the same bytes.
    #[must_use]
    pub const fn made(nonce: Nonce) -> Self {
        Self::of(Kind::Made, nonce)
    }

    const fn of(kind: Kind, nonce: Nonce) -> Self {
        Self { kind, nonce, records: Vec::new(), bytes: 0, recipients: 0 }
    }

    /// Whether this record may still go in: an empty segment takes any.
    #[must_use]
    pub fn has_room(&self, record: &NewRecord) -> bool {
        let (bytes_max, records_max) = match self.kind {
            Kind::Ingest => (SEGMENT_BYTES_MAX, SEGMENT_RECORDS_MAX),
            Kind::Account => (ACCOUNT_SEGMENT_BYTES_MAX, ACCOUNT_SEGMENT_RECORDS_MAX),
            Kind::Made | Kind::Tombstone(_) => (0, 1),
        };
        self.records.is_empty()
            || (self.records.len() < records_max
                && self.recipients < SEGMENT_RECIPIENTS_MAX
                && self.bytes + record.stored_bytes() <= bytes_max as u64)
    }

    /// Adds a record; returns its number. Asking [`Self::has_room`] first is the caller's duty.
    pub fn add(&mut self, id: RecordId, record: &NewRecord) -> u32 {
        let number = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        self.bytes += record.stored_bytes();
        self.recipients += record.recipients();
        self.records.push((id, record.clone()));
        number
    }

    /// How many records are in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes so far, about.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The object's bytes, in parts to be put one after the other. Deterministic: the same records,
    /// ids and nonce give the same bytes.
    #[must_use]
    pub fn finish(self) -> Vec<Bytes> {
        let (mut table, mut details) = (Vec::new(), Vec::new());
        let mut writers = Writers::default();
        let mut data = Vec::with_capacity(self.records.len() * 2);
        let count = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        for (id, record) in self.records {
            let location = Location {
                id,
                offset: 0, // follows from the lengths when it is read
                prefix: record.prefix,
                prefix_raw_bytes: record.prefix_raw_bytes,
                body: record.body.body,
                big: record.body.big,
                sha256: record.sha256,
            };
            location.put(&mut table, &mut writers);
            let NewRecord { received, envelope, verdicts, summary, .. } = record;
            IndexRecord { location, received, envelope, verdicts, summary }.put(&mut details);
            data.push(record.prefix_stored);
            data.extend(record.body.stored);
        }
        let mut locations = Vec::with_capacity(table.len() + 16 * writers.0.len() + 3);
        put_varint(&mut locations, writers.0.len() as u64);
        writers.0.iter().for_each(|writer| locations.extend_from_slice(&writer.0));
        locations.extend_from_slice(&table);
        let head = Head {
            kind: self.kind,
            nonce: self.nonce,
            records: count,
            locations_bytes: locations.len(),
            locations_crc: crc32fast::hash(&locations),
            details_bytes: details.len(),
            details_crc: crc32fast::hash(&details),
        };
        let mut first = head.encode();
        debug_assert_eq!(first.len(), HEAD_BYTES);
        first.extend_from_slice(&locations);
        first.extend_from_slice(&details);
        let mut parts = vec![Bytes::from(first)];
        parts.extend(data.into_iter().filter(|part| !part.is_empty()));
        parts
    }
}

/// The object that closes a number, or ends a writer there. Whoever puts it, the bytes are the
/// same but for the nonce.
#[must_use]
pub fn tombstone_object(tombstone: Tombstone, nonce: Nonce) -> Bytes {
    let parts = Builder::of(Kind::Tombstone(tombstone), nonce).finish();
    parts.into_iter().next().unwrap_or_default()
}
