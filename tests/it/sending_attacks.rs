//! Sending does not turn against others: no relay for strangers (C3), loops end (D1), nobody is told
//! of what they did not send (D2), and what others say cannot add lines anywhere (D3).

use tests::message::message;
use tests::office::{Office, PASSWORD};
use tests::sink::{At, Rule, Sink};
use tests::smtp::{Smtp, dot_stuffed};

fn login(office: &Office) -> Smtp {
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    smtp
}

fn from_alice(id: &str) -> Vec<u8> {
    let text = String::from_utf8(message(id)).unwrap();
    text.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo").into_bytes()
}

/// C3, with relaying on: a stranger has nothing sent to others, whatever the address looks like.
#[test]
fn a_relay_relays_for_its_users_only() {
    let sink = Sink::start();
    let office = Office::start_sending(&[("far.test", sink.address()), ("*", sink.address())]);
    for sender in ["", "alice@example.test", "ana@sender.test", "x@far.test"] {
        for recipient in [
            "x@far.test",
            "x%far.test@example.test",
            "\"x@far.test\"@example.test",
            "far.test!x@example.test",
            "@example.test:x@far.test",
            "x@[127.0.0.1]",
            "x@other.test",
            "SRS0=aaaa=AA=far.test=x@example.test",
        ] {
            let mut smtp = office.smtp();
            assert_eq!(smtp.command(&format!("MAIL FROM:<{sender}>")).unwrap().code, 250);
            let reply = smtp.command(&format!("RCPT TO:<{recipient}>")).unwrap();
            assert!(reply.code >= 500, "<{sender}> to <{recipient}>: {reply}");
        }
    }
    // Users send as themselves only.
    for sender in ["bob@example.test", "ana@sender.test", "x@far.test"] {
        let reply = login(&office).send(sender, &["x@far.test"], &from_alice("forged")).unwrap();
        assert!(reply.code >= 500, "{sender}: {reply}");
    }
    let reply = login(&office).send("alice@example.test", &["x@far.test"], &from_alice("own"));
    assert_eq!(reply.unwrap().code, 250);
    assert_eq!(sink.wait_for(1).len(), 1);
    assert_eq!(sink.count(At::Sender), 1);
    office.assert_quiet(&[]);
}

/// D1 (RFC 5321 §6.3): what has been passed on a hundred times is passed on no more.
#[test]
fn what_circles_is_refused() {
    let sink = Sink::start();
    let office = Office::start_sending(&[("far.test", sink.address())]);
    let hops = "Received: from a.test by b.test; Tue, 24 Nov 2026 12:00:00 +0000\r\n".repeat(101);
    let text = [hops.as_bytes(), &from_alice("circling")].concat();
    let reply = login(&office).send("alice@example.test", &["x@far.test"], &text).unwrap();
    assert!(reply.code == 554 && reply.text().contains("5.4.6"), "{reply}");
    let reply = office.smtp().send("ana@sender.test", &["bob@example.test"], &text).unwrap();
    assert!(reply.code == 554 && reply.text().contains("5.4.6"), "{reply}");
    assert!(sink.received().is_empty());
}

/// D3: what the other side says, and what a user gives as ORCPT, stays in its place in the report.
#[test]
fn words_of_others_add_no_lines_to_a_report() {
    let sink = Sink::start();
    let evil = "550 5.1.1 no\rBcc: victim@far.test\x00\x07\x1b[31m \u{85}x\u{2028}y\tz";
    sink.add(Rule::say(At::Recipient, evil));
    let office = Office::start_sending(&[("far.test", sink.address())]);
    let mut smtp = login(&office);
    // RFC 3461 §4: what ends a line when it is shown is no xtext.
    let mail = smtp.command("MAIL FROM:<alice@example.test> ENVID=a+0D+0AEvil:+20one RET=HDRS");
    assert_eq!(mail.unwrap().code, 501);
    let mail = smtp.command("MAIL FROM:<alice@example.test> ENVID=a+20Evil:+20one RET=HDRS");
    assert_eq!(mail.unwrap().code, 250);
    let orcpt = "RCPT TO:<x@far.test> NOTIFY=FAILURE ORCPT=rfc822;x+0D+0AEvil:+20two@far.test";
    assert_eq!(smtp.command(orcpt).unwrap().code, 501);
    let orcpt = "RCPT TO:<x@far.test> NOTIFY=FAILURE ORCPT=rfc822;x+20Evil:+20two@far.test";
    assert_eq!(smtp.command(orcpt).unwrap().code, 250);
    assert_eq!(smtp.command("DATA").unwrap().code, 354);
    smtp.stream.send(&dot_stuffed(&from_alice("evil"))).unwrap();
    assert_eq!(smtp.reply().unwrap().code, 250);
    let told = office.wait_for("alice", "INBOX", 1).remove(0).1;
    let text = String::from_utf8_lossy(&told).into_owned();
    for line in text.split("\r\n") {
        assert!(!line.starts_with("Evil:") && !line.starts_with("Bcc:"), "{text}");
        assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
    }
    assert!(text.contains("Final-Recipient: rfc822; x@far.test\r\n"), "{text}");
    assert!(text.contains("Diagnostic-Code: smtp; 550 5.1.1 no"), "{text}");
    // D2: the report is from nobody, and nobody is told of it.
    assert!(text.starts_with("Return-Path: <>\r\n"), "{text}");
}
