//! What a segment becomes: its plan, made once, before its first effect [H].

use std::collections::{BTreeMap, BTreeSet};

use mail::address::PATH_BYTES_MAX;
use mail::{Account, Address, Notify, Recipient};
use store::Directory;
use store::directory::{DirectoryError, Expanded};
use store::rows::{
    DELIVERED, EXPANDED, ItemKey, ItemKind, PATHS_BYTES_MAX, PLAN_BYTES_MAX, PLAN_MEMBERS_MAX,
    Plan, PlanAccount, PlanItem, RECIPIENTS_MAX,
};
use store::segment::IndexRecord;

use super::work::is_junk;

/// Bytes of an item in a plan, without its destination and its recipients.
const ITEM_BYTES: usize = 28;

/// Numbers of the items of one destination that a plan, or one `fan`, may make: no two of them make
/// the same item.
const STRIDE: u16 = 256;

/// Accounts of one page.
const PAGE_ACCOUNTS: usize = 400;

/// Makes the plan of these records: aliases and groups expanded, each record once per account,
/// everything that is not an account of this region an item. Recipients over what a plan holds
/// become `fan` items, which are expanded when they are worked on [δ].
pub(super) async fn make(
    directory: &Directory,
    records: &[IndexRecord],
) -> Result<Plan, DirectoryError> {
    let mut known: BTreeMap<Address, Expanded> = BTreeMap::new();
    let mut draft = Draft::default();
    // There is always room for `fan` items for all that was not looked at yet.
    let mut reserve: Size = records.iter().map(|record| fans(recipients(record).len())).sum();
    for (index, record) in (0_u32..).zip(records) {
        let to = recipients(record);
        reserve = reserve.without(fans(to.len()));
        draft.begin(0);
        for (behind, one) in to.iter().enumerate() {
            let address = one.path.address();
            if !known.contains_key(address) {
                known.insert(address.clone(), directory.expand(address).await?);
            }
            let Some(expanded) = known.get(address) else { continue };
            let recipient = u32::try_from(behind).unwrap_or(u32::MAX);
            let others = others_of(record, one, expanded);
            let rest = [reserve, fans(to.len() - behind - 1), draft.size];
            let with = rest.into_iter().sum::<Size>().and(draft.grows(expanded, &others));
            if with.members > PLAN_MEMBERS_MAX || with.bytes > PLAN_BYTES_MAX - 8 {
                // It and all behind it.
                for recipient in (recipient..).take(to.len() - behind) {
                    draft.item(record, ItemKind::Fan, "", recipient, None);
                }
                break;
            }
            draft.add(index, record, recipient, expanded, others);
        }
    }
    Ok(draft.into_plan())
}

/// Whom some recipients of a record are now, as pages of a `fan`, or of a parked item, whose number
/// is `k`; none where they are nobody. `accounts_only`: none either unless each of them is an
/// account here.
pub(crate) async fn pages(
    directory: &Directory,
    record: &IndexRecord,
    index: u32,
    k: u16,
    some: impl Iterator<Item = u32>,
    accounts_only: bool,
) -> Result<Vec<Plan>, DirectoryError> {
    let mut draft = Draft::default();
    draft.begin(k.saturating_add(1).saturating_mul(STRIDE));
    for recipient in some {
        let at = usize::try_from(recipient).unwrap_or(usize::MAX);
        let Some(to) = recipients(record).get(at) else { continue };
        let address = to.path.address();
        let expanded = directory.expand(address).await?;
        draft.add(index, record, recipient, &expanded, others_of(record, to, &expanded));
    }
    let Plan { accounts, items } = draft.into_plan();
    if accounts_only && items.iter().any(|item| item.key.kind != ItemKind::Report) {
        return Ok(Vec::new());
    }
    let of_accounts = accounts.chunks(PAGE_ACCOUNTS);
    let mut pages: Vec<Plan> =
        of_accounts.map(|some| Plan { accounts: some.to_vec(), items: Vec::new() }).collect();
    let mut last = Plan::default();
    for item in items {
        last.items.push(item);
        if !last.fits() {
            let over = last.items.split_off(last.items.len() - 1);
            pages.push(std::mem::replace(&mut last, Plan { accounts: Vec::new(), items: over }));
        }
    }
    if !last.items.is_empty() {
        pages.push(last);
    }
    Ok(pages)
}

fn recipients(record: &IndexRecord) -> &[Recipient] {
    record.envelope.as_ref().map_or(&[], |envelope| &envelope.recipients)
}

/// What members of a plan take of it.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    members: usize,
    bytes: usize,
}

impl Size {
    const fn and(self, other: Self) -> Self {
        Self { members: self.members + other.members, bytes: self.bytes + other.bytes }
    }

    const fn without(self, other: Self) -> Self {
        Self {
            members: self.members.saturating_sub(other.members),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::and)
    }
}

/// What the `fan` items of so many recipients of one record take at most.
const fn fans(recipients: usize) -> Size {
    let members = recipients.div_ceil(PATHS_BYTES_MAX / PATH_BYTES_MAX);
    let number = if recipients < 128 { 1 } else { 2 };
    Size { members, bytes: members * ITEM_BYTES + recipients * number }
}

/// A plan being made.
#[derive(Default)]
struct Draft {
    accounts: BTreeMap<Account, Vec<(u32, u32)>>,
    items: Vec<PlanItem>,
    size: Size,
    /// Accounts that the record at hand reaches.
    reached: BTreeSet<Account>,
    /// Its items that may take more recipients: which, and bytes of paths in it.
    open: BTreeMap<(ItemKind, String, Option<u32>), (usize, usize)>,
    /// The number of the last item of each destination.
    last: BTreeMap<(ItemKind, String), u16>,
    /// Number of its first item of each destination.
    first: u16,
}

impl Draft {
    /// A record begins.
    fn begin(&mut self, first: u16) {
        self.reached.clear();
        self.open.clear();
        self.last.clear();
        self.first = first;
    }

    /// What one more recipient takes at most.
    fn grows(&self, to: &Expanded, others: &[Other]) -> Size {
        // Two numbers of a pair, and a longer count.
        let known = Size { members: 0, bytes: 5 };
        let accounts = to.accounts.iter().filter(|account| !self.reached.contains(account));
        let accounts = accounts.map(|account| match self.accounts.contains_key(account) {
            true => known,
            false => Size { members: 1, bytes: 24 },
        });
        let items = others.iter().map(|other| {
            let targets: usize = other.targets.iter().map(target_bytes).sum();
            let parts = targets.div_ceil(PATHS_BYTES_MAX / 2).max(other.targets.len() / 50 + 1);
            let bytes = parts * (ITEM_BYTES + other.destination.len() + 6);
            Size { members: parts, bytes: bytes + targets }
        });
        accounts.chain(items).sum()
    }

    fn add(
        &mut self,
        index: u32,
        record: &IndexRecord,
        recipient: u32,
        to: &Expanded,
        others: Vec<Other>,
    ) {
        for account in &to.accounts {
            if self.reached.insert(*account) {
                let mail = self.accounts.entry(*account).or_default();
                let new = if mail.is_empty() { (1, 21) } else { (0, 1) };
                mail.push((index, recipient));
                let bytes = new.1 + number_bytes(index) + number_bytes(recipient);
                self.size = self.size.and(Size { members: new.0, bytes });
            }
        }
        for Other { kind, destination, targets } in others {
            if targets.is_empty() {
                self.item(record, kind, &destination, recipient, None);
            }
            for target in targets {
                self.item(record, kind, &destination, recipient, Some(target));
            }
        }
    }

    /// A recipient for an item of this record: the last one of the destination, or another. What
    /// is forwarded to a `target` shares an item with the other targets of its recipient only.
    fn item(
        &mut self,
        record: &IndexRecord,
        kind: ItemKind,
        destination: &str,
        recipient: u32,
        target: Option<Address>,
    ) {
        let at = usize::try_from(recipient).unwrap_or(usize::MAX);
        let path = match &target {
            Some(target) => target.to_string().len(),
            None => recipients(record).get(at).map_or(0, |to| to.path.text().len()),
        };
        self.size.bytes += target.as_ref().map_or(number_bytes(recipient), target_bytes);
        let of = (kind, destination.to_owned(), target.is_some().then_some(recipient));
        if let Some((at, paths)) = self.open.get(&of).copied()
            && let Some(item) = self.items.get_mut(at)
            && item.recipients.len().max(item.targets.len()) < RECIPIENTS_MAX
            && paths + path <= PATHS_BYTES_MAX
        {
            match target {
                Some(target) => item.targets.push(target),
                None => item.recipients.push(recipient),
            }
            self.open.insert(of, (at, paths + path));
            return;
        }
        let k = self.last.get(&(kind, of.1.clone())).map_or(self.first, |k| k.saturating_add(1));
        self.last.insert((kind, of.1.clone()), k);
        let destination = destination.to_owned();
        self.size.members += 1;
        self.size.bytes += ITEM_BYTES + destination.len();
        self.open.insert(of, (self.items.len(), path));
        let key = ItemKey { id: record.location.id, kind, destination, k };
        let targets = target.into_iter().collect();
        self.items.push(PlanItem { targets, ..PlanItem::new(key, vec![recipient]) });
    }

    fn into_plan(self) -> Plan {
        let accounts = self.accounts.into_iter();
        let accounts = accounts.map(|(account, mail)| PlanAccount { account, mail });
        Plan { accounts: accounts.collect(), items: self.items }
    }
}

const fn number_bytes(number: u32) -> usize {
    if number < 128 { 1 } else { 2 }
}

/// What one recipient becomes besides entries.
struct Other {
    kind: ItemKind,
    destination: String,
    /// What an address of ours forwards to; none: it goes out as it is.
    targets: Vec<Address>,
}

fn others_of(record: &IndexRecord, to: &Recipient, expanded: &Expanded) -> Vec<Other> {
    let address = to.path.address();
    let mut remote: BTreeMap<&str, Vec<Address>> = BTreeMap::new();
    for outside in &expanded.outside {
        let targets = remote.entry(outside.domain().as_str()).or_default();
        // Its own address is no forwarding.
        if outside != address {
            targets.push(outside.clone());
        }
    }
    let link = expanded.elsewhere.values().map(|region| (ItemKind::Link, region.clone()));
    // Acknowledged, and nobody's any more: somebody has to see it (I1).
    let lost = expanded.nobody.iter().map(|a| (ItemKind::Parked, a.domain().as_str().to_owned()));
    let cut = expanded.cut.then(|| (ItemKind::Parked, "expansion".to_owned()));
    let here: BTreeSet<_> = link.chain(lost).chain(cut).collect();
    let here = here.into_iter().map(|(kind, destination)| Other {
        kind,
        destination,
        targets: Vec::new(),
    });
    let away = remote.into_iter().map(|(domain, targets)| Other {
        kind: ItemKind::Remote,
        destination: domain.to_owned(),
        targets,
    });
    let told = asked(record, to, expanded).map(|told| Other {
        kind: ItemKind::Report,
        destination: told.to_owned(),
        targets: Vec::new(),
    });
    away.chain(here).chain(told).collect()
}

/// What the sender is told of a recipient who is somebody here, as it asked to be (RFC 3461): that
/// the one mailbox has it (§5.2.2), or that several get it (§5.2.7.3). One that only leads on says
/// nothing itself (§5.2.7.2). Nobody is told so of spam: its sender is not who it seems.
fn asked(record: &IndexRecord, to: &Recipient, expanded: &Expanded) -> Option<&'static str> {
    if !to.notify.contains(Notify::SUCCESS) {
        return None;
    }
    let sender = record.envelope.as_ref().and_then(|envelope| envelope.sender.as_ref());
    if sender.is_none() || is_junk(record) {
        return None;
    }
    let Expanded { accounts, elsewhere, outside, nobody, .. } = expanded;
    match (accounts.len(), elsewhere.len() + outside.len() + nobody.len()) {
        (1, 0) => Some(DELIVERED),
        (0, 0 | 1) => None,
        _ => Some(EXPANDED),
    }
}

/// What a target takes of a plan.
fn target_bytes(target: &Address) -> usize {
    target.to_string().len() + 2
}

/// The item that takes over what could not be appended to one account [O].
pub(super) fn local_item(record: &IndexRecord, account: Account, recipient: u32) -> PlanItem {
    let destination = local_destination(account);
    let key = ItemKey { id: record.location.id, kind: ItemKind::Local, destination, k: 0 };
    PlanItem::new(key, vec![recipient])
}

/// What takes over instead where local items do not fit the plan: one `fan` item for those
/// recipients of a record.
pub(super) fn overflow_item(record: &IndexRecord, recipients: &[u32]) -> Vec<PlanItem> {
    let mut draft = Draft::default();
    // Not one of the plan's own.
    draft.begin(STRIDE / 2);
    for recipient in recipients {
        draft.item(record, ItemKind::Fan, "", *recipient, None);
    }
    draft.items
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
