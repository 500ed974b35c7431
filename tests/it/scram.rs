//! SCRAM-SHA-256 and -PLUS at every door where people log in: no password crosses the wire, the
//! server proves itself, and with -PLUS the exchange is bound to its TLS connection.

use tests::imap::Imap;
use tests::office::{Office, PASSWORD};
use tests::scram::Scram;
use tests::smtp::Smtp;

const ALICE: &str = "alice@example.test";

/// Runs the exchange at submission; the code of the reply that ends it.
fn submission(smtp: &mut Smtp, mechanism: &str, mut scram: Scram) -> u16 {
    let reply = smtp.command(&format!("AUTH {mechanism} {}", scram.first())).unwrap();
    if reply.code != 334 {
        return reply.code;
    }
    let reply = smtp.command(&scram.last(&reply.text())).unwrap();
    if reply.code != 334 {
        return reply.code;
    }
    assert!(scram.proves_server(&reply.text()), "{reply}");
    smtp.command("").unwrap().code
}

/// Runs the exchange at IMAP; whether it ended with OK.
fn imap(imap: &mut Imap, mechanism: &str, mut scram: Scram) -> bool {
    let tag = "a1";
    let first = format!("{tag} AUTHENTICATE {mechanism} {}\r\n", scram.first());
    imap.stream.send(first.as_bytes()).unwrap();
    let mut line = || String::from_utf8(imap.stream.line().unwrap().unwrap()).unwrap();
    let said = line();
    let Some(challenge) = said.strip_prefix("+ ") else { return said.starts_with("a1 OK") };
    let last = scram.last(challenge);
    imap.stream.send(format!("{last}\r\n").as_bytes()).unwrap();
    let mut line = || String::from_utf8(imap.stream.line().unwrap().unwrap()).unwrap();
    let said = line();
    let Some(proof) = said.strip_prefix("+ ") else { return said.starts_with("a1 OK") };
    assert!(scram.proves_server(proof), "{said}");
    imap.stream.send(b"\r\n").unwrap();
    loop {
        let said = String::from_utf8(imap.stream.line().unwrap().unwrap()).unwrap();
        if said.starts_with(tag) {
            return said.starts_with("a1 OK");
        }
    }
}

// Covers: EHLO AUTH=SCRAM-SHA-256, CAPABILITY AUTH=SCRAM-SHA-256.
#[test]
fn passwords_are_proved_without_being_sent() {
    let office = Office::start();
    let good = || Scram::unbound('n', ALICE, PASSWORD);
    let door = office.listener("submissions");
    let connect = || Smtp::connect_tls(door).unwrap();
    assert_eq!(submission(&mut connect(), "SCRAM-SHA-256", good()), 235);
    let wrong = Scram::unbound('n', ALICE, "wrong");
    assert_eq!(submission(&mut connect(), "SCRAM-SHA-256", wrong), 535);
    let nobody = Scram::unbound('n', "nobody@example.test", PASSWORD);
    assert_eq!(submission(&mut connect(), "SCRAM-SHA-256", nobody), 535);

    let door = office.listener("imaps");
    let connect = || Imap::connect_tls(door).unwrap();
    assert!(imap(&mut connect(), "SCRAM-SHA-256", good()));
    assert!(!imap(&mut connect(), "SCRAM-SHA-256", Scram::unbound('n', ALICE, "wrong")));
}

// RFC 5802 §6, RFC 9266: what is bound to another connection, or claims that we cannot bind, is
// somebody in between.
// Covers: EHLO AUTH=SCRAM-SHA-256-PLUS, CAPABILITY AUTH=SCRAM-SHA-256-PLUS.
#[test]
fn plus_holds_to_its_own_connection() {
    let office = Office::start();
    for starttls in [false, true] {
        let connect = || {
            if !starttls {
                return Smtp::connect_tls(office.listener("submissions")).unwrap();
            }
            let mut smtp = Smtp::connect(office.listener("submission")).unwrap();
            smtp.starttls().unwrap();
            smtp
        };
        let mut smtp = connect();
        let key = smtp.stream.exporter().unwrap();
        let bound = Scram::bound("tls-exporter", &key, ALICE, PASSWORD);
        assert_eq!(submission(&mut smtp, "SCRAM-SHA-256-PLUS", bound.clone()), 235);
        assert_eq!(submission(&mut connect(), "SCRAM-SHA-256-PLUS", bound), 501);
        let told_otherwise = Scram::unbound('y', ALICE, PASSWORD);
        assert_eq!(submission(&mut connect(), "SCRAM-SHA-256", told_otherwise), 501);
    }
    let mut client = Imap::connect_tls(office.listener("imaps")).unwrap();
    let key = client.stream.exporter().unwrap();
    let bound = Scram::bound("tls-exporter", &key, ALICE, PASSWORD);
    assert!(imap(&mut client, "SCRAM-SHA-256-PLUS", bound.clone()));
    let mut other = Imap::connect_tls(office.listener("imaps")).unwrap();
    assert!(!imap(&mut other, "SCRAM-SHA-256-PLUS", bound));
}

#[test]
fn plus_is_not_offered_in_the_clear() {
    let office = Office::start();
    let offered = Smtp::connect(office.listener("submission")).unwrap().ehlo().unwrap();
    let auth = offered.iter().find(|line| line.starts_with("AUTH ")).unwrap();
    assert!(auth.contains("SCRAM-SHA-256") && !auth.contains("PLUS"), "{auth}");
    let mut smtp = Smtp::connect(office.listener("submission")).unwrap();
    smtp.starttls().unwrap();
    let offered = smtp.ehlo().unwrap();
    assert!(offered.iter().any(|line| line.starts_with("AUTH SCRAM-SHA-256-PLUS ")), "{offered:?}");
}
