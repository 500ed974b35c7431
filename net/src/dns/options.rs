//! Whom to ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Most servers asked.
const SERVERS_MAX: usize = 8;
const PORT: u16 = 53;

/// Which resolvers are asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// Recursive resolvers, asked in this order; empty: those of the system
    /// (`/etc/resolv.conf`). At most 8.
    pub servers: Vec<SocketAddr>,
    /// Time for one answer of one server.
    pub timeout: Duration,
    /// How often each server is asked, at most.
    pub attempts: u32,
    /// Whether the servers validate DNSSEC and what they say of it (the AD bit) is believed: they
    /// and the way to them must be trusted, so it counts only where `servers` names them.
    pub trust_ad: bool,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self { servers: vec![], timeout: Duration::from_secs(5), attempts: 2, trust_ad: false }
    }
}

impl DnsOptions {
    /// The servers to ask, and whether they are trusted to validate.
    pub(super) fn resolvers(&self) -> (Vec<SocketAddr>, bool) {
        if !self.servers.is_empty() {
            return (self.servers.iter().copied().take(SERVERS_MAX).collect(), self.trust_ad);
        }
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        (of_system(&text), false)
    }
}

/// The `nameserver` lines; this machine itself if there are none (resolv.conf(5)).
fn of_system(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        Some(SocketAddr::new(address.parse().ok()?, PORT))
    };
    let mut servers: Vec<_> = text.lines().filter_map(server).take(SERVERS_MAX).collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_resolvers_are_never_trusted_to_validate() {
        let text = "# x\nsearch a\nnameserver 192.0.2.1\nnameserver\t::1 \nnameserver x\n";
        let expected: [SocketAddr; 2] =
            ["192.0.2.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
        assert_eq!(of_system(text), expected);
        assert_eq!(of_system(""), ["127.0.0.1:53".parse::<SocketAddr>().unwrap()]);
        let options = DnsOptions { trust_ad: true, ..DnsOptions::default() };
        assert!(!options.resolvers().1);
        let named = DnsOptions { servers: expected.to_vec(), ..options };
        assert_eq!(named.resolvers(), (expected.to_vec(), true));
    }
}
