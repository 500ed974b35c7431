//! The client's reverse name: does it lead back (RFC 8601 §3)?

use std::net::IpAddr;

use mail::verdicts::{Found, ReverseVerdict};
use net::dns::DnsFault;

use super::lookups::{Lookups, is_name};

/// Names that are tried.
const NAMES_MAX: usize = 3;

pub(super) async fn check(lookups: &Lookups<'_>, peer: IpAddr) -> ReverseVerdict {
    let peer = peer.to_canonical();
    let names = match lookups.ptr(peer).await {
        Ok(names) => names,
        Err(fault) => return ReverseVerdict { found: of(&fault), name: String::new() },
    };
    let mut found = Found::Fail;
    for name in names.into_iter().filter(|name| is_name(name)).take(NAMES_MAX) {
        match lookups.addresses(&name, peer).await {
            Ok(addresses) if addresses.contains(&peer) => {
                return ReverseVerdict { found: Found::Pass, name };
            }
            Err(fault) if fault.is_temporary() => found = Found::TempError,
            _ => {}
        }
    }
    ReverseVerdict { found, name: String::new() }
}

/// RFC 8601 §2.7.3: no name at all is `permerror`.
const fn of(fault: &DnsFault) -> Found {
    if fault.is_temporary() { Found::TempError } else { Found::PermError }
}
