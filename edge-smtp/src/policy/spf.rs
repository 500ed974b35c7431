//! SPF (RFC 7208 §4): the evaluation of a domain's record for a client.

mod evaluate;

use mail::verdicts::{Found, SpfVerdict};

use super::Arrival;
use super::lookups::Lookups;
pub(super) use evaluate::Check;

/// Checks the envelope's sender, or the name of HELO where there is none (RFC 7208 §2.4). What the
/// domain's owner says of a failure is asked for only if `explain`.
pub(super) async fn check(
    lookups: &Lookups<'_>,
    arrival: &Arrival<'_>,
    explain: bool,
) -> (SpfVerdict, Option<String>) {
    let address = arrival.sender.map(mail::Path::address);
    let sender = address.map(|address| (address.local(), address.domain().as_str()));
    let (local, domain, helo) = match sender {
        Some((local, domain)) => (local, domain, false),
        None => ("postmaster", arrival.helo, true),
    };
    let mut check = Check::new(lookups, arrival.peer, (local, domain), arrival.helo);
    let (found, explanation) =
        check.run(domain, explain, arrival.host.as_str(), arrival.at.seconds()).await;
    (SpfVerdict { found, domain: shown(found, domain), helo }, explanation)
}

/// What is not even a name is not repeated.
fn shown(found: Found, domain: &str) -> String {
    let is_plain =
        domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if found == Found::None && !is_plain { String::new() } else { domain.to_owned() }
}
