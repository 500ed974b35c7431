//! The load: senders in closed loops, and a reader that waits until all is visible.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tests::imap::Imap;
use tests::message::sized;
use tests::office::{Office, PASSWORD};
use tests::smtp::Smtp;
use tests::wait;

use crate::ACCOUNTS;

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

/// A system under load.
pub(crate) struct Target {
    smtp: SocketAddr,
    imap: SocketAddr,
    password: &'static str,
}

impl Target {
    pub(crate) fn new(smtp: SocketAddr, imap: SocketAddr, password: &'static str) -> Self {
        Self { smtp, imap, password }
    }

    pub(crate) fn office(office: &Office) -> Self {
        Self::new(office.listener("smtp"), office.listener("imap"), PASSWORD)
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
    /// Runs it once.
    ///
    /// # Panics
    /// If a message is refused.
    pub(crate) fn run(&self, target: &Target) -> Times {
        let before = visible(target);
        let next = AtomicUsize::new(0);
        let text = sized("bench", self.bytes);
        let mut connections: Vec<Smtp> = (0..self.senders)
            .map(|_| Smtp::connect(target.smtp).unwrap_or_else(|error| fail("connect", &error)))
            .collect();
        let start = wait::now();
        std::thread::scope(|scope| {
            for smtp in &mut connections {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.messages {
                            return;
                        }
                        let to = format!("u{}@example.test", number % ACCOUNTS);
                        let reply = smtp.send("ana@sender.test", &[&to], &text);
                        let reply = reply.unwrap_or_else(|error| fail("send", &error));
                        assert_eq!(reply.code, 250, "{reply}");
                    }
                });
            }
        });
        let accepted = start.elapsed();
        wait::until("all messages to be visible", || {
            (visible(target) >= before + self.messages).then_some(())
        });
        Times { accepted, visible: start.elapsed() }
    }
}

/// Messages in all inboxes together.
fn visible(target: &Target) -> usize {
    (0..ACCOUNTS)
        .map(|number| {
            let user = format!("u{number}@example.test");
            let mut imap = Imap::login(target.imap, &user, target.password)
                .unwrap_or_else(|error| fail("log in", &error));
            let answer = imap
                .command("STATUS INBOX (MESSAGES)")
                .unwrap_or_else(|error| fail("STATUS", &error));
            let line = answer.line_with("MESSAGES").unwrap_or_default();
            line.split("MESSAGES ")
                .nth(1)
                .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
                .unwrap_or(0)
        })
        .sum()
}

#[expect(clippy::panic, reason = "a benchmark that cannot run has no figures")]
fn fail(what: &str, error: &std::io::Error) -> ! {
    panic!("{what}: {error}")
}
