//! The report: counts per message beside their budgets, and rates as ratios.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::counts::Counts;
use crate::load::{Load, Times};

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Report {
    rows: BTreeMap<Load, Measured>,
}

#[derive(Default)]
struct Measured {
    costs: Vec<Counts>,
    ours: Vec<Times>,
    peers: Vec<Times>,
}

/// Budgets per delivered message at so many senders (DESIGN: puts, fsyncs, index writes, CPU
/// seconds per 1,000), and bytes written per byte of a 2 KB message.
const BUDGETS: &[(usize, [f64; 5])] = &[
    (100, [0.04, 0.1, 1.1, 0.3, 3.2]),
    (20, [0.15, 0.4, 1.3, 0.5, 5.0]),
    (1, [1.0, 3.0, 3.0, 1.8, 15.0]),
];

impl Report {
    pub(crate) fn ours(&mut self, load: Load, times: &Times, cost: Counts) {
        let row = self.rows.entry(load).or_default();
        row.ours.push(*times);
        row.costs.push(cost);
    }

    pub(crate) fn peers(&mut self, load: Load, times: &Times) {
        self.rows.entry(load).or_default().peers.push(*times);
    }

    /// For people.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::from("Counts per delivered message, embedded engines [budget]\n");
        for (load, measured) in &self.rows {
            let [puts, fsyncs, writes, cpu, bytes] = measured.per_message(load);
            let budget = BUDGETS.iter().find(|(senders, _)| *senders == load.senders);
            let [b_puts, b_fsyncs, b_writes, b_cpu, b_bytes] =
                budget.map_or([f64::NAN; 5], |b| b.1);
            // A String takes what is written to it.
            writeln!(
                text,
                "{:>3} senders {:>6} bytes: puts {puts:.3} [{b_puts}] fsyncs {fsyncs:.3} [{b_fsyncs}] \
                 index writes {writes:.3} [{b_writes}] CPU s per 1,000 {cpu:.2} [{b_cpu}] \
                 written per byte {bytes:.2} [{}]",
                load.senders,
                load.bytes,
                if load.bytes > 10_000 { 1.4 } else { b_bytes },
            )
            .ok();
        }
        text.push_str("\nRates, messages a second: us, Postfix and Dovecot, ratio (min to max)\n");
        for (load, measured) in &self.rows {
            let line = |text: &mut String, what: &str, time: fn(&Times) -> f64| {
                let rate = |times: &[Times]| {
                    let mut rates: Vec<f64> =
                        times.iter().map(|t| count(load.messages) / time(t)).collect();
                    rates.sort_by(f64::total_cmp);
                    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
                };
                let mut ratios: Vec<f64> = measured
                    .ours
                    .iter()
                    .zip(&measured.peers)
                    .map(|(ours, peers)| time(peers) / time(ours))
                    .collect();
                ratios.sort_by(f64::total_cmp);
                let at = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
                writeln!(
                    text,
                    "{:>3} senders {:>6} bytes, {what}: {:8.0} {:8.0}  x{:.1} ({:.1} to {:.1})",
                    load.senders,
                    load.bytes,
                    rate(&measured.ours),
                    rate(&measured.peers),
                    at(ratios.len() / 2),
                    at(0),
                    at(ratios.len().saturating_sub(1)),
                )
                .ok();
            };
            line(&mut text, "accepted", |times| times.accepted.as_secs_f64());
            line(&mut text, "visible ", |times| times.visible.as_secs_f64());
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|(load, measured)| {
                let [puts, fsyncs, writes, cpu, bytes] = measured.per_message(load);
                let seconds = |times: &[Times]| -> Vec<[f64; 2]> {
                    times
                        .iter()
                        .map(|t| [t.accepted.as_secs_f64(), t.visible.as_secs_f64()])
                        .collect()
                };
                serde_json::json!({
                    "senders": load.senders, "bytes": load.bytes, "messages": load.messages,
                    "object_puts": puts, "fsyncs": fsyncs, "index_writes": writes,
                    "cpu_seconds_per_1000": cpu, "written_per_byte": bytes,
                    "ours_accepted_visible_seconds": seconds(&measured.ours),
                    "peers_accepted_visible_seconds": seconds(&measured.peers),
                })
            })
            .collect();
        serde_json::json!({ "measurements": rows }).to_string()
    }
}

impl Measured {
    /// Puts, fsyncs, index writes, CPU seconds per 1,000, bytes written per byte: the median turn.
    fn per_message(&self, load: &Load) -> [f64; 5] {
        let messages = count(load.messages);
        let median = |of: fn(&Counts) -> f64| {
            let mut all: Vec<f64> = self.costs.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
        };
        [
            median(|c| c.object_puts) / messages,
            median(|c| c.fsyncs) / messages,
            median(|c| c.index_writes) / messages,
            median(|c| c.cpu_seconds) / messages * 1000.0,
            median(|c| c.bytes) / (messages * count(load.bytes)),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}
