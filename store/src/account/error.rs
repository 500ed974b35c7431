//! Why an account's log gave no answer.

use engine::{Cause, ReadError, WriteError};
use mail::Seq;

use crate::state::Unreplayable;

/// Why an account's log could not be read or appended to. Variants differ by what the caller does
/// next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Nothing was changed; the store is not there now. Try again later.
    #[error("account log unavailable: {0}")]
    Unavailable(Cause),
    /// Nothing was changed; no room is left. Try again later; deleting may help.
    #[error("no room left for the account log")]
    Full,
    /// The change may have been made, or may yet be. Never success and never failure: end the
    /// session without a reply, or look at the log again before acting.
    #[error("whether the account log was changed is not known")]
    Unknown,
    /// Nothing was changed; others append so fast that the log could not be followed. Try again.
    #[error("account log moves on too fast")]
    Behind,
    /// The entry cannot be replayed: this account stands until an admin repairs it; mail for it
    /// is parked [U].
    #[error("entry {seq} of the account log cannot be replayed")]
    Broken {
        /// The entry.
        seq: Seq,
    },
    /// The log is closed: the account lives on in another region or epoch [n].
    #[error("account log is closed; it goes on in region {region}, epoch {epoch}")]
    Fenced {
        /// Where to.
        region: String,
        /// Which epoch there.
        epoch: u32,
    },
    /// The change does not fit one entry. Ask for less at once.
    #[error("change too large for one entry")]
    TooLarge,
    /// Nothing was changed: the change contradicts the state it was decided on.
    #[error("the change contradicts the account's state: {0}")]
    Contradiction(#[from] Unreplayable),
    /// What is stored is not what was written. A person must look.
    #[error("account data damaged: {0}")]
    Damaged(Cause),
}

impl LogError {
    /// Whether the account itself is at fault, so that trying again does not help and its mail has
    /// to be parked [U].
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Damaged(_) | Self::TooLarge)
    }
}

impl From<ReadError> for LogError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(cause) => Self::Damaged(cause),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

/// For writes of fresh names, where a conflict or an unknown outcome harms nobody: see each use.
impl From<WriteError> for LogError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Unknown(_) => Self::Unknown,
            WriteError::Full(_) => Self::Full,
            WriteError::Conflict => Self::Behind,
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The decider refused, on the newest state.
    #[error("refused: {0}")]
    Refused(E),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
}
