//! What was refused in words that no rule knows: kept for a month, so that somebody can write the
//! rule.

use std::time::Duration;

use engine::{Consistency, Expect, Order, Range, ReadError, Row, Version, WriteError};

use super::Items;
use crate::context::{damaged, too_large};
use crate::rows::{self, RowValue, UNMATCHED_SLOTS, Unmatched, UnmatchedRow};

/// How long a row stays after its last change.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Another process writes the same row: so often it is tried again.
const TRIES: usize = 3;

impl Items {
    /// Keeps a refusal that no rule knows, unless it is there: `same` tells whether one is it. At
    /// most one read and one write, three times where others write the same row.
    /// # Errors
    /// [`WriteError`]: it is lost, and nothing else.
    pub async fn note_unmatched(
        &self,
        refusal: &Unmatched,
        same: impl Fn(&Unmatched) -> bool,
    ) -> Result<(), WriteError> {
        let key = rows::unmatched_key(&refusal.operator);
        let index = &self.cx.engines.index;
        for _ in 0..TRIES {
            let found = index.get(&key, Consistency::Strong).await;
            let found = found.map_err(|error| WriteError::Unavailable(Box::new(error)))?;
            let version = found.as_ref().map(|row| row.version);
            // One that cannot be read is begun anew: nothing but this list is in it.
            let old = found.and_then(|row| UnmatchedRow::decode(&row.value).ok());
            let mut row = old.unwrap_or_default();
            if !row.add(refusal.clone(), &same) {
                return Ok(());
            }
            let row = Row {
                value: row.encode().map_err(too_large)?,
                version: Version(version.map_or(1, |version| version.0 + 1)),
                nonce: self.cx.nonce(),
                expiry: Some(index.now().after(KEPT)),
            };
            let expect = version.map_or(Expect::Absent, Expect::Version);
            match index.put_if(&key, row, expect).await {
                Err(WriteError::Conflict) => {}
                other => return other,
            }
        }
        Ok(())
    }

    /// All refusals that no rule knew, at most 1,280.
    /// # Errors
    /// [`ReadError`].
    pub async fn unmatched(&self) -> Result<Vec<Unmatched>, ReadError> {
        let range = Range {
            partition: rows::unmatched_partition().into(),
            from: None,
            to: None,
            order: Order::Forward,
            limit: usize::from(UNMATCHED_SLOTS),
            consistency: Consistency::Eventual,
        };
        let mut all = Vec::new();
        for (_, row) in self.cx.engines.index.range(&range).await? {
            all.extend(UnmatchedRow::decode(&row.value).map_err(damaged)?.refusals);
        }
        Ok(all)
    }
}
