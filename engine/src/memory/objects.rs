//! Objects of a world.

use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::call::Process;
use crate::counters::Call;
use crate::{Listed, ObjectKey, ObjectWriter, Objects, Put, ReadError, Space, WriteError};

/// The parts as one.
fn join(parts: &[Bytes]) -> Bytes {
    match parts {
        [one] => one.clone(),
        parts => {
            let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            parts.iter().for_each(|part| whole.extend_from_slice(part));
            whole.freeze()
        }
    }
}

impl Process {
    async fn put_whole(&self, key: &ObjectKey, bytes: Bytes) -> Result<Put, WriteError> {
        self.counters.call(Call::ObjectPut);
        self.counters.object_bytes(bytes.len() as u64);
        let what = format!("objects.put {key} {}", bytes.len());
        let key = key.clone();
        let options = &self.world.options;
        let room = options.capacity_bytes.map(|capacity| (capacity, options.ballast_bytes));
        self.write(what, move |state| state.put_object(&key, &bytes, room)).await
    }
}

#[async_trait]
impl Objects for Process {
    async fn put(&self, key: &ObjectKey, parts: &[Bytes]) -> Result<Put, WriteError> {
        self.put_whole(key, join(parts)).await
    }

    async fn put_streaming(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, WriteError> {
        Ok(Box::new(Streaming { process: self.clone(), key: key.clone(), parts: Vec::new() }))
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, ReadError> {
        self.counters.call(Call::ObjectGet);
        self.read(
            format!("objects.get {key}"),
            |state, _| Ok(state.objects.get(key).cloned()),
            |found| found.as_ref().map_or("none".into(), |bytes| bytes.len().to_string()),
        )
        .await
    }

    async fn get_ranges(
        &self,
        key: &ObjectKey,
        ranges: &[Range<u64>],
    ) -> Result<Option<Vec<Bytes>>, ReadError> {
        self.counters.call(Call::ObjectGet);
        let cut = |whole: &Bytes| {
            let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
            let part =
                |range: &Range<u64>| whole.slice(at(range.start)..at(range.end.max(range.start)));
            ranges.iter().map(part).collect::<Vec<_>>()
        };
        self.read(
            format!("objects.get_ranges {key} {ranges:?}"),
            |state, _| Ok(state.objects.get(key).map(cut)),
            |found| found.as_ref().map_or("none", |_| "found").into(),
        )
        .await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, ReadError> {
        use std::ops::Bound;
        self.counters.call(Call::ObjectList);
        let shown = after.map_or("", ObjectKey::as_str);
        self.read(
            format!("objects.list {prefix} after {shown:?} limit {limit}"),
            |state, _| {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let listed = state.objects.range::<ObjectKey, _>((from, Bound::Unbounded));
                Ok(listed
                    .skip_while(|(key, _)| key.as_str() < prefix)
                    .take_while(|(key, _)| key.as_str().starts_with(prefix))
                    .take(limit)
                    .map(|(key, bytes)| Listed { key: key.clone(), size: bytes.len() as u64 })
                    .collect::<Vec<_>>())
            },
            |found| found.len().to_string(),
        )
        .await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), WriteError> {
        self.counters.call(Call::ObjectDelete);
        let what = format!("objects.delete {key}");
        let key = key.clone();
        self.write(what, move |state| {
            state.delete_object(&key);
            Ok(())
        })
        .await
    }

    fn puts_in_flight(&self) -> usize {
        self.world.options.puts_in_flight
    }

    async fn space(&self) -> Result<Option<Space>, ReadError> {
        let options = &self.world.options;
        let state = self.world.state();
        Ok(options
            .capacity_bytes
            .map(|total| Space { free: state.free_for_mail(total, options.ballast_bytes), total }))
    }

    async fn release_ballast(&self, released: bool) -> Result<(), WriteError> {
        self.write(format!("objects.release_ballast {released}"), move |state| {
            state.ballast_released = released;
            Ok(())
        })
        .await
    }
}

/// A streamed object, in memory until it is finished.
struct Streaming {
    process: Process,
    key: ObjectKey,
    parts: Vec<Bytes>,
}

#[async_trait]
impl ObjectWriter for Streaming {
    async fn write(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        self.parts.push(bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Put, WriteError> {
        self.process.put_whole(&self.key, join(&self.parts)).await
    }
}
