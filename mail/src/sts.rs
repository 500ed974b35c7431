//! MTA-STS (RFC 8461): the policy that a domain of ours publishes.

use aws_lc_rs::digest::{SHA256, digest};

/// How long senders keep a policy that they must follow.
const MAX_AGE_ENFORCED: u32 = 14 * 86_400;
/// How long senders keep one that is being tried out.
const MAX_AGE: u32 = 86_400;

/// What senders shall do if TLS or the host is not right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StsMode {
    /// There is no policy (any more).
    None,
    /// Deliver, and report.
    #[default]
    Testing,
    /// Do not deliver.
    Enforce,
}

impl StsMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Testing, Self::Enforce];

    /// The word in the policy (RFC 8461 §3.2).
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Testing => "testing",
            Self::Enforce => "enforce",
        }
    }

    /// The mode of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.keyword() == word)
    }
}

/// A policy of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsPolicy {
    /// What it asks for.
    pub mode: StsMode,
    /// Names of our mail exchangers.
    pub hosts: Vec<String>,
}

impl StsPolicy {
    /// The policy file (RFC 8461 §3.2).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("version: STSv1\r\nmode: {}\r\n", self.mode.keyword());
        for host in &self.hosts {
            text.push_str(&format!("mx: {host}\r\n"));
        }
        let age = if self.mode == StsMode::Enforce { MAX_AGE_ENFORCED } else { MAX_AGE };
        text.push_str(&format!("max_age: {age}\r\n"));
        text
    }

    /// Its id: another policy has another one, and no state is needed for that (RFC 8461 §3.1: 1 to
    /// 32 letters and digits).
    #[must_use]
    pub fn id(&self) -> String {
        let sum = digest(&SHA256, self.text().as_bytes());
        sum.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The TXT record at `_mta-sts.<domain>`.
    #[must_use]
    pub fn record(&self) -> String {
        format!("v=STSv1; id={};", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8461 §3.1, §3.2.
    #[test]
    fn a_policy_is_written_as_the_rfc_has_it() {
        let hosts = vec!["mail.example.org".to_owned()];
        let policy = StsPolicy { mode: StsMode::Enforce, hosts };
        assert_eq!(
            policy.text(),
            "version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmax_age: 1209600\r\n"
        );
        let other = StsPolicy { mode: StsMode::Testing, ..policy.clone() };
        assert_ne!(policy.id(), other.id());
        assert_eq!(policy.record(), format!("v=STSv1; id={};", policy.id()));
        assert!(policy.id().len() == 16 && policy.id().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(StsMode::parse("enforce"), Some(StsMode::Enforce));
        assert_eq!(StsMode::parse("Enforce!"), None);
    }
}
