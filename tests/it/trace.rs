//! Where a message went: `postroad trace`, as an administrator uses it while the server runs.

use serde_json::Value;
use tests::message::{id_of, message};
use tests::office::Office;
use tests::sink::{At, Rule, Sink};
use tests::wait;

fn json(office: &Office, arguments: &[&str]) -> Value {
    let mut all = vec!["trace"];
    all.extend(arguments);
    all.push("--json");
    serde_json::from_str(&office.admin(&all, "")).unwrap()
}

/// Steps of the first trace: what, and in which mailbox.
fn steps(traces: &Value) -> Vec<(String, String)> {
    let steps = traces[0]["steps"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    steps.map(|step| (text(&step["what"]), text(&step["mailbox"]))).collect()
}

/// The commands in the block of the admin guide that follows this line.
fn guide(after: &str) -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let guide = std::fs::read_to_string(root.join("docs/admin.md")).unwrap();
    let block = guide.split_once(after).unwrap().1.split("```").nth(1).unwrap();
    block.lines().filter(|line| line.starts_with("postroad ")).map(str::to_owned).collect()
}

#[test]
fn a_message_is_traced_through_all_that_was_done_with_it() {
    let office = Office::start();
    let mail = message("traced");
    let reply = office.smtp().send("ana@sender.test", &["bob@example.test"], &mail).unwrap();
    let record = reply.text().rsplit(' ').next().unwrap().trim().to_owned();
    office.wait_for("bob", "INBOX", 1);
    let mut imap = office.imap("bob");
    imap.select("INBOX").unwrap();
    for command in ["UID STORE 1 +FLAGS (\\Flagged)", "UID MOVE 1 Trash"] {
        imap.command(command).unwrap().ok().unwrap();
    }
    imap.select("Trash").unwrap();
    for command in ["UID STORE 1 +FLAGS (\\Deleted)", "UID EXPUNGE 1"] {
        imap.command(command).unwrap().ok().unwrap();
    }
    let expected = [
        ("accepted", ""),
        ("planned", ""),
        ("delivered", "INBOX"),
        ("flags", "INBOX"),
        ("moved", "Trash"),
        ("flags", "Trash"),
        ("expunged", "Trash"),
    ];
    let expected = expected.map(|(what, mailbox)| (what.to_owned(), mailbox.to_owned()));
    let by_record = json(&office, &[&record]);
    assert_eq!(steps(&by_record), expected, "{by_record:#}");
    let accepted = by_record[0]["steps"][0]["text"].as_str().unwrap();
    assert!(accepted.contains("from <ana@sender.test> for <bob@example.test>"), "{accepted}");
    assert!(accepted.contains("127.0.0.1"), "the peer: {accepted}");
    let id = format!("<{}@sender.test>", id_of(&mail).unwrap());
    let account = ["--account", "bob@example.test"];
    let by_id = json(&office, &[account[0], account[1], "--message-id", &id]);
    assert_eq!(steps(&by_id), expected, "{by_id:#}");
    let lately = json(&office, &[account[0], account[1], "--since", "1h"]);
    let mut whats: Vec<_> = steps(&lately).into_iter().map(|(what, _)| what).collect();
    whats.reverse();
    assert_eq!(whats, ["delivered", "flags", "moved", "flags", "expunged"], "{lately:#}");
    for line in guide("<!-- trace -->") {
        let line = line.replace("RECORD", &record).replace("MESSAGE-ID", &id);
        let arguments: Vec<_> = line.split(' ').skip(1).collect();
        assert!(office.admin(&arguments, "").contains("expunged"), "{line}");
    }
    let nothing = office.try_admin(&["trace", &"0".repeat(48)], "");
    assert!(!nothing.status.success());
}

/// Submits a message of alice's, and returns its record.
#[test]
fn what_another_server_refused_is_traced_to_the_report() {
    let sink = Sink::start();
    sink.add(Rule::say(At::Recipient, "550 5.1.1 No such user here"));
    let office = Office::start_sending(&[("far.test", sink.address())]);
    let record = office.submit("nobody@far.test", "refused");
    office.wait_for("alice", "INBOX", 1);
    let traces = wait::until("the item to be finished", || {
        let traces = json(&office, &[&record]);
        steps(&traces).iter().any(|(what, _)| what == "failed").then_some(traces)
    });
    let whats: Vec<_> = steps(&traces).into_iter().map(|(what, _)| what).collect();
    let expected = ["accepted", "planned", "queued", "tried", "reported", "delivered", "failed"];
    assert_eq!(whats, expected, "{traces:#}");
    let tried = traces[0]["steps"][3]["text"].as_str().unwrap();
    assert!(tried.contains("550 5.1.1 No such user here"), "{tried}");
    let id = "<refused@sender.test>";
    let by_id = json(&office, &["--account", "alice@example.test", "--message-id", id]);
    assert_eq!(by_id[0]["record"].as_str(), Some(record.as_str()), "{by_id:#}");
}

#[test]
fn what_waits_tells_why_and_can_be_held() {
    let sink = Sink::start();
    sink.add(Rule::say(At::Recipient, "451 4.3.2 Come back later"));
    let office = Office::start_sending(&[("far.test", sink.address())]);
    office.submit("bob@far.test", "waits");
    let filter = ["--destination", "far.test"];
    let list = || {
        let listed = office.admin(&["queue", "list", filter[0], filter[1], "--json"], "");
        serde_json::from_str::<Value>(&listed).unwrap().as_array().unwrap().clone()
    };
    let item = wait::until("the other side's words", || {
        list().into_iter().find(|item| item["words"].to_string().contains("451 4.3.2"))
    });
    assert_eq!(item["sender"].as_str(), Some("alice@example.test"), "{item}");
    wait::until("it to be held", || {
        let by = ["queue", "hold", "--sender", "alice@example.test"];
        office.admin(&by, "").starts_with("holding 1 items").then_some(())
    });
    sink.set(Vec::new());
    assert_eq!(list()[0]["state"].as_str(), Some("held"));
    let count = office.admin(&["queue", "count"], "");
    assert!(count.contains("far.test"), "{count}");
    assert!(sink.received().is_empty());
    office.admin(&["queue", "release", "--state", "held"], "");
    assert_eq!(sink.wait_for(1)[0].recipients, ["bob@far.test"]);
    wait::until("the queue to be empty", || list().is_empty().then_some(()));
}
