//! What each kind of entry does to the state, version 1: frozen [V]. Everything was checked
//! before, so nothing here can fail.

use std::collections::{BTreeMap, BTreeSet};

use mail::flags::{FlagSet, SystemFlags};
use mail::uidset::UidSet;
use mail::{Uid, UidValidity};

use super::mailbox::MailboxData;
use super::messages::Packed;
use super::place::LetGo;
use super::tables::INLINE;
use super::{EFFECTS_MAX, Phase, State, Windowed, tree};
use crate::change::{
    AccountObject, Arrival, ArrivalPlace, Assigned, Change, Copied, Effect, Effects, FlagOp,
    MailboxChange, MailboxId, Move,
};
use crate::place::{SegmentRef, Slot};

/// The low 32 bits of a number that was checked to have no others.
fn low(number: u64) -> u32 {
    u32::try_from(number).expect("checked before the entry was applied")
}

impl State {
    /// Applies a change that was checked, as the entry `self.seq`.
    pub(super) fn perform(&mut self, change: &Change) -> Effects {
        let mut effects = Effects::default();
        match change {
            Change::Deliver(arrivals) => effects.arrived = self.arrive(arrivals, true),
            Change::Append(arrivals) => effects.arrived = self.arrive(arrivals, false),
            Change::Flags { mailbox, uids, op, flags } => {
                effects.flagged = Some((*mailbox, self.flag(*mailbox, uids, *op, flags)));
            }
            Change::Expunge { mailbox, uids } => {
                effects.expunged = Some((*mailbox, self.expunge(*mailbox, uids)));
            }
            Change::Copy { from, to, uids, is_move } => {
                effects.copied = self.copy(*from, *to, uids);
                if *is_move {
                    effects.expunged = Some((*from, self.expunge(*from, uids)));
                }
            }
            Change::Mailbox(change) => self.change_tree(change, &mut effects),
            Change::Reloc { moves, released } => {
                self.relocate(moves);
                self.release(released);
            }
            Change::Release { segments } => self.release(segments),
            Change::Drop { objects } => self.drop_objects(objects),
            Change::Effect(effect) => self.record_effect(effect),
            Change::Fence { region, epoch } => {
                self.phase = Phase::Fenced { region: region.clone(), epoch: *epoch };
            }
            Change::Open { waiting } => {
                self.phase = if *waiting { Phase::Waiting } else { Phase::Open };
            }
            Change::Void { .. } => {}
        }
        effects
    }

    fn arrive(&mut self, arrivals: &[Arrival], delivered: bool) -> Vec<Option<Assigned>> {
        let mut assigned = Vec::with_capacity(arrivals.len());
        let mut number = None;
        for arrival in arrivals {
            if !arrival.again {
                number = self.number_arrival(arrival, delivered);
            }
            assigned.push(number.and_then(|number| self.take_in(arrival, number)));
        }
        assigned
    }

    /// The number of an arrival that comes in; `None` if it came before [J].
    fn number_arrival(&mut self, arrival: &Arrival, delivered: bool) -> Option<u32> {
        if delivered && self.is_in_window(arrival.record) {
            return None;
        }
        let number = self.next_arrival;
        self.next_arrival += 1;
        let size = low(arrival.size);
        match &arrival.place {
            ArrivalPlace::Slot(slot) => {
                if delivered {
                    let windowed = Windowed { slot: *slot, arrival: number, size };
                    self.window.insert(arrival.record, windowed);
                }
                let known = self.tables.segment_number(slot.segment, self.seq, self.time);
                if let Some(known) = self.tables.segment_at_mut(known) {
                    known.records += 1;
                    known.bytes += u64::from(size);
                }
            }
            ArrivalPlace::Inline(inline) => {
                self.inline.insert(number, inline.clone());
            }
        }
        if !arrival.summary.is_empty() {
            self.summaries.insert(number, arrival.summary.clone());
        }
        Some(number)
    }

    fn take_in(&mut self, arrival: &Arrival, number: u32) -> Option<Assigned> {
        let (segment, index) = match &arrival.place {
            ArrivalPlace::Slot(Slot { segment, index }) => {
                (self.tables.segment_number(*segment, self.seq, self.time), *index)
            }
            ArrivalPlace::Inline(_) => (INLINE, 0),
        };
        let row = Packed {
            modseq: 0,
            counter: arrival.record.counter,
            uid: 0,
            flags: 0,
            size: low(arrival.size),
            date: u32::try_from(arrival.date.seconds()).unwrap_or(u32::MAX),
            writer: self.tables.writer_number(arrival.record.writer),
            segment,
            index,
            arrival: number,
        };
        let uid = self.add(arrival.mailbox, row, &arrival.flags)?;
        let mailbox = self.mailboxes.get(&arrival.mailbox)?;
        let uid_validity = UidValidity::new(mailbox.uid_validity)?;
        Some(Assigned { mailbox: arrival.mailbox, uid_validity, uid: Uid::new(uid)? })
    }

    /// Adds a message to a mailbox under its next UID.
    fn add(&mut self, id: MailboxId, row: Packed, flags: &FlagSet) -> Option<u32> {
        let mailbox = self.mailboxes.get_mut(&id)?;
        // I3: UIDs only go up, and are never given twice.
        let uid = low(mailbox.uid_next);
        mailbox.uid_next += 1;
        mailbox.highest_modseq = self.seq;
        mailbox.keywords.extend(flags.keywords().iter().cloned());
        let flags = mailbox.spelled(flags);
        mailbox.count_in(flags.system, row.size);
        let flags = self.tables.flags_number(&flags);
        let row = Packed { modseq: self.seq.0, uid, flags, ..row };
        self.tables.entered(&row);
        mailbox.messages.push(row);
        self.totals.messages += 1;
        self.totals.bytes += u64::from(row.size);
        Some(uid)
    }

    /// The messages whose flags are different afterwards.
    fn flag(&mut self, id: MailboxId, uids: &UidSet, op: FlagOp, flags: &FlagSet) -> UidSet {
        let mut changed = UidSet::new();
        let Some(mailbox) = self.mailboxes.get_mut(&id) else { return changed };
        if op != FlagOp::Remove {
            mailbox.keywords.extend(flags.keywords().iter().cloned());
        }
        let MailboxData { messages, unseen, deleted, keywords, .. } = mailbox;
        // Few different sets of flags occur: each is worked out once.
        let mut after: BTreeMap<u32, u32> = BTreeMap::new();
        let (seq, tables) = (self.seq, &mut self.tables);
        messages.update(uids, |row| {
            let new = *after.entry(row.flags).or_insert_with(|| {
                let mut set = tables.flags(row.flags).clone();
                match op {
                    FlagOp::Add => set.add(flags),
                    FlagOp::Remove => set.remove(flags),
                    FlagOp::Set => set = flags.clone(),
                }
                let spelled = set.keywords().iter().map(|k| keywords.get(k).unwrap_or(k).clone());
                tables.flags_number(&FlagSet::new(set.system, spelled))
            });
            if new == row.flags {
                return false;
            }
            let (from, to) = (tables.flags(row.flags).system, tables.flags(new).system);
            let has = |set: SystemFlags, flag| u64::from(set.contains(flag));
            *unseen = *unseen + has(from, SystemFlags::SEEN) - has(to, SystemFlags::SEEN);
            *deleted = *deleted + has(to, SystemFlags::DELETED) - has(from, SystemFlags::DELETED);
            row.flags = new;
            row.modseq = seq.0;
            changed.insert(row.uid);
            true
        });
        if !changed.is_empty() {
            tree::touch(self, id, seq);
        }
        changed
    }

    /// The UIDs that were there and are gone.
    fn expunge(&mut self, id: MailboxId, uids: &UidSet) -> UidSet {
        let mut gone = UidSet::new();
        let Some(mailbox) = self.mailboxes.get_mut(&id) else { return gone };
        let (tables, totals, time) = (&mut self.tables, &mut self.totals, self.time);
        let mut counted = Vec::new();
        mailbox.messages.remove(uids, |row| {
            gone.insert(row.uid);
            tables.left(row, time);
            totals.messages -= 1;
            totals.bytes -= u64::from(row.size);
            counted.push((tables.flags(row.flags).system, row.size));
        });
        for (flags, size) in counted {
            mailbox.count_out(flags, size);
        }
        if !gone.is_empty() {
            mailbox.highest_modseq = self.seq;
            self.vanished.push(self.seq, id, gone.clone());
        }
        gone
    }

    fn copy(&mut self, from: MailboxId, to: MailboxId, uids: &UidSet) -> Option<Copied> {
        let rows: Vec<Packed> = self.mailboxes.get(&from)?.messages.in_set(uids).copied().collect();
        let mut copies = UidSet::new();
        for row in rows {
            let flags = self.tables.flags(row.flags).clone();
            copies.insert(self.add(to, row, &flags)?);
        }
        let uid_validity = UidValidity::new(self.mailboxes.get(&to)?.uid_validity)?;
        Some(Copied { to, uid_validity, source: uids.clone(), copies })
    }

    fn change_tree(&mut self, change: &MailboxChange, effects: &mut Effects) {
        match change {
            MailboxChange::Create { name, special_use } => {
                tree::create(self, name, *special_use, effects);
            }
            MailboxChange::Rename { from, to } => tree::rename(self, from, to, effects),
            MailboxChange::Delete { name } => self.delete_mailbox(name, effects),
            MailboxChange::Subscribe { name, on: true } => {
                self.subscriptions.insert(name.clone());
            }
            MailboxChange::Subscribe { name, on: false } => {
                self.subscriptions.remove(name);
            }
        }
    }

    fn delete_mailbox(&mut self, name: &str, effects: &mut Effects) {
        let Some(id) = self.names.remove(name) else { return };
        if let Some(mailbox) = self.mailboxes.remove(&id) {
            for row in mailbox.messages.iter() {
                self.tables.left(row, self.time);
                self.totals.messages -= 1;
                self.totals.bytes -= u64::from(row.size);
            }
        }
        effects.deleted = Some(id);
    }

    /// Every message of these arrivals has a new place; its modseq stays, for nothing that a
    /// client sees has changed.
    fn relocate(&mut self, moves: &[Move]) {
        if moves.is_empty() {
            return;
        }
        let mut to = BTreeMap::new();
        for one in moves {
            let number = self.tables.segment_number(one.to.segment, self.seq, self.time);
            to.insert(one.arrival, (number, one.to.index));
        }
        let mut counted = BTreeSet::new();
        self.place_anew(&to, |row, tables| {
            if counted.insert(row.arrival)
                && let Some(known) = tables.segment_at_mut(row.segment)
            {
                known.records += 1;
                known.bytes += u64::from(row.size);
            }
        });
    }

    /// Moves messages by arrival to (segment number, index); `moved` sees each afterwards.
    pub(crate) fn place_anew(
        &mut self,
        to: &BTreeMap<u32, (u32, u32)>,
        mut moved: impl FnMut(&Packed, &mut super::tables::Tables),
    ) {
        let (Some((first, _)), Some((last, _))) = (to.first_key_value(), to.last_key_value())
        else {
            return;
        };
        let (tables, time) = (&mut self.tables, self.time);
        for mailbox in self.mailboxes.values_mut() {
            mailbox.messages.update_where(
                |row| (*first..=*last).contains(&row.arrival) && to.contains_key(&row.arrival),
                |row| {
                    let Some((segment, index)) = to.get(&row.arrival) else { return false };
                    tables.left(row, time);
                    (row.segment, row.index) = (*segment, *index);
                    tables.entered(row);
                    moved(row, tables);
                    true
                },
            );
        }
        to.keys().for_each(|arrival| {
            self.inline.remove(arrival);
        });
    }

    /// The window ends with the release [J]; the fence stays known for as long as an append can be
    /// late [F].
    fn release(&mut self, segments: &[SegmentRef]) {
        if segments.is_empty() {
            return;
        }
        self.window.retain(|_, windowed| !segments.contains(&windowed.slot.segment));
        for segment in segments {
            self.tables.forget_segment(*segment);
            self.fences.push(self.seq, LetGo::Segment(*segment));
        }
    }

    fn drop_objects(&mut self, objects: &[AccountObject]) {
        for object in objects {
            if let AccountObject::Segment(nonce) = object {
                self.tables.forget_segment(SegmentRef::Account { nonce: *nonce });
            }
            self.fences.push(self.seq, Self::let_go(*object));
        }
    }

    fn record_effect(&mut self, effect: &Effect) {
        self.effects.retain(|known| known.kind != effect.kind || known.key != effect.key);
        self.effects.push_back(effect.clone());
        while self.effects.len() > EFFECTS_MAX {
            self.effects.pop_front();
        }
    }
}
