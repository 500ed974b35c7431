//! Writes a report of ours (RFC 9990 §3.1, Appendix A).

use super::{AggregateReport, AggregateRow};
use crate::dmarc::Alignment;
use crate::report::xml::escaped;
use crate::verdicts::{Asked, Found};

/// The namespace of RFC 9990.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:dmarc-2.0";

impl AggregateReport {
    /// The report as XML.
    #[must_use]
    pub fn write(&self) -> String {
        let mut out = Xml::default();
        out.0.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        out.0.push_str(&format!("<feedback xmlns=\"{NAMESPACE}\">\n"));
        out.leaf(1, "version", "1.0");
        out.inside(1, "report_metadata", |out| {
            out.leaf(2, "org_name", &self.organisation);
            out.leaf(2, "email", &self.email);
            out.leaf(2, "report_id", &self.id);
            out.inside(2, "date_range", |out| {
                out.leaf(3, "begin", &self.begin.to_string());
                out.leaf(3, "end", &self.end.to_string());
            });
            if self.cut > 0 {
                out.leaf(
                    2,
                    "error",
                    &format!("{} messages of further rows are left off", self.cut),
                );
            }
            out.leaf(2, "generator", "Postroad");
        });
        out.inside(1, "policy_published", |out| self.write_policy(out));
        for row in &self.rows {
            out.inside(1, "record", |out| row.write(out));
        }
        out.0.push_str("</feedback>\n");
        out.0
    }

    fn write_policy(&self, out: &mut Xml) {
        let policy = &self.policy;
        let word = |asked: Asked| asked.keyword();
        let alignment = |one: Alignment| if one == Alignment::Strict { "s" } else { "r" };
        out.leaf(2, "domain", &policy.domain);
        out.leaf(2, "p", policy.asked.map_or("none", word));
        if let Some(below) = policy.below {
            out.leaf(2, "sp", word(below));
        }
        if let Some(missing) = policy.missing {
            out.leaf(2, "np", word(missing));
        }
        out.leaf(2, "adkim", alignment(policy.dkim));
        out.leaf(2, "aspf", alignment(policy.spf));
        out.leaf(2, "discovery_method", "treewalk");
        out.leaf(2, "testing", if policy.testing { "y" } else { "n" });
    }
}

impl AggregateRow {
    fn write(&self, out: &mut Xml) {
        let seen = &self.seen;
        let word = |pass: bool| if pass { "pass" } else { "fail" };
        out.inside(2, "row", |out| {
            out.leaf(3, "source_ip", &seen.source.to_string());
            out.leaf(3, "count", &self.count.to_string());
            out.inside(3, "policy_evaluated", |out| {
                out.leaf(4, "disposition", seen.disposition.keyword());
                out.leaf(4, "dkim", word(seen.dkim_aligned));
                out.leaf(4, "spf", word(seen.spf_aligned));
                if seen.forwarded {
                    out.inside(4, "reason", |out| {
                        out.leaf(5, "type", "trusted_forwarder");
                        out.leaf(5, "comment", "an ARC chain whose sealer is believed");
                    });
                }
            });
        });
        out.inside(2, "identifiers", |out| {
            out.leaf(3, "header_from", &seen.header_from);
            // RFC 9990 §3.1.1.10: empty where there was no sender.
            out.leaf(3, "envelope_from", &seen.envelope_from);
        });
        out.inside(2, "auth_results", |out| {
            for one in &seen.signatures {
                out.inside(3, "dkim", |out| {
                    out.leaf(4, "domain", &one.domain);
                    out.leaf(4, "selector", &one.selector);
                    out.leaf(4, "result", dkim_result(one.found));
                });
            }
            if let Some(spf) = &seen.spf {
                out.inside(3, "spf", |out| {
                    out.leaf(4, "domain", &spf.domain);
                    // RFC 9990 §3.1.1.13 knows no other; what HELO says is no identity of DMARC.
                    if !spf.helo {
                        out.leaf(4, "scope", "mfrom");
                    }
                    out.leaf(4, "result", spf.found.keyword());
                });
            }
        });
    }
}

/// DKIM knows no `softfail`.
const fn dkim_result(found: Found) -> &'static str {
    match found {
        Found::SoftFail => "fail",
        other => other.keyword(),
    }
}

/// A document being written.
#[derive(Default)]
struct Xml(String);

impl Xml {
    fn leaf(&mut self, depth: usize, name: &str, text: &str) {
        let (indent, text) = ("  ".repeat(depth), escaped(text));
        self.0.push_str(&format!("{indent}<{name}>{text}</{name}>\n"));
    }

    fn inside(&mut self, depth: usize, name: &str, write: impl FnOnce(&mut Self)) {
        let indent = "  ".repeat(depth);
        self.0.push_str(&format!("{indent}<{name}>\n"));
        write(self);
        self.0.push_str(&format!("{indent}</{name}>\n"));
    }
}
