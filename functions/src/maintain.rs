//! `maintain`: what makes events optional, and what keeps the store small.
//!
//! **Wakes it:** the clock, a start, a gap in the events, an account that asks. **Reads:** writer
//! rows, listings, claims, accounts. **Writes:** tombstones, watermarks, checkpoints, account
//! segments and the entries that name them or let them go. **Deletes:** only what every log that
//! could name it has let go (I5).
//!
//! **A second run is harmless:** a hole is closed by a put that fails if anything is there, a
//! watermark and a pointer move by compare-and-set, copies that nothing names are let go by an
//! entry before they are deleted.

mod account;
mod audit;
mod made;
mod reached;
mod removed;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use engine::ObjectKey;
use mail::{Account, WriterId};
use store::Store;
use store::rows::MaintenanceWhy;
use tokio::sync::Mutex;

use crate::handler::{Error, Handler, Outcome};

/// Accounts looked at in one go.
const ACCOUNTS_MAX: usize = 256;

/// The handler. One per process, so that it knows the holes it saw.
#[derive(Debug)]
pub struct Maintain {
    store: Store,
    holes: Mutex<BTreeSet<(WriterId, u64)>>,
    /// How far what functions made was looked at.
    made: Mutex<Option<ObjectKey>>,
}

/// What `maintain` is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Look at every writer.
    Sweep,
    /// Look at the accounts that asked for it.
    Asked,
    /// Look at this account. `all`: compact it, however little there is to do.
    Account {
        /// The account.
        account: Account,
        /// Compact it in any case.
        all: bool,
    },
    /// Look at every claim.
    Audit,
}

impl Maintain {
    /// A maintainer of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, holes: Mutex::default(), made: Mutex::default() }
    }

    async fn one(&self, task: Task) -> Result<(), Error> {
        match task {
            Task::Sweep => self.sweep().await,
            Task::Asked => self.asked().await,
            Task::Account { account, all } => {
                let kept = account::keep(&self.store, account, all).await?;
                if !kept.released.is_empty() {
                    self.audit(false).await?;
                }
                Ok(())
            }
            Task::Audit => self.audit(true).await,
        }
    }

    async fn sweep(&self) -> Result<(), Error> {
        // [α]: before anything here needs room.
        if let Err(why) = self.store.space().tend_ballast().await {
            tracing::warn!(%why, "cannot tend the ballast");
        }
        let mut holes = self.holes.lock().await;
        let swept = sweep::sweep(&self.store, &mut holes).await?;
        if swept.holes > 0 {
            tracing::info!(holes = swept.holes, "holes among ingest segments");
        }
        for key in swept.open {
            self.store.engines().events.publish(engine::Event::Object(key));
        }
        Ok(())
    }

    /// Each account that asked; one that cannot be kept holds up no other.
    async fn asked(&self) -> Result<(), Error> {
        let mut released = false;
        let asked = self.store.items().maintenance(ACCOUNTS_MAX).await?;
        let mut done = BTreeSet::new();
        for (key, account, why) in asked {
            if why == MaintenanceWhy::Removed {
                match removed::erase(&self.store, account).await {
                    Ok(erased) => released |= erased,
                    Err(why) => {
                        tracing::warn!(%account, %why, "a removed account is erased later");
                        continue;
                    }
                }
            } else if !done.contains(&account) {
                match account::keep(&self.store, account, false).await {
                    Ok(kept) => released |= !kept.released.is_empty(),
                    Err(why) if account::is_lasting(&why) => {
                        // The account asks again with its next entries; `doctor` shows it [U].
                        tracing::error!(%account, %why, "an account cannot be kept");
                    }
                    Err(why) => {
                        tracing::warn!(%account, %why, "an account is kept later");
                        continue;
                    }
                }
                done.insert(account);
            }
            self.store.items().maintained(&key).await?;
        }
        if released {
            self.audit(false).await?;
        }
        Ok(())
    }

    async fn audit(&self, compact_old: bool) -> Result<(), Error> {
        if compact_old {
            audit::parked(&self.store).await?;
        }
        let audited = audit::audit(&self.store).await?;
        if audited.deleted > 0 {
            tracing::info!(deleted = audited.deleted, "ingest segments deleted");
        }
        if compact_old {
            audit::items(&self.store).await?;
            let mut after = self.made.lock().await;
            let seen = made::audit(&self.store, after.as_ref()).await?;
            after.clone_from(&seen.next);
            if seen.deleted > 0 {
                tracing::info!(deleted = seen.deleted, "made messages deleted");
            }
            for account in audited.old.union(&seen.old).copied() {
                account::keep(&self.store, account, true).await?;
            }
        }
        Ok(())
    }
}

impl Handler for Maintain {
    type Event = Vec<Task>;

    async fn handle(&self, tasks: Vec<Task>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(tasks.len());
        for task in tasks {
            outcomes.push(match self.one(task).await {
                Ok(()) => Outcome::Done,
                Err(why) => {
                    let now = self.store.engines().index.now();
                    Outcome::Later { at: now.after(self.store.options().timing.sweep), why }
                }
            });
        }
        outcomes
    }
}
