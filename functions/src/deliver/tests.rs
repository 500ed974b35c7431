use std::collections::BTreeSet;
use std::time::Duration;

use engine::memory::{Ending, Faults, World};
use engine::{Expect, Nonce, Row, Version};
use mail::{Account, Address, RecordId, Seq};
use store::rows::{self, AddressRow, DirectoryChange, ItemKind};
use store::{AcceptError, LogError};

use super::*;
use crate::host::local::{Functions, Local};
use crate::testing::{
    accept, accept_as, accounts, deliver_all, fresh_log, inbox, message, noise, process,
};

async fn records(world: &World, account: Account) -> Vec<RecordId> {
    let log = fresh_log(world, account).await;
    inbox(&log).await.into_iter().map(|(_, record)| record).collect()
}

fn segments(world: &World) -> Vec<ObjectKey> {
    let keys = world.object_keys().into_iter();
    keys.filter(|key| names::parse_ingest(key).is_some()).collect()
}

#[tokio::test(start_paused = true)]
async fn whatever_write_goes_wrong_each_recipient_gets_it_once() {
    let endings = [
        Ending::Failed,
        Ending::LostDone,
        Ending::LostDropped,
        Ending::LostLate(Duration::from_millis(30)),
        Ending::LostLate(Duration::from_secs(3)),
        Ending::Repeated,
    ];
    for step in 0..12 {
        for ending in endings {
            let world = World::default();
            let store = process(&world, "edge");
            let ids = accounts(&store, &["ana", "bob"]).await;
            for i in 0..3 {
                accept(&store, &["ana", "bob"], &message(&i.to_string())).await.unwrap();
            }
            let first = process(&world, "first");
            let answered = std::iter::repeat_n(Ending::Answered, step);
            world.next_writes(answered.chain([ending]));
            let deliver = Deliver::new(first.clone());
            deliver.handle(segments(&world)).await;
            // It ends here, whatever it had done; another goes on.
            first.engines().tasks.abort();
            drop(deliver);
            let second = process(&world, "second");
            deliver_all(&world, &second).await;
            second.engines().clock.sleep(Duration::from_secs(5)).await;
            for id in ids {
                let there = records(&world, id).await;
                let distinct: BTreeSet<_> = there.iter().collect();
                assert_eq!((there.len(), distinct.len()), (3, 3), "step {step} {ending:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_deliverers_at_once_on_a_hostile_store_deliver_once() {
    for seed in 0..40 {
        let world =
            World::new(engine::memory::Options { seed, ..engine::memory::Options::default() });
        let edge = process(&world, "edge");
        let ids = accounts(&edge, &["ana", "bob"]).await;
        for i in 0..5 {
            accept(&edge, &["ana", "bob"], &message(&i.to_string())).await.unwrap();
        }
        world.set_faults(Faults {
            failed: 40,
            lost_done: 40,
            lost_dropped: 40,
            lost_late: 40,
            late_max: Duration::from_secs(2),
            repeated: 30,
            read_failed: 30,
            slow: 300,
            slow_max: Duration::from_millis(800),
            ..Faults::default()
        });
        let mut tasks = Vec::new();
        let mut stores = Vec::new();
        for name in ["a", "b", "c"] {
            let store = process(&world, name);
            let (keys, deliver) = (segments(&world), Deliver::new(store.clone()));
            tasks.push(store.engines().tasks.spawn("deliver", async move {
                for _ in 0..3 {
                    deliver.handle(keys.clone()).await;
                    deliver.flush().await;
                }
            }));
            stores.push(store);
        }
        for task in tasks {
            task.await.unwrap();
        }
        world.set_faults(Faults::default());
        edge.engines().clock.sleep(Duration::from_secs(5)).await;
        deliver_all(&world, &edge).await;
        for id in ids {
            let there = records(&world, id).await;
            let distinct: BTreeSet<_> = there.iter().collect();
            assert_eq!((there.len(), distinct.len()), (5, 5), "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_plan_is_made_once() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana", "bob"]).await;
    let team = Address::parse("team@example.test").unwrap();
    let to = |name: &str| {
        let target = Address::parse(&format!("{name}@example.test")).unwrap();
        DirectoryChange::Address(team.clone(), AddressRow::Alias(vec![target]))
    };
    store.directory().change(vec![to("ana")]).await.unwrap();
    accept(&store, &["team"], &message("x")).await.unwrap();
    // The claim is put; the entry is not.
    let failed = std::iter::repeat_n(Ending::Failed, 2);
    world.next_writes(std::iter::once(Ending::Answered).chain(failed));
    let first = process(&world, "first");
    Deliver::new(first).handle(segments(&world)).await;
    // [H]: the alias leads elsewhere now; the plan in the claim row counts.
    while store.directory().change(vec![to("bob")]).await.is_err() {}
    let second = process(&world, "second");
    deliver_all(&world, &second).await;
    assert_eq!(records(&world, ids[0]).await.len() + records(&world, ids[1]).await.len(), 1);
}

/// Puts an entry that nobody can replay.
async fn break_log(store: &Store, account: Account, seq: Seq) {
    let row = Row {
        value: bytes::Bytes::from_static(b"no entry"),
        version: Version(seq.0),
        nonce: Nonce([9; 8]),
        expiry: None,
    };
    let key = rows::entry_key(account, seq);
    store.engines().index.put_if(&key, row, Expect::Absent).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broken_account_holds_up_nobody_and_gets_its_mail_after_the_repair() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana", "bob"]).await;
    break_log(&store, ids[0], Seq(1)).await;
    let local = Local::start(&store, Functions::ALL);
    let receipt = accept(&store, &["ana", "bob"], &message("x")).await.unwrap();
    store.engines().clock.sleep(Duration::from_secs(5)).await;
    assert_eq!(records(&world, ids[1]).await, [receipt.record()]);
    // [O, U]: a durable item, visible; the segment is done and the watermark passes it.
    let items = store.items().unfinished(10).await.unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].0.kind, ItemKind::Local);
    assert_eq!(store.items().parked(10).await.unwrap().len(), 1);
    let (row, _) = store.writers().get(receipt.record().writer).await.unwrap().unwrap();
    assert_eq!(row.watermark, 1);
    let closed = store.account(ids[0]).await;
    assert!(matches!(closed, Err(LogError::Broken { seq: Seq(1) })), "{closed:?}");
    assert_eq!(store.repair(ids[0], "a test").await.unwrap(), [Seq(1)]);
    store.engines().clock.sleep(Duration::from_secs(90)).await;
    local.drain().await;
    assert_eq!(records(&world, ids[0]).await, [receipt.record()]);
    assert!(store.items().unfinished(10).await.unwrap().is_empty());
    assert!(store.items().parked(10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn mail_for_an_address_that_is_gone_is_kept_where_somebody_sees_it() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana", "bob"]).await;
    accept(&store, &["ana", "bob"], &message("x")).await.unwrap();
    let gone = Address::parse("bob@example.test").unwrap();
    let change = DirectoryChange::Address(gone, AddressRow::Tombstone);
    store.directory().change(vec![change]).await.unwrap();
    deliver_all(&world, &store).await;
    assert_eq!(records(&world, ids[0]).await.len(), 1);
    // I1: in a queue that somebody works on.
    assert_eq!(store.items().parked(10).await.unwrap().len(), 1);
    let local = Local::start(&store, Functions { deliver: true, ..Functions::default() });
    let retry = async || {
        let (key, mut item, version) = store.items().unfinished(10).await.unwrap().pop().unwrap();
        item.due = store.engines().index.now();
        store.items().update(&key, &item, version).await.unwrap();
        store.engines().events.publish(engine::Event::Items);
        store.engines().clock.sleep(Duration::from_secs(2)).await;
    };
    retry().await;
    assert_eq!(store.items().unfinished(10).await.unwrap().len(), 1);
    let back = DirectoryChange::Address(
        Address::parse("bob@example.test").unwrap(),
        AddressRow::Account(ids[1].id),
    );
    store.directory().change(vec![back]).await.unwrap();
    retry().await;
    local.drain().await;
    assert_eq!(records(&world, ids[1]).await.len(), 1);
    assert!(store.items().unfinished(10).await.unwrap().is_empty());
    assert!(store.items().parked(10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_segment_of_a_writer_that_nobody_announced_is_left_alone() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana"]).await;
    accept(&store, &["ana"], &message("x")).await.unwrap();
    let there = store.engines().objects.get(&segments(&world)[0]).await.unwrap().unwrap();
    let stray = names::ingest(WriterId([0x77; 16]), 1);
    store.engines().objects.put(&stray, &[there]).await.unwrap();
    let deliver = Deliver::new(store.clone());
    let outcomes = deliver.handle(vec![stray]).await;
    // [K]: neither "all is new" nor "ended".
    assert!(matches!(outcomes[..], [Outcome::Later { .. }]), "{outcomes:?}");
    assert!(records(&world, ids[0]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_to_a_thousand_reaches_each_of_them_once() {
    for body in [message("x"), [message("x"), noise(5, 2_000_000)].concat()] {
        let world = World::default();
        let store = process(&world, "one");
        let names: Vec<String> = (0..998).map(|i| format!("u{i}")).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ids = accounts(&store, &names).await;
        // An alias of the first, which the plan names, and of the last, which a `fan` reaches.
        let alias = |name: &str, to: &str| {
            let address = |name| Address::parse(&format!("{name}@example.test")).unwrap();
            DirectoryChange::Address(address(name), AddressRow::Alias(vec![address(to)]))
        };
        let aliases = vec![alias("first", "u0"), alias("last", "u997")];
        store.directory().change(aliases).await.unwrap();
        names.insert(0, "last");
        names.push("first");
        let local = Local::start(&store, Functions::ALL);
        let receipt = accept(&store, &names, &body).await.unwrap();
        store.engines().clock.sleep(Duration::from_secs(20)).await;
        local.drain().await;
        for id in ids {
            // δ, J: one record, so nobody has it twice.
            assert_eq!(records(&world, id).await, [receipt.record()]);
        }
        assert!(store.items().unfinished(10).await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn whom_a_fan_reaches_is_fixed_before_anything_is_appended() {
    let world = World::default();
    let store = process(&world, "one");
    let names: Vec<String> = (0..600).map(|i| format!("u{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ids = accounts(&store, &names).await;
    let extra = accounts(&store, &["extra"]).await[0];
    accept(&store, &names, &message("x")).await.unwrap();
    // The last account cannot take it when its `fan` is first worked on.
    break_log(&store, ids[599], Seq(1)).await;
    deliver_all(&world, &store).await;
    let local = Local::start(&store, Functions { deliver: true, ..Functions::default() });
    store.engines().clock.sleep(Duration::from_secs(2)).await;
    // It holds up none of the others, and somebody sees it [O, U].
    assert_eq!(records(&world, ids[598]).await.len(), 1);
    assert_eq!(store.items().unfinished(10).await.unwrap().len(), 1);
    assert_eq!(store.items().parked(10).await.unwrap().len(), 1);
    // [H]: its address leads to somebody else now.
    let moved = Address::parse("u599@example.test").unwrap();
    let change = DirectoryChange::Address(moved, AddressRow::Account(extra.id));
    store.directory().change(vec![change]).await.unwrap();
    store.repair(ids[599], "a test").await.unwrap();
    store.engines().clock.sleep(Duration::from_secs(90)).await;
    local.drain().await;
    assert_eq!(records(&world, ids[599]).await.len(), 1);
    assert!(records(&world, extra).await.is_empty());
    assert!(store.items().unfinished(10).await.unwrap().is_empty());
    assert!(store.items().parked(10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_many_records_of_a_segment_are_for_may_be_broken() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana"]).await;
    // While the first put is slow, the others become one segment.
    world.set_faults(Faults { slow: 1_000, slow_max: Duration::from_secs(2), ..Faults::default() });
    let all = (0..300).map(|i| {
        let store = store.clone();
        async move { accept(&store, &["ana"], &message(&i.to_string())).await.unwrap() }
    });
    futures_util::future::join_all(all).await;
    world.set_faults(Faults::default());
    break_log(&store, ids[0], Seq(1)).await;
    assert!(segments(&world).len() < 100, "{}", segments(&world).len());
    deliver_all(&world, &store).await;
    store.repair(ids[0], "a test").await.unwrap();
    let local = Local::start(&store, Functions { deliver: true, ..Functions::default() });
    store.engines().clock.sleep(Duration::from_secs(120)).await;
    local.drain().await;
    assert_eq!(records(&world, ids[0]).await.len(), 300);
    assert!(store.items().unfinished(10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_while_the_store_is_away() {
    let world = World::default();
    let store = process(&world, "edge");
    accounts(&store, &["ana"]).await;
    world.cut("edge", true);
    let refused = accept(&store, &["ana"], &message("x")).await.unwrap_err();
    assert!(matches!(refused, AcceptError::Later | AcceptError::Full), "{refused}");
    world.cut("edge", false);
    accept(&store, &["ana"], &message("x")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn junk_goes_where_the_account_keeps_it() {
    let world = World::default();
    let store = process(&world, "edge");
    let ids = accounts(&store, &["ana"]).await;
    let mut verdicts = mail::Verdicts::default();
    verdicts.junk("a test");
    let junk = bytes::Bytes::from(verdicts.encode());
    let kept = accept_as(&store, &["ana"], &message("junk"), junk).await.unwrap();
    let damaged = bytes::Bytes::from_static(b"\xff");
    accept_as(&store, &["ana"], &message("odd"), damaged).await.unwrap();
    accept(&store, &["ana"], &message("mail")).await.unwrap();
    deliver_all(&world, &store).await;
    let log = fresh_log(&world, ids[0]).await;
    assert_eq!(inbox(&log).await.len(), 2);
    let there: Vec<RecordId> = log.view(|state| {
        let mailbox = state.by_use(store::change::SpecialUse::Junk).unwrap();
        mailbox.messages().map(|message| message.record).collect()
    });
    assert_eq!(there, [kept.record()]);
}
