//! What one session believes its mailbox holds: which UIDs, and so which message sequence number
//! (Msn) each has (RFC 9051 §2.3.1.2). It changes only when the client is told.
//!
//! Kept as runs of consecutive UIDs: a mailbox of a million messages that nobody thinned out
//! costs twelve bytes, the worst case (every second message expunged) twelve a message.

use std::ops::RangeInclusive;

use mail::Uid;
use mail::uidset::UidSet;
use proto::imap::command::Msn;

/// Consecutive UIDs, all of them there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    last: u32,
    /// How many messages are before this run.
    before: u32,
}

impl Run {
    fn len(self) -> u32 {
        self.last - self.first + 1
    }
}

/// UIDs in ascending order, addressed by UID or by Msn in logarithmic time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    runs: Vec<Run>,
}

impl View {
    /// How many messages there are: EXISTS.
    pub(crate) fn len(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.before + run.len())
    }

    /// The largest UID, if there is a message.
    pub(crate) fn last_uid(&self) -> Option<Uid> {
        self.runs.last().and_then(|run| Uid::new(run.last))
    }

    /// The UID of message `msn`.
    #[cfg(test)]
    pub(crate) fn uid(&self, msn: Msn) -> Option<Uid> {
        let index = msn.get() - 1;
        let at = self.runs.partition_point(|run| run.before <= index).checked_sub(1)?;
        let run = self.runs.get(at)?;
        let uid = run.first + (index - run.before);
        (uid <= run.last).then(|| Uid::new(uid)).flatten()
    }

    /// The message sequence number of `uid`, if the client knows it.
    pub(crate) fn msn(&self, uid: Uid) -> Option<Msn> {
        let at = self.runs.partition_point(|run| run.first <= uid.get()).checked_sub(1)?;
        let run = self.runs.get(at)?;
        (uid.get() <= run.last).then(|| Msn::new(run.before + (uid.get() - run.first) + 1))?
    }

    /// Adds a message with a UID above all others; a smaller one is ignored (UIDs only go up, I3).
    pub(crate) fn push(&mut self, uid: Uid) {
        let uid = uid.get();
        let before = self.len();
        match self.runs.last_mut() {
            Some(run) if uid <= run.last => {}
            Some(run) if uid == run.last + 1 => run.last = uid,
            _ => self.runs.push(Run { first: uid, last: uid, before }),
        }
    }

    /// All UIDs, ascending.
    #[cfg(test)]
    pub(crate) fn uids(&self) -> impl Iterator<Item = Uid> + '_ {
        self.runs.iter().flat_map(|run| run.first..=run.last).filter_map(Uid::new)
    }

    /// The UIDs that are both here and in `set`. Costs the runs and ranges, not the messages.
    pub(crate) fn within(&self, set: &UidSet) -> UidSet {
        self.all().intersection(set)
    }

    /// All UIDs as a set.
    pub(crate) fn all(&self) -> UidSet {
        UidSet::from_ranges(self.runs.iter().map(|run| (run.first, run.last)))
    }

    /// The UIDs of these sequence numbers; numbers that nobody has are left out. Costs the runs
    /// that are touched.
    pub(crate) fn numbered(&self, msns: &[RangeInclusive<u32>]) -> UidSet {
        let mut ranges = Vec::new();
        for msns in msns {
            // Positions from 0.
            let (from, to) = ((*msns.start()).max(1) - 1, (*msns.end()).min(self.len()));
            let at = self.runs.partition_point(|run| run.before <= from).saturating_sub(1);
            for run in self.runs.iter().skip(at).take_while(|run| run.before < to) {
                let first = from.max(run.before);
                let last = to.min(run.before + run.len());
                if first < last {
                    let uid = |position: u32| run.first + (position - run.before);
                    ranges.push((uid(first), uid(last - 1)));
                }
            }
        }
        UidSet::from_ranges(ranges)
    }

    /// Removes the UIDs in `gone`; those that are not here are ignored.
    pub(crate) fn remove(&mut self, gone: &UidSet) {
        *self = Self::from(&self.all().difference(gone));
    }
}

impl From<&UidSet> for View {
    fn from(uids: &UidSet) -> Self {
        let mut view = Self::default();
        for range in uids.ranges() {
            let before = view.len();
            view.runs.push(Run { first: *range.start(), last: *range.end(), before });
        }
        view.runs.shrink_to_fit();
        view
    }
}

#[cfg(test)]
impl FromIterator<Uid> for View {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut view = Self::default();
        uids.into_iter().for_each(|uid| view.push(uid));
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(uids: &[u32]) -> View {
        uids.iter().filter_map(|uid| Uid::new(*uid)).collect()
    }

    fn check(view: &View, uids: &[u32]) {
        assert_eq!(view.uids().map(Uid::get).collect::<Vec<_>>(), uids);
        assert_eq!(view.len() as usize, uids.len());
        for (index, uid) in uids.iter().enumerate() {
            let msn = Msn::new(u32::try_from(index).unwrap() + 1).unwrap();
            assert_eq!(view.uid(msn).map(Uid::get), Some(*uid));
            assert_eq!(view.msn(Uid::new(*uid).unwrap()), Some(msn));
        }
        let beyond = Msn::new(view.len() + 1).unwrap();
        assert_eq!(view.uid(beyond), None);
    }

    // RFC 9051 §2.3.1.2.
    #[test]
    fn numbers_follow_uids_as_messages_come_and_go() {
        let mut view = view(&[1, 2, 3, 7, 8, 20]);
        check(&view, &[1, 2, 3, 7, 8, 20]);
        assert_eq!(view.msn(Uid::new(4).unwrap()), None);
        let gone: UidSet = [2, 3, 5, 7, 20].into_iter().collect();
        view.remove(&gone);
        check(&view, &[1, 8]);
        view.push(Uid::new(8).unwrap());
        view.push(Uid::new(21).unwrap());
        check(&view, &[1, 8, 21]);
        view.remove(&[1, 8, 21].into_iter().collect());
        check(&view, &[]);
    }

    #[test]
    fn removing_agrees_with_a_plain_set_on_every_small_case() {
        for here in 0_u32..64 {
            for gone in 0_u32..64 {
                let list = |bits: u32| (0..6).filter(move |i| bits >> i & 1 == 1).map(|i| i + 1);
                let mut view = view(&list(here).collect::<Vec<_>>());
                let set: UidSet = list(gone).collect();
                let both: Vec<u32> = view.within(&set).iter().collect();
                assert_eq!(both, list(here & gone).collect::<Vec<_>>());
                for (from, to) in (1..8).flat_map(|from| (from..9).map(move |to| (from, to))) {
                    let numbered: Vec<u32> = view.numbered(&[from..=to]).iter().collect();
                    let taken = (to - from + 1) as usize;
                    let expected = list(here).skip(from as usize - 1).take(taken);
                    assert_eq!(numbered, expected.collect::<Vec<_>>(), "{here:b} {from}:{to}");
                }
                view.remove(&set);
                check(&view, &list(here & !gone).collect::<Vec<_>>());
            }
        }
    }
}
