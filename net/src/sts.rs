//! MTA-STS (RFC 8461): domains that say by which hosts, and under whose certificates, mail for
//! them must be taken.

mod policy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::Clock;
use mail::{Domain, Instant};

use crate::dns::Dns;
use crate::http::{Asked, Http};

pub use policy::{Mode, Policy, PolicySyntax};

/// Domains remembered, with and without a policy.
const DOMAINS_MAX: usize = 10_000;
/// RFC 8461 §3.3: one minute is suggested.
const FETCH_TIME: Duration = Duration::from_mins(1);
/// RFC 8461 §3.3: 64 KiB is suggested.
const POLICY_BYTES_MAX: usize = 64 * 1024;
/// After a policy could not be fetched it is left alone for so long (RFC 8461 §3.3).
const FETCH_PAUSE: Duration = Duration::from_mins(5);

/// Where policies come from; a seam, so that a simulation has its own.
#[async_trait]
pub trait Policies: Send + Sync {
    /// The text of a domain's policy.
    /// # Errors
    /// Why it cannot be had, in one line.
    async fn fetch(&self, domain: &Domain) -> Result<String, String>;
}

#[async_trait]
impl Policies for Http {
    async fn fetch(&self, domain: &Domain) -> Result<String, String> {
        // RFC 8461 §3.2, §3.3: HTTPS only, verified, no redirects.
        let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
        let asked = Asked::get(&url, FETCH_TIME, POLICY_BYTES_MAX);
        let answered = self.ask(asked).await.map_err(|why| why.to_string())?.response;
        if answered.status() != http::StatusCode::OK {
            return Err(format!("{url} answers {}", answered.status()));
        }
        String::from_utf8(answered.into_body().to_vec()).map_err(|why| why.to_string())
    }
}

/// A policy that was fetched, for those who come after this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Of the TXT record it was fetched for.
    pub id: String,
    /// Its text.
    pub text: String,
    /// How long it still holds.
    pub left: Duration,
}

/// Where policies outlive a process, so that who can hide records and servers gains nothing by a
/// restart (RFC 8461 §5.1). Economy and safety only: what is lost is fetched again.
#[async_trait]
pub trait Memory: Send + Sync {
    /// What is remembered of a domain, if it still holds.
    async fn recall(&self, domain: &Domain) -> Option<Remembered>;

    /// Remembers a policy instead of what was there.
    async fn remember(&self, domain: &Domain, policy: Remembered);
}

/// The policies of domains, kept in bounded memory for as long as they say.
pub struct Sts {
    dns: Arc<dyn Dns>,
    policies: Arc<dyn Policies>,
    clock: Arc<dyn Clock>,
    memory: Option<Arc<dyn Memory>>,
    held: Mutex<BTreeMap<Domain, Held>>,
}

#[derive(Clone)]
struct Held {
    /// Of the TXT record it was fetched for.
    id: String,
    /// The policy and until when it holds.
    policy: Option<(Arc<Policy>, Instant)>,
    /// Not fetched again before.
    pause: Instant,
}

impl std::fmt::Debug for Sts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sts").finish_non_exhaustive()
    }
}

impl Sts {
    /// Nothing is remembered yet.
    #[must_use]
    pub fn new(dns: Arc<dyn Dns>, policies: Arc<dyn Policies>, clock: Arc<dyn Clock>) -> Self {
        Self { dns, policies, clock, memory: None, held: Mutex::default() }
    }

    /// This, with policies that outlive it.
    #[must_use]
    pub fn remembering(self, memory: Arc<dyn Memory>) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// The policy of `domain`, if it has one that is not [`Mode::None`]. A policy that was once
    /// fetched is believed until its time is over, whatever becomes of the record or the server
    /// meanwhile: that is what protects against who can hide them (F4, RFC 8461 §5.1, §10.2).
    pub async fn policy(&self, domain: &Domain) -> Option<Arc<Policy>> {
        let now = self.clock.instant();
        let mut held = self.lock().get(domain).cloned();
        if held.is_none() {
            held = self.recall(domain).await;
        }
        if let Some(held) = &mut held {
            held.policy = held.policy.take().filter(|(_, until)| *until > now);
        }
        let id = self.id(domain).await;
        let fetch = match (&id, &held) {
            (None, _) => false,
            (Some(id), Some(held)) => {
                // RFC 8461 §10.2: anew before it ends, or who hides it has only to wait.
                let old = |(policy, until): &(Arc<Policy>, Instant)| {
                    until.since(now) < policy.max_age / 2
                };
                let new = held.id != *id || held.policy.as_ref().is_none_or(old);
                new && held.pause <= now
            }
            (Some(_), None) => true,
        };
        if let Some(id) = id.filter(|_| fetch) {
            held = Some(self.fetch(domain, id, held).await);
        }
        let policy = held.and_then(|held| held.policy).map(|(policy, _)| policy);
        policy.filter(|policy| policy.mode != Mode::None)
    }

    /// The id of the one valid TXT record (RFC 8461 §3.1).
    async fn id(&self, domain: &Domain) -> Option<String> {
        let answer = self.dns.txt(&format!("_mta-sts.{domain}")).await.ok()?;
        let mut ids = answer.records.iter().filter_map(|text| policy::record_id(text));
        // Several, or none, are as if there were none.
        ids.next().filter(|_| ids.next().is_none())
    }

    /// What was remembered by a process before; nothing too, so that it is asked for once.
    async fn recall(&self, domain: &Domain) -> Option<Held> {
        let found = self.memory.as_ref()?.recall(domain).await;
        let now = self.clock.instant();
        let held = found.and_then(|found| {
            let policy = Policy::parse(&found.text).ok()?;
            // I10: not longer than it said.
            let until = now.after(found.left.min(policy.max_age));
            Some(Held { id: found.id, policy: Some((Arc::new(policy), until)), pause: Instant(0) })
        });
        // Recalled after `now` of who asks: a pause that ends here would keep it from fetching.
        let held =
            held.unwrap_or_else(|| Held { id: String::new(), policy: None, pause: Instant(0) });
        self.hold(domain, &held, now);
        Some(held)
    }

    async fn fetch(&self, domain: &Domain, id: String, held: Option<Held>) -> Held {
        let text = self.policies.fetch(domain).await;
        let now = self.clock.instant();
        let parsed = text.and_then(|text| Policy::parse(&text).map_err(|why| why.to_string()));
        let new = match parsed {
            Ok(policy) => {
                if let Some(memory) = &self.memory {
                    let text = policy.lines().join("\n");
                    let (id, left) = (id.clone(), policy.max_age);
                    memory.remember(domain, Remembered { id, text, left }).await;
                }
                let until = now.after(policy.max_age);
                Held { id, policy: Some((Arc::new(policy), until)), pause: now }
            }
            Err(why) => {
                tracing::debug!(%domain, %why, "no policy of MTA-STS");
                let old =
                    held.unwrap_or_else(|| Held { id: String::new(), policy: None, pause: now });
                Held { pause: now.after(FETCH_PAUSE), ..old }
            }
        };
        self.hold(domain, &new, now);
        new
    }

    fn hold(&self, domain: &Domain, new: &Held, now: Instant) {
        let mut all = self.lock();
        if all.len() >= DOMAINS_MAX {
            all.retain(|_, held| held.policy.as_ref().is_some_and(|(_, until)| *until > now));
        }
        if all.len() < DOMAINS_MAX || all.contains_key(domain) {
            all.insert(domain.clone(), new.clone());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Domain, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
