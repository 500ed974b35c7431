//! Every command of the binary: what it prints, its JSON, and how it fails.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::imap::Imap;
use tests::message::{message, without_trace};
use tests::office::{Office, PASSWORD, binary};
use tests::wait;

const ALICE: &str = "alice@example.test";

fn json(office: &Office, arguments: &[&str]) -> Value {
    let printed = office.admin(&[arguments, &["--json"]].concat(), "");
    serde_json::from_str(&printed)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"))
}

/// Runs the binary somewhere, with nothing of this environment that concerns it.
fn bare(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env_remove("POSTROAD_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn every_command_has_help_with_an_example() {
    let here = tempfile::tempdir().unwrap();
    for verb in [
        "demo",
        "serve",
        "config check",
        "config example",
        "domain add",
        "domain list",
        "domain show",
        "domain keys list",
        "domain keys rotate",
        "domain keys remove",
        "domain remove",
        "account add",
        "account list",
        "account show",
        "account remove",
        "account passwd",
        "account quota",
        "account repair",
        "alias add",
        "alias list",
        "alias remove",
        "queue list",
        "queue show",
        "queue retry",
        "queue remove",
        "doctor",
    ] {
        let mut arguments: Vec<&str> = verb.split(' ').collect();
        arguments.push("--help");
        let output = bare(here.path(), &arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{verb}");
        assert!(said.contains(&format!("Example: postroad {verb}")), "{verb}: {said}");
        assert!(said.contains("--config <FILE>"), "{verb}: {said}");
    }
    for wrong in [&["acount", "list"][..], &["account", "lits"], &["domain", "add"], &[]] {
        let output = bare(here.path(), wrong);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !said.is_empty(), "{wrong:?}");
    }
    let said = String::from_utf8(bare(here.path(), &["acount"]).stderr).unwrap();
    assert!(said.contains("account"), "the nearest is named: {said}");
}

#[test]
fn the_configuration_is_found_where_the_help_says() {
    let mut office = Office::start();
    let config = office.data().join("postroad.toml");
    let empty = tempfile::tempdir().unwrap();
    // ./postroad-demo/postroad.toml
    let beside = office.scratch().join("beside");
    std::fs::create_dir(&beside).unwrap();
    std::os::unix::fs::symlink(office.data(), beside.join("postroad-demo")).unwrap();
    let output = bare(&beside, &["account", "list"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains(ALICE));
    // $POSTROAD_CONFIG goes before it, --config before that.
    let by_environment = |value: &Path, arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(&beside).env("POSTROAD_CONFIG", value);
        command.stdin(Stdio::null()).output().unwrap()
    };
    assert!(
        !by_environment(&empty.path().join("none.toml"), &["account", "list"]).status.success()
    );
    assert!(by_environment(&config, &["account", "list"]).status.success());
    let told = ["account", "list", "--config", config.to_str().unwrap()];
    assert!(by_environment(&empty.path().join("none.toml"), &told).status.success());
    if !Path::new("/etc/postroad/postroad.toml").exists() {
        let output = bare(empty.path(), &["account", "list"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.starts_with("error: ") && said.contains("hint: "), "{said}");
    }
    // Commands work while nothing runs, too.
    assert!(office.process().terminate());
    assert_eq!(json(&office, &["account", "list"]).as_array().unwrap().len(), 3);
}

#[test]
fn the_example_is_a_good_configuration() {
    let here = tempfile::tempdir().unwrap();
    let example = bare(here.path(), &["config", "example"]);
    assert!(example.status.success());
    let file = here.path().join("postroad.toml");
    std::fs::write(&file, &example.stdout).unwrap();
    let checked = bare(here.path(), &["config", "check", "--config", file.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    // The environment counts, and its mistakes are told with the file's.
    let mistaken = Command::new(binary())
        .args(["config", "check", "--config", file.to_str().unwrap()])
        .env("POSTROAD_IMAP__IDEL", "40m")
        .env("POSTROAD_LIMITS__DRAIN", "soon")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&mistaken.stderr).into_owned();
    assert!(!mistaken.status.success());
    assert!(said.contains("IDEL") && said.contains("idle") && said.contains("DRAIN"), "{said}");
}

#[test]
fn what_is_made_is_listed_shown_and_removed() {
    let office = Office::start();
    office.admin(&["domain", "add", "second.test"], "");
    assert_eq!(json(&office, &["domain", "list"]).as_array().unwrap().len(), 2);
    office.admin(
        &["account", "add", "dora@second.test", "--name", "Dora", "--quota", "1MiB"],
        "doras-secret-9\n",
    );
    office.admin(&["alias", "add", "@second.test", "dora@second.test", ALICE], "");
    let domain = json(&office, &["domain", "show", "second.test"]);
    assert_eq!((&domain["accounts"], &domain["aliases"]), (&1.into(), &1.into()), "{domain}");
    let account = json(&office, &["account", "show", "dora@second.test"]).to_string();
    assert!(account.contains("Dora") && account.contains("1048576"), "{account}");
    assert_eq!(json(&office, &["account", "list", "second.test"]).as_array().unwrap().len(), 1);
    let alias = json(&office, &["alias", "list", "second.test"]).to_string();
    assert!(alias.contains(ALICE), "{alias}");
    office.admin(&["account", "quota", "dora@second.test", "2GiB", "--messages", "9"], "");
    let account = json(&office, &["account", "show", "dora@second.test"]).to_string();
    assert!(account.contains("2147483648") && account.contains('9'), "{account}");
    // To people.
    for (arguments, part) in [
        (&["domain", "list"][..], "DOMAIN"),
        (&["domain", "show", "second.test"], "accounts"),
        (&["account", "list"], "dora@second.test"),
        (&["account", "show", "dora@second.test"], "Dora"),
        (&["alias", "list"], "LEADS TO"),
        (&["doctor"], "room"),
    ] {
        let printed = office.admin(arguments, "");
        assert!(printed.contains(part), "{arguments:?}: {printed}");
    }
    // What is in use, or there already, or not there, or no password, is refused.
    let refused = |arguments: &[&str], input: &str| {
        let output = office.try_admin(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.trim().lines().count() <= 2, "{said}");
    };
    refused(&["domain", "remove", "second.test"], "");
    refused(&["domain", "add", "second.test"], "");
    refused(&["domain", "add", "not a domain"], "");
    refused(&["account", "add", "dora@second.test"], "doras-secret-9\n");
    refused(&["account", "add", "empty@second.test"], "\n");
    refused(&["account", "passwd", "nobody@second.test"], "long-enough-9\n");
    refused(&["account", "remove", "nobody@second.test"], "");
    refused(&["account", "quota", "nobody@second.test", "1GiB"], "");
    refused(&["alias", "add", "@second.test", ALICE], "");
    refused(&["alias", "remove", "none@second.test"], "");
    refused(&["queue", "retry", "none"], "");
    refused(&["queue", "remove", "none"], "");
    refused(&["account", "repair", "nobody@second.test", "--reason", "x"], "");
    office.admin(&["alias", "remove", "@second.test"], "");
    office.admin(&["account", "remove", "dora@second.test"], "");
    office.admin(&["domain", "remove", "second.test"], "");
    assert_eq!(json(&office, &["domain", "list"]).as_array().unwrap().len(), 1);
}

/// Damages the newest entry of an account's log, as a bad disk may.
fn damage(office: &Office, address: &str) {
    let id = json(office, &["account", "show", address]);
    let id = id["id"].as_str().unwrap_or_else(|| panic!("no id: {id}")).to_owned();
    let script = "import sqlite3,sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        found = db.execute(\"SELECT id, v FROM rows WHERE hex(substr(p,1,17)) = ? AND \
        hex(substr(s,1,1)) = '01' ORDER BY n DESC LIMIT 1\", ['6C' + sys.argv[2].upper()]).fetchall()\n\
        assert found, 'no entry'\n\
        v = bytearray(found[0][1]); v[-1] ^= 1\n\
        db.execute('UPDATE rows SET v = ? WHERE id = ?', [bytes(v), found[0][0]]); db.commit()\n";
    let database = office.data().join("store/index/rows.db");
    let output =
        Command::new("python3").args(["-c", script]).arg(database).arg(id).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// [U]: an account that cannot be replayed stands alone; its mail waits, is shown, and comes when
/// a person has repaired it.
#[test]
fn a_broken_account_stops_nobody_and_is_repaired() {
    let mut office = Office::start();
    let mut imap = office.imap("alice");
    imap.append("Sent", "", &message("kept")).unwrap().ok().unwrap();
    imap.append("Sent", "", &message("damaged")).unwrap().ok().unwrap();
    assert!(office.process().terminate());
    damage(&office, ALICE);
    office.restart();
    let sent = message("waits");
    for id in ["waits", "removed"] {
        let to = [ALICE, "bob@example.test"];
        let reply = office.smtp().send("ana@sender.test", &to, &message(id)).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
    }
    assert_eq!(office.wait_for("bob", "INBOX", 2).len(), 2);
    let items = wait::until("the items", || {
        let items = json(&office, &["queue", "list"]).as_array().unwrap().clone();
        (items.len() == 2).then_some(items)
    });
    let names: Vec<_> = items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    assert!(office.admin(&["queue", "list"], "").contains(&names[0]));
    let shown = json(&office, &["queue", "show", &names[0]]);
    assert!(shown["to"].to_string().contains(ALICE), "{shown}");
    let doctor = office.try_admin(&["doctor", "--json"], "");
    assert_eq!(doctor.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains(ALICE), "{doctor:?}");
    let told = Imap::login(office.listener("imap"), ALICE, PASSWORD).unwrap_err();
    assert!(told.to_string().contains("the account needs repair"), "{told}");

    office.admin(&["queue", "remove", &names[1]], "");
    office.admin(&["account", "repair", ALICE, "--reason", "a test's damage"], "");
    office.admin(&["queue", "retry", &names[0]], "");
    let read = office.wait_for("alice", "INBOX", 1);
    assert_eq!(without_trace(&read[0].1), Some(sent.as_slice()));
    let kept = office.wait_for("alice", "Sent", 1);
    assert_eq!((kept.len(), &kept[0].1), (1, &message("kept")));
    wait::until("the queue to be empty", || {
        json(&office, &["queue", "list"]).as_array().unwrap().is_empty().then_some(())
    });
    office.admin(&["doctor"], "");
    assert_eq!(office.imap("alice").select("INBOX").unwrap(), 1, "the removed one never comes");
}

/// Without a password of ours, the demo makes some up and tells them once.
#[test]
fn the_demo_tells_its_passwords_once() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("demo");
    let log = here.path().join("log");
    let arguments = ["demo", "--data", data.to_str().unwrap(), "--ports", "os", "--json"];
    let mut process = tests::office::Process::start(&arguments, &log);
    let said = std::fs::read_to_string(&log).unwrap();
    let secret = |user: &str| {
        let start = format!("{user}@example.test");
        let line = said.lines().map(str::trim).find(|line| line.starts_with(&start));
        line.unwrap_or_else(|| panic!("{said}")).split_whitespace().last().unwrap().to_owned()
    };
    for user in ["admin", "alice", "bob"] {
        let imap = process.listeners["imap"];
        Imap::login(imap, &format!("{user}@example.test"), &secret(user)).unwrap();
    }
    assert!(process.terminate());
    // To people: the table of addresses; Ctrl-C ends it well.
    let mut child = Command::new(binary())
        .args(["demo", "--data", data.to_str().unwrap(), "--ports", "os"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let mut table = String::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(stdout)) {
        let line = line.unwrap();
        table.push_str(&line);
        table.push('\n');
        if line.contains("Ctrl-C ends it") {
            break;
        }
    }
    for name in ["smtp", "submission", "submissions", "imap", "imaps", "http", "127.0.0.1:"] {
        assert!(table.contains(name), "{name}: {table}");
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("Passwords") && !said.contains(&secret("bob")), "{said}");
    // Not a terminal: each event is a line of JSON.
    for line in said.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{event}");
    }
}
