//! What is remembered of destinations: which of our egresses each has refused, and whether it
//! answers. In memory while it is worked on; written only when it changes [g′].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::Version;
use mail::Timestamp;
use store::Store;
use store::rows::HealthRow;

use crate::egress::{Health, Marks};
use crate::refusals::{Class, Scope};

/// Destinations remembered in memory; the rest is read again.
const SITES_MAX: usize = 10_000;

/// The class of a destination that does not answer.
const DOWN: &str = "down";

/// What is known of one.
#[derive(Clone, Debug, Default)]
struct Site {
    marks: Marks,
    /// Last words of each egress's mark.
    words: BTreeMap<Arc<str>, String>,
    versions: BTreeMap<Option<Arc<str>>, Version>,
}

/// All that is in memory.
#[derive(Debug, Default)]
pub(super) struct Sites(Mutex<BTreeMap<String, Site>>);

/// How a destination was found.
pub(super) struct Found {
    /// It was left alone before this process began: until when, and for how long.
    pub(super) held: Option<(Timestamp, Duration)>,
}

impl Sites {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Site>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is remembered of a destination, unless that is in memory.
    pub(super) async fn open(&self, store: &Store, destination: &str) -> Option<Found> {
        if self.lock().contains_key(destination) {
            return None;
        }
        let (mut site, mut held) = (Site::default(), None);
        match store.items().remembered(destination).await {
            Ok(rows) => {
                for (egress, row, version) in rows {
                    let egress: Option<Arc<str>> = egress.map(Into::into);
                    site.versions.insert(egress.clone(), version);
                    match egress {
                        None => held = Some((row.until, row.hold)),
                        Some(egress) => {
                            site.words.insert(egress.clone(), row.words.clone());
                            if let Some(health) = from_row(&row) {
                                site.marks.set(&egress, health);
                            }
                        }
                    }
                }
            }
            // What is remembered is economy: without it a refusal is met again.
            Err(error) => tracing::warn!(destination, %error, "cannot see what is remembered"),
        }
        let mut sites = self.lock();
        if sites.len() >= SITES_MAX {
            sites.pop_first();
        }
        sites.insert(destination.to_owned(), site);
        Some(Found { held })
    }

    /// Which egresses it has refused.
    pub(super) fn marks(&self, destination: &str) -> Marks {
        self.lock().get(destination).map(|site| site.marks.clone()).unwrap_or_default()
    }

    /// An egress was refused.
    pub(super) async fn mark(
        &self,
        store: &Store,
        destination: &str,
        egress: &Arc<str>,
        health: Health,
        words: &str,
    ) {
        let row = to_row(&health, words);
        let changed = {
            let mut sites = self.lock();
            let site = sites.entry(destination.to_owned()).or_default();
            let changed = site.marks.of(egress) != Some(&health);
            site.marks.set(egress, health);
            changed
        };
        if changed {
            tracing::info!(destination, %egress, rule = row.rule, "an egress is held");
            metrics::counter!("postroad_relay_egress_holds_total").increment(1);
            self.write(store, destination, Some(egress), Some(&row)).await;
        }
    }

    /// A message was taken through an egress.
    pub(super) async fn succeeded(
        &self,
        store: &Store,
        destination: &str,
        egress: &Arc<str>,
        now: Timestamp,
    ) {
        let (changed, words) = {
            let mut sites = self.lock();
            let Some(site) = sites.get_mut(destination) else { return };
            let words = site.words.get(egress).cloned().unwrap_or_default();
            (site.marks.succeeded(egress, now), words)
        };
        if let Some(health) = changed {
            let row = health.map(|health| to_row(&health, &words));
            self.write(store, destination, Some(egress), row.as_ref()).await;
        }
    }

    /// A destination does not answer.
    pub(super) async fn down(
        &self,
        store: &Store,
        destination: &str,
        now: Timestamp,
        until: Timestamp,
        why: &str,
    ) {
        let row = HealthRow {
            class: DOWN.to_owned(),
            scope: Scope::Destination.name().to_owned(),
            until,
            hold: until.since(now),
            since: now,
            words: why.to_owned(),
            ..HealthRow::default()
        };
        self.write(store, destination, None, Some(&row)).await;
    }

    /// A destination answers again.
    pub(super) async fn up(&self, store: &Store, destination: &str) {
        self.write(store, destination, None, None).await;
    }

    async fn write(
        &self,
        store: &Store,
        destination: &str,
        egress: Option<&Arc<str>>,
        row: Option<&HealthRow>,
    ) {
        let of = egress.cloned();
        let known = |site: &Site| site.versions.get(&of).copied();
        let version = self.lock().get(destination).and_then(known);
        let name = egress.map(AsRef::as_ref);
        let written = store.items().remember(destination, name, row, version).await;
        let mut sites = self.lock();
        match (written, sites.get_mut(destination)) {
            (Ok(Some(version)), Some(site)) => {
                site.versions.insert(of, version);
            }
            (Ok(None), Some(site)) => {
                site.versions.remove(&of);
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                // Somebody else's is as good; read it the next time.
                tracing::debug!(destination, %error, "what is known of a destination is not written");
                sites.remove(destination);
            }
        }
    }
}

fn to_row(health: &Health, words: &str) -> HealthRow {
    HealthRow {
        class: health.class.name().to_owned(),
        scope: health.scope.name().to_owned(),
        rule: health.rule.to_string(),
        sender: health.sender.clone(),
        until: health.until,
        hold: health.hold,
        since: health.since,
        words: words.to_owned(),
    }
}

/// `None`: of a class that this version does not know, which marks nothing.
fn from_row(row: &HealthRow) -> Option<Health> {
    Some(Health {
        class: Class::ALL.into_iter().find(|class| class.name() == row.class)?,
        scope: Scope::ALL.into_iter().find(|scope| scope.name() == row.scope)?,
        rule: row.rule.as_str().into(),
        sender: row.sender.clone(),
        until: row.until,
        hold: row.hold,
        since: row.since,
    })
}
