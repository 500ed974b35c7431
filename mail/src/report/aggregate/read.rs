//! Reads a report of somebody else.

use std::net::IpAddr;

use super::{
    AggregateReport, AggregateRow, DMARC_ROWS_MAX, Disposition, DmarcSeen, SeenSignature, SeenSpf,
};
use crate::dmarc::{Alignment, asked};
use crate::report::xml::{Visitor, walk};
use crate::report::{NoReport, word};
use crate::verdicts::{Found, SIGNATURES_MAX};

impl AggregateReport {
    /// Reads a report.
    /// # Errors
    /// [`NoReport`]: it is none, or lacks what no report can be without: who, which, when, whom
    /// about.
    pub fn read(xml: &str) -> Result<Self, NoReport> {
        let mut reading = Reading::default();
        walk(xml, &mut reading)?;
        let report = reading.report;
        let whole = !report.organisation.is_empty()
            && !report.id.is_empty()
            && !report.policy.domain.is_empty()
            && report.end > 0;
        if reading.is_feedback && whole { Ok(report) } else { Err(NoReport("it lacks a part")) }
    }
}

#[derive(Default)]
struct Reading {
    report: AggregateReport,
    is_feedback: bool,
    row: Row,
}

#[derive(Default)]
struct Row {
    source: Option<IpAddr>,
    count: u64,
    disposition: Disposition,
    dkim: bool,
    spf: bool,
    forwarded: bool,
    header_from: String,
    envelope_from: String,
    signatures: Vec<SeenSignature>,
    signature: SeenSignature,
    spf_result: Option<SeenSpf>,
    of_spf: SeenSpf,
}

impl Visitor for Reading {
    fn element(&mut self, path: &[String], text: &str) -> Result<(), NoReport> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let ["feedback", path @ ..] = path.as_slice() else {
            return Err(NoReport("it begins with no feedback"));
        };
        self.is_feedback = true;
        match path {
            ["report_metadata", rest @ ..] => self.metadata(rest, text),
            ["policy_published", name] => self.policy(name, text),
            ["record"] => self.end_of_row(),
            ["record", rest @ ..] => self.row.element(rest, text),
            _ => {}
        }
        Ok(())
    }
}

impl Reading {
    fn metadata(&mut self, path: &[&str], text: &str) {
        let report = &mut self.report;
        match path {
            ["org_name"] => report.organisation = word(text),
            ["email"] => report.email = word(text),
            ["report_id"] => report.id = word(text),
            ["date_range", "begin"] => report.begin = seconds(text),
            ["date_range", "end"] => report.end = seconds(text),
            _ => {}
        }
    }

    fn policy(&mut self, name: &str, text: &str) {
        let policy = &mut self.report.policy;
        let lower = text.to_ascii_lowercase();
        let alignment = if lower == "s" { Alignment::Strict } else { Alignment::Relaxed };
        match name {
            "domain" => policy.domain = word(&lower),
            "p" => policy.asked = asked(&lower),
            "sp" => policy.below = asked(&lower),
            "np" => policy.missing = asked(&lower),
            "adkim" => policy.dkim = alignment,
            "aspf" => policy.spf = alignment,
            "testing" => policy.testing = lower == "y",
            _ => {}
        }
    }

    /// A row without an address that can be read is counted, and told nowhere.
    fn end_of_row(&mut self) {
        let row = std::mem::take(&mut self.row);
        let report = &mut self.report;
        let Some(source) = row.source.filter(|_| report.rows.len() < DMARC_ROWS_MAX) else {
            report.cut = report.cut.saturating_add(row.count);
            return;
        };
        let seen = DmarcSeen {
            source,
            disposition: row.disposition,
            dkim_aligned: row.dkim,
            spf_aligned: row.spf,
            forwarded: row.forwarded,
            header_from: row.header_from,
            envelope_from: row.envelope_from,
            signatures: row.signatures,
            spf: row.spf_result,
        };
        report.rows.push(AggregateRow { count: row.count, seen });
    }
}

impl Row {
    fn element(&mut self, path: &[&str], text: &str) {
        let is_pass = || text.eq_ignore_ascii_case("pass");
        match path {
            ["row", "source_ip"] => self.source = text.parse().ok(),
            // What nobody can have counted is none.
            ["row", "count"] => self.count = text.parse::<u64>().unwrap_or(0).min(1 << 40),
            ["row", "policy_evaluated", "disposition"] => {
                self.disposition = Disposition::parse(text).unwrap_or_default();
            }
            ["row", "policy_evaluated", "dkim"] => self.dkim = is_pass(),
            ["row", "policy_evaluated", "spf"] => self.spf = is_pass(),
            ["row", "policy_evaluated", "reason", "type"] => {
                self.forwarded |= ["forwarded", "trusted_forwarder", "mailing_list"]
                    .iter()
                    .any(|one| one.eq_ignore_ascii_case(text));
            }
            ["identifiers" | "identities", "header_from"] => self.header_from = word(text),
            ["identifiers" | "identities", "envelope_from"] => self.envelope_from = word(text),
            ["auth_results", "dkim"] => {
                let signature = std::mem::take(&mut self.signature);
                if self.signatures.len() < SIGNATURES_MAX {
                    self.signatures.push(signature);
                }
            }
            ["auth_results", "dkim", "domain"] => self.signature.domain = word(text),
            ["auth_results", "dkim", "selector"] => self.signature.selector = word(text),
            ["auth_results", "dkim", "result"] => self.signature.found = found(text),
            ["auth_results", "spf"] => {
                let spf = std::mem::take(&mut self.of_spf);
                self.spf_result = self.spf_result.take().or(Some(spf));
            }
            ["auth_results", "spf", "domain"] => self.of_spf.domain = word(text),
            ["auth_results", "spf", "scope"] => self.of_spf.helo = text == "helo",
            ["auth_results", "spf", "result"] => self.of_spf.found = found(text),
            _ => {}
        }
    }
}

fn seconds(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn found(text: &str) -> Found {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        // RFC 7489 Appendix C has names of its own.
        "error" | "unknown" => Found::TempError,
        "hardfail" => Found::Fail,
        other => Found::of_keyword(other).unwrap_or_default(),
    }
}
