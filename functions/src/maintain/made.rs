//! What functions made goes when nothing names it any more (I5): its cause is told and gone, its
//! items are finished, every account that it may have been appended to has let it go.
//!
//! The cause is read first, then whom it reached: whoever appends notes the account first and reads
//! the cause then, so that one of the two sees the other [e]. Each of these accounts is given a
//! release before the object goes, which a late appender meets [F]; who makes items late finds them
//! finished for as long as the cause's row stays [b].

use std::collections::BTreeSet;

use engine::ObjectKey;
use mail::{Account, RecordId};
use store::place::SegmentRef;
use store::rows::Phase;
use store::{Store, names};

use crate::handler::Error;

/// Objects looked at in one audit; the next one goes on behind them.
const LOOKED_AT_MAX: usize = 1_000;

/// Items of one made message that are read: more than one sender's address leads to.
const ITEMS_MAX: usize = 1_000;

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Objects deleted.
    pub(super) deleted: u64,
    /// Accounts that hold old ones: to be compacted.
    pub(super) old: BTreeSet<Account>,
    /// Where the next look begins; `None`: at the first.
    pub(super) next: Option<ObjectKey>,
}

/// Looks at some of what functions made, behind `after`.
pub(super) async fn audit(store: &Store, after: Option<&ObjectKey>) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let objects = &store.engines().objects;
    let listed = objects.list(names::MADE_PREFIX, after, LOOKED_AT_MAX).await?;
    if listed.len() == LOOKED_AT_MAX {
        seen.next = listed.last().map(|last| last.key.clone());
    }
    for one in listed {
        let Some(id) = names::parse_made(&one.key) else { continue };
        // One that cannot be judged now holds up no other.
        match judge(store, id, &mut seen).await {
            Ok(true) => seen.deleted += 1,
            Ok(false) => {}
            Err(error) => tracing::warn!(key = %one.key, %error, "a made message stays for now"),
        }
    }
    Ok(seen)
}

/// Deletes one if it can go.
async fn judge(store: &Store, id: RecordId, seen: &mut Seen) -> Result<bool, Error> {
    let Some(index) = store.segment_index(&names::made(id)).await? else { return Ok(false) };
    let Some(record) = index.records.first() else { return Ok(false) };
    let Some((cause, _)) = store::cause_of(record) else { return Ok(false) };
    // What a report to other domains is sent by is made after it: whoever made it sees to its end.
    if cause.id == id {
        return Ok(false);
    }
    // [b]: its row stays for as long as anything of it may come late.
    if store.items().get(&cause).await?.is_some() {
        return Ok(false);
    }
    let items = store.items().of_record(id, ITEMS_MAX).await?;
    if items.len() == ITEMS_MAX || items.iter().any(|(_, item, _)| !item.state.is_finished()) {
        return Ok(false);
    }
    let segment = SegmentRef::Made { id };
    let reached = store.reached_by_made(id).await?;
    let mut held = false;
    for account in &reached {
        if names_it(store, *account, segment).await? {
            held = true;
            let age = store.engines().index.now().since(record.received);
            if age > store.options().timing.compact_after {
                seen.old.insert(*account);
            }
        }
    }
    if held {
        return Ok(false);
    }
    for account in &reached {
        let log = store.account(*account).await?;
        // Into a log that has ended nothing comes any more.
        if !log.view(|state| matches!(state.phase(), Phase::Fenced { .. })) {
            log.release(vec![segment]).await?;
        }
    }
    store.delete_made(id, &reached).await?;
    tracing::debug!(record = %id, "a made message was deleted");
    Ok(true)
}

async fn names_it(store: &Store, account: Account, segment: SegmentRef) -> Result<bool, Error> {
    let log = store.account(account).await?;
    log.fresh().await?;
    Ok(log.view(|state| state.segment(segment).is_some()))
}
