//! `reports`: tells other domains how mail in their name fared here (DMARC, RFC 9990), and how TLS
//! to their servers went (TLS-RPT, RFC 8460).
//!
//! **Wakes it:** the clock. **Reads:** counts that edges and relays wrote, DNS records of the domains
//! that they are about. **Writes:** who works on which counts, a row per report on its way, the report
//! as `made/<id>`, the item that takes it away. **Deletes:** reports whose item is finished.
//!
//! **A second run is harmless** [j]: the id of a report derives from its kind, its domain, its time and
//! whom it goes to, so its object and its item are made once, and the item stays longer than counts
//! do [b]. A lease only saves work.
//!
//! **Upholds:** I6 (one report a domain, address and time), I8 (rows of a report, reports of a time),
//! I5 (a report's object goes after its item), D2 (reports have no sender, so nobody is told that
//! one could not be delivered).

mod intake;
mod send;
#[cfg(test)]
mod tests;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mail::report::ReportKind;
use mail::{Address, Timestamp, WriterId};
use net::dns::Dns;
use net::http::Http;
use store::Store;
use store::rows::{ItemKey, ItemKind, TALLY_BUCKETS};
use tokio::sync::Mutex;

use crate::handler::Error;
use crate::routes::Routes;

pub(crate) use intake::learn;

/// Counts of one bucket that are put together at once; what is beyond is left off.
const SEEN_MAX: usize = 200_000;

/// Rows of counts read at once.
const PAGE: usize = 64;

/// How long one bucket is left to whoever works on it.
const LEASE: Duration = Duration::from_secs(10 * 60);

/// Ended times that are looked at.
const TIMES: u64 = 2;

/// Reports looked at in one round for whether their item is finished.
const SENT_MAX: usize = 1_000;

/// Who reports.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// Our host name.
    pub host: String,
    /// From: an address of a domain of ours, whose keys sign.
    pub from: Address,
    /// Name of the organisation, for people.
    pub organisation: String,
}

/// What reports need of the world.
#[derive(Clone)]
pub struct Around {
    /// Finds out who wants reports.
    pub dns: Arc<dyn Dns>,
    /// Where mail can leave to.
    pub routes: Routes,
    /// Takes reports of TLS to those who want them by HTTPS.
    pub http: Http,
}

impl std::fmt::Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// The function. One per process, so that it knows what is done.
#[derive(Debug)]
pub struct Reports {
    store: Store,
    reporter: Reporter,
    around: Around,
    holder: WriterId,
    done: Mutex<BTreeSet<(ReportKind, u64, u8)>>,
}

/// How often what was counted is written: at the latest a quarter of a report's time later.
pub(crate) fn flush_every(store: &Store) -> Duration {
    const USUAL: Duration = Duration::from_secs(5 * 60);
    let quarter = Duration::from_secs(store.reports().interval()) / 4;
    quarter.clamp(Duration::from_millis(250), USUAL)
}

impl Reports {
    /// A function on this store.
    #[must_use]
    pub fn new(store: Store, reporter: Reporter, around: Around) -> Self {
        let holder = WriterId(store.engines().random.bytes());
        Self { store, reporter, around, holder, done: Mutex::default() }
    }

    /// Makes what reports there are to make, and clears away those that have left.
    /// # Errors
    /// The store does not answer: the next round goes on.
    pub async fn round(&self) -> Result<(), Error> {
        let interval = self.store.reports().interval();
        let now = self.now().seconds();
        let current = now - now % interval;
        for kind in [ReportKind::Dmarc, ReportKind::Tls] {
            if !self.store.reports().counts(kind) {
                continue;
            }
            for back in (1..=TIMES).rev() {
                let Some(from) = current.checked_sub(back * interval) else { continue };
                for bucket in 0..TALLY_BUCKETS {
                    self.bucket(kind, from, bucket).await?;
                }
            }
            let oldest = current.saturating_sub((TIMES + 1) * interval);
            self.done.lock().await.retain(|(_, from, _)| *from >= oldest);
        }
        self.clear().await
    }

    fn now(&self) -> Timestamp {
        self.store.engines().index.now()
    }

    /// When the counts of a time are all there; and not all buckets at once: who gets reports of
    /// everybody shall not get them all at midnight (RFC 9990 §4.1).
    fn ready(&self, from: u64, bucket: u8) -> Timestamp {
        let interval = Duration::from_secs(self.store.reports().interval());
        let share = interval / 6 * u32::from(bucket) / u32::from(TALLY_BUCKETS);
        Timestamp::from_seconds(from).after(interval + flush_every(&self.store) * 2 + share)
    }

    async fn bucket(&self, kind: ReportKind, from: u64, bucket: u8) -> Result<(), Error> {
        let place = (kind, from, bucket);
        if self.done.lock().await.contains(&place) || self.now() < self.ready(from, bucket) {
            return Ok(());
        }
        let reports = self.store.reports();
        let (some, _) = reports.tallies(kind, from, bucket, None, 1).await?;
        if !some.is_empty() {
            let begun = reports.begin(kind, from, bucket, self.holder, LEASE).await?;
            let Some(version) = begun else { return Ok(()) };
            let mut all_made = true;
            for (domain, seen) in self.gather(kind, from, bucket).await? {
                if let Err(why) = self.about(kind, from, &domain, &seen).await {
                    // Begun again by whoever comes next; those that are made stay as they are.
                    tracing::info!(domain, ?kind, %why, "a report is made later");
                    all_made = false;
                }
            }
            if !all_made {
                return Ok(());
            }
            reports.done(kind, from, bucket, self.holder, version).await?;
        }
        self.done.lock().await.insert(place);
        Ok(())
    }

    /// What all processes counted of the domains of a bucket.
    async fn gather(
        &self,
        kind: ReportKind,
        from: u64,
        bucket: u8,
    ) -> Result<BTreeMap<String, BTreeMap<Vec<u8>, u64>>, Error> {
        let mut all: BTreeMap<String, BTreeMap<Vec<u8>, u64>> = BTreeMap::new();
        let (mut after, mut count, mut lost) = (None, 0, 0);
        loop {
            let reports = self.store.reports();
            let page = reports.tallies(kind, from, bucket, after.as_deref(), PAGE).await?;
            let (tallies, last) = page;
            if last.is_none() {
                break;
            }
            after = last;
            for one in tallies {
                let of = all.entry(one.domain).or_default();
                if let Some(there) = of.get_mut(&one.seen) {
                    *there += one.count;
                } else if count < SEEN_MAX {
                    of.insert(one.seen, one.count);
                    count += 1;
                } else {
                    lost += one.count;
                }
            }
        }
        if lost > 0 {
            tracing::warn!(?kind, lost, "more was counted than reports can tell");
        }
        Ok(all)
    }

    /// Deletes reports whose items are finished, and what notes them.
    async fn clear(&self) -> Result<(), Error> {
        let kept = self.store.options().timing.item_kept;
        for ((from, id), sent) in self.store.reports().sent(None, SENT_MAX).await? {
            let old = self.now().since(sent.at) > kept;
            let over = if sent.destination.is_empty() {
                // By HTTPS: noted, so that it is not sent twice while counts are there.
                old
            } else {
                let key = item_key(id, &sent.destination);
                match self.store.items().get(&key).await? {
                    Some((item, _)) => item.state.is_finished(),
                    // Not made yet, or gone since long.
                    None => old,
                }
            };
            if !over {
                continue;
            }
            // I5: the item named it, and is finished.
            if !sent.destination.is_empty() {
                let key = store::names::made(id);
                self.store.engines().objects.delete(&key).await?;
                self.store.forget_segment(&key);
            }
            self.store.reports().forget_sent(from, id).await?;
        }
        Ok(())
    }
}

/// The item of a report.
fn item_key(id: mail::RecordId, destination: &str) -> ItemKey {
    ItemKey { id, kind: ItemKind::Remote, destination: destination.to_owned(), k: 0 }
}
