//! Mail out: what users submit to other domains gets there, once, or comes back.

use tests::message::{id_of, message, without_trace};
use tests::office::{Office, PASSWORD};
use tests::sink::{At, Rule, Sink};
use tests::smtp::Smtp;
use tests::wait;

fn from_alice(id: &str) -> Vec<u8> {
    let text = String::from_utf8(message(id)).unwrap();
    text.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo").into_bytes()
}

fn submit(office: &Office, to: &[&str], message: &[u8]) {
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    let reply = smtp.send("alice@example.test", to, message).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
}

#[test]
fn what_a_user_submits_is_sent_by_its_route() {
    let sink = Sink::start();
    let office = Office::start_sending(&[("far.test", sink.address())]);
    let sent = from_alice("out");
    submit(&office, &["bob@far.test", "bob@example.test"], &sent);
    let received = sink.wait_for(1);
    assert_eq!(received[0].sender, "alice@example.test");
    assert_eq!(received[0].recipients, ["bob@far.test"]);
    assert_eq!(id_of(&received[0].content).as_deref(), Some("out"));
    // RFC 3461 §5.2.1: to a server that tells of deliveries goes whom the sender named.
    let told = &received[0].recipient_parameters[0];
    assert!(told.contains("ORCPT=rfc822;bob@far.test"), "{told}");
    // RFC 5321 §4.4: only final delivery adds a Return-Path.
    assert_eq!(received[0].header("Return-Path"), None, "{}", received[0].text());
    let here = office.wait_for("bob", "INBOX", 1);
    assert!(without_trace(&here[0].1).is_some_and(|read| id_of(read).as_deref() == Some("out")));
    // Other domains stay refused.
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    let reply = smtp.send("alice@example.test", &["x@other.test"], &sent).unwrap();
    assert_eq!(reply.code, 550, "{reply}");
    // And strangers cannot have anything relayed (I9).
    let reply = office.smtp().send("a@b.test", &["bob@far.test"], &sent).unwrap();
    assert_eq!(reply.code, 550, "{reply}");
    assert_eq!(sink.received().len(), 1);
    office.assert_quiet(&[]);
}

#[test]
fn what_is_refused_comes_back_with_the_other_sides_words() {
    let sink = Sink::start();
    sink.add(Rule::say(At::Recipient, "550 5.1.1 No such user here").holds("nobody@far.test"));
    let office = Office::start_sending(&[("far.test", sink.address())]);
    submit(&office, &["bob@far.test", "nobody@far.test"], &from_alice("half"));
    let received = sink.wait_for(1);
    assert_eq!(received[0].recipients, ["bob@far.test"]);
    let back = office.wait_for("alice", "INBOX", 1);
    let report = String::from_utf8_lossy(&back[0].1).into_owned();
    for part in [
        "Return-Path: <>\r\n",
        "Subject: Undelivered mail returned to sender\r\n",
        "Final-Recipient: rfc822; nobody@far.test\r\n",
        "Action: failed\r\nStatus: 5.1.1\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 No such user here\r\n",
    ] {
        assert!(report.contains(part), "{part:?} is not in\n{report}");
    }
    assert!(!report.contains("Final-Recipient: rfc822; bob@far.test"), "{report}");
    office.assert_quiet(&[]);
}

#[test]
fn a_temporary_refusal_is_tried_again_and_a_dead_server_waited_for() {
    let sink = Sink::start();
    sink.add(Rule::say(At::End, "451 4.3.0 Not now").holds("later"));
    let office = Office::start_sending(&[("far.test", sink.address())]);
    submit(&office, &["bob@far.test"], &from_alice("later"));
    sink.wait_for_step(At::End, 2);
    sink.set(Vec::new());
    assert_eq!(sink.wait_for(1).len(), 1);
    sink.set_down(true);
    for id in ["one", "two", "three"] {
        submit(&office, &["bob@far.test"], &from_alice(id));
    }
    wait::until("a try at the server that is down", || {
        let queue = office.admin(&["queue", "list", "--json"], "");
        let items: serde_json::Value = serde_json::from_str(&queue).unwrap();
        let tried = |item: &serde_json::Value| item["tries"].as_u64().is_some_and(|n| n > 0);
        items.as_array().unwrap().iter().any(tried).then_some(())
    });
    sink.set_down(false);
    let mut ids: Vec<_> = sink.wait_for(4).iter().filter_map(|one| id_of(&one.content)).collect();
    ids.sort();
    assert_eq!(ids, ["later", "one", "three", "two"]);
    office.assert_quiet(&[]);
}

#[test]
fn what_was_acknowledged_is_sent_after_a_kill() {
    let sink = Sink::start();
    sink.set_down(true);
    let mut office = Office::start();
    office.send_by(
        &[("far.test", sink.address())],
        &["shard_lease = \"1s\"", "lease = \"4s\"", "margin = \"1s\""],
    );
    for id in ["one", "two"] {
        submit(&office, &["bob@far.test"], &from_alice(id));
    }
    office.kill();
    sink.set_down(false);
    office.restart();
    let mut ids: Vec<_> = sink.wait_for(2).iter().filter_map(|one| id_of(&one.content)).collect();
    ids.sort();
    assert_eq!(ids, ["one", "two"]);
}
