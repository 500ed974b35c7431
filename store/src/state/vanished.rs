//! UIDs that are gone, with the modseq at which they went [W].

use std::collections::VecDeque;
use std::sync::Arc;

use mail::Seq;
use mail::uidset::UidSet;

use crate::change::MailboxId;

/// Most ranges of vanished UIDs an account keeps; the oldest go. A range is at least one UID.
pub const VANISHED_RANGES_MAX: usize = 65_536;

/// The question goes back further than what is known: not an error of anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("vanished UIDs are known only after modseq {known_after}")]
pub struct TooOld {
    /// The oldest modseq that can be asked for.
    pub known_after: Seq,
}

/// UIDs that went by one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) modseq: Seq,
    pub(crate) mailbox: MailboxId,
    pub(crate) uids: UidSet,
}

/// What vanished lately, of all mailboxes, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vanished {
    gone: Arc<VecDeque<Gone>>,
    ranges: usize,
    /// All that went after this one is here.
    known_after: Seq,
}

impl Vanished {
    /// UIDs that went with the entry `modseq`.
    pub(crate) fn push(&mut self, modseq: Seq, mailbox: MailboxId, uids: UidSet) {
        if uids.is_empty() {
            return;
        }
        self.ranges += uids.ranges().len();
        let gone = Arc::make_mut(&mut self.gone);
        gone.push_back(Gone { modseq, mailbox, uids });
        while self.ranges > VANISHED_RANGES_MAX
            && let Some(oldest) = gone.pop_front()
        {
            self.ranges -= oldest.uids.ranges().len();
            self.known_after = oldest.modseq;
        }
    }

    /// As it was before, from a checkpoint.
    pub(crate) fn restore(gone: VecDeque<Gone>, known_after: Seq) -> Self {
        let ranges = gone.iter().map(|gone| gone.uids.ranges().len()).sum();
        Self { gone: Arc::new(gone), ranges, known_after }
    }

    pub(crate) fn all(&self) -> &VecDeque<Gone> {
        &self.gone
    }

    pub(crate) const fn known_after(&self) -> Seq {
        self.known_after
    }

    pub(crate) fn since(&self, mailbox: MailboxId, modseq: Seq) -> Result<UidSet, TooOld> {
        if modseq < self.known_after {
            return Err(TooOld { known_after: self.known_after });
        }
        let later = self.gone.partition_point(|gone| gone.modseq <= modseq);
        let ranges = self
            .gone
            .range(later..)
            .filter(|gone| gone.mailbox == mailbox)
            .flat_map(|gone| gone.uids.ranges().map(|range| (*range.start(), *range.end())));
        Ok(UidSet::from_ranges(ranges))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.ranges * 8 + self.gone.len() * size_of::<Gone>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_that_is_told() {
        let mut vanished = Vanished::default();
        let one = |uid: u32| UidSet::from_ranges([(uid, uid)]);
        vanished.push(Seq(5), MailboxId(1), one(9));
        vanished.push(Seq(6), MailboxId(2), one(7));
        vanished.push(Seq(7), MailboxId(1), one(3));
        assert_eq!(vanished.since(MailboxId(1), Seq(0)).unwrap().to_string(), "3,9");
        assert_eq!(vanished.since(MailboxId(1), Seq(5)).unwrap().to_string(), "3");
        assert!(vanished.since(MailboxId(2), Seq(6)).unwrap().is_empty());
        let odd = (0..65_535).map(|i| 2 * i + 1).collect::<UidSet>();
        vanished.push(Seq(8), MailboxId(1), odd);
        assert_eq!(vanished.since(MailboxId(1), Seq(5)), Err(TooOld { known_after: Seq(6) }));
        assert!(vanished.since(MailboxId(1), Seq(6)).is_ok());
        assert_eq!(vanished.ranges, VANISHED_RANGES_MAX);
    }
}
