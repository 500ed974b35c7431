//! Counts and rates of one office, and of Debian's Postfix and Dovecot beside it in the same run.
//!
//! Counts (puts, fsyncs, index writes, bytes, CPU per message) are read from the product's own
//! metrics and the kernel's accounting. Rates are ratios: both systems take turns under the same
//! load, so a noisy machine disturbs both.
#![expect(clippy::print_stdout, reason = "a command line tool: this is its output")]

mod backlog;
mod counts;
mod load;
mod payload;
mod peer;
mod report;
mod sending;
mod single;
mod sink;

use clap::Parser;
use tests::office::Office;

use crate::load::{Load, Target};

/// Measures us beside Postfix and Dovecot.
#[derive(Parser)]
struct Arguments {
    /// Concurrent senders, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "1,20,100")]
    senders: Vec<usize>,
    /// Bytes of a message, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "2048,20480")]
    bytes: Vec<usize>,
    /// Messages of a turn; of one with a single sender, which waits for each answer, an eighth.
    #[arg(long, default_value_t = 1_500)]
    messages: usize,
    /// How often the two systems take turns.
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Only us: no peer is started.
    #[arg(long)]
    alone: bool,
    /// Only one part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Messages that wait for a destination that is down; 0: not measured.
    #[arg(long, default_value_t = 1_000)]
    backlog: usize,
    /// With `--only backlog`: items for the destination that is dead.
    #[arg(long, default_value_t = 100_000)]
    dead: usize,
    /// With `--only backlog`: messages for others.
    #[arg(long, default_value_t = 1_000)]
    live: usize,
    /// Only the loads: nothing that is measured once.
    #[arg(long)]
    loads: bool,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Mail that comes in, until it is visible.
    Delivery,
    /// Mail that goes out, until the other side has it.
    Sending,
    /// A long queue for a destination that is dead, and mail for others; only if asked for.
    Backlog,
}

/// Accounts that one load goes to, the same number in both systems; each load has its own, so that
/// no account gets enough mail for its upkeep to come due: that is measured by itself.
const ACCOUNTS: usize = 100;

/// Senders, messages and accounts of the measurement with upkeep: each account gets enough for
/// checkpoints and compaction.
const WITH_UPKEEP: (Load, usize) = (Load { bytes: 2_048, senders: 20, messages: 2_000 }, 20);

fn main() {
    let arguments = Arguments::parse();
    if arguments.only == Some(Part::Backlog) {
        let backlog = backlog::run(arguments.dead, arguments.live);
        println!("{}", if arguments.json { backlog.json().to_string() } else { backlog.table() });
        return;
    }
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    let delivery = wanted(Part::Delivery).then(|| delivery(&arguments));
    let sending = wanted(Part::Sending).then(|| {
        sending::run(&sending::Plan {
            senders: &arguments.senders,
            bytes: &arguments.bytes,
            messages: arguments.messages,
            turns: arguments.turns,
            alone: arguments.alone,
            backlog: arguments.backlog,
        })
    });
    if arguments.json {
        let delivery = delivery.map(|report| report.json());
        let sending = sending.map(|sent| sent.json());
        println!("{}", serde_json::json!({ "delivery": delivery, "sending": sending }));
    } else {
        let tables = [delivery.map(|report| report.tables()), sending.map(|sent| sent.tables())];
        let tables: Vec<_> = tables.into_iter().flatten().collect();
        println!("{}", tables.join("\n"));
    }
}

fn delivery(arguments: &Arguments) -> report::Report {
    let mut office = Office::start();
    let loads = arguments.bytes.len() * arguments.senders.len();
    accounts(&office, ACCOUNTS * (loads + 1));
    let mut report = report::Report::default();
    if !arguments.loads {
        report.lines(single::start(&mut office));
        report.lines(single::all(&office));
    }
    let peer = (!arguments.alone).then(peer::Peer::start);
    let first = Load::FIRST.messages();
    let mut number = 0;
    for &bytes in &arguments.bytes {
        for &senders in &arguments.senders {
            let messages = if senders == 1 { arguments.messages / 8 } else { arguments.messages };
            let load = Load { senders, bytes, messages: messages.max(senders) };
            number += ACCOUNTS;
            let accounts = number..number + ACCOUNTS;
            let mut ours = Target::office(&office, accounts.clone());
            let mut peers = peer.as_ref().map(|peer| peer.target(accounts));
            Load::FIRST.run(&mut ours, &first);
            if let Some(peers) = &mut peers {
                Load::FIRST.run(peers, &first);
            }
            let messages = load.messages();
            for _ in 0..arguments.turns {
                let before = counts::when_quiet(&office);
                let times = load.run(&mut ours, &messages);
                let cost = counts::when_quiet(&office).since(&before);
                report.ours(load, &times, &cost);
                if let Some(peers) = &mut peers {
                    report.peers(load, &load.run(peers, &messages));
                }
            }
        }
    }
    if !arguments.loads {
        let (load, accounts) = WITH_UPKEEP;
        report.lines(single::with_upkeep(&office, load, accounts));
    }
    report
}

/// Makes accounts, a few at a time.
fn accounts(office: &Office, count: usize) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let password = format!("{}\n", tests::office::PASSWORD);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    office.admin(&["account", "add", &load::address(number)], &password);
                }
            });
        }
    });
}
