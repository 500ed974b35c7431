//! `kill -9` of relay, bounce, deliver and an edge in turn, each a process of its own, while users
//! send mail outside: every acknowledged recipient has the message, or an item that is worked, or one
//! report; twice only after an outcome that is recorded as unknown (I1, I6, R8).
//!
//! Three servers are behind: Debian's Postfix, which takes most; one that is scripted, which swallows
//! answers and hangs up in the middle; and one that is down until the last process was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tests::certificate::Authority;
use tests::cluster::Cluster;
use tests::imap::Imap;
use tests::ledger::{Fate, Ledger, Outside};
use tests::message::{id_of, message};
use tests::office::PASSWORD;
use tests::peer::{Postfix, Setup};
use tests::seeded::Seeded;
use tests::sink::{Act, At, Rule, Sink};
use tests::smtp::Smtp;
use tests::wait;

const SENDER: &str = "alice@example.test";

/// Roles, a process each.
const SPLIT: [(&str, &str); 6] = [
    ("relay", "relay"),
    ("bounce", "bounce"),
    ("edge", "smtp submission imap http"),
    ("deliver", "deliver"),
    ("maintain", "maintain"),
    ("replicate", "replicate"),
];

/// Whom the rounds kill, in turn.
const KILLED: [&str; 6] = ["relay", "bounce", "relay", "deliver", "relay", "edge"];

type Pair = (String, String);

/// What senders know.
#[derive(Default)]
struct Known {
    ledger: Ledger,
    /// Record of each acknowledged message, by its id.
    records: BTreeMap<String, String>,
}

impl Known {
    fn merge(&mut self, other: Self) {
        self.ledger.merge(other.ledger);
        self.records.extend(other.records);
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The servers that mail goes to.
struct Servers {
    postfix: Postfix,
    scripted: Sink,
    late: Sink,
    /// What Postfix has; what was read once is not read again.
    kept: BTreeMap<PathBuf, Pair>,
    _authority: Authority,
}

impl Servers {
    fn start() -> Self {
        let authority = Authority::new();
        let certificate = authority.issue("mx.post.test");
        let setup = Setup { domain: "post.test", at: None, next: None, certificate: &certificate };
        let postfix = Postfix::start(&setup);
        let (scripted, late) = (Sink::start(), Sink::start());
        scripted.add(Rule::say(At::Recipient, "550 5.1.1 No such user").holds("<no-such"));
        // Some answers are lost after the message was taken, some connections before.
        let after = |act, id: &str| Rule::new(At::End, act).holds(&format!("X-Test-Id: {id}"));
        scripted.add(after(Act::KeepAndClose, "out-1").times(10));
        scripted.add(after(Act::Close, "out-2").times(10));
        scripted.add(after(Act::Say("451 4.3.0 Not now".to_owned()), "out-3").times(20));
        late.set_down(true);
        Self { postfix, scripted, late, kept: BTreeMap::new(), _authority: authority }
    }

    fn cluster(&self) -> Cluster {
        let mut more =
            "[relay]\nmx = false\nretry = \"200ms\"\nretry_max = \"1s\"\nlease = \"3s\"\n\
             margin = \"1s\"\nshard_lease = \"1s\"\npoll = \"300ms\"\n"
                .to_owned();
        let (scripted, late) = (self.scripted.address(), self.late.address());
        let routes =
            [("post.test", self.postfix.address()), ("far.test", scripted), ("late.test", late)];
        for (domain, address) in routes {
            more.push_str(&format!("\n[routes.\"{domain}\"]\nhosts = [\"{address}\"]\n"));
        }
        Cluster::start_with(&SPLIT, &more)
    }

    /// Each copy that one of them has, with its recipient.
    fn copies(&mut self) -> Vec<Pair> {
        for path in self.postfix.files() {
            self.kept.entry(path).or_insert_with_key(|path| {
                let text = std::fs::read_to_string(path).unwrap();
                // The first is Postfix's own: whom it has this copy for.
                let (_, rest) = text.split_once("\nDelivered-To: ").unwrap();
                let recipient = rest.lines().next().unwrap().to_owned();
                (recipient, id_of(text.as_bytes()).unwrap())
            });
        }
        let sinks = [&self.scripted, &self.late].into_iter().flat_map(Sink::received);
        let elsewhere = sinks.flat_map(|one| {
            let id = id_of(&one.content).unwrap();
            one.recipients.into_iter().map(move |recipient| (recipient, id.clone()))
        });
        elsewhere.chain(self.kept.values().cloned()).collect()
    }
}

/// One of the servers' users, known there or not.
fn anybody(seeded: &mut Seeded, n: usize) -> String {
    let domain = ["post.test", "post.test", "post.test", "far.test", "far.test", "late.test"];
    let user = if seeded.below(4) == 0 { "no-such" } else { "yes" };
    match domain[seeded.below(domain.len())] {
        "late.test" => format!("yes{n}@late.test"),
        domain => format!("{user}{n}@{domain}"),
    }
}

/// Submits messages to one, two or three recipients, some of whom the sink does not know, until the
/// connection breaks, or it is to stop.
fn sender(to: SocketAddr, seed: u64, stop: &AtomicBool) -> Known {
    let mut known = Known::default();
    let mut seeded = Seeded::new(seed);
    let Ok(mut smtp) = Smtp::connect_tls(to) else { return known };
    if smtp.login(SENDER, PASSWORD).is_err() {
        return known;
    }
    while !stop.load(Ordering::Relaxed) {
        let id = format!("out-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let text = String::from_utf8(message(&id)).unwrap();
        let text = text.replace("ana@sender.test>\r\nTo", &format!("{SENDER}>\r\nTo"));
        let names: Vec<_> = (0..=seeded.below(3)).map(|n| anybody(&mut seeded, n)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (fate, over) = match smtp.send(SENDER, &names, text.as_bytes()) {
            Ok(reply) if reply.code == 250 => {
                let record = reply.text().rsplit(' ').next().unwrap().to_owned();
                known.records.insert(id.clone(), record);
                (Fate::Acknowledged, false)
            }
            Ok(_) => (Fate::Refused, false),
            Err(_) => (Fate::Unknown, true),
        };
        for name in names {
            known.ledger.note(name, &id, fate);
        }
        if over {
            return known;
        }
        wait::pause(Duration::from_millis(5));
    }
    known
}

fn burst(to: SocketAddr, seed: u64, kill: impl FnOnce()) -> Known {
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..2).map(|n| scope.spawn(move || sender(to, seed * 2 + n, stop))).collect();
        let moment = 60 + Seeded::new(seed).below(250);
        wait::pause(Duration::from_millis(u64::try_from(moment).unwrap()));
        kill();
        wait::pause(Duration::from_millis(30));
        stop.store(true, Ordering::Relaxed);
        let mut known = Known::default();
        for client in clients {
            known.merge(client.join().unwrap());
        }
        known
    })
}

/// What is at the servers and in the sender's mailbox by now.
fn found(servers: &mut Servers, imap: &mut Imap) -> BTreeMap<Pair, Outside> {
    let mut all: BTreeMap<Pair, Outside> = BTreeMap::new();
    for one in servers.copies() {
        all.entry(one).or_default().copies += 1;
    }
    imap.select("INBOX").unwrap();
    for (_, text) in imap.messages().unwrap() {
        let text = String::from_utf8_lossy(&text);
        let id = id_of(text.as_bytes()).unwrap_or_else(|| panic!("whose report is it?\n{text}"));
        for part in text.split("Final-Recipient: rfc822; ").skip(1) {
            let recipient = part.lines().next().unwrap().trim().to_owned();
            let failed = part.split("\r\n\r\n").next().unwrap().contains("Action: failed");
            assert!(failed, "not a final report: {part}");
            all.entry((recipient, id.clone())).or_default().reports += 1;
        }
    }
    all
}

/// Whether the past of a record tells of an outcome that is not known.
fn unknown(cluster: &Cluster, record: &str) -> bool {
    let said = cluster.admin("edge", &["trace", record, "--json"], "");
    let traces: Value = serde_json::from_str(&said).unwrap();
    let steps = traces[0]["steps"].as_array().unwrap();
    let mut tries = steps.iter().filter(|step| step["what"] == "tried");
    tries.any(|step| step["text"].as_str().unwrap().contains("unknown"))
}

/// Records that wait in an item for this destination.
fn waiting(cluster: &Cluster, domain: &str) -> BTreeSet<String> {
    let arguments = ["queue", "list", "--destination", domain, "--limit", "10000", "--json"];
    let said = cluster.admin("edge", &arguments, "");
    let items: Vec<Value> = serde_json::from_str(&said).unwrap();
    let record = |item: &Value| item["id"].as_str().unwrap().split(':').next().unwrap().to_owned();
    items.iter().map(record).collect()
}

/// Whether the recipient's server is up only at the end.
fn is_late((recipient, _): &Pair) -> bool {
    recipient.ends_with("@late.test")
}

/// What was acknowledged for the server that is down waits in an item, all of it, and nothing was
/// reported.
fn late_mail_waits(cluster: &Cluster, known: &Known, all: &mut BTreeMap<Pair, Outside>) {
    let items = waiting(cluster, "late.test");
    assert!(!all.keys().any(is_late), "a report, or a copy at a server that is down");
    let mut late = 0;
    for pair in known.ledger.acknowledged().filter(|pair| is_late(pair)) {
        let waits = items.contains(&known.records[&pair.1]);
        all.entry(pair.clone()).or_default().waits = waits;
        late += 1;
    }
    assert!(late > 100, "the load was too light: {late} for the server that is down");
}

/// The lease of what a relay was sending runs for half an hour; that its holder is dead is seen by
/// its lock file, so that the next one takes it over at once, and says that nobody knows [c].
#[test]
fn what_a_killed_relay_was_sending_is_sent_by_the_next_one_at_once() {
    let sink = Sink::start();
    sink.add(Rule::new(At::Recipient, Act::Stall).times(1));
    let more =
        format!("[relay]\nmx = false\n\n[routes.\"far.test\"]\nhosts = [\"{}\"]\n", sink.address());
    let mut cluster = Cluster::start_with(&SPLIT, &more);
    let mut smtp = Smtp::connect_tls(cluster.listener("edge", "submissions")).unwrap();
    smtp.login(SENDER, PASSWORD).unwrap();
    let text = String::from_utf8(message("out-1")).unwrap();
    let text = text.replace("ana@sender.test>\r\nTo", &format!("{SENDER}>\r\nTo"));
    let reply = smtp.send(SENDER, &["yes@far.test"], text.as_bytes()).unwrap();
    let record = reply.text().rsplit(' ').next().unwrap().to_owned();
    wait::until("the sink to hold at RCPT", || (sink.count(At::Recipient) > 0).then_some(()));
    cluster.kill("relay");
    assert!(sink.received().is_empty());
    cluster.restart("relay");
    wait::until("the next relay to send it", || (sink.received().len() == 1).then_some(()));
    assert!(unknown(&cluster, &record), "the takeover is not in its past");
}

#[test]
fn each_outside_recipient_has_the_message_or_one_report_over_100_kills() {
    let mut servers = Servers::start();
    let mut cluster = servers.cluster();
    let mut known = Known::default();
    for round in 0..100 {
        let name = KILLED[usize::try_from(round).unwrap() % KILLED.len()];
        let to = cluster.listener("edge", "submissions");
        known.merge(burst(to, round, || cluster.kill(name)));
        cluster.restart(name);
    }
    let mut imap = Imap::login(cluster.listener("edge", "imap"), SENDER, PASSWORD).unwrap();
    let prompt = known.ledger.without(is_late);
    let mut all = wait::until("every recipient to have the message or a report", || {
        wait::pause(Duration::from_millis(300));
        Some(found(&mut servers, &mut imap)).filter(|all| prompt.is_settled(all))
    });
    late_mail_waits(&cluster, &known, &mut all);
    let mut pasts = Pasts::default();
    pasts.judge(&cluster, &known, &all);
    servers.late.set_down(false);
    let all = wait::until("the late ones to have their messages", || {
        wait::pause(Duration::from_millis(300));
        Some(found(&mut servers, &mut imap)).filter(|all| known.ledger.is_settled(all))
    });
    pasts.judge(&cluster, &known, &all);
    for domain in ["post.test", "far.test", "late.test"] {
        wait::until(&format!("no item to wait for {domain}"), || {
            waiting(&cluster, domain).is_empty().then_some(())
        });
    }
    let acknowledged = known.ledger.count(Fate::Acknowledged);
    assert!(acknowledged > 1_000, "the load was too light: {acknowledged} acknowledged");
    println!(
        "100 kills: {acknowledged} recipients acknowledged, {} without an answer, {} copies at postfix, \
         {} reports, {} there twice after a recorded unknown, {} after none that can be looked at",
        known.ledger.count(Fate::Unknown),
        servers.kept.len(),
        all.values().map(|one| one.reports).sum::<usize>(),
        pasts.count(true),
        pasts.count(false),
    );
}

/// What was learned of recipients who have a message twice: whether an outcome is recorded as not
/// known. `None` where the record is not known, so that its past cannot be looked at.
#[derive(Default)]
struct Pasts(BTreeMap<Pair, Option<bool>>);

impl Pasts {
    /// Nothing may be wrong but what was recorded as not known.
    fn judge(&mut self, cluster: &Cluster, known: &Known, all: &BTreeMap<Pair, Outside>) {
        let sent = known.ledger.judge_sent(all, |pair| {
            let past = self.0.entry(pair.clone()).or_insert_with(|| {
                known.records.get(&pair.1).map(|record| unknown(cluster, record))
            });
            past.unwrap_or(true)
        });
        assert!(sent.is_clean(), "{sent:#?}");
        // RFC 3461: who is not there has no copy, who is there no report.
        for ((recipient, id), known) in all {
            let wrong = if recipient.starts_with("no-such") { known.copies } else { known.reports };
            assert_eq!(wrong, 0, "{recipient} of {id}: {known:?}");
        }
    }

    /// How many there are whose past is known, or is not.
    fn count(&self, known: bool) -> usize {
        self.0.values().filter(|past| past.is_some() == known).count()
    }
}
