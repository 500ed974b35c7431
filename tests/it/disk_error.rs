//! H3: a disk whose syncs fail. What was not synced is never acknowledged, also when a later sync
//! succeeds (the kernel tells of a lost page once); a restart has what was acknowledged, once.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use tests::imap::Imap;
use tests::ledger::{Fate, Ledger};
use tests::message::{id_of, message};
use tests::office::{Office, PASSWORD};
use tests::smtp::Smtp;
use tests::wait;

/// Syncs of a running process that fail from now on, until this is dropped.
struct FailingSyncs {
    strace: Child,
    /// It tells of each new thread, and ends where nobody could hear it.
    _says: BufReader<ChildStderr>,
}

impl FailingSyncs {
    /// Of `only`, if it names a file or folder; else of everything.
    fn of(office: &Office, only: Option<&Path>) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", "inject=fsync,fdatasync:error=EIO"]);
        command.args(["-p", &office.pid().to_string()]);
        if let Some(only) = only {
            command.arg("-P").arg(only);
        }
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace");
        // It says so once it holds all threads.
        let mut says = BufReader::new(child.stderr.take().unwrap());
        let mut lines = says.by_ref().lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("attached")), "strace cannot trace the process");
        Self { strace: child, _says: says }
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        // Its signals let go of the process, which SIGKILL would not wait for.
        let pid = i32::try_from(self.strace.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::INT).ok();
        }
        self.strace.wait().ok();
    }
}

/// An office whose senders are not kept waiting for long.
fn office() -> Office {
    let mut office = Office::start();
    assert!(office.process().terminate());
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let timing = "[timing]\n";
    assert!(text.contains(timing));
    std::fs::write(&config, text.replace(timing, "[timing]\ncommit = \"1s\"\n")).unwrap();
    office.restart();
    office
}

fn send(office: &Office, ledger: &mut Ledger, id: &str) -> Fate {
    let to = ["alice@example.test"];
    let tried = Smtp::connect(office.listener("smtp"))
        .and_then(|mut smtp| smtp.send("ana@sender.test", &to, &message(id)));
    let fate = match tried {
        Ok(reply) if reply.code == 250 => Fate::Acknowledged,
        Ok(reply) => {
            assert_eq!(reply.code / 100, 4, "{reply}");
            Fate::Refused
        }
        Err(_) => Fate::Unknown,
    };
    ledger.note("alice", id, fate);
    fate
}

fn append(office: &Office, ledger: &mut Ledger, id: &str) -> Fate {
    let tried = Imap::login(office.listener("imap"), "bob@example.test", PASSWORD)
        .and_then(|mut imap| imap.append("Sent", "", &message(id)));
    let fate = match tried {
        Ok(answer) if answer.status == "OK" => Fate::Acknowledged,
        Ok(answer) => {
            assert_eq!(answer.status, "NO", "{answer:?}");
            Fate::Refused
        }
        Err(_) => Fate::Unknown,
    };
    ledger.note("bob", id, fate);
    fate
}

fn judge(office: &Office, ledger: &Ledger) {
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
        ledger.judge(&found, &BTreeSet::new())
    };
    wait::until("all that was acknowledged", || verdict().lost.is_empty().then_some(()));
    let verdict = verdict();
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// The folder that this process's segments go into: the only one.
fn ingest_folder(office: &Office) -> PathBuf {
    let all = std::fs::read_dir(office.data().join("store/objects/ingest")).unwrap();
    let all: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

/// Mail before, while syncs of this fail, and after; then a restart. `told` is what became of a
/// message sent and one appended meanwhile.
fn around(only: impl Fn(&Office) -> Option<PathBuf>, told: impl Fn(Fate, Fate) -> bool) {
    let mut office = office();
    let mut ledger = Ledger::default();
    for number in 0..3 {
        let id = format!("before-{number}");
        assert_eq!(send(&office, &mut ledger, &id), Fate::Acknowledged);
        assert_eq!(append(&office, &mut ledger, &id), Fate::Acknowledged);
    }
    office.wait_for("alice", "INBOX", 3);
    let failing = FailingSyncs::of(&office, only(&office).as_deref());
    let appended = append(&office, &mut ledger, "failing");
    let sent = send(&office, &mut ledger, "failing");
    assert!(told(sent, appended), "{sent:?}, {appended:?}");
    drop(failing);
    // Syncs succeed again, but what they would say is not true: the process does not go on.
    assert!(!office.process().ended(), "it fails, so that it is started again");
    let log = std::fs::read_to_string(office.log()).unwrap();
    assert!(log.contains("error: the store closed itself after a failed sync"), "{log}");
    office.restart();
    assert_eq!(send(&office, &mut ledger, "again"), Fate::Acknowledged);
    assert_eq!(append(&office, &mut ledger, "again"), Fate::Acknowledged);
    judge(&office, &ledger);
}

#[test]
fn nothing_is_acknowledged_while_no_sync_succeeds() {
    let neither = |sent, appended| ![sent, appended].contains(&Fate::Acknowledged);
    around(|_| None, neither);
}

#[test]
fn a_segment_whose_name_was_not_synced_is_not_acknowledged() {
    // It is there: only nobody can say for how long.
    around(|office| Some(ingest_folder(office)), |sent, _| sent != Fate::Acknowledged);
}

#[test]
fn a_change_whose_log_was_not_synced_is_not_acknowledged() {
    let log = |office: &Office| Some(office.data().join("store/index/rows.db-wal"));
    around(log, |_, appended| appended != Fate::Acknowledged);
}
