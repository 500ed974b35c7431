//! What the process counts, for Prometheus: every name once, with what it means.
//!
//! Names are `postroad_<noun>_<unit|total>`; labels are few fixed words, never an address. Every
//! metric also carries `region`. `docs/metrics.md` is made from this table.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::failure::Failure;

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only grows.
    Counter,
    /// How many there are now.
    Gauge,
}

/// Name, kind, labels and meaning of each.
const METRICS: &[(&str, Kind, &str, &str)] = &[
    ("postroad_connections_open", Kind::Gauge, "", "Connections open now."),
    (
        "postroad_connections_total",
        Kind::Counter,
        "protocol; end: closed, gone, handshake, late, cut, panicked",
        "Connections that ended, and how.",
    ),
    (
        "postroad_connections_refused_total",
        Kind::Counter,
        "protocol; why: full, per_network, per_minute",
        "Connections that a limit refused.",
    ),
    (
        "postroad_panics_total",
        Kind::Counter,
        "at: anywhere (all of them), connection",
        "Panics: each is a bug, and ended only what it happened in.",
    ),
    (
        "postroad_login_failures_total",
        Kind::Counter,
        "",
        "Wrong user names or passwords, of all protocols.",
    ),
    (
        "postroad_smtp_recipients_total",
        Kind::Counter,
        "result: accepted, refused, later",
        "Recipients that clients named.",
    ),
    (
        "postroad_smtp_messages_total",
        Kind::Counter,
        "role: mx, submission; result: stored, refused, later, unknown (closed without a reply)",
        "Messages that clients finished sending.",
    ),
    (
        "postroad_smtp_checks_total",
        Kind::Counter,
        "check: iprev, spf, dkim (each signature), dmarc, arc; result: none, pass, fail, softfail, \
         neutral, temperror (DNS gave no answer), permerror",
        "Checks of mail from other servers.",
    ),
    (
        "postroad_smtp_greylisted_total",
        Kind::Counter,
        "",
        "Recipients that a client was asked to come again for.",
    ),
    (
        "postroad_smtp_listed_clients_total",
        Kind::Counter,
        "",
        "Connections of clients that a blocklist has.",
    ),
    (
        "postroad_smtp_spam_answers_total",
        Kind::Counter,
        "result: no action, junk, later, reject, too large (not asked), no answer",
        "Messages that the spam filter was asked about.",
    ),
    (
        "postroad_smtp_milter_answers_total",
        Kind::Counter,
        "result: no action, junk, later, reject, too large (not asked), no answer",
        "Messages that a milter was asked about.",
    ),
    (
        "postroad_spam_taught_total",
        Kind::Counter,
        "result: taught, passed over (gone or too large), no answer",
        "Messages that people put into Junk or took out of it, told to the spam filter.",
    ),
    (
        "postroad_smtp_stored_bytes_total",
        Kind::Counter,
        "",
        "Bytes of the messages that were acknowledged.",
    ),
    (
        "postroad_imap_commands_total",
        Kind::Counter,
        "command; result: ok, no, bad, bye, gone",
        "IMAP commands answered.",
    ),
    ("postroad_relay_connections_open", Kind::Gauge, "", "Connections to other servers open now."),
    (
        "postroad_relay_items_waiting",
        Kind::Gauge,
        "",
        "Items in memory that wait for a connection to their destination.",
    ),
    (
        "postroad_relay_items_aside_total",
        Kind::Counter,
        "",
        "Items that were set aside: their destination is held, or has too many.",
    ),
    (
        "postroad_relay_recipients_total",
        Kind::Counter,
        "result: taken",
        "Recipients that other servers took.",
    ),
    (
        "postroad_relay_refusals_total",
        Kind::Counter,
        "class: egress, sender, rate, greylist, content, mailbox, system, relay, unknown",
        "Refusals of other servers, by what they mean (docs/refusals.md).",
    ),
    (
        "postroad_relay_refusals_unmatched_total",
        Kind::Counter,
        "",
        "Refusals that no rule knows: they are in the events, for a rule of your own.",
    ),
    (
        "postroad_relay_unknown_total",
        Kind::Counter,
        "",
        "Attempts whose end nobody knows, each in its item's history.",
    ),
    (
        "postroad_relay_holds_total",
        Kind::Counter,
        "",
        "Destinations that did not answer and were left alone for a while.",
    ),
    (
        "postroad_relay_pauses_total",
        Kind::Counter,
        "",
        "Times that a connection waited because its destination had its messages of this minute.",
    ),
    (
        "postroad_relay_egress_holds_total",
        Kind::Counter,
        "",
        "Egresses that a destination refused for what they are.",
    ),
    (
        "postroad_relay_egress_faults_total",
        Kind::Counter,
        "",
        "Connections that an egress could not begin: its address is not ours, or cannot be used.",
    ),
    (
        "postroad_relay_spf_unknown_total",
        Kind::Counter,
        "",
        "Looks at the SPF of a domain of ours that DNS did not answer: every egress was used.",
    ),
    (
        "postroad_relay_spf_none_total",
        Kind::Counter,
        "",
        "Looks at the SPF of a domain of ours that no egress passes: every egress was used.",
    ),
    (
        "postroad_relay_panics_total",
        Kind::Counter,
        "",
        "Panics in the relay: each is a bug, and ended one connection.",
    ),
    ("postroad_reports_made_total", Kind::Counter, "", "Reports that senders were sent."),
    (
        "postroad_reports_sent_total",
        Kind::Counter,
        "kind: dmarc, tls",
        "Reports to other domains about their mail, or their servers.",
    ),
    (
        "postroad_reports_too_large_total",
        Kind::Counter,
        "",
        "Such reports that were larger than is wanted, and not sent.",
    ),
    (
        "postroad_reports_uncounted_total",
        Kind::Counter,
        "",
        "Messages and calls that no memory was left to count for such reports.",
    ),
    (
        "postroad_reports_received_total",
        Kind::Counter,
        "result: new, known, malformed, foreign (about others' domains), over (too many)",
        "Reports of others about domains of this office.",
    ),
    (
        "postroad_segments_parked_total",
        Kind::Counter,
        "",
        "Segments that could not be delivered and need a person: alarm on any.",
    ),
    (
        "postroad_items_unannounced_total",
        Kind::Counter,
        "",
        "Unfinished items found without a due row and announced again: each is a bug.",
    ),
    (
        "postroad_engine_calls_total",
        Kind::Counter,
        "seam: objects, index, events; call: put, get, list, delete, read, write, publish",
        "Calls to the engines that mail is kept in.",
    ),
    (
        "postroad_engine_bytes_total",
        Kind::Counter,
        "seam: objects, index",
        "Bytes that the engines wrote.",
    ),
    (
        "postroad_engine_fsyncs_total",
        Kind::Counter,
        "",
        "Syncs of files and directories, of the embedded engines.",
    ),
];

/// Starts counting; once in a process. Every metric carries the region.
/// # Errors
/// It was started before.
pub(crate) fn start(region: &str) -> Result<PrometheusHandle, Failure> {
    let handle = PrometheusBuilder::new()
        .add_global_label("region", region)
        .install_recorder()
        .map_err(|why| Failure { error: format!("cannot count metrics: {why}"), hint: None })?;
    for (name, kind, _, meaning) in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *meaning),
            Kind::Gauge => metrics::describe_gauge!(*name, *meaning),
        }
    }
    Ok(handle)
}

/// `docs/metrics.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\nAt `/metrics` of the `http` listener, for Prometheus. Every metric has the label \
        `region`.\nThis page is generated from the code.\n\n| metric | kind | labels | meaning |\n\
        |---|---|---|---|\n",
    );
    for (name, kind, labels, meaning) in METRICS {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        text.push_str(&format!("| `{name}` | {kind} | {labels} | {meaning} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn sources(folder: &Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && name != "tests.rs" {
                found.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    /// No metric without a meaning, no meaning without a metric.
    #[test]
    fn each_metric_of_the_source_is_described() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut text = String::new();
        for crates in ["engine", "net", "store", "functions", "edge-smtp", "edge-imap", "edge-http"]
        {
            sources(&root.join(crates).join("src"), &mut text);
        }
        sources(&root.join("postroad/src/serve"), &mut text);
        let counted: BTreeSet<&str> = text
            .split('"')
            .filter(|word| word.starts_with("postroad_"))
            .filter(|word| word.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'))
            .collect();
        let described: BTreeSet<&str> = METRICS.iter().map(|(name, ..)| *name).collect();
        assert_eq!(counted, described);
    }

    /// The page cannot drift from the code: `BLESS=1` writes it.
    #[test]
    fn the_documentation_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == markdown(), "docs/metrics.md is stale: cargo xtask bless");
    }
}
