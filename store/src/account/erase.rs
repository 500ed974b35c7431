//! Erasing an account that was removed: its mail, what lists it, and every trace of it in rows.
//!
//! All by entries, so that whoever still appends meets them: mailboxes and messages go, segments are
//! let go [F, G], then the ring is gone round once, so that no row holds what was there, and a
//! *fence* ends the log: nothing comes into it any more. Only then objects are deleted (I5). The
//! pointer row, the ring and one empty checkpoint stay: a log without rows could be begun anew by
//! who comes late [o].

use std::collections::BTreeSet;

use engine::ObjectKey;
use mail::UidSet;

use super::{AccountLog, ChangeError, LogError};
use crate::change::{AccountObject, Change, MailboxChange, MailboxId};
use crate::checkpoint::Root;
use crate::context::damaged;
use crate::names;
use crate::place::SegmentRef;
use crate::rows::{CheckpointRef, Phase, RING};
use crate::state::{Mailbox, State};

/// Segments and objects let go by one entry.
const LET_GO_MAX: usize = 256;

/// Objects listed at once.
const LISTED_MAX: usize = 1_000;

/// Runs against mail that still comes in.
const RUNS_MAX: u32 = 4;

impl AccountLog {
    /// Erases the account. Every ingest segment that it names has to be done, and every item of
    /// their plans that could reach it finished: release is a fence [F]. A second run finishes what
    /// the first did not. Returns how many objects were deleted.
    /// # Errors
    /// [`LogError`]: what was not erased is erased by the next run.
    pub async fn erase(&self) -> Result<usize, LogError> {
        self.fresh().await?;
        for _ in 0..RUNS_MAX {
            if self.view(|state| matches!(state.phase(), Phase::Fenced { .. })) {
                break;
            }
            while self.step(wipe).await? {}
            let last = self.seq();
            while self.seq().0 < last.0 + RING {
                let nothing = |_: &State| Some(Change::Release { segments: Vec::new() });
                self.step(nothing).await?;
            }
            let region = self.cx.options.region.clone();
            let epoch = self.account.epoch.0;
            // What came meanwhile is wiped first.
            let fence = |state: &State| {
                wipe(state).is_none().then(|| Change::Fence { region: region.clone(), epoch })
            };
            self.step(fence).await?;
        }
        self.checkpoint().await?;
        self.delete_all().await
    }

    /// Appends what `decide` says, if anything.
    async fn step(&self, decide: impl Fn(&State) -> Option<Change>) -> Result<bool, LogError> {
        match self.change(|state| decide(state).ok_or(())).await {
            Ok(_) => Ok(true),
            Err(ChangeError::Refused(())) => Ok(false),
            Err(ChangeError::Log(error)) => Err(error),
        }
    }

    /// Deletes every object of the account but its last checkpoint.
    async fn delete_all(&self) -> Result<usize, LogError> {
        // [I]: a checkpointer who began before fails from here on.
        let pointer = self.bump_pointer().await?;
        let objects = &self.cx.engines.objects;
        let mut kept = BTreeSet::new();
        if let Some(CheckpointRef { seq, nonce }) = pointer.checkpoint {
            let key = names::checkpoint(self.account, seq, nonce);
            // Without it nothing is known to be free.
            let Some(object) = objects.get(&key).await? else { return Err(LogError::Behind) };
            let at = CheckpointRef { seq, nonce };
            let root = Root::decode(self.account, at, &object).map_err(damaged)?;
            kept.extend(root.chunk_objects());
            kept.insert(key);
        }
        let mut deleted = 0;
        for prefix in [
            names::account_segment_prefix(self.account),
            names::account_big_prefix(self.account),
            names::entry_prefix(self.account),
            // Roots go first: a root that is there has all its chunks.
            names::checkpoint_prefix(self.account),
            names::chunk_prefix(self.account),
        ] {
            let mut after: Option<ObjectKey> = None;
            loop {
                let listed = objects.list(&prefix, after.as_ref(), LISTED_MAX).await?;
                let Some(last) = listed.last() else { break };
                after = Some(last.key.clone());
                for one in listed.iter().filter(|one| !kept.contains(&one.key)) {
                    objects.delete(&one.key).await?;
                    self.bodies.forget(&one.key);
                    deleted += 1;
                }
            }
        }
        Ok(deleted)
    }
}

/// The next change that takes something away; `None`: nothing is left.
fn wipe(state: &State) -> Option<Change> {
    let others = state.mailboxes().find(|mailbox| mailbox.id() != MailboxId::INBOX);
    if let Some(other) = others {
        return Some(Change::Mailbox(MailboxChange::Delete { name: other.name().to_owned() }));
    }
    if let Some(name) = state.subscriptions().next() {
        let name = name.to_owned();
        return Some(Change::Mailbox(MailboxChange::Subscribe { name, on: false }));
    }
    let uids =
        state.mailbox(MailboxId::INBOX).map_or_else(UidSet::new, |inbox: Mailbox<'_>| inbox.uids());
    if !uids.is_empty() {
        return Some(Change::Expunge { mailbox: MailboxId::INBOX, uids });
    }
    let known = || state.segments().map(|known| known.segment);
    let released: Vec<SegmentRef> =
        known().filter(SegmentRef::is_released).take(LET_GO_MAX).collect();
    if !released.is_empty() {
        return Some(Change::Release { segments: released });
    }
    let own = known().filter_map(|segment| match segment {
        SegmentRef::Account { nonce } => Some(AccountObject::Segment(nonce)),
        _ => None,
    });
    let objects: Vec<AccountObject> = own.take(LET_GO_MAX).collect();
    (!objects.is_empty()).then_some(Change::Drop { objects })
}
