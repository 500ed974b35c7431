//! What happened in a mailbox since the client was last told (RFC 9051 §5.2, §7.5; RFC 7162).

use mail::UidSet;
use mail::flags::{FlagSet, Keyword};
use mail::{Seq, Timestamp, Uid};
use proto::imap::command::Msn;
use store::change::MailboxId;
use store::state::{Mailbox, Message, State};

use crate::selection::{Selected, View};

/// What a client does not know yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Messages it knows that are no more.
    pub(crate) gone: UidSet,
    /// Messages it does not know, above all it knows.
    pub(crate) arrived: UidSet,
    /// Messages it knows whose flags changed after it was told last.
    pub(crate) changed: UidSet,
}

impl News {
    /// What `selected` does not know of its mailbox. Costs what changed, and misses nothing (I4).
    /// A mailbox that was deleted has lost all its messages.
    pub(crate) fn of(state: &State, selected: &Selected) -> Self {
        let view = &selected.view;
        let Some(mailbox) = state.mailbox(selected.id) else {
            return Self { gone: view.all(), ..Self::default() };
        };
        let mut news = Self::default();
        for message in mailbox.changed_since(selected.told) {
            let uid = message.uid;
            if view.msn(uid).is_some() {
                news.changed.insert(uid.get());
            } else if view.last_uid().is_none_or(|last| uid > last) {
                news.arrived.insert(uid.get());
            }
        }
        news.gone = match mailbox.vanished_since(selected.told_gone) {
            Ok(vanished) => view.within(&vanished),
            // Too long ago: then what is there tells what is not [W].
            Err(_) => view.all().difference(&mailbox.uids()),
        };
        news
    }
}

/// Keywords of the mailbox, if there are some that the client was not told of.
pub(crate) fn new_keywords(state: &State, selected: &Selected) -> Option<Vec<Keyword>> {
    let mailbox = state.mailbox(selected.id)?;
    let keywords = mailbox.keywords();
    (keywords.len() > selected.keywords.len()).then(|| keywords.cloned().collect())
}

/// Which of `known` vanished after `since` (RFC 7162 §3.2.5, §3.2.6). Where that is no longer
/// known for sure, all of `known` that do not exist.
pub(crate) fn vanished(mailbox: Mailbox<'_>, since: Seq, known: &UidSet) -> UidSet {
    match mailbox.vanished_since(since) {
        Ok(vanished) => vanished.intersection(known),
        Err(_) => {
            let given = UidSet::from_ranges([(1, mailbox.uid_next().get().saturating_sub(1))]);
            known.intersection(&given).difference(&mailbox.uids())
        }
    }
}

/// A message as the client lists it: a copy, for the state moves on.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) msn: Msn,
    pub(crate) uid: Uid,
    pub(crate) modseq: Seq,
    pub(crate) flags: FlagSet,
    pub(crate) date: Timestamp,
    pub(crate) size: u64,
    /// Names its summary.
    pub(crate) arrival: u32,
}

impl View {
    /// The messages of this set that the client knows and that still exist, ascending.
    pub(crate) fn listed(&self, state: &State, mailbox: MailboxId, uids: &UidSet) -> Vec<Listed> {
        let Some(mailbox) = state.mailbox(mailbox) else { return Vec::new() };
        let list = |message: Message<'_>| {
            Some(Listed {
                msn: self.msn(message.uid)?,
                uid: message.uid,
                modseq: message.modseq,
                flags: message.flags.clone(),
                date: message.date,
                size: message.size,
                arrival: message.arrival,
            })
        };
        mailbox.in_set(uids).filter_map(list).collect()
    }
}

/// Sets of at most `most` UIDs each that make up `uids`, in order.
pub(crate) fn groups(uids: &UidSet, most: u32) -> impl Iterator<Item = UidSet> {
    let mut ranges: Vec<_> = uids.ranges().rev().collect();
    std::iter::from_fn(move || {
        let mut group = UidSet::new();
        let mut room = most;
        while room > 0
            && let Some(range) = ranges.pop()
        {
            let (first, last) = (*range.start(), *range.end());
            let taken = last.min(first.saturating_add(room - 1));
            group.insert_range(first..=taken);
            room -= taken - first + 1;
            if taken < last {
                ranges.push(taken + 1..=last);
            }
        }
        (!group.is_empty()).then_some(group)
    })
}

/// The first `most` ranges of `uids`.
pub(crate) fn first_ranges(uids: &UidSet, most: usize) -> UidSet {
    UidSet::from_ranges(uids.ranges().take(most).map(|range| (*range.start(), *range.end())))
}

/// The UIDs of `uids` above `after`.
pub(crate) fn above(uids: &UidSet, after: u32) -> UidSet {
    let below = (after > 0).then_some((1, after));
    uids.difference(&UidSet::from_ranges(below))
}

/// Most ranges of UIDs in one entry; a change of more becomes several entries. Few in tests, so
/// that they see the seams.
pub(crate) const ENTRY_RANGES: usize = if cfg!(test) { 2 } else { 16 * 1024 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_cut_after_some_ranges() {
        let uids = UidSet::from_ranges([(1, 3), (5, 5), (7, 9)]);
        let first = first_ranges(&uids, 2);
        assert_eq!(first, UidSet::from_ranges([(1, 3), (5, 5)]));
        assert_eq!(above(&uids, 5), UidSet::from_ranges([(7, 9)]));
        assert_eq!(above(&uids, 0), uids);
        assert!(above(&uids, u32::MAX).is_empty());
    }

    // RFC 7162 §4.
    #[test]
    fn groups_are_small_and_make_up_the_whole() {
        let uids = UidSet::from_ranges([(1, 10), (12, 12), (20, 24), (u32::MAX - 1, u32::MAX)]);
        let groups: Vec<UidSet> = groups(&uids, 4).collect();
        assert!(groups.iter().all(|group| group.len() <= 4));
        assert_eq!(groups.iter().flat_map(UidSet::iter).collect::<UidSet>(), uids);
        assert_eq!(groups.len(), 5);
    }
}
