//! SMTP under attack, by raw sockets: smuggling (A1), injection before TLS (A2), BDAT (A4), talking
//! too early (A5), endless input (A6), slow peers (B3), passwords (C1, C2), relaying (C3), odd
//! names (C4). The identifiers are those of the project's list of attacks and faults.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tests::message::{message, sized};
use tests::office::{Office, PASSWORD};
use tests::smtp::Smtp;
use tests::stream::Stream;

const ALICE: &str = "alice@example.test";

/// A connection that is ready for content, after DATA.
fn in_data(office: &Office) -> Smtp {
    let mut smtp = office.smtp();
    smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
    smtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap().expect(250).unwrap();
    smtp.command("DATA").unwrap().expect(354).unwrap();
    smtp
}

/// A1: only CRLF.CRLF ends a message; nothing that others may take for its end is accepted, so that
/// nothing smuggled behind it is ever passed on.
#[test]
fn nothing_but_crlf_dot_crlf_ends_a_message() {
    let mut office = Office::start();
    let ends: [&[u8]; 11] = [
        b"\n.\n",
        b"\n.\r",
        b"\r.\n",
        b"\r.\r",
        b"\n.\r\n",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n",
    ];
    for end in ends {
        let smuggled = b"MAIL FROM:<admin@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n\
                         Subject: smuggled\r\n\r\nx";
        let mut text = b"Subject: a\r\n\r\nfirst".to_vec();
        text.extend_from_slice(end);
        text.extend_from_slice(smuggled);
        text.extend_from_slice(b"\r\n.\r\n");
        for cut in [0, text.len() - 1, text.len() / 2, 20, 21, 22, 23] {
            let mut smtp = in_data(&office);
            let (head, tail) = text.split_at(cut);
            smtp.stream.send(head).unwrap();
            smtp.stream.send(tail).unwrap();
            let reply = smtp.reply().unwrap();
            assert!(reply.code >= 500, "{end:?} cut at {cut}: {reply}");
            // The dialogue goes on in step: one reply, to the next command.
            let next = smtp.command("NOOP").unwrap();
            assert_eq!(next.code, 250, "{end:?}: {next}");
        }
    }
    let mut imap = office.imap("bob");
    assert_eq!(imap.select("INBOX").unwrap(), 0, "a smuggled message was delivered");
    let mut imap = office.imap("alice");
    assert_eq!(imap.select("INBOX").unwrap(), 0);
    assert!(office.process().terminate());
}

/// Dot-stuffing, also after blank lines and at the start.
#[test]
fn dots_at_line_starts_survive() {
    let office = Office::start();
    let sent = b"Subject: dots\r\n\r\n.\r\n..\r\n\r\n.a\r\n\r\n.\r\n".to_vec();
    let reply = office.smtp().send("ana@sender.test", &[ALICE], &sent).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let read = office.wait_for("alice", "INBOX", 1);
    assert_eq!(tests::message::without_trace(&read[0].1), Some(sent.as_slice()));
}

/// A2: what was sent in the clear behind STARTTLS is never taken as sent under TLS.
#[test]
fn commands_before_tls_are_not_taken_as_under_tls() {
    let office = Office::start();
    for name in ["smtp", "submission"] {
        let mut smtp = Smtp::connect(office.listener(name)).unwrap();
        smtp.stream.send(b"STARTTLS\r\nEHLO injected.test\r\nNOOP\r\n").unwrap();
        let first = smtp.reply();
        if first.as_ref().is_ok_and(|reply| reply.code == 220) {
            // Discarded: after the handshake nothing is answered unasked, and EHLO is needed anew.
            if smtp.stream.start_tls().is_ok() {
                let reply = smtp.command("MAIL FROM:<a@sender.test>").unwrap();
                assert_eq!(reply.code, 503, "{name}: {reply}");
            }
        } else if let Ok(reply) = first {
            assert!(reply.code >= 500, "{name}: {reply}");
        }
    }
}

/// A4: every way out of BDAT clears the envelope; many tiny chunks cost nothing.
#[test]
fn bdat_cannot_leave_an_envelope_behind() {
    let mut office = Office::start();
    let mut smtp = office.smtp();
    smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
    smtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap().expect(250).unwrap();
    smtp.stream.send(b"BDAT 5\r\nhello").unwrap();
    smtp.reply().unwrap().expect(250).unwrap();
    smtp.command("RSET").unwrap().expect(250).unwrap();
    assert_eq!(smtp.command("DATA").unwrap().code, 503);
    smtp.stream.send(b"BDAT 4 LAST\r\nhell").unwrap();
    let reply = smtp.reply().unwrap();
    assert!(reply.code >= 500, "{reply}");

    let mut smtp = office.smtp();
    smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
    smtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap().expect(250).unwrap();
    let before = office.process().resident_bytes();
    let mut accepted = 0;
    for _ in 0..50 {
        let chunks = b"BDAT 1\r\nx".repeat(200);
        if smtp.stream.send(&chunks).is_err() {
            break;
        }
        for _ in 0..200 {
            match smtp.reply() {
                Ok(reply) if reply.code == 250 => accepted += 1,
                _ => break,
            }
        }
    }
    assert!(accepted > 0);
    let grown = office.process().resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{accepted} chunks of one byte cost {grown} bytes");
}

/// BDAT takes binary content as it is, and a bare LF without BINARYMIME becomes CRLF.
// Covers: EHLO CHUNKING, EHLO BINARYMIME.
#[test]
fn bdat_keeps_binary_and_mends_bare_lf() {
    let office = Office::start();
    let binary =
        b"Subject: b\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\x01\n\xff\r\n".to_vec();
    let mut smtp = office.smtp();
    let from = "ana@sender.test";
    let reply = smtp.send_bdat(from, " BODY=BINARYMIME", ALICE, &binary).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let reply = smtp.send_bdat(from, "", ALICE, b"Subject: lf\n\none\ntwo\r\n").unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let read = office.wait_for("alice", "INBOX", 2);
    let texts: Vec<_> =
        read.iter().map(|(_, text)| tests::message::without_trace(text).unwrap()).collect();
    assert!(texts.contains(&binary.as_slice()), "binary content changed");
    assert!(texts.contains(&b"Subject: lf\r\n\r\none\r\ntwo\r\n".as_slice()), "{texts:?}");
}

/// A5: who talks before the greeting, behind DATA, or another protocol, is not served.
#[test]
fn talking_out_of_turn_is_not_served() {
    let office = Office::start();
    let address = office.listener("smtp");
    let mut stream = Stream::connect(address).unwrap();
    stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b.test>\r\n").unwrap();
    let said = String::from_utf8_lossy(&stream.rest().unwrap()).into_owned();
    assert!(!said.contains("250"), "{said}");

    let mut smtp = office.smtp();
    smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
    smtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap().expect(250).unwrap();
    // Content sent before 354 is either content or refused, never a command.
    smtp.stream.send(b"DATA\r\nSubject: early\r\n\r\nRSET\r\n.\r\nQUIT\r\n").unwrap();
    let said = String::from_utf8_lossy(&smtp.stream.rest().unwrap()).into_owned();
    assert!(!said.contains("250 2.0.0 OK"), "RSET was carried out: {said}");
    assert!(!said.is_empty(), "nothing was answered");
}

/// A6: a line without end, and counts without bound, are refused in bounded memory.
#[test]
fn endless_input_is_refused_in_bounded_memory() {
    let mut office = Office::start();
    let before = office.process().resident_bytes();
    let mut stream = Stream::connect(office.listener("smtp")).unwrap();
    stream.line().unwrap();
    let piece = vec![b'a'; 1 << 16];
    for _ in 0..256 {
        if stream.send(&piece).is_err() {
            break;
        }
    }
    let grown = office.process().resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "a line of 16 MiB cost {grown} bytes");
    stream.close();

    let mut smtp = office.smtp();
    let reply = smtp.command(&format!("NOOP {}", "x".repeat(3_000))).unwrap();
    assert_eq!(reply.code, 500, "{reply}");
    let mut smtp = office.smtp();
    smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
    let last = (0..1_100).map(|_| smtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap()).last();
    let last = last.unwrap();
    assert!([452, 421].contains(&last.code), "{last}");

    // Text lines of any length are taken and kept.
    let mut long = b"Subject: long\r\n\r\n".to_vec();
    long.extend(std::iter::repeat_n(b'y', 200_000));
    long.extend_from_slice(b"\r\n");
    let reply = office.smtp().send("ana@sender.test", &["bob@example.test"], &long).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let read = office.wait_for("bob", "INBOX", 1);
    assert_eq!(tests::message::without_trace(&read[0].1), Some(long.as_slice()));

    let reply = office
        .smtp()
        .command(&format!("MAIL FROM:<ana@sender.test> SIZE={}", 1_u64 << 40))
        .unwrap();
    assert_eq!(reply.code, 552, "{reply}");
    let mut smtp = office.smtp();
    let reply = smtp.send("ana@sender.test", &[ALICE], &sized("huge", 60 << 20));
    assert!(reply.is_err() || reply.is_ok_and(|reply| reply.code == 552), "60 MiB were taken");
    let grown = office.process().resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the refused messages cost {grown} bytes");
}

/// C3: no open relay, whatever the address looks like.
#[test]
fn nobody_relays() {
    let office = Office::start();
    for to in [
        "someone@elsewhere.test",
        "user%elsewhere.test@example.test",
        "@example.test:someone@elsewhere.test",
        "elsewhere.test!someone@example.test",
        "\"someone@elsewhere.test\"@example.test",
        "someone@[127.0.0.1]",
        "nobody@example.test",
        "*)(uid=*@example.test",
        "' OR 1=1 --@example.test",
    ] {
        let mut smtp = office.smtp();
        smtp.command("MAIL FROM:<alice@example.test>").unwrap().expect(250).unwrap();
        let reply = smtp.command(&format!("RCPT TO:<{to}>")).unwrap();
        assert!((500..600).contains(&reply.code), "{to}: {reply}");
        // RFC 5321 §3.3: either reply where all recipients were refused.
        let reply = smtp.command("DATA").unwrap();
        assert!([503, 554].contains(&reply.code), "{reply}");
    }
    // Submission needs authentication, and then only own addresses may send.
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    let reply = smtp.command("MAIL FROM:<alice@example.test>").unwrap();
    assert_eq!(reply.code, 530, "{reply}");
    smtp.login(ALICE, PASSWORD).unwrap();
    let reply = smtp.command("MAIL FROM:<bob@example.test>").unwrap();
    assert_eq!(reply.code, 553, "{reply}");
    smtp.command("RSET").unwrap();
    smtp.command("MAIL FROM:<alice@example.test>").unwrap().expect(250).unwrap();
    let reply = smtp.command("RCPT TO:<someone@elsewhere.test>").unwrap();
    assert_eq!(reply.code, 550, "{reply}");
}

/// C1, C2: wrong passwords and unknown users are told the same; a broken exchange ends only itself.
#[test]
fn a_wrong_password_looks_like_an_unknown_user() {
    let office = Office::start();
    let attempt = |user: &str| {
        let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
        let secret = BASE64.encode(format!("\0{user}\0wrong"));
        smtp.command(&format!("AUTH PLAIN {secret}")).unwrap()
    };
    let known = attempt(ALICE);
    assert_eq!(known.code, 535, "{known}");
    assert_eq!(known, attempt("nobody@example.test"));

    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    assert_eq!(smtp.command("AUTH PLAIN ===").unwrap().code / 100, 5);
    smtp.command("AUTH LOGIN").unwrap().expect(334).unwrap();
    assert_eq!(smtp.command("*").unwrap().code, 501);
    smtp.command("AUTH LOGIN").unwrap().expect(334).unwrap();
    smtp.command(&BASE64.encode(ALICE)).unwrap().expect(334).unwrap();
    smtp.command(&BASE64.encode(PASSWORD)).unwrap().expect(235).unwrap();
}

/// AUTH is not offered in the clear except on loopback, and never on the MX listener.
#[test]
fn the_mx_listener_offers_no_auth() {
    let office = Office::start();
    let offered = office.smtp().ehlo().unwrap();
    assert!(!offered.iter().any(|line| line.starts_with("AUTH")), "{offered:?}");
    for extension in [
        "PIPELINING",
        "8BITMIME",
        "SMTPUTF8",
        "SIZE",
        "CHUNKING",
        "BINARYMIME",
        "ENHANCEDSTATUSCODES",
        "STARTTLS",
        "LIMITS",
    ] {
        let has = offered.iter().any(|line| line.split(' ').next() == Some(extension));
        assert!(has, "{extension} is not offered: {offered:?}");
    }
}

/// B3: a peer that sends nothing is let go; others are served meanwhile.
#[test]
fn many_silent_peers_do_not_stop_others() {
    let office = Office::start();
    let silent: Vec<Stream> =
        (0..200).map_while(|_| Stream::connect(office.listener("smtp")).ok()).collect();
    let reply = office.smtp().send("ana@sender.test", &[ALICE], &message("among")).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    for stream in &silent {
        stream.patience(Duration::from_secs(1)).unwrap();
    }
}
