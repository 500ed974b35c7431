//! What *release* and *drop* let go lately [F, G].

use std::collections::{BTreeMap, VecDeque};

use mail::Seq;

use super::place::LetGo;

/// How long it is remembered, in entries: as long as an append can be late [A].
const KEPT: u64 = crate::rows::RING;

/// Things let go by the last 128 entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fences {
    /// Oldest first.
    queue: VecDeque<(Seq, LetGo)>,
    /// When each was let go last.
    last: BTreeMap<LetGo, Seq>,
}

impl Fences {
    pub(crate) fn push(&mut self, seq: Seq, gone: LetGo) {
        self.queue.push_back((seq, gone));
        self.last.insert(gone, seq);
    }

    /// Forgets what is too old, when the log is at `now`.
    pub(super) fn forget(&mut self, now: Seq) {
        let oldest = now.0.saturating_sub(KEPT);
        while let Some((seq, gone)) = self.queue.front().copied().filter(|(seq, _)| seq.0 <= oldest)
        {
            self.queue.pop_front();
            if self.last.get(&gone) == Some(&seq) {
                self.last.remove(&gone);
            }
        }
    }

    /// Whether so many entries passed since that something may be forgotten.
    pub(super) const fn is_lapped(since: Seq, now: Seq) -> bool {
        now.0.saturating_sub(since.0) >= KEPT
    }

    /// Whether it was let go after this seq, as far as is known.
    pub(super) fn has_since(&self, since: Seq, what: LetGo) -> bool {
        self.last.get(&what).is_some_and(|seq| *seq > since)
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &(Seq, LetGo)> {
        self.queue.iter()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.queue.len() * 128
    }
}
