//! Which addresses may be called (E3): names that strangers wrote must not lead inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::Network;

/// Which addresses a call may lead to: an MX is written by strangers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Only addresses of the public internet: no loopback, private, link-local, shared, multicast
    /// or reserved ones, in no disguise.
    #[default]
    Public,
    /// Public ones, and these.
    Networks(Arc<[Network]>),
    /// Any: an admin's route says where.
    Anywhere,
}

impl Reach {
    /// Whether `address` may be called. The very address that was vetted is then connected to, so
    /// that no second look-up can change it.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Public => is_public(address),
            Self::Networks(networks) => {
                networks.iter().any(|network| network.contains(address)) || is_public(address)
            }
        }
    }
}

/// Whether an address belongs to the public internet (IANA's registries of special-purpose
/// addresses, RFC 6890); one that carries an IPv4 address (mapped, NAT64, 6to4) does so only if
/// that does.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // This network, private, loopback, multicast, reserved and broadcast.
        (0 | 10 | 127 | 224..=255, _, _)
            // Shared (RFC 6598), link-local, private.
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // IETF protocols, documentation, 6to4 relays, benchmarks.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match address.segments() {
        // NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // IETF protocols with Teredo, ORCHID and benchmarks; documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast; everything else is loopback, unique local, link-local, multicast or
        // not assigned.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6890.
    #[test]
    fn only_the_public_internet_is_public() {
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.1.1.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "193.0.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn an_admin_can_let_networks_in() {
        let loopback: IpAddr = "127.0.0.2".parse().unwrap();
        let networks = Reach::Networks(["127.0.0.0/8".parse().unwrap()].into());
        assert!(networks.permits(loopback) && networks.permits("1.1.1.1".parse().unwrap()));
        assert!(networks.permits("::ffff:127.0.0.9".parse().unwrap()));
        assert!(!networks.permits("10.0.0.1".parse().unwrap()));
        assert!(!Reach::Public.permits(loopback) && Reach::Anywhere.permits(loopback));
    }
}
