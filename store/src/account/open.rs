//! Reading an account: pointer row, checkpoint, ring [A, I].

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{Consistency, Version};
use mail::{Account, Seq};

use super::LogError;
use super::ring::Ring;
use crate::change::{Change, Effects};
use crate::context::{Context, damaged};
use crate::entry::Entry;
use crate::rows::{self, Pointer, RowValue};
use crate::state::State;

/// Starts from the pointer row before giving up for now.
const TRIES_MAX: u32 = 8;

/// An account as this process has it in memory.
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) pointer: Pointer,
    /// `None`: there is no pointer row yet.
    pub(super) version: Option<Version>,
    /// Bytes of the rows after the checkpoint.
    pub(super) tail_bytes: u64,
    /// Whether `maintain` was asked for a checkpoint since the last one.
    pub(super) asked: bool,
    /// Whether it was asked to delete what nothing lives in any more, since then.
    pub(super) asked_to_clean: bool,
}

impl Loaded {
    /// Replays the next entry.
    pub(super) fn apply(&mut self, entry: &Entry, row_bytes: usize) -> Result<Effects, LogError> {
        let effects = self.state.apply(entry).map_err(|error| {
            tracing::error!(account = %self.state.account(), seq = %entry.seq, %error,
                "an entry cannot be replayed");
            LogError::Broken { seq: entry.seq }
        })?;
        self.tail_bytes += u64::try_from(row_bytes).unwrap_or(u64::MAX);
        Ok(effects)
    }

    /// Entries after the checkpoint.
    pub(super) fn tail_entries(&self) -> u64 {
        self.state.seq().0.saturating_sub(self.pointer.checkpointed().0)
    }
}

/// The pointer row; the default one where there is none.
pub(super) async fn pointer(
    cx: &Context,
    account: Account,
) -> Result<(Pointer, Option<Version>), LogError> {
    let row = cx.engines.index.get(&rows::pointer_key(account), Consistency::Strong).await?;
    Ok(match row {
        Some(row) => (Pointer::decode(&row.value).map_err(damaged)?, Some(row.version)),
        None => (Pointer::default(), None),
    })
}

/// Reads the whole state, strongly. Starts again where the log moved on while it was read.
pub(super) async fn load(
    cx: &Arc<Context>,
    ring: &Ring,
    account: Account,
) -> Result<Loaded, LogError> {
    load_without(cx, ring, account, &BTreeSet::new()).await
}

/// As [`load`], passing over these entries as if they were voided [U].
pub(super) async fn load_without(
    cx: &Arc<Context>,
    ring: &Ring,
    account: Account,
    without: &BTreeSet<Seq>,
) -> Result<Loaded, LogError> {
    let mut missing = None;
    for _ in 0..TRIES_MAX {
        let (pointer, version) = pointer(cx, account).await?;
        let Some(state) = super::checkpoint::read(cx, account, &pointer).await? else {
            // I5: a checkpoint goes only after the pointer has moved on, so look again; if it has
            // not moved, the checkpoint is lost.
            if missing == Some(version) {
                return Err(LogError::Damaged("the checkpoint is not there".into()));
            }
            missing = Some(version);
            continue;
        };
        let (asked, asked_to_clean, tail_bytes) = (false, false, 0);
        let mut loaded = Loaded { state, pointer, version, tail_bytes, asked, asked_to_clean };
        match replay(ring, &mut loaded, without).await {
            Ok(true) => return Ok(loaded),
            Ok(false) | Err(LogError::Behind) => {}
            Err(error) => return Err(error),
        }
    }
    Err(LogError::Behind)
}

/// Replays the ring onto the checkpoint. `false`: there is a gap, for the log moved on [X].
async fn replay(
    ring: &Ring,
    loaded: &mut Loaded,
    without: &BTreeSet<Seq>,
) -> Result<bool, LogError> {
    let rows = ring.rows().await?;
    let newest = rows.last_key_value().map_or(Seq(0), |(seq, _)| *seq);
    let mut tail = Vec::new();
    let mut voided = without.clone();
    let mut next = loaded.state.seq().next();
    while let Some(row) = rows.get(&next) {
        let entry = match ring.decode(next, row).await {
            Ok(entry) => Some(entry),
            // [U]: nobody can read it, which is no matter if it is voided.
            Err(LogError::Broken { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(Change::Void { seq, .. }) = entry.as_ref().map(|entry| &entry.change) {
            voided.insert(*seq);
        }
        tail.push((next, row.len(), entry));
        next = next.next();
    }
    // A row that is newer than the last one in order: entries in between were overwritten.
    if newest >= next {
        return Ok(false);
    }
    for (seq, row_bytes, entry) in tail {
        match entry {
            _ if voided.contains(&seq) => loaded.state.skip(seq)?,
            Some(entry) => {
                loaded.apply(&entry, row_bytes)?;
            }
            None => return Err(LogError::Broken { seq }),
        }
    }
    Ok(true)
}
