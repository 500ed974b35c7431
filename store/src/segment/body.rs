//! Bodies: frames, made while a message streams in.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use mail::RecordId;

use super::index::Frame;
use super::{BIG_MAGIC, FRAME_BYTES, VERSION};

/// Where the first frame begins in a `big/` object.
pub const BIG_FRAMES_AT: u64 = 8;

/// The first bytes of a `big/` object; frames follow one after the other.
#[must_use]
pub fn big_head() -> Bytes {
    let mut head = BIG_MAGIC.to_vec();
    head.extend_from_slice(&[VERSION, 0, 0, 0]);
    Bytes::from(head)
}

/// The frames of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Frames in order.
    pub frames: Vec<Frame>,
    /// Raw bytes in all.
    pub raw_bytes: u64,
}

impl Body {
    /// Bytes as stored.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.stored)).sum()
    }
}

/// A body that goes into a segment: its frames, and their bytes or the object where they are.
#[derive(Clone, Debug)]
pub struct NewBody {
    pub(super) body: Body,
    /// Stored frames; empty if they are in a `big/` object.
    pub(super) stored: Vec<Bytes>,
    pub(super) big: Option<RecordId>,
    /// Over the raw body; the prefix is added when the record is made.
    pub(super) sum: Sum,
}

/// A SHA-256 that is being made, or one that is known for body and prefix together.
#[derive(Clone)]
pub(super) enum Sum {
    Open(Context),
    Known([u8; 32]),
}

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sum")
    }
}

impl Sum {
    /// With the prefix: the record's checksum. It covers body, then prefix, for the prefix is
    /// known only at the end.
    pub(super) fn with_prefix(&self, prefix: &[u8]) -> [u8; 32] {
        match self {
            Self::Known(sum) => *sum,
            Self::Open(context) => {
                let mut context = context.clone();
                context.update(prefix);
                digest(context)
            }
        }
    }
}

pub(super) fn digest(context: Context) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

impl NewBody {
    /// A whole body that is in memory.
    #[must_use]
    pub fn of(raw: &[u8]) -> Self {
        let mut framer = Framer::new();
        framer.push(raw);
        framer.finish()
    }

    /// A body copied as it is stored elsewhere, frame by frame: `reading` of its whole record was
    /// verified before. `sum` is the record's.
    pub(super) const fn copied(body: Body, stored: Vec<Bytes>, sum: [u8; 32]) -> Self {
        Self { body, stored, big: None, sum: Sum::Known(sum) }
    }

    /// The frames were written to this `big/` object behind [`big_head`], not to the segment.
    #[must_use]
    pub fn in_big(self, big: RecordId) -> Self {
        Self { stored: Vec::new(), big: Some(big), ..self }
    }

    /// Raw bytes.
    #[must_use]
    pub const fn raw_bytes(&self) -> u64 {
        self.body.raw_bytes
    }

    /// Bytes that it adds to a segment.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        if self.big.is_some() { 0 } else { self.body.stored_bytes() }
    }
}

/// Cuts a body that streams in into frames. Holds at most one frame, and what
/// [`Framer::take_stored`] has not taken yet.
#[derive(Clone, Debug)]
pub struct Framer {
    pending: Vec<u8>,
    frames: Vec<Frame>,
    stored: Vec<Bytes>,
    raw_bytes: u64,
    sum: Sum,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pending: Vec::new(),
            frames: Vec::new(),
            stored: Vec::new(),
            raw_bytes: 0,
            sum: Sum::Open(Context::new(&SHA256)),
        }
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, mut raw: &[u8]) {
        if let Sum::Open(context) = &mut self.sum {
            context.update(raw);
        }
        self.raw_bytes += raw.len() as u64;
        while !raw.is_empty() {
            let (now, later) = raw.split_at(raw.len().min(FRAME_BYTES - self.pending.len()));
            self.pending.extend_from_slice(now);
            raw = later;
            if self.pending.len() == FRAME_BYTES {
                self.close_frame();
            }
        }
    }

    /// Raw bytes taken so far.
    #[must_use]
    pub const fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// The stored frames that are complete, in order, each given once: for a `big/` object that
    /// is written while the message streams in.
    pub fn take_stored(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.stored)
    }

    /// Ends the body. What [`Self::take_stored`] took before is not in it.
    #[must_use]
    pub fn finish(mut self) -> NewBody {
        if !self.pending.is_empty() {
            self.close_frame();
        }
        let Self { frames, stored, raw_bytes, sum, .. } = self;
        NewBody { body: Body { frames, raw_bytes }, stored, big: None, sum }
    }

    /// Ends the body of a `big/` object: the last frames to write, and the body to be given to
    /// [`NewBody::in_big`].
    #[must_use]
    pub fn finish_big(self) -> (Vec<Bytes>, NewBody) {
        let mut body = self.finish();
        (std::mem::take(&mut body.stored), body)
    }

    fn close_frame(&mut self) {
        let (frame, stored) = Frame::pack(&self.pending);
        self.pending.clear();
        self.frames.push(frame);
        self.stored.push(stored);
    }
}
