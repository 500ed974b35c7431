//! One account's log as this process sees it: the state in memory, and the one lane through which
//! this process appends [T].
//!
//! Reads look at the state under a short lock. Whatever must be true *now* reads strongly: an
//! append finds out by its condition, [`AccountLog::fresh`] by reading the next slot of the ring
//! [X]. The log in memory may always be behind; it is never ahead.

mod append;
mod body;
mod checkpoint;
mod cleaning;
mod compaction;
mod deliver;
mod erase;
mod error;
mod open;
mod past;
mod repair;
mod ring;
mod sights;
mod summaries;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mail::{Account, Seq};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::bodies::Bodies;
use crate::change::{Change, Effects};
use crate::context::Context;
use crate::hints::Hints;
use crate::ingest::Spools;
use crate::rows::RING;
use crate::state::State;

pub use body::{AppendBody, Appended};
pub use compaction::Copied;
pub(crate) use deliver::append_all;
pub use deliver::{DeliverError, Delivered, Delivery};
pub use error::{ChangeError, LogError};
use open::Loaded;
pub use past::Told;
pub(crate) use repair::repair;
use ring::{Ring, Slot};
use sights::Sights;

/// Bytes of rows after the checkpoint from which a newer checkpoint is read, once there is one.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;

/// How often a change is decided again after others came first, before the caller is told.
const CONFLICTS_MAX: u32 = 64;

/// Conflicts after which a change waits a little, at random, before it is tried again.
const CONFLICTS_AT_ONCE: u32 = 3;

/// What a change did.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Seq of its entry: the modseq of everything it changed.
    pub seq: Seq,
    /// What it did, for responses.
    pub effects: Effects,
}

/// One account's log.
pub struct AccountLog {
    cx: Arc<Context>,
    bodies: Arc<Bodies>,
    spools: Arc<Spools>,
    hints: Arc<Hints>,
    account: Account,
    ring: Ring,
    /// Who holds it reads from and appends to the log; one at a time in this process [T].
    lane: Mutex<()>,
    loaded: RwLock<Loaded>,
    seq: watch::Sender<Seq>,
    /// Strong reads begun and the newest of them that has ended, so that callers share them.
    begun: AtomicU64,
    ended: AtomicU64,
    sights: Sights,
}

impl std::fmt::Debug for AccountLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountLog").field("account", &self.account).finish_non_exhaustive()
    }
}

/// The right to append to one log from this process.
pub(crate) type Turn<'a> = MutexGuard<'a, ()>;

impl AccountLog {
    /// Opens an account's log: its pointer row, its checkpoint, its ring.
    pub(crate) async fn open(
        cx: &Arc<Context>,
        bodies: &Arc<Bodies>,
        spools: &Arc<Spools>,
        hints: &Arc<Hints>,
        account: Account,
    ) -> Result<Self, LogError> {
        let ring = Ring::new(cx.clone(), account);
        let loaded = open::load(cx, &ring, account).await?;
        Ok(Self::of(cx, bodies, spools, hints, account, loaded))
    }

    fn of(
        cx: &Arc<Context>,
        bodies: &Arc<Bodies>,
        spools: &Arc<Spools>,
        hints: &Arc<Hints>,
        account: Account,
        loaded: Loaded,
    ) -> Self {
        let seq = watch::Sender::new(loaded.state.seq());
        Self {
            ring: Ring::new(cx.clone(), account),
            cx: cx.clone(),
            bodies: bodies.clone(),
            spools: spools.clone(),
            hints: hints.clone(),
            account,
            lane: Mutex::new(()),
            loaded: RwLock::new(loaded),
            seq,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            sights: Sights::default(),
        }
    }

    /// Which account's.
    #[must_use]
    pub const fn account(&self) -> Account {
        self.account
    }

    /// Looks at the state as last seen. `look` must be short: appends wait for it.
    pub fn view<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.read_state().state)
    }

    /// The seq of the state as last seen.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.view(State::seq)
    }

    /// Tells the seq whenever this process learns of new entries.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.seq.subscribe()
    }

    /// Whether anybody waits for new entries.
    pub(crate) fn is_watched(&self) -> bool {
        self.seq.receiver_count() > 0
    }

    /// Bytes of memory of the state, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.view(State::memory_bytes)
    }

    fn read_state(&self) -> RwLockReadGuard<'_, Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, Loaded> {
        self.loaded.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees every entry that was durable when this was called (SELECT, STATUS, NOOP [X]), and
    /// returns the seq then seen. One read of one row if there is nothing new; callers that wait
    /// at the same time share it.
    /// # Errors
    /// [`LogError`]; nothing was changed.
    pub async fn fresh(&self) -> Result<Seq, LogError> {
        let before = self.begun.load(Ordering::SeqCst);
        let turn = self.lane.lock().await;
        // A read that began after this call and has ended saw all that this one would see.
        if self.ended.load(Ordering::SeqCst) <= before {
            self.catch_up(&turn).await?;
        }
        Ok(self.seq())
    }

    /// Writes the first entry, *open*, if there is none: to be called before a client is told a
    /// modseq. HIGHESTMODSEQ is at least 1 (RFC 7162 §3.1.2.1), so that of an empty log would be
    /// that of its first change as well, and who asks for changes since 1 would miss it (I4).
    /// # Errors
    /// [`LogError`], as [`Self::change`].
    pub async fn begin(&self) -> Result<(), LogError> {
        if self.seq() > Seq(0) {
            return Ok(());
        }
        let open = |state: &State| match state.seq() {
            Seq(0) => Ok(Change::Open { waiting: false }),
            _ => Err(()),
        };
        match self.change(open).await {
            Ok(_) | Err(ChangeError::Refused(())) => Ok(()),
            Err(ChangeError::Log(error)) => Err(error),
        }
    }

    /// Decides on the newest state and appends what was decided; decides again after each
    /// conflict, so that a command is never carried out, nor refused, on a state it has not seen.
    /// `decide` may be asked several times; only what it said last is done.
    /// # Errors
    /// [`ChangeError::Refused`]: what `decide` said. [`ChangeError::Log`]: see [`LogError`]; only
    /// [`LogError::Unknown`] leaves open whether it happened.
    pub async fn change<E>(
        &self,
        mut decide: impl FnMut(&State) -> Result<Change, E>,
    ) -> Result<Changed, ChangeError<E>> {
        let turn = self.lane.lock().await;
        let mut backoff = self.cx.backoff();
        // The head, once it was read by this call.
        let mut seen = None;
        let mut made_room = false;
        for tried in 0..CONFLICTS_MAX {
            // [T]: within this process the lane is enough; other processes are let go first.
            if tried >= CONFLICTS_AT_ONCE {
                backoff.pause().await;
            }
            let decided = decide(&self.read_state().state);
            let change = match decided {
                Ok(change) => Some(change),
                Err(refused) if seen == Some(self.seq()) => {
                    return Err(ChangeError::Refused(refused));
                }
                Err(_) => None,
            };
            let Some(change) = change else {
                // [X]: refused on what may be old; look before saying so.
                self.catch_up(&turn).await?;
                seen = Some(self.seq());
                continue;
            };
            let deletes = change.deletes();
            match self.append(&turn, change).await {
                Ok(Some(changed)) => return Ok(changed),
                Ok(None) => {}
                // [α]: a disk that was full all at once lets people delete before the next sweep.
                Err(LogError::Full) if deletes && !std::mem::replace(&mut made_room, true) => {
                    self.spools.space.give_up_ballast().await;
                }
                Err(LogError::Behind) => self.reopen(&turn).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(LogError::Behind.into())
    }

    /// Reads the entries after the last one seen, up to the head.
    async fn catch_up(&self, turn: &Turn<'_>) -> Result<(), LogError> {
        let this = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        loop {
            let next = self.seq().next();
            match self.ring.slot(next).await? {
                Slot::Free => break,
                Slot::Here(row) => {
                    let read = self.ring.decode(next, &row).await;
                    match read.and_then(|entry| self.apply(&entry, row.len())) {
                        Ok(_) => {}
                        // [U]: one that cannot be replayed may be voided by a later one.
                        Err(LogError::Behind | LogError::Broken { .. }) => {
                            self.reopen(turn).await?;
                        }
                        Err(error) => return Err(error),
                    }
                }
                Slot::Lapped => self.reopen(turn).await?,
            }
        }
        // I8: who only reads keeps summaries and small bodies of the tail too. More than a ring of
        // entries means that somebody has made a newer checkpoint [A].
        let much = {
            let loaded = self.read_state();
            loaded.tail_entries() > RING && loaded.tail_bytes > TAIL_BYTES_MAX
        };
        if much {
            self.reopen(turn).await?;
        }
        self.ended.store(this, Ordering::SeqCst);
        Ok(())
    }

    /// Starts again from the pointer row.
    async fn reopen(&self, _turn: &Turn<'_>) -> Result<(), LogError> {
        let loaded = open::load(&self.cx, &self.ring, self.account).await?;
        let seq = loaded.state.seq();
        *self.write_state() = loaded;
        self.tell(seq);
        Ok(())
    }

    /// Replays one entry, read or just put, onto the state.
    fn apply(&self, entry: &crate::entry::Entry, row_bytes: usize) -> Result<Effects, LogError> {
        let effects = self.write_state().apply(entry, row_bytes)?;
        self.tell(entry.seq);
        Ok(effects)
    }

    fn tell(&self, seq: Seq) {
        self.seq.send_if_modified(|told| {
            let newer = *told < seq;
            *told = seq.max(*told);
            newer
        });
    }
}
