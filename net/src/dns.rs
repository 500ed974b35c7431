//! Questions to the domain name system, behind a seam that a simulation answers.

mod options;
mod question;
mod resolver;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use async_trait::async_trait;
use mail::Domain;

pub use options::DnsOptions;
pub use resolver::Resolver;

/// Answers questions. Names may have a dot at the end; answers never have one and are lower case.
/// Every call is bounded in time by the engine.
#[async_trait]
pub trait Dns: Send + Sync {
    /// MX records of a domain, as published, in no order. A null MX (RFC 7505) is one record
    /// with an empty host.
    /// # Errors
    /// [`DnsFault`]; [`DnsFault::NoData`] leads to the implicit MX (RFC 5321 §5.1).
    async fn mx(&self, domain: &Domain) -> Result<Answer<Mx>, DnsFault>;

    /// IPv4 and IPv6 addresses of a host.
    /// # Errors
    /// [`DnsFault`]; [`DnsFault::NoData`] only if it has neither.
    async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsFault>;

    /// TLSA records of `_<port>._tcp.<host>` (RFC 6698). They mean nothing unless the answer is
    /// secure (RFC 7672 §2.1).
    /// # Errors
    /// [`DnsFault`]; but for `NoSuchName` and `NoData` delivery must wait (F4).
    async fn tlsa(&self, host: &str, port: u16) -> Result<Answer<Tlsa>, DnsFault>;

    /// TXT records, the strings of each joined; what is not UTF-8 is replaced.
    /// # Errors
    /// [`DnsFault`].
    async fn txt(&self, name: &str) -> Result<Answer<String>, DnsFault>;

    /// Names of an address (reverse look-up).
    /// # Errors
    /// [`DnsFault`].
    async fn ptr(&self, address: IpAddr) -> Result<Answer<String>, DnsFault>;

    /// What a DNS blocklist says of a name under its zone: addresses in 127.0.0.0/8.
    /// # Errors
    /// [`DnsFault`]; `NoSuchName` and `NoData`: not listed.
    async fn listed(&self, name: &str) -> Result<Answer<Ipv4Addr>, DnsFault>;
}

/// Records that were found; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// In the order of the answer.
    pub records: Vec<T>,
    /// Whether a resolver that is trusted to tell has validated the answer by DNSSEC.
    pub secure: bool,
    /// How long it may be kept.
    pub ttl: Duration,
    /// The name that the records are at, if aliases led to it.
    pub canonical: Option<String>,
}

/// An MX record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// Host name; empty for a null MX (RFC 7505).
    pub host: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// Lower is tried first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host name; empty: the service is not offered.
    pub host: String,
}

/// A TLSA record (RFC 6698 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tlsa {
    /// Certificate usage: 2 is DANE-TA, 3 is DANE-EE; others are not used in mail (RFC 7672 §3.1).
    pub usage: u8,
    /// 0: the whole certificate, 1: its SubjectPublicKeyInfo.
    pub selector: u8,
    /// 0: as it is, 1: its SHA-256, 2: its SHA-512.
    pub matching: u8,
    /// To compare with.
    pub data: Vec<u8>,
}

/// As in a zone file.
impl std::fmt::Display for Tlsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why there is no answer. Variants differ by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsFault {
    /// The name does not exist (NXDOMAIN).
    #[error("no such name")]
    NoSuchName,
    /// The name exists without records of this kind.
    #[error("no records of this kind")]
    NoData,
    /// Nobody answered, or with an error: try again later.
    #[error("no answer: {0}")]
    Temporary(String),
    /// Signed, and the signatures are wrong, or the resolver could not validate them: never take
    /// it for "no records"; try again later (F4).
    #[error("DNSSEC validation failed")]
    Bogus,
}

impl DnsFault {
    /// Whether asking again later may help.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_) | Self::Bogus)
    }
}
