//! What others find when they check us.

use std::net::IpAddr;
use std::sync::Arc;

use engine::Clock;
use mail::verdicts::Found;
use net::dns::Dns;

use super::PolicyOptions;
use super::lookups::Lookups;
use super::spf::Check;

/// What a receiver's SPF check says of mail from `domain` by `address`, which greets as `helo`.
/// Bounded as the check of one message.
pub async fn spf_of(
    dns: &dyn Dns,
    clock: &Arc<dyn Clock>,
    domain: &str,
    address: IpAddr,
    helo: &str,
) -> Found {
    let lookups = Lookups::new(dns, clock, &PolicyOptions::default());
    let mut check = Check::new(&lookups, address, ("postmaster", domain), helo);
    check.run(domain, false, helo, 0).await.0
}
