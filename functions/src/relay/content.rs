//! A record as it leaves: its prefix without Return-Path (RFC 5321 §4.4), then its body, piece by
//! piece.

use async_trait::async_trait;
use bytes::Bytes;
use mail::trace;
use net::send::Content;
use store::Store;
use store::place::Slot;
use store::segment::Location;

/// Bytes read at once: one frame.
const PIECE: u64 = 256 * 1024;

/// Content of one record.
pub(super) struct Leaving {
    store: Store,
    place: Slot,
    /// Fields of ours that go first.
    first: Option<Bytes>,
    prefix_bytes: u64,
    next: u64,
    end: u64,
}

impl Leaving {
    pub(super) fn new(store: Store, place: Slot, location: &Location, fields: String) -> Self {
        Self {
            store,
            place,
            first: Some(Bytes::from(fields)).filter(|fields| !fields.is_empty()),
            prefix_bytes: location.prefix_bytes(),
            next: 0,
            end: location.size(),
        }
    }
}

#[async_trait]
impl Content for Leaving {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.next >= self.end {
            return Ok(None);
        }
        // The prefix by itself: a field of it is left off.
        let is_prefix = self.next < self.prefix_bytes;
        let until = match is_prefix {
            true => self.prefix_bytes,
            false => self.end.min(self.next.saturating_add(PIECE)),
        };
        let read = self.store.read_record(self.place, self.next..until).await;
        let bytes = read.map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or_else(|| "the record is not there".to_owned())?;
        self.next = until;
        if !is_prefix {
            return Ok(Some(bytes));
        }
        let kept = trace::without_return_path(&bytes);
        if kept.is_empty() {
            // Nothing of it is left: on with the body.
            return Box::pin(self.next()).await;
        }
        Ok(Some(bytes.slice_ref(kept)))
    }
}
