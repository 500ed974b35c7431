//! The questions of one message: counted, and over at a time (F3).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use engine::Clock;
use mail::{Domain, Instant};
use net::dns::{Answer, Dns, DnsFault};

use super::PolicyOptions;

/// Longest time that an answer is believed, in seconds.
const TTL_MAX: u64 = 3_600;

/// DNS with a budget. What is over it gets [`DnsFault::Temporary`].
pub(super) struct Lookups<'a> {
    dns: &'a dyn Dns,
    clock: &'a Arc<dyn Clock>,
    until: Instant,
    left: AtomicU32,
    /// Seconds that all answers so far hold.
    ttl: AtomicU64,
}

impl<'a> Lookups<'a> {
    pub(super) fn new(
        dns: &'a dyn Dns,
        clock: &'a Arc<dyn Clock>,
        options: &PolicyOptions,
    ) -> Self {
        let until = clock.instant().after(options.deadline);
        Self {
            dns,
            clock,
            until,
            left: AtomicU32::new(options.lookups_max),
            ttl: AtomicU64::new(TTL_MAX),
        }
    }

    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<Answer<T>, DnsFault>>,
    ) -> Result<Vec<T>, DnsFault> {
        let left =
            self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_err() {
            return Err(DnsFault::Temporary("this message asked too much".to_owned()));
        }
        match self.clock.by(self.until, question).await {
            Ok(answer) => {
                let answer = answer?;
                self.ttl.fetch_min(answer.ttl.as_secs(), Ordering::Relaxed);
                Ok(answer.records)
            }
            Err(_) => Err(DnsFault::Temporary("no time left for this message".to_owned())),
        }
    }

    /// How long all answers so far hold; that there is none is believed for an hour too.
    pub(super) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl.load(Ordering::Relaxed))
    }

    /// TXT records.
    pub(super) async fn txt(&self, name: &str) -> Result<Vec<String>, DnsFault> {
        self.ask(self.dns.txt(name)).await
    }

    /// Addresses of one family: that of `like`.
    pub(super) async fn addresses(
        &self,
        name: &str,
        like: IpAddr,
    ) -> Result<Vec<IpAddr>, DnsFault> {
        let mut found = self.ask(self.dns.addresses(name)).await?;
        found.retain(|address| address.is_ipv4() == like.is_ipv4());
        if found.is_empty() { Err(DnsFault::NoData) } else { Ok(found) }
    }

    /// Whether there is such a name at all.
    pub(super) async fn exists(&self, name: &str) -> Result<bool, DnsFault> {
        match self.ask(self.dns.addresses(name)).await {
            Ok(_) | Err(DnsFault::NoData) => Ok(true),
            Err(DnsFault::NoSuchName) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Hosts that take a domain's mail, the preferred first; a null MX is none.
    pub(super) async fn mx(&self, domain: &str) -> Result<Vec<String>, DnsFault> {
        let Ok(domain) = Domain::parse(domain) else { return Err(DnsFault::NoSuchName) };
        let mut found = self.ask(self.dns.mx(&domain)).await?;
        found.sort();
        let hosts = found.into_iter().map(|mx| mx.host).filter(|host| !host.is_empty());
        Ok(hosts.collect())
    }

    /// Names of an address.
    pub(super) async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsFault> {
        self.ask(self.dns.ptr(address)).await
    }
}

/// Whether a text can be a name of DNS: labels of 1 to 63 bytes, 253 in all.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| (1..=63).contains(&label.len()))
}
