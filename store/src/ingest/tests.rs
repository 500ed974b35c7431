use std::collections::BTreeSet;
use std::time::Duration;

use engine::memory::{Ending, Faults, World};
use engine::{Nonce, ObjectKey};
use mail::{Path, Recipient, WriterId};

use super::*;
use crate::names;
use crate::segment::{Builder, Index, NewBody, NewRecord, Read, Tombstone, tombstone_object};
use crate::{Options, Store, Timing, Upkeep};

fn options() -> Options {
    let timing = Timing {
        retry_min: Duration::from_millis(5),
        retry_max: Duration::from_millis(50),
        unavailable_patience: Duration::from_millis(200),
        commit_patience: Duration::from_secs(5),
        ..Timing::default()
    };
    Options { timing, ..Options::default() }
}

fn store(world: &World) -> Store {
    Store::new(world.process("edge"), options())
}

fn accept_to(recipients: usize) -> Accept {
    let path = |n: usize| Path::parse(&format!("u{n}@example.test")).unwrap();
    let recipients = (0..recipients).map(|n| Recipient::new(path(n))).collect();
    Accept {
        envelope: Envelope::new(Some(path(0)), recipients),
        prefix: Bytes::from_static(b"Received: x\r\n"),
        verdicts: Bytes::new(),
    }
}

async fn accept(store: &Store, body: &[u8]) -> Result<Receipt, AcceptError> {
    let mut incoming = store.ingest().begin().await?;
    incoming.write(body).await?;
    incoming.commit(accept_to(1)).await
}

const BODY: &[u8] = b"Subject: x\r\n\r\nbody\r\n";

/// All segments: writer, number, records.
async fn segments(world: &World) -> Vec<(WriterId, u64, Vec<RecordId>)> {
    let objects = world.process("reader").objects;
    let mut found = Vec::new();
    for key in world.object_keys() {
        let Some((writer, number)) = names::parse_ingest(&key) else { continue };
        let bytes = objects.get(&key).await.unwrap().unwrap();
        let Read::Whole(index) = Index::read(&bytes).unwrap() else { panic!("short") };
        let records = index.records.iter().map(|record| record.location.id).collect();
        found.push((writer, number, records));
    }
    found
}

async fn put(world: &World, key: &ObjectKey, bytes: Bytes) {
    world.process("other").objects.put(key, &[bytes]).await.unwrap();
}

fn other_segment() -> Bytes {
    let body = NewBody::of(b"another's");
    let (at, none) = (Timestamp(1), Bytes::new());
    let record = NewRecord::new(at, Some(accept_to(1).envelope), none.clone(), none, b"", body);
    let mut builder = Builder::new(Nonce([1; 8]));
    builder.add(RecordId { writer: WriterId([1; 16]), counter: 1 }, &record.unwrap());
    Bytes::from(builder.finish().concat())
}

#[tokio::test(start_paused = true)]
async fn messages_that_come_together_share_segments() {
    let world = World::default();
    let store = store(&world);
    world.set_faults(Faults {
        slow: 1000,
        slow_max: Duration::from_millis(20),
        ..Faults::default()
    });
    let mut tasks = Vec::new();
    for _ in 0..100 {
        let store = store.clone();
        let tasks_of = store.engines().tasks.clone();
        tasks.push(tasks_of.spawn("sender", async move { accept(&store, BODY).await.unwrap() }));
    }
    let mut receipts = BTreeSet::new();
    for task in tasks {
        receipts.insert(task.await.unwrap().record());
    }
    assert_eq!(receipts.len(), 100);
    let segments = segments(&world).await;
    assert!(segments.len() <= 4, "{} segments", segments.len());
    let stored: BTreeSet<_> = segments.into_iter().flat_map(|(_, _, records)| records).collect();
    assert_eq!(stored, receipts);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_a_moment_for_messages_on_their_way() {
    let world = World::default();
    let store = store(&world);
    let slow = Faults { slow: 1000, slow_max: Duration::from_millis(20), ..Faults::default() };
    world.set_faults(slow);
    // A put that took some time: a batch after it may wait.
    accept(&store, BODY).await.unwrap();
    let mut later = store.ingest().begin().await.unwrap();
    later.write(BODY).await.unwrap();
    let task = store.clone();
    let first = async move { accept(&task, BODY).await.unwrap() };
    let first = store.engines().tasks.spawn("sender", first);
    // The first one is queued now, with nothing in flight.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    // (Not by a call that takes time.)
    let put = world.object_keys().iter().filter(|key| names::parse_ingest(key).is_some()).count();
    assert_eq!(put, 1);
    let both = [later.commit(accept_to(1)).await.unwrap().record(), first.await.unwrap().record()];
    let stored = segments(&world).await;
    assert_eq!(stored.len(), 2, "one put for both");
    assert!(both.iter().all(|record| stored[1].2.contains(record)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_a_message_that_does_not_come() {
    let world = World::default();
    let store = store(&world);
    let slow = Faults { slow: 1000, slow_max: Duration::from_millis(20), ..Faults::default() };
    world.set_faults(slow);
    accept(&store, BODY).await.unwrap();
    // Never comes.
    let _stalled = store.ingest().begin().await.unwrap();
    let clock = store.engines().clock.clone();
    let before = clock.instant();
    accept(&store, BODY).await.unwrap();
    let waited = clock.instant().since(before);
    // What it waited, and its own put.
    assert!(waited <= Duration::from_millis(3 + 20 + 2), "{waited:?}");
    assert_eq!(segments(&world).await.len(), 2);
}

#[test]
fn who_is_slow_is_waited_for_in_one_round_only() {
    let coming = Coming::default();
    let slow = coming.begin();
    let quick = coming.begin();
    assert_eq!(coming.count(), 2);
    drop(quick);
    assert_eq!(coming.count(), 1);
    coming.next_round();
    assert_eq!(coming.count(), 0);
    let next = coming.begin();
    assert_eq!(coming.count(), 1);
    drop((slow, next));
    assert_eq!(coming.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_pursued_until_it_is_a_fact() {
    for ending in [
        Ending::Failed,
        Ending::LostDone,
        Ending::LostDropped,
        Ending::LostLate(Duration::from_millis(20)),
        Ending::Repeated,
    ] {
        let world = World::default();
        let store = store(&world);
        accept(&store, BODY).await.unwrap();
        world.next_writes([ending]);
        let receipt = accept(&store, BODY).await.unwrap();
        let segments = segments(&world).await;
        assert_eq!(segments.len(), 2, "{ending:?}");
        assert_eq!(segments[1].2, [receipt.record()], "{ending:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_certainly_not_stored_is_refused_and_its_number_used_again() {
    let world = World::default();
    let store = store(&world);
    accept(&store, BODY).await.unwrap();
    world.cut("edge", true);
    assert_eq!(accept(&store, BODY).await.unwrap_err(), AcceptError::Later);
    world.cut("edge", false);
    accept(&store, BODY).await.unwrap();
    let numbers: Vec<_> = segments(&world).await.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_wait_is_told_that_nobody_knows() {
    let world = World::default();
    let store = store(&world);
    accept(&store, BODY).await.unwrap();
    // [N]: 451 here would be a lie.
    world.next_writes(std::iter::repeat_n(Ending::LostDropped, 10_000));
    assert_eq!(accept(&store, BODY).await.unwrap_err(), AcceptError::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_closed_number_is_passed_over_with_the_same_batch() {
    let world = World::default();
    let store = store(&world);
    let writer = accept(&store, BODY).await.unwrap().record().writer;
    put(&world, &names::ingest(writer, 2), tombstone_object(Tombstone::Closed, Nonce([3; 8])))
        .await;
    let receipt = accept(&store, BODY).await.unwrap();
    // [B]: acknowledged only where it is seen.
    assert_eq!(receipt.record().writer, writer);
    assert_eq!(segments(&world).await[2], (writer, 3, vec![receipt.record()]));
}

#[tokio::test(start_paused = true)]
async fn an_ended_or_cloned_writer_ends_and_ids_are_new() {
    let end = tombstone_object(Tombstone::End, Nonce([3; 8]));
    for there in [end, other_segment()] {
        let world = World::default();
        let store = store(&world);
        let writer = accept(&store, BODY).await.unwrap().record().writer;
        put(&world, &names::ingest(writer, 2), there).await;
        let receipt = accept(&store, BODY).await.unwrap();
        // [L, γ]: never "exists, so it is mine".
        assert_ne!(receipt.record().writer, writer);
        let stored = segments(&world).await;
        let mine: Vec<_> =
            stored.iter().filter(|(id, ..)| *id == receipt.record().writer).collect();
        assert_eq!(mine, [&(receipt.record().writer, 1, vec![receipt.record()])]);
        let row = store.writers().get(receipt.record().writer).await.unwrap();
        assert!(row.is_some(), "no segment before its writer's row [K]");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_lives_for_so_many_numbers() {
    let world = World::default();
    let upkeep = Upkeep { writer_numbers: 2, ..Upkeep::default() };
    let store = Store::new(world.process("edge"), Options { upkeep, ..options() });
    for _ in 0..5 {
        accept(&store, BODY).await.unwrap();
    }
    let writers: BTreeSet<_> = segments(&world).await.iter().map(|(id, ..)| *id).collect();
    assert_eq!(writers.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn limits_hold() {
    let world = World::default();
    let limits =
        Options { message_bytes_max: 100_000, spooling_bytes_max: 128 * 1024, ..options() };
    let store = Store::new(world.process("edge"), limits);
    let mut first = store.ingest().begin().await.unwrap();
    first.write(&[b'a'; 90_000]).await.unwrap();
    let mut second = store.ingest().begin().await.unwrap();
    assert_eq!(second.write(&[b'a'; 90_000]).await, Err(AcceptError::Later));
    assert_eq!(first.write(&[b'a'; 20_000]).await, Err(AcceptError::TooLarge { max: 100_000 }));
    drop(first);
    let mut third = store.ingest().begin().await.unwrap();
    third.write(&[b'a'; 90_000]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_recipients_are_one_record() {
    let world = World::default();
    let store = store(&world);
    let mut incoming = store.ingest().begin().await.unwrap();
    incoming.write(BODY).await.unwrap();
    incoming.commit(accept_to(1_000)).await.unwrap();
    let segments = segments(&world).await;
    let records: usize = segments.iter().map(|(_, _, records)| records.len()).sum();
    assert_eq!(records, 1);
}

#[tokio::test(start_paused = true)]
async fn the_whole_message_can_be_had_before_it_is_accepted() {
    let world = World::default();
    let store = store(&world);
    for size in [10_usize, 2_500_000] {
        let body: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut incoming = store.ingest().begin().await.unwrap();
        for chunk in body.chunks(65_536) {
            incoming.write(chunk).await.unwrap();
        }
        let taken = incoming.end().await.unwrap();
        assert_eq!(&taken.whole().await.unwrap()[..], &body[..]);
        assert_eq!(taken.summary().size, size as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_accepted_while_the_medium_is_nearly_full() {
    let world = World::new(engine::memory::Options {
        capacity_bytes: Some(1_000_000),
        ..engine::memory::Options::default()
    });
    let store = store(&world);
    let mut refused = None;
    for i in 0..200_u64 {
        let noise = crate::testing::noise(i, 20_000);
        store.engines().clock.sleep(Duration::from_secs(6)).await;
        if let Err(error) = accept(&store, &noise).await {
            refused = Some(error);
            break;
        }
    }
    assert_eq!(refused, Some(AcceptError::Full));
}
