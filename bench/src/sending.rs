//! Mail out: what users submit for another domain, until that domain's server has it.
//!
//! Each system has a sink of its own, of the same kind. TLS is off everywhere. We sign (DKIM) what
//! users submit and ask for their password once a connection; Debian's Postfix does neither.

mod table;

use std::net::SocketAddr;
use std::time::Duration;

use tests::office::{Office, PASSWORD};
use tests::smtp::{Smtp, dot_stuffed};
use tests::wait;

use crate::counts::{self, Counts};
use crate::load::{Load, Times, address, fail, send};
use crate::payload::Author;
use crate::peer::Peer;
use crate::single::Line;
use crate::sink::Sink;

pub(crate) use table::Sent;

/// Where mail goes to.
const DOMAIN: &str = "far.test";

/// Both systems try again so soon at most.
pub(crate) const RETRY: Duration = Duration::from_secs(2);

/// Submitters of a backlog.
const BACKLOG_SENDERS: usize = 20;

/// Bytes of its messages.
const BACKLOG_BYTES: usize = 2_048;

/// After the last message of a backlog was submitted, so long is waited before the sink is up.
const SETTLE: Duration = Duration::from_secs(3);

/// How long an office that has nothing to do is looked at.
const REST: Duration = Duration::from_secs(5);

/// What is measured.
pub(crate) struct Plan<'a> {
    pub(crate) senders: &'a [usize],
    pub(crate) bytes: &'a [usize],
    /// Messages of a turn; of one with a single sender an eighth.
    pub(crate) messages: usize,
    pub(crate) turns: usize,
    /// No peer is started.
    pub(crate) alone: bool,
    /// Messages of a backlog; none: it is not measured.
    pub(crate) backlog: usize,
}

/// A system that sends, and where to.
struct Target<'a> {
    smtp: SocketAddr,
    password: Option<&'a str>,
    sink: &'a Sink,
}

/// How a backlog went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drained {
    /// From the moment when the sink was up.
    since_up: Duration,
    /// From the first message that it took.
    since_first: Duration,
}

/// Measures it all.
///
/// # Panics
/// If a message is refused, or does not get there.
pub(crate) fn run(plan: &Plan<'_>) -> Sent {
    let (here, there) = (Sink::start(), Sink::start());
    let office = office(&here, plan.senders);
    let peer = (!plan.alone).then(|| Peer::start_sending(there.address(), RETRY));
    let ours =
        Target { smtp: office.listener("submission"), password: Some(PASSWORD), sink: &here };
    let peers =
        peer.as_ref().map(|peer| Target { smtp: peer.smtp(), password: None, sink: &there });
    let mut sent = Sent::default();
    sent.lines(at_rest(&office));
    for &bytes in plan.bytes {
        for &senders in plan.senders {
            let messages = if senders == 1 { plan.messages / 8 } else { plan.messages };
            let load = Load { senders, bytes, messages: messages.max(senders) };
            let messages = written(&load);
            let first = Load { messages: senders, ..load };
            for target in std::iter::once(&ours).chain(&peers) {
                target.run(&first, &messages);
            }
            for _ in 0..plan.turns {
                let (before, dials) = (counts::when_quiet(&office), here.connections());
                let times = ours.run(&load, &messages);
                let cost = counts::when_quiet(&office).since(&before);
                sent.ours(load, &times, &cost, here.connections() - dials);
                if let Some(peers) = &peers {
                    sent.peers(load, &peers.run(&load, &messages));
                }
            }
        }
    }
    if plan.backlog > 0 {
        backlog(plan, &office, &ours, peers.as_ref(), &mut sent);
    }
    sent
}

/// An office with a route to the sink.
fn office(sink: &Sink, senders: &[usize]) -> Office {
    let mut office = Office::start();
    let most = senders.iter().copied().fold(BACKLOG_SENDERS, usize::max);
    crate::accounts(&office, most);
    let route = format!("[routes.\"{DOMAIN}\"]\nhosts = [\"{}\"]\n", sink.address());
    let submission = "[submission]\nmessages_per_day = 0\nrecipients_per_day = 0\n";
    let retry = format!("retry = \"1s\"\nretry_max = \"{}s\"", RETRY.as_secs());
    office.configure(&[("mx = false", &retry), ("", &route), ("", submission)]);
    office
}

/// The messages of a load, as DATA wants them; number n is the submitter's n modulo all of them.
fn written(load: &Load) -> Vec<Vec<u8>> {
    let mut author = Author::new(u64::try_from(load.bytes).unwrap_or(0));
    let one = |number: usize| {
        dot_stuffed(&author.message_from(&address(number % load.senders), load.bytes))
    };
    (0..load.messages).map(one).collect()
}

impl Target<'_> {
    fn connect(&self, number: usize) -> Smtp {
        let mut smtp = Smtp::connect(self.smtp).unwrap_or_else(|error| fail("connect", &error));
        if let Some(password) = self.password {
            smtp.login(&address(number), password).unwrap_or_else(|error| fail("log in", &error));
        }
        smtp
    }

    /// Submits all; how long that took from the first MAIL on.
    fn submit(&self, load: &Load, messages: &[Vec<u8>]) -> (std::time::Instant, Duration) {
        let mut connections: Vec<Smtp> = (0..load.senders).map(|n| self.connect(n)).collect();
        let start = wait::now();
        std::thread::scope(|scope| {
            for (number, smtp) in connections.iter_mut().enumerate() {
                scope.spawn(move || {
                    let own = messages.iter().take(load.messages).enumerate().skip(number);
                    for (n, message) in own.step_by(load.senders) {
                        send(smtp, &address(number), &format!("r{n}@{DOMAIN}"), message)
                            .unwrap_or_else(|error| fail("submit", &error));
                    }
                });
            }
        });
        (start, start.elapsed())
    }

    /// Submits all, and waits until the sink has them.
    fn run(&self, load: &Load, messages: &[Vec<u8>]) -> Times {
        let before = self.sink.messages();
        let (start, accepted) = self.submit(load, messages);
        self.sink.wait_for(before + load.messages);
        Times { accepted, visible: start.elapsed() }
    }

    /// Submits all while the sink is down, and waits until it has them after it is up.
    fn drain(&self, load: &Load, messages: &[Vec<u8>]) -> Drained {
        let before = self.sink.messages();
        self.sink.set_down(true);
        self.submit(load, messages);
        wait::pause(SETTLE);
        let up = wait::now();
        self.sink.set_down(false);
        self.sink.wait_for(before + 1);
        let first = wait::now();
        self.sink.wait_for(before + load.messages);
        Drained { since_up: up.elapsed(), since_first: first.elapsed() }
    }
}

/// What an office with a relay reads and writes that has nothing to do.
fn at_rest(office: &Office) -> Vec<Line> {
    let (before, start) = (counts::when_quiet(office), wait::now());
    wait::pause(REST);
    let cost = counts::read(office).since(&before).divided(start.elapsed().as_secs_f64());
    vec![
        Line::without_budget("at rest, a second: index reads", cost.index_reads, ""),
        Line::without_budget("at rest, a second: index writes", cost.index_writes, ""),
    ]
}

fn backlog(
    plan: &Plan<'_>,
    office: &Office,
    ours: &Target<'_>,
    peers: Option<&Target<'_>>,
    sent: &mut Sent,
) {
    let load = Load { senders: BACKLOG_SENDERS, bytes: BACKLOG_BYTES, messages: plan.backlog };
    let messages = written(&load);
    let mut cost = Counts::default();
    for _ in 0..plan.turns {
        let before = counts::when_quiet(office);
        let drained = ours.drain(&load, &messages);
        cost = cost.plus(&counts::when_quiet(office).since(&before));
        sent.drained(plan.backlog, drained, peers.map(|peers| peers.drain(&load, &messages)));
    }
    let all = crate::report::count(plan.backlog * plan.turns.max(1));
    let cost = cost.divided(all);
    sent.lines(vec![
        Line::without_budget("of a backlog, per message: index reads", cost.index_reads, ""),
        Line::without_budget("of a backlog, per message: index writes", cost.index_writes, ""),
        Line::without_budget("of a backlog, CPU per 1,000", cost.cpu_seconds * 1000.0, "s"),
    ]);
}
