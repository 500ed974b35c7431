//! Each extension that the SMTP listeners offer, and each limit, through the real binary.

use tests::message::{message, sized, without_trace};
use tests::office::{Office, PASSWORD};
use tests::smtp::{Smtp, dot_stuffed};
use tests::stream::Stream;
use tests::wait;

const ALICE: &str = "alice@example.test";

/// RFC 2920: a whole transaction and the next in one write, answered in order.
// Covers: EHLO PIPELINING.
#[test]
fn pipelined_transactions_are_answered_in_order() {
    let office = Office::start();
    let mut smtp = office.smtp();
    let mut all = Vec::new();
    for to in ["bob@example.test", "nobody@example.test", ALICE] {
        all.extend(format!("MAIL FROM:<ana@sender.test>\r\nRCPT TO:<{to}>\r\n").into_bytes());
        all.extend(b"NOOP\r\nRSET\r\n");
    }
    all.extend(b"MAIL FROM:<ana@sender.test>\r\nRCPT TO:<nobody@example.test>\r\n");
    all.extend(b"RCPT TO:<alice@example.test>\r\nDATA\r\n");
    smtp.stream.send(&all).unwrap();
    let codes: Vec<u16> = (0..16).map(|_| smtp.reply().unwrap().code).collect();
    let (yes, no) = ([250, 250, 250, 250], [250, 550, 250, 250]);
    assert_eq!(codes, [&yes[..], &no, &yes, &[250, 550, 250, 354]].concat());
    // The end of one message and the whole envelope of the next.
    let mut end = dot_stuffed(&message("first"));
    end.extend(b"MAIL FROM:<ana@sender.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n");
    smtp.stream.send(&end).unwrap();
    let codes: Vec<u16> = (0..4).map(|_| smtp.reply().unwrap().code).collect();
    assert_eq!(codes, [250, 250, 250, 354]);
    smtp.stream.send(&dot_stuffed(&message("second"))).unwrap();
    smtp.reply().unwrap().expect(250).unwrap();
    assert_eq!(office.wait_for("alice", "INBOX", 2).len(), 2);
}

/// RFC 6152, RFC 6531: bytes and addresses outside ASCII, said and as they are.
// Covers: EHLO 8BITMIME, EHLO SMTPUTF8.
#[test]
fn eight_bits_and_utf8_addresses_are_taken() {
    let office = Office::start();
    office.admin(&["alias", "add", "gr\u{fc}n@example.test", ALICE], "");
    let text = "Subject: Gr\u{fc}\u{df}e\r\n\r\n\u{fc}ber \u{ff}\r\n".as_bytes();
    let mut latin = text.to_vec();
    latin.extend(b"\xe4\xf6\xfc\r\n");
    let mut smtp = office.smtp();
    let reply = smtp.send_bdat("ana@sender.test", " BODY=8BITMIME", ALICE, &latin).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    // NFC and NFD are one address; the sender's domain is IDN.
    let to = "gru\u{308}n@example.test";
    let from = "andr\u{e9}@b\u{fc}cher.test";
    let reply = smtp.send_bdat(from, " SMTPUTF8 BODY=8BITMIME", to, text).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    // RFC 6531 §3.2: an address outside ASCII needs the parameter.
    let reply = smtp.command(&format!("MAIL FROM:<{from}>")).unwrap();
    assert_eq!(reply.code / 100, 5, "{reply}");
    let read = office.wait_for("alice", "INBOX", 2);
    let read: Vec<_> = read.iter().map(|(_, read)| without_trace(read).unwrap()).collect();
    assert_eq!(read, [&latin[..], text]);
}

/// RFC 5321 §4.5.1 and the project's rules of addresses.
/// RFC 5321 §4.1.1.3; RFC 5233.
#[test]
fn addresses_reach_whom_they_mean() {
    let office = Office::start();
    office.admin(&["domain", "add", "b\u{fc}cher.test"], "");
    office.admin(&["alias", "add", "@b\u{fc}cher.test", "bob@example.test"], "");
    office.admin(&["alias", "add", "alice+exact@example.test", "bob@example.test"], "");
    let mut smtp = office.smtp();
    let mut send = |to: &str, id: &str| {
        let reply = smtp.send("ana@sender.test", &[to], &message(id)).unwrap();
        assert_eq!(reply.code, 250, "{to}: {reply}");
    };
    for (number, to) in [
        "ALICE@EXAMPLE.TEST",
        "Alice+news@example.test",
        "\"alice\"@example.test",
        "alice+@example.test",
    ]
    .iter()
    .enumerate()
    {
        send(to, &format!("alice-{number}"));
    }
    for (number, to) in
        ["alice+exact@example.test", "anybody@xn--bcher-kva.test"].iter().enumerate()
    {
        send(to, &format!("bob-{number}"));
    }
    for (number, to) in
        ["postmaster", "Postmaster@example.test", "abuse@example.test"].iter().enumerate()
    {
        send(to, &format!("admin-{number}"));
    }
    office.wait_for("alice", "INBOX", 4);
    office.wait_for("bob", "INBOX", 2);
    office.wait_for("admin", "INBOX", 3);
}

/// A bounce has no sender; one message for several is there once for each, also when named twice.
#[test]
fn envelopes_are_kept_to() {
    let office = Office::start();
    let to = [ALICE, "bob@example.test", "Alice@example.test", "alice+x@example.test"];
    let reply = office.smtp().send("", &to, &message("all")).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    for user in ["alice", "bob"] {
        let read = office.wait_for(user, "INBOX", 1);
        assert_eq!(read.len(), 1, "{user}");
        assert!(read[0].1.starts_with(b"Return-Path: <>\r\n"));
    }
    assert_eq!(office.imap("alice").select("INBOX").unwrap(), 1);
}

/// Old and small commands.
// Covers: EHLO HELP, EHLO ENHANCEDSTATUSCODES.
#[test]
fn the_small_commands_answer() {
    let office = Office::start();
    let mut smtp = Smtp { stream: Stream::connect(office.listener("smtp")).unwrap() };
    smtp.reply().unwrap().expect(220).unwrap();
    smtp.command("MAIL FROM:<a@sender.test>").unwrap().expect(503).unwrap();
    smtp.command("HELO client.test").unwrap().expect(250).unwrap();
    for (command, code) in [
        ("NOOP and more", 250),
        ("HELP", 214),
        ("VRFY alice", 252),
        ("EXPN alice", 502),
        ("TURN", 502),
        ("NONSENSE", 500),
        ("RCPT TO:<alice@example.test>", 503),
        ("DATA", 503),
        ("MAIL FROM:ana@sender.test extra", 501),
        ("MAIL FROM:<ana@sender.test> SIZE=abc", 501),
        ("MAIL FROM:<ana@sender.test> UNKNOWN=1", 555),
        ("MAIL FROM:<ana@sender.test>", 250),
        ("MAIL FROM:<ana@sender.test>", 503),
        ("RSET", 250),
        ("QUIT", 221),
    ] {
        let reply = smtp.command(command).unwrap();
        assert_eq!(reply.code, code, "{command}: {reply}");
        // RFC 2034: each reply but 3xx has an enhanced code of its class.
        let (class, _) = reply.lines[0].split_once('.').unwrap();
        assert_eq!(class, (code / 100).to_string(), "{command}: {reply}");
    }
    assert!(smtp.stream.rest().unwrap().is_empty());
}

/// RFC 9422: what LIMITS says is so, and what the configuration says.
// Covers: EHLO SIZE, EHLO LIMITS.
#[test]
fn the_limits_that_are_told_hold() {
    let mut office = Office::start();
    office.configure(&[
        ("[limits]", "message_size_max = \"100KiB\""),
        ("", "[smtp]\nrecipients_max = 100\nmessages_max = 2\nerrors_max = 4"),
    ]);
    let mut smtp = office.smtp();
    let offered = smtp.ehlo().unwrap();
    for line in ["SIZE 102400", "LIMITS MAILMAX=2 RCPTMAX=100"] {
        assert!(offered.iter().any(|offer| offer == line), "{line}: {offered:?}");
    }
    smtp.command("MAIL FROM:<ana@sender.test> SIZE=102401").unwrap().expect(552).unwrap();
    smtp.command("MAIL FROM:<ana@sender.test> SIZE=102400").unwrap().expect(250).unwrap();
    for number in 0..101 {
        let reply = smtp.command(&format!("RCPT TO:<alice+{number}@example.test>")).unwrap();
        assert_eq!(reply.code, if number < 100 { 250 } else { 452 }, "{reply}");
    }
    smtp.command("RSET").unwrap();
    // Too large without having said so: refused when whole, and by BDAT.
    let mut smtp = office.smtp();
    let large = sized("large", 110_000);
    let reply = smtp.send("ana@sender.test", &[ALICE], &large).unwrap();
    assert_eq!(reply.code, 552, "{reply}");
    let mut smtp = office.smtp();
    let reply = smtp.send_bdat("ana@sender.test", "", ALICE, &large).unwrap();
    assert_eq!(reply.code, 552, "{reply}");
    // The third message of a connection, the fifth mistake: not served.
    let mut smtp = office.smtp();
    for id in ["one", "two"] {
        smtp.send("ana@sender.test", &[ALICE], &message(id)).unwrap().expect(250).unwrap();
    }
    let reply = smtp.command("MAIL FROM:<ana@sender.test>").unwrap();
    assert!([421, 452].contains(&reply.code), "{reply}");
    let mut smtp = office.smtp();
    let codes: Vec<u16> =
        (0..6).map_while(|_| smtp.command("NONSENSE").ok()).map(|reply| reply.code).collect();
    assert!(codes.contains(&421) && codes.len() <= 6, "{codes:?}");
    assert_eq!(office.wait_for("alice", "INBOX", 2).len(), 2);
}

/// B3: connections, their rate and their times are bounded, for each address.
#[test]
fn connections_and_their_times_are_bounded() {
    let mut office = Office::start();
    office.configure(&[
        ("", "[smtp]\ncommand = \"1s\""),
        ("[limits]", "connections_per_address_max = 5\nhandshake = \"1s\""),
        ("", "[imap]\nlogin = \"1s\""),
    ]);
    // Trusted networks have no bound but on the whole.
    let open: Vec<_> = (0..10).map(|_| office.smtp()).collect();
    drop(open);
    let mut idle = office.smtp();
    assert_eq!(idle.reply().unwrap().code, 421);
    assert!(idle.stream.rest().unwrap().is_empty());
    let mut idle = Stream::connect(office.listener("imap")).unwrap();
    let said = String::from_utf8_lossy(&idle.rest().unwrap()).into_owned();
    assert!(said.contains("* BYE"), "{said}");
    let mut idle = Stream::connect(office.listener("imaps")).unwrap();
    assert!(idle.rest().unwrap_or_default().is_empty(), "a handshake that never comes");

    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let trusted = "trusted = [\"127.0.0.0/8\", \"::1\"]";
    assert!(text.contains(trusted));
    let bounded = "trusted = []\nconnections_per_minute_max = 12";
    let text = text.replace(trusted, bounded).replace("command = \"1s\"", "command = \"1m\"");
    assert!(office.process().terminate());
    std::fs::write(&config, text).unwrap();
    office.restart();
    let greeted = |office: &Office| {
        let mut stream = Stream::connect(office.listener("smtp")).unwrap();
        let line = stream.line().ok().flatten().unwrap_or_default();
        line.starts_with(b"220").then_some(stream)
    };
    let open: Vec<_> = (0..7).map_while(|_| greeted(&office)).collect();
    assert_eq!(open.len(), 5, "at once");
    drop(open);
    let mut more = 0;
    wait::until("the rate to be reached", || {
        more += usize::from(greeted(&office).is_some());
        (more > 12).then_some(false).or_else(|| {
            let refused = (0..3).all(|_| greeted(&office).is_none());
            refused.then_some(true)
        })
    });
    assert!(more <= 12, "{more} in a minute");
}

/// What a submission lacks is added, and Bcc goes.
#[test]
fn submissions_are_completed() {
    let office = Office::start();
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login(ALICE, PASSWORD).unwrap();
    let text = b"From: alice@example.test\r\nTo: bob@example.test\r\nBcc: admin@example.test,\r\n\
        \x20 carol@example.test\r\nSubject: hi\r\n\r\nHello\r\n";
    smtp.send(ALICE, &["bob@example.test"], text).unwrap().expect(250).unwrap();
    let read = office.wait_for("bob", "INBOX", 1);
    let read = String::from_utf8_lossy(&read[0].1).into_owned();
    assert!(!read.contains("Bcc") && !read.contains("carol"), "{read}");
    for field in ["\r\nMessage-ID: <", "\r\nDate: ", "\r\nSubject: hi\r\n"] {
        assert_eq!(read.matches(field).count(), 1, "{field}: {read}");
    }
    assert!(read.ends_with("\r\n\r\nHello\r\n"), "{read}");
    // C3: nor may From be another's; a display name of anybody may.
    let foreign = b"From: Bob <bob@example.test>\r\nSubject: x\r\n\r\n.\r\n";
    let reply = smtp.send(ALICE, &["bob@example.test"], foreign).unwrap();
    assert_eq!(reply.code, 550, "{reply}");
    assert!(reply.text().starts_with("5.7.1"), "{reply}");
}

/// What was acknowledged is delivered although the quota has filled meanwhile [R].
#[test]
fn what_was_acknowledged_is_delivered_to_a_full_account() {
    let office = Office::start();
    office.admin(&["account", "quota", ALICE, "1KiB"], "");
    let mut all: Vec<Smtp> = (0..4).map(|_| office.smtp()).collect();
    for smtp in &mut all {
        smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
        smtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap().expect(250).unwrap();
        smtp.command("DATA").unwrap().expect(354).unwrap();
    }
    for (number, smtp) in all.iter_mut().enumerate() {
        smtp.stream.send(&dot_stuffed(&sized(&format!("full-{number}"), 700))).unwrap();
        smtp.reply().unwrap().expect(250).unwrap();
    }
    assert_eq!(office.wait_for("alice", "INBOX", 4).len(), 4);
    let reply = wait::until("the refusal", || {
        let mut smtp = office.smtp();
        smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
        let reply = smtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap();
        (reply.code == 452).then_some(reply)
    });
    assert!(reply.text().starts_with("4.2.2"), "{reply}");
}

/// B3: content that trickles is cut off, and so is who takes nothing of what he asked for.
#[test]
fn who_is_too_slow_is_cut_off() {
    let mut office = Office::start();
    office.configure(&[
        ("[limits]", "content_window = \"1s\"\ncontent_min = \"6KiB\"\nwrite_stall = \"1s\""),
        ("", "[imap]\nidle = \"1s\""),
    ]);
    let mut smtp = office.smtp();
    smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
    smtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap().expect(250).unwrap();
    smtp.command("DATA").unwrap().expect(354).unwrap();
    let mut sent = 0;
    wait::until("the end of patience", || {
        wait::pause(std::time::Duration::from_millis(20));
        sent += 1;
        smtp.stream.send(b"x\r\n").is_err().then_some(())
    });
    assert!(sent > 10, "not at once");
    // A large answer that nobody reads; who says nothing is logged out.
    let mut imap = office.imap("alice");
    imap.append("INBOX", "", &sized("large", 12 << 20)).unwrap().ok().unwrap();
    imap.select("INBOX").unwrap();
    imap.stream.send(b"a FETCH 1 BODY.PEEK[]\r\n").unwrap();
    let mut idle = office.imap("bob");
    let said = String::from_utf8_lossy(&idle.stream.rest().unwrap()).into_owned();
    assert!(said.contains("* BYE"), "{said}");
    let address = office.listener("imap");
    wait::until("the stalled one to be let go", || {
        // Its socket is gone from the system's table, or all of the answer was buffered.
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!(":{:04X} ", address.port());
        let open = table.lines().filter(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let local = words.get(1).is_some_and(|local| format!("{local} ").ends_with(&port));
            local && words.get(3) == Some(&"01")
        });
        (open.count() == 0).then_some(())
    });
    assert_eq!(office.imap("alice").select("INBOX").unwrap(), 1);
}

/// RFC 4954: when AUTH may be said, and what it changes.
// Covers: EHLO AUTH, EHLO STARTTLS.
#[test]
fn auth_keeps_its_order() {
    let office = Office::start();
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    assert_eq!(smtp.command("AUTH NONSENSE").unwrap().code, 504);
    assert_eq!(smtp.command("AUTH").unwrap().code, 501);
    smtp.login(ALICE, PASSWORD).unwrap();
    assert_eq!(smtp.command("AUTH PLAIN").unwrap().code, 503);
    smtp.command("MAIL FROM:<alice@example.test>").unwrap().expect(250).unwrap();
    assert_eq!(smtp.command("AUTH PLAIN").unwrap().code, 503);
    smtp.command("RSET").unwrap().expect(250).unwrap();
    // The address of an alias that is hers alone may send; that of another may not.
    office.admin(&["alias", "add", "ali@example.test", ALICE], "");
    office.admin(&["alias", "add", "both@example.test", ALICE, "bob@example.test"], "");
    for (from, code) in [
        ("ali@example.test", 250),
        ("alice+x@example.test", 250),
        ("both@example.test", 553),
        ("bob@example.test", 553),
        ("alice@elsewhere.test", 553),
        ("", 250),
    ] {
        let reply = smtp.command(&format!("MAIL FROM:<{from}>")).unwrap();
        assert_eq!(reply.code, code, "{from}: {reply}");
        smtp.command("RSET").unwrap().expect(250).unwrap();
    }
    // STARTTLS forgets: there is no second one, and EHLO is needed anew.
    let mut smtp = Smtp::connect(office.listener("submission")).unwrap();
    smtp.starttls().unwrap();
    let offered = smtp.ehlo().unwrap();
    assert!(!offered.iter().any(|line| line == "STARTTLS"), "{offered:?}");
    assert_eq!(smtp.command("STARTTLS").unwrap().code / 100, 5);
}
