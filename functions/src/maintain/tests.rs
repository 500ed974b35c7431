use std::convert::Infallible;
use std::time::Duration;

use engine::memory::World;
use mail::Uid;
use store::change::{Change, MailboxChange, MailboxId};
use store::rows::{MaintenanceWhy, WriterState};
use store::segment::{Tombstone, tombstone};
use store::{AccountLog, Options, Timing, names};

use super::*;
use crate::deliver::Deliver;
use crate::testing::{accept, accounts, deliver_all, fresh_log, inbox, message, noise, options};

fn quick() -> Options {
    let timing = Timing {
        backup_interval: Duration::ZERO,
        restore_window: Duration::from_secs(10),
        ..options().timing
    };
    Options { timing, ..options() }
}

fn keys(world: &World, prefix: &str) -> usize {
    world.object_keys().iter().filter(|key| key.as_str().starts_with(prefix)).count()
}

async fn expunge(log: &AccountLog, uids: &[Uid]) {
    let uids = mail::UidSet::from_ranges(uids.iter().map(|uid| (uid.get(), uid.get())));
    let change = Change::Expunge { mailbox: MailboxId::INBOX, uids };
    log.change(|_| Ok::<_, Infallible>(change.clone())).await.unwrap();
}

async fn body(log: &AccountLog, uid: Uid) -> bytes::Bytes {
    log.read(MailboxId::INBOX, uid, 0..u64::MAX).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn compaction_moves_mail_and_the_segments_go() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let ids = accounts(&store, &["ana", "bob"]).await;
    let maintain = Maintain::new(store.clone());
    for i in 0..10 {
        accept(&store, &["ana", "bob"], &message(&i.to_string())).await.unwrap();
    }
    deliver_all(&world, &store).await;
    let ana = store.account(ids[0]).await.unwrap();
    let before = inbox(&ana).await;
    expunge(&ana, &[before[3].0]).await;
    maintain.handle(vec![Task::Sweep]).await;
    assert_eq!(keys(&world, "ingest/"), 10);
    maintain.handle(vec![Task::Account { account: ids[0], all: true }]).await;
    // Bob still has his mail there (I5).
    assert_eq!(keys(&world, "ingest/"), 10);
    maintain.handle(vec![Task::Account { account: ids[1], all: true }]).await;
    assert_eq!(keys(&world, "ingest/"), 0);
    let rows = world.rows().into_iter().filter(|(key, _)| key.partition.starts_with(b"c")).count();
    assert_eq!(rows, 0, "claims go with their segments");
    let log = fresh_log(&world, ids[0]).await;
    let after = inbox(&log).await;
    assert_eq!(after.len(), 9);
    assert!(body(&log, before[5].0).await.ends_with(&message("5")));
    // A reader that knows only the old places finds the new ones.
    assert!(body(&ana, before[9].0).await.ends_with(&message("9")));
}

#[tokio::test(start_paused = true)]
async fn a_deliverer_that_comes_late_brings_nothing_back() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let ids = accounts(&store, &["ana"]).await;
    let maintain = Maintain::new(store.clone());
    accept(&store, &["ana"], &message("x")).await.unwrap();
    let segment = world.object_keys().into_iter().find(|k| names::parse_ingest(k).is_some());
    let segment = segment.unwrap();
    let late = Store::new(world.process("late"), quick());
    late.account(ids[0]).await.unwrap();
    deliver_all(&world, &store).await;
    let log = store.account(ids[0]).await.unwrap();
    expunge(&log, &[inbox(&log).await[0].0]).await;
    maintain.handle(vec![Task::Sweep, Task::Account { account: ids[0], all: true }]).await;
    // [E]: the event comes a day later, after everything is gone.
    let deliver = Deliver::new(late.clone());
    assert!(deliver.handle(vec![segment]).await[0].is_done());
    assert!(inbox(&*fresh_log(&world, ids[0]).await).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn small_segments_become_one_and_dead_ones_go_after_the_window() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let ids = accounts(&store, &["ana"]).await;
    let maintain = Maintain::new(store.clone());
    for i in 0..9 {
        accept(&store, &["ana"], &message(&i.to_string())).await.unwrap();
        deliver_all(&world, &store).await;
        maintain.handle(vec![Task::Sweep, Task::Account { account: ids[0], all: true }]).await;
    }
    store.engines().clock.sleep(Duration::from_secs(20)).await;
    maintain.handle(vec![Task::Account { account: ids[0], all: true }]).await;
    let segments = world.object_keys().iter().filter(|k| k.as_str().contains("/s/")).count();
    assert!(segments <= 2, "{segments} account segments");
    let log = fresh_log(&world, ids[0]).await;
    let there = inbox(&log).await;
    assert_eq!(there.len(), 9);
    for (i, (uid, _)) in there.iter().enumerate() {
        assert!(body(&log, *uid).await.ends_with(&message(&i.to_string())));
    }
}

/// Such of their own segment, and such of a `big/` object; one that was damaged is not copied on.
#[tokio::test(start_paused = true)]
async fn a_large_record_is_copied_piece_by_piece_into_a_segment_of_its_own() {
    let world = World::default();
    let mut options = quick();
    options.upkeep.small_segment_bytes = 64 << 10;
    let store = Store::new(world.process("one"), options);
    let ids = accounts(&store, &["ana"]).await;
    let maintain = Maintain::new(store.clone());
    let sizes = [2_000, 700_000, 3_000, 2_500_000];
    let sent = sizes
        .map(|size| [message("of many"), noise(size, usize::try_from(size).unwrap())].concat());
    for text in &sent {
        accept(&store, &["ana"], text).await.unwrap();
    }
    deliver_all(&world, &store).await;
    let big = world.object_keys().into_iter().find(|key| key.as_str().starts_with("big/")).unwrap();
    let objects = store.engines().objects.clone();
    let good = objects.get(&big).await.unwrap().unwrap();
    let mut bad = good.to_vec();
    bad[1_500_000] ^= 1;
    objects.delete(&big).await.unwrap();
    objects.put(&big, &[bad.into()]).await.unwrap();
    let all = || vec![Task::Sweep, Task::Account { account: ids[0], all: true }];
    maintain.handle(all()).await;
    assert_eq!(keys(&world, "ingest/"), 4, "a segment whose bytes are nowhere else is gone");
    objects.delete(&big).await.unwrap();
    objects.put(&big, &[good]).await.unwrap();
    maintain.handle(all()).await;
    store.engines().clock.sleep(Duration::from_secs(20)).await;
    maintain.handle(all()).await;
    assert_eq!((keys(&world, "ingest/"), keys(&world, "big/")), (0, 0));
    let segments = world.object_keys().iter().filter(|k| k.as_str().contains("/s/")).count();
    // Two large ones, and one of the others; what the first try left goes later.
    assert!((3..=4).contains(&segments), "{segments} account segments");
    let log = fresh_log(&world, ids[0]).await;
    let there = inbox(&log).await;
    assert_eq!(there.len(), sent.len());
    for ((uid, _), sent) in there.iter().zip(&sent) {
        assert!(body(&log, *uid).await.ends_with(sent));
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_does_nothing_more_gives_its_room_back() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let ids = accounts(&store, &["ana"]).await;
    let maintain = Maintain::new(store.clone());
    let log = store.account(ids[0]).await.unwrap();
    for seed in 1..4 {
        let mut taking = log.append_body();
        taking.write(&noise(seed, 60_000)).await.unwrap();
        let appended = taking.end().await.unwrap();
        let date = mail::Timestamp(0);
        let arrival = appended.arrival(MailboxId::INBOX, mail::FlagSet::default(), date);
        let change = Change::Append(vec![arrival]);
        log.change(|_| Ok::<_, Infallible>(change.clone())).await.unwrap();
    }
    let segments = || world.object_keys().iter().filter(|k| k.as_str().contains("/s/")).count();
    let clock = store.engines().clock.clone();
    let uids: Vec<Uid> = inbox(&log).await.iter().map(|(uid, _)| *uid).collect();
    expunge(&log, &uids[..1]).await;
    clock.sleep(Duration::from_secs(5)).await;
    expunge(&log, &uids[1..2]).await;
    assert_eq!(segments(), 3);
    // Each in its time, and the one that mail lives in never.
    clock.sleep(store.options().timing.restore_window.saturating_sub(Duration::from_secs(4))).await;
    maintain.handle(vec![Task::Asked]).await;
    assert_eq!(segments(), 2);
    clock.sleep(Duration::from_secs(5)).await;
    maintain.handle(vec![Task::Asked]).await;
    assert_eq!(segments(), 1);
    assert!(body(&log, uids[2]).await.ends_with(&noise(3, 60_000)));
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_dropped_before_it_is_deleted() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let ids = accounts(&store, &["ana"]).await;
    let log = store.account(ids[0]).await.unwrap();
    let mut taking = log.append_body();
    taking.write(&noise(7, 60_000)).await.unwrap();
    let appended = taking.end().await.unwrap();
    let other = Store::new(world.process("two"), quick()).account(ids[0]).await.unwrap();
    assert_eq!(other.clean().await.unwrap(), 1);
    // [G]: the appender meets its object in the drop, and starts again.
    let arrival = appended.arrival(MailboxId::INBOX, mail::FlagSet::default(), mail::Timestamp(0));
    let change = Change::Append(vec![arrival]);
    let refused = log.change(|_| Ok::<_, Infallible>(change.clone())).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(inbox(&log).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_closed_when_two_sweeps_saw_it_and_the_writer_goes_on() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let ids = accounts(&store, &["ana"]).await;
    let first = accept(&store, &["ana"], &message("1")).await.unwrap();
    let writer = first.record().writer;
    // Number 2 is lost for long, as if its put were under way; number 3 stands.
    let there = store.engines().objects.get(&names::ingest(writer, 1)).await.unwrap().unwrap();
    let third = names::ingest(writer, 3);
    store.engines().objects.put(&third, &[there]).await.unwrap();
    let maintain = Maintain::new(store.clone());
    maintain.handle(vec![Task::Sweep]).await;
    let hole = names::ingest(writer, 2);
    assert!(store.engines().objects.get(&hole).await.unwrap().is_none());
    maintain.handle(vec![Task::Sweep]).await;
    let closed = store.engines().objects.get(&hole).await.unwrap().unwrap();
    assert_eq!(tombstone(&closed), Some(Tombstone::Closed));
    // [B]: its late put fails, and is acknowledged only where it can be seen. (Number 3 is
    // another's, which a writer takes for a clone of itself.)
    let receipt = accept(&store, &["ana"], &message("2")).await.unwrap();
    deliver_all(&world, &store).await;
    maintain.handle(vec![Task::Sweep]).await;
    let there = inbox(&*fresh_log(&world, ids[0]).await).await;
    assert!(there.iter().any(|(_, record)| *record == receipt.record()));
    assert_eq!(there.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_writer_is_ended_by_facts_and_starts_anew_if_it_lives() {
    let world = World::default();
    let timing = Timing {
        writer_grace: Duration::ZERO,
        writer_life: Duration::from_secs(5),
        writer_kept: Duration::from_secs(50),
        ..quick().timing
    };
    let sweeper =
        Store::new(world.process("sweeper"), Options { timing: timing.clone(), ..quick() });
    // An edge whose clock is wrong: it thinks that it may live on.
    let long = Timing { writer_life: Duration::from_secs(86_400), ..timing };
    let edge = Store::new(world.process("edge"), Options { timing: long, ..quick() });
    let ids = accounts(&edge, &["ana"]).await;
    let writer = accept(&edge, &["ana"], &message("1")).await.unwrap().record().writer;
    deliver_all(&world, &sweeper).await;
    edge.engines().clock.sleep(Duration::from_secs(10)).await;
    let maintain = Maintain::new(sweeper.clone());
    maintain.handle(vec![Task::Sweep]).await;
    let (row, _) = sweeper.writers().get(writer).await.unwrap().unwrap();
    assert!(matches!(row.state, WriterState::Ended { .. }), "{row:?}");
    // [γ]: it meets a tombstone, and what it had not acknowledged goes to a new writer.
    let receipt = accept(&edge, &["ana"], &message("2")).await.unwrap();
    assert_ne!(receipt.record().writer, writer);
    deliver_all(&world, &sweeper).await;
    assert_eq!(inbox(&*fresh_log(&world, ids[0]).await).await.len(), 2);
    // Everything of it goes in the end, but not before its tombstones are old [C].
    maintain.handle(vec![Task::Account { account: ids[0], all: true }]).await;
    assert!(keys(&world, &names::ingest_prefix(writer)) > 0);
    edge.engines().clock.sleep(Duration::from_secs(60)).await;
    maintain.handle(vec![Task::Audit]).await;
    assert_eq!(keys(&world, &names::ingest_prefix(writer)), 0);
    assert!(sweeper.writers().get(writer).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn old_checkpoints_go_and_the_account_opens_as_before() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let ids = accounts(&store, &["ana"]).await;
    let log = store.account(ids[0]).await.unwrap();
    for i in 0..30 {
        accept(&store, &["ana"], &message(&i.to_string())).await.unwrap();
        deliver_all(&world, &store).await;
        log.checkpoint().await.unwrap();
        store.engines().clock.sleep(Duration::from_secs(1)).await;
    }
    let roots = || world.object_keys().iter().filter(|k| k.as_str().contains("/c/")).count();
    let chunks = || world.object_keys().iter().filter(|k| k.as_str().contains("/k/")).count();
    assert_eq!(roots(), 30);
    assert!(log.clean().await.unwrap() > 0);
    assert!(roots() <= 2, "{} roots", roots());
    // What came within the window has its history still.
    assert!((8..=20).contains(&chunks()), "{} chunks", chunks());
    let again = fresh_log(&world, ids[0]).await;
    assert_eq!(inbox(&again).await.len(), 30);
    let arrivals: Vec<u32> = (0..30).collect();
    assert!(again.encoded_summaries(&arrivals).await.unwrap().iter().all(Option::is_some));
    // A process that has read an older checkpoint goes on.
    assert_eq!(inbox(&log).await.len(), 30);
    store.engines().clock.sleep(Duration::from_secs(60)).await;
    log.checkpoint().await.unwrap();
    log.clean().await.unwrap();
    // The current one, and the summaries that it needs.
    assert!(roots() == 1 && chunks() <= 8, "{} roots, {} chunks", roots(), chunks());
    assert_eq!(inbox(&*fresh_log(&world, ids[0]).await).await.len(), 30);
}

/// Compacts every account, then looks at all claims.
async fn compact_all(store: &Store, accounts: &[Account]) {
    let maintain = Maintain::new(store.clone());
    maintain.handle(vec![Task::Sweep]).await;
    for account in accounts {
        account::keep(store, *account, true).await.unwrap();
    }
    let outcomes = maintain.handle(vec![Task::Audit]).await;
    assert!(outcomes[0].is_done(), "{outcomes:?}");
}

fn rows_of(world: &World, partition: u8) -> usize {
    world.rows().into_iter().filter(|(key, _)| key.partition[0] == partition).count()
}

#[tokio::test(start_paused = true)]
async fn a_segment_with_fan_items_goes_when_all_they_reached_have_let_it_go() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let names: Vec<String> = (0..520).map(|i| format!("u{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ids = accounts(&store, &names).await;
    accept(&store, &names, &message("x")).await.unwrap();
    deliver_all(&world, &store).await;
    // Not while a `fan` is still to be worked on: it would append what is gone (I5).
    compact_all(&store, &ids).await;
    assert_eq!((keys(&world, "ingest/"), rows_of(&world, b'f')), (1, 0));
    let only = crate::host::local::Functions { deliver: true, ..Default::default() };
    let local = crate::host::local::Local::start(&store, only);
    store.engines().clock.sleep(Duration::from_secs(3)).await;
    local.drain().await;
    assert!(rows_of(&world, b'f') > 0);
    // Whom only a page names holds it.
    let (last, others) = ids.split_last().unwrap();
    compact_all(&store, others).await;
    assert_eq!(keys(&world, "ingest/"), 1);
    compact_all(&store, &ids).await;
    assert_eq!(keys(&world, "ingest/"), 0);
    assert_eq!((rows_of(&world, b'f'), rows_of(&world, b'c')), (0, 0));
    let log = fresh_log(&world, *last).await;
    let there = inbox(&log).await;
    assert!(body(&log, there[0].0).await.ends_with(&message("x")));
}

#[tokio::test(start_paused = true)]
async fn a_segment_with_parked_mail_goes_once_that_was_delivered_or_taken_out() {
    for taken_out in [false, true] {
        let world = World::default();
        let store = Store::new(world.process("one"), quick());
        let ids = accounts(&store, &["ana", "bob"]).await;
        accept(&store, &["ana", "bob"], &message("x")).await.unwrap();
        let bob = mail::Address::parse("bob@example.test").unwrap();
        let to = |row| store::rows::DirectoryChange::Address(bob.clone(), row);
        let gone = to(store::rows::AddressRow::Tombstone);
        store.directory().change(vec![gone]).await.unwrap();
        deliver_all(&world, &store).await;
        compact_all(&store, &ids).await;
        assert_eq!(keys(&world, "ingest/"), 1, "somebody may still have it delivered");
        let (key, mut item, version) = store.items().unfinished(10).await.unwrap().pop().unwrap();
        if taken_out {
            store.items().remove(&key, item, version).await.unwrap();
        } else {
            let back = to(store::rows::AddressRow::Account(ids[1].id));
            store.directory().change(vec![back]).await.unwrap();
            item.due = store.engines().index.now();
            store.items().update(&key, &item, version).await.unwrap();
            let only = crate::host::local::Functions { deliver: true, ..Default::default() };
            let local = crate::host::local::Local::start(&store, only);
            store.engines().clock.sleep(Duration::from_secs(3)).await;
            local.drain().await;
            compact_all(&store, &ids[..1]).await;
            assert_eq!(keys(&world, "ingest/"), 1, "bob's is there");
        }
        compact_all(&store, &ids).await;
        assert_eq!((keys(&world, "ingest/"), rows_of(&world, b'c')), (0, 0), "{taken_out}");
        let log = fresh_log(&world, ids[1]).await;
        assert_eq!(inbox(&log).await.len(), usize::from(!taken_out));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_account_is_erased_and_nothing_of_its_mail_is_left() {
    let world = World::default();
    let store = Store::new(world.process("one"), quick());
    let ids = accounts(&store, &["ana", "bob"]).await;
    let maintain = Maintain::new(store.clone());
    let log = store.account(ids[0]).await.unwrap();
    let create = MailboxChange::Create { name: "Secret/Plans".into(), special_use: None };
    log.change(|_| Ok::<_, Infallible>(Change::Mailbox(create.clone()))).await.unwrap();
    for i in 0..30 {
        accept(&store, &["ana", "bob"], &message(&format!("Secret {i}"))).await.unwrap();
        deliver_all(&world, &store).await;
    }
    maintain.handle(vec![Task::Sweep, Task::Account { account: ids[0], all: true }]).await;
    // Some of it lies in account segments, some not, one in its entry, one in an object of its own.
    accept(&store, &["ana"], &message("Secret")).await.unwrap();
    for length in [10, 2_000_000] {
        let mut taking = log.append_body();
        taking.write(&[&message("Secret")[..], &noise(7, length)].concat()).await.unwrap();
        let appended = taking.end().await.unwrap();
        let arrival =
            appended.arrival(MailboxId::INBOX, mail::FlagSet::default(), mail::Timestamp(0));
        let change = Change::Append(vec![arrival]);
        log.change(|_| Ok::<_, Infallible>(change.clone())).await.unwrap();
    }
    deliver_all(&world, &store).await;
    maintain.handle(vec![Task::Sweep]).await;
    let ask = async |account, after| {
        let due = store.engines().index.now().after(Duration::from_secs(after));
        store.items().ask_maintenance(due, account, MaintenanceWhy::Removed).await.unwrap();
    };
    // Who is still in the directory keeps everything.
    ask(ids[1], 0).await;
    ask(ids[0], 10).await;
    let gone = store::rows::DirectoryChange::Account(
        ids[0].id,
        Box::new(store::rows::AccountRow::tombstone(1)),
    );
    store.directory().change(vec![gone]).await.unwrap();
    maintain.handle(vec![Task::Asked]).await;
    assert_eq!(inbox(&log).await.len(), 33, "not before its time");
    store.engines().clock.sleep(Duration::from_secs(11)).await;
    maintain.handle(vec![Task::Asked, Task::Account { account: ids[1], all: true }]).await;
    maintain.handle(vec![Task::Audit]).await;
    let prefix = names::account_segment_prefix(ids[0]);
    let prefix = prefix.strip_suffix("/s/").unwrap();
    assert!(keys(&world, prefix) <= 3, "{} objects left", keys(&world, prefix));
    assert_eq!(keys(&world, &names::account_big_prefix(ids[0])), 0);
    assert_eq!(keys(&world, "ingest/"), 0, "it holds no segment");
    let ours = store::rows::log_partition(ids[0]);
    for (key, row) in world.rows().into_iter().filter(|(key, _)| key.partition == ours) {
        assert!(row.value.len() < 300, "{key:?}: {} bytes", row.value.len());
        assert!(!row.value.windows(6).any(|part| part == b"Secret"));
    }
    let reader = fresh_log(&world, ids[0]).await;
    assert!(inbox(&reader).await.is_empty());
    // Its own entries may have asked for a checkpoint once more, and bob's compaction for a look
    // when the restore window is over.
    store.engines().clock.sleep(Duration::from_secs(11)).await;
    maintain.handle(vec![Task::Asked]).await;
    assert!(world.rows().iter().all(|(key, _)| !key.partition.starts_with(b"dm")));
    // [o]: nobody brings it back to life.
    let late = Change::Mailbox(create);
    assert!(log.change(|_| Ok::<_, Infallible>(late.clone())).await.is_err());
    assert_eq!(inbox(&*fresh_log(&world, ids[1]).await).await.len(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_that_a_crash_left_unnamed_goes_when_its_writer_has_ended() {
    let world = World::default();
    let timing = Timing {
        writer_grace: Duration::ZERO,
        writer_life: Duration::from_secs(5),
        writer_kept: Duration::from_secs(50),
        ..quick().timing
    };
    let options = Options { timing, ..quick() };
    let edge = Store::new(world.process("edge"), options.clone());
    let ids = accounts(&edge, &["ana"]).await;
    // Taken whole, never accepted: its writer puts no segment at all.
    let mut incoming = edge.ingest().begin().await.unwrap();
    for chunk in noise(3, 2_000_000).chunks(10_000) {
        incoming.write(chunk).await.unwrap();
    }
    drop(incoming.end().await.unwrap());
    // The same in an APPEND.
    let mut taking = edge.account(ids[0]).await.unwrap().append_body();
    taking.write(&noise(4, 2_000_000)).await.unwrap();
    drop(taking.end().await.unwrap());
    edge.engines().tasks.abort();
    assert_eq!(keys(&world, "big/"), 2);
    let other = Store::new(world.process("other"), options);
    let maintain = Maintain::new(other.clone());
    maintain.handle(vec![Task::Sweep, Task::Audit]).await;
    assert!(keys(&world, "big/") > 0, "its writer may still name it");
    other.engines().clock.sleep(Duration::from_secs(10)).await;
    maintain.handle(vec![Task::Sweep]).await;
    other.engines().clock.sleep(Duration::from_secs(60)).await;
    maintain.handle(vec![Task::Sweep, Task::Audit]).await;
    other.account(ids[0]).await.unwrap().clean().await.unwrap();
    assert_eq!(keys(&world, "big/"), 0, "{:?}", world.object_keys());
    assert!(other.writers().page(None).await.unwrap().is_empty());
}
