//! The ring of 128 rows that holds the tail of an account's log [A].
//!
//! Entry `seq` lies in slot `seq mod 128` and is put only over version `seq − 128`, which has to
//! be in a checkpoint already. No row is ever deleted: a late append always fails, and a number
//! is never written twice (I2).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine::{Consistency, Expect, Key, Nonce, Op, Order, Range, Row, Version, WriteError};
use mail::{Account, Seq};

use super::LogError;
use crate::context::Context;
use crate::entry::{Decoded, Encoded, Entry, Header};
use crate::names;
use crate::rows::{self, RING};

/// Tries of a put or a read-back whose outcome is not known, before the caller is told so.
const TRIES_MAX: u32 = 8;

/// What one slot says about one seq.
pub(super) enum Slot {
    /// The entry of that seq, as its row.
    Here(Bytes),
    /// Not written yet: the slot is empty or holds the entry one lap before.
    Free,
    /// Overwritten by a later lap: start again from the pointer row.
    Lapped,
}

/// How putting an entry ended. "Unknown" is not success: it is an error of the caller's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is entry `seq`, durable.
    Ours,
    /// Somebody else's entry has this seq.
    Theirs,
}

/// An account's rows.
pub(super) struct Ring {
    cx: Arc<Context>,
    account: Account,
}

impl Ring {
    pub(super) const fn new(cx: Arc<Context>, account: Account) -> Self {
        Self { cx, account }
    }

    pub(super) fn key(&self, seq: Seq) -> Key {
        rows::entry_key(self.account, seq)
    }

    /// Reads the slot of `seq`, strongly.
    pub(super) async fn slot(&self, seq: Seq) -> Result<Slot, LogError> {
        let row = self.cx.engines.index.get(&self.key(seq), Consistency::Strong).await?;
        Ok(match row {
            Some(row) if row.version.0 == seq.0 => Slot::Here(row.value),
            Some(row) if row.version.0 > seq.0 => Slot::Lapped,
            Some(_) | None => Slot::Free,
        })
    }

    /// All rows of the ring, by seq. Not one instant: a row may be newer than those before it.
    pub(super) async fn rows(&self) -> Result<BTreeMap<Seq, Bytes>, LogError> {
        // Entries lie behind the pointer, in the order of their slots; slot 0 is the first.
        let first = self.key(Seq(0));
        let range = Range {
            partition: first.partition,
            from: Some(first.sort),
            to: None,
            order: Order::Forward,
            limit: usize::try_from(RING).unwrap_or(usize::MAX),
            consistency: Consistency::Strong,
        };
        let rows = self.cx.engines.index.range(&range).await?;
        Ok(rows.into_iter().map(|(_, row)| (Seq(row.version.0), row.value)).collect())
    }

    /// The entry in a row; its body may be an object.
    pub(super) async fn decode(&self, seq: Seq, row: &Bytes) -> Result<Entry, LogError> {
        let broken = |_| LogError::Broken { seq };
        let entry = match Entry::decode(row).map_err(broken)? {
            Decoded::Whole(entry) => entry,
            Decoded::Pending(pending) => {
                let key = names::entry(self.account, pending.object());
                match self.cx.engines.objects.get(&key).await? {
                    Some(bytes) => pending.finish(&bytes).map_err(broken)?,
                    // I5: a body goes only after a checkpoint has its entry; this one is behind.
                    None => return Err(LogError::Behind),
                }
            }
        };
        // I2: a row holds the entry that its version says, or nothing is replayed.
        if entry.seq == seq { Ok(entry) } else { Err(LogError::Broken { seq }) }
    }

    /// The operation that puts entry `seq`; `first` is the first seq of this epoch.
    pub(super) fn put_op(&self, seq: Seq, nonce: Nonce, encoded: &Encoded, first: Seq) -> Op {
        let expect = if seq.0 < first.0 + RING {
            Expect::Absent
        } else {
            Expect::Version(Version(seq.0 - RING))
        };
        let row = Row { value: encoded.row.clone(), version: Version(seq.0), nonce, expiry: None };
        Op::Put { key: self.key(seq), row, expect }
    }

    /// Puts an entry and pursues an unknown outcome by reading its slot back.
    /// # Errors
    /// [`LogError::Unknown`]: it may be there, or come to be. [`LogError::Behind`]: it was lapped.
    /// Else it is certainly not there.
    pub(super) async fn put(&self, op: &Op) -> Result<Placed, LogError> {
        let Op::Put { key, row, expect } = op else { return Err(LogError::Behind) };
        let answer = self.cx.engines.index.put_if(key, row.clone(), *expect).await;
        self.settle(op, answer).await
    }

    /// Goes on from an answer to `op`, given by a batch or a single call, to a fact.
    pub(super) async fn settle(
        &self,
        op: &Op,
        mut answer: Result<(), WriteError>,
    ) -> Result<Placed, LogError> {
        let Op::Put { key, row, expect } = op else { return Err(LogError::Behind) };
        let seq = Seq(row.version.0);
        let mut backoff = self.cx.backoff();
        let mut may_land = false;
        for _ in 0..TRIES_MAX {
            match answer {
                Ok(()) => return Ok(Placed::Ours),
                Err(WriteError::Conflict) if !may_land => return self.whose(seq, row.nonce).await,
                Err(WriteError::Conflict) => match self.whose(seq, row.nonce).await {
                    Ok(placed) => return Ok(placed),
                    // Lapped: whether it was ours before that, nobody can tell from the slot.
                    Err(LogError::Behind) => return Err(LogError::Unknown),
                    Err(error) => tracing::warn!(%error, "cannot read an entry's slot back"),
                },
                Err(WriteError::Unknown(_)) => may_land = true,
                Err(error) if !may_land => return Err(error.into()),
                Err(_) => {}
            }
            backoff.pause().await;
            // The same row with the same nonce: whichever try lands, it is one entry [M].
            answer = self.cx.engines.index.put_if(key, row.clone(), *expect).await;
        }
        Err(if may_land { LogError::Unknown } else { LogError::Behind })
    }

    /// Whose entry has this seq, after a condition that failed.
    async fn whose(&self, seq: Seq, nonce: Nonce) -> Result<Placed, LogError> {
        match self.slot(seq).await? {
            Slot::Here(row) => {
                let header = Header::decode(&row).map_err(|_| LogError::Broken { seq })?;
                Ok(if header.nonce == nonce { Placed::Ours } else { Placed::Theirs })
            }
            // The slot holds another lap than expected: what we know of the log is wrong.
            Slot::Free | Slot::Lapped => Err(LogError::Behind),
        }
    }
}
