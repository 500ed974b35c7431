//! What a segment becomes: its plan, made once, before its first effect [H].

use std::collections::{BTreeMap, BTreeSet};

use mail::{Account, Address};
use store::Directory;
use store::directory::{DirectoryError, Expanded};
use store::rows::{ItemKey, ItemKind, Plan, PlanAccount, PlanItem, RECIPIENTS_MAX};
use store::segment::IndexRecord;

/// Makes the plan of these records: aliases and groups expanded, each record once per account,
/// everything that is not an account of this region an item.
pub(super) async fn make(
    directory: &Directory,
    records: &[IndexRecord],
) -> Result<Plan, DirectoryError> {
    let mut known: BTreeMap<Address, Expanded> = BTreeMap::new();
    let mut accounts: BTreeMap<Account, Vec<(u32, u32)>> = BTreeMap::new();
    let mut items = Vec::new();
    for (index, record) in (0_u32..).zip(records) {
        let mut reached = BTreeSet::new();
        let mut others: BTreeMap<(ItemKind, String), Vec<u32>> = BTreeMap::new();
        let recipients = record.envelope.iter().flat_map(|envelope| &envelope.recipients);
        for (recipient, to) in (0_u32..).zip(recipients) {
            let address = to.path.address();
            if !known.contains_key(address) {
                known.insert(address.clone(), directory.expand(address).await?);
            }
            let Some(expanded) = known.get(address) else { continue };
            for account in &expanded.accounts {
                if reached.insert(*account) {
                    accounts.entry(*account).or_default().push((index, recipient));
                }
            }
            for other in others_of(expanded) {
                others.entry(other).or_default().push(recipient);
            }
        }
        for ((kind, destination), recipients) in others {
            items.extend(items_of(record, kind, &destination, &recipients));
        }
    }
    let accounts =
        accounts.into_iter().map(|(account, mail)| PlanAccount { account, mail }).collect();
    Ok(within_limits(Plan { accounts, items }, records))
}

/// What one recipient becomes besides entries.
fn others_of(expanded: &Expanded) -> BTreeSet<(ItemKind, String)> {
    let remote =
        expanded.outside.iter().map(|a| (ItemKind::Remote, a.domain().as_str().to_owned()));
    let link = expanded.elsewhere.values().map(|region| (ItemKind::Link, region.clone()));
    // Acknowledged, and nobody's any more: somebody has to see it (I1).
    let lost = expanded.nobody.iter().map(|a| (ItemKind::Parked, a.domain().as_str().to_owned()));
    let cut = expanded.cut.then(|| (ItemKind::Parked, "expansion".to_owned()));
    remote.chain(link).chain(lost).chain(cut).collect()
}

fn items_of(
    record: &IndexRecord,
    kind: ItemKind,
    destination: &str,
    recipients: &[u32],
) -> Vec<PlanItem> {
    let chunks = recipients.chunks(RECIPIENTS_MAX);
    (0_u16..)
        .zip(chunks)
        .map(|(k, recipients)| PlanItem {
            key: ItemKey { id: record.location.id, kind, destination: destination.to_owned(), k },
            recipients: recipients.to_vec(),
        })
        .collect()
}

/// A plan that fits its row: accounts over the limit become items by record, which the admin
/// sees, rather than hold up the segment [O].
fn within_limits(mut plan: Plan, records: &[IndexRecord]) -> Plan {
    let mut over: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    while !plan.fits() {
        let Some(last) = plan.accounts.pop() else { break };
        for (record, recipient) in last.mail {
            over.entry(record).or_default().insert(recipient);
        }
        plan.items.retain(|item| item.key.kind != ItemKind::Fan);
        for (index, recipients) in &over {
            let at = usize::try_from(*index).unwrap_or(usize::MAX);
            let Some(record) = records.get(at) else { continue };
            let recipients: Vec<u32> = recipients.iter().copied().collect();
            plan.items.extend(items_of(record, ItemKind::Fan, "accounts", &recipients));
        }
    }
    plan
}

/// The item that takes over what could not be appended to one account [O].
pub(super) fn local_item(record: &IndexRecord, account: Account, recipient: u32) -> PlanItem {
    let destination = local_destination(account);
    PlanItem {
        key: ItemKey { id: record.location.id, kind: ItemKind::Local, destination, k: 0 },
        recipients: vec![recipient],
    }
}

/// How a local item names its account.
pub(crate) fn local_destination(account: Account) -> String {
    account.to_string()
}

/// Reads what [`local_destination`] wrote.
pub(crate) fn parse_local(destination: &str) -> Option<Account> {
    let (id, epoch) = destination.split_once('.')?;
    Some(Account { id: id.parse().ok()?, epoch: mail::Epoch(epoch.parse().ok()?) })
}
