//! `kill -9` of relay, bounce, deliver and an edge in turn, each a process of its own, while users
//! send mail outside: every acknowledged recipient has the message, or an item that is worked, or one
//! report; twice only after an outcome that is recorded as unknown (I1, I6, R8).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tests::cluster::Cluster;
use tests::imap::Imap;
use tests::ledger::{Fate, Ledger, Outside};
use tests::message::{id_of, message};
use tests::office::PASSWORD;
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

fn cluster(sink: &Sink) -> Cluster {
    let more = format!(
        "[relay]\nmx = false\nretry = \"200ms\"\nretry_max = \"1s\"\nlease = \"3s\"\nmargin = \"1s\"\n\
         shard_lease = \"1s\"\npoll = \"300ms\"\n\n[routes.\"far.test\"]\nhosts = [\"{}\"]\n",
        sink.address()
    );
    Cluster::start_with(&SPLIT, &more)
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
        let names: Vec<_> = (0..=seeded.below(3))
            .map(|n| match seeded.below(4) {
                0 => format!("no{n}@far.test"),
                _ => format!("yes{n}@far.test"),
            })
            .collect();
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

/// What is at the sink and in the sender's mailbox by now.
fn found(sink: &Sink, imap: &mut Imap) -> BTreeMap<Pair, Outside> {
    let mut all: BTreeMap<Pair, Outside> = BTreeMap::new();
    for one in sink.received() {
        let id = id_of(&one.content).unwrap();
        for recipient in one.recipients {
            all.entry((recipient, id.clone())).or_default().copies += 1;
        }
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

#[test]
fn each_outside_recipient_has_the_message_or_one_report_over_100_kills() {
    let sink = Sink::start();
    sink.add(Rule::say(At::Recipient, "550 5.1.1 No such user").holds("<no"));
    // Some answers are lost after the message was taken, some connections before.
    sink.add(Rule::new(At::End, Act::KeepAndClose).holds("X-Test-Id: out-1").times(10));
    sink.add(Rule::new(At::End, Act::Close).holds("X-Test-Id: out-2").times(10));
    sink.add(Rule::say(At::End, "451 4.3.0 Not now").holds("X-Test-Id: out-3").times(20));
    let mut cluster = cluster(&sink);
    let mut known = Known::default();
    for round in 0..100 {
        let name = KILLED[usize::try_from(round).unwrap() % KILLED.len()];
        let to = cluster.listener("edge", "submissions");
        known.merge(burst(to, round, || cluster.kill(name)));
        cluster.restart(name);
    }
    let mut imap = Imap::login(cluster.listener("edge", "imap"), SENDER, PASSWORD).unwrap();
    let ledger = &known.ledger;
    let all = wait::until("every recipient to have the message or a report", || {
        wait::pause(Duration::from_millis(300));
        Some(found(&sink, &mut imap)).filter(|all| ledger.is_settled(all))
    });
    let (mut recorded, mut unanswered) = (0, 0);
    let sent = ledger.judge_sent(&all, |(_, id)| match known.records.get(id) {
        Some(record) => {
            recorded += 1;
            unknown(&cluster, record)
        }
        // Its sender was not told its record, so that its past cannot be looked at.
        None => {
            unanswered += 1;
            true
        }
    });
    assert!(sent.is_clean(), "{sent:#?}");
    // RFC 3461: who is not there has no copy, who is there no report.
    for ((recipient, id), known) in &all {
        let wrong = if recipient.starts_with("no") { known.copies } else { known.reports };
        assert_eq!(wrong, 0, "{recipient} of {id}: {known:?}");
    }
    let acknowledged = ledger.count(Fate::Acknowledged);
    assert!(acknowledged > 1_000, "the load was too light: {acknowledged} acknowledged");
    println!(
        "100 kills: {acknowledged} recipients acknowledged, {} without an answer, {} reports, {recorded} \
         there twice after a recorded unknown, {unanswered} after none that can be looked at",
        ledger.count(Fate::Unknown),
        all.values().map(|one| one.reports).sum::<usize>()
    );
}
