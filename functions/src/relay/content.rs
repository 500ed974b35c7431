//! A record as it leaves: its prefix without Return-Path (RFC 5321 §4.4), then its body, piece by
//! piece. A small one is read at once.

use std::collections::VecDeque;

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
    /// What is to leave next: fields of ours first, then what was read.
    ready: VecDeque<Bytes>,
    prefix_bytes: u64,
    next: u64,
    end: u64,
}

impl Leaving {
    pub(super) fn new(store: Store, place: Slot, location: &Location, fields: String) -> Self {
        Self {
            store,
            place,
            ready: Some(Bytes::from(fields))
                .filter(|fields| !fields.is_empty())
                .into_iter()
                .collect(),
            prefix_bytes: location.prefix_bytes(),
            next: 0,
            end: location.size(),
        }
    }

    /// Reads the next piece; the prefix comes with the first of the body.
    async fn read(&mut self) -> Result<(), String> {
        let prefix = if self.next == 0 { self.prefix_bytes } else { 0 };
        let until = self.next.saturating_add(PIECE).max(prefix).min(self.end);
        let read = self.store.read_record(self.place, self.next..until).await;
        let bytes = read.map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or_else(|| "the record is not there".to_owned())?;
        let prefix = usize::try_from(prefix).unwrap_or(usize::MAX);
        let (prefix, body) = bytes.split_at_checked(prefix).ok_or("the record is cut short")?;
        let pieces = [trace::without_return_path(prefix), body];
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        self.ready.extend(pieces.map(|piece| bytes.slice_ref(piece)));
        self.next = until;
        Ok(())
    }
}

#[async_trait]
impl Content for Leaving {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if self.next >= self.end {
                return Ok(None);
            }
            self.read().await?;
        }
    }
}
