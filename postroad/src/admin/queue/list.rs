//! Walking over what waits, however much it is: page by page, with bounded memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use engine::Version;
use serde::Serialize;
use store::rows::{ITEM_SHARDS, Item, ItemKey, ItemState};

use super::{
    Admin, AdminError, LISTED_MAX, Parked, QueueAct, QueueItem, address, state_name, summary,
};

/// Items read at once.
const PAGE: usize = 256;
/// Destinations counted apart; those beyond are counted together.
const DESTINATIONS_MAX: usize = 10_000;
/// Destinations whose hold is told.
const TOLD_MAX: usize = 100;
/// Called so: all destinations beyond [`DESTINATIONS_MAX`].
const OTHERS: &str = "others";

/// Which items; what is not said matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFilter {
    /// To this destination: a domain, for what goes to other servers.
    pub destination: Option<String>,
    /// From this envelope sender: an address, or a domain. Reads each item's segment.
    pub sender: Option<String>,
    /// In this state: `waiting`, `held` or `bouncing`.
    pub state: Option<String>,
    /// That need a person.
    pub parked: bool,
}

/// How much waits for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueCount {
    /// The destination; `others`: all that are too many to be counted apart.
    pub destination: String,
    /// Items.
    pub items: u64,
    /// Recipients in them that have it not yet.
    pub recipients: u64,
    /// When the oldest was made, in milliseconds since 1970.
    pub oldest_ms: u64,
    /// When one is tried next, in milliseconds since 1970.
    pub due_ms: u64,
    /// Why it is held as a whole, in the other side's words.
    pub held: Option<String>,
}

/// A filter that was checked.
struct Wanted {
    destination: Option<String>,
    sender: Option<String>,
    state: Option<ItemState>,
    parked: bool,
}

impl Wanted {
    fn new(filter: &QueueFilter) -> Result<Self, AdminError> {
        const HINT: &str = "write it like ana@example.org or example.org";
        let lower = |text: &String| text.to_ascii_lowercase();
        let sender = match &filter.sender {
            Some(text) if text.contains('@') && !text.starts_with('@') => {
                Some(address(text)?.to_string())
            }
            Some(text) => {
                let domain = text.strip_prefix('@').unwrap_or(text);
                let domain = mail::Domain::parse(domain).map_err(|_| {
                    AdminError::invalid(format!("neither address nor domain: {text}"), HINT)
                })?;
                Some(format!("@{domain}"))
            }
            None => None,
        };
        let states = [ItemState::Waiting, ItemState::Held, ItemState::Bouncing];
        let state = match &filter.state {
            None => None,
            Some(text) => {
                let known = states.into_iter().find(|state| state_name(*state) == text);
                Some(known.ok_or_else(|| {
                    AdminError::invalid(
                        format!("no such state of an item: {text}"),
                        "it is waiting, held or bouncing",
                    )
                })?)
            }
        };
        let destination = filter.destination.as_ref().map(lower);
        Ok(Self { destination, sender, state, parked: filter.parked })
    }

    fn takes(&self, key: &ItemKey, item: &Item, parked: &Parked) -> bool {
        !item.state.is_finished()
            && self.destination.as_ref().is_none_or(|wanted| key.destination == *wanted)
            && self.state.is_none_or(|state| item.state == state)
            && (!self.parked || parked.contains_key(key))
    }

    /// Whether the sender (an address, or `@domain`) is the one wanted.
    fn takes_sender(&self, sender: Option<&str>) -> bool {
        let Some(wanted) = &self.sender else { return true };
        let sender = sender.unwrap_or_default().to_lowercase();
        if wanted.starts_with('@') { sender.ends_with(wanted) } else { sender == *wanted }
    }
}

impl Admin {
    /// What waits, the oldest first: at most `limit` (10,000 at most), and how many there are.
    /// # Errors
    /// [`AdminError::Invalid`] filter, or as [`AdminError`] says.
    pub async fn queue(
        &self,
        filter: &QueueFilter,
        limit: usize,
    ) -> Result<(Vec<QueueItem>, u64), AdminError> {
        let limit = limit.clamp(1, LISTED_MAX);
        let parked = self.parked().await?;
        let mut oldest: BinaryHeap<(u64, String, QueueItemOrder)> = BinaryHeap::new();
        let mut total = 0;
        self.walk(filter, &parked, async |key, item, _| {
            total += 1;
            let one = summary(&key, &item, &parked);
            oldest.push((one.created_ms, one.id.clone(), QueueItemOrder(one, Box::new(item))));
            // I8: the newest goes when there are too many.
            if oldest.len() > limit {
                oldest.pop();
            }
            Ok(())
        })
        .await?;
        let mut items = Vec::with_capacity(oldest.len());
        for (_, _, QueueItemOrder(mut one, item)) in oldest.into_sorted_vec() {
            one.sender = self.sender(&item).await?;
            items.push(one);
        }
        Ok((items, total))
    }

    /// How much waits, by destination, the most first.
    /// # Errors
    /// [`AdminError::Invalid`] filter, or as [`AdminError`] says.
    pub async fn queue_count(&self, filter: &QueueFilter) -> Result<Vec<QueueCount>, AdminError> {
        let parked = self.parked().await?;
        let mut counts: BTreeMap<String, QueueCount> = BTreeMap::new();
        self.walk(filter, &parked, async |key, item, _| {
            let known = counts.len() < DESTINATIONS_MAX || counts.contains_key(&key.destination);
            let destination = if known { key.destination } else { OTHERS.to_owned() };
            let open = item.recipients.iter();
            let open = open.filter(|one| one.state == store::rows::RecipientState::Open).count();
            let (made, due) = (item.created.millis(), item.due.millis());
            let count = counts.entry(destination.clone()).or_insert_with(|| QueueCount {
                destination,
                items: 0,
                recipients: 0,
                oldest_ms: made,
                due_ms: due,
                held: None,
            });
            count.items += 1;
            count.recipients += u64::try_from(open).unwrap_or(u64::MAX);
            count.oldest_ms = count.oldest_ms.min(made);
            count.due_ms = count.due_ms.min(due);
            Ok(())
        })
        .await?;
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_by_key(|one| (Reverse(one.items), one.destination.clone()));
        let now = self.store.engines().index.now();
        for count in counts.iter_mut().take(TOLD_MAX) {
            let remembered = self.store.items().remembered(&count.destination).await?;
            let whole = remembered.into_iter().find(|(egress, ..)| egress.is_none());
            let held = whole.filter(|(_, health, _)| health.until > now);
            count.held = held.map(|(_, health, _)| format!("{}: {}", health.class, health.words));
        }
        Ok(counts)
    }

    /// Does something to all items that match, which must be some filter's: how many there were,
    /// and how many were left as they are, for they are being sent just now.
    /// # Errors
    /// [`AdminError::Invalid`]: nothing is filtered; or as [`AdminError`] says.
    pub async fn queue_act(
        &self,
        act: QueueAct,
        filter: &QueueFilter,
    ) -> Result<(u64, u64), AdminError> {
        if *filter == QueueFilter::default() {
            return Err(AdminError::invalid(
                "neither an item nor a filter was named",
                "name an item, or --destination, --sender, --state or --parked",
            ));
        }
        let parked = self.parked().await?;
        let (mut done, mut left) = (0, 0);
        self.walk(filter, &parked, async |key, item, version| {
            match self.act_on(act, (key, item, version)).await {
                Ok(()) => done += 1,
                Err(AdminError::Busy | AdminError::Invalid { .. }) => left += 1,
                Err(error) => return Err(error),
            }
            Ok(())
        })
        .await?;
        Ok((done, left))
    }

    /// Every unfinished item that matches, shard by shard.
    async fn walk(
        &self,
        filter: &QueueFilter,
        parked: &Parked,
        mut each: impl AsyncFnMut(ItemKey, Item, Version) -> Result<(), AdminError>,
    ) -> Result<(), AdminError> {
        let wanted = Wanted::new(filter)?;
        for shard in 0..ITEM_SHARDS {
            let Ok(shard) = u8::try_from(shard) else { break };
            let mut after = None;
            loop {
                let page = self.store.items().page(shard, after.as_ref(), PAGE).await?;
                let Some((last, ..)) = page.last() else { break };
                after = Some(last.clone());
                for (key, item, version) in page {
                    if !wanted.takes(&key, &item, parked) {
                        continue;
                    }
                    if wanted.sender.is_some() {
                        let sender = self.sender(&item).await?;
                        if !wanted.takes_sender(sender.as_deref()) {
                            continue;
                        }
                    }
                    each(key, item, version).await?;
                }
            }
        }
        Ok(())
    }
}

/// Lies in a heap beside what it is ordered by; all of them are equal.
struct QueueItemOrder(QueueItem, Box<Item>);

impl PartialEq for QueueItemOrder {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for QueueItemOrder {}

impl PartialOrd for QueueItemOrder {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for QueueItemOrder {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}
