//! Slowing those who guess passwords, without locking out whom they guess at (C1).
//!
//! Counts that halve as time passes: failures of a client's network, and failures of an account
//! from networks that never logged in to it. The first makes that network wait longer and longer
//! and finally refuses it for a while; the second makes *strangers* to the account wait. Whoever
//! logged in to the account from that network before is judged by the failures of just that pair:
//! neither a guesser elsewhere nor one behind the same address makes the victim notice anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::Clock;
use mail::Instant;

use crate::Network;

/// Networks, accounts and acquaintances remembered at once, each.
const REMEMBERED_MAX: usize = 65_536;

/// How fast guessing becomes slow.
#[derive(Clone, Debug)]
pub struct ThrottleOptions {
    /// Failures of a network that cost nothing.
    pub free: u32,
    /// Wait after the first failure that costs; doubles with each more.
    pub delay: Duration,
    /// Longest wait.
    pub delay_max: Duration,
    /// A network with this many failures is refused until they have halved.
    pub refuse_after: u32,
    /// Failures of an account after which strangers to it wait `delay_max`.
    pub account_failures_max: u32,
    /// In this time the counts halve.
    pub half_life: Duration,
    /// Networks that are never slowed.
    pub trusted: Vec<Network>,
}

impl Default for ThrottleOptions {
    fn default() -> Self {
        Self {
            free: 3,
            delay: Duration::from_millis(500),
            delay_max: Duration::from_secs(8),
            refuse_after: 60,
            account_failures_max: 100,
            half_life: Duration::from_secs(15 * 60),
            trusted: Vec::new(),
        }
    }
}

/// What to do with an attempt to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Check the credentials, after waiting this long (zero, usually).
    After(Duration),
    /// Answer as for a wrong password, after waiting this long, and check nothing.
    Refuse(Duration),
}

/// Failed logins of the process, shared by all its edges. Cloning shares.
#[derive(Clone)]
pub struct Throttle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

struct Shared {
    options: ThrottleOptions,
    clock: Arc<dyn Clock>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    networks: BTreeMap<Network, Failures>,
    accounts: BTreeMap<Box<str>, Failures>,
    /// Who logged in to what from where.
    known: BTreeMap<(Network, Box<str>), Known>,
}

struct Known {
    /// When last.
    at: Instant,
    /// Failures of this pair since.
    failures: Failures,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    at: Instant,
}

impl Failures {
    /// How many count at `now`.
    fn now(self, now: Instant, half_life: Duration) -> u32 {
        let halvings = now.since(self.at).as_nanos() / half_life.as_nanos().max(1);
        u32::try_from(halvings).ok().and_then(|n| self.count.checked_shr(n)).unwrap_or(0)
    }
}

impl Throttle {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(options: ThrottleOptions, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { options, clock, counts: Mutex::default() }) }
    }

    /// Asks before credentials are checked. `account` is the name given, in canonical form, known
    /// or not.
    #[must_use]
    pub fn before(&self, address: IpAddr, account: &str) -> Verdict {
        let Shared { options, clock, counts } = &*self.shared;
        if options.trusted.iter().any(|network| network.contains(address)) {
            return Verdict::After(Duration::ZERO);
        }
        let now = clock.instant();
        let network = Network::counted(address);
        let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |failures: Option<&Failures>| {
            failures.map_or(0, |failures| failures.now(now, options.half_life))
        };
        if let Some(known) = counts.known.get(&(network, account.into())) {
            let own = of(Some(&known.failures));
            return if own >= options.refuse_after {
                Verdict::Refuse(options.delay_max)
            } else {
                Verdict::After(options.delay_after(own))
            };
        }
        let here = of(counts.networks.get(&network));
        if here >= options.refuse_after {
            return Verdict::Refuse(options.delay_max);
        }
        let own = options.delay_after(here);
        if of(counts.accounts.get(account)) >= options.account_failures_max {
            return Verdict::After(options.delay_max.max(own));
        }
        Verdict::After(own)
    }

    /// The credentials were wrong.
    pub fn failed(&self, address: IpAddr, account: &str) {
        let Shared { options, clock, counts } = &*self.shared;
        let now = clock.instant();
        let network = Network::counted(address);
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut counts.networks, network, now, options.half_life);
        if let Some(known) = counts.known.get_mut(&(network, account.into())) {
            let failures = known.failures.now(now, options.half_life).saturating_add(1);
            known.failures = Failures { count: failures, at: now };
        } else {
            count(&mut counts.accounts, account.into(), now, options.half_life);
        }
        metrics::counter!("postroad_login_failures_total").increment(1);
    }

    /// The credentials were right: the network is known to this account, and what it mistyped is
    /// forgotten, once: its count halves.
    pub fn succeeded(&self, address: IpAddr, account: &str) {
        let Shared { clock, counts, .. } = &*self.shared;
        let now = clock.instant();
        let network = Network::counted(address);
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failures) = counts.networks.get_mut(&network) {
            // Not to zero: one good account must not buy guesses at others.
            failures.count /= 2;
        }
        if counts.known.len() >= REMEMBERED_MAX {
            evict(&mut counts.known, |known| known.at);
        }
        let known = Known { at: now, failures: Failures { count: 0, at: now } };
        counts.known.insert((network, account.into()), known);
    }
}

impl ThrottleOptions {
    fn delay_after(&self, failures: u32) -> Duration {
        let Some(over) = failures.checked_sub(self.free).filter(|over| *over > 0) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(over - 1).filter(|f| *f > 0).unwrap_or(u32::MAX);
        self.delay.saturating_mul(factor).min(self.delay_max)
    }
}

fn count<K: Ord + Clone>(
    map: &mut BTreeMap<K, Failures>,
    key: K,
    now: Instant,
    half_life: Duration,
) {
    if map.len() >= REMEMBERED_MAX && !map.contains_key(&key) {
        evict(map, |failures| failures.at);
    }
    let failures = map.entry(key).or_insert(Failures { count: 0, at: now });
    *failures = Failures { count: failures.now(now, half_life).saturating_add(1), at: now };
}

/// Forgets the older half, so that this is needed seldom.
fn evict<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, at: impl Fn(&V) -> Instant) {
    let mut times: Vec<Instant> = map.values().map(&at).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    map.retain(|_, value| at(value) > median);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tests_support::ManualClock;

    fn throttle() -> (Throttle, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (Throttle::new(ThrottleOptions::default(), clock.clone()), clock)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn delays_grow_then_refuse_then_heal() {
        let (throttle, clock) = throttle();
        let guesser = ip("203.0.113.9");
        let mut last = Duration::ZERO;
        for failures in 0..60 {
            let Verdict::After(delay) = throttle.before(guesser, "ana@example.test") else {
                panic!("refused after {failures}");
            };
            assert!(delay >= last && delay <= Duration::from_secs(8));
            assert_eq!(delay.is_zero(), failures <= 3, "{failures}");
            last = delay;
            throttle.failed(guesser, "ana@example.test");
        }
        assert!(matches!(throttle.before(guesser, "other"), Verdict::Refuse(_)));
        // Another network is not touched.
        assert_eq!(throttle.before(ip("203.0.113.10"), "x"), Verdict::After(Duration::ZERO));
        clock.advance(Duration::from_secs(15 * 60));
        assert!(matches!(throttle.before(guesser, "other"), Verdict::After(_)));
        clock.advance(Duration::from_secs(15 * 60 * 8));
        assert_eq!(throttle.before(guesser, "other"), Verdict::After(Duration::ZERO));
    }

    #[test]
    fn a_victim_known_to_the_account_is_not_slowed_by_a_distributed_guesser() {
        let (throttle, _) = throttle();
        let home = ip("2001:db8:1::5");
        throttle.succeeded(home, "ana@example.test");
        for n in 0..=200_u8 {
            throttle.failed(IpAddr::from([198, 51, 100, n]), "ana@example.test");
        }
        let stranger = ip("198.18.0.1");
        let slow = Verdict::After(Duration::from_secs(8));
        assert_eq!(throttle.before(stranger, "ana@example.test"), slow);
        // Same /64, other host.
        let same_home = ip("2001:db8:1::6");
        assert_eq!(throttle.before(same_home, "ana@example.test"), Verdict::After(Duration::ZERO));
    }

    #[test]
    fn a_victim_behind_the_guessers_own_address_is_not_slowed() {
        let (throttle, _) = throttle();
        let office = ip("192.0.2.1");
        throttle.succeeded(office, "ana@example.test");
        for n in 0..100 {
            throttle.failed(office, &format!("user{n}@example.test"));
        }
        assert!(matches!(throttle.before(office, "bob@example.test"), Verdict::Refuse(_)));
        assert_eq!(throttle.before(office, "ana@example.test"), Verdict::After(Duration::ZERO));
        // But who knows the account may not guess at it for ever.
        for _ in 0..60 {
            throttle.failed(office, "ana@example.test");
        }
        assert!(matches!(throttle.before(office, "ana@example.test"), Verdict::Refuse(_)));
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, clock) = throttle();
        for n in 0..70_000_u32 {
            clock.advance(Duration::from_millis(1));
            throttle.failed(IpAddr::from(n.to_be_bytes()), &format!("user{n}"));
            throttle.succeeded(IpAddr::from(n.to_be_bytes()), &format!("user{n}"));
        }
        let counts = throttle.shared.counts.lock().unwrap();
        assert!(counts.networks.len() <= REMEMBERED_MAX);
        assert!(counts.accounts.len() <= REMEMBERED_MAX);
        assert!(counts.known.len() <= REMEMBERED_MAX);
    }
}
