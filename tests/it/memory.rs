//! Memory that runs out: a process that gets no more ends as if it was killed, and what it had
//! acknowledged is there (H3).

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tests::ledger::{Fate, Ledger};
use tests::message::{id_of, sized};
use tests::office::Office;
use tests::smtp::Smtp;
use tests::wait;

/// What a process may write to beyond what it has: by turns more, so that it ends at different points.
const MORE_BYTES: [u64; 3] = [2 << 20, 8 << 20, 24 << 20];

/// Connections that send at once.
const SENDERS: usize = 24;

/// Lets the process have no more memory of its own than what it has and this.
fn limit(office: &Office, more: u64) {
    let pid = office.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    let kib: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    let bytes = kib * 1024 + more;
    let (pid, limit) = (pid.to_string(), format!("--data={bytes}"));
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(status.success());
}

/// Sends messages of many sizes until nobody answers.
fn send(office: &Office, (round, sender): (usize, usize), over: &AtomicBool) -> Ledger {
    let mut ledger = Ledger::default();
    let to = office.listener("smtp");
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let Ok(mut smtp) = Smtp::connect(to) else {
            wait::pause(std::time::Duration::from_millis(5));
            continue;
        };
        loop {
            number += 1;
            let id = format!("memory-{round}-{sender}-{number}");
            let size = [300, 200_000, 900_000, 5_000_000][(sender + number) % 4];
            let sent = smtp.send("ana@sender.test", &["alice@example.test"], &sized(&id, size));
            let fate = match &sent {
                Ok(reply) if reply.code == 250 => Fate::Acknowledged,
                Ok(_) => Fate::Refused,
                Err(_) => Fate::Unknown,
            };
            ledger.note("alice", &id, fate);
            if fate != Fate::Acknowledged || over.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    ledger
}

#[test]
fn who_gets_no_more_memory_loses_nothing_acknowledged() {
    let mut office = Office::start();
    let mut ledger = Ledger::default();
    let ended = AtomicUsize::new(0);
    for (round, more) in MORE_BYTES.into_iter().enumerate() {
        let over = AtomicBool::new(false);
        let found = Mutex::new(Ledger::default());
        limit(&office, more);
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (office, over, found) = (&office, &over, &found);
                scope.spawn(move || {
                    let mine = send(office, (round, sender), over);
                    found.lock().unwrap().merge(mine);
                });
            }
            // It ends by itself, or copes: both are right.
            let pid = office.pid();
            for _ in 0..60 {
                wait::pause(std::time::Duration::from_millis(100));
                let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
                if status.map_or(true, |status| status.contains("State:\tZ")) {
                    ended.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        ledger.merge(found.into_inner().unwrap());
        office.kill();
        office.restart();
    }
    let found = wait::until("all that was acknowledged", || {
        let mut imap = office.imap("alice");
        imap.select("INBOX").unwrap();
        let all = imap.messages().unwrap();
        let found: Vec<_> =
            all.iter().map(|(_, text)| ("alice".to_owned(), id_of(text).unwrap())).collect();
        ledger.judge(&found, &BTreeSet::new()).lost.is_empty().then_some(found)
    });
    let verdict = ledger.judge(&found, &BTreeSet::new());
    assert!(verdict.lost.is_empty() && verdict.doubled.is_empty(), "{verdict:?}");
    assert!(verdict.phantoms.is_empty(), "{verdict:?}");
    let ended = ended.into_inner();
    println!(
        "without memory: {ended} of {} processes ended; {} acknowledged, {} refused, {} unanswered",
        MORE_BYTES.len(),
        ledger.count(Fate::Acknowledged),
        ledger.count(Fate::Refused),
        ledger.count(Fate::Unknown)
    );
    assert!(ended > 0, "memory did not run out");
}
