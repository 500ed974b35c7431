//! Rows of the directory in memory, each for at most `directory_fresh`, a bounded number.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Consistency, Key, ReadError};
use mail::Instant;

use crate::context::{Context, damaged};
use crate::rows::RowValue;

pub(super) struct Cache {
    cx: Arc<Context>,
    rows: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    rows: BTreeMap<Key, (Instant, Option<Arc<dyn Any + Send + Sync>>)>,
    /// Counts clearings, so that a read that began before one is not kept after it.
    cleared: u64,
}

impl Cache {
    pub(super) fn new(cx: Arc<Context>) -> Self {
        Self { cx, rows: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clear(&self) {
        let mut known = self.lock();
        known.rows.clear();
        known.cleared += 1;
    }

    /// The value of a row as it is now, whatever is remembered of it.
    pub(super) async fn fresh<V: RowValue + Send + Sync + 'static>(
        &self,
        key: Key,
    ) -> Result<Option<Arc<V>>, ReadError> {
        self.lock().rows.remove(&key);
        self.get(key).await
    }

    /// The value of a row; a kind of key is always read as the same kind of value.
    pub(super) async fn get<V: RowValue + Send + Sync + 'static>(
        &self,
        key: Key,
    ) -> Result<Option<Arc<V>>, ReadError> {
        let now = self.cx.engines.clock.instant();
        let cleared = {
            let known = self.lock();
            if let Some((read, value)) = known.rows.get(&key)
                && now.since(*read) < self.cx.options.timing.directory_fresh
            {
                return Ok(value.clone().and_then(|value| value.downcast().ok()));
            }
            known.cleared
        };
        let row = self.cx.engines.index.get(&key, Consistency::Strong).await?;
        let value =
            row.map(|row| V::decode(&row.value).map_err(damaged)).transpose()?.map(Arc::new);
        let mut known = self.lock();
        if known.cleared == cleared {
            // I8: bounded by forgetting everything, which costs one read each.
            if known.rows.len() >= self.cx.options.directory_rows_max {
                known.rows.clear();
            }
            let any = value.clone().map(|value| value as Arc<dyn Any + Send + Sync>);
            known.rows.insert(key, (now, any));
        }
        Ok(value)
    }
}
