//! The record and the policy file (RFC 8461 §3).

use std::time::Duration;

use crate::tls::matches_name;

/// Most hosts of a policy.
const HOSTS_MAX: usize = 256;
/// RFC 8461 §3.2
const MAX_AGE_MAX: u64 = 31_557_600;

/// What a policy asks of senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Mail must not go to hosts that fail.
    Enforce,
    /// It may, and reports tell of it.
    Testing,
    /// As if there were no policy.
    None,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it asks.
    pub mode: Mode,
    /// Hosts that mail may go to; `*.` stands for exactly one label.
    pub mx: Vec<String>,
    /// How long it holds.
    pub max_age: Duration,
}

/// A text is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no valid policy: {0}")]
pub struct PolicySyntax(&'static str);

impl Policy {
    /// Its lines, as its file has them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let head = ["version: STSv1".to_owned(), format!("mode: {mode}")];
        let hosts = self.mx.iter().map(|host| format!("mx: {host}"));
        let end = format!("max_age: {}", self.max_age.as_secs());
        head.into_iter().chain(hosts).chain([end]).collect()
    }

    /// Reads a policy file.
    /// # Errors
    /// [`PolicySyntax`]: treat it as one that could not be fetched.
    pub fn parse(text: &str) -> Result<Self, PolicySyntax> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.split('\n') {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            // RFC 8461 §3.2: of a field that is given twice the first counts, but for mx.
            match key.trim() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" if mx.len() < HOSTS_MAX => {
                    mx.push(value.trim_end_matches('.').to_ascii_lowercase());
                }
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(PolicySyntax("not version STSv1"));
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(PolicySyntax("no known mode")),
        };
        let seconds = max_age.filter(|text| text.len() <= 10).and_then(|text| text.parse().ok());
        let seconds: u64 = seconds.ok_or(PolicySyntax("no max_age"))?;
        if mx.is_empty() && mode != Mode::None {
            return Err(PolicySyntax("no mx"));
        }
        Ok(Self { mode, mx, max_age: Duration::from_secs(seconds.min(MAX_AGE_MAX)) })
    }

    /// Whether mail may go to this host (RFC 8461 §4.1).
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.mx.iter().any(|pattern| matches_name(pattern, host))
    }
}

/// The id of a `v=STSv1` record.
pub(super) fn record_id(text: &str) -> Option<String> {
    let mut fields = text.split(';').map(str::trim);
    if fields.next() != Some("v=STSv1") {
        return None;
    }
    let id = fields.find_map(|field| field.strip_prefix("id="))?.trim();
    let good = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    good.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmax_age: 604800\r\n";

    // RFC 8461 §3.2, §4.1.
    #[test]
    fn the_rfc_s_example_is_read() {
        let policy = Policy::parse(GOOD).unwrap();
        assert_eq!((policy.mode, policy.max_age.as_secs()), (Mode::Enforce, 604_800));
        for (host, good) in [
            ("MAIL.example.com", true),
            ("mail.example.com.", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            ("mail.example.org", false),
        ] {
            assert_eq!(policy.allows(host), good, "{host}");
        }
        assert!(Policy::parse("version: STSv1\nmode: none\nmax_age: 1\n").is_ok());
        for bad in [
            "",
            "<html>",
            "version: STSv2\nmode: none\nmax_age: 1\n",
            "version: STSv1\nmode: other\nmx: a\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmx: a\n",
            "version: STSv1\nmode: enforce\nmx: a\nmax_age: -1\n",
        ] {
            assert!(Policy::parse(bad).is_err(), "{bad}");
        }
    }

    // RFC 8461 §3.1.
    #[test]
    fn records_have_an_id() {
        assert_eq!(record_id("v=STSv1; id=20160831085700Z;").as_deref(), Some("20160831085700Z"));
        for bad in ["v=STSv1;", "v=STSv1; id=;", "v=STSv1; id=a-b", "v=spf1 -all", "id=1; v=STSv1"]
        {
            assert_eq!(record_id(bad), None, "{bad}");
        }
    }
}
