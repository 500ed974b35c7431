//! Upkeep of one account: checkpoint, compaction, merging, cleaning.

use std::collections::{BTreeMap, BTreeSet};

use mail::{Account, WriterId};
use store::place::SegmentRef;
use store::rows::{ClaimState, ItemKey, ItemKind};
use store::state::{SegmentUse, State};
use store::{AccountLog, LogError, Store};

use super::reached::Reached;
use crate::deliver::local_destination;
use crate::handler::Error;

/// Records copied in one go; the rest comes with the next.
const RECORDS_MAX: usize = 4_096;

/// Checkpoints after which what they replaced is cleaned up.
const CLEAN_EVERY: u64 = 16;

/// What upkeep of an account did.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Ingest segments that it let go: perhaps they can be deleted now.
    pub(super) released: Vec<SegmentRef>,
}

/// Does what is due for one account. `all`: whatever lies in ingest segments is compacted, however
/// little it is.
pub(super) async fn keep(store: &Store, account: Account, all: bool) -> Result<Kept, Error> {
    let log = store.account(account).await?;
    log.fresh().await?;
    if log.is_checkpoint_due() {
        log.checkpoint().await?;
        let checkpoints = log.seq().0 / store.options().upkeep.checkpoint_entries.max(1);
        if checkpoints.is_multiple_of(CLEAN_EVERY) {
            log.clean().await?;
        }
    }
    let now = store.engines().index.now();
    if log.clean_due().is_some_and(|due| due < now) {
        let deleted = log.clean().await?;
        tracing::info!(%account, deleted, "account cleaned");
    }
    // What is left later, and what the restore window is not yet over for.
    log.ask_to_clean().await;
    let mut kept = Kept::default();
    if all || is_due(store, &log) {
        kept.released = compact(store, &log).await?;
        merge(store, &log).await?;
        let deleted = log.clean().await?;
        log.checkpoint().await?;
        tracing::info!(%account, released = kept.released.len(), deleted, "account compacted");
    }
    Ok(kept)
}

fn is_due(store: &Store, log: &AccountLog) -> bool {
    let upkeep = &store.options().upkeep;
    let load = log.view(State::ingest_load);
    load.records >= upkeep.compact_records || load.bytes >= upkeep.compact_bytes
}

/// Copies what lies in ingest segments that are done, and lets them go.
async fn compact(store: &Store, log: &AccountLog) -> Result<Vec<SegmentRef>, Error> {
    let known: Vec<SegmentRef> = log.view(|state| {
        state.segments().map(|known| known.segment).filter(SegmentRef::is_released).collect()
    });
    let mut going = BTreeSet::new();
    let mut watermarks = BTreeMap::new();
    for segment in known {
        if is_done(store, log.account(), segment, &mut watermarks).await? {
            going.insert(segment);
        }
    }
    let mut released = Vec::new();
    loop {
        let held = log.view(|state| state.held(|segment| going.contains(&segment)));
        // Whole segments, so that each is let go once.
        let mut end = held.len().min(RECORDS_MAX);
        while end < held.len()
            && held.get(end).map(|h| h.slot.segment)
                == held.get(end.wrapping_sub(1)).map(|h| h.slot.segment)
        {
            end += 1;
        }
        let Some(part) = held.get(..end).filter(|part| !part.is_empty()) else { break };
        let segments: BTreeSet<SegmentRef> = part.iter().map(|held| held.slot.segment).collect();
        let copied = log.copy(part).await?;
        let went = log.relocate(&copied, &segments).await?;
        going.retain(|segment| !segments.contains(segment));
        released.extend(went);
    }
    // What nothing is left in needs no copy.
    if !going.is_empty() {
        released.extend(log.relocate(&store::Copied::default(), &going).await?);
    }
    Ok(released)
}

/// Whether the row that caused what a function made knows of it: until then it may be delivered
/// once more, and has to be met in the window [e, J].
async fn is_told(store: &Store, id: mail::RecordId) -> Result<bool, Error> {
    let Some(index) = store.segment_index(&store::names::made(id)).await? else { return Ok(true) };
    let cause = index.records.first().and_then(store::cause_of);
    let Some((item, reports)) = cause else { return Ok(true) };
    let item = store.items().get(&item).await?;
    Ok(item.is_none_or(|(item, _)| item.state.is_finished() || item.reports > reports))
}

/// Whether nothing more will come from this segment into this account: release is a fence [F].
pub(super) async fn is_done(
    store: &Store,
    account: Account,
    segment: SegmentRef,
    watermarks: &mut BTreeMap<WriterId, u64>,
) -> Result<bool, Error> {
    let (writer, number) = match segment {
        SegmentRef::Ingest { writer, number } => (writer, number),
        SegmentRef::Made { id } => return is_told(store, id).await,
        SegmentRef::Account { .. } => return Ok(false),
    };
    let watermark = match watermarks.get(&writer) {
        Some(watermark) => *watermark,
        None => {
            let row = store.writers().get(writer).await?;
            let watermark = row.map_or(0, |(row, _)| row.watermark);
            watermarks.insert(writer, watermark);
            watermark
        }
    };
    if number > watermark {
        return Ok(false);
    }
    let Some((claim, _)) = store.claims().get(writer, number).await? else { return Ok(false) };
    let ours = local_destination(account);
    // What goes elsewhere appends nothing here.
    let concerns = |key: &ItemKey| match key.kind {
        ItemKind::Local => key.destination == ours,
        ItemKind::Fan | ItemKind::Parked => true,
        ItemKind::Remote | ItemKind::Link | ItemKind::Report => false,
    };
    Ok(claim.state == ClaimState::Done
        && Reached::of(store, writer, number, &claim, concerns).await?.is_some())
}

/// Small account segments become one, and one of which most is gone is written anew: what is left
/// of the old ones goes after the restore window.
async fn merge(store: &Store, log: &AccountLog) -> Result<(), Error> {
    let upkeep = &store.options().upkeep;
    let going: BTreeSet<SegmentRef> = log.view(|state| {
        let ours = state.segments().filter(|known| !known.segment.is_released() && known.live > 0);
        let (small, large): (Vec<&SegmentUse>, Vec<&SegmentUse>) =
            ours.partition(|known| known.live_bytes < upkeep.small_segment_bytes);
        let hollow = large.into_iter().filter(|known| known.live_bytes * 2 < known.bytes);
        let mut going: BTreeSet<SegmentRef> = hollow.map(|known| known.segment).collect();
        if small.len() >= upkeep.small_segments {
            going.extend(small.into_iter().map(|known| known.segment));
        }
        going
    });
    if going.is_empty() {
        return Ok(());
    }
    let held = log.view(|state| state.held(|segment| going.contains(&segment)));
    for part in held.chunks(RECORDS_MAX) {
        let copied = log.copy(part).await?;
        log.relocate(&copied, &going).await?;
    }
    Ok(())
}

/// Whether this is the account's own fault, so that asking again soon does not help.
pub(super) fn is_lasting(error: &Error) -> bool {
    error.downcast_ref::<LogError>().is_some_and(LogError::is_lasting)
}
