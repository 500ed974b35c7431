use std::convert::Infallible;
use std::sync::Arc;

use engine::memory::{Ending, World};
use mail::{Account, AccountId, Epoch, FlagSet, RecordId, Seq, Timestamp, WriterId};

use super::*;
use crate::change::{Arrival, ArrivalPlace, MailboxId};
use crate::inline::Inline;
use crate::place::{SegmentRef, Slot};
use crate::{Options, Store};

const ACCOUNT: Account = Account { id: AccountId([7; 16]), epoch: Epoch(1) };
const WRITER: WriterId = WriterId([9; 16]);

fn store(world: &World, name: &str) -> Store {
    Store::new(world.process(name), Options::default())
}

fn segment(number: u64) -> SegmentRef {
    SegmentRef::Ingest { writer: WRITER, number }
}

fn arrival(counter: u64, place: ArrivalPlace) -> Arrival {
    Arrival {
        record: RecordId { writer: WRITER, counter },
        again: false,
        mailbox: MailboxId::INBOX,
        flags: FlagSet::default(),
        date: Timestamp::from_seconds(1_800_000_000),
        size: 100,
        place,
        summary: bytes::Bytes::from_static(b"s"),
    }
}

fn delivered(counter: u64, number: u64) -> Arrival {
    arrival(counter, ArrivalPlace::Slot(Slot { segment: segment(number), index: 0 }))
}

fn appended(store: &Store) -> Change {
    let record = store.fresh_record();
    let place = ArrivalPlace::Inline(Inline::pack(b"Subject: x\r\n\r\nbody\r\n").unwrap());
    Change::Append(vec![Arrival { record, ..arrival(0, place) }])
}

async fn append(store: &Store, log: &AccountLog) -> Seq {
    log.change(|_| Ok::<_, Infallible>(appended(store))).await.unwrap().seq
}

fn exists(log: &AccountLog) -> usize {
    log.view(|state| state.mailbox(MailboxId::INBOX).unwrap().exists())
}

/// Delivers one record of segment `number`, seen at `sight`.
async fn deliver(
    store: &Store,
    log: &Arc<AccountLog>,
    sight: Seq,
    (counter, number): (u64, u64),
) -> Result<Delivered, DeliverError> {
    let delivery = Delivery {
        log: log.clone(),
        segment: segment(number),
        sight,
        arrivals: vec![delivered(counter, number)],
    };
    store.append_all(Vec::new(), &[delivery]).await.1.pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_processes_append_to_one_log_and_see_the_same() {
    let world = World::default();
    let (a, b) = (store(&world, "a"), store(&world, "b"));
    let (one, two) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    for _ in 0..20 {
        append(&a, &one).await;
        append(&b, &two).await;
    }
    assert_eq!(one.fresh().await.unwrap(), Seq(40));
    assert_eq!(two.fresh().await.unwrap(), Seq(40));
    assert_eq!((exists(&one), exists(&two)), (40, 40));
    let again = store(&world, "c").account(ACCOUNT).await.unwrap();
    assert_eq!(again.view(|state| state.totals()), one.view(|state| state.totals()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_does_not_double_an_entry() {
    for ending in [
        Ending::LostDone,
        Ending::LostDropped,
        Ending::LostLate(std::time::Duration::from_millis(200)),
        Ending::Repeated,
    ] {
        let world = World::default();
        let store = store(&world, "a");
        let log = store.account(ACCOUNT).await.unwrap();
        append(&store, &log).await;
        world.next_writes([ending]);
        assert_eq!(append(&store, &log).await, Seq(2), "{ending:?}");
        assert_eq!(append(&store, &log).await, Seq(3), "{ending:?}");
        assert_eq!(exists(&log), 3, "{ending:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn quota_is_exact_for_a_hundred_parallel_appends() {
    let world = World::default();
    let stores: Vec<_> = (0..4).map(|i| store(&world, &format!("p{i}"))).collect();
    let mut tasks = Vec::new();
    for i in 0..100 {
        let store = stores[i % 4].clone();
        let tasks_of = store.engines().tasks.clone();
        tasks.push(tasks_of.spawn("append", async move {
            let log = store.account(ACCOUNT).await.unwrap();
            let decide = |state: &State| match state.totals().bytes + 100 <= 1_000 {
                true => Ok(appended(&store)),
                false => Err("over quota"),
            };
            log.change(decide).await.is_ok()
        }));
    }
    let mut taken = 0;
    for task in tasks {
        taken += usize::from(task.await.unwrap());
    }
    assert_eq!(taken, 10);
    let log = store(&world, "last").account(ACCOUNT).await.unwrap();
    assert_eq!(log.view(|state| state.totals().bytes), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_record_delivered_twice_is_there_once() {
    let world = World::default();
    let (a, b) = (store(&world, "a"), store(&world, "b"));
    let (one, two) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    // Both looked before either delivered: the second meets the first by its conflict [D].
    assert!(matches!(deliver(&a, &one, Seq(0), (1, 1)).await, Ok(Delivered::InLog)));
    assert!(matches!(deliver(&b, &two, Seq(0), (1, 1)).await, Ok(Delivered::InLog)));
    assert_eq!(two.fresh().await.unwrap(), Seq(1));
    assert_eq!(exists(&two), 1);
}

#[tokio::test(start_paused = true)]
async fn a_released_segment_stops_a_late_deliverer() {
    let world = World::default();
    let (a, b) = (store(&world, "a"), store(&world, "b"));
    let (one, late) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    deliver(&a, &one, Seq(0), (1, 1)).await.unwrap();
    let expunge = |state: &State| {
        let uids = state.mailbox(MailboxId::INBOX).unwrap().uids();
        Ok::<_, Infallible>(Change::Expunge { mailbox: MailboxId::INBOX, uids })
    };
    one.change(expunge).await.unwrap();
    let release = Change::Release { segments: vec![segment(1)] };
    one.change(|_| Ok::<_, Infallible>(release.clone())).await.unwrap();
    // [D, F]: its id is in no window any more, but the release is on the way to the head.
    let stopped = deliver(&b, &late, Seq(0), (1, 1)).await;
    assert!(matches!(stopped, Err(DeliverError::Released)), "{stopped:?}");
    assert_eq!(exists(&late), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_operation_before_stops_every_delivery() {
    let world = World::default();
    let store = store(&world, "a");
    let log = store.account(ACCOUNT).await.unwrap();
    let check = engine::Op::Check {
        key: crate::rows::writer_key(WRITER),
        expect: engine::Expect::Version(engine::Version(3)),
    };
    let delivery = Delivery {
        log: log.clone(),
        segment: segment(1),
        sight: Seq(0),
        arrivals: vec![delivered(1, 1)],
    };
    let (before, after) = store.append_all(vec![check], &[delivery]).await;
    assert!(before[0].is_err());
    assert!(matches!(after[..], [Ok(Delivered::NotTried)]));
    assert_eq!(log.fresh().await.unwrap(), Seq(0));
}

#[tokio::test(start_paused = true)]
async fn watchers_are_told_of_every_entry() {
    let world = World::default();
    let store = store(&world, "a");
    let log = store.account(ACCOUNT).await.unwrap();
    let mut watch = log.watch();
    append(&store, &log).await;
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow_and_update(), Seq(1));
}

#[tokio::test(start_paused = true)]
async fn watchers_in_another_process_are_told_too() {
    let world = World::default();
    let (a, b) = (store(&world, "a"), store(&world, "b"));
    let (one, two) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    let mut watch = two.watch();
    append(&a, &one).await;
    let began = b.engines().clock.instant();
    watch.wait_for(|seq| *seq == Seq(1)).await.unwrap();
    let waited = b.engines().clock.instant().since(began);
    assert!(waited < std::time::Duration::from_secs(1), "{waited:?}");
    assert_eq!(exists(&two), 1);
}

#[tokio::test(start_paused = true)]
async fn the_ring_goes_round_with_checkpoints_by_whoever_needs_one() {
    let world = World::default();
    let (a, b) = (store(&world, "a"), store(&world, "b"));
    let (one, two) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    for _ in 0..200 {
        append(&a, &one).await;
        append(&b, &two).await;
    }
    let reader = store(&world, "c");
    let log = reader.account(ACCOUNT).await.unwrap();
    assert_eq!((log.seq(), exists(&log)), (Seq(400), 400));
    assert!(log.view(|state| state.base()) >= Seq(272));
    let uids = log.view(|state| state.mailbox(MailboxId::INBOX).unwrap().uids());
    assert_eq!(uids.len(), 400);
    one.fresh().await.unwrap();
    // [ζ]: inline bodies have moved to a segment; the bytes are the same.
    for uid in [1, 150, 400] {
        let uid = mail::Uid::new(uid).unwrap();
        let bytes = log.read(MailboxId::INBOX, uid, 0..u64::MAX).await.unwrap().unwrap();
        assert_eq!(bytes, "Subject: x\r\n\r\nbody\r\n");
        let again = one.read(MailboxId::INBOX, uid, 9..10).await.unwrap().unwrap();
        assert_eq!(again, "x");
    }
    let arrivals: Vec<u32> = log.view(|state| {
        let inbox = state.mailbox(MailboxId::INBOX).unwrap();
        inbox.messages().map(|message| message.arrival).collect()
    });
    let summaries = log.encoded_summaries(&arrivals).await.unwrap();
    assert!(summaries.iter().all(|summary| summary.as_deref() == Some(b"s")));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_checkpointer_fails_after_the_pointer_was_bumped() {
    let world = World::default();
    let (a, b) = (store(&world, "a"), store(&world, "b"));
    let (one, two) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    append(&a, &one).await;
    one.checkpoint().await.unwrap();
    append(&a, &one).await;
    two.fresh().await.unwrap();
    // [I]: `two` has planned on the pointer as it was; the bump makes it look again.
    one.bump_pointer().await.unwrap();
    two.checkpoint().await.unwrap();
    append(&a, &one).await;
    one.checkpoint().await.unwrap();
    let log = store(&world, "c").account(ACCOUNT).await.unwrap();
    assert_eq!((log.seq(), exists(&log)), (Seq(3), 3));
    assert_eq!(log.view(|state| state.base()), Seq(3));
}

#[tokio::test(start_paused = true)]
async fn lost_answers_at_every_step_of_a_checkpoint_harm_nothing() {
    for step in 0..6 {
        for ending in [
            Ending::LostDone,
            Ending::LostDropped,
            Ending::LostLate(std::time::Duration::from_millis(300)),
            Ending::Failed,
        ] {
            let world = World::default();
            let store = store(&world, "a");
            let log = store.account(ACCOUNT).await.unwrap();
            for _ in 0..5 {
                append(&store, &log).await;
            }
            let answered = std::iter::repeat_n(Ending::Answered, step);
            world.next_writes(answered.chain([ending]));
            // It may fail; then the next one is made of what is there.
            drop(log.checkpoint().await);
            while log.change(|_| Ok::<_, Infallible>(appended(&store))).await.is_err() {}
            while log.checkpoint().await.is_err() {}
            append(&store, &log).await;
            let again = self::store(&world, "b").account(ACCOUNT).await.unwrap();
            assert_eq!((again.seq(), exists(&again)), (Seq(7), 7), "{step} {ending:?}");
        }
    }
}

// RFC 7162 §3.1.2.1.
#[tokio::test(start_paused = true)]
async fn a_modseq_that_is_told_before_the_first_change_is_below_it() {
    let world = World::default();
    let store = store(&world, "a");
    let log = store.account(ACCOUNT).await.unwrap();
    log.begin().await.unwrap();
    log.begin().await.unwrap();
    assert_eq!(log.seq(), Seq(1));
    // I4: who was told 1 and asks for changes since 1 gets the first message.
    let told = log.view(|state| state.mailbox(MailboxId::INBOX).unwrap().highest_modseq());
    append(&store, &log).await;
    let changed =
        log.view(|state| state.mailbox(MailboxId::INBOX).unwrap().changed_since(told).count());
    assert_eq!(changed, 1);
}

#[tokio::test(start_paused = true)]
async fn hint_rows_reach_whom_no_wake_up_reaches() {
    let world = World::default();
    let second = std::time::Duration::from_secs(1);
    let hinted = |name| {
        let options = Options { hint_rows: Some(second), ..Options::default() };
        Store::new(world.process(name), options)
    };
    let (a, b) = (hinted("a"), hinted("b"));
    world.set_faults(engine::memory::Faults { event_lost: 1_000, ..Default::default() });
    let (one, two) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    let mut watch = two.watch();
    append(&a, &one).await;
    let began = b.engines().clock.instant();
    watch.wait_for(|seq| *seq == Seq(1)).await.unwrap();
    assert!(b.engines().clock.instant().since(began) <= second * 3);
}

#[tokio::test(start_paused = true)]
async fn who_only_reads_keeps_no_more_of_the_tail_than_a_checkpoint_leaves() {
    let world = World::default();
    let (a, b) = (store(&world, "a"), store(&world, "b"));
    let (one, two) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    // 8 KiB a body that does not shrink: a ring of them is over the bound.
    let body = crate::testing::noise(3, 8 * 1024);
    for n in 0..300 {
        let place = ArrivalPlace::Inline(Inline::pack(&body).unwrap());
        let record = a.fresh_record();
        let arrival = Arrival { record, ..arrival(0, place) };
        one.change(|_| Ok::<_, Infallible>(Change::Append(vec![arrival.clone()]))).await.unwrap();
        if n % 50 == 0 {
            two.fresh().await.unwrap();
        }
    }
    two.fresh().await.unwrap();
    assert_eq!(two.seq(), Seq(300));
    // I8: 300 bodies of 8 KiB went by.
    assert!(two.view(State::tail_bytes) < 2 * 1024 * 1024);
    assert_eq!(exists(&two), 300);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_refused_on_an_old_state() {
    let world = World::default();
    let (a, b) = (store(&world, "a"), store(&world, "b"));
    let (one, two) = (a.account(ACCOUNT).await.unwrap(), b.account(ACCOUNT).await.unwrap());
    append(&a, &one).await;
    let expunge = |state: &State| {
        let uids = state.mailbox(MailboxId::INBOX).unwrap().uids();
        if uids.is_empty() {
            return Err("nothing there");
        }
        Ok(Change::Expunge { mailbox: MailboxId::INBOX, uids })
    };
    two.change(expunge).await.unwrap();
    assert!(matches!(one.change(expunge).await, Err(ChangeError::Refused("nothing there"))));
}
