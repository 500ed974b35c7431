//! Authentication-Results (RFC 8601).

use std::net::IpAddr;

use super::{Found, Verdicts};

/// Longest value that is shown of what somebody else wrote.
const VALUE_BYTES_MAX: usize = 255;

/// What the field tells besides the verdicts.
#[derive(Clone, Copy, Debug)]
pub struct AuthenticationResults<'a> {
    /// Our name: nobody else's field of this name is kept (RFC 8601 §5).
    pub host: &'a str,
    /// The client.
    pub peer: IpAddr,
    /// The verdicts.
    pub verdicts: &'a Verdicts,
}

impl AuthenticationResults<'_> {
    /// What stands behind the host name: the results, each after a `;`, without line breaks.
    /// Also the payload of ARC-Authentication-Results.
    #[must_use]
    pub fn results(&self) -> Vec<String> {
        let verdicts = self.verdicts;
        let mut all = Vec::new();
        if let Some(reverse) = &verdicts.reverse {
            let name = match reverse.found {
                Found::Pass => format!(" ({})", clean(&reverse.name)),
                _ => String::new(),
            };
            let found = reverse.found.keyword();
            all.push(format!("iprev={found}{name} policy.iprev={}", address(self.peer)));
        }
        if let Some(spf) = &verdicts.spf {
            let what = if spf.helo { "helo" } else { "mailfrom" };
            let found = spf.found.keyword();
            all.push(format!("spf={found} smtp.{what}={}", clean(&spf.domain)));
        }
        if let Some(dkim) = &verdicts.dkim {
            if dkim.is_empty() {
                all.push("dkim=none".to_owned());
            }
            for one in dkim {
                let mut text = format!("dkim={}", one.found.keyword());
                for (name, value) in
                    [("d", &one.domain), ("s", &one.selector), ("b", &one.signature)]
                {
                    if !value.is_empty() {
                        text.push_str(&format!(" header.{name}={}", quoted(value)));
                    }
                }
                all.push(text);
            }
        }
        if let Some(dmarc) = &verdicts.dmarc {
            let mut text = format!("dmarc={}", dmarc.found.keyword());
            if !dmarc.record.is_empty() {
                text.push_str(&format!(" (p={})", dmarc.asked.keyword()));
            }
            if !dmarc.from.is_empty() {
                text.push_str(&format!(" header.from={}", clean(&dmarc.from)));
            }
            all.push(text);
        }
        if let Some(arc) = &verdicts.arc {
            let mut text = format!("arc={}", arc.found.keyword());
            if !arc.sealer.is_empty() {
                text.push_str(&format!(" (i={} d={})", arc.sets, clean(&arc.sealer)));
            }
            all.push(text);
        }
        all
    }

    /// The whole field with its line end; `None` if nothing was looked at. Whatever was found, it
    /// is one well-formed field (F2, D3).
    #[must_use]
    pub fn field(&self) -> Option<String> {
        let results = self.results();
        if results.is_empty() {
            return None;
        }
        Some(format!(
            "Authentication-Results: {};\r\n\t{}\r\n",
            clean(self.host),
            results.join(";\r\n\t")
        ))
    }
}

fn address(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        // A colon may stand only within quotes (RFC 2045 §5.1: token).
        IpAddr::V6(v6) => format!("\"{v6}\""),
    }
}

/// A value with "/" in it, as begins of signatures have, needs quotes.
fn quoted(value: &str) -> String {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    if value.contains(['/', '=']) && value.chars().all(is_base64) {
        return format!("\"{value}\"");
    }
    clean(value)
}

/// What may stand in a field as one value: of anything else only "?" is shown.
fn clean(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c) || !c.is_ascii();
    let bad = |c: char| c.is_control() || c.is_whitespace() || !plain(c);
    let mut out = String::new();
    for letter in value.chars() {
        if out.len() + letter.len_utf8() > VALUE_BYTES_MAX {
            break;
        }
        out.push(if bad(letter) { '?' } else { letter });
    }
    if out.is_empty() { "?".to_owned() } else { out }
}
