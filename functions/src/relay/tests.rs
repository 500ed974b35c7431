use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use engine::memory::{Options as WorldOptions, World};
use mail::{Domain, Envelope, Path, Recipient, RecordId, Reply};
use net::dns::{Answer, Dns, DnsFault, Mx, Tlsa};
use net::send::{
    Call, Channel, Content, Fault, Features, Offer, Offered, Reach, Security, Stage, Welcome,
};
use store::place::{SegmentRef, Slot};
use store::rows::{DuePlace, Item, ItemKind, ItemRecipient, ItemState, due_shard};
use store::{Accept, Store};

use super::*;
use crate::host::local::{Functions, Local};
use crate::routes::Route;
use crate::testing::process;

/// Servers by port: 1 takes everything, 2 does not answer until it is up.
#[derive(Default)]
struct Servers {
    up: AtomicBool,
    calls: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    taken: Mutex<BTreeMap<String, usize>>,
}

struct Dial(Arc<Servers>, Arc<dyn Clock>);

struct Line(Arc<Servers>, Arc<dyn Clock>, Welcome, Vec<String>);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn reply(text: &str) -> Reply {
    Reply::parse(text).unwrap()
}

#[async_trait]
impl Dialer for Dial {
    async fn call(&self, call: Call) -> Result<Box<dyn Channel>, Fault> {
        self.1.sleep(Duration::from_millis(30)).await;
        if call.address.port() == 2 {
            self.0.calls.fetch_add(1, Ordering::SeqCst);
            if !self.0.up.load(Ordering::SeqCst) {
                return Err(Fault::new(Stage::Connect, "refused"));
            }
        }
        let open = self.0.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_open.fetch_max(open, Ordering::SeqCst);
        let (banner, features) = (reply("220 here"), Features::default());
        let welcome = Welcome { banner, features, tls: None, tls_failure: None };
        Ok(Box::new(Line(self.0.clone(), self.1.clone(), welcome, Vec::new())))
    }
}

#[async_trait]
impl Channel for Line {
    fn welcome(&self) -> &Welcome {
        &self.2
    }

    async fn offer(&mut self, offer: &Offer) -> Result<Offered, Fault> {
        self.3 = offer.recipients.iter().map(|one| one.path.text().to_owned()).collect();
        let recipients = self.3.iter().map(|_| reply("250 yes")).collect();
        Ok(Offered { sender: reply("250 yes"), recipients })
    }

    async fn content(
        &mut self,
        content: &mut dyn Content,
        may_end: &(dyn Fn() -> bool + Sync),
    ) -> Result<Reply, Fault> {
        while content.next().await.map_err(|why| Fault::new(Stage::Content, why))?.is_some() {}
        self.1.sleep(Duration::from_millis(20)).await;
        assert!(may_end());
        let mut taken = self.0.taken.lock().unwrap();
        self.3.drain(..).for_each(|to| *taken.entry(to).or_default() += 1);
        Ok(reply("250 taken"))
    }

    async fn quit(self: Box<Self>) {}
}

struct NoNames;

#[async_trait]
impl Dns for NoNames {
    async fn mx(&self, _: &Domain) -> Result<Answer<Mx>, DnsFault> {
        Err(DnsFault::NoSuchName)
    }
    async fn addresses(&self, _: &str) -> Result<Answer<IpAddr>, DnsFault> {
        Err(DnsFault::NoSuchName)
    }
    async fn tlsa(&self, _: &str, _: u16) -> Result<Answer<Tlsa>, DnsFault> {
        Err(DnsFault::NoSuchName)
    }
    async fn txt(&self, _: &str) -> Result<Answer<String>, DnsFault> {
        Err(DnsFault::NoSuchName)
    }
    async fn ptr(&self, _: IpAddr) -> Result<Answer<String>, DnsFault> {
        Err(DnsFault::NoSuchName)
    }
    async fn listed(&self, _: &str) -> Result<Answer<Ipv4Addr>, DnsFault> {
        Err(DnsFault::NoSuchName)
    }
}

fn outside(servers: &Arc<Servers>, store: &Store) -> Outside {
    let routes = (0..50).map(|n| format!("live{n}.test")).map(|name| (name, 1));
    let routes = routes.chain([("dead.test".to_owned(), 2)]).map(|(name, port)| {
        let hosts = vec![("127.0.0.1".to_owned(), port)];
        (name, Route { hosts, security: Security::Never, login: None })
    });
    let routes = routes.collect();
    Outside {
        dialer: Arc::new(Dial(servers.clone(), store.engines().clock.clone())),
        routes: Routes::new(routes, false, Reach::Anywhere, BTreeSet::new(), Arc::new(NoNames)),
        forwarding: None,
        spf: None,
    }
}

fn options() -> Options {
    Options { waiting_max: 200, poll: Duration::from_secs(1), ..Options::default() }
}

/// A record to send, and its place.
async fn record(world: &World, store: &Store) -> (RecordId, Slot) {
    let mut incoming = store.ingest().begin().await.unwrap();
    incoming.write(b"Subject: x\r\n\r\nhello\r\n").await.unwrap();
    let path = |text| Path::parse(text).unwrap();
    let envelope =
        Envelope::new(Some(path("ana@example.test")), vec![Recipient::new(path("x@live0.test"))]);
    let prefix = Bytes::from_static(b"Return-Path: <a@b.test>\r\n");
    let accept = Accept { envelope, prefix, verdicts: Bytes::new() };
    let receipt = incoming.commit(accept).await.unwrap();
    let (writer, number) = world.object_keys().iter().find_map(store::names::parse_ingest).unwrap();
    (receipt.record(), Slot { segment: SegmentRef::Ingest { writer, number }, index: 0 })
}

async fn make(store: &Store, id: RecordId, place: Slot, destination: &str, k: u16) {
    let now = store.engines().index.now();
    let to = ItemRecipient::new(0, format!("x{k}@{destination}"));
    let key = ItemKey { id, kind: ItemKind::Remote, destination: destination.to_owned(), k };
    // Forwarded, so that it goes to the item's own path.
    let item = Item { forwarder: "x@live0.test".into(), ..Item::new(now, place, vec![to]) };
    store.items().make(&key, &item).await.unwrap();
}

fn taken(servers: &Servers, domain: &str) -> usize {
    let taken = servers.taken.lock().unwrap();
    let of = taken.iter().filter(|(to, _)| to.ends_with(domain));
    of.map(|(to, count)| assert_eq!(*count, 1, "{to}")).count()
}

#[tokio::test(start_paused = true)]
async fn a_dead_destination_with_many_messages_delays_no_other_and_is_not_stormed() {
    const DEAD: u16 = 3_000;
    let world = World::new(WorldOptions::default());
    let store = process(&world, "one");
    let servers = Arc::new(Servers::default());
    let (id, place) = record(&world, &store).await;
    for k in 0..DEAD {
        make(&store, id, place, "dead.test", k).await;
    }
    let mut local = Local::start(&store, Functions::default());
    local.relay(&store, options(), outside(&servers, &store));
    let clock = store.engines().clock.clone();
    clock.sleep(Duration::from_secs(5)).await;
    // All of them wait behind one marker.
    let shard = DuePlace::Shard(due_shard("dead.test"));
    let far = Timestamp(u64::MAX - 1);
    let in_shard = store.items().due_until(&shard, None, far, 10_000).await.unwrap();
    let (markers, tried): (Vec<_>, Vec<_>) = in_shard.iter().partition(|due| due.is_marker());
    assert_eq!(markers.len(), 1, "{in_shard:?}");
    assert!(tried.len() <= options().per_destination_max, "{tried:?}");
    assert!(servers.calls.load(Ordering::SeqCst) <= 5);
    // What is for others leaves at once, in four writes a message [f].
    let before = store.engines().counters.counts().index_writes;
    let began = clock.instant();
    for n in 0..50 {
        for k in 0..4 {
            make(&store, id, place, &format!("live{n}.test"), k).await;
        }
    }
    while taken(&servers, "0.test") < 20 || servers.taken.lock().unwrap().len() < 200 {
        clock.sleep(Duration::from_millis(10)).await;
        assert!(clock.instant().since(began) < Duration::from_secs(3), "live mail waits");
    }
    clock.sleep(Duration::from_millis(500)).await;
    let writes = store.engines().counters.counts().index_writes - before;
    // Leases of shards, and what the dead one costs, are beside it.
    assert!(writes <= 4 * 200 + 3 * 64 + 20, "{writes} writes for 200 messages");
    // It comes back: one connection at first, and all is sent, once.
    servers.up.store(true, Ordering::SeqCst);
    servers.most_open.store(0, Ordering::SeqCst);
    clock.sleep(Duration::from_secs(3_600)).await;
    assert_eq!(taken(&servers, "dead.test"), usize::from(DEAD));
    assert!(servers.most_open.load(Ordering::SeqCst) <= options().per_destination_max);
    let left = store.items().due_until(&shard, None, far, 10).await.unwrap();
    assert_eq!(left, [], "the marker goes");
    local.drain().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_process_held_that_is_known_to_be_dead_is_taken_over_at_once() {
    let world = World::new(WorldOptions { deaths_known: true, ..WorldOptions::default() });
    let (first, second) = (process(&world, "first"), process(&world, "second"));
    let servers = Arc::new(Servers::default());
    let (id, place) = record(&world, &first).await;
    let mut dead = Local::start(&first, Functions::default());
    dead.relay(&first, options(), outside(&Arc::new(Servers::default()), &first));
    let clock = second.engines().clock.clone();
    clock.sleep(Duration::from_secs(1)).await;
    make(&first, id, place, "live1.test", 0).await;
    let mut local = Local::start(&second, Functions::default());
    local.relay(&second, options(), outside(&servers, &second));
    clock.sleep(Duration::from_millis(10)).await;
    first.engines().tasks.abort();
    // Its shards at their next renewal, its items with them.
    clock.sleep(options().shard_lease).await;
    assert_eq!(taken(&servers, "live1.test"), 1);
    let key = ItemKey { id, kind: ItemKind::Remote, destination: "live1.test".into(), k: 0 };
    let (item, _) = second.items().get(&key).await.unwrap().unwrap();
    assert_eq!((item.state, &*item.history[0].words), (ItemState::Delivered, "unknown"));
    local.drain().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_held_is_held_when_its_try_has_ended() {
    let world = World::new(WorldOptions::default());
    let store = process(&world, "one");
    let servers = Arc::new(Servers::default());
    let (id, place) = record(&world, &store).await;
    let mut local = Local::start(&store, Functions::default());
    local.relay(&store, options(), outside(&servers, &store));
    let clock = store.engines().clock.clone();
    clock.sleep(Duration::from_secs(1)).await;
    let names = ["dead.test", "live1.test"];
    let keys = names.map(|name| ItemKey {
        id,
        kind: ItemKind::Remote,
        destination: name.to_owned(),
        k: 0,
    });
    for name in names {
        make(&store, id, place, name, 0).await;
    }
    clock.sleep(Duration::from_millis(10)).await;
    for key in &keys {
        let (item, version) = store.items().get(key).await.unwrap().unwrap();
        assert!(item.lease.is_some());
        store.items().update(key, &Item { hold: true, ..item }, version).await.unwrap();
    }
    clock.sleep(Duration::from_secs(1)).await;
    servers.up.store(true, Ordering::SeqCst);
    clock.sleep(Duration::from_secs(3_600)).await;
    let (dead, version) = store.items().get(&keys[0]).await.unwrap().unwrap();
    let (live, _) = store.items().get(&keys[1]).await.unwrap().unwrap();
    assert_eq!((live.state, taken(&servers, "live1.test")), (ItemState::Delivered, 1));
    assert!(dead.lease.is_none() && !dead.hold);
    assert_eq!(dead.state, ItemState::Held);
    let now = store.engines().index.now();
    let released = Item { state: ItemState::Waiting, due: now, ..dead };
    store.items().update(&keys[0], &released, version).await.unwrap();
    clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(taken(&servers, "dead.test"), 1);
    local.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_destination_gets_so_many_a_minute_and_no_other_waits_for_it() {
    let world = World::new(WorldOptions::default());
    let store = process(&world, "one");
    let servers = Arc::new(Servers::default());
    let (id, place) = record(&world, &store).await;
    let mut local = Local::start(&store, Functions::default());
    let rates = BTreeMap::from([("live1.test".to_owned(), 60), ("live2.test".to_owned(), 2)]);
    local.relay(&store, Options { rates, ..options() }, outside(&servers, &store));
    let clock = store.engines().clock.clone();
    clock.sleep(Duration::from_secs(1)).await;
    for k in 0..30 {
        for n in 1..4 {
            make(&store, id, place, &format!("live{n}.test"), k).await;
        }
    }
    clock.sleep(Duration::from_secs(10)).await;
    let count = |name| taken(&servers, name);
    assert_eq!((count("live3.test"), count("live2.test")), (30, 1));
    assert!((14..=18).contains(&count("live1.test")), "{}", count("live1.test"));
    clock.sleep(Duration::from_secs(18)).await;
    assert_eq!((count("live1.test"), count("live2.test")), (30, 1));
    clock.sleep(Duration::from_secs(15 * 60)).await;
    assert_eq!(count("live2.test"), 30);
    local.drain().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_process_began_is_taken_over_with_unknown_recorded() {
    let world = World::new(WorldOptions::default());
    let (first, second) = (process(&world, "first"), process(&world, "second"));
    let servers = Arc::new(Servers::default());
    let (id, place) = record(&world, &first).await;
    let mut dead = Local::start(&first, Functions::default());
    let never = Arc::new(Servers::default());
    dead.relay(&first, options(), outside(&never, &first));
    let clock = second.engines().clock.clone();
    clock.sleep(Duration::from_secs(1)).await;
    make(&first, id, place, "live1.test", 0).await;
    let key = ItemKey { id, kind: ItemKind::Remote, destination: "live1.test".into(), k: 0 };
    let (begun, _) = first.items().get(&key).await.unwrap().unwrap();
    assert!(begun.lease.is_some(), "its maker's relay holds the first lease");
    // It dies in the middle of the connection.
    clock.sleep(Duration::from_millis(10)).await;
    first.engines().tasks.abort();
    let mut local = Local::start(&second, Functions::default());
    local.relay(&second, options(), outside(&servers, &second));
    clock.sleep(Duration::from_secs(600)).await;
    assert_eq!(taken(&servers, "live1.test"), 0, "the lease runs");
    clock.sleep(Duration::from_secs(3_600)).await;
    assert_eq!(taken(&servers, "live1.test"), 1);
    let (item, _) = second.items().get(&key).await.unwrap().unwrap();
    assert_eq!(item.state, ItemState::Delivered);
    assert_eq!(item.history[0].words, "unknown");
    local.drain().await;
}
