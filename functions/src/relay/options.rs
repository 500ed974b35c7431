//! What is set about sending: times and bounds in one place, so that tests shrink them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use net::send::CallLimits;

use crate::egress::Egress;
use crate::refusals::Rules;

/// Options of a relay.
#[derive(Clone, Debug)]
pub struct Options {
    /// At least one.
    pub egresses: Vec<Egress>,
    /// What refusals mean.
    pub rules: Rules,
    /// How long a message is tried.
    pub lifetime: Duration,
    /// After which time its sender is told that it is late.
    pub warn_after: Duration,
    /// Wait after the first failure; it doubles with each more.
    pub retry_min: Duration,
    /// Longest such wait, and longest time that a destination which does not answer is left alone.
    pub retry_max: Duration,
    /// How long a begun item is left to whoever began it.
    pub lease: Duration,
    /// What must be left of that when the final dot is sent [c].
    pub dot_margin: Duration,
    /// How long a shard of destinations is left to its relay.
    pub shard_lease: Duration,
    /// How often what no event announced is looked for.
    pub poll: Duration,
    /// How often the items of a destination that does not answer are looked at for those that are
    /// too old.
    pub review: Duration,
    /// Connections open at once.
    pub connections_max: usize,
    /// Connections to one destination.
    pub per_destination_max: usize,
    /// Messages a minute to one destination; 0: as fast as it takes them.
    pub rate: u32,
    /// The same for some destinations; `*`: for all others.
    pub rates: BTreeMap<String, u32>,
    /// Messages over one connection.
    pub messages_max: u32,
    /// Items of one destination kept in memory; more wait at its own place.
    pub waiting_max: usize,
    /// Items of all destinations kept in memory.
    pub waiting_all_max: usize,
    /// Times of a call.
    pub limits: CallLimits,
}

impl Options {
    /// Messages a minute to this destination; 0: as fast as it takes them.
    #[must_use]
    pub fn rate_of(&self, destination: &str) -> u32 {
        let rate = self.rates.get(destination).or_else(|| self.rates.get("*"));
        rate.copied().unwrap_or(self.rate)
    }
}

impl Default for Options {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            egresses: vec![Egress {
                name: Arc::from("default"),
                source: None,
                public: None,
                hello: "localhost".to_owned(),
                network: Arc::from("default"),
                region: Arc::from("home"),
            }],
            rules: Rules::default(),
            lifetime: MINUTE * 60 * 24 * 5,
            warn_after: MINUTE * 60 * 4,
            retry_min: MINUTE,
            retry_max: MINUTE * 60,
            lease: MINUTE * 30,
            dot_margin: MINUTE * 10,
            shard_lease: MINUTE,
            poll: Duration::from_secs(10),
            review: MINUTE * 60,
            connections_max: 200,
            per_destination_max: 10,
            rate: 0,
            rates: BTreeMap::new(),
            messages_max: 100,
            waiting_max: 2_000,
            waiting_all_max: 50_000,
            limits: CallLimits::default(),
        }
    }
}
