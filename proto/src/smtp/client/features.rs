//! What a server offers in its answer to EHLO.

use crate::sasl::Mechanism;

/// Most mechanisms of AUTH that are looked at.
const MECHANISMS_MAX: usize = 32;

/// Extensions that the other side offered, of those that we know (RFC 5321 §4.1.1.1). All off
/// after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an extension, offered or not")]
pub struct Features {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 3030.
    pub binary_mime: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 2034.
    pub enhanced_status_codes: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 8689.
    pub require_tls: bool,
    /// RFC 1870: `Some(0)` is "offered, no fixed limit".
    pub size: Option<u64>,
    /// RFC 4954: the mechanisms that we have too, best first.
    pub auth: Vec<Mechanism>,
    /// RFC 9422 `RCPTMAX`: most recipients of one transaction.
    pub recipients_max: Option<u32>,
    /// RFC 9422 `MAILMAX`: most transactions of one connection.
    pub transactions_max: Option<u32>,
}

impl Features {
    /// Takes one line of the answer to EHLO in, but the first. What is not understood is ignored.
    pub fn take(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binary_mime = true,
            "DSN" => self.dsn = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "STARTTLS" => self.starttls = true,
            "REQUIRETLS" => self.require_tls = true,
            "SIZE" => self.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
            "AUTH" => self.auth(words),
            "LIMITS" => self.limits(words),
            _ => {
                // Old servers: "AUTH=LOGIN".
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.auth(std::iter::once(first).chain(words));
                }
            }
        }
    }

    fn auth<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for mechanism in
            words.take(MECHANISMS_MAX).filter_map(|word| Mechanism::parse(word.as_bytes()))
        {
            if !self.auth.contains(&mechanism) {
                self.auth.push(mechanism);
            }
        }
        self.auth.sort_unstable();
    }

    fn limits<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for word in words.take(16) {
            let Some((name, value)) = word.split_once('=') else { continue };
            let value = value.parse().ok().filter(|value| *value > 0);
            match name.to_ascii_uppercase().as_str() {
                "RCPTMAX" => self.recipients_max = value,
                "MAILMAX" => self.transactions_max = value,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 5321 §4.1.1.1.
    #[test]
    fn known_extensions_are_found_in_any_case_and_the_rest_is_ignored() {
        let mut features = Features::default();
        for line in [
            "pipelining",
            "SIZE 1000",
            "AUTH LOGIN CRAM-MD5 plain SCRAM-SHA-256",
            "AUTH=PLAIN LOGIN",
            "LIMITS RCPTMAX=20 MAILMAX=x FOO=1",
            "X-WHATEVER a b c",
            "",
        ] {
            features.take(line);
        }
        let expected = Features {
            pipelining: true,
            size: Some(1000),
            auth: vec![Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login],
            recipients_max: Some(20),
            ..Features::default()
        };
        assert_eq!(features, expected);
        features.take("SIZE 99999999999999999999999");
        assert_eq!(features.size, Some(0));
    }
}
