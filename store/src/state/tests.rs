pub(crate) mod history;

use mail::flags::{FlagSet, Keyword, SystemFlags};
use mail::uidset::UidSet;
use mail::{RecordId, WriterId};

use super::*;
use crate::change::{Arrival, ArrivalPlace, Assigned, FlagOp, MailboxChange, Move, SpecialUse};
use crate::place::{ObjectNonce, Place, SegmentRef};
use history::{History, account};

/// Everything that a client or a function can see of a state, as text: equal text, equal state.
pub(crate) fn shown(state: &State) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let State { seq, totals, phase, next_mailbox, next_validity, next_arrival, .. } = state;
    writeln!(text, "{seq} {totals:?} {phase:?} {next_mailbox} {next_validity} {next_arrival}")
        .unwrap();
    for mailbox in state.mailboxes() {
        writeln!(
            text,
            "{:?} {} {:?} {} {} {} {} {} {} {} {}",
            mailbox.id(),
            mailbox.name(),
            mailbox.special_use(),
            mailbox.uid_validity(),
            mailbox.uid_next(),
            mailbox.highest_modseq(),
            mailbox.created(),
            mailbox.exists(),
            mailbox.unseen(),
            mailbox.deleted(),
            mailbox.bytes()
        )
        .unwrap();
        mailbox.keywords().for_each(|keyword| writeln!(text, " {keyword}").unwrap());
        mailbox.messages().for_each(|message| writeln!(text, " {message:?}").unwrap());
        let vanished = mailbox.vanished_since(Seq(0));
        writeln!(text, " vanished {vanished:?}").unwrap();
    }
    writeln!(text, "{:?} {:?}", state.names, state.subscriptions).unwrap();
    state.segments().for_each(|known| writeln!(text, "{known:?}").unwrap());
    writeln!(text, "{:?}", state.window).unwrap();
    let fences: Vec<_> = state.fences.iter().collect();
    writeln!(text, "{fences:?} {:?} {:?}", state.effects, state.voided).unwrap();
    text
}

fn record(counter: u64) -> RecordId {
    RecordId { writer: WriterId([1; 16]), counter }
}

fn arrival(counter: u64, segment: SegmentRef) -> Arrival {
    Arrival {
        record: record(counter),
        again: false,
        mailbox: MailboxId::INBOX,
        flags: FlagSet::default(),
        date: Timestamp::from_seconds(1_800_000_000),
        size: 1000,
        place: ArrivalPlace::Slot(Slot { segment, index: 0 }),
        summary: Bytes::from_static(b"s"),
    }
}

fn ingest(number: u64) -> SegmentRef {
    SegmentRef::Ingest { writer: WriterId([1; 16]), number }
}

fn account_segment(n: u8) -> SegmentRef {
    SegmentRef::Account { nonce: ObjectNonce([n; 8]) }
}

fn uids(text: &str) -> UidSet {
    UidSet::parse(text, 0).unwrap()
}

fn tree(change: MailboxChange) -> Change {
    Change::Mailbox(change)
}

fn create(name: &str) -> Change {
    tree(MailboxChange::Create { name: name.into(), special_use: None })
}

#[test]
fn the_mailboxes_of_a_new_account_exist_and_have_their_uses() {
    let state = State::new(account());
    let names: Vec<_> = state.by_names().map(|mailbox| mailbox.name()).collect();
    assert_eq!(names, ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]);
    assert_eq!(state.by_use(SpecialUse::Trash).unwrap().name(), "Trash");
    assert_eq!(state.by_name("INBOX").unwrap().id(), MailboxId::INBOX);
    assert!(state.mailboxes().all(|mailbox| mailbox.subscribed()));
    let mut validities: Vec<_> = state.mailboxes().map(|mailbox| mailbox.uid_validity()).collect();
    validities.dedup();
    assert_eq!(validities.len(), 6);
    let next = State::new(Account { epoch: mail::Epoch(2), ..account() });
    assert!(next.mailboxes().all(|mailbox| !validities.contains(&mailbox.uid_validity())));
}

#[test]
fn a_delivery_that_comes_again_is_ignored_even_after_expunge() {
    // J: the window knows what was delivered and not released, expunged or not.
    let mut history = History::new(1);
    let both = || Change::Deliver(vec![arrival(1, ingest(1)), arrival(2, ingest(1))]);
    let first = history.change(both()).unwrap();
    assert_eq!(first.arrived.iter().flatten().map(|a| a.uid.get()).collect::<Vec<_>>(), [1, 2]);
    let inbox = MailboxId::INBOX;
    history.change(Change::Expunge { mailbox: inbox, uids: uids("1") }).unwrap();
    let again = history.change(both()).unwrap();
    assert_eq!(again.arrived, [None, None]);
    assert_eq!(history.state.totals(), Totals { messages: 1, bytes: 1000 });
    // One entry may hold what came before and what is new.
    let mixed = vec![arrival(2, ingest(1)), arrival(3, ingest(2)), arrival(3, ingest(2))];
    let mixed = history.change(Change::Deliver(mixed)).unwrap();
    let uid = |n| mail::Uid::new(n).unwrap();
    let uid_validity = history.state.mailbox(inbox).unwrap().uid_validity();
    let third = Assigned { mailbox: inbox, uid_validity, uid: uid(3) };
    assert_eq!(mixed.arrived, [None, Some(third), None]);
    assert_eq!(history.state.mailbox(inbox).unwrap().uid_next(), uid(4));
}

#[test]
fn release_is_a_fence_and_ends_the_window() {
    let mut history = History::new(1);
    history.change(Change::Deliver(vec![arrival(1, ingest(1)), arrival(2, ingest(1))])).unwrap();
    history.change(Change::Expunge { mailbox: MailboxId::INBOX, uids: uids("2") }).unwrap();
    let release = || Change::Release { segments: vec![ingest(1)] };
    assert_eq!(history.change(release()).unwrap_err(), Unreplayable::InUse);
    let held = history.state.held(|segment| segment == ingest(1));
    assert_eq!(held.iter().map(|held| held.live).collect::<Vec<_>>(), [true, false]);
    let looked_at = history.state.seq();
    let what = LetGo::Segment(ingest(1));
    assert_eq!(history.state.met(looked_at, what), Met::No);
    let to = Slot { segment: account_segment(1), index: 0 };
    let moves = vec![Move { arrival: 0, record: record(1), to }];
    history.change(Change::Reloc { moves, released: vec![ingest(1)] }).unwrap();
    assert_eq!(history.state.met(looked_at, what), Met::LetGo);
    assert_eq!(history.state.window_len(), 0);
    let message = history.state.mailbox(MailboxId::INBOX).unwrap().message(1).unwrap();
    assert_eq!((message.place, message.modseq), (Place::Slot(to), Seq(1)));
    assert!(history.state.segment(ingest(1)).is_none());
    // F: no later entry names a place in it.
    let late = history.change(Change::Deliver(vec![arrival(2, ingest(1))]));
    assert_eq!(late.unwrap_err(), Unreplayable::LetGo);
    for _ in 0..128 {
        history.change(Change::Open { waiting: false }).unwrap();
    }
    assert_eq!(history.state.met(looked_at, what), Met::Lapped);
}

#[test]
fn a_drop_is_refused_while_something_lives_and_met_by_a_late_appender() {
    let mut history = History::new(1);
    history.change(Change::Append(vec![arrival(1, account_segment(1))])).unwrap();
    let nonce = ObjectNonce([1; 8]);
    let drop = || Change::Drop { objects: vec![crate::change::AccountObject::Segment(nonce)] };
    assert_eq!(history.change(drop()).unwrap_err(), Unreplayable::InUse);
    history.change(Change::Expunge { mailbox: MailboxId::INBOX, uids: uids("1") }).unwrap();
    history.change(drop()).unwrap();
    // G: its own object was dropped meanwhile.
    let late = history.change(Change::Append(vec![arrival(2, account_segment(1))]));
    assert_eq!(late.unwrap_err(), Unreplayable::LetGo);
}

#[test]
fn flags_change_only_what_is_different_and_counts_follow() {
    let mut history = History::new(1);
    history.change(Change::Deliver((1..=4).map(|n| arrival(n, ingest(1))).collect())).unwrap();
    let mailbox = MailboxId::INBOX;
    let seen = FlagSet::system(SystemFlags::SEEN);
    let flag =
        |uids, op, flags: &FlagSet| Change::Flags { mailbox, uids, op, flags: flags.clone() };
    let one = history.change(flag(uids("2:9"), FlagOp::Add, &seen)).unwrap();
    assert_eq!(one.flagged, Some((mailbox, uids("2:4"))));
    let two = history.change(flag(uids("1:4"), FlagOp::Add, &seen)).unwrap();
    assert_eq!(two.flagged, Some((mailbox, uids("1"))));
    let modseqs = |state: &State| {
        let inbox = state.mailbox(mailbox).unwrap();
        inbox.messages().map(|message| message.modseq.0).collect::<Vec<_>>()
    };
    assert_eq!(modseqs(&history.state), [3, 2, 2, 2]);
    assert_eq!(history.state.mailbox(mailbox).unwrap().unseen(), 0);
    // Nothing is different: HIGHESTMODSEQ stays (RFC 7162 §3.1).
    let three = history.change(flag(uids("1:4"), FlagOp::Add, &seen)).unwrap();
    assert_eq!(three.flagged, Some((mailbox, UidSet::new())));
    assert_eq!(history.state.mailbox(mailbox).unwrap().highest_modseq(), Seq(3));
    // The first spelling of a keyword is kept.
    let word = |text| FlagSet::new(SystemFlags::NONE, [Keyword::parse(text).unwrap()]);
    history.change(flag(uids("1"), FlagOp::Set, &word("Work"))).unwrap();
    history.change(flag(uids("2"), FlagOp::Set, &word("WORK"))).unwrap();
    let inbox = history.state.mailbox(mailbox).unwrap();
    assert_eq!(inbox.message(2).unwrap().flags.to_string(), "(Work)");
    assert_eq!((inbox.unseen(), inbox.deleted()), (2, 0));
}

#[test]
fn copies_and_moves_give_new_uids_in_order() {
    let mut history = History::new(1);
    history.change(Change::Deliver((1..=5).map(|n| arrival(n, ingest(1))).collect())).unwrap();
    let (from, to) = (MailboxId::INBOX, history.state.by_name("Archive").unwrap().id());
    let copy = |uids, is_move| Change::Copy { from, to, uids, is_move };
    let copied = history.change(copy(uids("2,4"), false)).unwrap().copied.unwrap();
    assert_eq!((copied.source, copied.copies), (uids("2,4"), uids("1:2")));
    assert_eq!(history.state.totals().messages, 7);
    let moved = history.change(copy(uids("1:3"), true)).unwrap();
    assert_eq!(moved.copied.unwrap().copies, uids("3:5"));
    assert_eq!(moved.expunged, Some((from, uids("1:3"))));
    assert_eq!(history.state.totals().messages, 7);
    let archive = history.state.mailbox(to).unwrap();
    let records: Vec<_> = archive.messages().map(|message| message.record.counter).collect();
    assert_eq!(records, [2, 4, 1, 2, 3]);
    let missing = history.change(copy(uids("4:6"), false));
    assert_eq!(missing.unwrap_err(), Unreplayable::NoMessage(6));
    let inbox = history.state.mailbox(from).unwrap();
    assert_eq!(inbox.vanished_since(Seq(2)).unwrap(), uids("1:3"));
    assert!(inbox.vanished_since(Seq(3)).unwrap().is_empty());
}

#[test]
fn names_of_mailboxes_follow_the_rules() {
    let mut history = History::new(1);
    let made = history.change(create("a/b/c")).unwrap();
    assert_eq!(made.created.len(), 3);
    let wrong = |change: Change, why| {
        let mut history = History::new(1);
        history.change(create("a/b/c")).unwrap();
        assert_eq!(history.change(change).unwrap_err(), why);
    };
    let rename =
        |from: &str, to: &str| tree(MailboxChange::Rename { from: from.into(), to: to.into() });
    let delete = |name: &str| tree(MailboxChange::Delete { name: name.into() });
    wrong(create("a/b"), Unreplayable::NameTaken);
    wrong(create("inbox"), Unreplayable::Name);
    wrong(create("a//b"), Unreplayable::Name);
    wrong(create(""), Unreplayable::Name);
    wrong(create(&"x".repeat(256)), Unreplayable::Limit("bytes of a level of a mailbox name"));
    wrong(create(&"x/".repeat(501)), Unreplayable::Limit("bytes of a mailbox name"));
    wrong(rename("a", "Sent"), Unreplayable::NameTaken);
    wrong(rename("a", "a/d"), Unreplayable::Name);
    wrong(rename("z", "y"), Unreplayable::NoName);
    wrong(delete("INBOX"), Unreplayable::Name);
    wrong(delete("z"), Unreplayable::NoName);
    let sent =
        tree(MailboxChange::Create { name: "s".into(), special_use: Some(SpecialUse::Sent) });
    wrong(sent, Unreplayable::UseTaken);
    // Children move along; ids and UIDVALIDITY stay.
    let id = history.state.by_name("a/b/c").unwrap().id();
    history.change(rename("a", "x/y")).unwrap();
    assert_eq!(history.state.by_name("x/y/b/c").unwrap().id(), id);
    assert!(history.state.by_name("a").is_none() && history.state.has_children("x"));
    // A name that is made again has a UIDVALIDITY of its own (I3).
    let before = history.state.by_name("x/y/b/c").unwrap().uid_validity();
    history.change(delete("x/y/b/c")).unwrap();
    history.change(create("x/y/b/c")).unwrap();
    assert!(history.state.by_name("x/y/b/c").unwrap().uid_validity() > before);
    // RFC 9051 §6.3.7: a subscription needs no mailbox.
    history.change(tree(MailboxChange::Subscribe { name: "gone".into(), on: true })).unwrap();
    assert!(history.state.is_subscribed("gone"));
}

#[test]
fn renaming_inbox_moves_its_messages_away() {
    let mut history = History::new(1);
    history.change(Change::Deliver(vec![arrival(1, ingest(1)), arrival(2, ingest(1))])).unwrap();
    let to = "old/mail".to_owned();
    let effects = history.change(tree(MailboxChange::Rename { from: "INBOX".into(), to })).unwrap();
    assert_eq!(effects.expunged, Some((MailboxId::INBOX, uids("1:2"))));
    let inbox = history.state.mailbox(MailboxId::INBOX).unwrap();
    assert_eq!((inbox.exists(), inbox.uid_next().get()), (0, 3));
    assert_eq!(inbox.vanished_since(Seq(1)).unwrap(), uids("1:2"));
    let old = history.state.by_name("old/mail").unwrap();
    assert_eq!((old.exists(), old.unseen(), old.bytes()), (2, 2, 2000));
    assert_ne!(old.uid_validity(), inbox.uid_validity());
    assert_eq!(history.state.totals().messages, 2);
}

#[test]
fn an_entry_that_contradicts_the_state_leaves_it_as_it_was() {
    let mut history = History::new(1);
    let change = || Change::Deliver(vec![arrival(1, ingest(1))]);
    let good = history.state.entry(change(), Nonce([1; 8]), Timestamp(5)).unwrap();
    let before = shown(&history.state);
    let mut wrong = good.clone();
    wrong.totals.bytes += 1;
    assert!(matches!(history.state.apply(&wrong), Err(Unreplayable::Totals { .. })));
    let late = Entry { seq: Seq(2), ..good.clone() };
    assert!(matches!(history.state.apply(&late), Err(Unreplayable::Order { .. })));
    let nowhere = Arrival { mailbox: MailboxId(77), ..arrival(1, ingest(1)) };
    let nowhere = Entry { change: Change::Deliver(vec![nowhere]), ..good.clone() };
    assert_eq!(history.state.apply(&nowhere), Err(Unreplayable::NoMailbox(MailboxId(77))));
    let kept = Change::Append(vec![arrival(1, ingest(1))]);
    assert_eq!(history.change(kept), Err(Unreplayable::Place));
    assert_eq!(shown(&history.state), before);
    history.state.apply(&good).unwrap();
    history.change(Change::Fence { region: "lima".into(), epoch: 2 }).unwrap();
    assert_eq!(history.change(change()), Err(Unreplayable::Fenced));
}

#[test]
fn a_voided_entry_has_no_effect_wherever_the_log_is_read() {
    // U: the entry could not be replayed by somebody; an admin voids it.
    let mut history = History::new(1);
    history.change(Change::Deliver(vec![arrival(1, ingest(1))])).unwrap();
    let before = history.state.clone();
    let poison = Entry {
        totals: Totals { messages: 99, bytes: 1 },
        ..history.state.entry(create("x"), Nonce([9; 8]), Timestamp(1)).unwrap()
    };
    assert!(history.state.apply(&poison).is_err());
    history.state.skip(poison.seq).unwrap();
    let void = Change::Void { seq: poison.seq, reason: "admin".into() };
    history.change(void).unwrap();
    history.change(Change::Deliver(vec![arrival(2, ingest(1))])).unwrap();
    let mut tail = vec![history.entries[0].clone(), poison.clone()];
    tail.extend(history.entries[1..].iter().cloned());
    let mut replayed = State::new(account());
    replayed.replay(&tail).unwrap();
    assert_eq!(shown(&replayed), shown(&history.state));
    // Who had replayed it must read again from the checkpoint.
    let mut other = before;
    let good = Entry { totals: other.totals(), ..poison };
    other.apply(&good).unwrap();
    let voids = other.apply(&history.entries[1]);
    assert_eq!(voids, Err(Unreplayable::Voids(good.seq)));
}

#[test]
fn limits_are_named() {
    let mut history = History::new(1);
    let keywords = |from: usize, to: usize| {
        let keyword = |n| Keyword::parse(&format!("k{n}")).unwrap();
        FlagSet::new(SystemFlags::NONE, (from..to).map(keyword))
    };
    let flags = |flags| Change::Flags {
        mailbox: MailboxId::INBOX,
        uids: uids("1"),
        op: FlagOp::Add,
        flags,
    };
    history.change(flags(keywords(0, 999))).unwrap();
    let over = history.change(flags(keywords(998, 1002)));
    assert_eq!(over, Err(Unreplayable::Limit("keywords of a mailbox")));
    history.change(flags(keywords(998, 1000))).unwrap();
    let mut full = State::new(account());
    full.mailboxes.get_mut(&MailboxId::INBOX).unwrap().uid_next = u64::from(u32::MAX);
    let one = vec![arrival(1, ingest(1))];
    let entry = full.entry(Change::Deliver(one), Nonce([0; 8]), Timestamp(0)).unwrap();
    full.apply(&entry).unwrap();
    assert_eq!(full.mailbox(MailboxId::INBOX).unwrap().uid_next(), mail::Uid::MAX);
    let two = full.entry(Change::Deliver(vec![arrival(2, ingest(1))]), Nonce([0; 8]), Timestamp(0));
    assert_eq!(two.unwrap_err(), Unreplayable::Limit("UIDs of a mailbox"));
}

#[test]
fn random_histories_replay_alike_and_counts_agree_with_what_is_there() {
    for seed in 0..30 {
        let mut history = History::new(seed);
        for _ in 0..150 {
            history.step();
            let state = &history.state;
            let mut totals = Totals::default();
            for mailbox in state.mailboxes() {
                let has = |flag| {
                    mailbox.messages().filter(|m| m.flags.system.contains(flag)).count() as u64
                };
                assert_eq!(mailbox.unseen(), mailbox.exists() as u64 - has(SystemFlags::SEEN));
                assert_eq!(mailbox.deleted(), has(SystemFlags::DELETED));
                assert_eq!(mailbox.bytes(), mailbox.messages().map(|m| m.size).sum::<u64>());
                totals.messages += mailbox.exists() as u64;
                totals.bytes += mailbox.bytes();
                assert!(mailbox.messages().all(|m| m.modseq <= mailbox.highest_modseq()));
                assert!(mailbox.messages().all(|m| m.uid < mailbox.uid_next()));
            }
            assert_eq!(state.totals(), totals);
            let live: u64 = state.segments().map(|known| known.live).sum();
            assert_eq!(live + inline_messages(state), totals.messages);
        }
        let mut replayed = State::new(account());
        let stored = history.entries.iter().map(store_and_read).collect::<Vec<_>>();
        assert_eq!(stored, history.entries);
        replayed.replay(&stored).unwrap();
        assert_eq!(shown(&replayed), shown(&history.state), "seed {seed}");
    }
}

/// The entry as it comes back from its row.
fn store_and_read(entry: &Entry) -> Entry {
    let encoded = entry.encode(ObjectNonce([5; 8])).unwrap();
    match Entry::decode(&encoded.row).unwrap() {
        crate::entry::Decoded::Whole(entry) => entry,
        crate::entry::Decoded::Pending(pending) => {
            pending.finish(&encoded.object.unwrap().1).unwrap()
        }
    }
}

fn inline_messages(state: &State) -> u64 {
    let all = state.mailboxes().flat_map(|mailbox| mailbox.messages());
    all.filter(|message| message.place == Place::Inline).count() as u64
}

#[test]
fn a_client_that_asks_for_changes_misses_none() {
    // I4: at every seq, changed_since and vanished_since lead from an old view to the new one.
    for seed in 100..110 {
        let mut history = History::new(seed);
        let mut seen: Vec<(Seq, MailboxId, BTreeMap<u32, String>)> = Vec::new();
        for _ in 0..120 {
            history.step();
            let state = &history.state;
            for (since, id, view) in &seen {
                let Some(mailbox) = state.mailbox(*id) else { continue };
                let mut view = view.clone();
                let gone = mailbox.vanished_since(*since).unwrap();
                gone.iter().for_each(|uid| drop(view.remove(&uid)));
                mailbox.changed_since(*since).for_each(|message| {
                    view.insert(message.uid.get(), message.flags.to_string());
                });
                let now = mailbox.messages().map(|m| (m.uid.get(), m.flags.to_string()));
                assert!(view.into_iter().eq(now), "seed {seed} since {since}");
            }
            if history.dice.one_in(8) {
                let id = history.mailbox();
                let mailbox = history.state.mailbox(id).unwrap();
                let view = mailbox.messages().map(|m| (m.uid.get(), m.flags.to_string()));
                seen.push((history.state.seq(), id, view.collect()));
            }
        }
    }
}
