//! What an administrator does, as typed functions: the commands of `postroad` are thin over them,
//! and so will an admin API be. They work while servers run on the same store: every change is
//! decided on the directory's newest state and made only if nobody else changed it meanwhile.

mod accounts;
mod aliases;
mod dns;
mod doctor;
mod domains;
mod keys;
mod queue;
mod refusals;
mod reports;
mod trace;

use mail::{Address, Domain};
use store::LogError;
use store::directory::DirectoryError;
use store::rows::DirectoryChange;
use store::{Directory, Store};

pub use accounts::{AccountDetails, AccountSummary, NewAccount, Quota, RemovedAccount, Used};
pub use aliases::AliasInfo;
pub use dns::{DnsCheck, DnsRecord, Looker, Publishing, txt_line};
pub use doctor::{Check, Report, Surroundings, ToldTime, Verdict};
pub use domains::{DomainDetails, DomainSummary};
pub use keys::KeyInfo;
pub use queue::{
    QueueAct, QueueAttempt, QueueCount, QueueDetails, QueueFilter, QueueItem, QueueRecipient,
    QueueRemembered,
};
pub use refusals::{RuleInfo, UnmatchedInfo, rules};
pub use reports::{ReportFailure, ReportInfo, ReportSums, SourceSums, TlsPolicySums};
pub use trace::{Trace, TraceStep};

/// Others' changes that may come first before a change is given up.
const CONFLICTS_MAX: u32 = 64;

/// Why something was not done. Nothing was changed, but for [`AdminError::Unknown`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// What was named is not there.
    #[error("no such {what}: {name}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// Its name, as given.
        name: String,
    },
    /// It is there already.
    #[error("{name} exists already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// It cannot be as asked.
    #[error("{problem}")]
    Invalid {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// Others changed the directory all the time.
    #[error("others changed the directory at the same time, too often")]
    Busy,
    /// The change may have been made.
    #[error("the store did not say whether it made the change")]
    Unknown,
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// What is stored is not what was written.
    #[error("stored data are damaged: {0}")]
    Damaged(String),
}

impl AdminError {
    /// What to do about it: one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "the `list` command shows what there is",
            Self::Exists { .. } => "choose another name, or remove that one first",
            Self::Invalid { hint, .. } => hint,
            Self::Busy => "try again",
            Self::Unknown => "look with the `show` command before trying again",
            Self::Unavailable(_) => "check the store's folder, and `postroad doctor`",
            Self::Damaged(_) => "run `postroad doctor`, and restore from a backup if it agrees",
        }
    }

    fn invalid(problem: impl Into<String>, hint: &'static str) -> Self {
        Self::Invalid { problem: problem.into(), hint }
    }
}

impl From<DirectoryError> for AdminError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Conflict => Self::Busy,
            DirectoryError::Unknown => Self::Unknown,
            DirectoryError::TooLarge(_) => Self::invalid(
                "it does not fit into one row of the directory",
                "use shorter names, fewer targets or fewer addresses",
            ),
            DirectoryError::Damaged(cause) => Self::Damaged(cause.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<LogError> for AdminError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unknown => Self::Unknown,
            LogError::Behind => Self::Busy,
            LogError::Unavailable(_) | LogError::Full => Self::Unavailable(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<engine::ReadError> for AdminError {
    fn from(error: engine::ReadError) -> Self {
        match error {
            engine::ReadError::Damaged(cause) => Self::Damaged(cause.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<engine::WriteError> for AdminError {
    fn from(error: engine::WriteError) -> Self {
        match error {
            engine::WriteError::Conflict => Self::Busy,
            engine::WriteError::Unknown(_) => Self::Unknown,
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The administrator's hands on one store.
#[derive(Clone, Debug)]
pub struct Admin {
    store: Store,
    /// PBKDF2 iterations of new passwords.
    iterations: u32,
}

impl Admin {
    /// Works on `store`; new passwords get so many iterations of PBKDF2.
    #[must_use]
    pub const fn new(store: Store, iterations: u32) -> Self {
        Self { store, iterations }
    }

    /// Clock, randomness and all else below.
    #[must_use]
    pub fn engines(&self) -> &engine::Engines {
        self.store.engines()
    }

    fn directory(&self) -> &Directory {
        self.store.directory()
    }

    /// Sees the directory as it is now, not as this process remembers it.
    async fn look(&self) -> Result<&Directory, AdminError> {
        self.directory().apply_new().await?;
        self.directory().refresh();
        Ok(self.directory())
    }

    /// Decides on the newest state and makes the changes if it still is that; else decides again.
    /// `decide` must have no effect but its answer.
    async fn change<T>(
        &self,
        decide: impl AsyncFn(&Directory) -> Result<(Vec<DirectoryChange>, T), AdminError>,
    ) -> Result<T, AdminError> {
        for _ in 0..CONFLICTS_MAX {
            let base = self.directory().apply_new().await?;
            self.directory().refresh();
            let (changes, told) = decide(self.directory()).await?;
            if changes.is_empty() {
                return Ok(told);
            }
            match self.directory().change_at(base, changes).await {
                Ok(_) => return Ok(told),
                Err(DirectoryError::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(AdminError::Busy)
    }
}

/// A domain's name as people write it.
fn domain_name(text: &str) -> Result<Domain, AdminError> {
    let wrong = || {
        AdminError::invalid(
            format!("not a domain name: {text}"),
            "write it like example.org; other scripts are fine",
        )
    };
    let domain = Domain::parse(text).map_err(|_| wrong())?;
    if domain.is_literal() { Err(wrong()) } else { Ok(domain) }
}

/// An address as people write it.
fn address(text: &str) -> Result<Address, AdminError> {
    Address::parse(text).map_err(|_| {
        AdminError::invalid(format!("not an address: {text}"), "write it like ana@example.org")
    })
}

/// An address that may become an account's or an alias's: of a domain of ours.
async fn own_address(directory: &Directory, text: &str) -> Result<Address, AdminError> {
    let address = address(text)?;
    if directory.domain(address.domain()).await?.is_some() {
        return Ok(address);
    }
    Err(AdminError::invalid(
        format!("{} is not a domain of this office", address.domain()),
        "add the domain first: postroad domain add",
    ))
}

#[cfg(test)]
mod tests;
