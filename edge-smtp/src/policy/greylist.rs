//! Greylisting in memory (RFC 6647): who is not known is asked to come again, which mail servers do.
//!
//! A message is known by its client's network, its sender and its recipient. Nothing is written
//! (I12): a process that begins again asks again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::Clock;
use mail::{Address, Instant, Path};
use net::Network;

/// How greylisting is done.
#[derive(Clone, Debug)]
pub struct GreylistOptions {
    /// How long who is new has to wait.
    pub wait: Duration,
    /// Who does not come again within this time is new again.
    pub again_within: Duration,
    /// How long who came again is known.
    pub known_for: Duration,
    /// Most that is remembered; some 100 bytes each.
    pub entries_max: usize,
    /// Networks that never wait.
    pub trusted: Vec<Network>,
}

impl Default for GreylistOptions {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(5 * 60),
            again_within: Duration::from_secs(24 * 60 * 60),
            known_for: Duration::from_secs(36 * 24 * 60 * 60),
            entries_max: 100_000,
            trusted: Vec::new(),
        }
    }
}

/// What is remembered; one for all listeners of a process.
pub struct Greylist {
    options: GreylistOptions,
    clock: Arc<dyn Clock>,
    seen: Mutex<BTreeMap<Triplet, Seen>>,
}

/// Network, sender and recipient.
type Triplet = (IpAddr, String, String);

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    /// It came again; `at` is when it last did.
    known: bool,
}

impl std::fmt::Debug for Greylist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greylist").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Greylist {
    /// Nobody is known yet.
    #[must_use]
    pub fn new(options: GreylistOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, seen: Mutex::default() }
    }

    /// How long this message still has to wait; `None`: it is welcome.
    pub(crate) fn wait(
        &self,
        client: IpAddr,
        sender: Option<&Path>,
        recipient: &Address,
    ) -> Option<Duration> {
        let client = client.to_canonical();
        if client.is_loopback()
            || self.options.trusted.iter().any(|network| network.contains(client))
        {
            return None;
        }
        let now = self.clock.instant();
        let sender = sender.map(|path| path.address().to_string()).unwrap_or_default();
        let triplet = (network(client), sender, recipient.to_string());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= self.options.entries_max && !seen.contains_key(&triplet) {
            self.make_room(&mut seen, now);
        }
        let entry = seen.entry(triplet).or_insert(Seen { at: now, known: false });
        if self.is_over(*entry, now) {
            *entry = Seen { at: now, known: false };
        }
        let waited = now.since(entry.at);
        if entry.known || waited >= self.options.wait {
            *entry = Seen { at: now, known: true };
            return None;
        }
        metrics::counter!("postroad_smtp_greylisted_total").increment(1);
        Some(self.options.wait.saturating_sub(waited))
    }

    fn is_over(&self, seen: Seen, now: Instant) -> bool {
        let age = now.since(seen.at);
        let most = if seen.known { self.options.known_for } else { self.options.again_within };
        age > most
    }

    /// I8: what is over goes first, then all who have not come again, then everybody.
    fn make_room(&self, seen: &mut BTreeMap<Triplet, Seen>, now: Instant) {
        seen.retain(|_, one| !self.is_over(*one, now));
        if seen.len() >= self.options.entries_max {
            seen.retain(|_, one| one.known);
        }
        if seen.len() >= self.options.entries_max {
            seen.clear();
        }
    }
}

/// A /24 or a /64: large senders come again from a neighbour.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use engine::memory::World;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_again_is_known() {
        let clock = World::default().process("edge").clock;
        let options = GreylistOptions { entries_max: 10, ..GreylistOptions::default() };
        let greylist = Greylist::new(options, clock.clone());
        let sender = Path::parse("bo@sender.test").unwrap();
        let ana = Address::parse("ana@example.test").unwrap();
        let wait = |client: &str| {
            greylist.wait(client.parse().unwrap(), Some(&sender), &ana).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("203.0.113.9"), Some(300));
        clock.sleep(Duration::from_secs(100)).await;
        assert_eq!(wait("203.0.113.10"), Some(200));
        clock.sleep(Duration::from_secs(200)).await;
        assert_eq!(wait("203.0.113.11"), None);
        assert_eq!(wait("198.51.100.1"), Some(300));
        // A month later it is still known.
        clock.sleep(Duration::from_secs(30 * 24 * 60 * 60)).await;
        assert_eq!((wait("203.0.113.9"), wait("198.51.100.1")), (None, Some(300)));
        // A flood of others does not drive out who is known, and is bounded.
        for n in 0..100 {
            assert_eq!(wait(&format!("2001:db8:0:{n:x}::1")), Some(300));
        }
        assert!(greylist.seen.lock().unwrap().len() <= 10);
        assert_eq!((wait("203.0.113.9"), wait("127.0.0.1")), (None, None));
    }
}
