//! What is thought of mail from outside, through the real binary and a name server of our own:
//! what a domain asks for is done, and what was found is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use tests::office::{Office, PASSWORD};
use tests::smtp::Smtp;
use tests::zone::{Data, Zone};

const OFF: &str = "[policy]\n# No question about mail leaves this machine. Without these lines all \
                   of it is checked.\nspf = \"off\"\ndkim = false\ndmarc = \"off\"\narc = false\n\
                   reverse = false\n";

/// An office that asks `zone`, with these sections in place of those that switch checks off.
fn office(zone: &Zone, sections: &str) -> Office {
    let mut office = Office::start();
    assert!(office.process().terminate());
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(OFF), "{text}");
    let dns = format!("[dns]\nservers = [\"{}\"]\n\n{sections}\n", zone.address());
    std::fs::write(&config, text.replace(OFF, &dns)).unwrap();
    office.restart();
    office
}

fn txt(text: &str) -> Data {
    Data::Txt(text.to_owned())
}

fn zone() -> Zone {
    let here = "127.0.0.1".parse().unwrap();
    Zone::serve(&[
        ("own.test", txt("v=spf1 ip4:127.0.0.1 -all")),
        ("_dmarc.own.test", txt("v=DMARC1; p=reject")),
        ("bank.test", txt("v=spf1 ip4:192.0.2.1 -all")),
        ("_dmarc.bank.test", txt("v=DMARC1; p=reject; rua=mailto:reports@bank.test")),
        ("shop.test", txt("v=spf1 ip4:192.0.2.1 ~all")),
        ("_dmarc.shop.test", txt("v=DMARC1; p=quarantine")),
        ("1.0.0.127.in-addr.arpa", Data::Ptr("here.own.test".to_owned())),
        ("here.own.test", Data::Address(here)),
    ])
}

fn from(domain: &str, id: &str) -> Vec<u8> {
    format!(
        "Authentication-Results: mail.example.test; dmarc=pass\r\nFrom: Somebody <x@{domain}>\r\n\
         To: alice@example.test\r\nSubject: hello\r\nMessage-ID: <{id}@{domain}>\r\n\r\nhello\r\n"
    )
    .into_bytes()
}

// Issue: DMARC policy honoured (reject: 550; quarantine: Junk).
#[test]
fn what_the_domain_of_from_asks_for_is_done() {
    let zone = zone();
    let office = office(&zone, "");
    let to = ["alice@example.test"];
    let mut smtp = office.smtp();
    let mut send =
        |domain: &str| smtp.send(&format!("x@{domain}"), &to, &from(domain, "1")).unwrap();
    let refused = send("bank.test");
    assert_eq!(refused.code, 550, "{refused}");
    assert!(refused.text().contains("bank.test, whose DMARC policy asks to reject"), "{refused}");
    assert_eq!(send("own.test").code, 250);
    assert_eq!(send("shop.test").code, 250);
    assert_eq!(send("nothing-published.test").code, 250);
    let text = |read: &[(u32, Vec<u8>)], at: usize| {
        String::from_utf8_lossy(&read[at].1).replace("\r\n\t", " ")
    };
    let inbox = office.wait_for("alice", "INBOX", 2);
    let own = text(&inbox, 0);
    let results = "\r\nAuthentication-Results: mail.example.test; iprev=pass (here.own.test) \
        policy.iprev=127.0.0.1; spf=pass smtp.mailfrom=own.test; dkim=none; \
        dmarc=pass (p=reject) header.from=own.test; arc=none\r\n";
    assert!(own.contains(results), "{own}");
    assert_eq!(own.matches("Authentication-Results:").count(), 1, "forged ones go: {own}");
    let nothing = text(&inbox, 1);
    assert!(nothing.contains("spf=none") && nothing.contains("dmarc=none"), "{nothing}");
    let junk = text(&office.wait_for("alice", "Junk", 1), 0);
    assert!(junk.contains("dmarc=fail (p=quarantine) header.from=shop.test"), "{junk}");
}

// Issue: submissions are signed (Ed25519 and RSA) with the keys made by `domain add`, and another
// office that finds them in DNS believes it.
#[test]
fn what_is_submitted_is_signed_and_believed_elsewhere() {
    let first = zone();
    let sender = office(&first, "");
    let mut smtp = Smtp::connect_tls(sender.listener("submissions")).unwrap();
    smtp.ehlo().unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    let message = b"From: alice@example.test\r\nTo: bob@example.test\r\nSubject: signed  text \r\n\
        Content-Type: text/plain\r\n\r\nline  one \r\n\r\n..dots\r\n\r\n\r\n";
    smtp.send("alice@example.test", &["bob@example.test"], message).unwrap().expect(250).unwrap();
    let read = sender.wait_for("bob", "INBOX", 1);
    let read = &read[0].1;
    assert_eq!(String::from_utf8_lossy(read).matches("DKIM-Signature:").count(), 2);
    // As it would arrive elsewhere: by an address that SPF does not allow.
    let keys = sender.admin(&["domain", "keys", "list", "example.test", "--json"], "");
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let mut records = vec![
        ("example.test".to_owned(), txt("v=spf1 ip4:192.0.2.1 -all")),
        ("_dmarc.example.test".to_owned(), txt("v=DMARC1; p=reject")),
    ];
    for key in keys.as_array().unwrap() {
        let word = |name: &str| key[name].as_str().unwrap().to_owned();
        records.push((word("name"), txt(&word("record"))));
    }
    let records: Vec<_> =
        records.iter().map(|(name, data)| (name.as_str(), data.clone())).collect();
    let second = Zone::serve(&records);
    let receiver = office(&second, "");
    let to = ["alice@example.test"];
    let mut smtp = receiver.smtp();
    smtp.send("alice@example.test", &to, read).unwrap().expect(250).unwrap();
    let there = receiver.wait_for("alice", "INBOX", 1);
    let there = String::from_utf8_lossy(&there[0].1).replace("\r\n\t", " ");
    assert_eq!(there.matches("dkim=pass header.d=example.test").count(), 2, "{there}");
    assert!(there.contains("dmarc=pass (p=reject)"), "{there}");
    // Changed on the way, it is not believed.
    let changed = String::from_utf8_lossy(read).replace("line  one", "line two");
    let refused = smtp.send("alice@example.test", &to, changed.as_bytes()).unwrap();
    assert_eq!(refused.code, 550, "{refused}");
}

/// A filter that answers each message by what it says in its subject, and tells what it was asked.
fn filter() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            let lower = head.to_lowercase();
            let length =
                lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length = length.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let body = String::from_utf8_lossy(&body).into_owned();
            let action = ["reject", "add header", "nonsense"]
                .into_iter()
                .find(|action| body.contains(&format!("Subject: {action}\r\n")))
                .unwrap_or("no action");
            let answer = match action {
                "nonsense" => "<html>".to_owned(),
                action => format!("{{\"action\":\"{action}\",\"score\":7.5}}"),
            };
            let mut stream = stream;
            let head_of_answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            drop(stream.write_all(format!("{head_of_answer}{answer}").as_bytes()));
            if tell.send(format!("{head}{body}")).is_err() {
                return;
            }
        }
    });
    (address, told)
}

// Issue: a seam for a spam filter (rspamd by HTTP): its verdict goes to Junk; without it mail flows.
#[test]
fn the_spam_filter_has_a_word() {
    let zone = zone();
    let (address, told) = filter();
    let office = office(&zone, &format!("[spam]\nurl = \"http://{address}\"\n"));
    let mut smtp = office.smtp();
    let mut send = |subject: &str| {
        let message = format!("From: x@own.test\r\nSubject: {subject}\r\n\r\nhello\r\n");
        smtp.send("x@own.test", &["alice@example.test"], message.as_bytes()).unwrap().code
    };
    assert_eq!(send("reject"), 550);
    assert_eq!(send("add header"), 250);
    assert_eq!(send("nonsense"), 250);
    assert_eq!(send("fine"), 250);
    assert_eq!(office.wait_for("alice", "INBOX", 2).len(), 2);
    assert_eq!(office.wait_for("alice", "Junk", 1).len(), 1);
    let asked = told.recv().unwrap().to_lowercase();
    for part in ["post /checkv2 ", "\r\nip: 127.0.0.1\r\n", "\r\nfrom: x@own.test\r\n"] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    assert!(asked.contains("\r\nrcpt: alice@example.test\r\n"), "{asked}");
}

// Issue: moving to and from Junk reported to the filter.
#[test]
fn what_people_move_to_and_from_junk_is_learnt() {
    let zone = zone();
    let (address, told) = filter();
    let office = office(&zone, &format!("[spam]\nlearn_url = \"http://{address}\"\n"));
    let message = b"From: x@own.test\r\nSubject: offer\r\n\r\nhello\r\n";
    let mut smtp = office.smtp();
    smtp.send("x@own.test", &["alice@example.test"], message).unwrap().expect(250).unwrap();
    office.wait_for("alice", "INBOX", 1);
    let mut imap = office.imap("alice");
    for (from, to, expected) in
        [("INBOX", "Junk", "POST /learnspam "), ("Junk", "INBOX", "POST /learnham ")]
    {
        imap.select(from).unwrap();
        imap.command(&format!("MOVE 1 {to}")).unwrap().ok().unwrap();
        let learnt = told.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        assert!(learnt.starts_with(expected) && learnt.contains("Subject: offer"), "{learnt}");
    }
    // What is thrown away out of Junk, or moved about elsewhere, teaches nothing.
    imap.select("INBOX").unwrap();
    imap.command("COPY 1 Archive").unwrap().ok().unwrap();
    imap.command("MOVE 1 Junk").unwrap().ok().unwrap();
    imap.select("Junk").unwrap();
    imap.command("MOVE 1 Trash").unwrap().ok().unwrap();
    assert!(told.recv_timeout(std::time::Duration::from_secs(20)).unwrap().contains("/learnspam"));
    assert!(told.recv_timeout(std::time::Duration::from_millis(500)).is_err());
}

// Issue: keys by `domain add`, rotation with overlap.
#[test]
fn keys_are_rotated_while_the_server_runs() {
    let office = Office::start();
    let keys = |arguments: &[&str]| office.admin(&[&["domain", "keys"], arguments].concat(), "");
    let list = || -> Vec<(String, String)> {
        let json = keys(&["list", "example.test", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let word = |key: &serde_json::Value, name: &str| key[name].as_str().unwrap().to_owned();
        let one = |key| (word(key, "selector"), word(key, "state"));
        json.as_array().unwrap().iter().map(one).collect()
    };
    let signed_by = |count: usize| {
        let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
        smtp.ehlo().unwrap();
        smtp.login("alice@example.test", PASSWORD).unwrap();
        let message = b"From: alice@example.test\r\n\r\nhello\r\n";
        smtp.send("alice@example.test", &["bob@example.test"], message).unwrap();
        let read = office.wait_for("bob", "INBOX", count);
        let text = String::from_utf8_lossy(&read[count - 1].1).replace("\r\n\t", " ");
        let selectors = text.split(" s=").skip(1).filter_map(|rest| rest.split(';').next());
        selectors.map(str::to_owned).collect::<std::collections::BTreeSet<String>>()
    };
    let old = list();
    assert!(old.len() == 2 && old.iter().all(|(_, state)| state == "signing"), "{old:?}");
    let names = |keys: &[(String, String)]| keys.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(signed_by(1), names(&old));
    keys(&["rotate", "example.test"]);
    let shown = office.admin(&["domain", "show", "example.test"], "");
    assert_eq!(shown.matches("._domainkey.example.test").count(), 4, "{shown}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
    office.admin(&["domain", "keys", "rotate", "example.test", "--activate"], "");
    let new: Vec<_> = list().into_iter().filter(|(_, state)| state == "signing").collect();
    assert_eq!(new.len(), 2);
    // A running server knows of it within a second.
    let mut sent = 1;
    tests::wait::until("the new keys to sign", || {
        sent += 1;
        (signed_by(sent) == names(&new)).then_some(())
    });
    for (selector, _) in &old {
        keys(&["remove", "example.test", selector]);
    }
    assert_eq!(list(), new);
    let wrong = office.try_admin(&["domain", "keys", "remove", "example.test", &new[0].0], "");
    assert!(!wrong.status.success(), "it signs");
}
