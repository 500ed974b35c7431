//! Which messages a command's set names, in one session's view.

use mail::Uid;
use mail::uidset::UidSet;
use proto::imap::command::{Set, SetNumber};

use crate::selection::view::View;

impl View {
    /// The UIDs of the messages here that `set` names, by UID or by sequence number; `saved` is
    /// `$` (RFC 5182). What names no message is left out.
    pub(crate) fn messages(&self, set: &Set, by_uid: bool, saved: &UidSet) -> UidSet {
        let last = if by_uid { self.last_uid().map_or(0, Uid::get) } else { self.len() };
        match set.resolve(last) {
            None => self.within(saved),
            Some(ranges) if by_uid => {
                self.within(&UidSet::from_ranges(ranges.iter().map(|r| (*r.start(), *r.end()))))
            }
            Some(ranges) => self.numbered(&ranges),
        }
    }

    /// Whether a set of sequence numbers names one that no message has, which is an error of the
    /// client (RFC 9051 §9 `seq-number`). `1:*` in an empty mailbox is not counted as one, for
    /// clients ask it without looking.
    pub(crate) fn lacks(&self, set: &Set) -> bool {
        match set {
            Set::Ranges(ranges) if self.len() == 0 => {
                let star = |number| number == SetNumber::Last;
                !ranges.iter().all(|range| star(range.from) || star(range.to))
            }
            set => set.exceeds(self.len()),
        }
    }
}
