//! Replays the files of `transcripts/`: whole, byte by byte, cut at every point, and pipelined.
//!
//! A line is one of:
//! - `C: text` the client sends it and CRLF; `C< text` it sends exactly that, with `\r \n \0 \\
//!   \xNN`; `C*7 text` it sends exactly that seven times.
//! - `S: text` the server sends it and CRLF.
//! - `?: ask` the edge is asked (commands as `printer` writes them); `=: answer` it answers: `GO`,
//!   `VERIFIERS password`, `BYE text`, or `OK`, `NO`, `BAD` with a code or none and text.
//! - `T: text` the edge takes it and CRLF; `T< text` exactly that.
//! - `TLS` the server starts TLS, and it comes up; `SECURED` it was up from the start.
//! - `CLOSE` the server closes. `WAIT` it does nothing more. `EOF` the client closes its side.
//! - `DRAIN`, `LATE` the process drains, the deadline passes; `AFTER n` n seconds go by, and the
//!   deadline must not have passed; `DEADLINE n` it is n seconds from now.
//! - At the top: `limit n`, `peer ip`, `no starttls`.

use std::num::NonZeroU32;
use std::time::Duration;

use proto::Core as _;
use proto::imap::Answer;
use proto::imap::response::Code;
use proto::sasl::{Nonce, Verifier, Verifiers};

use crate::driver::{Cuts, Driver, config, tls};

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            bytes.extend_from_slice(char.to_string().as_bytes());
            continue;
        }
        bytes.push(match chars.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = chars.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            other => panic!("unknown escape {other:?}"),
        });
    }
    bytes
}

fn code(text: &str) -> Code {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let number = || rest.parse::<NonZeroU32>().unwrap();
    match word {
        "AUTHENTICATIONFAILED" => Code::AuthenticationFailed,
        "APPENDUID" => {
            let (validity, uid) = rest.split_once(' ').unwrap();
            Code::AppendUid(validity.parse().unwrap(), uid.parse().unwrap())
        }
        "READ-WRITE" => Code::ReadWrite,
        "READ-ONLY" => Code::ReadOnly,
        "TRYCREATE" => Code::TryCreate,
        "OVERQUOTA" => Code::OverQuota,
        "NONEXISTENT" => Code::NonExistent,
        "UIDNEXT" => Code::UidNext(number()),
        other => panic!("unknown code {other}"),
    }
}

fn answer(text: &str) -> Answer {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    if word == "VERIFIERS" {
        let verifier = Verifier::derive(rest, &[1; 16], 4_096).unwrap();
        let verifiers = Verifiers::new(vec![verifier]).unwrap();
        return Answer::Verifiers(verifiers, Nonce([9; 18]));
    }
    let (code, text) = match rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((inside, text)) => (Some(code(inside)), text),
        None => (None, rest),
    };
    let text = text.to_owned().into();
    match word {
        "OK" => Answer::Ok(code, text),
        "NO" => Answer::No(code, text),
        "BAD" => Answer::Bad(code, text),
        "BYE" => Answer::Bye(code, text),
        "GO" => Answer::Go,
        other => panic!("unknown answer {other}"),
    }
}

struct Replay<'a> {
    name: &'a str,
    how: String,
    driver: Driver,
}

impl Replay<'_> {
    fn check(&self, good: bool, line: usize, what: &str) {
        let driver = &self.driver;
        assert!(
            good,
            "{}:{line} ({}): {what}\nsent: {:?}\ntaken: {:?}\nasked: {:?}\nclosed: {}",
            self.name,
            self.how,
            String::from_utf8_lossy(&driver.sent),
            String::from_utf8_lossy(&driver.taken),
            driver.asked,
            driver.closed,
        );
    }

    fn line(&mut self, number: usize, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "S:" => {
                self.driver.run();
                let expected = format!("{rest}\r\n").into_bytes();
                let good = self.driver.sent.starts_with(&expected);
                self.check(good, number, line);
                self.driver.sent.drain(..expected.len());
            }
            "?:" => {
                self.driver.run();
                let good =
                    self.driver.asked.as_deref() == Some(rest) && self.driver.sent.is_empty();
                self.check(good && self.driver.taken.is_empty(), number, line);
            }
            "=:" => self.driver.answer(answer(rest)),
            "T:" | "T<" => {
                self.driver.run();
                let end = if word == "T:" { "\r\n" } else { "" };
                let expected = [unescape(rest), end.into()].concat();
                let good = self.driver.taken.starts_with(&expected);
                self.check(good, number, line);
                self.driver.taken.drain(..expected.len());
            }
            "TLS" => {
                self.driver.run();
                self.check(self.driver.start_tls && self.driver.sent.is_empty(), number, line);
                // The driver throws away what came in the clear.
                self.driver.discard();
                self.driver.start_tls = false;
                self.driver.core.secured(tls());
            }
            "SECURED" => self.driver.core.secured(tls()),
            "CLOSE" => {
                self.driver.run();
                self.check(self.driver.closed && self.driver.sent.is_empty(), number, line);
            }
            "WAIT" => {
                self.driver.run();
                let driver = &self.driver;
                let quiet = driver.asked.is_none() && !driver.closed && driver.pending.is_empty();
                self.check(quiet && driver.sent.is_empty(), number, line);
            }
            "EOF" => {
                self.driver.run();
                self.driver.core.ended();
            }
            "DRAIN" => self.driver.core.drain(),
            "LATE" => {
                self.driver.run();
                self.driver.core.late();
            }
            "AFTER" => {
                self.driver.run();
                let time = Duration::from_secs(rest.parse().unwrap());
                self.driver.now = self.driver.now.after(time);
                self.check(self.driver.core.deadline() > self.driver.now, number, line);
            }
            "DEADLINE" => {
                self.driver.run();
                let left = self.driver.core.deadline().since(self.driver.now);
                self.check(left == Duration::from_secs(rest.parse().unwrap()), number, line);
            }
            _ => panic!("{}:{number}: {line}", self.name),
        }
    }
}

/// What the client sends with this line, if it is such a line.
fn client(line: &str) -> Option<Vec<u8>> {
    if let Some(text) = line.strip_prefix("C: ") {
        return Some(format!("{text}\r\n").into_bytes());
    }
    if let Some(text) = line.strip_prefix("C< ") {
        return Some(unescape(text));
    }
    let (times, text) = line.strip_prefix("C*")?.split_once(' ')?;
    Some(unescape(text).repeat(times.parse().unwrap()))
}

fn replay(name: &str, text: &str, cuts: Cuts, pipelined: bool) {
    let mut config = config();
    let mut peer = "192.0.2.1";
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(limit) = line.strip_prefix("limit ") {
            config.append_limit = limit.parse().unwrap();
        } else if let Some(address) = line.strip_prefix("peer ") {
            peer = address;
        } else if line == "no starttls" {
            config.starttls = false;
        } else if !line.is_empty() && !line.starts_with('#') {
            lines.push((index + 1, line));
        }
    }
    let how = format!("{cuts:?}, pipelined: {pipelined}");
    let mut replay = Replay { name, how, driver: Driver::new(config, peer, cuts) };
    if pipelined {
        for (_, line) in &lines {
            replay.driver.pending.extend(client(line).unwrap_or_default());
        }
    }
    for (number, line) in &lines {
        match client(line) {
            Some(_) if pipelined => {}
            Some(bytes) => replay.driver.pending.extend(bytes),
            None => replay.line(*number, line),
        }
    }
    replay.driver.run();
    let rest = replay.driver.sent.is_empty() && replay.driver.taken.is_empty();
    replay.check(rest && replay.driver.asked.is_none(), lines.len(), "the end");
}

/// Replays one file in every way.
fn transcript(name: &str, text: &str) {
    replay(name, text, Cuts::Whole, false);
    replay(name, text, Cuts::Each, false);
    let all: usize = text.lines().filter_map(client).map(|bytes| bytes.len()).sum();
    // Large ones are cut at some hundred points.
    for at in (0..all).step_by(all / 500 + 1) {
        replay(name, text, Cuts::At(at), false);
    }
    // Where time or TLS come in between, what is sent when matters.
    let timed = ["TLS", "WAIT", "EOF", "DRAIN", "LATE", "AFTER", "DEADLINE"];
    if !text.lines().any(|line| timed.contains(&line.split(' ').next().unwrap_or_default())) {
        replay(name, text, Cuts::Whole, true);
        replay(name, text, Cuts::Each, true);
    }
}

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let name = stringify!($name);
            transcript(name, include_str!(concat!("transcripts/", stringify!($name), ".txt")));
        })*

        /// What the client says in each of them.
        pub(crate) fn clients() -> Vec<Vec<u8>> {
            let texts = [$(include_str!(concat!("transcripts/", stringify!($name), ".txt"))),*];
            texts.iter().map(|text| text.lines().filter_map(client).flatten().collect()).collect()
        }

        #[test]
        fn every_transcript_is_replayed() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/imap/transcripts");
            let mut there: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            there.sort();
            let named = [$(concat!(stringify!($name), ".txt")),*];
            assert_eq!(there, named);
        }
    };
}

transcripts! {
    append
    auth
    bad_commands
    big_literals
    condstore_qresync
    drain_and_time
    drain_append
    enable_rev2
    ended
    endless_line
    fetch
    guessing
    id_namespace_quota
    idle
    idle_drain
    late
    late_login
    list
    literal_minus
    login
    loopback
    mailboxes
    messages
    scram
    search
    starttls
    status_select
    strangers
}
