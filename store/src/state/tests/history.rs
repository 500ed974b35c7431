//! Random histories of an account: each change is decided on the state, as edges and functions do.

use bytes::Bytes;
use engine::Nonce;
use mail::flags::{FlagSet, Keyword, SystemFlags};
use mail::uidset::UidSet;
use mail::{Account, AccountId, Epoch, RecordId, Timestamp, WriterId};

use crate::change::{
    AccountObject, Arrival, ArrivalPlace, Change, Effect, Effects, FlagOp, MailboxChange,
    MailboxId, Move,
};
use crate::entry::Entry;
use crate::inline::Inline;
use crate::place::{ObjectNonce, SegmentRef, Slot};
use crate::state::{State, Unreplayable};
use crate::testing::Dice;

pub(crate) fn account() -> Account {
    Account { id: AccountId([0xac; 16]), epoch: Epoch(1) }
}

pub(crate) struct History {
    pub(crate) dice: Dice,
    pub(crate) state: State,
    pub(crate) entries: Vec<Entry>,
    counter: u64,
    number: u64,
    nonce: u64,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let state = State::new(account());
        Self { dice: Dice(seed), state, entries: Vec::new(), counter: 0, number: 1, nonce: 0 }
    }

    /// Decides, makes the entry, applies it.
    pub(crate) fn change(&mut self, change: Change) -> Result<Effects, Unreplayable> {
        self.nonce += 1;
        let time = Timestamp(1_800_000_000_000 + self.nonce * 1000);
        let entry = self.state.entry(change, Nonce(self.nonce.to_be_bytes()), time)?;
        let effects = self.state.apply(&entry)?;
        self.entries.push(entry);
        Ok(effects)
    }

    /// Some change that the state allows.
    pub(crate) fn step(&mut self) {
        for _ in 0..20 {
            let change = self.some_change();
            if self.change(change).is_ok() {
                return;
            }
        }
    }

    fn some_change(&mut self) -> Change {
        match self.dice.below(20) {
            0..=5 => self.deliver(),
            6..=8 => self.append(),
            9..=11 => {
                let mailbox = self.mailbox();
                let op = [FlagOp::Add, FlagOp::Remove, FlagOp::Set][self.dice.below(3)];
                Change::Flags { mailbox, uids: self.uids(mailbox), op, flags: self.flags() }
            }
            12..=13 => {
                let mailbox = self.mailbox();
                Change::Expunge { mailbox, uids: self.uids(mailbox) }
            }
            14..=15 => {
                let (from, to) = (self.mailbox(), self.mailbox());
                let wanted = self.uids(from);
                let there = self.state.mailbox(from).unwrap().uids();
                let is_move = self.dice.one_in(2);
                Change::Copy { from, to, uids: wanted.intersection(&there), is_move }
            }
            16 => self.tree(),
            17 => self.compact(),
            18 => self.drop_dead(),
            _ => Change::Effect(Effect {
                kind: 1,
                key: Bytes::from(vec![u8::try_from(self.dice.below(4)).unwrap()]),
                until: Timestamp(self.nonce),
            }),
        }
    }

    pub(crate) fn mailbox(&mut self) -> MailboxId {
        let all: Vec<_> = self.state.mailboxes().map(|mailbox| mailbox.id()).collect();
        if self.dice.one_in(2) { MailboxId::INBOX } else { all[self.dice.below(all.len())] }
    }

    fn uids(&mut self, mailbox: MailboxId) -> UidSet {
        let next = self.state.mailbox(mailbox).unwrap().uid_next().get();
        let mut uids = UidSet::new();
        for _ in 0..1 + self.dice.below(3) {
            let first = u32::try_from(self.dice.below(next as usize)).unwrap();
            uids.insert_range(first..=first + u32::try_from(self.dice.below(8)).unwrap());
        }
        uids
    }

    fn flags(&mut self) -> FlagSet {
        let system = SystemFlags(u8::try_from(self.dice.below(32)).unwrap());
        let words = ["$Forwarded", "$forwarded", "Work", "NonJunk"];
        let count = self.dice.below(3);
        let keyword = |dice: &mut Dice| Keyword::parse(words[dice.below(4)]).unwrap();
        FlagSet::new(system, (0..count).map(|_| keyword(&mut self.dice)).collect::<Vec<_>>())
    }

    fn arrival(&mut self, record: RecordId, place: ArrivalPlace) -> Arrival {
        let summary = Bytes::from(format!("summary of {record}").into_bytes());
        let size = 100 + record.counter % 50_000;
        Arrival {
            record,
            again: false,
            mailbox: self.mailbox(),
            flags: self.flags(),
            date: Timestamp::from_seconds(1_800_000_000 + self.nonce * 60),
            size,
            place,
            summary,
        }
    }

    fn writer(&self) -> WriterId {
        WriterId([u8::try_from(self.number % 3).unwrap() + 1; 16])
    }

    fn deliver(&mut self) -> Change {
        // Sometimes what came before comes again: a claim was taken over, an event was doubled.
        if self.dice.one_in(4) {
            let before = self.entries.iter().rev().find_map(|entry| match &entry.change {
                Change::Deliver(arrivals) => Some(arrivals.clone()),
                _ => None,
            });
            if let Some(arrivals) = before {
                return Change::Deliver(arrivals);
            }
        }
        self.number += 1;
        let mut arrivals: Vec<Arrival> = Vec::new();
        for index in 0..1 + self.dice.below(4) {
            self.counter += 1;
            let record = RecordId { writer: self.writer(), counter: self.counter };
            let segment = if self.dice.one_in(10) {
                SegmentRef::Made { id: record }
            } else {
                SegmentRef::Ingest { writer: self.writer(), number: self.number }
            };
            let slot = Slot { segment, index: u32::try_from(index).unwrap() };
            let arrival = self.arrival(record, ArrivalPlace::Slot(slot));
            if self.dice.one_in(6) {
                let again = Arrival {
                    again: true,
                    mailbox: self.mailbox(),
                    summary: Bytes::new(),
                    ..arrival.clone()
                };
                arrivals.push(arrival);
                arrivals.push(again);
            } else {
                arrivals.push(arrival);
            }
        }
        Change::Deliver(arrivals)
    }

    fn append(&mut self) -> Change {
        self.counter += 1;
        let record = RecordId { writer: WriterId([0xee; 16]), counter: self.counter };
        let place = if self.dice.one_in(3) {
            let segment = SegmentRef::Account { nonce: ObjectNonce(self.counter.to_be_bytes()) };
            ArrivalPlace::Slot(Slot { segment, index: 0 })
        } else {
            ArrivalPlace::Inline(Inline::pack(format!("body {record}").as_bytes()).unwrap())
        };
        Change::Append(vec![self.arrival(record, place)])
    }

    fn tree(&mut self) -> Change {
        let names = ["a", "a/b", "a/b/c", "d", "Sent", "INBOX", "INBOX/x", "e/f/g"];
        let mut name = || names[self.dice.below(names.len())].to_owned();
        let (one, two) = (name(), name());
        Change::Mailbox(match self.dice.below(4) {
            0 => MailboxChange::Rename { from: one, to: two },
            1 => MailboxChange::Delete { name: one },
            2 => MailboxChange::Subscribe { name: one, on: self.dice.one_in(2) },
            _ => MailboxChange::Create { name: one, special_use: None },
        })
    }

    /// All that lies in ingest segments goes into an account segment.
    fn compact(&mut self) -> Change {
        self.counter += 1;
        let nonce = ObjectNonce(self.counter.to_be_bytes());
        let (writer, load) = (self.writer(), self.state.ingest_load());
        let mine = |segment: SegmentRef| match segment {
            SegmentRef::Ingest { writer: of, .. } => of == writer,
            SegmentRef::Made { .. } => true,
            SegmentRef::Account { .. } => false,
        };
        let held = self.state.held(mine);
        assert!(held.len() as u64 <= load.records);
        let segment = SegmentRef::Account { nonce };
        let moves = held.iter().zip(0..).map(|(held, index)| Move {
            arrival: held.arrival,
            record: held.record,
            to: Slot { segment, index },
        });
        let released: Vec<_> =
            self.state.segments().map(|known| known.segment).filter(|s| mine(*s)).collect();
        Change::Reloc { moves: moves.collect(), released }
    }

    fn drop_dead(&mut self) -> Change {
        let dead = self.state.segments().filter(|known| known.live == 0);
        let objects = dead
            .filter_map(|known| match known.segment {
                SegmentRef::Account { nonce } => Some(AccountObject::Segment(nonce)),
                _ => None,
            })
            .collect();
        Change::Drop { objects }
    }
}
