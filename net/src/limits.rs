//! How many connections there may be: in all, from one network, and new ones from one network in
//! a minute. Everything is bounded, whoever connects (I8).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::Clock;
use mail::Instant;

use crate::Network;

/// Networks remembered at once; the ones without connections are forgotten first.
const NETWORKS_MAX: usize = 65_536;
const MINUTE: Duration = Duration::from_secs(60);

/// Bounds of [`Limits`]. An IPv6 client is its /64.
#[derive(Clone, Debug)]
pub struct LimitsOptions {
    /// Connections open at once.
    pub connections_max: usize,
    /// Connections open at once from one client network.
    pub per_network_max: usize,
    /// New connections from one client network in a minute.
    pub per_minute_max: usize,
    /// Networks that only the bound on all connections holds for (proxies' health checks, one's
    /// own hosts).
    pub trusted: Vec<Network>,
}

impl Default for LimitsOptions {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            per_network_max: 100,
            per_minute_max: 300,
            trusted: Vec::new(),
        }
    }
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The process has as many as it may.
    #[error("too many connections, try again later")]
    Full,
    /// This client has as many as it may.
    #[error("too many connections from your address")]
    PerNetwork,
    /// This client connects too often.
    #[error("connecting too often from your address, try again later")]
    PerMinute,
}

impl Refusal {
    /// The refusal as a label of metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::PerNetwork => "per_network",
            Self::PerMinute => "per_minute",
        }
    }
}

/// Counts connections; shared by all listeners whose limits are common. Cloning shares.
#[derive(Clone)]
pub struct Limits {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

struct Shared {
    options: LimitsOptions,
    clock: Arc<dyn Clock>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    open: usize,
    networks: BTreeMap<Network, Count>,
}

#[derive(Default)]
struct Count {
    open: usize,
    /// Start of the minute that `recent` counts.
    since: Instant,
    recent: usize,
}

impl Limits {
    /// No connections yet.
    #[must_use]
    pub fn new(options: LimitsOptions, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { options, clock, counts: Mutex::default() }) }
    }

    /// Counts a connection of `address` until the permit is dropped.
    /// # Errors
    /// [`Refusal`]: tell the client and close.
    pub fn admit(&self, address: IpAddr) -> Result<Permit, Refusal> {
        let options = &self.shared.options;
        let now = self.shared.clock.instant();
        let trusted = options.trusted.iter().any(|network| network.contains(address));
        let network = Network::counted(address);
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.open >= options.connections_max {
            return Err(Refusal::Full);
        }
        if !counts.networks.contains_key(&network) && counts.networks.len() >= NETWORKS_MAX {
            counts.networks.retain(|_, count| count.open > 0);
            if counts.networks.len() >= NETWORKS_MAX {
                return Err(Refusal::Full);
            }
        }
        let count = counts.networks.entry(network).or_default();
        if count.recent == 0 || now.since(count.since) >= MINUTE {
            (count.since, count.recent) = (now, 0);
        }
        count.recent += 1;
        if !trusted && count.recent > options.per_minute_max {
            return Err(Refusal::PerMinute);
        }
        if !trusted && count.open >= options.per_network_max {
            return Err(Refusal::PerNetwork);
        }
        count.open += 1;
        counts.open += 1;
        metrics::gauge!("postroad_connections_open").increment(1);
        Ok(Permit { shared: self.shared.clone(), network })
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner).open
    }
}

/// One connection that is counted; dropping it counts it no more.
#[must_use]
pub struct Permit {
    shared: Arc<Shared>,
    network: Network,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").field("network", &self.network).finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        metrics::gauge!("postroad_connections_open").decrement(1);
        let now = self.shared.clock.instant();
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.open = counts.open.saturating_sub(1);
        if let Some(count) = counts.networks.get_mut(&self.network) {
            count.open = count.open.saturating_sub(1);
            if count.open == 0 && now.since(count.since) >= MINUTE {
                counts.networks.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tests_support::ManualClock;

    fn limits(options: LimitsOptions) -> (Limits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (Limits::new(options, clock.clone()), clock)
    }

    #[test]
    fn each_bound_holds_and_permits_give_back() {
        let (limits, clock) = limits(LimitsOptions {
            connections_max: 3,
            per_network_max: 2,
            per_minute_max: 4,
            trusted: vec![],
        });
        let a = "2001:db8::1".parse().unwrap();
        let a2 = "2001:db8::2".parse().unwrap();
        let b = "192.0.2.1".parse().unwrap();
        let first = limits.admit(a).unwrap();
        let second = limits.admit(a2).unwrap();
        assert_eq!(limits.admit(a).unwrap_err(), Refusal::PerNetwork);
        let third = limits.admit(b).unwrap();
        assert_eq!(limits.admit("192.0.2.2".parse().unwrap()).unwrap_err(), Refusal::Full);
        drop(third);
        drop(first);
        let first = limits.admit(a).unwrap();
        drop(first);
        assert_eq!(limits.admit(a).unwrap_err(), Refusal::PerMinute);
        clock.advance(MINUTE);
        let first = limits.admit(a).unwrap();
        drop((first, second));
        assert_eq!(limits.open(), 0);
    }

    #[test]
    fn trusted_networks_are_only_bound_in_all() {
        let (limits, _) = limits(LimitsOptions {
            connections_max: 10,
            per_network_max: 1,
            per_minute_max: 1,
            trusted: vec!["127.0.0.0/8".parse().unwrap()],
        });
        let permits: Vec<_> =
            (0..10).map(|_| limits.admit("127.0.0.1".parse().unwrap()).unwrap()).collect();
        assert_eq!(limits.admit("127.0.0.1".parse().unwrap()).unwrap_err(), Refusal::Full);
        drop(permits);
        assert_eq!(limits.open(), 0);
    }
}
