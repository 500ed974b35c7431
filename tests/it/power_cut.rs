//! The power goes: a file system that forgets all that was not synced, after each burst of mail.
//! Needs root (a loop device). What was acknowledged before the cut is there afterwards (I1).

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tests::message::message;
use tests::office::Office;

/// An ext4 of its own, on a loop device.
struct Disk {
    dir: TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Self { dir: tempfile::Builder::new().prefix("disk-").tempdir().unwrap() };
        std::fs::create_dir(disk.mount_point()).unwrap();
        run(Command::new("truncate").args(["-s", "512M"]).arg(disk.image()));
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()));
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.mount_point()));
    }

    /// Everything that was not synced is gone: the file system stops without flushing its journal.
    fn cut(&self) {
        let script = "import fcntl,os,struct,sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        run(Command::new("python3").args(["-c", script]).arg(self.mount_point()));
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(self.mount_point()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.mount_point()).status().ok();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

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

fn data(disk: &Disk) -> PathBuf {
    disk.mount_point().join("data")
}

fn has_root() -> bool {
    Path::new("/proc/self").exists() && rustix::process::geteuid().is_root()
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    assert!(has_root(), "this test mounts a file system: run it as root");
    let disk = Disk::new();
    let mut office = Office::start_at(&data(&disk), &[]);
    for number in 0..8 {
        let expected = burst(&disk, &mut office, number);
        assert_eq!(expected, found(&mut office, expected), "power cut {number}");
    }
    office.kill();
}

/// The test above can fail: with syncs that only say that they synced, mail is lost.
#[test]
fn without_syncs_power_cuts_lose_mail() {
    assert!(has_root(), "this test mounts a file system: run it as root");
    let disk = Disk::new();
    let mut office = Office::start_at(&data(&disk), &[]);
    office.kill();
    let skip = "inject=fsync,fdatasync,sync_file_range,syncfs:retval=0";
    // -D: the office itself is our child, so that killing it leaves nothing on the disk.
    let quiet = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", skip];
    run(&mut Command::new("sync"));
    let mut office = Office::start_at(&data(&disk), &quiet);
    let expected = burst(&disk, &mut office, 0);
    // A store that does not even open again has lost mail too.
    let opened = std::panic::AssertUnwindSafe(|| found(&mut office, expected));
    let lost = std::panic::catch_unwind(opened).map_or(true, |found| found < expected);
    assert!(lost, "nothing was lost although nothing was synced: the test proves nothing");
}
