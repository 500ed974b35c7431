//! Reading segments: their indexes, and parts of their records, checked and kept in memory within
//! a bound.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use engine::{ObjectKey, ReadError};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::context::{Context, damaged};
use crate::names;
use crate::segment::{HEAD_BYTES_GUESS, Index, Location, Locations, Read};

/// Indexes just put that are kept for whoever delivers them in this process, in bytes.
const INDEX_BYTES_MAX: u64 = 16 << 20;

/// Reads larger than this are not kept: they would push everything else out.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Expected number of things in a cache; a hint for its tables.
const EXPECTED: usize = 1024;

/// Reads of one part of a record are shared under this name.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Part {
    key: ObjectKey,
    record: u32,
    start: u64,
    end: u64,
}

#[derive(Clone)]
struct Weights;

impl Weighter<ObjectKey, Arc<Index>> for Weights {
    fn weight(&self, _key: &ObjectKey, index: &Arc<Index>) -> u64 {
        let records = index.records.iter().map(|record| {
            512 + record.summary.len()
                + record.envelope.as_ref().map_or(0, |e| e.recipients.len() * 128)
        });
        u64::try_from(records.sum::<usize>()).unwrap_or(u64::MAX).saturating_add(256)
    }
}

impl Weighter<ObjectKey, Arc<Locations>> for Weights {
    fn weight(&self, _key: &ObjectKey, locations: &Arc<Locations>) -> u64 {
        u64::try_from(locations.records.len()).unwrap_or(u64::MAX).saturating_mul(160) + 256
    }
}

/// Decoded summaries of one chunk of a checkpoint.
type Summaries = Arc<BTreeMap<u32, Bytes>>;

impl Weighter<(ObjectKey, u64), Summaries> for Weights {
    fn weight(&self, _chunk: &(ObjectKey, u64), summaries: &Summaries) -> u64 {
        // Sliced from one buffer, so their lengths are what they keep.
        let bytes: usize = summaries.values().map(|summary| summary.len() + 64).sum();
        u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(256)
    }
}

impl Weighter<Part, Bytes> for Weights {
    fn weight(&self, _part: &Part, bytes: &Bytes) -> u64 {
        u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_add(256)
    }
}

/// The segments of this store, as readers see them.
pub(crate) struct Bodies {
    cx: Arc<Context>,
    indexes: Cache<ObjectKey, Arc<Index>, Weights>,
    locations: Cache<ObjectKey, Arc<Locations>, Weights>,
    parts: Cache<Part, Bytes, Weights>,
    summaries: Cache<(ObjectKey, u64), Summaries, Weights>,
}

impl Bodies {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        let bytes = u64::try_from(cx.options.bodies_bytes_max).unwrap_or(u64::MAX);
        Self {
            cx,
            indexes: Cache::with_weighter(EXPECTED, INDEX_BYTES_MAX, Weights),
            locations: Cache::with_weighter(EXPECTED, bytes / 4, Weights),
            parts: Cache::with_weighter(EXPECTED, bytes / 2, Weights),
            summaries: Cache::with_weighter(EXPECTED, bytes / 4, Weights),
        }
    }

    /// Keeps the index of a segment that was just put, for whoever delivers it.
    pub(crate) fn remember(&self, key: &ObjectKey, parts: &[Bytes]) {
        if let Some(first) = parts.first()
            && let Ok(Read::Whole(index)) = Index::read(first)
        {
            self.indexes.insert(key.clone(), Arc::new(index));
        }
    }

    /// Forgets a segment.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.indexes.remove(key);
        self.locations.remove(key);
    }

    /// A chunk of summaries that was read before.
    pub(crate) fn known_summaries(&self, key: &ObjectKey, at: &Range<u64>) -> Option<Summaries> {
        self.summaries.get(&(key.clone(), at.start))
    }

    /// Keeps a chunk of summaries.
    pub(crate) fn remember_summaries(&self, key: &ObjectKey, at: &Range<u64>, all: Summaries) {
        self.summaries.insert((key.clone(), at.start), all);
    }

    /// The index of a segment; `None`: there is no such object.
    pub(crate) async fn index(&self, key: &ObjectKey) -> Result<Option<Arc<Index>>, ReadError> {
        if let Some(index) = self.indexes.get(key) {
            return Ok(Some(index));
        }
        let read = |start: &Bytes| Index::read(start).map_err(damaged);
        let Some(index) = self.head(key, read).await?.map(Arc::new) else { return Ok(None) };
        self.indexes.insert(key.clone(), index.clone());
        Ok(Some(index))
    }

    /// Where the records of a segment are.
    async fn locations(&self, key: &ObjectKey) -> Result<Option<Arc<Locations>>, ReadError> {
        if let Some(locations) = self.locations.get(key) {
            return Ok(Some(locations));
        }
        if let Some(index) = self.indexes.get(key) {
            return Ok(Some(Arc::new(index.locations())));
        }
        let read = |start: &Bytes| Locations::read(start).map_err(damaged);
        let Some(found) = self.head(key, read).await?.map(Arc::new) else { return Ok(None) };
        self.locations.insert(key.clone(), found.clone());
        Ok(Some(found))
    }

    /// Reads the front of a segment: one request, or two if it is longer than guessed.
    async fn head<T>(
        &self,
        key: &ObjectKey,
        read: impl Fn(&Bytes) -> Result<Read<T>, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        let mut bytes = HEAD_BYTES_GUESS;
        loop {
            let Some(start) = self.get(key, 0..bytes).await? else { return Ok(None) };
            match read(&start)? {
                Read::Whole(found) => return Ok(Some(found)),
                Read::Short(more) if more > bytes => bytes = more,
                Read::Short(_) => return Err(damaged("a segment ends before its index does")),
            }
        }
    }

    /// Bytes of an object as they are stored; `None`: there is no such object.
    pub(crate) async fn bytes(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, ReadError> {
        if range.is_empty() { Ok(Some(Bytes::new())) } else { self.get(key, range).await }
    }

    async fn get(&self, key: &ObjectKey, range: Range<u64>) -> Result<Option<Bytes>, ReadError> {
        let got = self.cx.engines.objects.get_ranges(key, &[range]).await?;
        Ok(got.and_then(|mut parts| parts.pop()))
    }

    /// Part of a message (prefix, then body), checked; `None`: the segment, or its `big/` object,
    /// is not there.
    pub(crate) async fn read(
        &self,
        key: &ObjectKey,
        record: u32,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, ReadError> {
        let part = Part { key: key.clone(), record, start: range.start, end: range.end };
        if let Some(bytes) = self.parts.get(&part) {
            return Ok(Some(bytes));
        }
        let Some(locations) = self.locations(key).await? else { return Ok(None) };
        let at = usize::try_from(record).unwrap_or(usize::MAX);
        let Some(location) = locations.records.get(at) else {
            return Err(damaged("a place names a record that its segment has not"));
        };
        let Some(bytes) = self.read_at(key, location, range).await? else {
            self.forget(key);
            return Ok(None);
        };
        if bytes.len() <= KEPT_BYTES_MAX {
            self.parts.insert(part, bytes.clone());
        }
        Ok(Some(bytes))
    }

    async fn read_at(
        &self,
        key: &ObjectKey,
        location: &Location,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, ReadError> {
        let reading = location.reading(range);
        let own = match reading.own() {
            Some(range) => match self.get(key, range).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
            None => Bytes::new(),
        };
        let big = match reading.big() {
            Some((id, range)) => match self.get(&names::big(id), range).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
            None => Bytes::new(),
        };
        // Verified on every read; what is kept in memory was verified.
        reading.finish(&own, &big).map(Some).map_err(damaged)
    }
}
