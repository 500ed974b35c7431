//! Debian's Postfix and exim: what they send we take, what we send they take, over TLS and byte for
//! byte.

use std::net::SocketAddr;

use tests::certificate::Authority;
use tests::message::without_trace;
use tests::office::{Office, PASSWORD};
use tests::peer::{Exim, Postfix, Setup};
use tests::smtp::{Smtp, dot_stuffed};

/// Hands a message to a server with these parameters of MAIL.
fn hand_in(to: SocketAddr, from: &str, parameters: &str, recipient: &str, message: &[u8]) {
    let mut smtp = Smtp::connect(to).unwrap();
    let mail = smtp.command(&format!("MAIL FROM:<{from}> {parameters}")).unwrap();
    assert_eq!(mail.code, 250, "{mail}");
    let rcpt = smtp.command(&format!("RCPT TO:<{recipient}>")).unwrap();
    assert_eq!(rcpt.code, 250, "{rcpt}");
    assert_eq!(smtp.command("DATA").unwrap().code, 354);
    smtp.stream.send(&dot_stuffed(message)).unwrap();
    let end = smtp.reply().unwrap();
    assert_eq!(end.code, 250, "{end}");
}

fn head(id: &str, from: &str, to: &str) -> String {
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {id}\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n\
         Message-ID: <{id}@peer.test>\r\nX-Test-Id: {id}\r\n"
    )
}

/// Messages that go wrong somewhere if anything does: (id, parameters of MAIL, message).
fn hard_ones(from: &str, to: &str) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let plain = |id: &str, body: &str| format!("{}\r\n{body}", head(id, from, to)).into_bytes();
    let mut latin = head("latin", from, to).into_bytes();
    latin.extend(b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n");
    latin.extend(b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe \xa0\x80\xff\r\n");
    let long = "x".repeat(900);
    let large: String = (0..40_000).map(|n| format!("line {n:0>40}\r\n")).collect();
    vec![
        ("dots", "", plain("dots", ".\r\n..\r\n...\r\n.a\r\n\r\n.\r\n\r\n")),
        ("space", "", plain("space", " lead\r\ntrail \r\n\t\r\n\r\n\r\nFrom me\r\n")),
        ("long", "", plain("long", &format!("{long}\r\n.{long}\r\n"))),
        ("latin", "BODY=8BITMIME", latin),
        ("large", "", plain("large", &large)),
        ("empty", "", plain("empty", "")),
    ]
}

/// What `office` shows bob of each message, found by its id.
fn shown(office: &Office, ids: &[&str]) -> Vec<Vec<u8>> {
    let all = office.wait_for("bob", "INBOX", ids.len());
    let of = |id: &str| {
        let field = format!("\r\nX-Test-Id: {id}\r\n");
        let mut found = all.iter().filter(|(_, text)| contains(text, field.as_bytes()));
        let text = found.next().unwrap_or_else(|| panic!("{id} is not there")).1.clone();
        assert!(found.next().is_none(), "{id} is there twice");
        text
    };
    ids.iter().map(|id| of(id)).collect()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// What the peer sends arrives as it was, over TLS.
fn arrives(office: &Office, peer: SocketAddr) {
    let all = hard_ones("ana@peer.test", "bob@example.test");
    for (_, parameters, message) in &all {
        hand_in(peer, "ana@peer.test", parameters, "bob@example.test", message);
    }
    let ids: Vec<_> = all.iter().map(|(id, ..)| *id).collect();
    for ((id, _, sent), read) in all.iter().zip(shown(office, &ids)) {
        let peers = without_trace(&read).unwrap();
        // Behind our own trace stands the peer's Received, then what was handed in.
        assert!(peers.starts_with(b"Received: "), "{id}");
        assert!(read.ends_with(sent), "{id} was changed:\n{}", String::from_utf8_lossy(&read));
        let ours = String::from_utf8_lossy(&read[..read.len() - peers.len()]).into_owned();
        assert!(ours.contains("with ESMTPS"), "{id} came without TLS: {ours}");
    }
    office.assert_quiet(&[]);
}

#[test]
fn postfix_delivers_to_us_over_tls() {
    let (office, authority) = (Office::start(), Authority::new());
    let certificate = authority.issue("mx.peer.test");
    let next = Some(office.listener("smtp"));
    let setup = Setup { domain: "peer.test", at: None, next, certificate: &certificate };
    let postfix = Postfix::start(&setup);
    arrives(&office, postfix.address());
    assert!(postfix.log().contains("Untrusted TLS connection established to 127.0.0.1"));
    // RFC 6531: an address and a header in UTF-8, and an address of ours with a +detail in it.
    let utf8 = format!(
        "{}\r\nGrüße\r\n",
        head("utf8", "ana@peer.test", "bob@example.test").replace("utf8\r\n", "grün\r\n")
    );
    let to = "bob+größe@example.test";
    hand_in(postfix.address(), "änna@peer.test", "SMTPUTF8 BODY=8BITMIME", to, utf8.as_bytes());
    let read = office.wait_for("bob", "INBOX", 7).pop().unwrap().1;
    assert!(read.ends_with(utf8.as_bytes()), "{}", String::from_utf8_lossy(&read));
    let text = String::from_utf8(read).unwrap();
    assert!(text.starts_with("Return-Path: <änna@peer.test>\r\n"), "{text}");
    assert!(text.contains("with UTF8SMTPS"), "{text}");
}

#[test]
fn exim_delivers_to_us_over_tls() {
    let (office, authority) = (Office::start(), Authority::new());
    let certificate = authority.issue("mx.peer.test");
    let next = Some(office.listener("smtp"));
    let setup = Setup { domain: "peer.test", at: None, next, certificate: &certificate };
    let exim = Exim::start(&setup);
    arrives(&office, exim.address());
    assert!(exim.log().contains("X=TLS1.3"), "{}", exim.log());
}

/// Submits as alice, with these parameters of MAIL.
fn submit(office: &Office, parameters: &str, to: &[&str], message: &[u8]) {
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    let mail = smtp.command(&format!("MAIL FROM:<alice@example.test> {parameters}")).unwrap();
    assert_eq!(mail.code, 250, "{mail}");
    for to in to {
        let rcpt = smtp.command(&format!("RCPT TO:<{to}>")).unwrap();
        assert_eq!(rcpt.code, 250, "{rcpt}");
    }
    assert_eq!(smtp.command("DATA").unwrap().code, 354);
    smtp.stream.send(&dot_stuffed(message)).unwrap();
    let end = smtp.reply().unwrap();
    assert_eq!(end.code, 250, "{end}");
}

fn body(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    &message[end + 4..]
}

/// The one message of `all` with this id.
fn one<'a>(all: &'a [Vec<u8>], id: &str) -> &'a [u8] {
    let field = format!("\r\nX-Test-Id: {id}\r\n");
    let mut found = all.iter().filter(|text| contains(text, field.as_bytes()));
    let text = found.next().unwrap_or_else(|| panic!("{id} is not there"));
    assert!(found.next().is_none(), "{id} is there twice");
    text
}

#[test]
fn postfix_and_exim_take_what_we_send_over_tls() {
    let authority = Authority::new();
    let certificate = authority.issue("mx.peer.test");
    let setup = |domain| Setup { domain, at: None, next: None, certificate: &certificate };
    let (postfix, exim) =
        (Postfix::start(&setup("postfix.test")), Exim::start(&setup("exim.test")));
    let routes = [("postfix.test", postfix.address()), ("exim.test", exim.address())];
    let office = Office::start_sending(&routes);
    let all = hard_ones("alice@example.test", "ben@postfix.test");
    for (_, parameters, message) in &all {
        submit(&office, parameters, &["ben@postfix.test", "eva@exim.test"], message);
    }
    let at_postfix = postfix.wait_for(all.len());
    let at_exim = exim.wait_for(all.len());
    for (id, _, sent) in &all {
        for (peer, tls, read) in [
            ("postfix", "(using TLSv1.3 ", one(&at_postfix, id)),
            ("exim", "with esmtps  (TLS1.3) ", one(&at_exim, id)),
        ] {
            let text = String::from_utf8_lossy(read);
            assert_eq!(body(read), body(sent), "{id} was changed on its way to {peer}:\n{text}");
            assert!(text.contains(tls), "{id} reached {peer} without TLS:\n{text}");
        }
    }
    // RFC 6531
    let utf8 = format!(
        "{}\r\nGrüße\r\n",
        head("utf8", "alice@example.test", "bén@postfix.test").replace("ject: utf8", "ject: grün")
    );
    submit(&office, "SMTPUTF8 BODY=8BITMIME", &["bén@postfix.test"], utf8.as_bytes());
    let read = postfix.wait_for(all.len() + 1);
    let read = String::from_utf8(one(&read, "utf8").to_vec()).unwrap();
    assert!(read.contains("\r\nDelivered-To: bén@postfix.test\r\n"), "{read}");
    assert!(
        read.contains("\r\nSubject: grün\r\n") && read.ends_with("\r\n\r\nGrüße\r\n"),
        "{read}"
    );
    office.assert_quiet(&[]);
}
