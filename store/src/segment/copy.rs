//! Copying a record from one segment into another, piece by piece, its frames as they are stored:
//! nothing damaged is ever copied on, and nothing of more than a piece is in memory.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use mail::RecordId;

use super::body::{BIG_FRAMES_AT, digest};
use super::index::Location;
use super::{FRAME_BYTES, SegmentDamaged};

/// Frames got at once.
const FRAMES_AT_ONCE: usize = 4;

/// A copy of one record that is under way: first its prefix, then its body.
pub struct Copying<'a> {
    location: &'a Location,
    /// The prefix, once it was taken.
    prefix: Option<Bytes>,
    /// Frames taken, and their stored and raw bytes.
    frames: usize,
    stored: u64,
    raw: u64,
    sum: Context,
}

impl std::fmt::Debug for Copying<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copying").field("id", &self.location.id).finish_non_exhaustive()
    }
}

impl<'a> Copying<'a> {
    /// Nothing taken yet.
    #[must_use]
    pub fn new(location: &'a Location) -> Self {
        let sum = Context::new(&SHA256);
        Self { location, prefix: None, frames: 0, stored: 0, raw: 0, sum }
    }

    /// The bytes to be got and given to [`Self::take`] next, at most a MiB and a little: of the
    /// record's own segment, or of this `big/` object. Empty ones need not be got. `None`: that was
    /// all.
    #[must_use]
    pub fn wanted(&self) -> Option<(Option<RecordId>, Range<u64>)> {
        let prefix = u64::from(self.location.prefix.stored);
        if self.prefix.is_none() {
            return Some((None, self.location.offset..self.location.offset + prefix));
        }
        let next = self.location.body.frames.get(self.frames..).filter(|left| !left.is_empty())?;
        let bytes: u64 =
            next.iter().take(FRAMES_AT_ONCE).map(|frame| u64::from(frame.stored)).sum();
        let first = match self.location.big {
            Some(_) => BIG_FRAMES_AT,
            None => self.location.offset + prefix,
        };
        let at = first + self.stored;
        Some((self.location.big, at..at + bytes))
    }

    /// Takes what [`Self::wanted`] named: from there on it may be written elsewhere, but counts only
    /// if [`Self::finish`] says so.
    /// # Errors
    /// [`SegmentDamaged`].
    pub fn take(&mut self, bytes: &Bytes) -> Result<(), SegmentDamaged> {
        self.taken(bytes).ok_or(SegmentDamaged(self.location.id))
    }

    fn taken(&mut self, bytes: &Bytes) -> Option<()> {
        let location = self.location;
        if self.prefix.is_none() {
            let raw_bytes = usize::try_from(location.prefix_raw_bytes).ok()?;
            self.prefix = Some(location.prefix.unpack(bytes, raw_bytes)?);
            return Some(());
        }
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let frame = location.body.frames.get(self.frames)?;
            let length = usize::try_from(frame.stored).ok()?;
            if rest.len() < length {
                return None;
            }
            let left = location.body.raw_bytes.checked_sub(self.raw)?.min(FRAME_BYTES as u64);
            let raw = frame.unpack(&rest.split_to(length), usize::try_from(left).ok()?)?;
            self.sum.update(&raw);
            self.frames += 1;
            self.stored += u64::from(frame.stored);
            self.raw += left;
        }
        Some(())
    }

    /// Everything was taken, and is what was written.
    /// # Errors
    /// [`SegmentDamaged`].
    pub fn finish(mut self) -> Result<(), SegmentDamaged> {
        let location = self.location;
        let all = self.frames == location.body.frames.len() && self.raw == location.body.raw_bytes;
        let prefix = self.prefix.filter(|_| all).ok_or(SegmentDamaged(location.id))?;
        // SHA-256 of the raw body, then the prefix.
        self.sum.update(&prefix);
        if digest(self.sum) == location.sha256 { Ok(()) } else { Err(SegmentDamaged(location.id)) }
    }
}
