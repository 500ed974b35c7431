//! Daily budgets: counted in memory, told to the others by one row per owner and kind, at most
//! once a minute. So a limit may be exceeded by a minute's worth at each other process, and what
//! was counted in the last minute is forgotten when a process ends.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{Consistency, Expect, Key, ReadError, Row, Version, WriteError};
use mail::{Instant, Timestamp};

use crate::context::{Context, damaged};
use crate::rows::{Budget, BudgetKind, BudgetOwner, RowValue as _, budget_key};

/// Budgets in memory.
const KNOWN_MAX: usize = 10_000;

/// A row is written at most so often by a process.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

/// How long a row stays.
const KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);

const DAY: u64 = 24 * 60 * 60;

/// Daily budgets of this store.
pub struct Budgets {
    cx: Arc<Context>,
    known: Mutex<BTreeMap<Key, Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    day: u64,
    /// What the row said, ours of then included.
    written: u64,
    /// Ours since.
    ours: u64,
    synced: Instant,
}

impl std::fmt::Debug for Budgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budgets").finish_non_exhaustive()
    }
}

impl Budgets {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        Self { cx, known: Mutex::default() }
    }

    /// Spends `amount` of today's budget if that does not exceed `most`; says whether it did.
    /// Usually no request; one read and one write a minute while it is used.
    /// # Errors
    /// [`ReadError`]: what others spent is not known, and nothing was spent. Try again later.
    pub async fn spend(
        &self,
        owner: &BudgetOwner,
        kind: BudgetKind,
        amount: u64,
        most: u64,
    ) -> Result<bool, ReadError> {
        let key = budget_key(owner, kind);
        let now = self.cx.engines.index.now();
        let today = now.seconds() / DAY;
        let instant = self.cx.engines.clock.instant();
        let due = match self.lock().get_mut(&key) {
            Some(known) if known.day == today => {
                let due = instant.since(known.synced) >= WRITTEN_EVERY;
                // Others who come meanwhile need not.
                known.synced = if due { instant } else { known.synced };
                due
            }
            _ => true,
        };
        if due {
            self.sync(&key, today, now).await?;
        }
        let mut known = self.lock();
        let Some(one) = known.get_mut(&key) else { return Ok(amount <= most) };
        let after = one.written.saturating_add(one.ours).saturating_add(amount);
        if after > most {
            return Ok(false);
        }
        one.ours = one.ours.saturating_add(amount);
        Ok(true)
    }

    /// Reads the row, and adds to it what was spent here.
    async fn sync(&self, key: &Key, today: u64, now: Timestamp) -> Result<(), ReadError> {
        let index = &self.cx.engines.index;
        let found = index.get(key, Consistency::Strong).await?;
        let version = found.as_ref().map(|row| row.version);
        let budget = found.map(|row| Budget::decode(&row.value)).transpose().map_err(damaged)?;
        let there = match budget {
            Some(Budget::Daily { day, count }) if day == today => count,
            _ => 0,
        };
        let ours = self.take_ours(key, today);
        let mut written = there;
        let mut kept = ours;
        if ours > 0 {
            let count = there.saturating_add(ours);
            if self.write(key, Budget::Daily { day: today, count }, version, now).await.is_ok() {
                (written, kept) = (count, 0);
            }
        }
        let synced = self.cx.engines.clock.instant();
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, one| one.day == today && one.ours > 0);
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
        }
        let one =
            known.entry(key.clone()).or_insert(Known { day: today, written, ours: 0, synced });
        *one = Known { day: today, written, ours: one.ours.saturating_add(kept), synced };
        Ok(())
    }

    /// What is being written is no longer to be.
    fn take_ours(&self, key: &Key, today: u64) -> u64 {
        let mut known = self.lock();
        let Some(one) = known.get_mut(key) else { return 0 };
        let ours = std::mem::take(&mut one.ours);
        if one.day == today { ours } else { 0 }
    }

    /// A failure, or an outcome that is not known, is tried again a minute later: counting twice
    /// is the worst of it.
    async fn write(
        &self,
        key: &Key,
        budget: Budget,
        version: Option<Version>,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let value = budget.encode().map_err(|error| WriteError::Refused(Box::new(error)))?;
        let expect = version.map_or(Expect::Absent, Expect::Version);
        let row = Row {
            value,
            version: Version(version.map_or(1, |version| version.0 + 1)),
            nonce: self.cx.engines.random.nonce(),
            expiry: Some(now.after(KEPT)),
        };
        self.cx.engines.index.put_if(key, row, expect).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
