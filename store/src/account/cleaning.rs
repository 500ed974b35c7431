//! Deleting what nothing names: orphans, what the restore window is over for, old checkpoints (I5).
//!
//! Three steps, in this order: list; bump the pointer row, so that every checkpointer who began
//! before fails and none comes to name what was listed [I]; for segments and bodies an entry that
//! lets them go, which whoever is about to name one meets [G]. Only then objects are deleted.

use std::collections::BTreeSet;

use engine::ObjectKey;
use mail::Seq;

use super::{AccountLog, ChangeError, LogError};
use crate::change::{AccountObject, Change};
use crate::checkpoint::Root;
use crate::context::damaged;
use crate::entry::{Decoded, Entry};
use crate::names;
use crate::place::{ObjectNonce, SegmentRef};
use crate::rows::{CheckpointRef, Pointer};
use crate::state::State;

/// Objects of each kind looked at in one run; the rest comes with the next.
const OBJECTS_MAX: usize = 1_000;

/// One checkpoint of each such time is kept for the restore window.
const DAY_MS: u64 = 86_400_000;

/// Number of the chunk object that holds history and summaries.
const HISTORY_OBJECT: u8 = 0;

/// What was listed, before the pointer was bumped.
struct Listed {
    objects: Vec<AccountObject>,
    roots: Vec<ObjectKey>,
    chunks: Vec<ObjectKey>,
}

impl AccountLog {
    /// Lets go and deletes what nothing names: orphans of appends, copies and checkpoints,
    /// segments that everything left before the restore window, bodies of entries that are in a
    /// checkpoint, checkpoints but the last and one a day. Returns how many objects were deleted.
    /// # Errors
    /// [`LogError`]: what was dropped and not deleted is found again as an orphan.
    pub async fn clean(&self) -> Result<usize, LogError> {
        self.fresh().await?;
        let listed = self.list().await?;
        // [I]: from here on no checkpoint comes to name what was listed and is not named now.
        let pointer = self.bump_pointer().await?;
        let dropped = self.drop_unnamed(&listed.objects).await?;
        for object in &dropped {
            self.delete(*object).await?;
        }
        self.write_state().asked_to_clean = false;
        Ok(dropped.len() + self.clean_checkpoints(&listed, &pointer).await?)
    }

    async fn list(&self) -> Result<Listed, LogError> {
        let objects = &self.cx.engines.objects;
        let keys = async |prefix: String| {
            let listed = objects.list(&prefix, None, OBJECTS_MAX).await?;
            Ok::<_, LogError>(listed.into_iter().map(|one| one.key).collect::<Vec<_>>())
        };
        let segments = keys(names::account_segment_prefix(self.account)).await?;
        let bodies = keys(names::entry_prefix(self.account)).await?;
        let segments = segments.iter().filter_map(names::parse_nonce).map(AccountObject::Segment);
        let bodies = bodies.iter().filter_map(names::parse_nonce).map(AccountObject::EntryBody);
        let mut objects: BTreeSet<AccountObject> = segments.chain(bodies).collect();
        // A large body whose segment never came to be goes as that segment does.
        let bigs = keys(names::account_big_prefix(self.account)).await?;
        objects.extend(bigs.iter().filter_map(names::parse_nonce).map(AccountObject::Segment));
        Ok(Listed {
            objects: objects.into_iter().collect(),
            roots: keys(names::checkpoint_prefix(self.account)).await?,
            chunks: keys(names::chunk_prefix(self.account)).await?,
        })
    }

    /// Names in a *drop* what of the listed objects nothing needs; returns what that is.
    async fn drop_unnamed(&self, listed: &[AccountObject]) -> Result<Vec<AccountObject>, LogError> {
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let (until, bodies) = self.tail_bodies().await?;
        let now = self.cx.engines.index.now();
        let window = self.cx.options.timing.restore_window;
        let unnamed = |state: &State, object: &AccountObject| match object {
            AccountObject::EntryBody(nonce) => !bodies.contains(nonce),
            AccountObject::Segment(nonce) => {
                match state.segment(SegmentRef::Account { nonce: *nonce }) {
                    // Unless it was put by this process for an entry that is still to come.
                    None => !self.sights.has(*nonce, state.seq()),
                    Some(known) => known.live == 0 && now.since(known.touched) > window,
                }
            }
        };
        let mut dropped = Vec::new();
        let changed = self.change(|state| {
            // I5: an entry that came since may lie in a body that was listed. With the next run.
            if state.seq() > until {
                return Err(());
            }
            dropped = listed.iter().filter(|object| unnamed(state, object)).copied().collect();
            if dropped.is_empty() {
                return Err(());
            }
            // [G]: who is about to name one of them meets this entry.
            Ok(Change::Drop { objects: dropped.clone() })
        });
        match changed.await {
            Ok(_) => Ok(dropped),
            Err(ChangeError::Refused(())) => Ok(Vec::new()),
            Err(ChangeError::Log(error)) => Err(error),
        }
    }

    /// Bodies that entries after the checkpoint lie in, and up to which seq that is so.
    async fn tail_bodies(&self) -> Result<(Seq, BTreeSet<ObjectNonce>), LogError> {
        let rows = self.ring.rows().await?;
        let after = self.read_state().pointer.checkpointed();
        let pending = rows.range(after.next()..).filter_map(|(_, row)| match Entry::decode(row) {
            Ok(Decoded::Pending(pending)) => Some(pending.object()),
            _ => None,
        });
        let until = rows.last_key_value().map_or(Seq(0), |(seq, _)| *seq);
        Ok((until, pending.collect()))
    }

    /// Deletes an object that an entry let go, and what only it names.
    async fn delete(&self, object: AccountObject) -> Result<(), LogError> {
        let objects = &self.cx.engines.objects;
        let key = match object {
            AccountObject::EntryBody(nonce) => names::entry(self.account, nonce),
            AccountObject::Segment(nonce) => names::account_segment(self.account, nonce),
        };
        if let AccountObject::Segment(nonce) = object {
            objects.delete(&names::big(names::account_big(self.account, nonce))).await?;
        }
        objects.delete(&key).await?;
        self.bodies.forget(&key);
        Ok(())
    }

    /// Deletes roots and chunks that neither the current checkpoint needs nor the restore window.
    async fn clean_checkpoints(
        &self,
        listed: &Listed,
        pointer: &Pointer,
    ) -> Result<usize, LogError> {
        let now = self.cx.engines.index.now();
        let window = self.cx.options.timing.restore_window;
        let mut kept = BTreeSet::new();
        let (mut last_day, mut over) = (None, Seq(0));
        if let Some(CheckpointRef { seq, nonce }) = pointer.checkpoint {
            let key = names::checkpoint(self.account, seq, nonce);
            // Without it nothing is known to be free.
            let Some(root) = self.root(&key).await? else { return Err(LogError::Behind) };
            kept.extend(root.chunk_objects());
            kept.insert(key);
            if now.since(root.time()) > window {
                over = seq;
            }
        }
        for key in
            listed.roots.iter().filter(|key| !kept.contains(key)).cloned().collect::<Vec<_>>()
        {
            let (Some((seq, _)), Some(root)) = (parse(&key), self.root(&key).await?) else {
                continue;
            };
            let day = root.time().0 / DAY_MS;
            if now.since(root.time()) > window {
                over = over.max(seq);
            } else if last_day != Some(day) {
                last_day = Some(day);
                kept.extend(root.chunk_objects());
                kept.insert(key);
            }
        }
        let mut deleted = 0;
        // History stays for the window, whichever roots are left [Y].
        let is_history = |key: &ObjectKey| {
            parse(key).is_some_and(|(seq, part)| part == Some(HISTORY_OBJECT) && seq > over)
        };
        let chunks = listed.chunks.iter().filter(|key| !is_history(key));
        // Roots go first: a root that is there has all its chunks.
        for key in listed.roots.iter().chain(chunks).filter(|key| !kept.contains(key)) {
            self.cx.engines.objects.delete(key).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    async fn root(&self, key: &ObjectKey) -> Result<Option<Root>, LogError> {
        let Some((seq, nonce)) = parse_root(key) else { return Ok(None) };
        let Some(object) = self.cx.engines.objects.get(key).await? else { return Ok(None) };
        let root = Root::decode(self.account, CheckpointRef { seq, nonce }, &object);
        Ok(Some(root.map_err(damaged)?))
    }
}

/// Seq, and the number of the chunk object if it is one, of a root's or a chunk's key.
fn parse(key: &ObjectKey) -> Option<(Seq, Option<u8>)> {
    let (_, last) = key.as_str().rsplit_once('/')?;
    let mut parts = last.split('-');
    let seq = u64::from_str_radix(parts.next()?, 16).ok()?;
    let part = parts.nth(1).map(|part| u8::from_str_radix(part, 16)).transpose().ok()?;
    Some((Seq(seq), part))
}

pub(super) fn parse_root(key: &ObjectKey) -> Option<(Seq, ObjectNonce)> {
    let (_, last) = key.as_str().rsplit_once('/')?;
    let (seq, nonce) = last.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((Seq(number(seq)?), ObjectNonce(number(nonce)?.to_be_bytes())))
}
