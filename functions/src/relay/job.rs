//! Beginning an item: is it still to be done, by us, now?

use std::sync::Arc;

use engine::{Version, WriteError};
use mail::{Envelope, Instant, Timestamp};
use store::Announced;
use store::rows::{Attempt, Delay, Item, ItemState, Lease, RecipientState};
use store::segment::IndexRecord;

use super::Shared;
use super::outcome;
use super::passing::Passing;
use crate::egress::Past;
use crate::handler::Error;

/// What an attempt that nobody knows the end of is called in a history [c].
pub(crate) const UNKNOWN: &str = "unknown";

/// An item that was begun.
pub(super) struct Job {
    pub(super) due: Announced,
    pub(super) item: Item,
    pub(super) version: Version,
    pub(super) record: IndexRecord,
    pub(super) envelope: Envelope,
    /// What happened in this round.
    pub(super) past: Past,
    /// Egresses that SPF passes for its sender, where that is one of ours.
    pub(super) passing: Option<Arc<Passing>>,
    /// Until when it is ours, by our own clock.
    pub(super) ours_until: Instant,
    /// Numbers of recipients that are still to be tried in this round.
    pub(super) open: Vec<usize>,
}

impl Job {
    /// The sender's domain; empty for the null sender.
    pub(super) fn sender_domain(&self) -> &str {
        self.envelope.sender.as_ref().map_or("", |path| path.address().domain().as_str())
    }
}

impl Shared {
    /// Begins what a due row announces; `None`: it is not to be done, not now, or not by us.
    pub(super) async fn begin(&self, due: &Announced) -> Result<Option<Job>, Error> {
        let items = self.store.items();
        let Some((item, version)) = items.get(&due.item).await? else {
            // [a]: announced, not there yet; or gone since long, then by its own expiry.
            if self.now().since(due.at) > self.store.options().timing.item_kept {
                items.forget_due(due).await?;
            }
            return Ok(None);
        };
        let elsewhere = item.due != due.at || item.state == ItemState::Bouncing;
        if item.state.is_finished() || (version >= due.version && elsewhere) {
            items.forget_due(due).await?;
            return Ok(None);
        }
        let now = self.now();
        if item.state != ItemState::Waiting || item.due > now {
            return Ok(None);
        }
        if self.is_another_s(&item, now) {
            return Ok(None);
        }
        if item.hold {
            return self.hold_at_last(due, item, version).await;
        }
        let Some(record) = self.record(&item).await? else {
            return Err("the segment of an open item is not there".into());
        };
        let envelope = record.envelope.clone().ok_or("an item's record has no envelope")?;
        if now.since(item.created) > self.options.lifetime {
            let mut item = item;
            self.note_takeover(due, &mut item, version);
            outcome::expire(&mut item);
            let job = Job::new(due.clone(), item, version, record, envelope, Instant(0));
            self.conclude(job, None).await;
            return Ok(None);
        }
        let began = self.clock().instant();
        let Some((item, version, left)) = self.lease(due, item, version, now).await? else {
            return Ok(None);
        };
        let ours_until = began.after(left);
        Ok(Some(Job::new(due.clone(), item, version, record, envelope, ours_until)))
    }

    /// It was to be held when whoever was sending it had ended: that is now.
    async fn hold_at_last(
        &self,
        due: &Announced,
        mut item: Item,
        version: Version,
    ) -> Result<Option<Job>, Error> {
        self.note_takeover(due, &mut item, version);
        item.lease = None;
        item.hold_now(self.now());
        match self.store.items().put_off(due, &item, version).await {
            Ok(_) | Err(WriteError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The lease of an item, if it runs.
    fn live(&self, item: &Item, now: Timestamp) -> Option<Lease> {
        item.lease.filter(|one| one.is_live(now, self.options.lease))
    }

    fn is_another_s(&self, item: &Item, now: Timestamp) -> bool {
        let lease = self.live(item, now).filter(|live| live.holder != self.holder);
        lease.is_some_and(|lease| !self.is_dead(lease.holder))
    }

    /// Makes the item ours. Its first lease is, if whoever made it gave it to us [f].
    async fn lease(
        &self,
        due: &Announced,
        mut item: Item,
        version: Version,
        now: Timestamp,
    ) -> Result<Option<(Item, Version, std::time::Duration)>, Error> {
        let lease = self.options.lease;
        if let Some(live) = self.live(&item, now).filter(|one| one.holder == self.holder) {
            let first = version == Version(1) && item.fence == 1;
            let left = live.until.since(now);
            let enough = left > self.options.dot_margin + (lease - self.options.dot_margin) / 2;
            if first && enough && self.begun().insert(due.item.clone()) {
                return Ok(Some((item, version, left)));
            }
        }
        self.note_takeover(due, &mut item, version);
        item.lease = Some(Lease { holder: self.holder, until: now.after(lease) });
        item.fence += 1;
        match self.store.items().begin(&due.item, &item, version).await {
            Ok(version) => {
                self.begun().remove(&due.item);
                Ok(Some((item, version, lease)))
            }
            Err(WriteError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whoever had it may have sent it: that is recorded before it is sent again, or given up [c].
    /// But for the first lease of ours, of which we know that nothing was begun under it.
    fn note_takeover(&self, due: &Announced, item: &mut Item, version: Version) {
        let Some(lease) = item.lease else { return };
        let untouched = lease.holder == self.holder
            && version == Version(1)
            && !self.begun().contains(&due.item);
        if !untouched {
            let at = self.now();
            let (via, words) = ("takeover".to_owned(), UNKNOWN.to_owned());
            item.record_attempt(Attempt { at, via, words });
            metrics::counter!("postroad_relay_unknown_total").increment(1);
        }
    }

    async fn record(&self, item: &Item) -> Result<Option<IndexRecord>, Error> {
        let at = usize::try_from(item.place.index).unwrap_or(usize::MAX);
        let index = self.store.index_of(item.place).await?;
        Ok(index.and_then(|index| index.records.get(at).cloned()))
    }

    /// An item that waits at its destination's own place, and is not to be tried: its age.
    pub(super) async fn see_to_age(&self, due: &Announced) -> Result<(), Error> {
        let Some((mut item, version)) = self.store.items().get(&due.item).await? else {
            return Ok(());
        };
        let now = self.now();
        let age = now.since(item.created);
        let late = age > self.options.warn_after && item.delay == Delay::Untold;
        let live = self.live(&item, now);
        let begun = live.is_some_and(|lease| !self.is_dead(lease.holder));
        if item.state != ItemState::Waiting || item.due != due.at || begun {
            return Ok(());
        }
        if age <= self.options.lifetime && !late {
            return Ok(());
        }
        let Some(record) = self.record(&item).await? else { return Ok(()) };
        let envelope = record.envelope.clone().ok_or("an item's record has no envelope")?;
        // [c]: the lease goes with what is written, so what may have happened under it is said first.
        self.note_takeover(due, &mut item, version);
        if age > self.options.lifetime {
            outcome::expire(&mut item);
        }
        let job = Job::new(due.clone(), item, version, record, envelope, Instant(0));
        self.conclude(job, None).await;
        Ok(())
    }
}

impl Job {
    fn new(
        due: Announced,
        item: Item,
        version: Version,
        record: IndexRecord,
        envelope: Envelope,
        ours_until: Instant,
    ) -> Self {
        let numbered = item.recipients.iter().enumerate();
        let open = numbered.filter(|(_, one)| one.state == RecipientState::Open);
        let open = open.map(|(at, _)| at).collect();
        let pinned: Option<Arc<str>> =
            (!item.egress.is_empty()).then(|| item.egress.as_str().into());
        let past = Past { pinned, ..Past::default() };
        let passing = None;
        Self { due, item, version, record, envelope, past, passing, ours_until, open }
    }
}
