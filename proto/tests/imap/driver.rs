//! Drives a core as `net` does, but by hand, and remembers what it did.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mail::Instant;
use proto::imap::{Answer, Ask, Config, Server};
use proto::sasl::Mechanism;
use proto::{Core as _, Step, Tls};

use crate::printer;

pub(crate) fn config() -> Config {
    Config {
        host: "mail.example".into(),
        starttls: true,
        mechanisms: Mechanism::ALL.to_vec(),
        append_limit: 1_000,
        id: vec![("name".into(), "Postroad".into())],
        login_time: Duration::from_secs(120),
        autologout_time: Duration::from_secs(1_800),
    }
}

pub(crate) fn tls() -> Tls {
    Tls { version: "TLSv1.3", exporter: Some([7; 32]), ..Tls::default() }
}

/// How the client's bytes are cut into reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cuts {
    /// As much as there is.
    Whole,
    /// Byte by byte.
    Each,
    /// Once, after so many bytes of all.
    At(usize),
}

pub(crate) struct Driver {
    pub(crate) core: Server,
    pub(crate) now: Instant,
    cuts: Cuts,
    fed: usize,
    /// Sent by the client, not yet taken.
    pub(crate) pending: Vec<u8>,
    /// Of `pending`, what has been read from the wire.
    read: usize,
    stuck: bool,
    pub(crate) sent: Vec<u8>,
    pub(crate) taken: Vec<u8>,
    pub(crate) asked: Option<String>,
    pub(crate) ask: Option<Ask>,
    pub(crate) start_tls: bool,
    pub(crate) closed: bool,
}

impl Driver {
    pub(crate) fn new(config: Config, peer: &str, cuts: Cuts) -> Self {
        let peer: IpAddr = peer.parse().unwrap();
        Self {
            core: Server::new(Arc::new(config), peer),
            now: Instant(1),
            cuts,
            fed: 0,
            pending: Vec::new(),
            read: 0,
            stuck: false,
            sent: Vec::new(),
            taken: Vec::new(),
            asked: None,
            ask: None,
            start_tls: false,
            closed: false,
        }
    }

    /// One that is logged in and has a mailbox selected, with QRESYNC and perhaps rev2.
    pub(crate) fn selected(config: Config, cuts: Cuts, rev2: bool) -> Self {
        let mut driver = Self::new(config, "::1", Cuts::Whole);
        let rev2 = if rev2 { " IMAP4rev2" } else { "" };
        let lines = format!("0 LOGIN a b\r\n1 ENABLE QRESYNC{rev2}\r\n2 SELECT INBOX\r\n");
        driver.pending.extend_from_slice(lines.as_bytes());
        driver.run();
        driver.answer(Answer::Ok(None, "in".into()));
        driver.run();
        driver.answer(Answer::Ok(None, "selected".into()));
        driver.run();
        assert!(driver.sent.ends_with(b"2 OK selected\r\n"));
        driver.sent.clear();
        driver.ask = None;
        driver.cuts = cuts;
        driver.fed = 0;
        driver
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        assert!(self.asked.take().is_some(), "nothing was asked");
        self.core.answer(answer);
    }

    /// Throws away what the client sent, as before TLS.
    pub(crate) fn discard(&mut self) {
        self.pending.clear();
        self.read = 0;
    }

    /// Steps until the core asks, closes, or waits for bytes that are not there.
    pub(crate) fn run(&mut self) {
        while self.asked.is_none() && !self.start_tls && !self.closed {
            let step = self.core.step(self.now);
            self.stuck &= matches!(step, Step::Wait);
            match step {
                Step::Send(bytes) => {
                    assert!(!bytes.is_empty());
                    self.sent.extend_from_slice(bytes);
                }
                Step::Take(bytes) => {
                    assert!((1..=65_536).contains(&bytes.len()));
                    self.taken.extend_from_slice(bytes);
                }
                Step::Ask(ask) => {
                    self.asked = Some(show(&ask));
                    self.ask = Some(ask);
                }
                Step::StartTls => self.start_tls = true,
                Step::Close => self.closed = true,
                Step::Wait => {
                    // The driver waits for other events where nothing is taken.
                    assert!(!std::mem::take(&mut self.stuck), "stuck");
                    if self.pending.is_empty() {
                        return;
                    }
                    self.feed();
                }
            }
        }
    }

    fn feed(&mut self) {
        if self.read == 0 {
            let all = self.pending.len();
            self.read = match self.cuts {
                Cuts::Whole => all,
                Cuts::Each => 1,
                Cuts::At(at) if at > self.fed => all.min(at - self.fed),
                Cuts::At(_) => all,
            };
            self.fed += self.read;
        }
        let taken = self.core.receive(&self.pending[..self.read]);
        self.stuck = taken == 0;
        self.pending.drain(..taken);
        self.read -= taken;
    }
}

/// A question in one line.
fn show(ask: &Ask) -> String {
    let acting = |authzid: &Option<String>| {
        authzid.as_ref().map_or_else(String::new, |other| format!(" as {other}"))
    };
    match ask {
        Ask::Password { user, authzid, password } => {
            format!("Password {user} {}{}", password.reveal(), acting(authzid))
        }
        Ask::Verifiers { user } => format!("Verifiers {user}"),
        Ask::Proved { user, authzid, verifier } => {
            format!("Proved {user} {verifier}{}", acting(authzid))
        }
        Ask::Refused { user } => format!("Refused {user}"),
        Ask::Command(command) => printer::command(command),
        Ask::AppendBegin(append) => format!("{} {}", append.tag, printer::append(append)),
        Ask::AppendEnd => "AppendEnd".into(),
        Ask::AppendAbort => "AppendAbort".into(),
        Ask::IdleStart => "IdleStart".into(),
        Ask::IdleEnd => "IdleEnd".into(),
    }
}
