//! Writer rows: who puts ingest segments, and up to where all of them are done [K, γ].

use std::sync::Arc;

use engine::{Consistency, Expect, Order, Range, ReadError, Row, Version, WriteError};
use mail::WriterId;

use crate::context::{Context, damaged, too_large};
use crate::rows::{self, RowValue, WriterRow};

/// Writer rows read at once.
const PAGE: usize = 256;

/// The writers of this store.
pub struct Writers {
    cx: Arc<Context>,
}

impl std::fmt::Debug for Writers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writers").finish_non_exhaustive()
    }
}

impl Writers {
    pub(crate) const fn new(cx: Arc<Context>) -> Self {
        Self { cx }
    }

    /// A writer's row, read strongly; `None`: nobody announced it: quarantine, neither "all is
    /// new" nor "ended" [K].
    /// # Errors
    /// [`ReadError`].
    pub async fn get(&self, writer: WriterId) -> Result<Option<(WriterRow, Version)>, ReadError> {
        let row = self.cx.engines.index.get(&rows::writer_key(writer), Consistency::Strong).await?;
        row.map(|row| Ok((WriterRow::decode(&row.value).map_err(damaged)?, row.version)))
            .transpose()
    }

    /// All writers after `after`, in the order of their ids; at most a page, empty at the end.
    /// # Errors
    /// [`ReadError`].
    pub async fn page(
        &self,
        after: Option<WriterId>,
    ) -> Result<Vec<(WriterId, WriterRow, Version)>, ReadError> {
        let range = Range {
            partition: rows::writers_partition().into(),
            // The smallest key after `after` is it with a zero byte behind.
            from: after.map(|id| id.0.iter().copied().chain([0]).collect()),
            to: None,
            order: Order::Forward,
            limit: PAGE,
            consistency: Consistency::Strong,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found
            .into_iter()
            .map(|(sort, row)| {
                let id = <[u8; 16]>::try_from(&sort[..]).map_err(damaged)?;
                let writer = WriterRow::decode(&row.value).map_err(damaged)?;
                Ok((WriterId(id), writer, row.version))
            })
            .collect()
    }

    /// Changes a row that still has `version`.
    /// # Errors
    /// [`WriteError::Conflict`]: another sweep was here; read again.
    pub async fn update(
        &self,
        writer: WriterId,
        row: &WriterRow,
        version: Version,
    ) -> Result<(), WriteError> {
        let next = Row {
            value: row.encode().map_err(too_large)?,
            version: Version(version.0 + 1),
            nonce: self.cx.nonce(),
            expiry: None,
        };
        let key = rows::writer_key(writer);
        self.cx.engines.index.put_if(&key, next, Expect::Version(version)).await
    }

    /// Removes the row of a writer that ended long ago and left nothing behind [C].
    /// # Errors
    /// As [`Self::update`].
    pub async fn remove(&self, writer: WriterId, version: Version) -> Result<(), WriteError> {
        let key = rows::writer_key(writer);
        self.cx.engines.index.delete_if(&key, Expect::Version(version)).await
    }
}
