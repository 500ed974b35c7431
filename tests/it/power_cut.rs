//! The power goes: a file system that forgets all that was not synced, after each burst of mail.
//! Needs root (a loop device). What was acknowledged before the cut is there afterwards (I1).

use std::process::Command;

use tests::disk::Disk;
use tests::message::message;
use tests::office::Office;

/// Accepts and appends messages and cuts the power; returns how many messages there have to be.
fn burst(disk: &Disk, office: &mut Office, round: usize) -> usize {
    let before =
        office.imap("alice").select("INBOX").unwrap() + office.imap("bob").select("Sent").unwrap();
    let mut acknowledged = 0;
    let mut smtp = office.smtp();
    let mut imap = office.imap("bob");
    for number in 0..20 {
        let text = message(&format!("cut-{round}-{number}"));
        let reply = smtp.send("ana@sender.test", &["alice@example.test"], &text).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
        imap.append("Sent", "", &text).unwrap().ok().unwrap();
        acknowledged += 2;
    }
    disk.cut();
    office.kill();
    disk.unmount();
    disk.mount();
    before + acknowledged
}

/// How many messages are there after the power has come back.
fn found(office: &mut Office, expected: usize) -> usize {
    office.restart();
    let count = |office: &Office| {
        office.imap("alice").select("INBOX").unwrap() + office.imap("bob").select("Sent").unwrap()
    };
    // What was accepted and not yet delivered comes in a moment, if it is there at all.
    let start = tests::wait::now();
    while count(office) < expected && start.elapsed().as_secs() < 5 {
        tests::wait::pause(std::time::Duration::from_millis(20));
    }
    count(office)
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let disk = Disk::new(512);
    let mut office = Office::start_at(&disk.data(), &[]);
    for number in 0..8 {
        let expected = burst(&disk, &mut office, number);
        assert_eq!(expected, found(&mut office, expected), "power cut {number}");
    }
    office.kill();
}

/// The test above can fail: with syncs that only say that they synced, mail is lost.
#[test]
fn without_syncs_power_cuts_lose_mail() {
    let disk = Disk::new(512);
    let mut office = Office::start_at(&disk.data(), &[]);
    office.kill();
    let skip = "inject=fsync,fdatasync,sync_file_range,syncfs:retval=0";
    // -D: the office itself is our child, so that killing it leaves nothing on the disk.
    let quiet = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", skip];
    assert!(Command::new("sync").status().unwrap().success());
    let mut office = Office::start_at(&disk.data(), &quiet);
    let expected = burst(&disk, &mut office, 0);
    // A store that does not even open again has lost mail too.
    let opened = std::panic::AssertUnwindSafe(|| found(&mut office, expected));
    let lost = std::panic::catch_unwind(opened).map_or(true, |found| found < expected);
    assert!(lost, "nothing was lost although nothing was synced: the test proves nothing");
}
