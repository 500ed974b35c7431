//! The audit: looks at every claim there is for segments that can be deleted, and for those so old
//! that their accounts are compacted.
//!
//! A segment is deleted when it is done and below its writer's watermark, every account of its
//! plan has let it go, and every item of its plan is finished; then its claim goes [F, H].

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use engine::Version;
use mail::{Account, Timestamp, WriterId};
use store::place::SegmentRef;
use store::rows::{Claim, ClaimState, ITEM_SHARDS, ItemKind, Phase, WriterRow, WriterState};
use store::{Store, names};

use super::reached::Reached;
use crate::handler::Error;

/// Claims read at once.
const PAGE: usize = 256;

/// Rows of parked mail looked at in one audit, the oldest first.
const PARKED_MAX: usize = 1_000;

/// Destinations whose items are long overdue that one audit puts markers for.
const OVERDUE_MAX: usize = 1_000;

/// What an audit found.
#[derive(Debug, Default)]
pub(super) struct Audited {
    /// Segments deleted.
    pub(super) deleted: u64,
    /// Accounts that hold old segments: to be compacted.
    pub(super) old: BTreeSet<Account>,
}

/// What accounts name, read once for a page of claims.
#[derive(Default)]
struct Named(BTreeMap<Account, Option<BTreeSet<SegmentRef>>>);

/// Looks at all claims.
pub(super) async fn audit(store: &Store) -> Result<Audited, Error> {
    let mut audited = Audited::default();
    let mut after = None;
    loop {
        let page = store.writers().page(after).await?;
        let Some((last, ..)) = page.last() else { break };
        after = Some(*last);
        for (writer, row, version) in page {
            of_writer(store, writer, &row, &mut audited).await?;
            forget_writer(store, writer, &row, version).await?;
        }
    }
    Ok(audited)
}

/// Takes off the list of parked mail what is finished: whoever did that may have ended in between,
/// or its row came late.
pub(super) async fn parked(store: &Store) -> Result<(), Error> {
    let (items, now) = (store.items(), store.engines().index.now());
    let kept = store.options().timing.item_kept;
    for (since, key, _) in items.parked(PARKED_MAX).await? {
        let is_over = match items.get(&key).await? {
            Some((item, _)) => item.state.is_finished(),
            // Not made yet, or finished and gone since long.
            None => now.since(since) > kept,
        };
        if is_over {
            items.unpark(&key, since).await?;
        }
    }
    Ok(())
}

async fn of_writer(
    store: &Store,
    writer: WriterId,
    row: &WriterRow,
    audited: &mut Audited,
) -> Result<(), Error> {
    let mut from = 1;
    loop {
        let page = store.claims().of_writer(writer, from, PAGE).await?;
        let Some((last, ..)) = page.last() else { return Ok(()) };
        from = last + 1;
        // I5: accounts are read after the claims that are judged by them; what was appended before
        // a claim was done is seen then.
        let mut named = Named::default();
        for (number, claim, version) in page {
            if number > row.watermark {
                return Ok(());
            }
            let one = One { store, writer, number, claim, version };
            if one.go(&mut named, audited).await? {
                audited.deleted += 1;
            }
        }
    }
}

struct One<'a> {
    store: &'a Store,
    writer: WriterId,
    number: u64,
    claim: Claim,
    version: Version,
}

impl One<'_> {
    /// Deletes it if it can go.
    async fn go(mut self, named: &mut Named, audited: &mut Audited) -> Result<bool, Error> {
        if self.claim.state == ClaimState::Open {
            // [E]: taken when the segment had been finished long before; whoever took it stops at
            // the watermark, and may not have lived to take it back.
            self.store.claims().remove(self.writer, self.number, self.version).await?;
            return Ok(false);
        }
        let segment = SegmentRef::Ingest { writer: self.writer, number: self.number };
        let now = self.store.engines().index.now();
        let has_let_go = |segments: &BTreeSet<SegmentRef>| !segments.contains(&segment);
        let mut held = BTreeSet::new();
        for member in &self.claim.plan.accounts {
            if !named.by(self.store, member.account).await.is_some_and(has_let_go) {
                held.insert(member.account);
            }
        }
        let (store, writer, number) = (self.store, self.writer, self.number);
        let reached = Reached::of(store, writer, number, &self.claim, |_| true).await?;
        // I5: read after their items were seen to be finished.
        for account in reached.iter().flat_map(|reached| &reached.accounts) {
            if !read(store, *account).await.is_ok_and(|segments| has_let_go(&segments)) {
                held.insert(*account);
            }
        }
        // A finished claim's lease tells when it was begun.
        if now.since(self.claim.lease.until) > store.options().timing.compact_after {
            audited.old.extend(&held);
        }
        let Some(reached) = reached else {
            for item in &self.claim.plan.items {
                store.items().remind(&item.key).await?;
            }
            return Ok(false);
        };
        if !held.is_empty() || !self.is_over_interval(now).await? {
            return Ok(false);
        }
        // [F]: who was to get it from an item has let it go by nothing so far.
        for account in reached.perhaps {
            let released = async {
                let log = store.account(account).await?;
                log.fresh().await?;
                // Into a log that has ended nothing comes any more.
                match log.view(|state| matches!(state.phase(), Phase::Fenced { .. })) {
                    true => Ok(()),
                    false => log.release(vec![segment]).await,
                }
            };
            if let Err(error) = released.await {
                tracing::warn!(%account, %error, "a segment stays until this account lets it go");
                return Ok(false);
            }
        }
        self.delete().await?;
        Ok(true)
    }

    /// A segment that everybody has let go stays for the backup interval: a finished claim's
    /// lease says until when, once it was seen to be free.
    async fn is_over_interval(&mut self, now: Timestamp) -> Result<bool, Error> {
        let interval = self.store.options().timing.backup_interval;
        if interval.is_zero() {
            return Ok(true);
        }
        if self.claim.lease.holder == FREE {
            return Ok(self.claim.lease.until <= now);
        }
        self.claim.lease.holder = FREE;
        self.claim.lease.until = now.after(interval);
        let put =
            self.store.claims().put(self.writer, self.number, &self.claim, Some(self.version));
        self.version = put.await?;
        Ok(false)
    }

    /// The large messages first, for only the segment names them; then it; its claim last, which
    /// says until then that it is done [E].
    async fn delete(&self) -> Result<(), Error> {
        let key = names::ingest(self.writer, self.number);
        let objects = &self.store.engines().objects;
        if let Some(index) = self.store.segment_index(&key).await? {
            for big in index.records.iter().filter_map(|record| record.location.big()) {
                objects.delete(&names::big(big)).await?;
            }
        }
        objects.delete(&key).await?;
        self.store.forget_segment(&key);
        self.store.claims().forget_pages(self.writer, Some(self.number)).await?;
        self.store.claims().remove(self.writer, self.number, self.version).await?;
        tracing::debug!(%key, "a segment was deleted");
        Ok(())
    }
}

/// Holder of the lease of a finished claim whose segment everybody has let go.
const FREE: WriterId = WriterId([0xff; 16]);

impl Named {
    /// The segments that an account names; `None`: it cannot be read, so perhaps all of them.
    async fn by(&mut self, store: &Store, account: Account) -> Option<&BTreeSet<SegmentRef>> {
        if let Entry::Vacant(unread) = self.0.entry(account) {
            let named = read(store, account).await;
            if let Err(error) = &named {
                tracing::warn!(%account, %error, "cannot see what an account names");
            }
            unread.insert(named.ok());
        }
        self.0.get(&account).and_then(Option::as_ref)
    }
}

async fn read(store: &Store, account: Account) -> Result<BTreeSet<SegmentRef>, Error> {
    let log = store.account(account).await?;
    log.fresh().await?;
    Ok(log.view(|state| state.segments().map(|known| known.segment).collect()))
}

/// Removes what is left of a writer that ended long ago: its tombstones [C], what came back after
/// it was deleted, then its row.
async fn forget_writer(
    store: &Store,
    writer: WriterId,
    row: &WriterRow,
    version: Version,
) -> Result<(), Error> {
    let WriterState::Ended { at } = row.state else { return Ok(()) };
    let now = store.engines().index.now();
    let timing = &store.options().timing;
    let over = now.since(at) > timing.writer_kept && row.watermark >= row.last;
    if !over || !store.claims().of_writer(writer, 0, 1).await?.is_empty() {
        return Ok(());
    }
    let objects = &store.engines().objects;
    for prefix in [names::ingest_prefix(writer), names::big_prefix(writer)] {
        let listed = objects.list(&prefix, None, 1_000).await?;
        let all = listed.len() < 1_000;
        for one in listed {
            objects.delete(&one.key).await?;
        }
        if !all {
            return Ok(());
        }
    }
    // Of runs that came so late that their segment had gone.
    store.claims().forget_pages(writer, None).await?;
    store.writers().remove(writer, version).await?;
    tracing::info!(%writer, "nothing is left of a writer that has ended");
    Ok(())
}

/// Gives unfinished items their due rows again, should any be missing: an item without one is
/// looked at by nobody.
pub(super) async fn items(store: &Store) -> Result<(), Error> {
    let mut overdue = BTreeSet::new();
    for shard in 0..ITEM_SHARDS {
        let Ok(shard) = u8::try_from(shard) else { break };
        let mut after = None;
        loop {
            let page = store.items().page(shard, after.as_ref(), PAGE).await?;
            let Some((last, ..)) = page.last() else { break };
            after = Some(last.clone());
            for (key, item, version) in page {
                let late = store.engines().index.now().since(item.due);
                let leaves = key.kind == ItemKind::Remote && !item.state.is_finished();
                if leaves && late > store.options().timing.audit && overdue.len() < OVERDUE_MAX {
                    overdue.insert(key.destination.clone());
                }
                // One just being made has its row already [a]; one just changed is read again.
                if item.state.is_finished() || !store.items().mend_due(&key, &item, version).await?
                {
                    continue;
                }
                tracing::error!(record = %key.id, destination = %key.destination,
                    "an item had no due row");
                metrics::counter!("postroad_items_unannounced_total").increment(1);
            }
        }
    }
    // Nobody looks at a destination's own place without its marker: one more than there is does no
    // harm, whoever meets it keeps one.
    for destination in overdue {
        let now = store.engines().index.now();
        store.items().mark(&destination, now, &[]).await?;
    }
    Ok(())
}
