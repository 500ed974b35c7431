//! The directory: which domains, addresses and accounts there are.
//!
//! Reads are one row each, kept in memory for at most a second. Changes go into the change log
//! first and become rows by [`Directory::apply_new`], here as in every other region [q].

mod apply;
mod cache;
mod list;
mod resolve;
mod signing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::{Cause, ReadError, WriteError};
use mail::{Account, AccountId, Address, Domain, Epoch};

use crate::context::Context;
use crate::rows::{self, AccountRow, AddressRow, DirectoryNumber, DomainRow};

use cache::Cache;
pub use list::ListCursor;
pub use resolve::{EXPANDED_MAX, Expanded, Resolution};

/// Looked up for a user who is not there, so that this takes as long as for one who is.
const NOBODY: AccountId = AccountId([0; 16]);

/// An account of the directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: AccountId,
    /// Its row.
    pub row: Arc<AccountRow>,
}

impl Entry {
    /// Its log.
    #[must_use]
    pub fn account(&self) -> Account {
        Account { id: self.id, epoch: Epoch(self.row.epoch) }
    }
}

/// Why the directory gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Nothing was changed; try again later.
    #[error("directory unavailable: {0}")]
    Unavailable(Cause),
    /// Somebody else's change came first and nothing was changed: apply it, look again, decide
    /// again.
    #[error("another change came first")]
    Conflict,
    /// The change may have been made: look before making it again.
    #[error("whether the directory was changed is not known")]
    Unknown,
    /// The change does not fit one row of the log, or a row. Ask for less at once.
    #[error("too much for one change: {0}")]
    TooLarge(Cause),
    /// What is stored is not what was written. A person must look.
    #[error("directory data damaged: {0}")]
    Damaged(Cause),
}

impl From<ReadError> for DirectoryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(cause) => Self::Damaged(cause),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<WriteError> for DirectoryError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict => Self::Conflict,
            WriteError::Unknown(_) => Self::Unknown,
            WriteError::Refused(cause) => Self::TooLarge(cause),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

/// The directory as this region has it.
pub struct Directory {
    cx: Arc<Context>,
    cache: Cache,
    signing: signing::Known,
    /// One change or apply at a time in this process; others find theirs done.
    applying: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

impl Directory {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        Self {
            cache: Cache::new(cx.clone()),
            signing: signing::Known::default(),
            cx,
            applying: tokio::sync::Mutex::new(()),
        }
    }

    /// A domain of ours.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn domain(&self, domain: &Domain) -> Result<Option<Arc<DomainRow>>, DirectoryError> {
        let row = self.cache.get::<DomainRow>(rows::domain_key(domain)).await?;
        Ok(row.filter(|row| !row.tombstone))
    }

    /// The row of exactly this address.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn address(
        &self,
        address: &Address,
    ) -> Result<Option<Arc<AddressRow>>, DirectoryError> {
        let row = self.cache.get::<AddressRow>(rows::address_key(address)).await?;
        Ok(row.filter(|row| **row != AddressRow::Tombstone))
    }

    /// An account.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn account(&self, id: AccountId) -> Result<Option<Entry>, DirectoryError> {
        let row = self.cache.get::<AccountRow>(rows::account_key(id)).await?;
        Ok(row.filter(|row| !row.tombstone).map(|row| Entry { id, row }))
    }

    /// The account that logs in by this name: the address itself must be the account's, no alias,
    /// no detail. Read strongly, so that a new password, or a closed account, counts at once at
    /// every edge. Two reads, known user or not (C1).
    /// # Errors
    /// [`DirectoryError`].
    pub async fn login(&self, name: &Address) -> Result<Option<Entry>, DirectoryError> {
        let row = self.cache.fresh::<AddressRow>(rows::address_key(name)).await?;
        let id = match row.as_deref() {
            Some(AddressRow::Account(id)) => Some(*id),
            _ => None,
        };
        let row = self.cache.fresh::<AccountRow>(rows::account_key(id.unwrap_or(NOBODY))).await?;
        let row = row.filter(|row| !row.tombstone);
        Ok(id.zip(row).map(|(id, row)| Entry { id, row }))
    }

    /// Whether an account may use this address as a sender: its own ones, their `+detail`, and
    /// aliases that name only it.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn may_send_as(
        &self,
        account: &Entry,
        address: &Address,
    ) -> Result<bool, DirectoryError> {
        let base = address.without_detail();
        for candidate in [Some(address), base.as_ref()].into_iter().flatten() {
            match self.address(candidate).await?.as_deref() {
                Some(AddressRow::Account(id)) => return Ok(*id == account.id),
                Some(AddressRow::Alias(targets)) => {
                    let [only] = &targets[..] else { return Ok(false) };
                    return Ok(matches!(
                        self.address(only).await?.as_deref(),
                        Some(AddressRow::Account(id)) if *id == account.id
                    ));
                }
                // Whom a group lets send is its members' business, not the address's.
                Some(AddressRow::Group(_)) => return Ok(false),
                Some(AddressRow::Tombstone) | None => {}
            }
        }
        Ok(false)
    }

    /// Forgets what is in memory: the next reads are strong.
    pub fn refresh(&self) {
        self.cache.clear();
    }

    /// A fresh account id.
    #[must_use]
    pub fn fresh_account(&self) -> AccountId {
        AccountId(self.cx.engines.random.bytes())
    }

    /// Number of the first epoch's "nothing yet".
    pub(crate) const START: DirectoryNumber = DirectoryNumber { epoch: 1, n: 0 };
}
