use bytes::Bytes;

use super::*;
use crate::{Consistency, Event, Expect, Key, Nonce, ObjectKey, Put, Row, Version, WriteError};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).expect("a key")
}

fn row(version: u64) -> Row {
    Row {
        value: Bytes::from_static(b"v"),
        version: Version(version),
        nonce: Nonce([1; 8]),
        expiry: None,
    }
}

async fn busy_hour(seed: u64) -> String {
    let world = World::new(Options { seed, ..Options::default() });
    let lines = Arc::new(Mutex::new(String::new()));
    let sink = lines.clone();
    world.trace(move |line| {
        let mut lines = sink.lock().unwrap();
        lines.push_str(line);
        lines.push('\n');
    });
    world.set_faults(Faults::hostile());
    let (one, two) = (world.process("one"), world.process("two"));
    let mut ends = Vec::new();
    for engines in [&one, &two] {
        let mine = engines.clone();
        ends.push(engines.tasks.spawn("worker", async move {
            for n in 0..50_u64 {
                let name = format!("ingest/{}", n % 7);
                drop(mine.objects.put(&key(&name), &[Bytes::from(name.clone())]).await);
                let at = Key::new("p", name);
                let nonce = mine.random.nonce();
                drop(mine.index.put_if(&at, Row { nonce, ..row(n) }, Expect::Any).await);
                drop(mine.index.get(&at, Consistency::Eventual).await);
                mine.events.publish(Event::Items);
            }
        }));
    }
    for end in ends {
        end.await.unwrap();
    }
    lines.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_seed_gives_the_same_trace_byte_for_byte() {
    let first = busy_hour(7).await;
    assert!(first.lines().count() > 300);
    assert!(first.contains("landed late") && first.contains("answer lost"));
    assert_eq!(first, busy_hour(7).await);
    assert_ne!(first, busy_hour(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_may_be_done_dropped_or_land_later() {
    let world = World::default();
    let engines = world.process("one");
    let put = async |name: &str| engines.objects.put(&key(name), &[Bytes::from("x")]).await;
    let late = Duration::from_secs(5);
    world.next_writes([
        Ending::LostDone,
        Ending::LostDropped,
        Ending::LostLate(late),
        Ending::Failed,
        Ending::Repeated,
    ]);
    assert!(matches!(put("done").await, Err(WriteError::Unknown(_))));
    assert!(matches!(put("dropped").await, Err(WriteError::Unknown(_))));
    assert!(matches!(put("late").await, Err(WriteError::Unknown(_))));
    assert!(matches!(put("failed").await, Err(WriteError::Unavailable(_))));
    assert!(matches!(put("repeated").await, Ok(Put::Exists(_))));
    assert_eq!(world.object_keys(), [key("done"), key("repeated")]);
    engines.clock.sleep(late + Duration::from_millis(2)).await;
    assert_eq!(world.object_keys(), [key("done"), key("late"), key("repeated")]);
}

#[tokio::test(start_paused = true)]
async fn what_a_crashed_process_had_asked_for_still_lands() {
    let world = World::default();
    world.set_faults(Faults { slow: 1_000, slow_max: Duration::from_secs(1), ..Faults::default() });
    let engines = world.process("one");
    for n in 0..20 {
        let mine = engines.objects.clone();
        engines.tasks.spawn("put", async move {
            drop(mine.put(&key(&format!("k{n}")), &[Bytes::from("x")]).await);
        });
    }
    tokio::task::yield_now().await;
    let before = world.object_keys().len();
    engines.tasks.abort();
    engines.clock.sleep(Duration::from_secs(3)).await;
    assert!(world.object_keys().len() > before);
}

#[tokio::test(start_paused = true)]
async fn a_process_cut_off_gets_nothing_and_is_not_woken() {
    let world = World::default();
    let (near, far) = (world.process("near"), world.process("far"));
    let (mut hears, mut deaf) = (near.events.subscribe(), far.events.subscribe());
    world.cut("far", true);
    let at = Key::new("p", "s");
    let refused = far.index.put_if(&at, row(1), Expect::Absent).await;
    assert!(matches!(refused, Err(WriteError::Unavailable(_))));
    near.events.publish(Event::Items);
    far.events.publish(Event::Directory);
    assert_eq!(hears.next().await, Some(Event::Items));
    world.cut("far", false);
    near.events.publish(Event::Directory);
    assert_eq!(deaf.next().await, Some(Event::Directory));
    far.index.put_if(&at, row(1), Expect::Absent).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stalled_process_hangs_while_others_go_on() {
    let world = World::default();
    let (zombie, other) = (world.process("zombie"), world.process("other"));
    let began = zombie.clock.instant();
    world.stall("zombie", Duration::from_secs(30));
    other.index.put_if(&Key::new("p", "s"), row(1), Expect::Absent).await.unwrap();
    assert_eq!(other.clock.instant(), began);
    let late = zombie.index.put_if(&Key::new("p", "z"), row(1), Expect::Absent).await;
    late.unwrap();
    assert_eq!(zombie.clock.instant().since(began).as_secs(), 30);
    zombie.index.put_if(&Key::new("p", "y"), row(1), Expect::Absent).await.unwrap();
    assert_eq!(zombie.clock.instant().since(began).as_secs(), 30);
    assert_eq!(world.calls(), 3);
    world.stall_after("zombie", "index.get p", Duration::from_secs(10));
    for (sort, seconds) in [("a", 30), ("b", 40)] {
        zombie.index.get(&Key::new("p", sort), Consistency::Strong).await.unwrap();
        assert_eq!(zombie.clock.instant().since(began).as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_a_process_never_goes_back() {
    let world = World::default();
    let engines = world.process("one");
    let first = engines.index.now();
    world.jump(60_000);
    let later = engines.index.now();
    assert_eq!(later.since(first), Duration::from_secs(60));
    world.jump(-3_600_000);
    assert_eq!(engines.index.now(), later);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_says_so_and_the_ballast_makes_room() {
    let world =
        World::new(Options { capacity_bytes: Some(20), ballast_bytes: 10, ..Options::default() });
    let engines = world.process("one");
    let put = async |name: &str| engines.objects.put(&key(name), &[Bytes::from("12345678")]).await;
    put("a").await.unwrap();
    assert!(matches!(put("b").await, Err(WriteError::Full(_))));
    engines.objects.release_ballast(true).await.unwrap();
    put("b").await.unwrap();
    engines.objects.delete(&key("a")).await.unwrap();
    // What was given up is room for deleting, not for mail.
    assert_eq!(engines.objects.space().await.unwrap().unwrap().free, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lying_store_loses_in_a_power_cut_what_an_honest_one_keeps() {
    let world = World::new(Options { capacity_bytes: Some(100), ..Options::default() });
    let engines = world.process("one");
    let put = async |name: &str| engines.objects.put(&key(name), &[Bytes::from("x")]).await;
    let (kept, lost) = (Key::new("p", "kept"), Key::new("p", "lost"));
    put("kept").await.unwrap();
    engines.index.put_if(&kept, row(1), Expect::Absent).await.unwrap();
    world.power_cut();
    assert_eq!((world.object_keys().len(), world.rows().len()), (1, 1));
    world.lie(true);
    put("lost").await.unwrap();
    engines.objects.delete(&key("kept")).await.unwrap();
    engines.index.put_if(&lost, row(1), Expect::Absent).await.unwrap();
    engines.index.put_if(&kept, row(2), Expect::Any).await.unwrap();
    world.power_cut();
    assert_eq!(world.object_keys(), [key("kept")]);
    assert_eq!(world.rows(), [(kept, row(1))]);
    assert_eq!(engines.objects.space().await.unwrap().unwrap().free, 99);
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_what_happens_and_nothing_that_does_not() {
    let world = World::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    world.observe(move |what| {
        let line = match what {
            Seen::Row { now, .. } => format!("row {:?}", now.map(|row| row.version.0)),
            Seen::Object { key, now } => format!("{key} {:?}", now.map(Bytes::len)),
        };
        sink.lock().unwrap().push(line);
    });
    let engines = world.process("one");
    let at = Key::new("p", "s");
    world.next_writes([Ending::Failed, Ending::LostDone]);
    engines.index.put_if(&at, row(1), Expect::Absent).await.unwrap_err();
    engines.index.put_if(&at, row(1), Expect::Absent).await.unwrap_err();
    // Done already: nothing happens now.
    engines.index.put_if(&at, row(1), Expect::Absent).await.unwrap();
    engines.index.put_if(&at, row(3), Expect::Version(Version(2))).await.unwrap_err();
    engines.index.delete_if(&at, Expect::Version(Version(1))).await.unwrap();
    engines.objects.put(&key("a"), &[Bytes::from_static(b"xy")]).await.unwrap();
    engines.objects.put(&key("a"), &[Bytes::from_static(b"z")]).await.unwrap();
    engines.objects.delete(&key("a")).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["row Some(1)", "row None", "a Some(2)", "a None"]);
}
