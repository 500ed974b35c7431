//! What this process put for an entry that is still to come, and the seq it had seen before.
//!
//! An orphan may be let go by a *drop* of anybody's at any time [G]. Who wants to name what it put
//! asks the state whether that was let go since; after 128 entries the state cannot tell any more,
//! and it is put again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mail::Seq;

use crate::change::{ArrivalPlace, Change};
use crate::place::{ObjectNonce, SegmentRef};
use crate::state::{LetGo, Met, State, Unreplayable};

/// Most segments remembered; the oldest go, and what they were for is refused.
const SIGHTS_MAX: usize = 4_096;

/// Seqs seen before account segments were put.
#[derive(Default)]
pub(super) struct Sights(Mutex<BTreeMap<ObjectNonce, Seq>>);

impl Sights {
    fn all(&self) -> MutexGuard<'_, BTreeMap<ObjectNonce, Seq>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This segment is about to be put; `seen` is the log's seq as known now.
    pub(super) fn note(&self, nonce: ObjectNonce, seen: Seq) {
        let mut all = self.all();
        all.retain(|_, sight| !is_lapped(*sight, seen));
        while all.len() >= SIGHTS_MAX {
            let oldest = all.iter().min_by_key(|(_, sight)| **sight).map(|(nonce, _)| *nonce);
            oldest.map(|nonce| all.remove(&nonce));
        }
        all.insert(nonce, seen);
    }

    /// Whether an entry that names this segment may still come from this process.
    pub(super) fn has(&self, nonce: ObjectNonce, now: Seq) -> bool {
        self.all().get(&nonce).is_some_and(|sight| !is_lapped(*sight, now))
    }

    /// That no account segment which `change` names for the first time was let go meanwhile.
    /// # Errors
    /// [`Unreplayable::LetGo`]: it was, or nobody can tell: put it again.
    pub(super) fn check(&self, state: &State, change: &Change) -> Result<(), Unreplayable> {
        for nonce in named(change) {
            let segment = SegmentRef::Account { nonce };
            if state.segment(segment).is_some() {
                continue;
            }
            let sight = self.all().get(&nonce).copied().ok_or(Unreplayable::LetGo)?;
            if state.met(sight, LetGo::Segment(segment)) != Met::No {
                return Err(Unreplayable::LetGo);
            }
        }
        Ok(())
    }
}

fn is_lapped(sight: Seq, now: Seq) -> bool {
    now.0.saturating_sub(sight.0) >= crate::rows::RING
}

/// The account segments that a change names.
fn named(change: &Change) -> Vec<ObjectNonce> {
    let nonce = |segment: &SegmentRef| match segment {
        SegmentRef::Account { nonce } => Some(*nonce),
        _ => None,
    };
    match change {
        Change::Append(arrivals) => arrivals
            .iter()
            .filter_map(|arrival| match &arrival.place {
                ArrivalPlace::Slot(slot) => nonce(&slot.segment),
                ArrivalPlace::Inline(_) => None,
            })
            .collect(),
        Change::Reloc { moves, .. } => {
            moves.iter().filter_map(|one| nonce(&one.to.segment)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use mail::{Account, AccountId, Epoch};

    use super::*;
    use crate::change::{AccountObject, Move};
    use crate::place::Slot;

    fn reloc(nonce: ObjectNonce) -> Change {
        let to = Slot { segment: SegmentRef::Account { nonce }, index: 0 };
        let record = mail::RecordId { writer: mail::WriterId([1; 16]), counter: 1 };
        Change::Reloc { moves: vec![Move { arrival: 0, record, to }], released: vec![] }
    }

    #[test]
    fn a_zombie_compactor_names_nothing_that_was_dropped_however_late_it_comes() {
        // G: it put X and stalled; X was dropped, and the log went on.
        let mut state = State::new(Account { id: AccountId([1; 16]), epoch: Epoch(1) });
        let append = |state: &mut State, change| {
            let nonce = engine::Nonce([0; 8]);
            let entry = state.entry(change, nonce, mail::Timestamp(0)).unwrap();
            state.apply(&entry).unwrap();
        };
        let (sights, nonce) = (Sights::default(), ObjectNonce([7; 8]));
        assert_eq!(sights.check(&state, &reloc(nonce)), Err(Unreplayable::LetGo));
        sights.note(nonce, state.seq());
        assert_eq!(sights.check(&state, &reloc(nonce)), Ok(()));
        assert!(sights.has(nonce, state.seq()));
        append(&mut state, Change::Drop { objects: vec![AccountObject::Segment(nonce)] });
        assert_eq!(sights.check(&state, &reloc(nonce)), Err(Unreplayable::LetGo));
        for _ in 0..crate::rows::RING {
            append(&mut state, Change::Open { waiting: false });
        }
        // The state has forgotten the drop; the sight is too old to rely on that.
        assert_eq!(state.met(Seq(1), LetGo::Segment(SegmentRef::Account { nonce })), Met::Lapped);
        assert_eq!(sights.check(&state, &reloc(nonce)), Err(Unreplayable::LetGo));
        assert!(!sights.has(nonce, state.seq()));
    }
}
