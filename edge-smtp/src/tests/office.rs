//! A small office: its directory, its store, and clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::Engines;
use engine::memory::{Ending, Faults, World};
use mail::{AccountId, Address, Domain, Timestamp};
use net::{Drain, Driver, Pace, Peer, Protocol, Service as _, Throttle, ThrottleOptions, serve};
use proto::sasl::{Mechanism, Verifier};
use proto::smtp::{Config, Limits, Role, Times};
use store::Store;
use store::rows::{
    AccountRow, AddressRow, Credentials, DirectoryChange, DkimKey, DomainRow, KeyUse,
};
use store::segment::{Index, IndexRecord, Read};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::{Options, Smtp};

pub(super) fn message(text: &str) -> String {
    format!("Subject: test\r\n\r\n{text}\r\n")
}

pub(super) struct Office {
    world: World,
    pub(super) engines: Engines,
    service: Smtp,
    pub(super) drain: Drain,
}

/// What lies in an ingest segment.
pub(super) struct Found {
    pub(super) record: String,
    pub(super) prefix: String,
    pub(super) body: String,
    pub(super) recipients: Vec<String>,
    pub(super) verdicts: mail::Verdicts,
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn account(
    number: u8,
    name: &str,
    iterations: u32,
    change: impl FnOnce(&mut AccountRow),
) -> Vec<DirectoryChange> {
    let id = AccountId([number; 16]);
    let verifier = Verifier::derive("pencil", &[7; 16], iterations).unwrap();
    let (stored, server) = verifier.parts();
    let mut row = AccountRow::new("home", 1, address(name));
    row.credentials = Credentials {
        salt: vec![7; 16],
        iterations,
        verifiers: vec![store::rows::Verifier {
            label: "password".into(),
            set: Timestamp(0),
            stored_key: *stored,
            server_key: *server,
        }],
        imported: vec![],
    };
    change(&mut row);
    vec![
        DirectoryChange::Account(id, Box::new(row)),
        DirectoryChange::Address(address(name), AddressRow::Account(id)),
    ]
}

fn alias(name: &str, targets: &[&str]) -> DirectoryChange {
    let targets = targets.iter().map(|target| address(target)).collect();
    DirectoryChange::Address(address(name), AddressRow::Alias(targets))
}

/// An Ed25519 key.
fn key(selector: &str, used: KeyUse) -> DkimKey {
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let private_key = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
    DkimKey { selector: selector.into(), private_key, used }
}

async fn fill(store: &Store, iterations: u32) {
    let mut changes = vec![
        DirectoryChange::Domain(
            Domain::parse("example.test").unwrap(),
            DomainRow { dkim: vec![key("s1", KeyUse::Signing)], ..DomainRow::new() },
        ),
        DirectoryChange::Domain(Domain::parse("catch.test").unwrap(), DomainRow::new()),
        alias("sales@example.test", &["ana@example.test"]),
        alias("both@example.test", &["ana@example.test", "bob@example.test"]),
        alias("to-full@example.test", &["full@example.test"]),
        alias("dangling@example.test", &["gone@example.test"]),
        alias("postmaster@example.test", &["ana@example.test"]),
        alias("abuse@example.test", &["ana@example.test"]),
        alias("@catch.test", &["bob@example.test"]),
        alias("away@example.test", &["x@far.test"]),
        alias("half@example.test", &["ana@example.test", "x@far.test"]),
    ];
    changes.extend(account(1, "ana@example.test", iterations, |_| {}));
    changes.extend(account(2, "bob@example.test", iterations, |_| {}));
    changes.extend(account(3, "full@example.test", iterations, |row| row.quota_bytes = Some(0)));
    changes.extend(account(4, "off@example.test", iterations, |row| row.disabled = true));
    store.directory().change(changes).await.unwrap();
}

impl Office {
    pub(super) async fn start(role: Role) -> Self {
        Self::start_with(role, 4096, ThrottleOptions::default()).await
    }

    /// Passwords cost so many iterations; guessing is slowed like that.
    pub(super) async fn start_with(role: Role, iterations: u32, throttle: ThrottleOptions) -> Self {
        Self::start_tuned(role, iterations, throttle, |_, _| {}).await
    }

    /// With other options.
    pub(super) async fn start_tuned(
        role: Role,
        iterations: u32,
        throttle: ThrottleOptions,
        tune: impl FnOnce(&mut Options, &Engines),
    ) -> Self {
        Self::build(role, iterations, throttle, engine::Work::inline(), tune).await
    }

    /// Passwords are checked there.
    pub(super) async fn start_on(
        role: Role,
        iterations: u32,
        throttle: ThrottleOptions,
        work: engine::Work,
    ) -> Self {
        Self::build(role, iterations, throttle, work, |_, _| {}).await
    }

    async fn build(
        role: Role,
        iterations: u32,
        throttle: ThrottleOptions,
        work: engine::Work,
        tune: impl FnOnce(&mut Options, &Engines),
    ) -> Self {
        let world = World::default();
        let engines = Engines { work, ..world.process("edge") };
        let store = Store::new(engines.clone(), store::Options::default());
        fill(&store, iterations).await;
        let auth = match role {
            Role::Mx => vec![],
            Role::Submission => Mechanism::ALL.to_vec(),
        };
        let core = Config {
            host: Domain::parse("mx.example.test").unwrap(),
            postmaster: Domain::parse("example.test").unwrap(),
            role,
            starttls: false,
            auth,
            dsn: false,
            limits: Limits::default(),
            times: Times::default(),
        };
        let mut options = Options { iterations, ..Options::new(Arc::new(core), vec![1; 32]) };
        tune(&mut options, &engines);
        let throttle = Throttle::new(throttle, engines.clock.clone());
        let service = Smtp::new(options, store, throttle);
        Self { world, engines, service, drain: Drain::new() }
    }

    /// A client at that address, greeted.
    pub(super) async fn connect(&self, from: &str) -> Client {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let peer = Peer::direct(SocketAddr::new(from.parse::<IpAddr>().unwrap(), 40_000));
        let (core, edge) = self.service.connect(peer, None, self.engines.clock.instant());
        let driver = Driver {
            clock: self.engines.clock.clone(),
            tls: None,
            protocol: Protocol::Smtp,
            pace: Pace::default(),
        };
        let drain = self.drain.signal();
        let task = async move {
            serve(Box::new(theirs), core, edge, Arc::new(driver), drain).await;
        };
        drop(self.engines.tasks.spawn("connection", task));
        let mut client = Client { stream: ours };
        client.reply().await.expect(220);
        client
    }

    /// Writes asked of the engines so far: of objects, of rows.
    pub(super) fn written(&self) -> (u64, u64) {
        let counts = self.engines.counters.counts();
        (counts.object_puts, counts.index_writes)
    }

    /// How long this takes.
    pub(super) async fn timed<T>(&self, doing: impl Future<Output = T>) -> Duration {
        let began = self.engines.clock.instant();
        doing.await;
        self.engines.clock.instant().since(began)
    }

    /// Lets so many seconds pass.
    pub(super) async fn pause(&self, seconds: u64) {
        self.engines.clock.sleep(Duration::from_secs(seconds)).await;
    }

    /// From now on no answer comes: writes may have happened or not.
    pub(super) fn never_answer(&self) {
        self.world.set_faults(Faults { lost_dropped: 1_000, ..Faults::default() });
    }

    /// So many more writes are answered, then none: those may have happened or not.
    pub(super) fn never_answer_after(&self, answered: usize) {
        self.never_answer();
        self.world.next_writes(std::iter::repeat_n(Ending::Answered, answered));
    }

    /// From now on the store is away.
    pub(super) fn unavailable(&self) {
        self.world.set_faults(Faults { failed: 1_000, ..Faults::default() });
    }

    /// All that is in ingest segments.
    pub(super) async fn stored(&self) -> Vec<Found> {
        let mut all = vec![];
        for key in self.world.object_keys() {
            let bytes = self.engines.objects.get(&key).await.unwrap().unwrap();
            all.extend(found(&bytes));
        }
        all
    }
}

pub(super) struct Client {
    stream: DuplexStream,
}

pub(super) struct Said {
    pub(super) text: String,
}

impl Said {
    #[track_caller]
    pub(super) fn expect(&self, code: u16) {
        assert!(self.text.starts_with(&code.to_string()), "expected {code}: {}", self.text);
    }
}

impl Client {
    pub(super) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Whether the other side still listens.
    pub(super) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// A command, and its reply.
    pub(super) async fn say(&mut self, line: &str) -> Said {
        self.send_raw(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    pub(super) async fn reply(&mut self) -> Said {
        let mut text = String::new();
        loop {
            let from = text.len();
            while !text.ends_with('\n') || text.len() == from {
                let mut byte = [0];
                let read = self.stream.read(&mut byte).await.unwrap();
                assert_eq!(read, 1, "closed after {text:?}");
                text.push(char::from(byte[0]));
            }
            if text.as_bytes()[from + 3] == b' ' {
                return Said { text };
            }
        }
    }

    /// All that comes until the other side closes.
    pub(super) async fn rest(&mut self) -> String {
        let mut text = String::new();
        self.stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Up to 354.
    pub(super) async fn begin(&mut self, sender: &str, recipients: &[&str]) {
        self.say("EHLO client.test").await.expect(250);
        self.say(&format!("MAIL FROM:{sender}")).await.expect(250);
        for recipient in recipients {
            self.say(&format!("RCPT TO:<{recipient}>")).await.expect(250);
        }
        self.say("DATA").await.expect(354);
    }

    /// A whole message without dots at line starts.
    pub(super) async fn send(&mut self, sender: &str, recipients: &[&str], text: &str) -> Said {
        self.begin(sender, recipients).await;
        self.say(&format!("{text}.")).await
    }
}

fn found(segment: &Bytes) -> Vec<Found> {
    let Ok(Read::Whole(index)) = Index::read(segment) else { panic!("no segment") };
    let read = |record: &IndexRecord| {
        let reading = record.location.reading(0..u64::MAX);
        let range = reading.own().unwrap();
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let whole = reading.finish(&segment.slice(range), &Bytes::new()).unwrap();
        let prefix = usize::try_from(record.location.prefix_bytes()).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let envelope = record.envelope.as_ref().unwrap();
        Found {
            record: record.location.id.to_string(),
            prefix: text(&whole[..prefix]),
            body: text(&whole[prefix..]),
            verdicts: mail::Verdicts::decode(&record.verdicts).unwrap(),
            recipients: envelope.recipients.iter().map(|r| r.path.to_string()).collect(),
        }
    };
    index.records.iter().map(read).collect()
}
