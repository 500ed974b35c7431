//! What was measured of sending, as tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Drained;
use crate::counts::Counts;
use crate::load::{Load, Times};
use crate::report::{Measured, beside, count, line_of, versus};
use crate::single::Line;

/// Index writes of a sent message: due row, item, its end, the due row's end [f].
const INDEX_WRITES: f64 = 4.0;

/// All measurements of sending.
#[derive(Default)]
pub(crate) struct Sent {
    rows: BTreeMap<Load, (Measured, usize)>,
    lines: Vec<Line>,
    backlog: usize,
    drained: Vec<(Drained, Option<Drained>)>,
}

impl Sent {
    pub(super) fn ours(&mut self, load: Load, times: &Times, cost: &Counts, connections: usize) {
        let (row, opened) = self.rows.entry(load).or_default();
        row.ours(times, cost);
        *opened += connections;
    }

    pub(super) fn peers(&mut self, load: Load, times: &Times) {
        self.rows.entry(load).or_default().0.peers(times);
    }

    pub(super) fn lines(&mut self, lines: Vec<Line>) {
        self.lines.extend(lines);
    }

    pub(super) fn drained(&mut self, messages: usize, ours: Drained, peers: Option<Drained>) {
        self.backlog = messages;
        self.drained.push((ours, peers));
    }

    /// For people.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::from(
            "Counts per sent message, embedded engines, submitted for one outside recipient; \
             [budget], ! = over\nsenders  bytes   index reads  index writes  object puts  object \
             gets        fsyncs   CPU s/1,000  messages/connection\n",
        );
        for (load, (measured, connections)) in &self.rows {
            let cost = measured.per_message(load);
            // A String takes what is written to it.
            writeln!(
                text,
                "{:>7} {:>6} {:>13} {:>13} {:>12} {:>12} {:>13} {:>13} {:>20}",
                load.senders,
                load.bytes,
                beside(cost.index_reads, None),
                beside(cost.index_writes, Some(INDEX_WRITES)),
                beside(cost.object_puts, None),
                beside(cost.object_gets, None),
                beside(cost.fsyncs, None),
                beside(cost.cpu_seconds * 1000.0, None),
                beside(measured.messages(load) / count((*connections).max(1)), None),
            )
            .ok();
        }
        text.push_str("\nMeasured once\n");
        self.lines.iter().for_each(|line| text.push_str(&line_of(line)));
        text.push_str(
            "\nSent messages a second, median of the turns: us, Postfix; ratio (spread)\n",
        );
        for (load, (measured, _)) in &self.rows {
            measured.rates(load, "sent", None, &mut text);
        }
        if !self.drained.is_empty() {
            self.backlog(&mut text);
        }
        text
    }

    fn backlog(&self, text: &mut String) {
        let n = self.backlog;
        writeln!(
            text,
            "\nA backlog of {n} for one destination that is up again, seconds until it has all, \
             median: us, Postfix; ratio (spread)"
        )
        .ok();
        let mut line = |what: &str, time: fn(&Drained) -> f64| {
            let ours = self.drained.iter().map(|(ours, _)| time(ours)).collect();
            let peers = self.drained.iter().filter_map(|(_, peers)| Some(time(peers.as_ref()?)));
            let pairs = self.drained.iter().filter_map(|(o, p)| Some(time(p.as_ref()?) / time(o)));
            let beside = versus(ours, peers.collect(), pairs.collect(), 2, None);
            writeln!(text, "{what:<28} {beside}").ok();
        };
        line("from the moment it is up", |drained| drained.since_up.as_secs_f64());
        line("from its first message on", |drained| drained.since_first.as_secs_f64());
    }

    /// For programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|(load, (measured, connections))| {
                let mut row = measured.json(load);
                row["connections"] = (*connections).into();
                row
            })
            .collect();
        let seconds =
            |drained: &Drained| [drained.since_up.as_secs_f64(), drained.since_first.as_secs_f64()];
        let drained: Vec<_> = self
            .drained
            .iter()
            .map(|(ours, peers)| {
                serde_json::json!({
                    "messages": self.backlog,
                    "ours_seconds_since_up_first": seconds(ours),
                    "peers_seconds_since_up_first": peers.as_ref().map(seconds),
                })
            })
            .collect();
        serde_json::json!({ "measurements": rows, "single": self.lines, "backlog": drained })
    }
}
