//! The edge on a real store over in-memory engines, spoken to through an in-process pipe.

mod checks;
mod forwarding;
mod office;
mod submission;

use office::{Office, message};
use proto::smtp::Role;

#[tokio::test(start_paused = true)]
async fn a_message_is_stored_with_its_trace_and_acknowledged_with_its_record() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    client.say("EHLO mail.sender.test").await.expect(250);
    client.say("MAIL FROM:<Bo@sender.test> BODY=8BITMIME").await.expect(250);
    client.say("RCPT TO:<Ana@Example.TEST>").await.expect(250);
    client.say("DATA").await.expect(354);
    let reply = client.say(&format!("{}.", message("hello"))).await;
    let record = reply.text.strip_prefix("250 2.0.0 stored as ").expect("stored").trim().to_owned();
    let [stored] = &office.stored().await[..] else { panic!("one message") };
    assert_eq!(stored.record, record);
    assert_eq!(stored.body, message("hello"));
    assert_eq!(stored.recipients, ["Ana@Example.TEST"]);
    let unfolded = stored.prefix.replace("\r\n\t", " ");
    let lines: Vec<&str> = unfolded.split("\r\n").collect();
    assert_eq!(lines[0], "Return-Path: <Bo@sender.test>");
    let from = "Received: from mail.sender.test ([203.0.113.9]) by mx.example.test with ESMTP id ";
    let rest = lines[1].strip_prefix(from).expect(lines[1]);
    let for_whom = " for <Ana@Example.TEST>; Fri, 15 Jan 2027 08:00:00 +0000";
    assert_eq!(rest.len(), 16 + for_whom.len(), "{rest}");
    assert!(rest.ends_with(for_whom), "{rest}");
    assert_eq!(lines[2..], [""]);
}

// C3: no relay for strangers, whatever an address looks like; C4: odd names are names.
#[tokio::test(start_paused = true)]
async fn recipients_are_ours_or_refused() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    client.say("EHLO mail.sender.test").await.expect(250);
    // C3: mail in our own name from outside is no relaying; what DMARC says of it comes later.
    client.say("MAIL FROM:<ana@example.test>").await.expect(250);
    for (recipient, expected) in [
        ("ana@example.test", "250 2.1.5 "),
        ("ana+lists@example.test", "250 2.1.5 "),
        ("ANA+x+y@EXAMPLE.TEST", "250 2.1.5 "),
        ("\"ana\"@example.test", "250 2.1.5 "),
        ("sales@example.test", "250 2.1.5 "),
        ("both@example.test", "250 2.1.5 "),
        ("Postmaster", "250 2.1.5 "),
        ("postmaster@example.test", "250 2.1.5 "),
        ("abuse@example.test", "250 2.1.5 "),
        ("anything@catch.test", "250 2.1.5 "),
        ("full@example.test", "452 4.2.2 "),
        ("to-full@example.test", "452 4.2.2 "),
        ("nobody@example.test", "550 5.1.1 "),
        ("dangling@example.test", "550 5.1.1 "),
        ("ana%elsewhere.test@example.test", "550 5.1.1 "),
        ("\"ana@elsewhere.test\"@example.test", "550 5.1.1 "),
        ("elsewhere.test!ana@example.test", "550 5.1.1 "),
        ("*)(uid=*@example.test", "553 5.1.3 "),
        ("' OR 1=1 --@example.test", "553 5.1.3 "),
        ("@example.test:ana@elsewhere.test", "550 5.7.1 "),
        ("@elsewhere.test:ana@example.test", "550 5.7.1 "),
        ("ana@elsewhere.test", "550 5.7.1 "),
        ("ana@[127.0.0.1]", "550 5.7.1 "),
        ("ana@sub.example.test", "550 5.7.1 "),
    ] {
        let reply = client.say(&format!("RCPT TO:<{recipient}>")).await;
        assert!(reply.text.starts_with(expected), "{recipient}: {}", reply.text);
    }
    let said = client.say("EHLO again").await;
    assert!(!said.text.contains("AUTH"), "no AUTH for strangers: {}", said.text);
}

// RFC 8601 §5
#[tokio::test(start_paused = true)]
async fn nobody_outside_speaks_of_checks_in_our_name() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    let theirs = "Authentication-Results: mx.sender.test; spf=pass\r\nBcc: x\r\n";
    let text =
        format!("{theirs}Authentication-Results:\r\n MX.example.test; dkim=pass\r\n\r\nhello\r\n");
    client.send("<bo@sender.test>", &["ana@example.test"], &text).await.expect(250);
    let [stored] = &office.stored().await[..] else { panic!("one message") };
    assert_eq!(stored.body, format!("{theirs}\r\nhello\r\n"));
}

// RFC 5321 §6.3
#[tokio::test(start_paused = true)]
async fn a_message_that_goes_in_circles_is_cut() {
    let office = Office::start(Role::Mx).await;
    for (hops, expected) in [(100, "250 2.0.0 "), (101, "554 5.4.6 ")] {
        let received = "Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n".repeat(hops);
        let mut client = office.connect("203.0.113.9").await;
        let reply = client.send("<>", &["ana@example.test"], &(received + &message("x"))).await;
        assert!(reply.text.starts_with(expected), "{hops}: {}", reply.text);
    }
    assert_eq!(office.stored().await.len(), 1);
}

// RFC 5321 §7.2.
#[tokio::test(start_paused = true)]
async fn several_recipients_are_not_told_of_one_another() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("2001:db8::9").await;
    let recipients = ["ana@example.test", "bob@example.test"];
    client.send("<>", &recipients, &message("x")).await.expect(250);
    let [stored] = &office.stored().await[..] else { panic!("one message") };
    assert_eq!(stored.recipients, recipients);
    assert!(
        stored
            .prefix
            .starts_with("Return-Path: <>\r\nReceived: from client.test ([IPv6:2001:db8::9]) by ")
    );
    assert!(!stored.prefix.contains(" for <"), "{}", stored.prefix);
}

// I6
#[tokio::test(start_paused = true)]
async fn who_is_named_twice_gets_one_copy() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    let recipients = ["ana@example.test", "ANA@example.test", "\"ana\"@EXAMPLE.test"];
    client.send("<>", &recipients, &message("x")).await.expect(250);
    let [stored] = &office.stored().await[..] else { panic!("one message") };
    assert_eq!(stored.recipients, ["ana@example.test"]);
}

// What was acknowledged stays so, though the next message on the connection ends in doubt.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_is_told_before_the_next_message_is_tried() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    client.say("EHLO client.test").await.expect(250);
    let one = "MAIL FROM:<>\r\nRCPT TO:<ana@example.test>\r\nBDAT 5 LAST\r\nhello";
    client.send_raw(one.as_bytes()).await;
    for code in [250, 250, 250] {
        client.reply().await.expect(code);
    }
    office.never_answer_after(1);
    client.send_raw(format!("{one}{one}").as_bytes()).await;
    let said = client.rest().await;
    assert_eq!(said.matches("stored as").count(), 1, "{said}");
}

// I12, [β]: whatever a stranger says, nothing is written before its message is accepted.
#[tokio::test(start_paused = true)]
async fn a_stranger_writes_nothing_before_its_message_is_accepted() {
    let office = Office::start(Role::Mx).await;
    let before = office.written();
    let mut client = office.connect("203.0.113.9").await;
    client.begin("<bo@sender.test>", &["ana@example.test", "sales@example.test"]).await;
    let refused = format!("{}bare\nlf\r\n.", message("x"));
    client.say(&refused).await.expect(550);
    client.say("MAIL FROM:<bo@sender.test>").await.expect(250);
    for recipient in ["nobody@example.test", "ana@elsewhere.test"] {
        client.say(&format!("RCPT TO:<{recipient}>")).await.expect(550);
    }
    client.say("RSET").await.expect(250);
    // Content that is broken off, in DATA and between chunks.
    for last in ["DATA\r\nSubject: half", "BDAT 4\r\nhalf"] {
        let mut client = office.connect("203.0.113.10").await;
        let begin = "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ana@example.test>\r\n";
        client.send_raw(format!("{begin}{last}").as_bytes()).await;
        drop(client);
        office.pause(1).await;
    }
    assert_eq!(office.written(), before);
    client.send("<>", &["ana@example.test"], &message("x")).await.expect(250);
    assert_ne!(office.written(), before);
}

// [N]: nobody knows whether it was stored, so nobody is told anything.
#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_closes_without_a_reply() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    client.send("<>", &["ana@example.test"], &message("before")).await.expect(250);
    client.begin("<>", &["ana@example.test"]).await;
    office.never_answer();
    client.send_raw(format!("{}.\r\n", message("x")).as_bytes()).await;
    assert_eq!(client.rest().await, "");
}

// Certainly not stored: the sender keeps it.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_a_temporary_failure() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    client.begin("<>", &["ana@example.test"]).await;
    office.unavailable();
    let reply = client.say(&format!("{}.", message("x"))).await;
    assert!(reply.text.starts_with("451 4.3.2 "), "{}", reply.text);
    client.say("NOOP").await.expect(250);
}

#[tokio::test(start_paused = true)]
async fn draining_completes_the_message_under_way_and_says_goodbye() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    client.begin("<>", &["ana@example.test"]).await;
    office.drain.begin();
    let text = format!("{}.\r\n", message("x"));
    client.send_raw(text.as_bytes()).await;
    let said = client.rest().await;
    assert!(said.starts_with("250 2.0.0 stored as "), "{said}");
    assert!(said.ends_with("421 4.3.2 Service is shutting down, try again\r\n"), "{said}");
    assert_eq!(office.stored().await.len(), 1);
}

// B3: a byte a second buys no time, and nothing of it is kept.
#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_is_cut_off() {
    let office = Office::start(Role::Mx).await;
    let mut client = office.connect("203.0.113.9").await;
    client.begin("<>", &["ana@example.test"]).await;
    let began = tokio::time::Instant::now();
    while client.try_send(b"x").await {
        office.pause(1).await;
        assert!(began.elapsed().as_secs() < 600, "still there");
    }
    assert!(client.rest().await.starts_with("421 4.4.2 "));
    assert!(office.stored().await.is_empty());
}

// B3: silence, and commands without end.
#[tokio::test(start_paused = true)]
async fn a_connection_does_not_last_for_ever() {
    let office = Office::start(Role::Mx).await;
    let mut silent = office.connect("203.0.113.9").await;
    let began = tokio::time::Instant::now();
    assert!(silent.rest().await.starts_with("421 4.4.2 "));
    // RFC 5321 §4.5.3.2.7
    assert_eq!(began.elapsed().as_secs(), 300);

    let mut busy = office.connect("203.0.113.9").await;
    let began = tokio::time::Instant::now();
    while busy.try_send(b"NOOP\r\n").await {
        office.pause(60).await;
        assert!(began.elapsed().as_secs() <= 3_660, "still there");
    }
    assert!(began.elapsed().as_secs() >= 3_600);
    assert!(busy.rest().await.ends_with("421 4.4.2 Too slow, closing\r\n"));
}
