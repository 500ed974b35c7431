//! Successors that are not entries: named in the plan first, then made [O, O′].

use std::collections::BTreeMap;
use std::time::Duration;

use engine::WriteError;
use mail::Account;
use store::Store;
use store::place::{SegmentRef, Slot};
use store::rows::{
    DELIVERED, EXPANDED, Item, ItemKind, ItemRecipient, ItemState, PlanItem, RecipientState,
};
use store::segment::{Index, IndexRecord};

use super::work::Work;
use super::{Deliver, plan};

/// How long a parked item is not due: until an admin says otherwise.
pub(crate) const PARKED_FOR: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Deliver {
    /// Makes every item of the plan, after naming in it what could not be appended. Harmless when
    /// run again: an item is made only where absent, and finished ones stay longer than any
    /// segment can be delivered again [b].
    pub(super) async fn make_items(
        &self,
        work: &mut Work,
        missing: Vec<(Account, String)>,
    ) -> Result<(), WriteError> {
        let named = work.claim.plan.items.len();
        Self::name_missing(work, &missing);
        if work.claim.plan.items.len() > named {
            // [O′]: only the claim's holder, by its version, before the item is there.
            let claims = self.store.claims();
            work.version =
                claims.put(work.writer, work.number, &work.claim, Some(work.version)).await?;
        }
        for item in &work.claim.plan.items {
            let why = missing
                .iter()
                .find(|(account, _)| plan::local_destination(*account) == item.key.destination)
                .map_or("no way to deliver it yet", |(_, why)| why);
            let all = &work.claim.plan.items;
            make_item(&self.store, work.segment(), &work.index, (item, all), why).await?;
        }
        Ok(())
    }

    /// Names items for what could not be appended: one per record and account, or, where that is
    /// more than the row holds, one `fan` per record.
    fn name_missing(work: &mut Work, missing: &[(Account, String)]) {
        let before = work.claim.plan.items.len();
        let mut by_record: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (account, why) in missing {
            let plan = &mut work.claim.plan;
            let Some(member) = plan.accounts.iter().find(|member| member.account == *account)
            else {
                continue;
            };
            tracing::warn!(%account, %why, "mail for this account becomes local items");
            for (record, recipient) in member.mail.clone() {
                let at = usize::try_from(record).unwrap_or(usize::MAX);
                let Some(known) = work.index.records.get(at) else { continue };
                let item = plan::local_item(known, *account, recipient);
                if !plan.items.iter().any(|there| there.key == item.key) {
                    plan.items.push(item);
                    by_record.entry(record).or_default().push(recipient);
                }
            }
        }
        if work.claim.plan.fits_row() {
            return;
        }
        work.claim.plan.items.truncate(before);
        for (record, recipients) in by_record {
            let at = usize::try_from(record).unwrap_or(usize::MAX);
            let Some(known) = work.index.records.get(at) else { continue };
            for item in plan::overflow_item(known, &recipients) {
                if !work.claim.names_item(&item.key) {
                    work.claim.plan.items.push(item);
                }
            }
        }
    }
}

/// Makes one item that a plan names, with `all` that it names. `why`: what stands in the way, for
/// whoever looks at the queue.
pub(crate) async fn make_item(
    store: &Store,
    segment: SegmentRef,
    index: &Index,
    (item, all): (&PlanItem, &[PlanItem]),
    why: &str,
) -> Result<(), WriteError> {
    let position = index.records.iter().position(|record| record.location.id == item.key.id);
    let Some((number, record)) =
        position.and_then(|at| Some((u32::try_from(at).ok()?, index.records.get(at)?)))
    else {
        return Err(WriteError::Refused("the plan names a record that is not there".into()));
    };
    let now = store.engines().index.now();
    let Some(mut row) = new_item(item, all, record, Slot { segment, index: number }) else {
        return Err(WriteError::Refused("the plan names no recipient that is there".into()));
    };
    row.due = match item.key.kind {
        ItemKind::Local => now.after(store.options().timing.item_retry),
        // Only somebody's act makes it due.
        ItemKind::Parked => now.after(PARKED_FOR),
        _ => now,
    };
    if matches!(item.key.kind, ItemKind::Local | ItemKind::Parked) {
        // Visible from the start: somebody has to see what stands in the way.
        store.items().park(&item.key, record.received, why).await?;
    }
    store.items().make(&item.key, &row).await
}

/// The row of an item of a plan; `None` if it is for nobody.
fn new_item(item: &PlanItem, all: &[PlanItem], record: &IndexRecord, place: Slot) -> Option<Item> {
    let names = |kinds: &[ItemKind], destination: &str, recipient: u32| {
        all.iter().any(|other| {
            other.key.id == item.key.id
                && kinds.contains(&other.key.kind)
                && (destination.is_empty() || other.key.destination == destination)
                && other.recipients.contains(&recipient)
        })
    };
    let envelope = &record.envelope.as_ref()?.recipients;
    let path = |number: &u32| envelope.get(usize::try_from(*number).ok()?).map(|to| &to.path);
    let mut recipients = Vec::new();
    let (mut forwarder, mut expanded) = (String::new(), false);
    if item.targets.is_empty() {
        let to = item.recipients.iter().filter_map(|number| Some((*number, path(number)?)));
        recipients.extend(to.map(|(number, path)| ItemRecipient::new(number, path.text())));
    } else {
        let number = *item.recipients.first()?;
        forwarder = path(&number)?.address().to_string();
        let to = item.targets.iter();
        recipients.extend(to.map(|target| ItemRecipient::new(number, target.to_string())));
        expanded = names(&[ItemKind::Report], EXPANDED, number);
    }
    let mut state = ItemState::Waiting;
    if item.key.kind == ItemKind::Report {
        state = ItemState::Bouncing;
        for one in &mut recipients {
            // What an item took over is not delivered yet; `bounce` sees to it when it is.
            let waits = item.key.destination == DELIVERED
                && names(&[ItemKind::Local, ItemKind::Fan], "", one.envelope);
            one.state = if waits { RecipientState::Open } else { RecipientState::Taken };
        }
    }
    let some = !recipients.is_empty();
    // Only what somebody sent is looked for by who sent it.
    let origin = match item.key.kind {
        ItemKind::Remote | ItemKind::Link => store::origin_of(record).unwrap_or(0),
        _ => 0,
    };
    some.then(|| Item {
        state,
        forwarder,
        expanded,
        origin,
        ..Item::new(record.received, place, recipients)
    })
}
