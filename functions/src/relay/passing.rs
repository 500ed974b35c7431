//! Which of our egresses SPF lets send for a domain of ours: mail leaves only through such, if there
//! are any.
//!
//! Trouble with DNS, or a record that none of them passes, stops no mail: then all are used, and that
//! is told. Answers are kept for their TTL, within bounds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use mail::Instant;

use super::Shared;
use super::job::Job;
use super::offer;
use crate::egress::Egress;

/// Domains that answers are kept for; the one that ends first goes.
const KNOWN_MAX: usize = 1_000;

/// Shortest and longest time that an answer is kept.
const KEPT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));

/// What a check says of one egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpfSays {
    /// It may send.
    Pass,
    /// It may not.
    Fails,
    /// The domain publishes no policy that can be read.
    NoPolicy,
    /// DNS did not answer.
    Unknown,
}

/// Evaluates SPF (RFC 7208) as a receiver would. Bounded in questions and in time.
#[async_trait]
pub trait Spf: Send + Sync {
    /// Of mail from `domain` by `address`, which greets as `hello`; and how long that holds.
    async fn check(&self, domain: &str, address: IpAddr, hello: &str) -> (SpfSays, Duration);
}

/// The egresses of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passing {
    /// Those that pass.
    names: Vec<Arc<str>>,
    /// Those that do not. Not used, unless nothing passes.
    barred: Vec<Arc<str>>,
}

impl Passing {
    /// Whether mail of the domain may leave through it.
    pub(super) fn allows(&self, egress: &Egress) -> bool {
        !self.barred.contains(&egress.name)
    }

    /// Whether another one passes, of those that were not refused yet.
    pub(super) fn elsewhere(&self, egress: &Egress, refused: impl Fn(&str) -> bool) -> bool {
        self.names.iter().any(|name| *name != egress.name && !refused(name))
    }

    /// From what the checks said of each egress whose address is known.
    fn of(domain: &str, said: Vec<(Arc<str>, SpfSays)>) -> Self {
        let are = |wanted: SpfSays| {
            let names = said.iter().filter(move |(_, said)| *said == wanted);
            names.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let names = are(SpfSays::Pass);
        if !are(SpfSays::Unknown).is_empty() {
            metrics::counter!("postroad_relay_spf_unknown_total").increment(1);
            tracing::warn!(domain, "whom its SPF lets send is not known: every egress is used");
            return Self { names, barred: Vec::new() };
        }
        let barred = are(SpfSays::Fails);
        if names.is_empty() && !barred.is_empty() {
            metrics::counter!("postroad_relay_spf_none_total").increment(1);
            tracing::warn!(domain, "no egress passes its SPF: every egress is used");
            return Self::default();
        }
        Self { names, barred }
    }
}

/// What is known of domains of ours.
#[derive(Default)]
pub(super) struct Known(Mutex<BTreeMap<String, (Instant, Arc<Passing>)>>);

impl Known {
    /// What is known of a domain now. While somebody asks again, others use what was known before.
    fn get(&self, domain: &str, now: Instant) -> Option<Arc<Passing>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, passing) = all.get_mut(domain)?;
        if *until > now {
            return Some(passing.clone());
        }
        *until = now.after(KEPT.0);
        None
    }

    fn put(&self, domain: &str, until: Instant, passing: Arc<Passing>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KNOWN_MAX
            && !all.contains_key(domain)
            && let Some(first) = all.iter().min_by_key(|(_, (until, _))| *until)
        {
            let first = first.0.clone();
            all.remove(&first);
        }
        all.insert(domain.to_owned(), (until, passing));
    }

    /// Which egresses pass for a domain.
    pub(super) async fn of(
        &self,
        domain: &str,
        egresses: &[Egress],
        spf: &dyn Spf,
        now: Instant,
    ) -> Arc<Passing> {
        if let Some(known) = self.get(domain, now) {
            return known;
        }
        let asked = egresses.iter().filter_map(|egress| {
            let address = egress.public?;
            Some(async move {
                let (said, ttl) = spf.check(domain, address, &egress.hello).await;
                (egress.name.clone(), said, ttl)
            })
        });
        let answers = join_all(asked).await;
        let ttl = answers.iter().map(|(_, _, ttl)| *ttl).min().unwrap_or(KEPT.1);
        let unknown = answers.iter().any(|(_, said, _)| *said == SpfSays::Unknown);
        let ttl = if unknown { KEPT.0 } else { ttl.clamp(KEPT.0, KEPT.1) };
        let said = answers.into_iter().map(|(name, said, _)| (name, said)).collect();
        let passing = Arc::new(Passing::of(domain, said));
        self.put(domain, now.after(ttl), passing.clone());
        passing
    }
}

impl Shared {
    /// Which egresses pass SPF for the sender that a job goes out with; `None`: its domain is not
    /// ours, or nobody asks.
    pub(super) async fn passing(&self, job: &Job) -> Option<Arc<Passing>> {
        let spf = self.outside.spf.as_ref().filter(|_| self.options.egresses.len() > 1)?;
        let directory = self.store.directory();
        let sender = job.envelope.sender.as_ref()?.address().domain().clone();
        let ours = match directory.domain(&sender).await {
            Ok(Some(_)) => sender,
            Ok(None) => {
                // The sender becomes one of ours (SRS).
                let by = offer::forwarder(job).filter(|_| self.outside.forwarding.is_some())?;
                by.domain().clone()
            }
            Err(_) => return None,
        };
        let now = self.clock().instant();
        Some(self.known.of(ours.as_str(), &self.options.egresses, &**spf, now).await)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Says of addresses what it is told to, and counts.
    struct Says(Vec<(&'static str, SpfSays)>, Duration, AtomicUsize);

    #[async_trait]
    impl Spf for Says {
        async fn check(&self, _: &str, address: IpAddr, _: &str) -> (SpfSays, Duration) {
            self.2.fetch_add(1, Ordering::SeqCst);
            let said = self.0.iter().find(|(of, _)| *of == address.to_string());
            (said.map_or(SpfSays::Fails, |(_, said)| *said), self.1)
        }
    }

    fn says(said: &[(&'static str, SpfSays)]) -> Says {
        Says(said.to_vec(), Duration::from_secs(600), AtomicUsize::new(0))
    }

    fn egress(name: &str, public: Option<&str>) -> Egress {
        Egress {
            name: name.into(),
            source: None,
            public: public.map(|text| text.parse().unwrap()),
            hello: "mx.example.test".to_owned(),
            network: name.into(),
            region: "home".into(),
        }
    }

    fn egresses() -> [Egress; 3] {
        [egress("a", Some("192.0.2.1")), egress("b", Some("192.0.2.2")), egress("c", None)]
    }

    async fn used(said: &[(&'static str, SpfSays)]) -> String {
        let (known, all) = (Known::default(), egresses());
        let passing = known.of("example.test", &all, &says(said), Instant(0)).await;
        all.iter().filter(|egress| passing.allows(egress)).map(|egress| &*egress.name).collect()
    }

    #[tokio::test]
    async fn only_what_passes_is_used_unless_that_stops_the_mail() {
        use SpfSays::{Fails, NoPolicy, Pass, Unknown};
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        // Of one whose address nobody knows nothing is said.
        assert_eq!(used(&[(a, Pass), (b, Fails)]).await, "ac");
        assert_eq!(used(&[(a, Fails), (b, Pass)]).await, "bc");
        assert_eq!(used(&[(a, Pass), (b, Pass)]).await, "abc");
        // None passes, DNS is silent, there is no policy: all.
        assert_eq!(used(&[(a, Fails), (b, Fails)]).await, "abc");
        assert_eq!(used(&[(a, Pass), (b, Unknown)]).await, "abc");
        assert_eq!(used(&[(a, Fails), (b, Unknown)]).await, "abc");
        assert_eq!(used(&[(a, NoPolicy), (b, NoPolicy)]).await, "abc");
    }

    #[tokio::test]
    async fn another_one_passes_only_if_it_is_known_to_and_not_refused() {
        let all = egresses();
        let of = async |said: &[(&'static str, SpfSays)]| {
            Known::default().of("example.test", &all, &says(said), Instant(0)).await
        };
        let both = of(&[("192.0.2.1", SpfSays::Pass), ("192.0.2.2", SpfSays::Pass)]).await;
        assert!(both.elsewhere(&all[0], |_| false));
        assert!(!both.elsewhere(&all[0], |name| name == "b"));
        let one = of(&[("192.0.2.1", SpfSays::Pass)]).await;
        assert!(!one.elsewhere(&all[0], |_| false) && one.elsewhere(&all[1], |_| false));
        assert!(!of(&[]).await.elsewhere(&all[0], |_| false));
    }

    #[tokio::test]
    async fn answers_are_kept_for_their_time_and_within_bounds() {
        let (known, all) = (Known::default(), egresses());
        let spf = says(&[("192.0.2.1", SpfSays::Pass)]);
        let at = |seconds: u64| Instant(0).after(Duration::from_secs(seconds));
        for (when, asked) in [(0, 2), (599, 2), (601, 4), (1_200, 4)] {
            known.of("example.test", &all, &spf, at(when)).await;
            assert_eq!(spf.2.load(Ordering::SeqCst), asked, "at {when}");
        }
        for number in 0..KNOWN_MAX + 10 {
            known.of(&format!("d{number}.test"), &all, &spf, at(2_000)).await;
        }
        assert_eq!(known.0.lock().unwrap().len(), KNOWN_MAX);
        // Without an answer it is asked again soon.
        let silent = says(&[("192.0.2.1", SpfSays::Unknown)]);
        known.of("silent.test", &all, &silent, at(3_000)).await;
        known.of("silent.test", &all, &silent, at(3_031)).await;
        assert_eq!(silent.2.load(Ordering::SeqCst), 4);
    }
}
