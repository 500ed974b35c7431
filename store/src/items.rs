//! Outbound, delayed and parked work: item rows, the due rows that announce them, and what an
//! admin has to see [O, a].

mod hand;
mod record;
mod sending;
#[cfg(test)]
mod tests;
mod unmatched;

use std::sync::Arc;

use bytes::Bytes;
use engine::{
    Consistency, Event, Expect, Key, Op, Order, Range, ReadError, Row, Version, WriteError,
};
use mail::Timestamp;

use crate::context::{Context, damaged, too_large};
use crate::rows::{
    self, Due, DuePlace, ITEM_SHARDS, Item, ItemKey, ItemState, MAINTENANCE_SHARDS, Maintenance,
    MaintenanceWhy, Parked, RowValue,
};

pub use hand::Hand;

/// The items of this store.
pub struct Items {
    cx: Arc<Context>,
    /// To the relay of this process, if there is one.
    hand: Hand,
}

impl std::fmt::Debug for Items {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}

/// A due row as found: when, which item, which version of it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// When it is due.
    pub at: Timestamp,
    /// The item.
    pub item: ItemKey,
    /// The version announced.
    pub version: Version,
    /// Where the row lies.
    pub place: DuePlace,
}

impl Announced {
    /// Whether it is no item's, but stands for the due rows of a destination's own place.
    #[must_use]
    pub fn is_marker(&self) -> bool {
        rows::is_marker(&self.item)
    }
}

impl Items {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        Self { cx, hand: Hand::default() }
    }

    /// What a relay of this process takes fresh items by.
    #[must_use]
    pub const fn hand(&self) -> &Hand {
        &self.hand
    }

    /// An item, read strongly.
    /// # Errors
    /// [`ReadError`].
    pub async fn get(&self, key: &ItemKey) -> Result<Option<(Item, Version)>, ReadError> {
        let row = self.cx.engines.index.get(&rows::item_key(key), Consistency::Strong).await?;
        row.map(|row| Ok((Item::decode(&row.value).map_err(damaged)?, row.version))).transpose()
    }

    /// Makes an item: its due row first, then itself, only where absent [a, b]. `Ok` also if it
    /// was there already: whoever makes it makes the same one. A relay of this process that has
    /// room for it holds its first lease, and is told [f].
    /// # Errors
    /// [`WriteError`]; try again, nothing is doubled.
    pub async fn make(&self, key: &ItemKey, item: &Item) -> Result<(), WriteError> {
        let version = Version(1);
        let mut item = item.clone();
        let told = self.hand.take(key, &mut item, self.cx.engines.index.now());
        let due = self.due_op(key, &item, version)?;
        let put = self.put_op(key, &item, version, Expect::Absent)?;
        match self.in_order(vec![due, put]).await {
            // Whose it is is in its row.
            Err(WriteError::Conflict) => return Ok(()),
            other => other?,
        }
        if let Some(told) = told {
            let place = DuePlace::of(key, item.state);
            told.send(Announced { at: item.due, item: key.clone(), version, place });
        } else {
            self.cx.engines.events.publish(Event::Items);
        }
        Ok(())
    }

    /// Changes an item that still has `version`; an unfinished one is announced first [a], a
    /// finished one goes by itself after `item_kept` [b]. Returns the new version.
    /// # Errors
    /// [`WriteError::Conflict`]: somebody else was here; read again.
    pub async fn update(
        &self,
        key: &ItemKey,
        item: &Item,
        version: Version,
    ) -> Result<Version, WriteError> {
        let next = Version(version.0 + 1);
        let mut ops = Vec::with_capacity(2);
        if !item.state.is_finished() {
            ops.push(self.due_op(key, item, next)?);
        }
        ops.push(self.put_op(key, item, next, Expect::Version(version))?);
        self.in_order(ops).await?;
        Ok(next)
    }

    /// One after the other, each only if the one before succeeded; the first error.
    async fn in_order(&self, ops: Vec<Op>) -> Result<(), WriteError> {
        let count = ops.len();
        let answers = self.cx.engines.index.ordered(ops).await;
        let answered = answers.len();
        answers.into_iter().collect::<Result<(), _>>()?;
        if answered < count {
            return Err(WriteError::Unavailable("not all was tried".into()));
        }
        Ok(())
    }

    /// Puts the due row of an item of this version where it belongs.
    fn due_op(&self, key: &ItemKey, item: &Item, version: Version) -> Result<Op, WriteError> {
        self.due_op_at(&DuePlace::of(key, item.state), key, item.due, version)
    }

    fn due_op_at(
        &self,
        place: &DuePlace,
        key: &ItemKey,
        due: Timestamp,
        version: Version,
    ) -> Result<Op, WriteError> {
        let value = Due { version: version.0 }.encode().map_err(too_large)?;
        let row = Row { value, version: Version(1), nonce: self.cx.nonce(), expiry: None };
        Ok(Op::Put { key: place.key(due, key), row, expect: Expect::Any })
    }

    fn put_op(
        &self,
        key: &ItemKey,
        item: &Item,
        version: Version,
        expect: Expect,
    ) -> Result<Op, WriteError> {
        let now = self.cx.engines.index.now();
        let expiry = item.state.is_finished().then(|| now.after(self.cx.options.timing.item_kept));
        let value = item.encode().map_err(too_large)?;
        let row = Row { value, version, nonce: self.cx.nonce(), expiry };
        Ok(Op::Put { key: rows::item_key(key), row, expect })
    }

    async fn announce(
        &self,
        key: &ItemKey,
        item: &Item,
        version: Version,
    ) -> Result<(), WriteError> {
        self.in_order(vec![self.due_op(key, item, version)?]).await
    }

    /// Gives an unfinished item its due row again if that is missing; whether it was. That should
    /// never be: who finds one counts it as a bug.
    /// # Errors
    /// [`WriteError`].
    pub async fn mend_due(
        &self,
        key: &ItemKey,
        item: &Item,
        version: Version,
    ) -> Result<bool, WriteError> {
        let places =
            std::iter::once(DuePlace::of(key, item.state)).chain(DuePlace::own(&key.destination));
        for place in places {
            let due = place.key(item.due, key);
            let there = self.cx.engines.index.get(&due, Consistency::Strong).await;
            if there.map_err(|error| WriteError::Unavailable(Box::new(error)))?.is_some() {
                return Ok(false);
            }
        }
        // One that was changed meanwhile was announced before.
        let now = self.get(key).await.map_err(|error| WriteError::Unavailable(Box::new(error)))?;
        if now.is_none_or(|(_, now)| now != version) {
            return Ok(false);
        }
        self.announce(key, item, version).await?;
        Ok(true)
    }

    /// Announces an item again that is due since long: its due row was lost, perhaps to a clock that
    /// jumped. Due rows are hints; whoever walks over all plans makes up for them (I10).
    /// # Errors
    /// [`WriteError`]; nothing was changed.
    pub async fn remind(&self, key: &ItemKey) -> Result<(), WriteError> {
        let found = self.get(key).await.map_err(|error| WriteError::Unavailable(error.into()))?;
        let Some((item, version)) = found else { return Ok(()) };
        let late = self.cx.engines.index.now().since(item.due);
        if item.state.is_finished() || late < self.cx.options.timing.item_retry {
            return Ok(());
        }
        self.announce(key, &item, version).await
    }

    /// What is due now at a place, the longest waiting first, behind `after`.
    /// # Errors
    /// [`ReadError`].
    pub async fn due(
        &self,
        place: &DuePlace,
        after: Option<&Announced>,
        limit: usize,
    ) -> Result<Vec<Announced>, ReadError> {
        self.due_until(place, after, self.cx.engines.index.now(), limit).await
    }

    /// [`Self::due`] at another time than now.
    /// # Errors
    /// [`ReadError`].
    pub async fn due_until(
        &self,
        place: &DuePlace,
        after: Option<&Announced>,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Announced>, ReadError> {
        self.due_rows(place, after, until, limit, Consistency::Eventual).await
    }

    async fn due_rows(
        &self,
        place: &DuePlace,
        after: Option<&Announced>,
        until: Timestamp,
        limit: usize,
        consistency: Consistency,
    ) -> Result<Vec<Announced>, ReadError> {
        let behind = |due: &Announced| {
            place.key(due.at, &due.item).sort.iter().copied().chain([0]).collect()
        };
        let range = Range {
            partition: place.partition().into(),
            from: after.map(behind),
            to: Some(rows::due_sort_until(until)),
            order: Order::Forward,
            limit,
            consistency,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found
            .into_iter()
            .map(|(sort, row)| {
                let (at, item) =
                    Due::parse_sort(&sort).ok_or_else(|| damaged("key of a due row"))?;
                let due = Due::decode(&row.value).map_err(damaged)?;
                Ok(Announced { at, item, version: Version(due.version), place: place.clone() })
            })
            .collect()
    }

    /// Deletes a due row whose item has reached the version announced and is due elsewhere, or is
    /// finished: never before [a].
    /// # Errors
    /// [`WriteError`]; the row stays a hint.
    pub async fn forget_due(&self, due: &Announced) -> Result<(), WriteError> {
        let key = due.place.key(due.at, &due.item);
        self.cx.engines.index.delete_if(&key, Expect::Any).await
    }

    /// Shows an item to the admin until somebody acts on it.
    /// # Errors
    /// [`WriteError`].
    pub async fn park(&self, key: &ItemKey, since: Timestamp, why: &str) -> Result<(), WriteError> {
        let why = why.chars().take(240).collect();
        let value = Parked { why }.encode().map_err(too_large)?;
        let row = Row { value, version: Version(1), nonce: self.cx.nonce(), expiry: None };
        self.cx.engines.index.put_if(&rows::parked_key(since, key), row, Expect::Any).await
    }

    /// What is parked: since when, which item, why.
    /// # Errors
    /// [`ReadError`].
    pub async fn parked(
        &self,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ItemKey, String)>, ReadError> {
        let range = Range {
            partition: rows::parked_partition().into(),
            from: None,
            to: None,
            order: Order::Forward,
            limit,
            consistency: Consistency::Strong,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found
            .into_iter()
            .map(|(sort, row)| {
                let (since, item) =
                    Due::parse_sort(&sort).ok_or_else(|| damaged("key of a parked row"))?;
                Ok((since, item, Parked::decode(&row.value).map_err(damaged)?.why))
            })
            .collect()
    }

    /// Takes an item off the list that the admin sees.
    /// # Errors
    /// [`WriteError`].
    pub async fn unpark(&self, key: &ItemKey, since: Timestamp) -> Result<(), WriteError> {
        self.cx.engines.index.delete_if(&rows::parked_key(since, key), Expect::Any).await
    }

    /// All items of one of the [`ITEM_SHARDS`] partitions after a key, for listing and audits.
    /// # Errors
    /// [`ReadError`].
    pub async fn page(
        &self,
        shard: u8,
        after: Option<&ItemKey>,
        limit: usize,
    ) -> Result<Vec<(ItemKey, Item, Version)>, ReadError> {
        let range = Range {
            partition: rows::items_partition(shard).into(),
            from: after.map(|key| key.to_sort().into_iter().chain([0]).collect()),
            to: None,
            order: Order::Forward,
            limit,
            consistency: Consistency::Eventual,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found.into_iter().map(item_of).collect()
    }

    /// Items of messages with one of these origins ([`crate::origin`]), up to `limit`; reads all
    /// partitions, so for admins only.
    /// # Errors
    /// [`ReadError`].
    pub async fn of_origins(
        &self,
        origins: &[u64],
        limit: usize,
    ) -> Result<Vec<ItemKey>, ReadError> {
        let found = self.matching(|item| origins.contains(&item.origin), limit).await?;
        Ok(found.into_iter().map(|(key, ..)| key).collect())
    }

    /// Every unfinished item, up to `limit`; reads all partitions, so for admins only.
    /// # Errors
    /// [`ReadError`].
    pub async fn unfinished(
        &self,
        limit: usize,
    ) -> Result<Vec<(ItemKey, Item, Version)>, ReadError> {
        self.matching(|item| !item.state.is_finished(), limit).await
    }

    async fn matching(
        &self,
        wanted: impl Fn(&Item) -> bool + Send,
        limit: usize,
    ) -> Result<Vec<(ItemKey, Item, Version)>, ReadError> {
        let mut all = Vec::new();
        for shard in 0..ITEM_SHARDS {
            let Ok(shard) = u8::try_from(shard) else { break };
            let mut after = None;
            loop {
                let page = self.page(shard, after.as_ref(), 256).await?;
                let Some((last, ..)) = page.last() else { break };
                after = Some(last.clone());
                all.extend(page.into_iter().filter(|(_, item, _)| wanted(item)));
                if all.len() >= limit {
                    all.truncate(limit);
                    return Ok(all);
                }
            }
        }
        Ok(all)
    }

    /// Asks `maintain` to look at an account at `due`. A hint.
    /// # Errors
    /// [`WriteError`].
    pub async fn ask_maintenance(
        &self,
        due: Timestamp,
        account: mail::Account,
        why: MaintenanceWhy,
    ) -> Result<(), WriteError> {
        ask_maintenance(&self.cx, due, account, why).await
    }

    /// The accounts that `maintain` should look at now, with the key of each request.
    /// # Errors
    /// [`ReadError`].
    pub async fn maintenance(
        &self,
        limit: usize,
    ) -> Result<Vec<(Key, mail::Account, MaintenanceWhy)>, ReadError> {
        let mut all = Vec::new();
        for shard in 0..MAINTENANCE_SHARDS {
            let Ok(shard) = u8::try_from(shard) else { break };
            let range = Range {
                partition: rows::maintenance_partition(shard).into(),
                from: None,
                to: Some(rows::due_sort_until(self.cx.engines.index.now())),
                order: Order::Forward,
                limit: limit - all.len(),
                consistency: Consistency::Eventual,
            };
            for (sort, row) in self.cx.engines.index.range(&range).await? {
                let (_, account) = Maintenance::parse_sort(&sort)
                    .ok_or_else(|| damaged("key of a maintenance row"))?;
                let why = Maintenance::decode(&row.value).map_err(damaged)?.why;
                all.push((Key::new(range.partition.clone(), sort), account, why));
            }
            if all.len() >= limit {
                break;
            }
        }
        Ok(all)
    }

    /// Deletes a request that was carried out.
    /// # Errors
    /// [`WriteError`]; it stays a hint.
    pub async fn maintained(&self, key: &Key) -> Result<(), WriteError> {
        self.cx.engines.index.delete_if(key, Expect::Any).await
    }

    /// Whether an item is finished, or forgotten since long after it was.
    /// # Errors
    /// [`ReadError`].
    pub async fn is_finished(&self, key: &ItemKey) -> Result<bool, ReadError> {
        Ok(self.get(key).await?.is_none_or(|(item, _)| item.state.is_finished()))
    }

    /// Marks an item as taken out by an admin; what is left of its recipients goes nowhere.
    /// # Errors
    /// [`WriteError`].
    pub async fn remove(
        &self,
        key: &ItemKey,
        mut item: Item,
        version: Version,
    ) -> Result<(), WriteError> {
        item.state = ItemState::Removed;
        self.update(key, &item, version).await.map(|_| ())
    }
}

/// Reads a row of a partition of items.
fn item_of((sort, row): (Bytes, Row)) -> Result<(ItemKey, Item, Version), ReadError> {
    let key = ItemKey::from_sort(&sort).ok_or_else(|| damaged("key of an item"))?;
    Ok((key, Item::decode(&row.value).map_err(damaged)?, row.version))
}

/// See [`Items::ask_maintenance`].
pub(crate) async fn ask_maintenance(
    cx: &Context,
    due: Timestamp,
    account: mail::Account,
    why: MaintenanceWhy,
) -> Result<(), WriteError> {
    let value = Maintenance { why }.encode().map_err(too_large)?;
    let row = Row { value, version: Version(1), nonce: cx.nonce(), expiry: None };
    cx.engines.index.put_if(&rows::maintenance_key(due, account), row, Expect::Any).await
}
