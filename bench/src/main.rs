//! Counts and rates of one office, and of Debian's Postfix and Dovecot beside it in the same run.
//!
//! Counts (puts, fsyncs, index writes, bytes, CPU per message) are read from the product's own
//! metrics and the kernel's accounting. Rates are ratios: both systems take turns under the same
//! load, so a noisy machine disturbs both.
#![expect(clippy::print_stdout, reason = "a command line tool: this is its output")]

mod counts;
mod load;
mod peer;
mod report;

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
    /// Messages of a measurement.
    #[arg(long, default_value_t = 2_000)]
    messages: usize,
    /// How often the two systems take turns.
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Only us: no peer is started.
    #[arg(long)]
    alone: bool,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// Accounts that the load goes to, the same number in both systems.
const ACCOUNTS: usize = 20;

fn main() {
    let arguments = Arguments::parse();
    let office = Office::start();
    for number in 0..ACCOUNTS {
        let address = format!("u{number}@example.test");
        let password = format!("{}\n", tests::office::PASSWORD);
        office.admin(&["account", "add", &address], &password);
    }
    let peer = (!arguments.alone).then(peer::Peer::start);
    let mut report = report::Report::default();
    for &bytes in &arguments.bytes {
        for &senders in &arguments.senders {
            // One sender waits for each answer: fewer messages tell as much.
            let messages = if senders == 1 { arguments.messages / 4 } else { arguments.messages };
            for _ in 0..arguments.turns {
                let load = Load { senders, bytes, messages: messages.max(senders) };
                let before = counts::read(&office);
                let ours = load.run(&Target::office(&office));
                let cost = counts::read(&office).since(&before);
                report.ours(load, &ours, cost);
                if let Some(peer) = &peer {
                    report.peers(load, &load.run(&peer.target()));
                }
            }
        }
    }
    println!("{}", if arguments.json { report.json() } else { report.tables() });
}
