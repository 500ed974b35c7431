//! What senders are told of mail that is late: one warning, one end (RFC 3464).

use tests::message::message;
use tests::office::{Office, PASSWORD};
use tests::sink::{At, Rule, Sink};
use tests::smtp::Smtp;
use tests::wait;

fn texts(office: &Office, count: usize) -> Vec<String> {
    let all = office.wait_for("alice", "INBOX", count);
    all.iter().map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect()
}

#[test]
fn a_late_message_is_warned_of_once_and_given_up_at_the_end_of_its_time() {
    let sink = Sink::start();
    sink.add(Rule::say(At::Recipient, "451 4.3.0 Not now"));
    let mut office = Office::start();
    let times = ["warn_after = \"1s\"", "lifetime = \"6s\""];
    office.send_by(&[("far.test", sink.address())], &times);
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    let text = String::from_utf8(message("late")).unwrap();
    let text = text.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo");
    let to = ["x@far.test", "y@far.test"];
    let reply = smtp.send("alice@example.test", &to, text.as_bytes()).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let all = texts(&office, 2);
    let count = |text: &str, part: &str| text.matches(part).count();
    assert_eq!(count(&all[0], "Action: delayed\r\n"), 2, "{}", all[0]);
    assert!(all[0].contains("Final-Recipient: rfc822; x@far.test\r\n"), "{}", all[0]);
    assert!(all[0].contains("451 4.3.0 Not now"), "{}", all[0]);
    assert_eq!(count(&all[1], "Action: failed\r\n"), 2, "{}", all[1]);
    assert!(all[1].contains("451 4.3.0 Not now"), "{}", all[1]);
    // Nothing waits any more, and nothing else was told.
    wait::until("the queue to be empty", || {
        let said = office.admin(&["queue", "list", "--json"], "");
        serde_json::from_str::<Vec<serde_json::Value>>(&said).unwrap().is_empty().then_some(())
    });
    assert_eq!(texts(&office, 2).len(), 2);
}
