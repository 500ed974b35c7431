//! Reading part of a record: which bytes to get, and verified bytes from them.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use mail::RecordId;

use super::FRAME_BYTES;
use super::body::{BIG_FRAMES_AT, digest};
use super::index::Location;

/// The bytes got are not those that were written (or the object is gone). Get them again, past any
/// cache; if they stay so, the object is damaged: a person must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {0} is damaged")]
pub struct SegmentDamaged(pub RecordId);

/// A read of part of one record: whole frames are got and verified.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    location: &'a Location,
    /// Of the message: prefix, then body.
    range: Range<u64>,
    with_prefix: bool,
    frames: Range<usize>,
    own: Range<u64>,
    big: Option<(RecordId, Range<u64>)>,
}

impl Location {
    /// The bytes of the record in its own segment as stored: prefix, and body if it is there.
    #[must_use]
    pub fn stored_range(&self) -> Range<u64> {
        let body = if self.big.is_some() { 0 } else { self.body.stored_bytes() };
        self.offset..self.offset + u64::from(self.prefix.stored) + body
    }

    /// Bytes that a copy of it takes, body and all.
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        u64::from(self.prefix.stored) + self.body.stored_bytes()
    }

    /// The bytes of all frames in the `big/` object.
    #[must_use]
    pub fn big_range(&self) -> Option<(RecordId, Range<u64>)> {
        let big = self.big?;
        Some((big, BIG_FRAMES_AT..BIG_FRAMES_AT + self.body.stored_bytes()))
    }

    /// Plans to read these bytes of the message (prefix, then body); the range is cut at its end.
    #[must_use]
    pub fn reading(&self, range: Range<u64>) -> Reading<'_> {
        let prefix = self.prefix_bytes();
        let end = range.end.min(self.size());
        let start = range.start.min(end);
        let with_prefix = start < prefix && start < end;
        let frames = if end > prefix && start < end {
            frame_of(start.saturating_sub(prefix))..frame_of(end - prefix - 1) + 1
        } else {
            0..0
        };
        let bytes_of = |frames: &[super::Frame]| -> u64 {
            frames.iter().map(|frame| u64::from(frame.stored)).sum()
        };
        let before = bytes_of(self.body.frames.get(..frames.start).unwrap_or_default());
        let length = bytes_of(self.body.frames.get(frames.clone()).unwrap_or_default());
        let body_at = self.offset + u64::from(self.prefix.stored);
        let (own, big) = match self.big {
            None => {
                let first = if with_prefix { self.offset } else { body_at + before };
                let last = if length > 0 { body_at + before + length } else { body_at };
                (first..if with_prefix || length > 0 { last } else { first }, None)
            }
            Some(big) => {
                let own = if with_prefix { self.offset..body_at } else { 0..0 };
                let first = BIG_FRAMES_AT + before;
                (own, (length > 0).then_some((big, first..first + length)))
            }
        };
        Reading { location: self, range: start..end, with_prefix, frames, own, big }
    }
}

fn frame_of(body_offset: u64) -> usize {
    usize::try_from(body_offset / FRAME_BYTES as u64).unwrap_or(usize::MAX)
}

impl Reading<'_> {
    /// Bytes to get from the segment; `None` if none are needed.
    #[must_use]
    pub fn own(&self) -> Option<Range<u64>> {
        (!self.own.is_empty()).then(|| self.own.clone())
    }

    /// Bytes to get from the `big/` object; `None` if none are needed.
    #[must_use]
    pub fn big(&self) -> Option<(RecordId, Range<u64>)> {
        self.big.clone()
    }

    /// The bytes of the message that were asked for, given what [`Self::own`] and [`Self::big`]
    /// named (empty where `None`). Every frame's CRC is compared, and the SHA-256 if the whole
    /// record is read.
    /// # Errors
    /// [`SegmentDamaged`].
    pub fn finish(&self, own: &Bytes, big: &Bytes) -> Result<Bytes, SegmentDamaged> {
        self.verified(own, big).ok_or(SegmentDamaged(self.location.id))
    }

    fn verified(&self, own: &Bytes, big: &Bytes) -> Option<Bytes> {
        let location = self.location;
        let mut own = own.clone();
        let prefix = if self.with_prefix {
            let stored = take(&mut own, location.prefix.stored)?;
            location.prefix.unpack(&stored, location.prefix_raw_bytes as usize)?
        } else {
            Bytes::new()
        };
        let mut stored = if location.big.is_some() { big.clone() } else { own };
        let mut raw = Vec::with_capacity(self.frames.len());
        for number in self.frames.clone() {
            let frame = location.body.frames.get(number)?;
            let before = number as u64 * FRAME_BYTES as u64;
            let left = location.body.raw_bytes.checked_sub(before)?.min(FRAME_BYTES as u64);
            raw.push(frame.unpack(&take(&mut stored, frame.stored)?, usize::try_from(left).ok()?)?);
        }
        if !stored.is_empty() {
            return None;
        }
        if self.range == (0..location.size()) {
            self.compare_sum(&prefix, &raw)?;
        }
        Some(self.cut(&prefix, raw))
    }

    /// SHA-256 of the raw body, then the prefix.
    fn compare_sum(&self, prefix: &Bytes, raw: &[Bytes]) -> Option<()> {
        let mut context = Context::new(&SHA256);
        raw.iter().for_each(|frame| context.update(frame));
        context.update(prefix);
        (digest(context) == self.location.sha256).then_some(())
    }

    /// The part asked for, from whole frames.
    fn cut(&self, prefix: &Bytes, raw: Vec<Bytes>) -> Bytes {
        let prefix_bytes = self.location.prefix_bytes();
        let mut parts = Vec::with_capacity(raw.len() + 1);
        parts.push((0, prefix.clone()));
        let mut at = prefix_bytes + self.frames.start as u64 * FRAME_BYTES as u64;
        for frame in raw {
            let length = frame.len() as u64;
            parts.push((at, frame));
            at += length;
        }
        let mut wanted = parts.into_iter().filter_map(|(at, part)| {
            let from = self.range.start.saturating_sub(at).min(part.len() as u64);
            let to = self.range.end.saturating_sub(at).min(part.len() as u64);
            let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
            (from < to).then(|| part.slice(from..to))
        });
        let Some(first) = wanted.next() else { return Bytes::new() };
        let Some(second) = wanted.next() else { return first };
        let mut whole = BytesMut::from(&first[..]);
        whole.extend_from_slice(&second);
        wanted.for_each(|part| whole.extend_from_slice(&part));
        whole.freeze()
    }
}

/// Takes so many bytes from the front.
fn take(bytes: &mut Bytes, length: u32) -> Option<Bytes> {
    let length = length as usize;
    (bytes.len() >= length).then(|| bytes.split_to(length))
}
