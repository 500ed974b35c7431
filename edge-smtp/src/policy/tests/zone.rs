//! DNS in memory, which counts what it is asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use mail::Domain;
use net::dns::{Answer, Dns, DnsFault, Mx, Tlsa};

/// A record.
#[derive(Clone, Debug)]
pub(crate) enum Rr {
    Txt(String),
    Address(IpAddr),
    Mx(u16, String),
    Ptr(String),
    /// The name leads to another.
    Cname(String),
    /// Whatever is not there is not answered.
    Timeout,
    /// The name is there.
    Nothing,
}

#[derive(Debug, Default)]
pub(crate) struct Zone {
    names: BTreeMap<String, Vec<Rr>>,
    asked: Mutex<Vec<String>>,
}

impl Zone {
    pub(crate) fn with(mut self, name: &str, rr: Rr) -> Self {
        self.names.entry(name.to_ascii_lowercase()).or_default().push(rr);
        self
    }

    pub(crate) fn txt(self, name: &str, text: &str) -> Self {
        self.with(name, Rr::Txt(text.to_owned()))
    }

    pub(crate) fn address(self, name: &str, address: &str) -> Self {
        self.with(name, Rr::Address(address.parse().unwrap()))
    }

    fn look<T>(&self, name: &str, of: impl Fn(&Rr) -> Option<T>) -> Result<Answer<T>, DnsFault> {
        let mut name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.asked.lock().unwrap().push(name.clone());
        for _ in 0..8 {
            let Some(all) = self.names.get(&name) else { return Err(DnsFault::NoSuchName) };
            let records: Vec<T> = all.iter().filter_map(&of).collect();
            if !records.is_empty() {
                let ttl = Duration::from_secs(60);
                return Ok(Answer { records, secure: false, ttl, canonical: None });
            }
            let next = all.iter().find_map(|rr| match rr {
                Rr::Cname(to) => Some(to.to_ascii_lowercase()),
                _ => None,
            });
            match next {
                Some(to) => name = to,
                None if all.iter().any(|rr| matches!(rr, Rr::Timeout)) => break,
                None => return Err(DnsFault::NoData),
            }
        }
        Err(DnsFault::Temporary("timeout".to_owned()))
    }

    pub(crate) fn reverse(ip: IpAddr) -> String {
        match ip {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(v6) => {
                let mut nibbles: Vec<String> = v6
                    .octets()
                    .iter()
                    .flat_map(|byte| [format!("{:x}", byte >> 4), format!("{:x}", byte & 0xf)])
                    .collect();
                nibbles.reverse();
                format!("{}.ip6.arpa", nibbles.join("."))
            }
        }
    }
}

#[async_trait]
impl Dns for Zone {
    async fn mx(&self, domain: &Domain) -> Result<Answer<Mx>, DnsFault> {
        self.look(domain.as_str(), |rr| match rr {
            Rr::Mx(preference, host) => Some(Mx { preference: *preference, host: host.clone() }),
            _ => None,
        })
    }

    async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsFault> {
        self.look(host, |rr| match rr {
            Rr::Address(address) => Some(*address),
            _ => None,
        })
    }

    async fn tlsa(&self, _host: &str, _port: u16) -> Result<Answer<Tlsa>, DnsFault> {
        Err(DnsFault::NoData)
    }

    async fn txt(&self, name: &str) -> Result<Answer<String>, DnsFault> {
        self.look(name, |rr| match rr {
            Rr::Txt(text) => Some(text.clone()),
            _ => None,
        })
    }

    async fn ptr(&self, address: IpAddr) -> Result<Answer<String>, DnsFault> {
        self.look(&Self::reverse(address), |rr| match rr {
            Rr::Ptr(name) => Some(name.clone()),
            _ => None,
        })
    }

    async fn listed(&self, name: &str) -> Result<Answer<Ipv4Addr>, DnsFault> {
        self.look(name, |rr| match rr {
            Rr::Address(IpAddr::V4(address)) => Some(*address),
            _ => None,
        })
    }
}
