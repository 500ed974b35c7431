//! `kill -9` at random moments under load: what got 250 or OK is there exactly once, what was
//! refused is not, UIDs never change (I1, I3, I6).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tests::cluster::Cluster;
use tests::imap::Imap;
use tests::ledger::{Fate, Ledger};
use tests::message::{ID_FIELD, message, sized};
use tests::office::{Office, PASSWORD};
use tests::seeded::Seeded;
use tests::smtp::Smtp;
use tests::wait;

const USER: &str = "alice@example.test";

/// Mailboxes that the load uses.
const MAILBOXES: [&str; 3] = ["INBOX", "Archive", "Drafts"];

/// Ids that no other message of this run has.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn fresh(kind: &str) -> String {
    format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What one round's clients know.
#[derive(Default)]
struct Round {
    ledger: Ledger,
    /// Removal acknowledged: must never be found again.
    gone: BTreeSet<String>,
    /// Removal asked for and not answered: may be gone.
    perhaps: BTreeSet<String>,
    /// `\Flagged` acknowledged.
    flagged: BTreeSet<String>,
    /// Move to Archive acknowledged.
    archived: BTreeSet<String>,
}

impl Round {
    fn merge(&mut self, other: Self) {
        self.ledger.merge(other.ledger);
        self.gone.extend(other.gone);
        self.perhaps.extend(other.perhaps);
        self.flagged.extend(other.flagged);
        self.archived.extend(other.archived);
    }
}

/// Sends until the connection breaks, or it is to stop.
fn sender(to: SocketAddr, large: bool, stop: &AtomicBool) -> Round {
    let mut round = Round::default();
    let Ok(mut smtp) = Smtp::connect(to) else { return round };
    while !stop.load(Ordering::Relaxed) {
        let id = fresh("smtp");
        let text = if large { sized(&id, 1_400_000) } else { message(&id) };
        match smtp.send("ana@sender.test", &[USER], &text) {
            Ok(reply) if reply.code == 250 => round.ledger.note(USER, &id, Fate::Acknowledged),
            Ok(_) => round.ledger.note(USER, &id, Fate::Refused),
            Err(_) => {
                round.ledger.note(USER, &id, Fate::Unknown);
                return round;
            }
        }
    }
    round
}

/// Which messages are a client's to touch: of so many clients, those of this one. Two that touch the
/// same message would each be right in what the other makes wrong.
#[derive(Clone, Copy)]
struct Mine {
    number: u64,
    of: u64,
}

impl Mine {
    fn has(self, id: &str) -> bool {
        id.bytes().map(u64::from).sum::<u64>() % self.of == self.number
    }
}

/// A client that appends, flags, moves and expunges until the connection breaks, or it is to stop.
fn client(to: SocketAddr, seed: u64, mine: Mine, stop: &AtomicBool) -> Round {
    let mut round = Round::default();
    let mut seeded = Seeded::new(seed);
    let Ok(mut imap) = Imap::login(to, USER, PASSWORD) else { return round };
    while !stop.load(Ordering::Relaxed) && step(&mut imap, &mut seeded, mine, &mut round).is_ok() {}
    round
}

fn step(imap: &mut Imap, seeded: &mut Seeded, mine: Mine, round: &mut Round) -> io::Result<()> {
    let id = fresh("append");
    let large = seeded.below(5) == 0;
    let text = if large { sized(&id, 60_000) } else { message(&id) };
    match imap.append("Drafts", "", &text) {
        Ok(answer) if answer.status == "OK" => round.ledger.note(USER, &id, Fate::Acknowledged),
        Ok(_) => round.ledger.note(USER, &id, Fate::Refused),
        Err(error) => {
            round.ledger.note(USER, &id, Fate::Unknown);
            return Err(error);
        }
    }
    let from = if seeded.below(2) == 0 { "INBOX" } else { "Drafts" };
    imap.select(from)?;
    let mut all = listed(imap)?;
    all.retain(|(_, id)| mine.has(id));
    let Some((uid, id)) = seeded.one_of(&all).cloned() else { return Ok(()) };
    match seeded.below(3) {
        0 => {
            imap.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Flagged)"))?.ok()?;
            round.flagged.insert(id);
        }
        1 => {
            imap.command(&format!("UID MOVE {uid} Archive"))?.ok()?;
            round.archived.insert(id);
        }
        _ => {
            round.perhaps.insert(id.clone());
            imap.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?.ok()?;
            imap.command(&format!("UID EXPUNGE {uid}"))?.ok()?;
            round.gone.insert(id);
        }
    }
    Ok(())
}

/// (UID, id) of each message of the selected mailbox.
fn listed(imap: &mut Imap) -> io::Result<Vec<(u32, String)>> {
    Ok(rows(imap)?.into_iter().map(|(uid, id, _)| (uid, id)).collect())
}

/// (UID, id, whether flagged) of each message of the selected mailbox.
fn rows(imap: &mut Imap) -> io::Result<Vec<(u32, String, bool)>> {
    let command = format!("UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS ({ID_FIELD})])");
    let answer = imap.command(&command)?.ok()?;
    let mut rows = Vec::new();
    for line in answer.lines() {
        let Some((_, rest)) = line.split_once("UID ") else { continue };
        let uid = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
        let id =
            line.split_once(&format!("\n{ID_FIELD}: ")).and_then(|(_, rest)| rest.lines().next());
        let (Some(uid), Some(id)) = (uid, id) else {
            return Err(io::Error::other(format!("odd line: {line}")));
        };
        rows.push((uid, id.trim().to_owned(), line.contains("\\Flagged")));
    }
    Ok(rows)
}

/// What was ever seen: (mailbox, UIDVALIDITY, UID) never means two messages.
#[derive(Default)]
struct Seen(BTreeMap<(String, String, u32), String>);

/// Reads all mailboxes and checks them against what the clients know.
fn verify(imap_at: SocketAddr, known: &Round, seen: &mut Seen, what: &str) {
    let mut imap = Imap::login(imap_at, USER, PASSWORD).unwrap();
    let mut found = Vec::new();
    let mut places: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for mailbox in MAILBOXES {
        let answer = imap.command(&format!("SELECT {mailbox}")).unwrap().ok().unwrap();
        let validity = answer.code("UIDVALIDITY").unwrap();
        let mut last = 0;
        for (uid, id, flagged) in rows(&mut imap).unwrap() {
            assert!(uid > last, "{what}: UIDs of {mailbox} do not go up");
            last = uid;
            let key = (mailbox.to_owned(), validity.clone(), uid);
            let meant = seen.0.entry(key).or_insert_with(|| id.clone());
            assert_eq!(*meant, id, "{what}: UID {uid} of {mailbox} meant another message (I3)");
            found.push((USER.to_owned(), id.clone()));
            places.insert(id, (mailbox.to_owned(), flagged));
        }
    }
    let removed = known.perhaps.iter().map(|id| (USER.to_owned(), id.clone())).collect();
    let verdict = known.ledger.judge(&found, &removed);
    assert!(verdict.is_clean(), "{what}: {verdict:#?}");
    for id in &known.gone {
        assert!(
            !places.contains_key(id),
            "{what}: {id} was expunged and is back in {:?}; moved: {}",
            places.get(id),
            known.archived.contains(id)
        );
    }
    for id in &known.flagged {
        let flag = places.get(id).is_none_or(|(_, flagged)| *flagged);
        assert!(flag, "{what}: {id} lost its flag");
    }
    for id in &known.archived {
        let there = places.get(id).is_none_or(|(mailbox, _)| mailbox == "Archive");
        assert!(there, "{what}: {id} was moved to Archive and is in {:?}", places.get(id));
    }
}

/// Waits until everything acknowledged is visible, so that what is late is not called lost.
fn settle(imap_at: SocketAddr, known: &Round) {
    wait::until("everything acknowledged to be visible", || {
        let mut imap = Imap::login(imap_at, USER, PASSWORD).ok()?;
        let mut ids = BTreeSet::new();
        for mailbox in MAILBOXES {
            imap.select(mailbox).ok()?;
            ids.extend(listed(&mut imap).ok()?.into_iter().map(|(_, id)| (USER.to_owned(), id)));
        }
        let removed = known.perhaps.iter().map(|id| (USER.to_owned(), id.clone())).collect();
        let found: Vec<_> = ids.into_iter().collect();
        known.ledger.judge(&found, &removed).lost.is_empty().then_some(())
    });
}

/// One burst of load on these addresses, ended by `kill` after a while; what its clients know.
fn burst(smtp: &[SocketAddr], imap: &[SocketAddr], seed: u64, kill: impl FnOnce()) -> Round {
    let mut seeded = Seeded::new(seed);
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for (number, &to) in smtp.iter().cycle().take(4).enumerate() {
            clients.push(scope.spawn(move || sender(to, number == 3, stop)));
        }
        let of = u64::try_from(imap.len()).unwrap();
        for (number, &to) in (0..).zip(imap) {
            let mine = Mine { number, of };
            clients.push(scope.spawn(move || client(to, seed * 8 + number, mine, stop)));
        }
        let moment = 20 + u64::try_from(seeded.below(400)).unwrap();
        wait::pause(Duration::from_millis(moment));
        kill();
        // Who was not hit goes on for a moment.
        wait::pause(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        let mut round = Round::default();
        for client in clients {
            round.merge(client.join().unwrap());
        }
        round
    })
}

#[test]
fn nothing_acknowledged_is_lost_over_100_kills_of_one_process() {
    let mut office = Office::start();
    let mut known = Round::default();
    let mut seen = Seen::default();
    for round in 0..100 {
        let smtp = [office.listener("smtp")];
        let imap = office.listener("imap");
        let what = burst(&smtp, &[imap], round, || office.process().kill());
        known.merge(what);
        office.restart();
        let imap = office.listener("imap");
        settle(imap, &known);
        verify(imap, &known, &mut seen, &format!("round {round}"));
    }
    let acknowledged = known.ledger.count(Fate::Acknowledged);
    assert!(acknowledged > 1_000, "the load was too light: {acknowledged} acknowledged");
    println!(
        "100 kills: {acknowledged} acknowledged, {} unknown, {} moved, {} expunged",
        known.ledger.count(Fate::Unknown),
        known.archived.len(),
        known.gone.len()
    );
    office.assert_quiet(&[]);
}

/// The roles of an office, split over five processes on one store.
const SPLIT: [(&str, &str); 5] = [
    ("edge-1", "smtp submission imap http"),
    ("edge-2", "smtp submission imap http"),
    ("deliver", "deliver"),
    ("maintain", "maintain"),
    ("replicate", "replicate"),
];

#[test]
fn nothing_acknowledged_is_lost_over_100_kills_of_five_processes_in_turn() {
    let mut cluster = Cluster::start(&SPLIT);
    let mut known = Round::default();
    let mut seen = Seen::default();
    for round in 0..100 {
        let edges = ["edge-1", "edge-2"];
        let smtp = edges.map(|edge| cluster.listener(edge, "smtp"));
        let imap = edges.map(|edge| cluster.listener(edge, "imap"));
        let (name, _) = SPLIT[usize::try_from(round % 5).unwrap()];
        let what = burst(&smtp, &imap, 1_000 + round, || cluster.kill(name));
        known.merge(what);
        cluster.restart(name);
        // Both edges show the same, whoever accepted it.
        let imap = cluster.listener(edges[usize::try_from(round % 2).unwrap()], "imap");
        settle(imap, &known);
        verify(imap, &known, &mut seen, &format!("round {round}, {name} killed"));
    }
    let acknowledged = known.ledger.count(Fate::Acknowledged);
    assert!(acknowledged > 1_000, "the load was too light: {acknowledged} acknowledged");
    println!(
        "100 kills of five processes: {acknowledged} acknowledged, {} unknown, {} moved, {} expunged",
        known.ledger.count(Fate::Unknown),
        known.archived.len(),
        known.gone.len()
    );
}
