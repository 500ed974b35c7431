//! The load: senders in closed loops, and readers that wait until all is visible.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tests::imap::Imap;
use tests::office::{Office, PASSWORD};
use tests::smtp::{Smtp, dot_stuffed};
use tests::wait;

use crate::ACCOUNTS;
use crate::payload::Author;

/// One measurement's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    /// Bytes of a message.
    pub(crate) bytes: usize,
    /// Concurrent senders.
    pub(crate) senders: usize,
    /// Messages in all.
    pub(crate) messages: usize,
}

/// Who sends to us.
const STRANGER: &str = "ana@sender.test";

/// A system under load, with a reader logged in to each account that the load goes to.
pub(crate) struct Target {
    smtp: SocketAddr,
    accounts: Range<usize>,
    readers: Vec<Imap>,
}

impl Target {
    /// Logs the readers in.
    ///
    /// # Panics
    /// If they are not let in.
    pub(crate) fn new(
        smtp: SocketAddr,
        imap: SocketAddr,
        password: &str,
        accounts: Range<usize>,
    ) -> Self {
        let reader = |number| {
            Imap::login(imap, &address(number), password)
                .unwrap_or_else(|error| fail("log in", &error))
        };
        Self { smtp, readers: accounts.clone().map(reader).collect(), accounts }
    }

    pub(crate) fn office(office: &Office, accounts: Range<usize>) -> Self {
        Self::new(office.listener("smtp"), office.listener("imap"), PASSWORD, accounts)
    }
}

/// How long it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the first MAIL to the last 250.
    pub(crate) accepted: Duration,
    /// From the first MAIL until the last message is visible by IMAP.
    pub(crate) visible: Duration,
}

impl Load {
    /// The messages, as DATA wants them: made before the clock runs.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        let mut author = Author::new(u64::try_from(self.bytes).unwrap_or(0));
        (0..self.messages).map(|_| dot_stuffed(&author.message(self.bytes))).collect()
    }

    /// A message to each account, before what is measured: both systems open or make what an
    /// account's first message needs.
    pub(crate) const FIRST: Self = Self { bytes: 2_048, senders: 5, messages: ACCOUNTS };

    /// Runs it once.
    ///
    /// # Panics
    /// If a message is refused.
    pub(crate) fn run(&self, target: &mut Target, messages: &[Vec<u8>]) -> Times {
        let (first, accounts) = (target.accounts.start, target.accounts.len().max(1));
        let before: Vec<usize> = target.readers.iter_mut().map(visible).collect();
        let next = AtomicUsize::new(0);
        let connect = |_| Smtp::connect(target.smtp).unwrap_or_else(|e| fail("connect", &e));
        let mut connections: Vec<Smtp> = (0..self.senders).map(connect).collect();
        let start = wait::now();
        std::thread::scope(|scope| {
            for smtp in &mut connections {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(message) = messages.get(number) else { return };
                        send(smtp, STRANGER, &address(first + number % accounts), message)
                            .unwrap_or_else(|error| fail("send", &error));
                    }
                });
            }
        });
        let accepted = start.elapsed();
        for (account, (reader, before)) in target.readers.iter_mut().zip(before).enumerate() {
            let sent = (account..messages.len()).step_by(accounts).count();
            wait::until("all messages to be visible", || {
                (visible(reader) >= before + sent).then_some(())
            });
        }
        Times { accepted, visible: start.elapsed() }
    }
}

/// Address of an account that the load goes to.
pub(crate) fn address(number: usize) -> String {
    format!("u{number}@example.test")
}

/// One transaction, pipelined as real senders do (RFC 2920): three commands, then the content.
pub(crate) fn send(smtp: &mut Smtp, from: &str, to: &str, message: &[u8]) -> std::io::Result<()> {
    let commands = format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
    smtp.stream.send(commands.as_bytes())?;
    for code in [250, 250, 354] {
        smtp.reply()?.expect(code)?;
    }
    smtp.stream.send(message)?;
    smtp.reply()?.expect(250).map(|_| ())
}

/// Messages in this reader's inbox.
fn visible(reader: &mut Imap) -> usize {
    let answer = reader.command("STATUS INBOX (MESSAGES)");
    let answer = answer.unwrap_or_else(|error| fail("STATUS", &error));
    let line = answer.line_with("MESSAGES").unwrap_or_default();
    line.split("MESSAGES ")
        .nth(1)
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .unwrap_or(0)
}

#[expect(clippy::panic, reason = "a benchmark that cannot run has no figures")]
pub(crate) fn fail(what: &str, error: &std::io::Error) -> ! {
    panic!("{what}: {error}")
}
