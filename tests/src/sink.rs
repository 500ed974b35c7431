//! Where mail goes in tests: an SMTP server that says what a table tells it to, by the client's
//! address, in the greeting, at each command and after the content; it can also stall, hang up, or
//! keep a message and swallow the answer. It remembers everything.

mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustls::ServerConfig;

use crate::wait;

/// Where in the dialogue a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// Instead of the greeting.
    Greeting,
    /// At EHLO or HELO.
    Hello,
    /// At STARTTLS.
    StartTls,
    /// At MAIL FROM.
    Sender,
    /// At RCPT TO.
    Recipient,
    /// At DATA, before the content.
    Data,
    /// After the content's final dot.
    End,
}

/// What it does there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Says this and goes on; lines are separated by `\n`, the codes are in it: `550 5.7.1 no`.
    /// A positive reply accepts.
    Say(String),
    /// Says this and hangs up.
    SayAndClose(String),
    /// Hangs up without a word. After the content: it is not kept.
    Close,
    /// Says nothing more, and stays connected until the client leaves.
    Stall,
    /// After the content: keeps the message and hangs up without the answer.
    KeepAndClose,
    /// After the content: keeps the message and never answers.
    KeepAndStall,
}

/// One line of the table. The first that fits is taken.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Only for clients from here.
    pub client: Option<IpAddr>,
    /// Where in the dialogue.
    pub at: At,
    /// Only if what the client said (the command's line; after the content, the content) holds
    /// this.
    pub holds: Option<String>,
    /// What is done.
    pub act: Act,
    /// How often it still applies; `None`: for ever.
    pub times: Option<usize>,
}

impl Rule {
    /// `act` for everybody, always.
    #[must_use]
    pub const fn new(at: At, act: Act) -> Self {
        Self { client: None, at, holds: None, act, times: None }
    }

    /// Says `reply` to everybody, always.
    #[must_use]
    pub fn say(at: At, reply: &str) -> Self {
        Self::new(at, Act::Say(reply.to_owned()))
    }

    /// Only for clients from `address`.
    #[must_use]
    pub fn client(mut self, address: &str) -> Self {
        self.client = Some(address.parse().unwrap());
        self
    }

    /// Only where the client said this.
    #[must_use]
    pub fn holds(mut self, text: &str) -> Self {
        self.holds = Some(text.to_owned());
        self
    }

    /// Only so often.
    #[must_use]
    pub const fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }
}

/// A message that was accepted, or kept without an answer.
#[derive(Clone, Debug)]
pub struct Received {
    /// From which address.
    pub client: IpAddr,
    /// When its content was complete.
    pub at: Instant,
    /// Number of the connection, from 0.
    pub connection: usize,
    /// What EHLO said.
    pub hello: String,
    /// MAIL FROM, without `<>`; empty for the null sender.
    pub sender: String,
    /// MAIL FROM's parameters as they came.
    pub parameters: String,
    /// RCPT TO that were accepted, without `<>`.
    pub recipients: Vec<String>,
    /// Parameters of each.
    pub recipient_parameters: Vec<String>,
    /// The content, dots unstuffed.
    pub content: Vec<u8>,
    /// Whether TLS was on.
    pub tls: bool,
    /// Whether "250" was said for it.
    pub acknowledged: bool,
}

impl Received {
    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// First value of a header field, unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let head = text.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
        head.split("\r\n").find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

/// One thing that happened: a connection, or a command and its answer.
#[derive(Clone, Debug)]
pub struct Seen {
    /// From which address.
    pub client: IpAddr,
    /// When.
    pub at: Instant,
    /// Number of the connection, from 0.
    pub connection: usize,
    /// Where in the dialogue.
    pub step: At,
    /// The command; empty for a connection.
    pub command: String,
    /// What was answered; empty if nothing.
    pub reply: String,
}

/// A scripted SMTP server on a free port. It ends when it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    received: Mutex<Vec<Received>>,
    seen: Mutex<Vec<Seen>>,
    sockets: Mutex<BTreeMap<usize, TcpStream>>,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    features: Mutex<Vec<String>>,
    down: AtomicBool,
    stopped: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Sink {
    fn default() -> Self {
        Self::start()
    }
}

impl Sink {
    /// On 127.0.0.1, accepting everything.
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start() -> Self {
        Self::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// At this address (of 127.0.0.0/8, say); port 0 takes a free one.
    /// # Panics
    /// If it is taken.
    #[must_use]
    pub fn bind(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let features = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN"];
        let shared = Arc::new(Shared {
            rules: Mutex::default(),
            received: Mutex::default(),
            seen: Mutex::default(),
            sockets: Mutex::default(),
            tls: Mutex::default(),
            features: Mutex::new(features.map(str::to_owned).to_vec()),
            down: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a rule behind those that are there.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Replaces the table.
    pub fn set(&self, rules: Vec<Rule>) {
        *lock(&self.shared.rules) = rules;
    }

    /// What EHLO offers, one a line; STARTTLS is added if there is a certificate.
    pub fn set_features(&self, features: &[&str]) {
        *lock(&self.shared.features) = features.iter().map(|f| (*f).to_owned()).collect();
    }

    /// Offers STARTTLS with this certificate.
    pub fn set_tls(&self, config: Arc<ServerConfig>) {
        *lock(&self.shared.tls) = Some(config);
    }

    /// Down: connections are closed at once, those that are there too. Up again: as before.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
        if down {
            self.hang_up();
        }
    }

    /// Closes every connection there is.
    pub fn hang_up(&self) {
        for (_, socket) in std::mem::take(&mut *lock(&self.shared.sockets)) {
            socket.shutdown(Shutdown::Both).ok();
        }
    }

    /// The messages so far, in the order of their ends.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// Everything so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How often this step was met.
    #[must_use]
    pub fn count(&self, step: At) -> usize {
        lock(&self.shared.seen).iter().filter(|seen| seen.step == step).count()
    }

    /// Waits until there are so many messages, and tells all there are then.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} messages at the sink");
        wait::until(&what, || Some(self.received()).filter(|all| all.len() >= count))
    }

    /// Waits until this step was met so often.
    pub fn wait_for_step(&self, step: At, count: usize) {
        wait::until(&format!("{count} times {step:?} at the sink"), || {
            (self.count(step) >= count).then_some(())
        });
    }

    /// The addresses that connected.
    #[must_use]
    pub fn clients(&self) -> BTreeSet<IpAddr> {
        lock(&self.shared.seen).iter().map(|seen| seen.client).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.hang_up();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// The first rule that fits, one time of it used up.
    fn rule(&self, client: IpAddr, at: At, said: &str) -> Option<Act> {
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find(|rule| {
            rule.at == at
                && rule.times != Some(0)
                && rule.client.is_none_or(|only| only == client)
                && rule.holds.as_ref().is_none_or(|text| said.contains(text.as_str()))
        })?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.act.clone())
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, socket) in listener.incoming().enumerate() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let Ok(peer) = socket.peer_addr() else { continue };
        if shared.down.load(Ordering::SeqCst) {
            continue;
        }
        if let Ok(copy) = socket.try_clone() {
            lock(&shared.sockets).insert(number, copy);
        }
        let shared = shared.clone();
        std::thread::spawn(move || {
            // An error is the client's going.
            session::run(&shared, socket, peer.ip(), number).ok();
            // The copy, too, or the client would not see that it is over.
            if let Some(socket) = lock(&shared.sockets).remove(&number) {
                socket.shutdown(Shutdown::Both).ok();
            }
        });
    }
}

#[cfg(test)]
mod tests;
