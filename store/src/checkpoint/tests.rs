use std::collections::BTreeMap;

use bytes::Bytes;
use engine::ObjectKey;

use super::*;
use crate::change::{Change, FlagOp, MailboxId};
use crate::place::{Place, SegmentRef};
use crate::rows::Pointer;
use crate::segment::{self, Index};
use crate::state::tests::history::{History, account};
use crate::state::tests::shown;
use crate::state::{State, SummaryPlace};

/// Objects and the pointer row of one account.
#[derive(Default)]
struct Office {
    objects: BTreeMap<ObjectKey, Bytes>,
    pointer: Pointer,
    nonce: u64,
    requests: usize,
}

impl Office {
    fn get(&mut self, wanted: &[Wanted]) -> Vec<Vec<Bytes>> {
        let ranges = |wanted: &Wanted| {
            let object = &self.objects[&wanted.key];
            let index = |at: u64| usize::try_from(at).unwrap();
            let cut = |range: &Range<u64>| object.slice(index(range.start)..index(range.end));
            wanted.ranges.iter().map(cut).collect()
        };
        self.requests += wanted.len();
        wanted.iter().map(ranges).collect()
    }

    fn nonce(&mut self) -> ObjectNonce {
        self.nonce += 1;
        ObjectNonce(self.nonce.to_be_bytes())
    }

    fn checkpoint(&mut self, state: &State, history: &[crate::entry::Entry]) -> Written {
        let since = self.pointer.checkpointed();
        let tail = history.iter().filter(|entry| entry.seq > since).cloned().collect();
        let planner = Planner::new(state, &self.pointer, tail).unwrap();
        let got = self.get(planner.wanted());
        let (nonce, segment) = (self.nonce(), self.nonce());
        let plan = planner.finish(&got, nonce, segment).unwrap();
        for (key, parts) in plan.objects {
            assert!(self.objects.insert(key, Bytes::from(parts.concat())).is_none());
        }
        self.pointer = plan.pointer;
        plan.written
    }

    fn root(&self) -> Root {
        let checkpoint = self.pointer.checkpoint.unwrap();
        let key = names::checkpoint(account(), checkpoint.seq, checkpoint.nonce);
        Root::decode(account(), checkpoint, &self.objects[&key]).unwrap()
    }

    fn open(&mut self) -> State {
        self.requests = 1;
        let root = self.root();
        let got = self.get(root.wanted());
        root.finish(&got).unwrap()
    }

    fn summary(&self, state: &State, arrival: u32) -> Option<Bytes> {
        match state.summary(arrival)? {
            SummaryPlace::Here(summary) => Some(summary.clone()),
            SummaryPlace::Chunk(chunk) => {
                let object = &self.objects[&chunk.at.key(state.account())];
                let range = chunk.at.range();
                let range =
                    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                chunk.decode(&object[range]).unwrap().get(&arrival).cloned()
            }
        }
    }
}

#[test]
fn what_is_read_from_a_checkpoint_is_what_replay_gives_at_every_seq() {
    for seed in 0..12 {
        let mut history = History::new(seed);
        let mut office = Office::default();
        let mut live = State::new(account());
        for _ in 0..90 {
            history.step();
            let entry = history.entries.last().unwrap().clone();
            live.apply(&entry).unwrap();
            if history.dice.one_in(3) {
                let written = office.checkpoint(&live, &history.entries);
                assert!(live.adopt(&written));
                assert!(!live.adopt(&written), "only once");
                let opened = office.open();
                assert!(office.requests <= 3);
                assert_eq!(shown(&opened), shown(&live), "seed {seed} seq {}", entry.seq);
                assert_eq!(live.inline.len(), 0);
                // It goes on from there as the other does.
                live = if history.dice.one_in(2) { opened } else { live };
            }
            compare_with_replay(&office, &live, &history.state);
            history.state = live.clone();
        }
        let mut scratch = State::new(account());
        let tail: Vec<_> = history.entries.clone();
        scratch.replay(&tail).unwrap();
        compare_with_replay(&office, &live, &scratch);
        check_history(&mut office, &history.entries);
    }
}

/// All but the places of what was inline is the same; and every summary is found.
fn compare_with_replay(office: &Office, live: &State, replayed: &State) {
    assert_eq!((live.seq(), live.totals()), (replayed.seq(), replayed.totals()));
    for (a, b) in live.mailboxes().zip(replayed.mailboxes()) {
        assert_eq!(
            (a.id(), a.name(), a.uid_validity(), a.uid_next(), a.highest_modseq(), a.exists()),
            (b.id(), b.name(), b.uid_validity(), b.uid_next(), b.highest_modseq(), b.exists())
        );
        assert_eq!((a.unseen(), a.deleted(), a.bytes()), (b.unseen(), b.deleted(), b.bytes()));
        assert_eq!(a.vanished_since(Seq(0)), b.vanished_since(Seq(0)));
        for (m, n) in a.messages().zip(b.messages()) {
            assert_eq!(
                (m.uid, m.modseq, m.flags.to_string(), m.date, m.size, m.record, m.arrival),
                (n.uid, n.modseq, n.flags.to_string(), n.date, n.size, n.record, n.arrival)
            );
            assert!(m.place == n.place || n.place == Place::Inline);
            let summary = office.summary(live, m.arrival).unwrap();
            assert_eq!(summary, format!("summary of {}", m.record));
        }
    }
    assert_eq!(live.window, replayed.window);
}

/// The chain of checkpoints has every entry, inline bodies named by a place where they are.
fn check_history(office: &mut Office, entries: &[crate::entry::Entry]) {
    let mut all = Vec::new();
    let mut checkpoint = office.pointer.checkpoint;
    let upto = office.pointer.checkpointed();
    while let Some(reference) = checkpoint {
        let key = names::checkpoint(account(), reference.seq, reference.nonce);
        let root = Root::decode(account(), reference, &office.objects[&key]).unwrap();
        let part = root.history().unwrap();
        let object = &office.objects[&part.key(account())];
        let trailer = &object[object.len() - usize::try_from(HISTORY_TRAILER_BYTES).unwrap()..];
        let size = object.len() as u64;
        assert_eq!(history_part(part.seq, part.nonce, size, trailer), Some(part));
        let range = part.range();
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let mut entries = decode_history(&part, &object[range]).unwrap();
        entries.append(&mut all);
        all = entries;
        checkpoint = root.previous();
    }
    let expected = entries.iter().filter(|entry| entry.seq <= upto);
    assert!(all.iter().map(|entry| entry.seq).eq(expected.clone().map(|entry| entry.seq)));
    for (kept, entry) in all.iter().zip(expected) {
        let (Change::Append(kept), Change::Append(whole)) = (&kept.change, &entry.change) else {
            assert_eq!(kept, entry);
            continue;
        };
        for (kept, whole) in kept.iter().zip(whole) {
            let crate::change::ArrivalPlace::Inline(inline) = &whole.place else {
                assert_eq!(kept, whole);
                continue;
            };
            let crate::change::ArrivalPlace::Slot(slot) = kept.place else { panic!("inline") };
            let object = &office.objects[&names::segment(account(), slot.segment)];
            let segment::Read::Whole(index) = Index::read(object).unwrap() else {
                panic!("whole object")
            };
            let record = &index.records[slot.index as usize];
            let reading = record.location.reading(0..u64::MAX);
            let own = reading.own().unwrap();
            let own = usize::try_from(own.start).unwrap()..usize::try_from(own.end).unwrap();
            let body = reading.finish(&object.slice(own), &Bytes::new()).unwrap();
            assert_eq!(body, inline.unpack().unwrap());
            assert_eq!(record.location.id, whole.record);
        }
    }
}

#[test]
fn a_state_that_went_on_adopts_the_checkpoint_and_ends_as_if_read_from_it() {
    for seed in 50..60 {
        let mut history = History::new(seed);
        let mut office = Office::default();
        (0..40).for_each(|_| history.step());
        let written = office.checkpoint(&history.state, &history.entries);
        let at = history.entries.len();
        (0..10).for_each(|_| history.step());
        let mut live = history.state.clone();
        assert!(live.adopt(&written));
        let mut opened = office.open();
        opened.replay(&history.entries[at..]).unwrap();
        compare_with_replay(&office, &live, &opened);
        let places = |state: &State| {
            let all = state.mailboxes().flat_map(|mailbox| mailbox.messages());
            all.map(|message| message.place).collect::<Vec<_>>()
        };
        assert_eq!(places(&live), places(&opened));
        // The next checkpoint of either is the same state.
        let one = office.checkpoint(&live, &history.entries);
        assert!(live.adopt(&one));
        assert_eq!(office.open().totals(), live.totals());
    }
}

#[test]
fn a_checkpoint_is_made_only_of_what_the_pointer_names() {
    let mut history = History::new(3);
    let mut office = Office::default();
    (0..10).for_each(|_| history.step());
    let old = history.state.clone();
    office.checkpoint(&history.state, &history.entries);
    // I: a second checkpointer that still has the state from before.
    let stale = Planner::new(&old, &office.pointer, Vec::new());
    assert_eq!(stale.unwrap_err(), PlanError::Stale);
    let fresh = office.open();
    let wrong = Planner::new(&fresh, &office.pointer, history.entries.clone());
    assert_eq!(wrong.unwrap_err(), PlanError::History);
}

/// Many messages in INBOX, imported 256 an entry.
fn filled(messages: u64) -> History {
    use crate::change::{Arrival, ArrivalPlace};
    use crate::place::Slot;
    use mail::{RecordId, Timestamp, WriterId};
    let mut history = History::new(9);
    let writer = WriterId([7; 16]);
    for number in 0..messages / 256 {
        let arrivals = (0..256u32).map(|index| Arrival {
            record: RecordId { writer, counter: number * 256 + u64::from(index) },
            again: false,
            mailbox: MailboxId::INBOX,
            flags: mail::flags::FlagSet::default(),
            date: Timestamp::from_seconds(1_700_000_000 + number * 977),
            size: 3000 + (number * 7919 + u64::from(index) * 104_729) % 40_000,
            place: ArrivalPlace::Slot(Slot {
                segment: SegmentRef::Account { nonce: ObjectNonce(number.to_be_bytes()) },
                index,
            }),
            summary: Bytes::from_static(b"s"),
        });
        history.change(Change::Append(arrivals.collect())).unwrap();
    }
    history
}

#[test]
fn a_large_mailbox_is_not_written_anew_for_a_few_flags() {
    let mut history = filled(50_000);
    let mut office = Office::default();
    let written = office.checkpoint(&history.state, &history.entries);
    assert!(history.state.adopt(&written));
    let before: usize = office.objects.values().map(Bytes::len).sum();
    for uid in (1..50_000).step_by(1_000) {
        let uids = mail::uidset::UidSet::from_ranges([(uid, uid)]);
        let flags = mail::flags::FlagSet::system(mail::flags::SystemFlags::SEEN);
        let mailbox = MailboxId::INBOX;
        history.change(Change::Flags { mailbox, uids, op: FlagOp::Add, flags }).unwrap();
        let uids = mail::uidset::UidSet::from_ranges([(uid + 1, uid + 1)]);
        history.change(Change::Expunge { mailbox, uids }).unwrap();
    }
    let written = office.checkpoint(&history.state, &history.entries);
    assert!(history.state.adopt(&written));
    let after: usize = office.objects.values().map(Bytes::len).sum();
    assert!(after - before < 20_000, "{} bytes for 100 changes", after - before);
    let opened = office.open();
    assert!(office.requests <= 3);
    assert_eq!(shown(&opened), shown(&history.state));
    // And again, from what was read.
    history.state = opened;
    let uids = mail::uidset::UidSet::from_ranges([(1, 2_000)]);
    history.change(Change::Expunge { mailbox: MailboxId::INBOX, uids }).unwrap();
    let written = office.checkpoint(&history.state, &history.entries);
    assert!(history.state.adopt(&written));
    let opened = office.open();
    assert!(office.requests <= 3);
    assert_eq!(shown(&opened), shown(&history.state));
    assert!(office.root().chunk_objects().len() <= 5);
}

#[test]
fn summary_chunks_stay_few() {
    let mut history = History::new(4);
    let mut office = Office::default();
    for _ in 0..150 {
        (0..4).for_each(|_| history.step());
        let written = office.checkpoint(&history.state, &history.entries);
        assert!(history.state.adopt(&written));
    }
    assert!(history.state.summary_chunks.len() < 40);
    let chunks = &history.state.summary_chunks;
    assert!(chunks.is_sorted_by(|a, b| a.end <= b.first));
}

#[test]
fn any_changed_byte_of_a_root_is_seen() {
    let mut history = History::new(5);
    let mut office = Office::default();
    (0..30).for_each(|_| history.step());
    office.checkpoint(&history.state, &history.entries);
    let checkpoint = office.pointer.checkpoint.unwrap();
    let key = names::checkpoint(account(), checkpoint.seq, checkpoint.nonce);
    let object = office.objects[&key].clone();
    for at in 0..object.len() {
        let mut damaged = object.to_vec();
        damaged[at] ^= 2;
        assert!(Root::decode(account(), checkpoint, &damaged).is_err());
    }
    let other = Account { epoch: mail::Epoch(9), ..account() };
    assert!(Root::decode(other, checkpoint, &object).is_err());
}

/// A root of which nothing is compressed, for what zstd writes may change.
fn plain(object: &[u8]) -> Vec<u8> {
    let raw = crate::packing::unmark(&object[9..], 1 << 20).unwrap();
    let body = [&[0], &raw[..]].concat();
    [&object[..5], &crc32fast::hash(&body).to_be_bytes(), &body].concat()
}

#[test]
fn stored_checkpoints_are_read_for_ever() {
    use crate::golden::{Section, check};
    let mut history = History::new(2);
    let mut office = Office::default();
    (0..25).for_each(|_| history.step());
    office.checkpoint(&history.state, &history.entries);
    let checkpoint = office.pointer.checkpoint.unwrap();
    let key = names::checkpoint(account(), checkpoint.seq, checkpoint.nonce);
    let root = plain(&office.objects[&key]);
    let open = |root: &[u8]| {
        let root = Root::decode(account(), checkpoint, root).unwrap();
        assert!(root.wanted().is_empty(), "young blocks are in the root");
        let history = root.history();
        let state = root.finish(&[]).unwrap();
        format!("{}\n{history:?}\n{:?}", shown(&state), state.summary_chunks)
    };
    let meaning = open(&root);
    let section = Section { title: "root".into(), bytes: root, meaning };
    check("checkpoint.txt", &[section], |_, bytes| open(bytes));
}

#[test]
fn summaries_together_take_half_of_what_they_take_alone() {
    use mail::structure::{Limits, Scanner};
    let mut dice = crate::testing::Dice(8);
    let people = ["ana", "bob", "carol", "dmitri", "eve", "farid"];
    let mut message = || {
        let mut person = || people[dice.below(6)];
        let (from, to, cc) = (person(), person(), person());
        let (id, before, time) = (dice.next(), dice.next(), dice.next());
        let words = ["Budget", "minutes", "of", "the", "meeting", "offer", "week", "travel"];
        let subject: Vec<_> = (0..6).map(|_| words[dice.below(8)]).collect();
        format!(
            "From: {from} <{from}@example.org>\r\nTo: {to}@example.org, {cc}@example.net\r\n\
             Subject: Re: {}\r\nDate: Tue, 24 Nov 2026 {:02}:{:02}:03 +0100\r\n\
             Message-ID: <{id:016x}.{}@mail.example.org>\r\n\
             In-Reply-To: <{before:016x}@mail.example.org>\r\n\
             References: <{before:016x}@mail.example.org>\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/alternative; boundary=\"{time:016x}\"\r\n\r\n\
             --{time:016x}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             Dear {to}, {} and more of it, see below.\r\n\
             --{time:016x}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Dear\r\n\
             --{time:016x}--\r\n",
            subject.join(" "),
            time % 24,
            time % 60,
            time % 977,
            subject.join(" and the "),
        )
    };
    let summaries: BTreeMap<u32, Bytes> = (0..512)
        .map(|arrival| {
            let mut scanner = Scanner::new(Limits::default());
            scanner.feed(message().as_bytes());
            (arrival, Bytes::from(scanner.finish().summary.encode()))
        })
        .collect();
    let alone: usize = summaries.values().map(Bytes::len).sum();
    let bytes = summaries::encode(0, summaries.iter());
    assert!(bytes.len() < alone / 2, "{} of {alone} bytes for 512", bytes.len());
    let crc = crc32fast::hash(&bytes);
    let length = u32::try_from(bytes.len()).unwrap();
    let nonce = ObjectNonce([1; 8]);
    let at = ChunkPart { seq: Seq(1), nonce, number: 0, offset: 0, bytes: length, crc };
    let chunk = SummaryChunk { first: 0, end: 512, at };
    let read = chunk.decode(&bytes).unwrap();
    assert_eq!(read.len(), 512);
    for (arrival, summary) in &summaries {
        assert_eq!(mail::Summary::decode(&read[arrival]), mail::Summary::decode(summary));
    }
}

#[test]
fn no_bytes_whatever_make_the_reader_of_roots_panic() {
    let mut history = History::new(6);
    let mut office = Office::default();
    (0..40).for_each(|_| history.step());
    office.checkpoint(&history.state, &history.entries);
    let checkpoint = office.pointer.checkpoint.unwrap();
    let key = names::checkpoint(account(), checkpoint.seq, checkpoint.nonce);
    let root = plain(&office.objects[&key]);
    let mut opened = 0;
    for _ in 0..4_000 {
        let mut damaged = root.clone();
        for _ in 0..1 + history.dice.below(3) {
            let at = 10 + history.dice.below(damaged.len() - 10);
            damaged[at] = history.dice.next().to_be_bytes()[0];
        }
        // As if the checksum had been made of these very bytes.
        let crc = crc32fast::hash(&damaged[9..]).to_be_bytes();
        damaged.splice(5..9, crc);
        let Ok(root) = Root::decode(account(), checkpoint, &damaged) else { continue };
        let got: Vec<Vec<Bytes>> = root.wanted().iter().map(|_| Vec::new()).collect();
        let Ok(state) = root.finish(&got) else { continue };
        opened += 1;
        // What was read is a state: it is shown, and written again.
        drop(shown(&state));
        assert!(state.memory_bytes() < 1 << 24);
    }
    assert!(opened > 100);
}

#[test]
fn a_checkpoint_shares_no_block_with_any_but_the_one_it_replaces() {
    // I: whatever the root before does not name may be gone.
    let mut history = filled(20_000);
    let mut office = Office::default();
    let written = office.checkpoint(&history.state, &history.entries);
    assert!(history.state.adopt(&written));
    // Most blocks have to be written anew, and are so with all others of their object.
    let uids = mail::uidset::UidSet::from_ranges([(1, 12_000)]);
    let flags = mail::flags::FlagSet::system(mail::flags::SystemFlags::FLAGGED);
    let (mailbox, op) = (MailboxId::INBOX, FlagOp::Add);
    history.change(Change::Flags { mailbox, uids, op, flags }).unwrap();
    let written = office.checkpoint(&history.state, &history.entries);
    // The state goes on before it hears of that: the last chunks are not as the checkpoint wrote them.
    for uid in (13_000..20_000).step_by(300) {
        let uids = mail::uidset::UidSet::from_ranges([(uid, uid)]);
        history.change(Change::Expunge { mailbox: MailboxId::INBOX, uids }).unwrap();
    }
    assert!(history.state.adopt(&written));
    let named = office.root().chunk_objects();
    office.objects.retain(|key, _| !key.as_str().contains("/k/") || named.contains(key));
    let written = office.checkpoint(&history.state, &history.entries);
    assert!(history.state.adopt(&written));
    let opened = office.open();
    assert_eq!(shown(&opened), shown(&history.state));
}
