//! A disk that runs full, as others fill it: accepting stops in time, what was acknowledged is
//! readable, deleting works, and with room all goes on by itself [α]. Needs root (a loop device).

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tests::disk::Disk;
use tests::ledger::{Fate, Ledger};
use tests::message::{id_of, message, sized};
use tests::office::Office;
use tests::wait;

/// An office on this disk that looks for room every second.
fn office(disk: &Disk) -> Office {
    office_that_looks(disk, "1s")
}

/// An office on this disk that looks for room so often.
fn office_that_looks(disk: &Disk, every: &str) -> Office {
    let mut office = Office::start_at(&disk.data(), &[]);
    assert!(office.process().terminate());
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("sweep = \"10s\""));
    std::fs::write(&config, text.replace("sweep = \"10s\"", &format!("sweep = \"{every}\"")))
        .unwrap();
    office.restart();
    office
}

/// Sends to alice's INBOX; what became of it.
fn send(office: &Office, ledger: &mut Ledger, id: &str, text: &[u8]) -> Fate {
    let sent = office.smtp().send("ana@sender.test", &["alice@example.test"], text);
    let fate = match sent {
        Ok(reply) if reply.code == 250 => Fate::Acknowledged,
        Ok(reply) => {
            assert_eq!(reply.code, 452, "{reply}");
            assert!(reply.text().starts_with("4.3.1 "), "{reply}");
            Fate::Refused
        }
        Err(_) => Fate::Unknown,
    };
    ledger.note("alice", id, fate);
    fate
}

/// Appends to bob's Sent; what became of it.
fn append(office: &Office, ledger: &mut Ledger, id: &str, text: &[u8]) -> Fate {
    let fate = match office.imap("bob").append("Sent", "", text) {
        Ok(answer) if answer.status == "OK" => Fate::Acknowledged,
        Ok(answer) => {
            let told = (answer.status.as_str(), answer.text.starts_with("[UNAVAILABLE]"));
            assert_eq!(told, ("NO", true), "{answer:?}");
            Fate::Refused
        }
        Err(_) => Fate::Unknown,
    };
    ledger.note("bob", id, fate);
    fate
}

/// Everything that is there, judged; waits for what was acknowledged and is still to be delivered.
fn judge(office: &Office, ledger: &Ledger, removed: &BTreeSet<(String, String)>) {
    let verdict = || {
        let mut found = Vec::new();
        for (user, mailbox) in [("alice", "INBOX"), ("bob", "Sent")] {
            let mut imap = office.imap(user);
            if imap.select(mailbox).unwrap() > 0 {
                for (_, text) in imap.messages().unwrap() {
                    found.push((user.to_owned(), id_of(&text).unwrap()));
                }
            }
        }
        ledger.judge(&found, removed)
    };
    wait::until("all that was acknowledged", || verdict().lost.is_empty().then_some(()));
    let verdict = verdict();
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn accepting_stops_in_time_and_goes_on_by_itself() {
    let disk = Disk::new(384);
    let office = office(&disk);
    let ballast = office.data().join("store/ballast");
    wait::until("the ballast", || ballast.exists().then_some(()));
    let mut ledger = Ledger::default();
    for number in 0..6 {
        let id = format!("before-{number}");
        assert_eq!(send(&office, &mut ledger, &id, &message(&id)), Fate::Acknowledged);
        assert_eq!(append(&office, &mut ledger, &id, &message(&id)), Fate::Acknowledged);
    }
    office.imap("bob").command("CREATE Old").unwrap().ok().unwrap();
    judge(&office, &ledger, &BTreeSet::new());

    disk.fill(disk.space().1 / 100 * 4);
    let mut number = 0;
    let mut until_refused = |how: fn(&Office, &mut Ledger, &str, &[u8]) -> Fate| {
        wait::until("the refusal", || {
            number += 1;
            let id = format!("during-{number}");
            (how(&office, &mut ledger, &id, &message(&id)) == Fate::Refused).then_some(())
        });
    };
    until_refused(send);
    until_refused(append);
    // The ballast goes; its room is for deleting, not for accepting.
    wait::until("the ballast to go", || (!ballast.exists()).then_some(()));
    let mut removed = BTreeSet::new();
    for _ in 0..20 {
        until_refused(send);
    }
    judge(&office, &ledger, &removed);
    let mut bob = office.imap("bob");
    bob.select("Sent").unwrap();
    bob.command("STORE 1:2 +FLAGS.SILENT (\\Deleted)").unwrap().ok().unwrap();
    bob.command("EXPUNGE").unwrap().ok().unwrap();
    bob.command("DELETE Old").unwrap().ok().unwrap();
    for number in 0..2 {
        removed.insert(("bob".to_owned(), format!("before-{number}")));
    }
    judge(&office, &ledger, &removed);
    assert!(std::fs::read_to_string(office.log()).unwrap().contains("the ballast goes"));

    disk.clear();
    let mut number = 0;
    for how in [send, append] {
        wait::until("accepting to go on", || {
            number += 1;
            let id = format!("after-{number}");
            (how(&office, &mut ledger, &id, &message(&id)) == Fate::Acknowledged).then_some(())
        });
    }
    wait::until("the ballast to come back", || ballast.exists().then_some(()));
    judge(&office, &ledger, &removed);
}

/// Really nothing left, under load: writes fail in the middle of everything. Then a restart without
/// room: what is there can be read. With room, all goes on.
#[test]
fn nothing_is_lost_without_a_byte_left() {
    let disk = Disk::new(384);
    let mut office = office(&disk);
    let ledger = Mutex::new(Ledger::default());
    let (full, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for sender in 0..3 {
            let (office, ledger, full, refused) = (&office, &ledger, &full, &refused);
            scope.spawn(move || {
                let mut mine = Ledger::default();
                let mut number = 0;
                // Some more after the disk was full, so that each kind has met it.
                let mut more = 3;
                while more > 0 {
                    more -= usize::from(full.load(Ordering::Relaxed));
                    number += 1;
                    let id = format!("load-{sender}-{number}");
                    let size = [200, 30_000, 2 << 20][(sender + number) % 3];
                    let how = if sender == 0 { append } else { send };
                    let fate = how(office, &mut mine, &id, &sized(&id, size));
                    refused.fetch_add(usize::from(fate == Fate::Refused), Ordering::Relaxed);
                }
                ledger.lock().unwrap().merge(mine);
            });
        }
        wait::until("the senders", || {
            let there = office.imap("alice").select("INBOX").unwrap() > 4;
            there.then_some(())
        });
        disk.fill(0);
        full.store(true, Ordering::Relaxed);
    });
    let mut ledger = ledger.into_inner().unwrap();
    assert!(refused.load(Ordering::Relaxed) > 0, "the disk was not full for anybody");
    let nobody = BTreeSet::new();

    let ballast = office.data().join("store/ballast");
    wait::until("the ballast to go", || (!ballast.exists()).then_some(()));
    // The ballast's room is taken by somebody else, too: only a person can help, and is told so.
    assert_eq!(send(&office, &mut ledger, "full-1", &message("full-1")), Fate::Refused);
    office.kill();
    disk.fill(0);
    let told = office.try_admin(&["account", "passwd", "bob@example.test"], "another-one-9\n");
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.status.success() && !said.contains("backup"), "{said}");
    assert!(
        ["full", "storage space", "bytes left"].iter().any(|part| said.contains(part)),
        "{said}"
    );

    disk.clear();
    office.restart();
    for (number, how) in [send, append].into_iter().enumerate() {
        let id = format!("after-{number}");
        assert_eq!(how(&office, &mut ledger, &id, &message(&id)), Fate::Acknowledged);
    }
    judge(&office, &ledger, &nobody);
}

/// A process that starts on a full disk gives up the ballast first: people can read and delete.
#[test]
fn a_full_disk_can_be_started_on() {
    let disk = Disk::new(384);
    let mut office = office(&disk);
    let ballast = office.data().join("store/ballast");
    wait::until("the ballast", || ballast.exists().then_some(()));
    let mut ledger = Ledger::default();
    for number in 0..3 {
        let id = format!("before-{number}");
        assert_eq!(append(&office, &mut ledger, &id, &message(&id)), Fate::Acknowledged);
    }
    office.kill();
    disk.fill(0);
    office.restart();
    assert!(!ballast.exists());
    assert_eq!(send(&office, &mut ledger, "full", &message("full")), Fate::Refused);
    let mut bob = office.imap("bob");
    bob.select("Sent").unwrap();
    bob.command("STORE 1 +FLAGS.SILENT (\\Deleted)").unwrap().ok().unwrap();
    bob.command("EXPUNGE").unwrap().ok().unwrap();
    judge(&office, &ledger, &BTreeSet::from([("bob".to_owned(), "before-0".to_owned())]));
}

/// Nobody looked since the disk is full: who deletes is not refused for that.
#[test]
fn a_disk_that_is_full_all_at_once_lets_people_delete() {
    let disk = Disk::new(384);
    let office = office_that_looks(&disk, "1h");
    let ballast = office.data().join("store/ballast");
    assert!(ballast.exists());
    let mut ledger = Ledger::default();
    for number in 0..6 {
        let id = format!("before-{number}");
        assert_eq!(append(&office, &mut ledger, &id, &message(&id)), Fate::Acknowledged);
    }
    let mut bob = office.imap("bob");
    bob.select("Sent").unwrap();
    disk.fill(0);
    bob.command("STORE 1 +FLAGS.SILENT (\\Deleted)").unwrap().ok().unwrap();
    bob.command("EXPUNGE").unwrap().ok().unwrap();
    assert!(!ballast.exists(), "there was room left");
    bob.command("MOVE 1 Trash").unwrap().ok().unwrap();
    // The ballast's room is not for what adds.
    assert_eq!(append(&office, &mut ledger, "full", &message("full")), Fate::Refused);
    assert_eq!(send(&office, &mut ledger, "full", &message("full")), Fate::Refused);
    let removed = ["before-0", "before-1"].map(|id| ("bob".to_owned(), id.to_owned()));
    judge(&office, &ledger, &BTreeSet::from(removed));
}

/// Nobody removes anything but the users their mail: with the ballast's room that is enough.
#[test]
fn deleting_mail_makes_room_for_mail() {
    let disk = Disk::new(384);
    let mut office = office(&disk);
    office.configure(&[
        (
            "[timing]",
            "restore_window = \"0s\"\nbackup_interval = \"0s\"\nmaintain = \"200ms\"\naudit = \"1s\"",
        ),
        ("", "[upkeep]\ncompact_messages = 1\ncompact_after = \"0s\"\ncheckpoint_entries = 1"),
    ]);
    let ballast = office.data().join("store/ballast");
    wait::until("the ballast", || ballast.exists().then_some(()));
    let mut ledger = Ledger::default();
    for number in 0..4 {
        let id = format!("large-{number}");
        let how = if number % 2 == 0 { append } else { send };
        assert_eq!(how(&office, &mut ledger, &id, &sized(&id, 16 << 20)), Fate::Acknowledged);
    }
    office.wait_for("alice", "INBOX", 2);
    disk.fill(disk.space().1 / 100 * 4);
    wait::until("the ballast to go", || (!ballast.exists()).then_some(()));
    assert_eq!(send(&office, &mut ledger, "full", &message("full")), Fate::Refused);
    for (user, mailbox) in [("alice", "INBOX"), ("bob", "Sent")] {
        let mut imap = office.imap(user);
        imap.select(mailbox).unwrap();
        imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok().unwrap();
        imap.command("EXPUNGE").unwrap().ok().unwrap();
    }
    let mut number = 0;
    wait::until("accepting to go on", || {
        number += 1;
        let id = format!("after-{number}");
        (send(&office, &mut ledger, &id, &message(&id)) == Fate::Acknowledged).then_some(())
    });
    wait::until("the ballast to come back", || ballast.exists().then_some(()));
    let removed = (0..4).map(|n| (if n % 2 == 0 { "bob" } else { "alice" }, n));
    let removed = removed.map(|(user, n)| (user.to_owned(), format!("large-{n}"))).collect();
    judge(&office, &ledger, &removed);
}
