//! Reports as the sender asks for them (RFC 3461): of success, here and beyond, never, under its own
//! names; by whoever is the last to know of it.

use tests::message::message;
use tests::office::{Office, PASSWORD};
use tests::sink::{At, Rule, Sink};
use tests::smtp::{Smtp, dot_stuffed};
use tests::wait;

const PLAIN: [&str; 3] = ["PIPELINING", "SIZE 52428800", "8BITMIME"];

fn login(office: &Office) -> Smtp {
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    smtp
}

/// Sends a message whose envelope is said in full.
fn send(smtp: &mut Smtp, mail: &str, recipients: &[&str], id: &str) {
    let reply = smtp.command(&format!("MAIL FROM:{mail}")).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    for recipient in recipients {
        let reply = smtp.command(&format!("RCPT TO:{recipient}")).unwrap();
        assert_eq!(reply.code, 250, "{recipient}: {reply}");
    }
    assert_eq!(smtp.command("DATA").unwrap().code, 354);
    let text = String::from_utf8(message(id)).unwrap();
    let text = text.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo");
    smtp.stream.send(&dot_stuffed(text.as_bytes())).unwrap();
    let reply = smtp.reply().unwrap();
    assert_eq!(reply.code, 250, "{reply}");
}

fn reports(office: &Office, count: usize) -> Vec<String> {
    let found = office.wait_for("alice", "INBOX", count);
    assert_eq!(found.len(), count, "more reports than were asked for");
    found.iter().map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect()
}

/// Waits until nothing is on its way any more.
fn settled(office: &Office) {
    wait::until("an empty queue", || {
        let queue = office.admin(&["queue", "list", "--json"], "");
        let items: serde_json::Value = serde_json::from_str(&queue).unwrap();
        items.as_array().unwrap().is_empty().then_some(())
    });
}

// Covers: EHLO DSN.
#[test]
fn success_is_told_by_the_last_who_knows_how() {
    let (knows, plain) = (Sink::start(), Sink::start());
    plain.set_features(&PLAIN);
    let routes = [("far.test", knows.address()), ("old.test", plain.address())];
    let office = Office::start_sending(&routes);
    let mut smtp = login(&office);
    assert!(smtp.ehlo().unwrap().iter().any(|line| line == "DSN"));
    send(
        &mut smtp,
        "<alice@example.test> RET=HDRS ENVID=QQ314",
        &[
            "<bo@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bo+2Bx@far.test",
            "<cy@old.test> NOTIFY=SUCCESS ORCPT=rfc822;cy+2Bx@old.test",
            "<bob@example.test> NOTIFY=SUCCESS",
            "<alice@example.test> NOTIFY=NEVER",
        ],
        "asked",
    );
    // Handed on to who knows DSN, and then it is theirs to tell (RFC 3461 §5.2.2).
    let there = knows.wait_for(1).remove(0);
    assert!(there.parameters.contains("RET=HDRS ENVID=QQ314"), "{}", there.parameters);
    let asked = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bo+2Bx@far.test";
    assert!(there.recipient_parameters[0].contains(asked), "{:?}", there.recipient_parameters);
    let old = plain.wait_for(1).remove(0);
    assert_eq!((old.parameters.contains("RET"), &*old.recipient_parameters[0]), (false, ""));
    // The message itself, and two reports: on who is here, and on who does not tell.
    let all = reports(&office, 3).concat();
    for part in [
        "Original-Envelope-Id: QQ314\r\n",
        "Original-Recipient: rfc822; cy+x@old.test\r\nFinal-Recipient: rfc822; cy@old.test\r\n\
         Action: relayed\r\nStatus: 2.",
        "Final-Recipient: rfc822; bob@example.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
        "Subject: Your message was delivered\r\n",
    ] {
        assert!(all.contains(part), "{part:?} is not in\n{all}");
    }
    assert_eq!(all.matches("\r\nAction: ").count(), 2, "{all}");
    settled(&office);
    let _: Vec<String> = reports(&office, 3);
    office.assert_quiet(&[]);
}

#[test]
fn who_never_wants_to_hear_never_does_and_a_team_is_told_of_once() {
    let sink = Sink::start();
    sink.add(Rule::say(At::Recipient, "550 5.1.1 No such user").holds("no@far.test"));
    let office = Office::start_sending(&[("far.test", sink.address())]);
    let team = ["alias", "add", "team@example.test", "bob@example.test", "di@far.test"];
    office.admin(&team, "");
    let mut smtp = login(&office);
    let never = "<no@far.test> NOTIFY=NEVER";
    send(&mut smtp, "<alice@example.test>", &[never], "never");
    send(&mut smtp, "<alice@example.test>", &["<team@example.test> NOTIFY=SUCCESS"], "team");
    let forwarded = sink.wait_for(1).remove(0);
    // RFC 3461 §5.2.7.3 (c): of the expansion is told, of what comes after it no more.
    let asked = "NOTIFY=NEVER ORCPT=rfc822;team@example.test";
    assert!(forwarded.recipient_parameters[0].contains(asked), "{forwarded:?}");
    settled(&office);
    let told = reports(&office, 1).remove(0);
    let part = "Final-Recipient: rfc822; team@example.test\r\nAction: expanded\r\n";
    assert!(told.contains(part), "{told}");
    assert_eq!(office.wait_for("bob", "INBOX", 1).len(), 1);
    office.assert_quiet(&[]);
}

#[test]
fn a_sender_outside_is_told_too_and_what_is_wrong_is_refused() {
    let origin = Sink::start();
    let office = Office::start_sending(&[("first.test", origin.address())]);
    let mut smtp = office.smtp();
    assert!(smtp.ehlo().unwrap().iter().any(|line| line == "DSN"));
    send(&mut smtp, "<cleo@first.test> ENVID=a+2Bb", &["<bob@example.test> NOTIFY=SUCCESS"], "in");
    let told = origin.wait_for(1).remove(0);
    assert_eq!((&*told.sender, &told.recipients[..]), ("", &["cleo@first.test".to_owned()][..]));
    let text = told.text();
    assert!(text.contains("Action: delivered\r\n") && text.contains("Id: a+b\r\n"), "{text}");
    // D2: nobody is told in the name of nobody.
    send(&mut smtp, "<>", &["<bob@example.test> NOTIFY=SUCCESS"], "from-nobody");
    assert_eq!(office.wait_for("bob", "INBOX", 2).len(), 2);
    settled(&office);
    assert_eq!(origin.received().len(), 1);
    for mail in ["RET=ALL", "RET=FULL RET=FULL", "ENVID=a=b", "ENVID=+0A"] {
        let reply = smtp.command(&format!("MAIL FROM:<cleo@first.test> {mail}")).unwrap();
        assert_eq!(reply.code, 501, "{mail}: {reply}");
    }
    assert_eq!(smtp.command("MAIL FROM:<cleo@first.test>").unwrap().code, 250);
    for to in ["NOTIFY=NEVER,SUCCESS", "NOTIFY=", "NOTIFY=SOON", "ORCPT=bob", "ORCPT=rfc822;+0A"] {
        let reply = smtp.command(&format!("RCPT TO:<bob@example.test> {to}")).unwrap();
        assert_eq!(reply.code, 501, "{to}: {reply}");
    }
    office.assert_quiet(&[]);
}
