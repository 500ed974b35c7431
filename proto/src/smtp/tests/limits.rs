//! Bounds of memory and time (A4, A5, A6, B3), and what holds for any input.

use std::time::Duration;

use super::super::*;
use super::replay::{Run, config};
use crate::{Core, Step};

const SECOND: Duration = Duration::from_secs(1);
const HELLO: &[u8] = b"HELO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<ana@example.test>\r\n";

// A4
#[test]
fn a_million_chunks_of_one_byte_make_one_message_in_bounded_memory() {
    let mut config = config();
    config.limits.message_bytes_max = 2_000_000;
    let mut run = Run::new(config, false, false);
    run.feed(HELLO);
    let chunks = b"BDAT 1\r\nx".repeat(1_000);
    for _ in 0..1_000 {
        run.said.clear();
        run.feed(&chunks);
        assert_eq!(run.said.matches("250 2.0.0 1 octets received\r\n").count(), 1_000);
    }
    run.said.clear();
    run.feed(b"BDAT 0 LAST\r\n");
    assert!(run.said.ends_with("250 2.0.0 stored as record-1\r\n"));
    assert_eq!(run.contents[0].len(), 1_000_000);
}

// A6: pipelined recipients are asked about together, a hundred at most.
#[test]
fn a_thousand_pipelined_recipients_are_few_questions() {
    let mut run = Run::new(config(), false, false);
    run.feed(b"HELO c\r\nMAIL FROM:<>\r\n");
    run.said.clear();
    run.asked.clear();
    run.feed(&b"RCPT TO:<ana@example.test>\r\n".repeat(1_001));
    assert_eq!(run.said.matches("250 2.1.5 Recipient OK\r\n").count(), 1_000);
    assert!(run.said.ends_with("452 4.5.3 Too many recipients\r\n"));
    assert!(run.asked.len() < 20, "{} questions", run.asked.len());
}

// A5
#[test]
fn who_talks_before_the_greeting_is_sent_away() {
    let mut config = config();
    config.times.greeting_pause = SECOND;
    let mut run = Run::new(config.clone(), false, false);
    assert_eq!(run.said, "");
    assert_eq!(run.server.deadline(), run.now.after(SECOND));
    run.feed(b"EHLO early\r\n");
    assert_eq!(run.said, "554 5.5.1 Talking before the greeting\r\n[close]");

    let mut run = Run::new(config, false, false);
    run.after(SECOND);
    run.server.late();
    run.run();
    assert_eq!(run.said, "220 mx.example.test ESMTP Postroad\r\n");
}

// A5: without a pause, who has talked already when we look.
#[test]
fn who_has_talked_when_it_connects_is_sent_away() {
    let config = std::sync::Arc::new(config());
    let now = mail::Instant(1);
    let mut server: Server<String> = Server::new(config, None, false, now);
    assert!(matches!(server.step(now), Step::Ask(Ask::Connect)));
    server.answer(Answer::Accepted);
    assert!(matches!(server.step(now), Step::Wait));
    assert_eq!(server.deadline(), now);
    server.receive(b"EHLO early\r\n");
    let Step::Send(said) = server.step(now) else { panic!("nothing said") };
    assert!(said.starts_with(b"554 5.5.1 "));
    assert!(matches!(server.step(now), Step::Close));
}

// B3: bytes do not buy time for a command.
#[test]
fn a_command_must_be_complete_in_time() {
    let mut run = Run::new(config(), false, false);
    let until = run.server.deadline();
    assert_eq!(until, run.now.after(Times::default().command));
    for _ in 0..10 {
        run.after(SECOND);
        run.feed(b"N");
        assert_eq!(run.server.deadline(), until);
    }
    run.feed(b"\r\n");
    assert!(run.server.deadline() > until);
    // The session's own end comes first, when it is near.
    let end = Times::default().session;
    run.after(end - SECOND * 20);
    run.feed(b"NOOP\r\n");
    assert!(run.server.deadline() <= run.now.after(SECOND * 20));
}

// B3: content that trickles.
// RFC 5321 §4.5.3.2.5.
#[test]
fn content_must_come_at_a_minimum_rate_but_our_own_slowness_does_not_count() {
    let mut config = config();
    config.times.content_grace = SECOND * 10;
    config.times.content_silence = SECOND * 5;
    config.times.content_rate = 10;
    config.limits.message_bytes_max = 1_000_000;
    let mut run = Run::new(config, false, false);
    run.feed(HELLO);
    run.feed(b"DATA\r\n");
    // Nothing at all: the silence.
    assert_eq!(run.server.deadline(), run.now.after(SECOND * 5));
    // A byte a second: the grace is used up in the end.
    for _ in 0..9 {
        run.after(SECOND);
        run.feed(b"x");
    }
    assert_eq!(run.server.deadline(), run.now.after(SECOND));
    // What comes quickly buys time again.
    run.feed(&[b'x'; 100]);
    assert_eq!(run.server.deadline(), run.now.after(SECOND * 5));
    run.after(SECOND * 5);
    run.server.late();
    run.run();
    assert!(run.closed && run.stored == 0);
    assert!(run.said.ends_with("421 4.4.2 Too slow, closing\r\n[close]"));
}

#[test]
fn idle_commands_are_counted_between_messages() {
    let mut config = config();
    config.limits.idle_commands_max = 5;
    let mut run = Run::new(config, false, false);
    for _ in 0..3 {
        run.feed(HELLO);
        run.feed(b"NOOP\r\nNOOP\r\nDATA\r\n");
        run.feed(b"x\r\n.\r\n");
    }
    assert_eq!((run.stored, run.closed), (3, false));
    run.feed(b"NOOP\r\nRSET\r\nNOOP\r\nRSET\r\nVRFY x\r\nNOOP\r\nNOOP\r\n");
    assert!(run.said.ends_with("421 4.7.0 Too many commands without mail\r\n[close]"));
}

/// A4: a model of any client. Whatever it says in whatever order: the edge sees whole messages,
/// begun before they are committed, and every message that is stored has been acknowledged once.
#[test]
fn any_order_of_commands_keeps_the_edge_in_step() {
    const WORDS: [&[u8]; 22] = [
        b"HELO c\r\n",
        b"EHLO c\r\n",
        b"MAIL FROM:<>\r\n",
        b"MAIL FROM:<a@b.c>\r\n",
        b"MAIL FROM:<> BODY=BINARYMIME\r\n",
        b"RCPT TO:<ana@example.test>\r\n",
        b"RCPT TO:<nobody@example.test>\r\n",
        b"DATA\r\n",
        b"DATA\r\n",
        b"BDAT 3\r\nabc",
        b"BDAT 3 LAST\r\na\nb",
        b"BDAT 2\r\n\r\r",
        b"BDAT 0 LAST\r\n",
        b"RSET\r\n",
        b"text\r\n",
        b".\r\n",
        b"..\r\n",
        b"bare\nlf\r\n",
        b"AUTH LOGIN\r\n",
        b"STARTTLS\r\n",
        b"BDAT 1\r\nx",
        b"MAIL FROM:<nobegin@example.org>\r\n",
    ];
    let mut seed = 1_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let mut stored = 0;
    for _ in 0..2_000 {
        let mut config = config();
        config.auth = crate::sasl::Mechanism::ALL.to_vec();
        config.starttls = true;
        config.limits.errors_max = 1_000;
        let mut run = Run::new(config, false, true);
        run.feed(HELLO);
        for _ in 0..60 {
            let content = run.taking.is_some() && random(2) == 0;
            let words = if content { &WORDS[14..18] } else { &WORDS[..] };
            let mut bytes = words[random(words.len())].to_vec();
            // Sometimes two at once.
            if random(4) == 0 {
                bytes.extend_from_slice(WORDS[random(WORDS.len())]);
            }
            let (a, b) = bytes.split_at(random(bytes.len() + 1));
            run.feed(a);
            run.feed(b);
        }
        assert_eq!(run.said.matches("250 2.0.0 stored as").count(), run.stored);
        for content in &run.contents {
            assert!(!content.contains("bare"), "{content}");
        }
        stored += run.stored;
    }
    assert!(stored > 100, "the model reached only {stored} messages");
}
