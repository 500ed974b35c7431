//! Whether a change can be replayed on a state, and the totals after it. Looks only; so an entry
//! that fails leaves the state as it was [U].

use std::collections::{BTreeMap, BTreeSet};

use mail::flags::{FlagSet, Keyword};
use mail::uidset::UidSet;
use mail::{RecordId, Seq};

use super::mailbox::MailboxData;
use super::place::LetGo;
use super::tree::{self, KEYWORDS_MAX};
use super::{Phase, State};
use crate::change::{
    AccountObject, Arrival, ArrivalPlace, Change, FlagOp, MESSAGE_BYTES_MAX, MailboxChange,
    MailboxId, Move,
};
use crate::entry::Totals;
use crate::place::SegmentRef;

/// Highest number that a total can be in an entry.
const MESSAGES_MAX: u64 = (1 << 40) - 1;
const BYTES_MAX: u64 = (1 << 48) - 1;

/// Why an entry cannot be replayed, or a change not be made an entry of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreplayable {
    /// Not the next entry: read the tail again from the pointer row.
    #[error("entry {found} where {expected} is next")]
    Order {
        /// The next one.
        expected: Seq,
        /// The one given.
        found: Seq,
    },
    /// The log was closed by a fence: go to the next log [n].
    #[error("the log is fenced")]
    Fenced,
    /// The totals in the entry are not those that replay gives [R].
    #[error("totals {found:?} in the entry, {expected:?} by replay")]
    Totals {
        /// By replay.
        expected: Totals,
        /// In the entry.
        found: Totals,
    },
    /// There is no such mailbox (any more): decide again.
    #[error("no mailbox {0:?}")]
    NoMailbox(MailboxId),
    /// There is no mailbox of this name: decide again.
    #[error("no mailbox of this name")]
    NoName,
    /// There is a mailbox of this name: decide again.
    #[error("a mailbox of this name exists")]
    NameTaken,
    /// There is a mailbox of this use: decide again.
    #[error("a mailbox of this use exists")]
    UseTaken,
    /// This cannot be the name of a mailbox, or not be done to INBOX.
    #[error("not a name for this")]
    Name,
    /// A limit is reached: NO, with the limit named.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// A message to be copied is not there (any more): decide again.
    #[error("no message with UID {0}")]
    NoMessage(u32),
    /// A place is not one for this kind of change: a bug.
    #[error("a place that this kind of entry may not name")]
    Place,
    /// The segment was let go: start again [D, F, G].
    #[error("segment was let go")]
    LetGo,
    /// Something lives in what is to be let go: decide again (I5).
    #[error("segment is in use")]
    InUse,
    /// A new place is given for an arrival that is another record's: a bug.
    #[error("not the record of that arrival")]
    NotThatRecord,
    /// The entry to be voided was replayed already by this state: read it again from the
    /// checkpoint, passing over that entry [U].
    #[error("voids entry {0}, which is in this state")]
    Voids(Seq),
}

impl State {
    /// Checks a change as entry `seq`; the totals after it.
    pub(super) fn check(&self, seq: Seq, change: &Change) -> Result<Totals, Unreplayable> {
        if matches!(self.phase, Phase::Fenced { .. }) {
            return Err(Unreplayable::Fenced);
        }
        let mut totals = self.totals;
        match change {
            Change::Deliver(arrivals) => self.check_arrivals(arrivals, true, &mut totals)?,
            Change::Append(arrivals) => self.check_arrivals(arrivals, false, &mut totals)?,
            Change::Flags { mailbox, op, flags, .. } => {
                let mailbox = self.known(*mailbox)?;
                if *op != FlagOp::Remove {
                    check_keywords(mailbox, flags, &mut BTreeSet::new())?;
                }
            }
            Change::Expunge { mailbox, uids } => {
                let mailbox = self.known(*mailbox)?;
                for row in mailbox.messages.in_set(uids) {
                    totals.messages -= 1;
                    totals.bytes -= u64::from(row.size);
                }
            }
            Change::Copy { from, to, uids, is_move } => {
                self.check_copy(*from, *to, uids, *is_move, &mut totals)?;
            }
            Change::Mailbox(change) => self.check_tree(change, &mut totals)?,
            Change::Reloc { moves, released } => self.check_reloc(moves, released)?,
            Change::Release { segments } => self.check_reloc(&[], segments)?,
            Change::Drop { objects } => self.check_drop(objects)?,
            Change::Void { seq: voided, .. } => {
                // An entry in the checkpoint can have no other effect than it had.
                let has_effect = *voided > self.base() && !self.voided.contains(voided);
                if *voided >= seq || has_effect {
                    return Err(Unreplayable::Voids(*voided));
                }
            }
            Change::Effect(_) | Change::Fence { .. } | Change::Open { .. } => {}
        }
        if totals.messages > MESSAGES_MAX || totals.bytes > BYTES_MAX {
            return Err(Unreplayable::Limit("bytes of an account"));
        }
        Ok(totals)
    }

    fn known(&self, id: MailboxId) -> Result<&MailboxData, Unreplayable> {
        self.mailboxes.get(&id).ok_or(Unreplayable::NoMailbox(id))
    }

    /// Arrivals that come in: those of a delivery that are not in the window, and all appended.
    fn check_arrivals(
        &self,
        arrivals: &[Arrival],
        delivered: bool,
        totals: &mut Totals,
    ) -> Result<(), Unreplayable> {
        let mut new: BTreeSet<RecordId> = BTreeSet::new();
        let mut comes: BTreeMap<MailboxId, (u64, BTreeSet<Keyword>)> = BTreeMap::new();
        let mut taken = false;
        let mut numbers = 0_u64;
        for (at, arrival) in arrivals.iter().enumerate() {
            let mailbox = self.known(arrival.mailbox)?;
            self.check_place(arrival, delivered)?;
            if arrival.again {
                let before = at.checked_sub(1).and_then(|at| arrivals.get(at));
                if before.is_none_or(|before| before.record != arrival.record) {
                    return Err(Unreplayable::NotThatRecord);
                }
            } else {
                // [J]: an id in the window came in before, by whatever entry.
                taken =
                    !delivered || !self.is_in_window(arrival.record) && new.insert(arrival.record);
                numbers += u64::from(taken);
            }
            if !taken {
                continue;
            }
            let (count, keywords) = comes.entry(arrival.mailbox).or_default();
            *count += 1;
            if mailbox.uid_next + *count > u64::from(u32::MAX) + 1 {
                return Err(Unreplayable::Limit("UIDs of a mailbox"));
            }
            check_keywords(mailbox, &arrival.flags, keywords)?;
            totals.messages += 1;
            totals.bytes += arrival.size;
        }
        if u64::from(self.next_arrival) + numbers > u64::from(u32::MAX) {
            return Err(Unreplayable::Limit("arrivals of an account"));
        }
        Ok(())
    }

    fn check_place(&self, arrival: &Arrival, delivered: bool) -> Result<(), Unreplayable> {
        if arrival.size > MESSAGE_BYTES_MAX {
            return Err(Unreplayable::Limit("bytes of a message"));
        }
        match &arrival.place {
            // What is delivered is deduplicated until its segment is released [J]; so it must be
            // in one that will be.
            ArrivalPlace::Slot(slot) if slot.segment.is_released() != delivered => {
                Err(Unreplayable::Place)
            }
            // F: release and drop are fences.
            ArrivalPlace::Slot(slot) if self.was_let_go(slot.segment) => Err(Unreplayable::LetGo),
            ArrivalPlace::Inline(_) if delivered => Err(Unreplayable::Place),
            _ => Ok(()),
        }
    }

    fn check_copy(
        &self,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
        is_move: bool,
        totals: &mut Totals,
    ) -> Result<(), Unreplayable> {
        let source = self.known(from)?;
        let target = self.known(to)?;
        let mut keywords = BTreeSet::new();
        let mut sets = BTreeSet::new();
        let mut missing = uids.iter();
        let (mut count, mut bytes) = (0, 0);
        for row in source.messages.in_set(uids) {
            let expected = missing.next().unwrap_or_default();
            if expected != row.uid {
                return Err(Unreplayable::NoMessage(expected));
            }
            if sets.insert(row.flags) {
                check_keywords(target, self.tables.flags(row.flags), &mut keywords)?;
            }
            count += 1;
            bytes += u64::from(row.size);
        }
        if let Some(uid) = missing.next() {
            return Err(Unreplayable::NoMessage(uid));
        }
        if target.uid_next + count > u64::from(u32::MAX) + 1 {
            return Err(Unreplayable::Limit("UIDs of a mailbox"));
        }
        if !is_move {
            totals.messages += count;
            totals.bytes += bytes;
        }
        Ok(())
    }

    fn check_tree(&self, change: &MailboxChange, totals: &mut Totals) -> Result<(), Unreplayable> {
        match change {
            MailboxChange::Create { name, special_use } => {
                tree::check_create(self, name, *special_use)
            }
            MailboxChange::Rename { from, to } => tree::check_rename(self, from, to),
            MailboxChange::Delete { name } => {
                let mailbox = self.known(tree::check_delete(self, name)?)?;
                totals.messages -= mailbox.messages.len() as u64;
                totals.bytes -= mailbox.bytes;
                Ok(())
            }
            MailboxChange::Subscribe { name, on } => tree::check_subscribe(self, name, *on),
        }
    }

    /// New places are in account segments that were not let go; what is released is left by all
    /// that lives (I5).
    fn check_reloc(&self, moves: &[Move], released: &[SegmentRef]) -> Result<(), Unreplayable> {
        let mut by_arrival: BTreeMap<u32, &Move> = BTreeMap::new();
        for one in moves {
            if one.to.segment.is_released() || by_arrival.insert(one.arrival, one).is_some() {
                return Err(Unreplayable::Place);
            }
            if self.was_let_go(one.to.segment) {
                return Err(Unreplayable::LetGo);
            }
        }
        let mut leaving: BTreeMap<u32, u64> = BTreeMap::new();
        if !moves.is_empty() {
            for row in self.mailboxes.values().flat_map(|mailbox| mailbox.messages.iter()) {
                let Some(one) = by_arrival.get(&row.arrival) else { continue };
                if self.tables.record(row) != one.record {
                    return Err(Unreplayable::NotThatRecord);
                }
                *leaving.entry(row.segment).or_default() += 1;
            }
        }
        for segment in released {
            if !segment.is_released() {
                return Err(Unreplayable::Place);
            }
            let Some(number) = self.tables.known_segment(*segment) else { continue };
            let live = self.tables.segment_at(number).map_or(0, |known| known.live);
            if live > leaving.get(&number).copied().unwrap_or_default() {
                return Err(Unreplayable::InUse);
            }
        }
        Ok(())
    }

    fn check_drop(&self, objects: &[AccountObject]) -> Result<(), Unreplayable> {
        for object in objects {
            if let AccountObject::Segment(nonce) = object
                && let segment = (SegmentRef::Account { nonce: *nonce })
                && self.tables.segment(segment).is_some_and(|known| known.live > 0)
            {
                return Err(Unreplayable::InUse);
            }
        }
        Ok(())
    }

    /// What *drop* of this object is remembered as.
    pub(super) const fn let_go(object: AccountObject) -> LetGo {
        match object {
            AccountObject::Segment(nonce) => LetGo::Segment(SegmentRef::Account { nonce }),
            AccountObject::EntryBody(nonce) => LetGo::EntryBody(nonce),
        }
    }
}

/// That a mailbox may know these keywords besides its own and those of `more`, which they join.
fn check_keywords(
    mailbox: &MailboxData,
    flags: &FlagSet,
    more: &mut BTreeSet<Keyword>,
) -> Result<(), Unreplayable> {
    let new = flags.keywords().iter().filter(|keyword| !mailbox.keywords.contains(*keyword));
    more.extend(new.cloned());
    if mailbox.keywords.len() + more.len() > KEYWORDS_MAX {
        return Err(Unreplayable::Limit("keywords of a mailbox"));
    }
    Ok(())
}
