//! The account logs that this process has open: bounded, the least recently used go first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mail::{Account, AccountId, Epoch, Seq};
use tokio::sync::OnceCell;

use crate::account::{self, AccountLog, LogError};
use crate::bodies::Bodies;
use crate::context::Context;
use crate::hints::Hints;
use crate::ingest::Spools;

/// Memory of an open log besides its state, about.
const LOG_BYTES: usize = 4096;

/// After so many uses the open logs are weighed again: their states grow meanwhile.
const WEIGH_EVERY: u64 = 64;

/// The open logs of a process.
pub(crate) struct Accounts {
    cx: Arc<Context>,
    bodies: Arc<Bodies>,
    spools: Arc<Spools>,
    hints: Arc<Hints>,
    open: Mutex<BTreeMap<Account, Held>>,
    uses: AtomicU64,
}

struct Held {
    log: Arc<OnceCell<Arc<AccountLog>>>,
    used: u64,
}

impl Accounts {
    pub(crate) fn new(
        cx: Arc<Context>,
        bodies: Arc<Bodies>,
        spools: Arc<Spools>,
        hints: Arc<Hints>,
    ) -> Self {
        Self { cx, bodies, spools, hints, open: Mutex::default(), uses: AtomicU64::new(0) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Account, Held>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log of an account, opened once however many ask.
    pub(crate) async fn get(&self, account: Account) -> Result<Arc<AccountLog>, LogError> {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        let cell = {
            let mut open = self.lock();
            let held = open.entry(account).or_insert_with(|| Held { log: Arc::default(), used });
            held.used = used;
            held.log.clone()
        };
        let opened = cell
            .get_or_try_init(|| async {
                AccountLog::open(&self.cx, &self.bodies, &self.spools, &self.hints, account)
                    .await
                    .map(Arc::new)
            })
            .await
            .cloned();
        if opened.is_err() {
            self.forget_unopened(account);
        }
        if used.is_multiple_of(WEIGH_EVERY) {
            self.shrink();
        }
        opened
    }

    /// Voids what cannot be replayed, and forgets what is open of the account.
    pub(crate) async fn repair(
        &self,
        account: Account,
        reason: &str,
    ) -> Result<Vec<Seq>, LogError> {
        let voided =
            account::repair(&self.cx, &self.bodies, &self.spools, &self.hints, account, reason)
                .await?;
        self.lock().remove(&account);
        Ok(voided)
    }

    /// Open logs of these accounts, whatever their epoch.
    pub(crate) fn of(&self, ids: &[AccountId]) -> Vec<Arc<AccountLog>> {
        let open = self.lock();
        let epochs = |id| {
            let first = Account { id, epoch: Epoch(0) };
            open.range(first..=Account { id, epoch: Epoch(u32::MAX) })
        };
        ids.iter()
            .flat_map(|id| epochs(*id))
            .filter_map(|(_, held)| held.log.get().cloned())
            .collect()
    }

    /// All open logs.
    pub(crate) fn all(&self) -> Vec<Arc<AccountLog>> {
        self.lock().values().filter_map(|held| held.log.get().cloned()).collect()
    }

    fn forget_unopened(&self, account: Account) {
        let mut open = self.lock();
        if open.get(&account).is_some_and(|held| held.log.get().is_none()) {
            open.remove(&account);
        }
    }

    /// Lets the least recently used go while the rest is over the bound (I8). A log that somebody
    /// uses stays, so that its lane stays the only one in this process [T].
    fn shrink(&self) {
        let mut open = self.lock();
        let mut idle: Vec<(u64, Account, usize)> = Vec::new();
        let mut bytes = 0;
        for (account, held) in open.iter() {
            let Some(log) = held.log.get() else { continue };
            let weight = LOG_BYTES + log.memory();
            bytes += weight;
            if Arc::strong_count(log) == 1 && Arc::strong_count(&held.log) == 1 {
                idle.push((held.used, *account, weight));
            }
        }
        idle.sort_unstable();
        for (_, account, weight) in idle {
            if bytes <= self.cx.options.accounts_bytes_max {
                break;
            }
            open.remove(&account);
            bytes -= weight;
        }
    }
}
