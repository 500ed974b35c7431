//! Who talks to us: an address, and how we know it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The client's side of a connection. Limits, policy and audit use this, never the socket's
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Address of the client; IPv4-mapped IPv6 addresses are given as IPv4.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// How we know.
    pub via: Via,
}

/// How a peer's address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// The socket's other end.
    Direct,
    /// A proxy of a configured network told us (PROXY protocol v2).
    Proxy,
    /// Another region told us over its link.
    Link,
}

impl Peer {
    /// The peer at the other end of a socket.
    #[must_use]
    pub const fn direct(address: SocketAddr) -> Self {
        Self { address: address.ip().to_canonical(), port: address.port(), via: Via::Direct }
    }

    /// Whether the connection comes from this machine itself, and nobody can listen in. Not what a
    /// proxy says: its own way to us may be a network.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        matches!(self.via, Via::Direct) && self.address.is_loopback()
    }

    /// The network whose connections and failures are counted together: an IPv4 address, an IPv6
    /// /64.
    #[must_use]
    pub fn network(&self) -> Network {
        Network::counted(self.address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// A network: an address and how many of its leading bits count; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text was not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network: {0} (like 192.0.2.0/24, 2001:db8::/32 or one address)")]
pub struct NetworkSyntax(pub String);

impl Network {
    /// The network of `address` with `prefix` leading bits; more bits than the address has mean
    /// all of them.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(v4.to_bits() & mask).into(), prefix }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self { address: Ipv6Addr::from_bits(v6.to_bits() & mask).into(), prefix }
            }
        }
    }

    /// What is counted as one client: an IPv4 address, an IPv6 /64.
    #[must_use]
    pub fn counted(address: IpAddr) -> Self {
        Self::new(address, if address.to_canonical().is_ipv4() { 32 } else { 64 })
    }

    /// Whether `address` belongs to this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Self::new(address, self.prefix) == *self
    }
}

impl FromStr for Network {
    type Err = NetworkSyntax;

    fn from_str(text: &str) -> Result<Self, NetworkSyntax> {
        let wrong = || NetworkSyntax(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) => digits.parse().ok().filter(|n| *n <= bits).ok_or_else(wrong)?,
        };
        let network = Self::new(address, prefix);
        // Host bits that are set are a mistake that would widen who is trusted.
        if network.address == address { Ok(network) } else { Err(wrong()) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses_only() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        };
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.6", false);
        check("0.0.0.0/0", "203.0.113.1", true);
        check("0.0.0.0/0", "::1", false);
        check("192.0.2.0/24", "::ffff:192.0.2.9", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("::/0", "2001:db8::", true);
        check("::1", "::1", true);
    }

    #[test]
    fn mistaken_networks_are_refused() {
        for text in ["", "1.2.3.4/33", "192.0.2.1/24", "::/129", "1.2.3/8", "1.2.3.4/", "a/8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn ipv6_clients_count_by_64() {
        let a = Network::counted("2001:db8:0:1::5".parse().unwrap());
        assert_eq!(a, Network::counted("2001:db8:0:1:ffff::1".parse().unwrap()));
        assert_ne!(a, Network::counted("2001:db8:0:2::5".parse().unwrap()));
        assert_ne!(
            Network::counted("192.0.2.1".parse().unwrap()),
            Network::counted("192.0.2.2".parse().unwrap())
        );
    }
}
