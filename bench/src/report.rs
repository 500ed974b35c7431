//! The report: counts per message beside their budgets, and rates as ratios.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::counts::Counts;
use crate::load::{Load, Times};
use crate::single::Line;

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Report {
    rows: BTreeMap<Load, Measured>,
    lines: Vec<Line>,
}

/// One load's.
#[derive(Default)]
pub(crate) struct Measured {
    /// All turns together.
    cost: Counts,
    ours: Vec<Times>,
    peers: Vec<Times>,
}

/// Budgets per delivered message (docs/rules.md, *Budgets*).
#[derive(Clone, Copy)]
struct Budget {
    puts: f64,
    fsyncs: f64,
    index_writes: f64,
    /// CPU seconds per 1,000.
    cpu: f64,
    /// Bytes written per byte.
    written: f64,
}

/// From so many bytes on, a message is a large one for its budget.
const LARGE: usize = 10_000;

impl Budget {
    /// What is promised for a load; only for the loads of the design.
    const fn of(load: &Load) -> Option<Self> {
        let large = load.bytes >= LARGE;
        Some(match load.senders {
            100 => Self {
                puts: 0.04,
                fsyncs: 0.1,
                index_writes: 1.1,
                cpu: 0.3,
                written: if large { 1.4 } else { 3.2 },
            },
            20 => Self {
                puts: 0.15,
                fsyncs: 0.4,
                index_writes: 1.3,
                cpu: 0.5,
                written: if large { 1.4 } else { 5.0 },
            },
            1 => Self {
                puts: 1.0,
                fsyncs: 3.0,
                index_writes: 3.0,
                cpu: 1.8,
                // Nothing is promised for a single large one.
                written: if large { f64::INFINITY } else { 15.0 },
            },
            _ => return None,
        })
    }
}

/// The rate that was asked for: end to end, at so many senders, so many times the peers'.
const GOAL: (usize, f64) = (20, 8.0);

impl Report {
    pub(crate) fn ours(&mut self, load: Load, times: &Times, cost: &Counts) {
        self.rows.entry(load).or_default().ours(times, cost);
    }

    pub(crate) fn peers(&mut self, load: Load, times: &Times) {
        self.rows.entry(load).or_default().peers(times);
    }

    pub(crate) fn lines(&mut self, lines: Vec<Line>) {
        self.lines.extend(lines);
    }

    /// For people. What is over its budget has a `!`.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::from(
            "Counts per delivered message, embedded engines, one recipient; [budget], ! = over\n\
             senders  bytes          puts          fsyncs    index writes   CPU s/1,000  \
             written/byte  (objects + index, kernel)\n",
        );
        for (load, measured) in &self.rows {
            let cost = measured.per_message(load);
            let budget = Budget::of(load);
            let cell = |value: f64, of: fn(&Budget) -> f64| {
                let budget = budget.as_ref().map(of).filter(|budget| budget.is_finite());
                beside(value, budget)
            };
            // A String takes what is written to it.
            writeln!(
                text,
                "{:>7} {:>6} {:>14} {:>14} {:>14} {:>13} {:>13}  ({:.2} + {:.2}, {:.2})",
                load.senders,
                load.bytes,
                cell(cost.object_puts, |b| b.puts),
                cell(cost.fsyncs, |b| b.fsyncs),
                cell(cost.index_writes, |b| b.index_writes),
                cell(cost.cpu_seconds * 1000.0, |b| b.cpu),
                cell(cost.bytes() / count(load.bytes), |b| b.written),
                cost.object_bytes / count(load.bytes),
                cost.index_bytes / count(load.bytes),
                cost.kernel_bytes / count(load.bytes),
            )
            .ok();
        }
        text.push_str("\nMeasured once; [budget], ! = over\n");
        for line in &self.lines {
            text.push_str(&line_of(line));
        }
        text.push_str(
            "\nMessages a second, median of the turns: us, Postfix and Dovecot; ratio (spread)\n",
        );
        for (load, measured) in &self.rows {
            let goal = (load.senders == GOAL.0).then_some(GOAL.1);
            measured.rates(load, "visible", goal, &mut text);
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let rows: Vec<_> = self.rows.iter().map(|(load, measured)| measured.json(load)).collect();
        serde_json::json!({ "measurements": rows, "single": self.lines })
    }
}

impl Measured {
    /// A turn of ours.
    pub(crate) fn ours(&mut self, times: &Times, cost: &Counts) {
        self.ours.push(*times);
        self.cost = self.cost.plus(cost);
    }

    /// A turn of the peers'.
    pub(crate) fn peers(&mut self, times: &Times) {
        self.peers.push(*times);
    }

    /// Messages of all turns of ours.
    pub(crate) fn messages(&self, load: &Load) -> f64 {
        count(load.messages) * count(self.ours.len().max(1))
    }

    /// The mean of all turns.
    pub(crate) fn per_message(&self, load: &Load) -> Counts {
        self.cost.divided(self.messages(load))
    }

    /// For programs.
    pub(crate) fn json(&self, load: &Load) -> serde_json::Value {
        let seconds = |times: &[Times]| -> Vec<[f64; 2]> {
            times.iter().map(|t| [t.accepted.as_secs_f64(), t.visible.as_secs_f64()]).collect()
        };
        serde_json::json!({
            "senders": load.senders, "bytes": load.bytes, "messages": load.messages,
            "per_message": self.per_message(load),
            "ours_accepted_visible_seconds": seconds(&self.ours),
            "peers_accepted_visible_seconds": seconds(&self.peers),
        })
    }

    /// Two lines of rates: until the last 250, and until the end, which is called `end`.
    pub(crate) fn rates(&self, load: &Load, end: &str, goal: Option<f64>, text: &mut String) {
        let mut line = |what: &str, goal: Option<f64>, time: fn(&Times) -> Duration| {
            let rate = |times: &Times| count(load.messages) / time(times).as_secs_f64();
            let ours: Vec<f64> = self.ours.iter().map(rate).collect();
            let peers: Vec<f64> = self.peers.iter().map(rate).collect();
            let ratios = ours.iter().zip(&peers).map(|(ours, peers)| ours / peers).collect();
            let beside = versus(ours, peers, ratios, 0, goal);
            writeln!(text, "{:>7} {:>6} {what:<10} {beside}", load.senders, load.bytes).ok();
        };
        line("accepted", None, |times| times.accepted);
        line(end, goal, |times| times.visible);
    }
}

/// What the last write of a turn may add, at most a twentieth.
const SLACK: f64 = 0.01;

/// A figure that was measured once.
pub(crate) fn line_of(line: &Line) -> String {
    let value = beside(line.value, line.budget);
    format!("{:<58} {value:>16} {}\n", line.name, line.unit)
}

/// A value with its budget, marked where it is over.
pub(crate) fn beside(value: f64, budget: Option<f64>) -> String {
    // Three places where they matter.
    let places = match value {
        ..10.0 => 3,
        ..100.0 => 1,
        _ => 0,
    };
    match budget {
        // Budgets have two places; what a turn's last write adds is less.
        Some(budget) if value > budget + SLACK.min(budget / 20.0) => {
            format!("{value:.places$} [{budget}] !")
        }
        Some(budget) => format!("{value:.places$} [{budget}]"),
        None => format!("{value:.places$}"),
    }
}

/// Ours beside the peers', and the ratio with its spread; without peers only ours.
pub(crate) fn versus(
    ours: Vec<f64>,
    peers: Vec<f64>,
    ratios: Vec<f64>,
    places: usize,
    goal: Option<f64>,
) -> String {
    let ours = middle(ours).1;
    if peers.is_empty() {
        return format!("{ours:>8.places$} {:>8}", "-");
    }
    let (peers, (least, ratio, most)) = (middle(peers).1, middle(ratios));
    let goal = goal.map_or(String::new(), |goal| {
        format!(" [at least {goal}{}]", if ratio >= goal { "" } else { " !" })
    });
    format!("{ours:>8.places$} {peers:>8.places$}  x{ratio:.2} ({least:.2} to {most:.2}){goal}")
}

/// Least, middle and most.
fn middle(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}
