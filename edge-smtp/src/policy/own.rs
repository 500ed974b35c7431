//! What others find when they check us.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::Clock;
use mail::verdicts::Found;
use net::dns::Dns;

use super::PolicyOptions;
use super::lookups::Lookups;
use super::spf::Check;

/// How a check of ourselves ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSpf {
    /// The result.
    pub found: Found,
    /// How long it holds: the shortest time of the answers it stands on.
    pub ttl: Duration,
}

/// What a receiver's SPF check says of mail from `domain` by `address`, which greets as `helo`.
/// Bounded as the check of one message.
pub async fn spf_of(
    dns: &dyn Dns,
    clock: &Arc<dyn Clock>,
    domain: &str,
    address: IpAddr,
    helo: &str,
) -> OwnSpf {
    let lookups = Lookups::new(dns, clock, &PolicyOptions::default());
    let mut check = Check::new(&lookups, address, ("postmaster", domain), helo);
    let found = check.run(domain, false, helo, 0).await.0;
    OwnSpf { found, ttl: lookups.ttl() }
}
