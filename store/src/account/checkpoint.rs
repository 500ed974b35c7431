//! Reading checkpoints. Where there is none, the log is read from its first entry.
use super::{AccountLog, LogError, Turn};
use crate::context::Context;
use crate::rows::Pointer;
use crate::state::State;
use mail::Account;

pub(super) async fn read(
    _cx: &Context,
    account: Account,
    pointer: &Pointer,
) -> Result<Option<State>, LogError> {
    match pointer.checkpoint {
        None => Ok(Some(State::new(account))),
        Some(_) => Ok(None),
    }
}

impl AccountLog {
    pub(super) async fn checkpoint_in_turn(&self, _turn: &Turn<'_>) -> Result<(), LogError> {
        Err(LogError::Behind)
    }
}
