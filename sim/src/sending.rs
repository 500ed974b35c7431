//! Sending, played from a seed: real relays and bounces, several at once, that crash, hang and are cut
//! off, on a store that fails, forgets and delays, before a scripted remote world that refuses, stalls,
//! hangs up, and takes mail without saying so.
//!
//! In the end every acknowledged recipient outside was delivered to, or its sender has exactly one
//! report; a message was sent again only after "unknown" was recorded (I1, I6, [a] to [e]). Who asked
//! to be told of success (RFC 3461), of recipients here too, has heard of it once.

mod check;
mod remote;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::memory::{Faults, Options as WorldOptions, World};
use functions::bounce::Identity;
use functions::egress::Egress;
use functions::host::local::{Functions, Local};
use functions::relay::{Options, Outside};
use functions::routes::{Route, Routes};
use mail::{Domain, Envelope, Notify, Path, Recipient};
use net::send::{Reach, Security};
use store::rows::{AccountRow, AddressRow, DirectoryChange, DomainRow};
use store::{Accept, Store};
use tests::ledger::Fate;

use crate::dice::Dice;
use crate::mood::Mood;
use crate::people::{self, ACCOUNTS, DOMAIN};
use crate::play::{Counts, Outcome};
use remote::Remote;

/// Domains outside, and how each answers: see [`remote`].
pub(crate) const OUTSIDE: [&str; 3] = ["far.test", "moody.test", "away.test"];

/// How long the hostile phase lasts, in virtual time.
const HOSTILE: Duration = Duration::from_secs(60);

/// Store calls of one run (I8).
const CALLS_MAX: u64 = 1_500_000;

/// Every process, and what it does: deliver, relay, bounce.
const PROCESSES: [(&str, bool, bool, bool); 4] = [
    // Makes items and relays them itself: the first lease is given at once [f].
    ("office", true, true, true),
    ("relay-1", false, true, false),
    ("relay-2", false, true, true),
    ("deliver", true, false, false),
];

/// What people know: (recipient, id) → what was asked, fate.
pub(crate) type Sent = Arc<Mutex<BTreeMap<(String, String), (Notify, Fate)>>>;

/// Whoever is here gets mail too.
pub(crate) const HERE: &str = "bob@example.test";

/// Plays a seed.
pub(crate) fn seed(seed: u64, traced: bool) -> Outcome {
    let trace = Arc::new(Mutex::new(String::new()));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else {
        let wrong = vec!["no runtime".to_owned()];
        return Outcome { wrong, trace: String::new(), counts: Counts::default() };
    };
    let lines = trace.clone();
    let (wrong, counts) = runtime.block_on(async {
        // Half of them know at once who has crashed; the others wait until leases end.
        let deaths_known = seed / 2 % 2 == 1;
        let options =
            WorldOptions { seed, calls_max: CALLS_MAX, deaths_known, ..WorldOptions::default() };
        let world = World::new(options);
        if traced {
            world.trace(move |line| {
                if let Ok(mut lines) = lines.lock() {
                    lines.push_str(line);
                    lines.push('\n');
                }
            });
        }
        let mut play = Play::new(world.clone(), seed);
        let played = play.run().await;
        let mut wrong =
            played.unwrap_or_else(|error| vec![format!("could not be set up: {error}")]);
        if world.calls() > CALLS_MAX {
            wrong.push(format!("I8: no rest after {CALLS_MAX} store calls"));
        }
        (wrong, play.counts(world.calls()))
    });
    let trace = trace.lock().map_or_else(|_| String::new(), |mut trace| std::mem::take(&mut trace));
    Outcome { wrong, trace, counts }
}

struct Play {
    world: World,
    seed: u64,
    dice: Dice,
    remote: Arc<Remote>,
    sent: Sent,
    running: BTreeMap<&'static str, (Store, Local)>,
    edges: Vec<Store>,
}

impl Play {
    fn new(world: World, seed: u64) -> Self {
        let remote = Arc::new(Remote::new(seed));
        let dice = Dice::new(seed, "sending");
        Self {
            world,
            seed,
            dice,
            remote,
            sent: Sent::default(),
            running: BTreeMap::new(),
            edges: Vec::new(),
        }
    }

    fn counts(&self, steps: u64) -> Counts {
        let fates = |sent: std::sync::MutexGuard<'_, BTreeMap<_, (Notify, Fate)>>| {
            sent.values().map(|(_, fate)| *fate).collect::<Vec<_>>()
        };
        let sent = self.sent.lock().map(fates);
        Counts::of_sending(&sent.unwrap_or_default(), steps)
    }

    async fn run(&mut self) -> Result<Vec<String>, store::directory::DirectoryError> {
        for (name, ..) in PROCESSES {
            self.start(name);
        }
        self.furnish().await?;
        for number in 0..3 {
            let Some((store, _)) = self.running.get("office") else { continue };
            let dice = Dice::new(self.seed, &format!("sender {number}"));
            // An edge of their own, which does not crash here.
            let store = Store::new(self.world.process("edge"), store.options().clone());
            let tasks = store.engines().tasks.clone();
            tasks.spawn("sender", sender(store.clone(), self.sent.clone(), dice, number));
            self.edges.push(store);
        }
        self.reign().await;
        self.world.set_faults(Faults::default());
        self.remote.heal();
        for (name, ..) in PROCESSES {
            self.world.cut(name, false);
            self.start(name);
        }
        let Some((store, _)) = self.running.get("office") else { return Ok(Vec::new()) };
        Ok(check::settled(&self.world, store, &self.remote, &self.sent).await)
    }

    fn start(&mut self, name: &'static str) {
        self.crash(name);
        let Some((_, deliver, relay, bounce)) = PROCESSES.iter().find(|one| one.0 == name) else {
            return;
        };
        self.world.note(&format!("start {name}"));
        let mut options = crate::office::options(name, Mood::default());
        // What was sent stays readable: the judgement asks which message each item was.
        options.timing.backup_interval = Duration::from_secs(48 * 3_600);
        // Due rows are kept by the order of writes [a]; what only an audit mends is a bug, which
        // half of the seeds see.
        if self.seed % 2 == 1 {
            options.timing.audit = Duration::from_secs(48 * 3_600);
        }
        let store = Store::new(self.world.process(name), options);
        // Sweeps bring what an event did not.
        let sweeps = name == "deliver" || name == "office";
        let functions = Functions { deliver: *deliver, maintain: sweeps, replicate: sweeps };
        let mut local = Local::start(&store, functions);
        if *relay {
            local.relay(&store, relay_options(), outside(&self.remote, &store));
        }
        if *bounce {
            let identity = Identity {
                host: "mx.example.test".into(),
                domain: DOMAIN.into(),
                forwarding: None,
            };
            local.bounce(&store, relay_options(), identity);
        }
        self.running.insert(name, (store, local));
    }

    fn crash(&mut self, name: &str) {
        if let Some((store, _)) = self.running.remove(name) {
            self.world.note(&format!("crash {name}"));
            store.engines().tasks.abort();
        }
    }

    async fn furnish(&self) -> Result<(), store::directory::DirectoryError> {
        let Some((store, _)) = self.running.get("office") else { return Ok(()) };
        let domain = Domain::parse(DOMAIN).expect("the simulation's domain is one");
        let mut changes = vec![DirectoryChange::Domain(domain, DomainRow::new())];
        for name in ACCOUNTS {
            let account = people::account(name);
            let row = AccountRow::new("home", account.epoch.0, people::address(name));
            changes.push(DirectoryChange::Account(account.id, Box::new(row)));
            let row = AddressRow::Account(account.id);
            changes.push(DirectoryChange::Address(people::address(name), row));
        }
        store.directory().change(changes).await?;
        store.directory().apply_new().await.map(|_| ())
    }

    async fn reign(&mut self) {
        let faults = Faults {
            failed: 10,
            lost_done: 15,
            lost_dropped: 15,
            lost_late: 15,
            late_max: Duration::from_secs(4),
            repeated: 10,
            read_failed: 10,
            read_stale: 50,
            slow: 100,
            slow_max: Duration::from_millis(300),
            event_lost: 200,
            event_doubled: 50,
            event_late: 100,
            event_late_max: Duration::from_secs(3),
            ..Faults::default()
        };
        self.world.set_faults(faults);
        let engines = self.world.process("chaos");
        let over = engines.clock.instant().after(HOSTILE);
        while engines.clock.instant() < over {
            engines.clock.sleep(self.dice.millis(100, 2_500)).await;
            let (name, ..) = PROCESSES[self.dice.below(PROCESSES.len())];
            match self.dice.below(10) {
                0..=2 => self.start(name),
                3..=6 => self.world.stall(name, self.dice.millis(500, 12_000)),
                7 => {
                    self.world.cut(name, true);
                    engines.clock.sleep(self.dice.millis(100, 3_000)).await;
                    self.world.cut(name, false);
                }
                8 => self.world.jump(if self.dice.percent(50) { 7_000 } else { -5_000 }),
                _ => self.remote.turn(),
            }
        }
    }
}

/// Times shrunk, and bounds so small that destinations get places of their own.
fn relay_options() -> Options {
    let ms = Duration::from_millis;
    let egress = |name: &str, network: &str| Egress {
        name: name.into(),
        source: None,
        public: None,
        hello: format!("{name}.example.test"),
        network: network.into(),
        region: "home".into(),
    };
    Options {
        egresses: vec![egress("e1", "n1"), egress("e2", "n2")],
        lifetime: ms(40_000),
        warn_after: ms(15_000),
        retry_min: ms(300),
        retry_max: ms(4_000),
        lease: ms(6_000),
        dot_margin: ms(2_000),
        shard_lease: ms(2_000),
        poll: ms(700),
        review: ms(5_000),
        connections_max: 8,
        per_destination_max: 3,
        messages_max: 4,
        waiting_max: 3,
        waiting_all_max: 40,
        ..Options::default()
    }
}

fn outside(remote: &Arc<Remote>, store: &Store) -> Outside {
    let port = |number: usize| u16::try_from(number + 1).unwrap_or(1);
    let routes = OUTSIDE.iter().enumerate().map(|(number, domain)| {
        let hosts = vec![("127.0.0.1".to_owned(), port(number))];
        let route = Route { hosts, security: Security::Never, login: None };
        ((*domain).to_owned(), route)
    });
    let clock = store.engines().clock.clone();
    Outside {
        dialer: Arc::new(remote::Lines::new(remote.clone(), clock)),
        routes: Routes::new(
            routes.collect(),
            false,
            Reach::Anywhere,
            std::collections::BTreeSet::new(),
            Arc::new(remote::NoNames),
        ),
        forwarding: None,
        spf: None,
    }
}

/// Submits messages to outside addresses.
async fn sender(store: Store, sent: Sent, mut dice: Dice, number: usize) {
    let clock = store.engines().clock.clone();
    for count in 0..12 {
        clock.sleep(dice.millis(100, 6_000)).await;
        let id = format!("out-{number}-{count}");
        let mut to = Vec::new();
        for local in ["a", "b", "c"] {
            if to.is_empty() || dice.percent(30) {
                let domain = OUTSIDE[dice.below(OUTSIDE.len())];
                to.push((format!("{local}@{domain}"), notify(&mut dice)));
            }
        }
        if dice.percent(30) {
            to.push((HERE.to_owned(), notify(&mut dice)));
        }
        let note = |fate| {
            if let Ok(mut sent) = sent.lock() {
                for (to, notify) in &to {
                    sent.insert((to.clone(), id.clone()), (*notify, fate));
                }
            }
        };
        note(Fate::Unknown);
        note(send(&store, &to, &id).await);
    }
}

/// What a sender asks of a recipient.
fn notify(dice: &mut Dice) -> Notify {
    let success = Notify::SUCCESS;
    let some = [Notify::NEVER, success, success.with(Notify::FAILURE), Notify::FAILURE];
    if dice.percent(50) { Notify::UNSAID } else { some[dice.below(some.len())] }
}

async fn send(store: &Store, to: &[(String, Notify)], id: &str) -> Fate {
    let Ok(mut incoming) = store.ingest().begin().await else { return Fate::Refused };
    if incoming.write(&tests::message::message(id)).await.is_err() {
        return Fate::Refused;
    }
    let path = |text: &str| Path::parse(text).expect("addresses of the simulation are paths");
    let recipient =
        |(to, notify): &(String, Notify)| Recipient { notify: *notify, ..Recipient::new(path(to)) };
    let recipients = to.iter().map(recipient).collect();
    let sender = path(&format!("{}@{DOMAIN}", ACCOUNTS[0]));
    let accept = Accept {
        envelope: Envelope::new(Some(sender), recipients),
        prefix: Bytes::from_static(b"Return-Path: <ana@example.test>\r\nReceived: here\r\n"),
        verdicts: Bytes::new(),
    };
    match incoming.commit(accept).await {
        Ok(_receipt) => Fate::Acknowledged,
        Err(store::AcceptError::Unknown) => Fate::Unknown,
        Err(_) => Fate::Refused,
    }
}
