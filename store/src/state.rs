//! The state of an account: what replaying its log gives.
//!
//! Replay is deterministic and its rules are frozen per entry version [V]: UIDs, modseqs, counts
//! and totals follow from the entries in order (I2, I3). An entry that cannot be replayed leaves
//! the state as it was and stops the account [U]. Nothing here reads a clock, does I/O, or depends
//! on the order of a hash map.
//!
//! Copies of a state are cheap: they share the chunks of messages that neither changes.

mod check;
pub(crate) mod fences;
pub(crate) mod mailbox;
pub(crate) mod messages;
mod perform;
mod place;
pub(crate) mod tables;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tree;
pub(crate) mod vanished;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use engine::Nonce;
use mail::{Account, RecordId, Seq, Timestamp};

use crate::change::{Change, Effect, Effects, MailboxId};
use crate::checkpoint::SummaryChunk;
use crate::entry::{Entry, Totals};
use crate::inline::Inline;
use crate::place::Slot;
use crate::rows::{CheckpointRef, Phase};

pub use check::Unreplayable;
pub use mailbox::{Mailbox, Message};
pub use place::{Held, IngestLoad, LetGo, Met};
pub use tables::SegmentUse;
pub use tree::{KEYWORDS_MAX, MAILBOXES_MAX, NAME_BYTES_MAX, NAME_LEVEL_BYTES_MAX};
pub use vanished::{TooOld, VANISHED_RANGES_MAX};

use fences::Fences;
use mailbox::MailboxData;
use tables::Tables;
use vanished::Vanished;

/// Most effects of rules that are kept; the oldest go.
const EFFECTS_MAX: usize = 1_000;

/// A record id in the window [J].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windowed {
    /// Where it was delivered from.
    pub(crate) slot: Slot,
    /// Number of its arrival.
    pub(crate) arrival: u32,
    /// Its size.
    pub(crate) size: u32,
}

/// An account's state after its entry `seq`.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) account: Account,
    pub(crate) seq: Seq,
    /// The checkpoint it was read from, or that was made of it.
    pub(crate) checkpoint: Option<CheckpointRef>,
    pub(crate) time: Timestamp,
    pub(crate) totals: Totals,
    pub(crate) phase: Phase,
    pub(crate) mailboxes: BTreeMap<MailboxId, MailboxData>,
    pub(crate) names: BTreeMap<String, MailboxId>,
    pub(crate) subscriptions: BTreeSet<String>,
    pub(crate) next_mailbox: u32,
    pub(crate) next_validity: u32,
    /// Number of the next arrival.
    pub(crate) next_arrival: u32,
    pub(crate) tables: Tables,
    pub(crate) window: BTreeMap<RecordId, Windowed>,
    pub(crate) vanished: Vanished,
    /// What was let go lately.
    pub(crate) fences: Fences,
    pub(crate) effects: VecDeque<Effect>,
    /// Entries passed over because they are voided.
    pub(crate) voided: BTreeSet<Seq>,
    /// Bytes of APPENDs since the checkpoint, by arrival.
    pub(crate) inline: BTreeMap<u32, Inline>,
    /// Summaries of arrivals since the checkpoint.
    pub(crate) summaries: BTreeMap<u32, Bytes>,
    /// Where the summaries of earlier arrivals are, ascending.
    pub(crate) summary_chunks: Vec<SummaryChunk>,
    /// Flag sets at which the table of them is swept next.
    flag_sets_max: usize,
}

/// Where the summary of a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SummaryPlace<'a> {
    /// Here: encoded `mail::Summary`.
    Here(&'a Bytes),
    /// In this chunk of the checkpoint: `SummaryChunk::decode` finds it by arrival.
    Chunk(&'a SummaryChunk),
}

impl State {
    /// The state before the first entry: INBOX and the special-use mailboxes exist already, all
    /// subscribed. UIDVALIDITYs count up from a base that each epoch has for itself, so that no
    /// name ever gets one twice (I3).
    #[must_use]
    pub fn new(account: Account) -> Self {
        let mut state = Self::empty(account);
        tree::create_first(&mut state);
        state
    }

    /// A state without mailboxes, to be filled from a checkpoint.
    pub(crate) fn empty(account: Account) -> Self {
        Self {
            account,
            seq: Seq(0),
            checkpoint: None,
            time: Timestamp(0),
            totals: Totals::default(),
            phase: Phase::Open,
            mailboxes: BTreeMap::new(),
            names: BTreeMap::new(),
            subscriptions: BTreeSet::new(),
            next_mailbox: 1,
            next_validity: tree::first_validity(account.epoch),
            next_arrival: 0,
            tables: Tables::default(),
            window: BTreeMap::new(),
            vanished: Vanished::default(),
            fences: Fences::default(),
            effects: VecDeque::new(),
            voided: BTreeSet::new(),
            inline: BTreeMap::new(),
            summaries: BTreeMap::new(),
            summary_chunks: Vec::new(),
            flag_sets_max: 1024,
        }
    }

    /// The account and the epoch of its log.
    #[must_use]
    pub const fn account(&self) -> Account {
        self.account
    }

    /// Seq of the last entry replayed.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The checkpoint that this state was read from, or that was made of it ([`Self::adopt`]).
    #[must_use]
    pub const fn checkpoint(&self) -> Option<CheckpointRef> {
        self.checkpoint
    }

    /// Seq of that checkpoint; 0 if there is none.
    #[must_use]
    pub fn base(&self) -> Seq {
        self.checkpoint.map_or(Seq(0), |checkpoint| checkpoint.seq)
    }

    /// Time of the last entry; shown, never ordered by.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Messages and bytes in all mailboxes: what quota is decided by [R].
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether the log takes mail.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether this record was delivered and is not released yet [J].
    #[must_use]
    pub fn is_in_window(&self, record: RecordId) -> bool {
        self.window.contains_key(&record)
    }

    /// How many record ids are in the window.
    #[must_use]
    pub fn window_len(&self) -> usize {
        self.window.len()
    }

    /// Whether a rule did this, and until when it counts.
    #[must_use]
    pub fn effect(&self, kind: u8, key: &[u8]) -> Option<Timestamp> {
        let same = |effect: &&Effect| effect.kind == kind && effect.key == key;
        self.effects.iter().find(same).map(|effect| effect.until)
    }

    /// The bytes of a message whose place is inline.
    #[must_use]
    pub fn inline(&self, arrival: u32) -> Option<&Inline> {
        self.inline.get(&arrival)
    }

    /// Where the summary of this arrival is; `None` only if there is none (an import without).
    #[must_use]
    pub fn summary(&self, arrival: u32) -> Option<SummaryPlace<'_>> {
        if let Some(summary) = self.summaries.get(&arrival) {
            return Some(SummaryPlace::Here(summary));
        }
        let at = self.summary_chunks.partition_point(|chunk| chunk.end <= arrival);
        let chunk = self.summary_chunks.get(at)?;
        (chunk.first <= arrival).then_some(SummaryPlace::Chunk(chunk))
    }

    /// Bytes of summaries and inline bodies kept since the checkpoint. Over 256 KiB a checkpoint
    /// is due, or has been made by somebody: see [`Self::adopt`].
    #[must_use]
    pub fn tail_bytes(&self) -> usize {
        let summaries: usize = self.summaries.values().map(Bytes::len).sum();
        summaries + self.inline.values().map(|inline| inline.stored().len()).sum::<usize>()
    }

    /// Bytes of memory, about; for a bounded cache of states.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let mailboxes: usize = self.mailboxes.values().map(MailboxData::memory_bytes).sum();
        mailboxes
            + self.tables.memory_bytes()
            + self.window.len() * 128
            + self.vanished.memory_bytes()
            + self.fences.memory_bytes()
            + self.tail_bytes()
            + self.summary_chunks.len() * size_of::<SummaryChunk>()
            + self.names.len() * 128
    }

    /// Makes the next entry of a change decided on this very state: checks all that replay would,
    /// and the totals after it.
    /// # Errors
    /// [`Unreplayable`]: the change contradicts the state; nothing may be written.
    pub fn entry(
        &self,
        change: Change,
        nonce: Nonce,
        time: Timestamp,
    ) -> Result<Entry, Unreplayable> {
        let seq = self.seq.next();
        let totals = self.check(seq, &change)?;
        Ok(Entry { seq, nonce, time, totals, change })
    }

    /// Replays the next entry.
    /// # Errors
    /// [`Unreplayable`]: the state is as it was. The account stops, its mail is parked [U], unless
    /// a later entry voids this one: [`Self::replay`].
    pub fn apply(&mut self, entry: &Entry) -> Result<Effects, Unreplayable> {
        if entry.seq != self.seq.next() {
            return Err(Unreplayable::Order { expected: self.seq.next(), found: entry.seq });
        }
        let after = self.check(entry.seq, &entry.change)?;
        if after != entry.totals {
            return Err(Unreplayable::Totals { expected: after, found: entry.totals });
        }
        self.seq = entry.seq;
        self.time = entry.time;
        let effects = self.perform(&entry.change);
        // [R]: replay compares totals, so that a drift is seen where it begins.
        assert!(self.totals == after, "check and replay count alike");
        self.forget_old_fences();
        self.sweep_flags();
        Ok(effects)
    }

    /// Passes over an entry that a later one voids [U]: no effect but its seq.
    /// # Errors
    /// [`Unreplayable::Order`] if it is not the next one.
    pub fn skip(&mut self, seq: Seq) -> Result<(), Unreplayable> {
        if seq != self.seq.next() {
            return Err(Unreplayable::Order { expected: self.seq.next(), found: seq });
        }
        self.seq = seq;
        self.voided.insert(seq);
        self.forget_old_fences();
        Ok(())
    }

    /// Replays a tail in order; entries that are voided by a later one of it have no effect.
    /// # Errors
    /// The seq of the first entry that cannot be replayed, and why. Those before it are applied.
    pub fn replay(&mut self, tail: &[Entry]) -> Result<(), (Seq, Unreplayable)> {
        let voided: BTreeSet<Seq> = tail
            .iter()
            .filter_map(|entry| match &entry.change {
                Change::Void { seq, .. } if *seq < entry.seq => Some(*seq),
                _ => None,
            })
            .collect();
        for entry in tail {
            let applied = if voided.contains(&entry.seq) {
                self.skip(entry.seq)
            } else {
                self.apply(entry).map(drop)
            };
            applied.map_err(|why| (entry.seq, why))?;
        }
        Ok(())
    }

    fn forget_old_fences(&mut self) {
        self.fences.forget(self.seq);
        let oldest = self.seq.0.saturating_sub(crate::rows::RING);
        self.voided = self.voided.split_off(&Seq(oldest + 1));
    }

    /// Drops flag sets that no message has any more, when there are many.
    fn sweep_flags(&mut self) {
        if self.tables.flag_sets() < self.flag_sets_max {
            return;
        }
        let mut used = vec![false; self.tables.flag_sets()];
        let rows = self.mailboxes.values().flat_map(|mailbox| mailbox.messages.iter());
        rows.for_each(|row| {
            if let Some(used) = used.get_mut(row.flags as usize) {
                *used = true;
            }
        });
        let numbers = self.tables.shrink_flags(&used);
        for mailbox in self.mailboxes.values_mut() {
            mailbox.messages.update_where(
                |_| true,
                |row| {
                    let number = numbers.get(row.flags as usize).copied().unwrap_or_default();
                    std::mem::replace(&mut row.flags, number) != number
                },
            );
        }
        self.flag_sets_max = (2 * self.tables.flag_sets()).max(1024);
    }
}
