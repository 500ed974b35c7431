//! Submission: AUTH, whose addresses are whose, and where mail may go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use net::ThrottleOptions;
use proto::smtp::Role;

use super::office::{Client, Office, message};

fn plain(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")))
}

async fn ana(office: &Office) -> Client {
    let mut client = office.connect("127.0.0.1").await;
    client.say("EHLO laptop.test").await.expect(250);
    client.say(&plain("Ana@Example.test", "pencil")).await.expect(235);
    client
}

// RFC 6409 §6.1; RFC 8098 §2.
#[tokio::test(start_paused = true)]
async fn mail_needs_a_login_and_a_sender_of_ones_own() {
    let office = Office::start(Role::Submission).await;
    let mut client = office.connect("127.0.0.1").await;
    client.say("EHLO laptop.test").await.expect(250);
    let reply = client.say("MAIL FROM:<ana@example.test>").await;
    assert!(reply.text.starts_with("530 5.7.0 "), "{}", reply.text);
    let mut client = ana(&office).await;
    for (sender, expected) in [
        ("<ana@example.test>", "250 2.1.0 "),
        ("<ANA+shop@example.test>", "250 2.1.0 "),
        // An alias that names only her, and one that does not.
        ("<sales@example.test>", "250 2.1.0 "),
        ("<both@example.test>", "553 5.7.1 "),
        ("<bob@example.test>", "553 5.7.1 "),
        ("<nobody@example.test>", "553 5.7.1 "),
        ("<ana@elsewhere.test>", "553 5.7.1 "),
        ("<>", "250 2.1.0 "),
    ] {
        let reply = client.say(&format!("MAIL FROM:{sender}")).await;
        assert!(reply.text.starts_with(expected), "{sender}: {}", reply.text);
        client.say("RSET").await.expect(250);
    }
    client.say("MAIL FROM:<ana@example.test>").await.expect(250);
    for (recipient, expected) in [
        ("bob@example.test", "250 2.1.5 "),
        ("nobody@example.test", "550 5.1.1 "),
        ("someone@elsewhere.test", "550 5.7.1 "),
    ] {
        let reply = client.say(&format!("RCPT TO:<{recipient}>")).await;
        assert!(reply.text.starts_with(expected), "{recipient}: {}", reply.text);
    }
}

// C3: what people see in From is checked too.
#[tokio::test(start_paused = true)]
async fn from_is_ones_own_too() {
    let office = Office::start(Role::Submission).await;
    for (from, expected) in [
        ("Ana <ana@example.test>", "250 2.0.0 "),
        ("\"Sales\" <sales@example.test>", "250 2.0.0 "),
        ("Bob <bob@example.test>", "550 5.7.1 "),
        ("ana@example.test, bob@example.test", "550 5.7.1 "),
        ("ana@example.test\r\nFrom: bob@example.test", "550 5.7.1 "),
        ("Boss <boss@elsewhere.test>", "550 5.7.1 "),
    ] {
        let mut client = ana(&office).await;
        let text = format!("From: {from}\r\n{}", message("x"));
        let reply = client.send("<ana@example.test>", &["bob@example.test"], &text).await;
        assert!(reply.text.starts_with(expected), "{from}: {}", reply.text);
    }
    let stored = office.stored().await;
    assert_eq!(stored.len(), 2);
    let unfolded = stored[0].prefix.replace("\r\n\t", " ");
    assert!(unfolded.contains(" with ESMTPA id "), "{unfolded}");
}

// C1: known and unknown users, disabled accounts and refused clients are told the same.
#[tokio::test(start_paused = true)]
async fn wrong_is_wrong_whoever_it_is() {
    let office = Office::start(Role::Submission).await;
    let mut replies = vec![];
    for user in ["ana@example.test", "nobody@example.test", "off@example.test", "no address"] {
        let mut client = office.connect("127.0.0.1").await;
        client.say("EHLO x").await.expect(250);
        replies.push(client.say(&plain(user, "wrong")).await.text);
    }
    let mut client = office.connect("127.0.0.1").await;
    client.say("EHLO x").await.expect(250);
    // The right password of an account that may not log in; acting as somebody else.
    replies.push(client.say(&plain("off@example.test", "pencil")).await.text);
    let as_bob = STANDARD.encode("bob@example.test\0ana@example.test\0pencil");
    replies.push(client.say(&format!("AUTH PLAIN {as_bob}")).await.text);
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
    assert_eq!(replies[0], "535 5.7.8 Wrong user name or password\r\n");
    let as_herself = STANDARD.encode("ANA@example.test\0ana@example.test\0pencil");
    client.say(&format!("AUTH PLAIN {as_herself}")).await.expect(235);
}

// C1: nor does time tell who exists. Attempts take turns, so that a busy machine slows all alike.
#[tokio::test]
async fn a_wrong_password_takes_as_long_whoever_it_is_for() {
    let trusted = vec!["127.0.0.1".parse().unwrap()];
    let throttle = ThrottleOptions { trusted, ..ThrottleOptions::default() };
    let office = Office::start_with(Role::Submission, 20_000, throttle).await;
    let users = ["ana@example.test", "nobody@example.test", "off@example.test"];
    let mut times = [const { vec![] }; 3];
    for _ in 0..15 {
        for (user, times) in users.iter().zip(&mut times) {
            let mut client = office.connect("127.0.0.1").await;
            client.say("EHLO x").await.expect(250);
            times.push(office.timed(client.say(&plain(user, "wrong"))).await);
        }
    }
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*most < *least * 2, "{users:?} take {medians:?}");
}

// C1: guessing gets slow, then the address is refused; a right password does not help it then.
#[tokio::test(start_paused = true)]
async fn guessing_gets_slow_and_is_then_refused() {
    let office = Office::start(Role::Submission).await;
    let began = tokio::time::Instant::now();
    for _ in 0..60 {
        let mut client = office.connect("127.0.0.1").await;
        client.say("EHLO x").await.expect(250);
        client.say(&plain("ana@example.test", "guess")).await.expect(535);
    }
    assert!(began.elapsed().as_secs() > 60, "{:?}", began.elapsed());
    let mut client = office.connect("127.0.0.1").await;
    client.say("EHLO x").await.expect(250);
    client.say(&plain("ana@example.test", "pencil")).await.expect(535);
}

#[tokio::test(start_paused = true)]
async fn auth_is_offered_on_loopback_or_under_tls_only() {
    let office = Office::start(Role::Submission).await;
    let mut far = office.connect("203.0.113.9").await;
    let said = far.say("EHLO x").await;
    assert!(!said.text.contains("AUTH"), "{}", said.text);
    let reply = far.say(&plain("ana@example.test", "pencil")).await;
    assert!(reply.text.starts_with("538 5.7.11 "), "{}", reply.text);
    let mut near = office.connect("::1").await;
    let said = near.say("EHLO x").await;
    assert!(said.text.contains("250 AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n"), "{}", said.text);
}

// The whole of SCRAM is tested where it lives; here, that the directory's verifiers reach it.
#[tokio::test(start_paused = true)]
async fn scram_shows_known_and_unknown_users_a_salt() {
    let office = Office::start(Role::Submission).await;
    let mut salts = vec![];
    for user in ["ana@example.test", "nobody@example.test", "nobody@example.test"] {
        let mut client = office.connect("127.0.0.1").await;
        client.say("EHLO x").await.expect(250);
        let first = STANDARD.encode(format!("n,,n={user},r=abc"));
        let reply = client.say(&format!("AUTH SCRAM-SHA-256 {first}")).await;
        let challenge = reply.text.strip_prefix("334 ").expect("a challenge").trim();
        let challenge = String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap();
        assert!(challenge.starts_with("r=abc") && challenge.ends_with(",i=4096"), "{challenge}");
        salts.push(challenge.split(',').nth(1).unwrap().to_owned());
        client.say("biws").await.expect(501);
    }
    assert_eq!(salts[0], format!("s={}", STANDARD.encode([7; 16])));
    assert!(salts[1] != salts[0] && salts[1] == salts[2]);
}

// docs/rules.md, *Addresses and text*: nothing else is changed.
// RFC 6409 §8.1, §8.3.
#[tokio::test(start_paused = true)]
async fn a_submission_loses_bcc_and_gets_what_it_lacks() {
    let office = Office::start(Role::Submission).await;
    let mut client = ana(&office).await;
    let to = ["bob@example.test"];
    let text = "From: ana@example.test\r\nBcc: a@x.test,\r\n b@x.test\r\nX: y\r\n\r\nBcc: body\r\n";
    client.send("<ana@example.test>", &to, text).await.expect(250);
    let whole = "Date: x\r\nMESSAGE-ID: <y>\r\n\r\n";
    client.send("<ana@example.test>", &to, whole).await.expect(250);
    let stored = office.stored().await;
    let bodies: Vec<&str> = stored.iter().map(|found| found.body.as_str()).collect();
    let changed = bodies.iter().find(|body| body.starts_with("From")).unwrap();
    let date = "From: ana@example.test\r\nX: y\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n";
    let rest = changed.strip_prefix(date).expect(changed);
    let id =
        rest.strip_prefix("Message-ID: <").and_then(|rest| rest.split_once("@mx.example.test>"));
    let (id, rest) = id.expect(changed);
    assert_eq!((id.len(), rest), (32, "\r\n\r\nBcc: body\r\n"));
    assert!(bodies.contains(&whole), "{bodies:?}");
}

// RFC 4954 §6: 454 4.7.0 is temporary. C1: whoever it is.
#[tokio::test(start_paused = true)]
async fn when_too_many_passwords_wait_to_be_checked_more_are_told_to_come_again() {
    let work = engine::Work::new(0, 0);
    let office = Office::start_on(Role::Submission, 4096, ThrottleOptions::default(), work).await;
    for user in ["ana@example.test", "nobody@example.test"] {
        let mut client = office.connect("127.0.0.1").await;
        client.say("EHLO x").await.expect(250);
        let refused = client.say(&plain(user, "pencil")).await.text;
        assert_eq!(refused, "454 4.7.0 Temporary authentication failure\r\n");
    }
}

// RFC 6376: what our people send is signed for their domain, once by each kind of key.
#[tokio::test(start_paused = true)]
async fn submissions_are_signed() {
    let office = Office::start(Role::Submission).await;
    let mut client = ana(&office).await;
    let text = format!("From: ana@example.test\r\nBcc: secret@example.test\r\n{}", message("x"));
    client.send("<ana@example.test>", &["bob@example.test"], &text).await.expect(250);
    let [stored] = &office.stored().await[..] else { panic!("one message") };
    let unfolded = stored.prefix.replace("\r\n\t", " ");
    let lines: Vec<_> = unfolded.lines().collect();
    let begin = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.test; s=s1;";
    assert!(lines[0].starts_with("Return-Path:") && lines[1].starts_with(begin), "{unfolded}");
    assert!(lines[2].starts_with("Received: from client.test ([127.0.0.1])"), "{unfolded}");
    // What is signed is what is stored, Date and Message-ID with it.
    let whole = format!("{}{}", stored.prefix, stored.body);
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let key = mail::dkim::SigningKey::from_pkcs8(pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
    crate::policy::tests::assert_signed(&whole, "s1._domainkey.example.test", &key).await;
}

#[tokio::test(start_paused = true)]
async fn where_people_are_is_not_told() {
    let office = Office::start_tuned(Role::Submission, 4096, ThrottleOptions::default(), |o, _| {
        o.hide_client = true;
        o.sign = false;
    });
    let office = office.await;
    let mut client = ana(&office).await;
    client.send("<ana@example.test>", &["bob@example.test"], &message("x")).await.expect(250);
    let [stored] = &office.stored().await[..] else { panic!("one message") };
    assert!(
        stored.prefix.contains("Received: by mx.example.test with ESMTPA"),
        "{}",
        stored.prefix
    );
    assert!(!stored.prefix.contains("127.0.0.1") && !stored.prefix.contains("laptop"));
}

#[tokio::test(start_paused = true)]
async fn a_day_has_its_limit() {
    let office = Office::start_tuned(Role::Submission, 4096, ThrottleOptions::default(), |o, _| {
        o.daily = crate::Daily { messages: Some(2), recipients: Some(3) };
    });
    let office = office.await;
    let mut client = ana(&office).await;
    let both = ["bob@example.test", "ana@example.test"];
    client.send("<ana@example.test>", &both, &message("1")).await.expect(250);
    let reply = client.send("<ana@example.test>", &both, &message("2")).await;
    assert!(reply.text.starts_with("452 4.7.1 The limit of 3 recipients a day"), "{}", reply.text);
    client.send("<ana@example.test>", &both[..1], &message("3")).await.expect(250);
    let reply = client.send("<ana@example.test>", &both[..1], &message("4")).await;
    assert!(reply.text.starts_with("452 4.7.1 The limit of"), "{}", reply.text);
    assert_eq!(office.stored().await.len(), 2);
    office.pause(24 * 60 * 60).await;
    let mut client = ana(&office).await;
    client.send("<ana@example.test>", &both, &message("5")).await.expect(250);
}
