//! Sessions over the in-memory engines, through the real core and driver, as transcripts.
//!
//! `C:` lines are sent, `S:` lines are the responses expected, in order; `C2:` and `S2:` are of
//! the same user's second session. `⏎` stands for a CRLF within a command or a literal, `…` for
//! anything. Responses that are not in the transcript fail it.

mod changes;
mod commands;
mod delivered;
mod failures;
mod fetching;
mod hostile;
mod limits;
mod logins;
mod model;
mod searching;
mod summaries;
mod syncing;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::memory::World;
use mail::{Address, Domain};
use net::{Drain, Driver, Pace, Peer, Protocol, Service as _, Throttle, ThrottleOptions, serve};
use proto::imap::Config;
use proto::sasl::{self, Mechanism};
use store::Store;
use store::rows::{AccountRow, AddressRow, Credentials, DirectoryChange, DomainRow, Verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::{Imap, Options};

/// One edge on an empty store, with `ana@example.test` and `bob@example.test`.
pub(crate) struct Office {
    pub(crate) world: World,
    pub(crate) store: Store,
    imap: Imap,
    options: Options,
    drain: Drain,
}

/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse";

impl Office {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// An office with changed options, and accounts changed before they are made.
    pub(crate) async fn with(
        change: impl FnOnce(&mut Options),
        change_account: impl Fn(&mut AccountRow),
    ) -> Self {
        let world = World::default();
        let store = Store::new(world.process("edge"), store::Options::default());
        let domain = Domain::parse("example.test").unwrap();
        let mut changes = vec![DirectoryChange::Domain(domain, DomainRow::new())];
        for name in ["ana", "bob"] {
            let address = Address::parse(&format!("{name}@example.test")).unwrap();
            let id = store.directory().fresh_account();
            let mut row = AccountRow::new("home", 1, address.clone());
            row.credentials = credentials(sasl::ITERATIONS_MIN);
            change_account(&mut row);
            changes.push(DirectoryChange::Account(id, Box::new(row)));
            changes.push(DirectoryChange::Address(address, AddressRow::Account(id)));
        }
        store.directory().change(changes).await.unwrap();
        let mut options = Options::new(config(), b"secret".to_vec());
        options.iterations = sasl::ITERATIONS_MIN;
        change(&mut options);
        Self::on(world, store, options, ThrottleOptions::default())
    }

    fn on(world: World, store: Store, options: Options, throttle: ThrottleOptions) -> Self {
        let throttle = Throttle::new(throttle, store.engines().clock.clone());
        let imap = Imap::new(options.clone(), store.clone(), throttle);
        Self { world, store, imap, options, drain: Drain::new() }
    }

    /// Another process with an edge on the same store.
    pub(crate) fn another(&self, name: &str) -> Self {
        let store = Store::new(self.world.process(name), store::Options::default());
        Self::on(self.world.clone(), store, self.options.clone(), ThrottleOptions::default())
    }

    /// The same edge, which has no time to check a password.
    pub(crate) fn busy(self) -> Self {
        let mut engines = self.world.process("busy");
        engines.work = engine::Work::new(0, 0);
        let store = Store::new(engines, store::Options::default());
        Self::on(self.world, store, self.options, ThrottleOptions::default())
    }

    /// The same edge, which slows no guesses.
    pub(crate) fn unthrottled(self) -> Self {
        let trusted = vec!["127.0.0.1".parse().unwrap()];
        let throttle = ThrottleOptions { trusted, ..ThrottleOptions::default() };
        Self::on(self.world, self.store, self.options, throttle)
    }

    /// A connection; its greeting has been read.
    pub(crate) async fn connect(&self) -> Client {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let peer = Peer::direct("127.0.0.1:4000".parse().unwrap());
        let clock = self.store.engines().clock.clone();
        let (core, edge) = self.imap.connect(peer, None, clock.instant());
        let driver = Driver { clock, tls: None, protocol: Protocol::Imap, pace: Pace::default() };
        let signal = self.drain.signal();
        self.store.engines().tasks.spawn("connection", async move {
            serve(Box::new(theirs), core, edge, Arc::new(driver), signal).await
        });
        let mut client = Client { stream: ours, buffer: Vec::new(), tags: 0 };
        assert!(client.response().await.unwrap().starts_with("* OK"));
        client
    }

    /// A session of `ana`.
    pub(crate) async fn login(&self) -> Client {
        let mut client = self.connect().await;
        client.ok(&format!("LOGIN ana@example.test \"{PASSWORD}\"")).await;
        client
    }

    /// Runs a transcript with one or two sessions of `ana`.
    pub(crate) async fn transcript(&self, transcript: &str) {
        let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
        for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (who, text) = line.split_once(": ").unwrap_or((line, ""));
            let (side, number) = who.split_at(1);
            if !clients.contains_key(number) {
                clients.insert(number, self.login().await);
            }
            let client = clients.get_mut(number).unwrap();
            match side {
                "C" => client.send(text).await,
                "S" => {
                    let response = client.response().await;
                    let response = response.unwrap_or_else(|| panic!("closed before {line}"));
                    assert!(matches(text, &response), "expected {line}\n     got {response}");
                }
                _ => panic!("neither C nor S: {line}"),
            }
        }
        for (number, mut client) in clients {
            let rest = client.command("NOOP").await;
            assert_eq!(rest.len(), 1, "not in the transcript of session {number:?}: {rest:?}");
        }
    }
}

fn config() -> Config {
    Config {
        host: "imap.example.test".into(),
        starttls: false,
        mechanisms: vec![Mechanism::ScramSha256, Mechanism::Plain],
        append_limit: 50 << 20,
        id: vec![("name".into(), "Postroad".into())],
        login_time: std::time::Duration::from_secs(60),
        autologout_time: std::time::Duration::from_secs(1800),
    }
}

/// The password, at this cost.
pub(crate) fn credentials(iterations: u32) -> Credentials {
    let salt = vec![7; 16];
    let verifier = sasl::Verifier::derive(PASSWORD, &salt, iterations).unwrap();
    let (stored, server) = verifier.parts();
    let (stored_key, server_key) = (*stored, *server);
    let label = "password".to_owned();
    let set = mail::Timestamp::default();
    let verifiers = vec![Verifier { label, set, stored_key, server_key }];
    Credentials { salt, iterations, verifiers, imported: Vec::new() }
}

/// Whether `text` fits `pattern`, in which `…` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) if !part.is_empty() => rest = &rest[at + part.len()..],
            Some(_) => rest = "",
            None => return false,
        }
    }
    if open {
        rest.is_empty() || !pattern.ends_with('…') && text.ends_with(last(pattern))
    } else {
        rest.is_empty()
    }
}

fn last(pattern: &str) -> &str {
    pattern.rsplit('…').next().unwrap_or_default()
}

/// The client's side of a connection.
pub(crate) struct Client {
    stream: DuplexStream,
    buffer: Vec<u8>,
    tags: u32,
}

impl Client {
    /// Sends a line.
    pub(crate) async fn send(&mut self, line: &str) {
        let line = format!("{}\r\n", line.replace('⏎', "\r\n"));
        self.stream.write_all(line.as_bytes()).await.unwrap();
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next response, its literals in it, CRLF within it as `⏎`. `None`: closed.
    pub(crate) async fn response(&mut self) -> Option<String> {
        let mut response = self.response_bytes().await?;
        response.truncate(response.len() - 2);
        Some(String::from_utf8_lossy(&response).replace("\r\n", "⏎"))
    }

    /// The next response as on the wire.
    pub(crate) async fn response_bytes(&mut self) -> Option<Vec<u8>> {
        let mut end = 0;
        loop {
            let line = loop {
                let rest = self.buffer.get(end..).unwrap_or_default();
                if let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
                    break end..end + at + 2;
                }
                self.read().await?;
            };
            let text = self.buffer[line.clone()].to_vec();
            end = line.end;
            let Some(size) = literal_size(&text) else { break };
            while self.buffer.len() < end + size {
                self.read().await?;
            }
            end += size;
        }
        Some(self.buffer.drain(..end).collect())
    }

    async fn read(&mut self) -> Option<()> {
        let mut bytes = [0; 4096];
        let patience = std::time::Duration::from_secs(600);
        let read = tokio::select! {
            biased;
            read = self.stream.read(&mut bytes) => read.unwrap(),
            () = deadline(patience) => panic!("nothing more came after {:?}",
                String::from_utf8_lossy(&self.buffer)),
        };
        self.buffer.extend_from_slice(&bytes[..read]);
        (read > 0).then_some(())
    }

    /// Sends a command and returns all responses up to the tagged one.
    pub(crate) async fn command(&mut self, command: &str) -> Vec<String> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(&format!("{tag} {command}")).await;
        let mut responses = Vec::new();
        loop {
            let response = self.response().await.unwrap_or_else(|| panic!("closed: {command}"));
            let done = response.starts_with(&tag);
            responses.push(response);
            if done {
                return responses;
            }
        }
    }

    /// Sends a command that must be answered OK.
    pub(crate) async fn ok(&mut self, command: &str) -> Vec<String> {
        let responses = self.command(command).await;
        let last = responses.last().unwrap();
        assert!(last.contains(" OK "), "{command}: {responses:?}");
        responses
    }

    /// APPENDs a message.
    pub(crate) async fn append(&mut self, arguments: &str, message: &str) -> String {
        let message = message.replace('\n', "\r\n").replace("\r\r", "\r");
        let command = format!("APPEND {arguments} {{{}+}}\r\n{message}", message.len());
        self.command(&command).await.pop().unwrap()
    }
}

fn literal_size(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line.strip_suffix(b"}\r\n")?).ok();
    let digits = match text {
        Some(text) => text.rsplit_once('{')?.1.to_owned(),
        None => {
            let at = line.iter().rposition(|byte| *byte == b'{')?;
            String::from_utf8(line[at + 1..line.len() - 3].to_vec()).ok()?
        }
    };
    digits.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "the test's own patience, in paused time")]
fn deadline(time: std::time::Duration) -> tokio::time::Sleep {
    tokio::time::sleep(time)
}

/// A small message with this subject.
pub(crate) fn message(subject: &str) -> String {
    format!(
        "From: Ana <ana@example.test>\nTo: bob@example.test\nSubject: {subject}\n\
         Date: Tue, 24 Nov 2026 12:00:00 +0000\nMessage-ID: <{subject}@example.test>\n\n\
         This is {subject}.\n"
    )
}

#[test]
fn patterns_match_as_said() {
    assert!(matches("a…c", "abc") && matches("a…", "a") && matches("…c", "abc"));
    assert!(!matches("a…c", "abd") && !matches("ab", "abc") && matches("a…b…c", "axbxxc"));
}

#[test]
fn an_idle_session_is_small() {
    // What is beyond is the selected mailbox's runs of UIDs, and the account's log, which is shared.
    assert!(size_of::<crate::Session>() <= 256);
}
