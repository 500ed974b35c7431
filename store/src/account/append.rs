//! Appending one entry: room first, then the body if it is large, then the row.

use engine::{Event, Op};
use mail::Seq;

use super::ring::Placed;
use super::{AccountLog, Changed, LogError, Turn};
use crate::change::{Change, MailboxChange};
use crate::entry::Entry;
use crate::names;
use crate::place::ObjectNonce;
use crate::rows::RING;

/// An entry that has been made for a seq and can be put.
pub(super) struct Prepared {
    pub(super) entry: Entry,
    pub(super) row_bytes: usize,
    pub(super) op: Op,
}

impl AccountLog {
    /// Appends `change` as the next entry. `None`: somebody else's entry came first; the state
    /// has caught up, decide again.
    pub(super) async fn append(
        &self,
        turn: &Turn<'_>,
        change: Change,
    ) -> Result<Option<Changed>, LogError> {
        let empties = matches!(
            change,
            Change::Expunge { .. }
                | Change::Reloc { .. }
                | Change::Mailbox(MailboxChange::Delete { .. })
        );
        let prepared = self.prepare(turn, change).await?;
        match self.ring.put(&prepared.op).await? {
            Placed::Ours => {
                let changed = self.appended(&prepared)?;
                self.ask_if_due().await;
                if empties {
                    self.ask_to_clean().await;
                }
                Ok(Some(changed))
            }
            Placed::Theirs => {
                self.catch_up(turn).await?;
                Ok(None)
            }
        }
    }

    /// Makes the next entry and whatever must be durable before its row.
    pub(super) async fn prepare(
        &self,
        turn: &Turn<'_>,
        change: Change,
    ) -> Result<Prepared, LogError> {
        let decided = self.seq();
        self.make_room(turn).await?;
        // Making room may have read what others appended: then it is decided again.
        if self.seq() != decided {
            return Err(LogError::Behind);
        }
        let time = self.cx.engines.index.now();
        let (entry, first) = {
            let loaded = self.read_state();
            self.sights.check(&loaded.state, &change)?;
            let entry = loaded.state.entry(change, self.cx.nonce(), time)?;
            (entry, loaded.pointer.first)
        };
        let object = ObjectNonce(self.cx.engines.random.bytes());
        let encoded = entry.encode(object).map_err(|_| LogError::TooLarge)?;
        if let Some((nonce, body)) = &encoded.object {
            self.cx
                .put_fresh(&names::entry(self.account, *nonce), std::slice::from_ref(body))
                .await?;
        }
        let op = self.ring.put_op(entry.seq, entry.nonce, &encoded, first);
        Ok(Prepared { entry, row_bytes: encoded.row.len(), op })
    }

    /// The entry is durable: replays it, and wakes whoever waits for it.
    pub(super) fn appended(&self, prepared: &Prepared) -> Result<Changed, LogError> {
        let effects = self.apply(&prepared.entry, prepared.row_bytes)?;
        if self.cx.options.hint_rows.is_some() {
            self.hints.note(self.account);
        }
        let accounts = std::sync::Arc::from([self.account.id]);
        self.cx.engines.events.publish(Event::Accounts(accounts));
        Ok(Changed { seq: prepared.entry.seq, effects })
    }

    /// [A]: the row that the next entry overwrites has to be in a checkpoint.
    async fn make_room(&self, turn: &Turn<'_>) -> Result<(), LogError> {
        let (next, checkpointed) = {
            let loaded = self.read_state();
            (loaded.state.seq().next(), loaded.pointer.checkpointed())
        };
        if next > Seq(checkpointed.0 + RING) {
            self.checkpoint_in_turn(turn, RING).await?;
        }
        Ok(())
    }
}
