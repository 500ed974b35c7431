//! Finds what is due: leases shards, reads their due rows, looks at the places of destinations that
//! have one of their own, and at the age of what waits there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::{Event, Version, WriteError};
use mail::{Instant, Timestamp};
use store::Announced;
use store::rows::{DUE_SHARDS, DuePlace, ItemKind, Lease, due_shard};
use tokio::sync::watch;

use super::{Added, Shared};
use crate::host::local::stopped;

/// Due rows read at once.
const PAGE: usize = 200;

/// Pages of one shard in one look.
const PAGES_MAX: usize = 50;

/// Due rows moved at once.
const ASIDE_MAX: usize = 50;

/// After a wake-up, so long is waited for more of them.
const GATHER: Duration = Duration::from_millis(200);

/// Runs until told to stop.
pub(super) async fn run(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let clock = shared.clock().clone();
    let mut events = shared.store.engines().events.subscribe();
    let mut held: BTreeMap<u16, Version> = BTreeMap::new();
    let mut renew = Instant(0);
    loop {
        if clock.instant() >= renew {
            shared.lease_shards(&mut held).await;
            renew = clock.instant().after(shared.options.shard_lease / 3);
        }
        for shard in held.keys() {
            shared.look_at(*shard).await;
        }
        shared.look_at_places().await;
        let mut next = clock.instant().after(shared.options.poll).min(renew);
        let now = shared.now();
        if let Some(end) = shared.queue().next_end(now) {
            next = next.min(clock.instant().after(end.since(now) + Duration::from_millis(1)));
        }
        loop {
            let wake = clock.sleep_until(next);
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => {
                    shared.give_back(&held).await;
                    return;
                }
                event = events.next() => {
                    if matches!(event, None | Some(Event::Items)) {
                        next = next.min(clock.instant().after(GATHER));
                    }
                }
                () = shared.look.notified() => {
                    shared.look_at_places().await;
                    let now = shared.now();
                    if let Some(end) = shared.queue().next_end(now) {
                        let end = end.since(now) + Duration::from_millis(1);
                        next = next.min(clock.instant().after(end));
                    }
                }
                () = wake => break,
            }
        }
    }
}

impl Shared {
    /// Keeps the shards that are ours, and takes those that are free. A shard whose lease ran out
    /// while it was ours may be somebody else's now: its items' own leases see to the rest.
    async fn lease_shards(&self, held: &mut BTreeMap<u16, Version>) {
        let now = self.now();
        let known = match self.store.items().shards().await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "cannot look at the relay's shards");
                return;
            }
        };
        let mut wanted: BTreeMap<u16, Option<Version>> =
            (0..DUE_SHARDS).map(|shard| (shard, None)).collect();
        let mut alive = BTreeMap::new();
        for (shard, row, version) in known {
            let holder = row.lease.holder;
            let another_s =
                holder != self.holder && row.lease.is_live(now, self.options.shard_lease);
            if another_s && *alive.entry(holder).or_insert_with(|| !self.is_dead(holder)) {
                wanted.remove(&shard);
            } else {
                wanted.insert(shard, Some(version));
            }
        }
        let asked: Vec<_> = wanted.into_iter().collect();
        let lease = Lease { holder: self.holder, until: now.after(self.options.shard_lease) };
        let answers = self.store.items().lease_shards(&asked, lease).await;
        held.clear();
        for ((shard, _), answer) in asked.iter().zip(answers) {
            match answer {
                Ok(version) => {
                    held.insert(*shard, version);
                }
                Err(WriteError::Conflict) => {}
                Err(error) => tracing::warn!(shard, %error, "cannot lease a shard"),
            }
        }
        self.queue().keep(|destination| held.contains_key(&due_shard(destination)));
        self.store.items().hand().hold(held.keys().copied().collect::<BTreeSet<_>>());
    }

    /// The next relay need not wait.
    async fn give_back(&self, held: &BTreeMap<u16, Version>) {
        let all: Vec<_> = held.iter().map(|(shard, version)| (*shard, Some(*version))).collect();
        let lease = Lease { holder: self.holder, until: Timestamp(0) };
        for answer in self.store.items().lease_shards(&all, lease).await {
            if let Err(error) = answer {
                tracing::debug!(%error, "a shard is not given back");
            }
        }
    }

    /// The own places of destinations, and the age of what waits there.
    async fn look_at_places(&self) {
        let now = self.now();
        let own = self.queue().places_due(now);
        for (destination, here) in own {
            self.look_at_own(&destination, here).await;
        }
        let before = Timestamp(
            now.0
                .saturating_sub(u64::try_from(self.options.review.as_millis()).unwrap_or(u64::MAX)),
        );
        let due = self.queue().reviews_due(now, before);
        for destination in due {
            self.review(&destination).await;
        }
    }

    /// Due rows of one shard, page by page.
    async fn look_at(&self, shard: u16) {
        let place = DuePlace::Shard(shard);
        let mut after: Option<Announced> = None;
        for _ in 0..PAGES_MAX {
            let page = match self.store.items().due(&place, after.as_ref(), PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(shard, %error, "cannot look at what is due");
                    return;
                }
            };
            let full = page.len() >= PAGE;
            after = page.last().cloned();
            let mut due = Vec::new();
            for one in page {
                if one.is_marker() {
                    self.queue().mark(one, &[]);
                } else if one.item.kind == ItemKind::Remote {
                    due.push(one);
                }
            }
            if !due.is_empty() {
                self.take_in(due).await;
            }
            if !full {
                return;
            }
        }
    }

    /// What waits at a destination's own place, as far as there is room for it.
    async fn look_at_own(&self, destination: &str, here: usize) {
        let Some(place) = DuePlace::own(destination) else { return };
        let items = self.store.items();
        let limit = here + self.options.waiting_max;
        let page = match items.due(&place, None, limit).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(destination, %error, "cannot look at what waits for a destination");
                return;
            }
        };
        if !page.is_empty() {
            let now = self.now();
            let mut queue = self.queue();
            for one in page {
                if queue.add(one, now) != Added::Here {
                    break;
                }
            }
            drop(queue);
            self.ready.notify_one();
            return;
        }
        // [a]: these were seen before the place is; what comes to it later has one of its own.
        let seen = self.queue().markers(destination);
        let done = match items.first_aside(destination).await {
            Ok(Some(next)) => items.mark(destination, next.at, &seen).await.map(Some),
            Ok(None) => items.unmark(&seen).await.map(|()| None),
            Err(error) => {
                tracing::warn!(destination, %error, "cannot look at what waits for a destination");
                return;
            }
        };
        match done {
            Ok(marker) => {
                let mut queue = self.queue();
                let is_held = queue.held(destination, self.now()).is_some();
                match marker.filter(|_| is_held) {
                    Some(marker) => queue.mark(marker, &seen),
                    // It comes back when it is due.
                    None => queue.unmark(destination, &seen),
                }
            }
            Err(error) => tracing::debug!(destination, %error, "a marker stays as it is"),
        }
    }

    /// Moves due rows to their destinations' own places, each behind its marker.
    pub(super) async fn set_aside(&self, due: Vec<Announced>) {
        let mut by_destination: BTreeMap<String, Vec<Announced>> = BTreeMap::new();
        for one in due {
            if !matches!(one.place, DuePlace::Own(_)) {
                by_destination.entry(one.item.destination.clone()).or_default().push(one);
            }
        }
        for (destination, due) in by_destination {
            if DuePlace::own(&destination).is_none() {
                continue;
            }
            if let Err(error) = self.set_aside_of(&destination, &due).await {
                tracing::warn!(destination, %error, "cannot set aside what waits");
            }
        }
    }

    async fn set_aside_of(&self, destination: &str, due: &[Announced]) -> Result<(), WriteError> {
        for some in due.chunks(ASIDE_MAX) {
            let now = self.now();
            let (seen, held) = {
                let queue = self.queue();
                (queue.markers(destination), queue.held(destination, now))
            };
            let at = held.unwrap_or(now);
            let marker = self.store.items().set_aside(destination, some, at, &seen).await?;
            self.queue().mark(marker, &seen);
            metrics::counter!("postroad_relay_items_aside_total").increment(some.len() as u64);
        }
        Ok(())
    }

    /// A destination does not answer: nothing of it is tried for a while, which costs one row.
    pub(super) async fn hold(&self, destination: &str, why: &str) -> Option<Timestamp> {
        let now = self.now();
        let times = (self.options.retry_min, self.options.retry_max);
        let begun = self.queue().hold(destination, now, times, |time| self.jitter(time));
        let (until, waited) = begun?;
        tracing::info!(destination, %why, until_ms = until.0, "a destination is left alone");
        metrics::counter!("postroad_relay_holds_total").increment(1);
        let seen = self.queue().markers(destination);
        if !seen.is_empty() {
            match self.store.items().mark(destination, until, &seen).await {
                Ok(marker) => self.queue().mark(marker, &seen),
                Err(error) => tracing::debug!(destination, %error, "a marker stays as it is"),
            }
        }
        self.sites.down(&self.store, destination, now, until, why).await;
        self.set_aside(waited).await;
        self.look.notify_one();
        Some(until)
    }

    /// Items at a held destination's own place that are too old, or late enough to tell their
    /// senders: seen to although nothing is sent.
    async fn review(&self, destination: &str) {
        let Some(place) = DuePlace::own(destination) else { return };
        let mut after: Option<Announced> = None;
        let end = Timestamp(u64::MAX - 1);
        loop {
            let page = self.store.items().due_until(&place, after.as_ref(), end, PAGE).await;
            let page = match page {
                Ok(page) if !page.is_empty() => page,
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(destination, %error, "cannot look at what waits");
                    return;
                }
            };
            after = page.last().cloned();
            for due in page {
                if let Err(error) = self.see_to_age(&due).await {
                    tracing::debug!(item = ?due.item, %error, "an item's age is seen to later");
                }
            }
        }
    }
}
