use std::collections::BTreeSet;
use std::time::Duration;

use engine::memory::World;
use mail::{RecordId, Timestamp, WriterId};

use super::*;
use crate::Store;
use crate::place::{SegmentRef, Slot};
use crate::rows::{ItemKind, ItemRecipient, Lease, due_shard};

fn store() -> (World, Store) {
    let world = World::new(engine::memory::Options::default());
    let store = Store::new(world.process("a"), crate::Options::default());
    (world, store)
}

fn key(counter: u64, destination: &str) -> ItemKey {
    let id = RecordId { writer: WriterId([1; 16]), counter };
    ItemKey { id, kind: ItemKind::Remote, destination: destination.into(), k: 0 }
}

fn item(now: Timestamp) -> Item {
    let segment = SegmentRef::Ingest { writer: WriterId([1; 16]), number: 1 };
    Item::new(now, Slot { segment, index: 0 }, vec![ItemRecipient::new(0, "a@far.test")])
}

#[tokio::test(start_paused = true)]
async fn a_relay_of_the_process_holds_the_first_lease_of_what_it_has_room_for() {
    let (_world, store) = store();
    let items = store.items();
    let now = store.engines().index.now();
    let holder = WriterId([9; 16]);
    let mut fresh = items.hand().open(holder, Duration::from_secs(60), 1);
    items.make(&key(1, "far.test"), &item(now)).await.unwrap();
    let (without, _) = items.get(&key(1, "far.test")).await.unwrap().unwrap();
    assert_eq!(without.lease, None, "it holds no shard yet");
    items.hand().hold(BTreeSet::from([due_shard("far.test")]));
    for counter in 2..4 {
        items.make(&key(counter, "far.test"), &item(now)).await.unwrap();
    }
    let (leased, _) = items.get(&key(2, "far.test")).await.unwrap().unwrap();
    assert_eq!((leased.lease.unwrap().holder, leased.fence), (holder, 1));
    let (beyond, _) = items.get(&key(3, "far.test")).await.unwrap().unwrap();
    assert_eq!((beyond.lease, beyond.fence), (None, 0), "there is room for one");
    let told = fresh.try_recv().unwrap();
    assert_eq!((told.item, told.version), (key(2, "far.test"), Version(1)));
    // What is there already is nobody's news.
    items.make(&key(2, "far.test"), &item(now)).await.unwrap();
    assert!(fresh.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_set_aside_waits_behind_one_marker() {
    let (world, store) = store();
    let items = store.items();
    let now = store.engines().index.now();
    for counter in 0..20 {
        items.make(&key(counter, "dead.test"), &item(now)).await.unwrap();
    }
    let shard = DuePlace::Shard(due_shard("dead.test"));
    let own = DuePlace::own("dead.test").unwrap();
    let all = items.due(&shard, None, 100).await.unwrap();
    assert_eq!(all.len(), 20);
    let later = now.after(Duration::from_secs(60));
    let marker = items.set_aside("dead.test", &all, later, &[]).await.unwrap();
    assert_eq!(items.due(&shard, None, 100).await.unwrap(), []);
    assert_eq!(items.due(&own, None, 100).await.unwrap().len(), 20);
    let in_shard = items.due_until(&shard, None, later, 100).await.unwrap();
    assert_eq!(in_shard.first(), Some(&marker));
    assert_eq!(in_shard.len(), 1);
    assert!(marker.is_marker());
    let moved =
        items.mark("dead.test", later.after(Duration::from_secs(9)), std::slice::from_ref(&marker));
    let moved = moved.await;
    assert_eq!(
        items.due_until(&shard, None, Timestamp(u64::MAX), 9).await.unwrap(),
        [moved.unwrap()]
    );
    // Finished, an item takes its due row with it; put off, its old one.
    let (first, version) = items.get(&key(0, "dead.test")).await.unwrap().unwrap();
    let due = items.due(&own, None, 1).await.unwrap().remove(0);
    let done = Item { state: ItemState::Delivered, ..first.clone() };
    items.finish(&due, &done, version).await.unwrap();
    assert!(matches!(items.finish(&due, &done, version).await, Err(WriteError::Conflict)));
    let due = items.due(&own, None, 1).await.unwrap().remove(0);
    let (second, version) = items.get(&due.item).await.unwrap().unwrap();
    let off = Item { due: later, ..second };
    let new = items.put_off(&due, &off, version).await.unwrap();
    assert_eq!(items.due(&own, None, 100).await.unwrap().len(), 18);
    let in_shard = items.due_until(&shard, None, later, 100).await.unwrap();
    assert_eq!(in_shard, std::slice::from_ref(&new));
    assert_eq!(new.version, Version(version.0 + 1));
    drop(world);
}

#[tokio::test(start_paused = true)]
async fn shards_are_leased_by_version_and_destinations_remembered() {
    let (_world, store) = store();
    let items = store.items();
    let now = store.engines().index.now();
    let lease = |holder: u8| Lease { holder: WriterId([holder; 16]), until: now };
    let taken = items.lease_shards(&[(0, None), (63, None)], lease(1)).await;
    assert!(taken.iter().all(|one| matches!(one, Ok(Version(1)))));
    let late = items.lease_shards(&[(0, None), (63, Some(Version(1)))], lease(2)).await;
    assert!(matches!(late[..], [Err(WriteError::Conflict), Ok(Version(2))]));
    let shards = items.shards().await.unwrap();
    let holders: Vec<_> = shards.iter().map(|(n, row, _)| (*n, row.lease.holder.0[0])).collect();
    assert_eq!(holders, [(0, 1), (63, 2)]);
    let health = rows::HealthRow { class: "egress".into(), ..rows::HealthRow::default() };
    let version = items.remember("far.test", Some("e1"), Some(&health), None).await.unwrap();
    items.remember("far.test", None, Some(&health), None).await.unwrap();
    let known = items.remembered("far.test").await.unwrap();
    assert_eq!(known.iter().map(|(e, ..)| e.as_deref()).collect::<Vec<_>>(), [None, Some("e1")]);
    assert_eq!(items.remember("far.test", Some("e1"), None, version).await.unwrap(), None);
    assert_eq!(items.remembered("far.test").await.unwrap().len(), 1);
}
