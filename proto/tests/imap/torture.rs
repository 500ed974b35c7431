//! Transcripts, mutated from seeds: nothing panics, sticks, or sends what is no response.

use mail::Instant;
use proto::Core as _;
use proto::imap::response::Code;
use proto::imap::{Answer, Ask};
use proto::sasl::{Nonce, Verifiers};

use crate::driver::{Cuts, Driver, config};
use crate::random::Random;
use crate::transcripts::clients;

/// What mutation likes to put in.
const TOKENS: [&[u8]; 28] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"{3}\r\n",
    b"{3+}\r\n",
    b"~{3+}\r\n",
    b"{4097+}\r\n",
    b"{65537+}\r\n",
    b"{4294967295+}\r\n",
    b"{18446744073709551616}\r\n",
    b"(",
    b")",
    b"\"",
    b"\\",
    b" ",
    b"*",
    b"$",
    b"1:*",
    b"4294967295",
    b"UID ",
    b"NOT ",
    b"OR ",
    b"APPEND INBOX {3}\r\n",
    b"DONE\r\n",
    b"x IDLE\r\n",
    b"\xff\xfe",
    b"&AC8-",
];

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 => {
                let token = *random.pick(&TOKENS);
                bytes.splice(at..at, token.iter().copied());
            }
            1 => {
                let end = (at + random.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            3 => {
                let end = (at + random.below(64)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let token = *random.pick(&TOKENS);
                let times = 1 + random.below(40);
                bytes.splice(at..at, token.repeat(times));
            }
        }
    }
}

fn any_answer(random: &mut Random, ask: &Ask) -> Answer {
    let text = "done\r\nx BAD\0".to_owned().into();
    match (ask, random.below(12)) {
        (_, 0) => Answer::No(Some(Code::AuthenticationFailed), text),
        (_, 1) => Answer::Bad(None, text),
        (Ask::Verifiers { user }, _) => {
            Answer::Verifiers(Verifiers::fake(b"secret", user, 4_096), Nonce([3; 18]))
        }
        (Ask::AppendBegin(_) | Ask::IdleStart, _) => Answer::Go,
        (_, 2) => Answer::Go,
        _ => Answer::Ok(None, text),
    }
}

/// Every line that the core itself sends is a status response, a continuation, or one of three
/// untagged ones; nothing that was said by the client or the edge breaks a line.
fn check_sent(sent: &[u8]) {
    let Some(lines) = sent.strip_suffix(b"\r\n") else {
        assert!(sent.is_empty(), "an unfinished line: {:?}", String::from_utf8_lossy(sent));
        return;
    };
    for line in String::from_utf8_lossy(lines).split("\r\n") {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        let mut words = line.split(' ');
        let (tag, word) = (words.next().unwrap(), words.next().unwrap_or_default());
        let known = match tag {
            "+" => true,
            "*" => ["OK", "BAD", "NO", "BYE", "CAPABILITY", "ENABLED", "ID"].contains(&word),
            _ => ["OK", "BAD", "NO"].contains(&word),
        };
        assert!(known, "{line:?}");
    }
}

fn torture(seed: u64, bytes: &[u8], logged_in: bool) {
    let mut random = Random(seed);
    let mut bytes = bytes.to_vec();
    mutate(&mut random, &mut bytes);
    let cuts = *random.pick(&[Cuts::Whole, Cuts::Each, Cuts::At(bytes.len() / 2)]);
    let mut driver = if logged_in {
        Driver::selected(config(), cuts, random.chance(2))
    } else {
        Driver::new(config(), "::1", cuts)
    };
    driver.pending.extend_from_slice(&bytes);
    for _ in 0..bytes.len() + 100 {
        driver.run();
        driver.now = Instant(driver.now.0 + 1);
        if let Some(ask) = driver.ask.take() {
            let answer = any_answer(&mut random, &ask);
            driver.answer(answer);
        } else if driver.start_tls {
            driver.start_tls = false;
            driver.discard();
            driver.core.secured(crate::driver::tls());
        } else {
            break;
        }
    }
    assert!(driver.closed || driver.pending.is_empty(), "seed {seed}: not all was taken");
    driver.core.late();
    driver.run();
    assert!(driver.closed, "seed {seed}: open after its deadline");
    check_sent(&driver.sent);
}

#[test]
fn mutated_sessions_end_well() {
    let sessions = clients();
    for (index, session) in sessions.iter().enumerate() {
        // Large ones are about sizes, not syntax.
        if session.len() > 20_000 {
            continue;
        }
        for round in 0..150 {
            torture((index * 1_000 + round) as u64, session, round % 3 != 0);
        }
    }
}

/// I9: whatever a stranger says, the edge is asked about passwords only.
#[test]
fn strangers_are_asked_for_passwords_only() {
    let mut random = Random(9);
    for session in clients().iter().filter(|session| session.len() < 20_000) {
        for _ in 0..20 {
            let mut bytes = session.clone();
            mutate(&mut random, &mut bytes);
            let mut driver = Driver::new(config(), "::1", Cuts::Whole);
            driver.pending = bytes;
            driver.run();
            while let Some(ask) = driver.ask.take() {
                let answer = match &ask {
                    Ask::Verifiers { user } => {
                        Answer::Verifiers(Verifiers::fake(b"secret", user, 4_096), Nonce([3; 18]))
                    }
                    Ask::Password { .. } | Ask::Refused { .. } => {
                        Answer::No(Some(Code::AuthenticationFailed), "wrong".into())
                    }
                    other => panic!("{other:?} of a stranger"),
                };
                driver.answer(answer);
                driver.run();
            }
            assert!(driver.taken.is_empty());
        }
    }
}

/// The most expensive commands of the largest size, one after the other: each in linear time.
#[test]
fn large_commands_are_read_in_linear_time() {
    let size = 250_000;
    let fill = |start: &str, unit: &str, end: &str| {
        format!("x {start}{}{end}\r\n", unit.repeat(size / unit.len()))
    };
    let hard = [
        fill("NOOP ", "(", ""),
        fill("SEARCH ", "(", ""),
        fill("SEARCH ", "NOT ", "ALL"),
        fill("SEARCH ", "ALL ", ""),
        fill("FETCH ", "1,", "1 FLAGS"),
        fill("FETCH 1 (", "BODY[1.2.3] ", "FLAGS)"),
        fill("FETCH 1 BODY[", "1.", "1]"),
        fill("FETCH 1 BODY[HEADER.FIELDS (", "a ", "a)]"),
        fill("FETCH 1 (", "BODY[HEADER.FIELDS (a b c)] ", "FLAGS)"),
        fill("STORE 1 FLAGS (", "a b ", "c)"),
        fill("SELECT \"", "\\\\", "\""),
        fill("SEARCH ", "TEXT {1+}\r\na ", "ALL"),
        fill("LIST \"\" (", "% ", "%)"),
        fill("ID (", "\"a\" NIL ", "\"b\" NIL)"),
        fill("ENABLE ", "A ", "A"),
        fill("SELECT ", "&AOQ-", ""),
        fill("STATUS a (", "MESSAGES ", "MESSAGES)"),
        fill("", " ", ""),
        fill("SEARCH ", "{1+}\r\n", ""),
    ];
    for command in &hard {
        for cuts in [Cuts::Whole, Cuts::At(100_000)] {
            let mut driver = Driver::selected(config(), cuts, false);
            driver.pending.extend_from_slice(command.as_bytes());
            driver.pending.extend_from_slice(b"y NOOP\r\n");
            for _ in 0..3 {
                driver.run();
                if driver.ask.take().is_some() {
                    driver.answer(Answer::Ok(None, "done".into()));
                }
            }
            let sent = String::from_utf8_lossy(&driver.sent).into_owned();
            assert!(sent.ends_with("y OK done\r\n") || driver.closed, "{sent}");
        }
    }
}
