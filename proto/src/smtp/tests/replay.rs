//! Replays transcripts against the core with a small edge of known answers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mail::{Domain, Instant};

use super::super::*;
use crate::sasl::{Mechanism, Nonce, Verifier, Verifiers};
use crate::{Core, Step, Tls};

pub(super) type Smtp = Server<String>;

/// One transcript: what is sent, and what is expected after it.
pub(super) struct Transcript {
    name: String,
    text: String,
    pub(super) config: Config,
    tls: bool,
    clear_auth: bool,
    once: bool,
    turns: Vec<Turn>,
}

#[derive(Default)]
struct Turn {
    client: Vec<u8>,
    expected: String,
}

pub(super) fn config() -> Config {
    Config {
        host: Domain::parse("mx.example.test").unwrap(),
        postmaster: Domain::parse("example.test").unwrap(),
        role: Role::Mx,
        starttls: false,
        auth: vec![],
        dsn: false,
        limits: Limits { message_bytes_max: 1_000, ..Limits::default() },
        times: Times::default(),
    }
}

pub(super) fn all() -> impl Iterator<Item = Transcript> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts/smtp");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Transcript::parse(name, std::fs::read_to_string(&path).unwrap())
    })
}

pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut out = vec![];
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (byte, used) = match after.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b'0' => (0, 1),
            b'\\' => (b'\\', 1),
            b'x' => (u8::from_str_radix(after.get(1..3).unwrap(), 16).unwrap(), 3),
            other => panic!("\\{}", char::from(other)),
        };
        out.push(byte);
        rest = after.get(used..).unwrap();
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

impl Transcript {
    fn parse(name: String, text: String) -> Self {
        let mut transcript = Self {
            name,
            text: String::new(),
            config: config(),
            tls: false,
            clear_auth: false,
            once: false,
            turns: vec![Turn::default()],
        };
        for line in text.lines() {
            let (tag, rest) = line.split_at(line.len().min(2));
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            let answered = !transcript.turns.last().unwrap().expected.is_empty();
            if matches!(tag, "C:" | "C+") && answered {
                transcript.turns.push(Turn::default());
            }
            let turn = transcript.turns.last_mut().unwrap();
            match tag {
                "# " | "#" | "" => {}
                "C:" => turn.client.extend([unescape(rest), b"\r\n".to_vec()].concat()),
                "C+" => turn.client.extend(unescape(rest)),
                "S:" => turn.expected += &format!("{rest}\r\n"),
                "M:" => turn.expected += &format!("[stored {rest}]"),
                _ if line == "TLS" => turn.expected += "[tls]",
                _ if line == "close" => turn.expected += "[close]",
                _ => line
                    .strip_prefix("config: ")
                    .unwrap_or_else(|| panic!("{line}"))
                    .split(' ')
                    .for_each(|word| transcript.configure(word)),
            }
        }
        transcript.text = text;
        transcript
    }

    fn configure(&mut self, word: &str) {
        let config = &mut self.config;
        match word.split_once('=') {
            None => match word {
                "submission" => config.role = Role::Submission,
                "tls" => self.tls = true,
                "starttls" => config.starttls = true,
                "auth" => config.auth = Mechanism::ALL.to_vec(),
                "clear-auth" => self.clear_auth = true,
                "dsn" => config.dsn = true,
                "once" => self.once = true,
                _ => panic!("{word}"),
            },
            Some((key, value)) => {
                let limits = &mut config.limits;
                match key {
                    "message" => limits.message_bytes_max = value.parse().unwrap(),
                    "recipients" => limits.recipients_max = value.parse().unwrap(),
                    "messages" => limits.messages_max = value.parse().unwrap(),
                    "errors" => limits.errors_max = value.parse().unwrap(),
                    "line" => limits.line_bytes_max = value.parse().unwrap(),
                    _ => panic!("{word}"),
                }
            }
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn start(&self) -> Run {
        Run::new(self.config.clone(), self.tls, self.clear_auth)
    }

    /// Feeds each turn in pieces made by `split` and compares all that is said.
    #[track_caller]
    fn replay(&self, how: &str, mut split: impl FnMut(&[u8]) -> Vec<Vec<u8>>) {
        let mut run = self.start();
        for (number, turn) in self.turns.iter().enumerate() {
            for piece in split(&turn.client) {
                run.feed(&piece);
            }
            run.run();
            let said = std::mem::take(&mut run.said);
            let name = &self.name;
            assert_eq!(said, turn.expected, "{name}, turn {number}, {how}: server said (left)");
        }
    }

    pub(super) fn whole(&self) {
        self.replay("whole", |bytes| vec![bytes.to_vec()]);
    }

    pub(super) fn byte_by_byte(&self) {
        if !self.once {
            self.replay("byte by byte", |bytes| bytes.iter().map(|byte| vec![*byte]).collect());
        }
    }

    pub(super) fn split_at_every_point(&self) {
        let longest = self.turns.iter().map(|turn| turn.client.len()).max().unwrap_or(0);
        for point in (0..longest).filter(|_| !self.once) {
            self.replay(&format!("split at {point}"), |bytes| {
                let (a, b) = bytes.split_at(point.min(bytes.len()));
                vec![a.to_vec(), b.to_vec()]
            });
        }
    }

    /// Runs up to each point of the client's bytes; then `end` is called.
    fn at_every_point(&self, end: impl Fn(&mut Run, usize)) {
        let total: usize = self.turns.iter().map(|turn| turn.client.len()).sum();
        let whole: String = self.turns.iter().map(|turn| turn.expected.as_str()).collect();
        for point in (0..=total).filter(|_| !self.once) {
            let mut run = self.start();
            let mut left = point;
            for turn in &self.turns {
                let now = left.min(turn.client.len());
                run.feed(&turn.client[..now]);
                run.run();
                left -= now;
                if left == 0 {
                    break;
                }
            }
            assert!(whole.starts_with(&run.said), "{}: {} at {point}", self.name, run.said);
            let stored = run.stored;
            end(&mut run, point);
            let acknowledged = run.said.matches("250 2.0.0 stored as").count();
            assert_eq!(run.stored, acknowledged, "{}: at {point}", self.name);
            assert_eq!(run.stored, stored, "{}: stored after the end at {point}", self.name);
        }
    }

    pub(super) fn cut_at_every_point(&self) {
        self.at_every_point(|run, point| {
            run.server.ended();
            run.run();
            assert!(run.closed, "{}: not closed after the end at {point}", self.name);
        });
    }

    pub(super) fn late_at_every_point(&self) {
        self.at_every_point(|run, point| {
            let was_closed = run.closed;
            run.now = run.server.deadline();
            run.server.late();
            run.run();
            assert!(run.closed, "{}: not closed when late at {point}", self.name);
            let told = run.said.ends_with("421 4.4.2 Too slow, closing\r\n[close]");
            assert!(was_closed || told, "{}: {} at {point}", self.name, run.said);
        });
    }

    pub(super) fn drained_at_every_point(&self) {
        self.at_every_point(|run, point| {
            let was_closed = run.closed;
            let content = run.taking.is_some();
            run.server.drain();
            run.run();
            let told =
                run.said.ends_with("421 4.3.2 Service is shutting down, try again\r\n[close]");
            // Content that is under way may still be completed.
            assert!(was_closed || told || content, "{}: {} at {point}", self.name, run.said);
        });
    }
}

/// A core with an edge of known answers.
pub(super) struct Run {
    pub(super) server: Smtp,
    pub(super) said: String,
    pub(super) now: Instant,
    pub(super) closed: bool,
    pub(super) stored: usize,
    pub(super) contents: Vec<String>,
    pub(super) asked: Vec<String>,
    sender: String,
    /// Content, between Begin and Commit or Abort.
    pub(super) taking: Option<Vec<u8>>,
}

impl Run {
    pub(super) fn new(config: Config, tls: bool, clear_auth: bool) -> Self {
        let now = Instant(1_000_000_000);
        let tls = tls.then(tls_up);
        let server = Smtp::new(Arc::new(config), tls, clear_auth, now);
        let mut run = Self {
            server,
            said: String::new(),
            now,
            closed: false,
            stored: 0,
            contents: vec![],
            asked: vec![],
            sender: String::new(),
            taking: None,
        };
        run.run();
        if run.server.deadline() <= now {
            // Without a pause, the driver sees at once that nobody has talked.
            run.server.late();
            run.run();
        }
        run
    }

    /// Gives the core bytes as the driver does.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        self.run();
        while !bytes.is_empty() && !self.closed {
            let taken = self.server.receive(bytes);
            assert!(taken > 0, "takes nothing though it waits");
            bytes = &bytes[taken..];
            self.run();
        }
    }

    pub(super) fn after(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// Takes steps until the core waits or closes.
    pub(super) fn run(&mut self) {
        while !self.closed {
            let ask = match self.server.step(self.now) {
                Step::Wait => return,
                Step::Send(bytes) => {
                    let mut text = std::str::from_utf8(bytes).unwrap().to_owned();
                    // The message is told just before the reply that acknowledges it.
                    for (content, number) in self.contents.iter().zip(1..) {
                        let reply = format!("250 2.0.0 stored as record-{number}\r\n");
                        text = text.replace(&reply, &format!("[stored {content}]{reply}"));
                    }
                    self.said += &text;
                    continue;
                }
                Step::Take(bytes) => {
                    assert!(!bytes.is_empty());
                    self.taking.as_mut().expect("content after Begin").extend_from_slice(bytes);
                    continue;
                }
                Step::StartTls => {
                    self.said += "[tls]";
                    self.server.secured(tls_up());
                    continue;
                }
                Step::Close => {
                    self.closed = true;
                    self.said += "[close]";
                    return;
                }
                Step::Ask(ask) => ask,
            };
            if let Some(answer) = self.answer(ask) {
                self.server.answer(answer);
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Option<Answer<String>> {
        let refuse = |code, enhanced, text| Answer::Refused(Reply::new(code, enhanced, text));
        let name = format!("{ask:?}");
        self.asked.push(name.split([' ', '(']).next().unwrap_or_default().to_owned());
        Some(match ask {
            Ask::Connect => Answer::Accepted,
            Ask::Sender(sender) => {
                self.sender = sender.path.map(|path| path.to_string()).unwrap_or_default();
                if self.sender == "bad@example.org" {
                    refuse(553, (7, 1), "Sender refused")
                } else {
                    Answer::Accepted
                }
            }
            Ask::Recipients(recipients) => {
                assert!(!recipients.is_empty() && recipients.len() <= 100);
                Answer::Recipients(recipients.iter().map(known).collect())
            }
            Ask::Begin(envelope) => {
                assert!(!envelope.recipients.is_empty() && self.taking.is_none());
                if self.sender == "nobegin@example.org" {
                    refuse(451, (3, 0), "Cannot take it now")
                } else {
                    self.taking = Some(vec![]);
                    Answer::Accepted
                }
            }
            Ask::Commit => {
                let content = self.taking.take().expect("Commit after Begin");
                if self.sender == "nostore@example.org" {
                    refuse(451, (3, 0), "Cannot store it now")
                } else {
                    self.contents.push(content.escape_ascii().to_string());
                    self.stored += 1;
                    Answer::Stored(format!("record-{}", self.stored))
                }
            }
            Ask::Abort => {
                self.taking.take().expect("Abort after Begin");
                return None;
            }
            Ask::Verifiers { user } => {
                let verifiers = if user == "ana@example.test" {
                    pencil()
                } else {
                    Verifiers::fake(b"secret", &user, 4096)
                };
                Answer::Verifiers(Box::new(verifiers), Nonce([3; 18]))
            }
            Ask::Login(Login::Check { user, password, .. }) => {
                let known =
                    user == "ana@example.test" && pencil().check(password.reveal()).is_some();
                if known { Answer::Accepted } else { wrong_password() }
            }
            Ask::Login(Login::Proved { .. }) => Answer::Accepted,
            Ask::Login(Login::Disproved { .. }) => wrong_password(),
        })
    }
}

fn wrong_password() -> Answer<String> {
    Answer::Refused(Reply::new(535, (7, 8), "Wrong user name or password"))
}

fn known(recipient: &mail::Recipient) -> Result<(), Reply> {
    match recipient.path.address().to_string().as_str() {
        "ana@example.test" | "bob@example.test" | "postmaster@example.test" => Ok(()),
        "full@example.test" => Err(Reply::new(452, (2, 2), "Mailbox full")),
        "later@example.test" => Err(Reply::new(451, (3, 0), "Later")),
        address if address.ends_with("@example.test") => {
            Err(Reply::new(550, (1, 1), format!("No such user: {}", recipient.path)))
        }
        _ => Err(Reply::new(550, (7, 1), "Relay refused")),
    }
}

/// Derived once: dialogues are replayed thousands of times.
fn pencil() -> Verifiers {
    static PENCIL: OnceLock<Verifiers> = OnceLock::new();
    let derive = || {
        let verifier = Verifier::derive("pencil", &[7; 16], 4096).unwrap();
        Verifiers::new(vec![verifier]).unwrap()
    };
    PENCIL.get_or_init(derive).clone()
}

fn tls_up() -> Tls {
    Tls { version: "TLSv1.3", exporter: Some([9; 32]), ..Tls::default() }
}
