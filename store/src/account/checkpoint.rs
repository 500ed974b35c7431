//! Checkpoints: making them, and reading an account from one [A, I].
//!
//! Objects have fresh names and are put before the pointer row names them; the row moves by
//! compare-and-set. So a checkpointer that stalls fails at the row, and what it put is an orphan.

use std::time::Duration;

use bytes::Bytes;
use engine::{Expect, Row, Version, WriteError};
use mail::{Account, Timestamp};

use super::open;
use super::{AccountLog, LogError, Turn};
use crate::checkpoint::{Plan, PlanError, Planner, Root, Wanted};
use crate::context::{Context, damaged, too_large};
use crate::names;
use crate::place::ObjectNonce;
use crate::rows::{self, CheckpointRef, Pointer, RowValue};
use crate::state::State;

/// Tries to make one checkpoint while others are at it too.
const TRIES_MAX: u32 = 6;

/// The state at the pointer's checkpoint; `None`: its objects are not there (any more).
pub(super) async fn read(
    cx: &Context,
    account: Account,
    pointer: &Pointer,
) -> Result<Option<State>, LogError> {
    match pointer.checkpoint {
        None => Ok(Some(State::new(account))),
        Some(checkpoint) => read_at(cx, account, checkpoint).await,
    }
}

/// The state at this checkpoint; `None`: its objects are not there (any more).
pub(super) async fn read_at(
    cx: &Context,
    account: Account,
    checkpoint: CheckpointRef,
) -> Result<Option<State>, LogError> {
    let key = names::checkpoint(account, checkpoint.seq, checkpoint.nonce);
    let Some(object) = cx.engines.objects.get(&key).await? else { return Ok(None) };
    let root = Root::decode(account, checkpoint, &object).map_err(damaged)?;
    let Some(got) = get(cx, root.wanted()).await? else { return Ok(None) };
    Ok(Some(root.finish(&got).map_err(damaged)?))
}

/// What is wanted, in order; `None`: one of the objects is not there.
async fn get(cx: &Context, wanted: &[Wanted]) -> Result<Option<Vec<Vec<Bytes>>>, LogError> {
    let mut all = Vec::with_capacity(wanted.len());
    for one in wanted {
        let Some(got) = cx.engines.objects.get_ranges(&one.key, &one.ranges).await? else {
            return Ok(None);
        };
        all.push(got);
    }
    Ok(Some(all))
}

/// How putting the pointer row ended.
enum Moved {
    Done,
    /// Somebody else moved it.
    Behind,
}

impl AccountLog {
    /// Makes a checkpoint if there are entries after the last one.
    /// # Errors
    /// [`LogError`]; the log is as it was, objects that were put are orphans.
    pub async fn checkpoint(&self) -> Result<(), LogError> {
        let turn = self.lane.lock().await;
        self.catch_up(&turn).await?;
        if self.read_state().tail_entries() == 0 {
            return Ok(());
        }
        self.checkpoint_in_turn(&turn, 1).await
    }

    /// Whether a checkpoint is due by the number or the bytes of the entries after the last one.
    #[must_use]
    pub fn is_checkpoint_due(&self) -> bool {
        let upkeep = &self.cx.options.upkeep;
        let loaded = self.read_state();
        loaded.tail_entries() >= upkeep.checkpoint_entries
            || loaded.tail_bytes >= upkeep.checkpoint_bytes
    }

    /// [A]: makes a checkpoint, unless somebody has made one so that fewer than `entries` entries
    /// are after it.
    pub(super) async fn checkpoint_in_turn(
        &self,
        turn: &Turn<'_>,
        entries: u64,
    ) -> Result<(), LogError> {
        for _ in 0..TRIES_MAX {
            // Somebody else's is as good: look before working.
            let (_, version) = open::pointer(&self.cx, self.account).await?;
            if version != self.read_state().version {
                self.reopen(turn).await?;
                if self.read_state().tail_entries() < entries {
                    return Ok(());
                }
            }
            let plan = match self.plan().await {
                Ok(plan) => plan,
                Err(LogError::Behind) => {
                    self.reopen(turn).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match self.carry_out(plan).await? {
                Moved::Done => return Ok(()),
                Moved::Behind => self.reopen(turn).await?,
            }
            if self.read_state().tail_entries() < entries {
                return Ok(());
            }
        }
        Err(LogError::Behind)
    }

    /// Plans the checkpoint of the state as it is.
    async fn plan(&self) -> Result<Plan, LogError> {
        let rows = self.ring.rows().await?;
        let (after, until) = {
            let loaded = self.read_state();
            (loaded.pointer.checkpointed(), loaded.state.seq())
        };
        let mut history = Vec::new();
        for (seq, row) in rows.range(after.next()..=until) {
            match self.ring.decode(*seq, row).await {
                Ok(entry) => history.push(entry),
                // [U]: one that is voided need not be readable.
                Err(LogError::Broken { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let planner = {
            let loaded = self.read_state();
            Planner::new(&loaded.state, &loaded.pointer, history).map_err(planned)?
        };
        let Some(got) = get(&self.cx, planner.wanted()).await? else {
            return Err(LogError::Behind);
        };
        let random = &self.cx.engines.random;
        let (nonce, segment) = (ObjectNonce(random.bytes()), ObjectNonce(random.bytes()));
        planner.finish(&got, nonce, segment).map_err(planned)
    }

    /// Puts the objects, then the pointer row, and takes note of it.
    async fn carry_out(&self, plan: Plan) -> Result<Moved, LogError> {
        let Plan { objects, pointer, written } = plan;
        for (key, parts) in objects {
            self.cx.put_fresh(&key, &parts).await?;
        }
        let before = self.read_state().version;
        let version = Version(before.map_or(1, |version| version.0 + 1));
        match self.move_pointer(&pointer, before, version).await? {
            Moved::Done => {}
            Moved::Behind => return Ok(Moved::Behind),
        }
        tracing::debug!(account = %self.account, seq = %pointer.checkpointed(), "checkpoint made");
        let mut loaded = self.write_state();
        if !loaded.state.adopt(&written) {
            return Ok(Moved::Behind);
        }
        loaded.pointer = pointer;
        loaded.version = Some(version);
        loaded.tail_bytes = 0;
        loaded.asked = false;
        loaded.asked_to_clean = false;
        Ok(Moved::Done)
    }

    /// [I]: by compare-and-set; repeated as the same write while its outcome is not known.
    async fn move_pointer(
        &self,
        pointer: &Pointer,
        before: Option<Version>,
        version: Version,
    ) -> Result<Moved, LogError> {
        let value = pointer.encode().map_err(too_large)?;
        let row = Row { value, version, nonce: self.cx.nonce(), expiry: None };
        let expect = before.map_or(Expect::Absent, Expect::Version);
        let key = rows::pointer_key(self.account);
        let mut backoff = self.cx.backoff();
        let mut may_land = false;
        for _ in 0..TRIES_MAX {
            match self.cx.engines.index.put_if(&key, row.clone(), expect).await {
                Ok(()) => return Ok(Moved::Done),
                Err(WriteError::Conflict) => return Ok(Moved::Behind),
                Err(WriteError::Unknown(_)) => may_land = true,
                Err(error) if !may_land => return Err(error.into()),
                Err(_) => {}
            }
            backoff.pause().await;
        }
        // It may land: the pointer is read again before anything is made of it.
        Err(LogError::Unavailable("whether the pointer row was moved is not known".into()))
    }

    /// Bumps the pointer row's version, so that a checkpointer who began before fails [I].
    /// # Errors
    /// [`LogError`]: nothing may be deleted.
    pub async fn bump_pointer(&self) -> Result<Pointer, LogError> {
        let turn = self.lane.lock().await;
        for _ in 0..TRIES_MAX {
            let (pointer, before) = open::pointer(&self.cx, self.account).await?;
            let version = Version(before.map_or(1, |version| version.0 + 1));
            if let Moved::Done = self.move_pointer(&pointer, before, version).await? {
                let same = self.read_state().version == before;
                if same {
                    self.write_state().version = Some(version);
                } else {
                    self.reopen(&turn).await?;
                }
                return Ok(pointer);
            }
        }
        Err(LogError::Behind)
    }

    /// Asks `maintain` for a checkpoint or for compaction, once until the next checkpoint, when one
    /// is due. A hint: a full ring makes a checkpoint too, and the audit finds what is old.
    pub(super) async fn ask_if_due(&self) {
        let records = self.cx.options.upkeep.compact_records;
        // What is in the window lies in ingest segments: the cheap part of the question.
        let many = self.view(State::window_len);
        let many = u64::try_from(many).unwrap_or(u64::MAX) >= records;
        if !(many || self.is_checkpoint_due())
            || std::mem::replace(&mut self.write_state().asked, true)
        {
            return;
        }
        let now = self.cx.engines.index.now();
        let asked = crate::items::ask_maintenance(
            &self.cx,
            now,
            self.account,
            rows::MaintenanceWhy::Checkpoint,
        );
        if let Err(error) = asked.await {
            tracing::debug!(account = %self.account, %error, "cannot ask for a checkpoint");
        }
    }

    /// When the first segment of the account's own may be deleted that no message lives in any
    /// more: when the restore window is over for it.
    #[must_use]
    pub fn clean_due(&self) -> Option<Timestamp> {
        let window = self.cx.options.timing.restore_window;
        let left = self.view(|state| {
            let own = state.segments().filter(|known| !known.segment.is_released());
            own.filter(|known| known.live == 0).map(|known| known.touched).min()
        });
        left.map(|touched| touched.after(window))
    }

    /// Asks `maintain` to come when there is something to clean, once until the next checkpoint:
    /// an account that does nothing more gives its room back all the same (I5). A hint.
    pub async fn ask_to_clean(&self) {
        let Some(due) = self.clean_due() else { return };
        if std::mem::replace(&mut self.write_state().asked_to_clean, true) {
            return;
        }
        // Behind the window, and behind the request that is being carried out, which goes after.
        let due = due.max(self.cx.engines.index.now()).after(Duration::from_millis(1));
        let why = rows::MaintenanceWhy::Clean;
        if let Err(error) = crate::items::ask_maintenance(&self.cx, due, self.account, why).await {
            tracing::debug!(account = %self.account, %error, "cannot ask for a cleaning");
        }
    }
}

fn planned(error: PlanError) -> LogError {
    match error {
        PlanError::Stale | PlanError::History => LogError::Behind,
        other => LogError::Damaged(Box::new(other)),
    }
}
