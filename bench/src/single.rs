//! What is measured once: start, rest, idle connections, APPEND, summaries.

use std::time::Duration;

use mail::structure::{Limits, Scanner};
use tests::corpus;
use tests::imap::Imap;
use tests::office::{Office, PASSWORD};
use tests::wait;

use crate::counts;
use crate::load::{Load, Target, address, fail};
use crate::payload::Author;
use crate::report::count;

/// One figure.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it may be at most.
    pub(crate) budget: Option<f64>,
}

impl Line {
    fn new(name: impl Into<String>, value: f64, unit: &'static str, budget: f64) -> Self {
        Self { name: name.into(), value, unit, budget: Some(budget) }
    }

    pub(crate) fn without_budget(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, budget: None }
    }
}

/// Messages appended: fewer than make a checkpoint due, so that only APPEND is counted.
const APPENDS: usize = 40;

/// Connections opened before the counting: the accounts that they open are not counted.
const WARM: usize = crate::ACCOUNTS;

/// Connections counted.
const IDLE: usize = 250;

/// Messages looked at for the sizes of summaries.
const SUMMARIES: usize = 500;

/// How long the office gets to come to rest.
const REST: Duration = Duration::from_secs(3);

/// The start of a built office, and its memory before anybody has come. Restarts it.
///
/// # Panics
/// If it does not start.
pub(crate) fn start(office: &mut Office) -> Vec<Line> {
    office.process().terminate();
    let start = wait::now();
    office.restart();
    let ready = start.elapsed().as_secs_f64();
    wait::pause(REST);
    vec![
        Line::new("time from start to ready", ready, "s", 1.0),
        Line::new("resident memory at rest", mebibytes(resident(office)), "MiB", 30.0),
    ]
}

/// All the rest.
///
/// # Panics
/// If the office refuses something.
pub(crate) fn all(office: &Office) -> Vec<Line> {
    let mut lines = vec![
        idle(office, "plain", 4.0),
        idle(office, "TLS", 12.0),
        Line::without_budget("resident memory after that", mebibytes(resident(office)), "MiB"),
    ];
    for bytes in [2_048, 10_240] {
        lines.extend(append(office, bytes));
    }
    lines.extend(summaries());
    lines
}

/// Counts per message where accounts get enough mail for checkpoints and compaction.
///
/// # Panics
/// If the office refuses something.
pub(crate) fn with_upkeep(office: &Office, load: Load, accounts: usize) -> Vec<Line> {
    let mut target = Target::office(office, 0..accounts);
    let messages = load.messages();
    let before = counts::when_quiet(office);
    load.run(&mut target, &messages);
    wait::pause(REST);
    let cost = counts::when_quiet(office).since(&before).divided(count(load.messages));
    let (senders, bytes) = (load.senders, load.bytes);
    let name = |what: &str| format!("with upkeep, {bytes} bytes, {senders} senders: {what}");
    vec![
        Line::without_budget(name("object puts"), cost.object_puts, ""),
        Line::without_budget(name("fsyncs"), cost.fsyncs, ""),
        Line::without_budget(name("index writes"), cost.index_writes, ""),
        Line::without_budget(name("CPU per 1,000"), cost.cpu_seconds * 1000.0, "s"),
        Line::without_budget(name("written per byte"), cost.bytes() / count(bytes), ""),
    ]
}

/// Memory of a connection that is logged in, has selected a mailbox and is in IDLE.
fn idle(office: &Office, kind: &str, budget: f64) -> Line {
    let opened = |n: usize| -> Vec<Imap> {
        (0..n).map(|n| idling(office, kind, n).unwrap_or_else(|e| fail("idle", &e))).collect()
    };
    let warm = opened(WARM);
    wait::pause(REST);
    let before = resident(office);
    let counted = opened(IDLE);
    wait::pause(REST);
    let after = resident(office);
    let each = (count(after) - count(before)) / count(IDLE) / 1024.0;
    drop((warm, counted));
    Line::new(format!("an idle IMAP connection, {kind}"), each, "KiB", budget)
}

fn idling(office: &Office, kind: &str, number: usize) -> std::io::Result<Imap> {
    let mut imap = match kind {
        "TLS" => Imap::connect_tls(office.listener("imaps"))?,
        _ => Imap::connect(office.listener("imap"))?,
    };
    imap.command(&format!("LOGIN {} {PASSWORD}", address(number % crate::ACCOUNTS)))?.ok()?;
    imap.select("Drafts")?;
    let tag = imap.tag();
    imap.stream.send(format!("{tag} IDLE\r\n").as_bytes())?;
    imap.response()?;
    Ok(imap)
}

/// Counts of an APPEND that rides in its entry.
fn append(office: &Office, bytes: usize) -> Vec<Line> {
    let user = format!("append{bytes}");
    office.admin(&["account", "add", &format!("{user}@example.test")], &format!("{PASSWORD}\n"));
    let mut author = Author::new(7);
    let mut imap = office.imap(&user);
    // What the first one brings is not counted: opening the account.
    let mut one = || {
        let answer = imap.append("Archive", "(\\Seen) ", &author.message(bytes));
        answer.and_then(tests::imap::Answer::ok).unwrap_or_else(|e| fail("APPEND", &e));
    };
    one();
    let before = counts::when_quiet(office);
    for _ in 0..APPENDS {
        one();
    }
    let cost = counts::read(office).since(&before).divided(count(APPENDS));
    let name = |what: &str| format!("APPEND of {bytes} bytes: {what}");
    vec![
        Line::new(name("object puts"), cost.object_puts, "", 0.0),
        Line::new(name("index writes"), cost.index_writes, "", 1.0),
        Line::without_budget(name("fsyncs"), cost.fsyncs, ""),
        Line::without_budget(name("written per byte"), cost.bytes() / count(bytes), ""),
    ]
}

/// Sizes of summaries of real mail, where the tests have fetched it, else of what is sent here.
fn summaries() -> Vec<Line> {
    let (of, mails) = if corpus::is_there() {
        ("real mail", corpus::spamassassin())
    } else {
        let mut author = Author::new(9);
        ("made-up mail", (0..SUMMARIES).map(|_| author.message(2_048)).collect())
    };
    let mut sizes: Vec<usize> = mails
        .iter()
        .map(|mail| {
            let mut scanner = Scanner::new(Limits::default());
            scanner.feed(mail);
            scanner.finish().summary.encode().len()
        })
        .collect();
    sizes.sort_unstable();
    let at = |percent: usize| sizes.get(sizes.len() * percent / 100).copied().unwrap_or_default();
    let n = sizes.len();
    vec![
        Line::new(format!("summary of {of} ({n}), median"), count(at(50)), "bytes", 450.0),
        Line::new(format!("summary of {of} ({n}), p95"), count(at(95)), "bytes", 600.0),
    ]
}

/// Resident bytes.
fn resident(office: &Office) -> usize {
    memory(office, "VmRSS:")
}

/// Bytes of memory that the kernel counts under this name.
pub(crate) fn memory(office: &Office, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", office.pid()));
    let kib = status
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or_default() * 1024
}

pub(crate) fn mebibytes(bytes: usize) -> f64 {
    count(bytes) / 1024.0 / 1024.0
}
