//! Hint rows: which accounts were changed, for processes that no wake-up reaches [y].
//!
//! Each process writes at most one row a second, if it changed anything; readers go back 30
//! seconds, so that a slow writer is not missed. Only economy: watched logs are read again now and
//! then in any case.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{Consistency, Expect, Order, Range, ReadError, Row, Version, WriteError};
use mail::{Account, Timestamp, WriterId};

use crate::context::{Context, damaged, too_large};
use crate::rows::{self, HINT_ACCOUNTS_MAX, Hint, RowValue};

/// The shard that all hints go to, as long as one is enough.
const SHARD: u8 = 0;

/// How far readers go back.
const BACK: Duration = Duration::from_secs(30);

/// Rows read at once.
const ROWS_MAX: usize = 1_000;

/// Hints of this store.
pub struct Hints {
    cx: Arc<Context>,
    process: WriterId,
    changed: Mutex<BTreeSet<u32>>,
    /// Rows that were read before, so that each is told once.
    told: Mutex<BTreeSet<(Timestamp, WriterId)>>,
}

impl std::fmt::Debug for Hints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hints").finish_non_exhaustive()
    }
}

impl Hints {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        let process = WriterId(cx.engines.random.bytes());
        Self { cx, process, changed: Mutex::default(), told: Mutex::default() }
    }

    /// Takes note that this account was changed. One too many at once is not told (I8).
    pub fn note(&self, account: Account) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.len() < HINT_ACCOUNTS_MAX {
            changed.insert(rows::account_hash(account));
        }
    }

    /// Writes what was noted since the last time, if anything was.
    /// # Errors
    /// [`WriteError`]: those hints are lost.
    pub async fn write(&self) -> Result<(), WriteError> {
        let accounts: Vec<u32> = {
            let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *changed).into_iter().collect()
        };
        if accounts.is_empty() {
            return Ok(());
        }
        let now = self.cx.engines.index.now();
        let row = Row {
            value: Hint { accounts }.encode().map_err(too_large)?,
            version: Version(1),
            nonce: self.cx.nonce(),
            expiry: Some(now.after(self.cx.options.timing.hint_kept)),
        };
        let key = rows::hint_key(SHARD, now, self.process);
        self.cx.engines.index.put_if(&key, row, Expect::Any).await
    }

    /// Hashes of the accounts ([`rows::account_hash`]) that others changed in the last 30 seconds,
    /// each change told once.
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&self) -> Result<BTreeSet<u32>, ReadError> {
        let back = u64::try_from(BACK.as_millis()).unwrap_or(u64::MAX);
        let from = Timestamp(self.cx.engines.index.now().0.saturating_sub(back));
        let range = Range {
            partition: rows::hint_partition(SHARD).into(),
            from: Some(rows::hint_sort_from(from)),
            to: None,
            order: Order::Backward,
            limit: ROWS_MAX,
            consistency: Consistency::Eventual,
        };
        let rows = self.cx.engines.index.range(&range).await?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(at, _)| *at >= from);
        let mut accounts = BTreeSet::new();
        for (sort, row) in rows {
            let hint = Hint::parse_sort(&sort).ok_or_else(|| damaged("key of a hint"))?;
            if told.insert(hint) && hint.1 != self.process {
                accounts.extend(Hint::decode(&row.value).map_err(damaged)?.accounts);
            }
        }
        Ok(accounts)
    }
}
