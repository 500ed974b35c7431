//! Is everything well? Looks, tries, and changes nothing but one object of its own that it
//! deletes again.

mod network;
mod queue;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use engine::{Consistency, Key, ObjectKey, Put};
use mail::{Account, Epoch, WriterId};
use net::CertificateInfo;
use serde::Serialize;
use store::directory::ListCursor;
use store::names;
use store::rows::{WriterRow, WriterState};

use super::{Admin, AdminError, QueueFilter};

pub use network::{Surroundings, ToldTime};

/// Accounts whose logs are opened at most.
const ACCOUNTS_MAX: usize = 10_000;
/// Writers looked at at most.
const WRITERS_MAX: usize = 10_000;
/// A certificate that ends sooner is warned of.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 86_400);

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Ok,
    /// Somebody should look.
    Warning,
    /// A promise is at stake.
    Failure,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found: one line.
    pub found: String,
    /// What to do, if anything.
    pub hint: Option<&'static str>,
}

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst verdict.
    pub verdict: Verdict,
    /// Each check.
    pub checks: Vec<Check>,
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Ok, found: found.into(), hint: None }
}

fn warning(name: &'static str, found: impl Into<String>, hint: &'static str) -> Check {
    Check { name, verdict: Verdict::Warning, found: found.into(), hint: Some(hint) }
}

fn failure(name: &'static str, found: impl Into<String>, hint: &'static str) -> Check {
    Check { name, verdict: Verdict::Failure, found: found.into(), hint: Some(hint) }
}

impl Admin {
    /// Looks at everything. `certificates` are those in use, or why there are none. Never fails:
    /// what cannot be looked at is a finding.
    pub async fn doctor(&self, certificates: Result<Vec<CertificateInfo>, String>) -> Report {
        Self::report(self.checks(certificates).await)
    }

    /// As [`Self::doctor`], and looks at what others see of the office.
    pub async fn doctor_around(
        &self,
        certificates: Result<Vec<CertificateInfo>, String>,
        around: &Surroundings,
    ) -> Report {
        let known = certificates.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
        let mut checks = self.checks(certificates).await;
        let names = self.certificate_names(&known, &around.publishing).await;
        checks.push(names.unwrap_or_else(|why| unreadable("tls names", &why)));
        checks.extend(around.time.iter().map(network::time));
        checks.extend(self.network(around).await);
        Self::report(checks)
    }

    fn report(checks: Vec<Check>) -> Report {
        let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
        Report { verdict, checks }
    }

    async fn checks(&self, certificates: Result<Vec<CertificateInfo>, String>) -> Vec<Check> {
        let mut checks = vec![self.index().await, self.objects().await, self.room().await];
        checks.push(self.writers().await.unwrap_or_else(|why| unreadable("writers", &why)));
        checks.push(self.logs().await.unwrap_or_else(|why| unreadable("accounts", &why)));
        checks.push(self.parked_items().await.unwrap_or_else(|why| unreadable("queue", &why)));
        checks.push(self.refusals().await.unwrap_or_else(|why| unreadable("refusals", &why)));
        checks.extend(self.backlog().await.unwrap_or_else(|why| vec![unreadable("backlog", &why)]));
        checks.push(self.expiry(certificates));
        checks
    }

    async fn index(&self) -> Check {
        let key = Key::new(b"r".as_slice(), b"ready".as_slice());
        match self.store.engines().index.get(&key, Consistency::Strong).await {
            Ok(_) => ok("index", "answers"),
            Err(why) => failure("index", why.to_string(), "check the store's folder and its owner"),
        }
    }

    /// Puts, reads and deletes one object: the whole way that an acknowledgement goes, syncs
    /// included.
    async fn objects(&self) -> Check {
        const NAME: &str = "objects";
        const HINT: &str = "check the disk, its mount options and the store's owner";
        let engines = self.store.engines();
        let nonce = engines.random.bytes::<8>().map(|byte| format!("{byte:02x}")).concat();
        let Some(key) = ObjectKey::new(format!("doctor/{nonce}")) else {
            return failure(NAME, "no name for a test object", HINT);
        };
        let bytes = Bytes::from_static(b"postroad doctor");
        let before = engines.clock.instant();
        match engines.objects.put(&key, std::slice::from_ref(&bytes)).await {
            Ok(Put::Stored) => {}
            Ok(Put::Exists(_)) => return failure(NAME, "a fresh name was taken", HINT),
            Err(why) => return failure(NAME, format!("cannot write: {why}"), HINT),
        }
        let took = engines.clock.instant().since(before);
        let read = engines.objects.get(&key).await;
        let deleted = engines.objects.delete(&key).await;
        match (read, deleted) {
            (Ok(Some(read)), Ok(())) if read == bytes => {
                let found = format!("written, synced and read back in {} ms", took.as_millis());
                if took > Duration::from_secs(1) {
                    return warning(NAME, found, "a slow disk makes every sender wait");
                }
                ok(NAME, found)
            }
            (Ok(_), Ok(())) => failure(NAME, "what was read is not what was written", HINT),
            (Err(why), _) => failure(NAME, format!("cannot read: {why}"), HINT),
            (_, Err(why)) => failure(NAME, format!("cannot delete: {why}"), HINT),
        }
    }

    async fn room(&self) -> Check {
        const NAME: &str = "room";
        let percent_min = self.store.options().free_percent_min;
        match self.store.engines().objects.space().await {
            Ok(None) => ok(NAME, "without bound"),
            Ok(Some(space)) => {
                let percent = (space.free / (space.total / 100).max(1)).min(100);
                let found = format!("{} MiB free, {percent} %", space.free >> 20);
                if percent < percent_min {
                    failure(NAME, found, "no mail is accepted: free some room")
                } else if percent < percent_min.saturating_mul(2) {
                    warning(NAME, found, "free some room soon")
                } else {
                    ok(NAME, found)
                }
            }
            Err(why) => failure(NAME, why.to_string(), "check the store's folder"),
        }
    }

    /// Writers whose segments lie there without a row [K], and what waits to be delivered.
    async fn writers(&self) -> Result<Check, AdminError> {
        const NAME: &str = "writers";
        let mut known = BTreeSet::new();
        let (mut open, mut waiting, mut after) = (0_u64, 0_u64, None);
        let mut hole = None;
        loop {
            let page = self.store.writers().page(after).await?;
            let Some((last, ..)) = page.last() else { break };
            after = Some(*last);
            for (id, WriterRow { watermark, state, last, .. }, _) in &page {
                known.insert(*id);
                open += u64::from(*state == WriterState::Open);
                waiting += last.saturating_sub(*watermark);
                if last > watermark && hole.is_none() {
                    hole = self.hole(*id, *watermark).await?;
                }
            }
            if known.len() >= WRITERS_MAX {
                break;
            }
        }
        let found = self.writers_with_segments().await?;
        let strange: Vec<_> = found.difference(&known).map(ToString::to_string).collect();
        if let Some(first) = strange.first() {
            return Ok(failure(
                NAME,
                format!("segments of {} unknown writers, such as {first}", strange.len()),
                "their mail is kept but not delivered: somebody must look where they come from",
            ));
        }
        let found = format!("{open} open, {waiting} segments not yet done");
        Ok(match hole {
            Some(first) => warning(
                NAME,
                format!("{found}; {first} is missing"),
                "`maintain` closes it within two sweeps: see that a process has this role",
            ),
            None => ok(NAME, found),
        })
    }

    /// The first number after the watermark, if it is missing below others [B].
    async fn hole(
        &self,
        writer: WriterId,
        watermark: u64,
    ) -> Result<Option<ObjectKey>, AdminError> {
        let after = names::ingest(writer, watermark);
        let prefix = names::ingest_prefix(writer);
        let next = self.store.engines().objects.list(&prefix, Some(&after), 1).await?;
        let number = next.first().and_then(|object| names::parse_ingest(&object.key));
        let missing = number.is_some_and(|(_, number)| number > watermark + 1);
        Ok(missing.then(|| names::ingest(writer, watermark + 1)))
    }

    async fn writers_with_segments(&self) -> Result<BTreeSet<WriterId>, AdminError> {
        let objects = &self.store.engines().objects;
        let (mut found, mut after) = (BTreeSet::new(), None);
        while found.len() < WRITERS_MAX {
            let next = objects.list("ingest/", after.as_ref(), 1).await?;
            let Some(object) = next.first() else { break };
            let name = object.key.as_str().split('/').nth(1).unwrap_or_default();
            if let Ok(writer) = name.parse() {
                found.insert(writer);
            }
            // On to the next writer: no number of this one sorts after this key.
            after = ObjectKey::new(format!("ingest/{name}/g"));
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Opens the log of every account: one that cannot be replayed stops that account only [U].
    async fn logs(&self) -> Result<Check, AdminError> {
        const NAME: &str = "accounts";
        let (mut read, mut broken) = (0_usize, Vec::new());
        for domain in self.all_domains().await? {
            let mut cursor = Some(ListCursor::default());
            while let Some(from) = cursor {
                let (page, next) = self.directory().list(&domain, from, 1_000).await?;
                cursor = next;
                for (address, account) in page {
                    let Some(id) = account else { continue };
                    let Some(entry) = self.directory().account(id).await? else { continue };
                    read += 1;
                    let account = Account { id, epoch: Epoch(entry.row.epoch) };
                    let opened = match self.store.account(account).await {
                        Ok(log) => log.fresh().await.map(|_| ()),
                        Err(why) => Err(why),
                    };
                    if let Err(why) = opened {
                        broken.push(format!("{address}: {why}"));
                    }
                }
                if read >= ACCOUNTS_MAX {
                    cursor = None;
                }
            }
        }
        Ok(match broken.first() {
            Some(first) => failure(
                NAME,
                format!("{} of {read} cannot be read, such as {first}", broken.len()),
                "mail for them waits in the queue; `postroad account repair` makes them readable",
            ),
            None => ok(NAME, format!("{read} read")),
        })
    }

    async fn parked_items(&self) -> Result<Check, AdminError> {
        const NAME: &str = "queue";
        let parked = self.parked().await?.len();
        let (_, waiting) = self.queue(&QueueFilter::default(), 1).await?;
        if parked > 0 {
            let found = format!("{parked} items need a person, {waiting} wait in all");
            return Ok(warning(
                NAME,
                found,
                "see `postroad queue list`, then retry or remove them",
            ));
        }
        Ok(ok(NAME, format!("{waiting} items wait")))
    }

    /// Words of other servers that no shipped rule knows.
    async fn refusals(&self) -> Result<Check, AdminError> {
        const NAME: &str = "refusals";
        let unknown = self.unmatched(&functions::refusals::Rules::shipped()).await?;
        let Some(last) = unknown.first() else {
            return Ok(ok(NAME, "every refusal of the last 30 days was understood"));
        };
        Ok(warning(
            NAME,
            format!(
                "{} refusals that no rule knows, the last of {}: {}",
                unknown.len(),
                last.host,
                last.words
            ),
            "see `postroad refusals list --unmatched`; docs/refusals.md tells how to write a rule",
        ))
    }

    fn expiry(&self, certificates: Result<Vec<CertificateInfo>, String>) -> Check {
        const NAME: &str = "certificates";
        const HINT: &str = "put a new one in its place and send SIGHUP";
        let certificates = match certificates {
            Ok(certificates) => certificates,
            Err(why) => return failure(NAME, why, "see the section [tls] of the configuration"),
        };
        let Some(first) = certificates.iter().min_by_key(|one| one.not_after) else {
            return ok(NAME, "none yet: one is made at the first start");
        };
        let now = self.store.engines().index.now();
        let left = first.not_after.since(now);
        let path = first.path.display();
        if first.not_after <= now {
            return failure(NAME, format!("{path} has expired"), HINT);
        }
        let found = format!("{path} is valid for {} days", left.as_secs() / 86_400);
        if left < EXPIRY_WARNING { warning(NAME, found, HINT) } else { ok(NAME, found) }
    }
}

fn unreadable(name: &'static str, why: &AdminError) -> Check {
    failure(name, why.to_string(), why.hint())
}
