//! What the relay does to items: begin, finish, put off; its shards; what it remembers of
//! destinations.
//!
//! Each is a short ordered batch: the due row before the item, the old due row after it [a]. What
//! is cut short anywhere leaves a due row too many, never one too few.

use engine::{Consistency, Expect, Op, Order, Range, ReadError, Row, Version, WriteError};
use mail::Timestamp;

use super::{Announced, Items};
use crate::context::{damaged, too_large};
use crate::rows::{self, DuePlace, HealthRow, Item, ItemKey, Lease, RowValue, ShardRow};

/// Rows read of one destination: more egresses than anybody has.
const HEALTH_MAX: usize = 256;

/// What is remembered of a destination: of an egress there, or (`None`) of itself.
type Remembered = (Option<String>, HealthRow, Version);

impl Items {
    /// Begins an item: the new lease and fence are in `item`. Its due row stays as it is [f].
    /// # Errors
    /// [`WriteError`]; unless it is a conflict, begin again with what is there.
    pub async fn begin(
        &self,
        key: &ItemKey,
        item: &Item,
        version: Version,
    ) -> Result<Version, WriteError> {
        let next = Version(version.0 + 1);
        self.in_order(vec![self.put_op(key, item, next, Expect::Version(version))?]).await?;
        Ok(next)
    }

    /// Writes how an item ended, and then deletes its due row.
    /// # Errors
    /// [`WriteError::Conflict`]: somebody else was here; read again. After others too: it may have
    /// ended so.
    pub async fn finish(
        &self,
        due: &Announced,
        item: &Item,
        version: Version,
    ) -> Result<(), WriteError> {
        let next = Version(version.0 + 1);
        let put = self.put_op(&due.item, item, next, Expect::Version(version))?;
        self.in_order(vec![put, Self::forget_op(due)]).await
    }

    /// Puts an item off to `item.due`, or on to whoever makes its report: its new due row first,
    /// then itself, then the old due row goes.
    /// # Errors
    /// As [`Self::finish`].
    pub async fn put_off(
        &self,
        due: &Announced,
        item: &Item,
        version: Version,
    ) -> Result<Announced, WriteError> {
        let next = Version(version.0 + 1);
        let place = DuePlace::of(&due.item, item.state);
        let new = Announced { at: item.due, item: due.item.clone(), version: next, place };
        let mut ops = vec![
            self.due_op_at(&new.place, &new.item, new.at, next)?,
            self.put_op(&due.item, item, next, Expect::Version(version))?,
        ];
        if (new.at, &new.place) != (due.at, &due.place) {
            ops.push(Self::forget_op(due));
        }
        self.in_order(ops).await?;
        Ok(new)
    }

    /// Moves due rows of a destination to its own place, and puts a marker that says so, due at
    /// `at`; markers seen before that go after it. In this order: whoever deletes a marker has seen
    /// it first, and the place after that, so that no row lies there which the place did not show
    /// and no other marker stands for [a].
    /// # Errors
    /// [`WriteError`]; a row may be at both places then, which harms nothing.
    pub async fn set_aside(
        &self,
        destination: &str,
        due: &[Announced],
        at: Timestamp,
        before: &[Announced],
    ) -> Result<Announced, WriteError> {
        let Some(own) = DuePlace::own(destination) else {
            return Err(WriteError::Refused("the destination's name is too long".into()));
        };
        let marker = self.marker(destination, at);
        let mark = [self.due_op_at(&marker.place, &marker.item, at, marker.version)];
        let rows = due.iter().map(|one| self.due_op_at(&own, &one.item, one.at, one.version));
        let mut ops = rows.chain(mark).collect::<Result<Vec<_>, _>>()?;
        ops.extend(due.iter().chain(before).map(Self::forget_op));
        self.in_order(ops).await?;
        Ok(marker)
    }

    /// Puts a marker of a destination's own place: it is looked at again at `at`. Those that were
    /// seen before go after it: it stands for all that they stood for.
    /// # Errors
    /// [`WriteError`]; there may be one more of them then.
    pub async fn mark(
        &self,
        destination: &str,
        at: Timestamp,
        before: &[Announced],
    ) -> Result<Announced, WriteError> {
        self.set_aside(destination, &[], at, before).await
    }

    /// Deletes markers of a destination whose own place was seen to be empty, by
    /// [`Self::first_aside`], after they were seen.
    /// # Errors
    /// [`WriteError`]; some may stay.
    pub async fn unmark(&self, markers: &[Announced]) -> Result<(), WriteError> {
        self.in_order(markers.iter().map(Self::forget_op).collect()).await
    }

    /// The first due row at a destination's own place, whenever it is due; read strongly.
    /// # Errors
    /// [`ReadError`].
    pub async fn first_aside(&self, destination: &str) -> Result<Option<Announced>, ReadError> {
        let Some(own) = DuePlace::own(destination) else { return Ok(None) };
        let ever = Timestamp(u64::MAX - 1);
        Ok(self.due_rows(&own, None, ever, 1, Consistency::Strong).await?.pop())
    }

    fn marker(&self, destination: &str, at: Timestamp) -> Announced {
        let item = rows::marker(destination, self.cx.engines.random.below(u64::MAX));
        let place = DuePlace::Shard(rows::due_shard(destination));
        Announced { at, item, version: Version(1), place }
    }

    fn forget_op(due: &Announced) -> Op {
        Op::Delete { key: due.place.key(due.at, &due.item), expect: Expect::Any }
    }

    /// All shards that were ever leased.
    /// # Errors
    /// [`ReadError`].
    pub async fn shards(&self) -> Result<Vec<(u16, ShardRow, Version)>, ReadError> {
        let range = Range {
            partition: rows::shards_partition().into(),
            from: None,
            to: None,
            order: Order::Forward,
            limit: usize::from(rows::DUE_SHARDS) * 2,
            consistency: Consistency::Strong,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found
            .into_iter()
            .map(|(sort, row)| {
                let shard = sort[..].try_into().map(u16::from_be_bytes);
                let shard = shard.map_err(|_| damaged("key of a shard"))?;
                Ok((shard, ShardRow::decode(&row.value).map_err(damaged)?, row.version))
            })
            .collect()
    }

    /// Takes, or keeps, shards: each where it still has the version given (`None`: absent). One
    /// answer each: the new version.
    pub async fn lease_shards(
        &self,
        shards: &[(u16, Option<Version>)],
        lease: Lease,
    ) -> Vec<Result<Version, WriteError>> {
        let row = ShardRow { lease };
        let (mut ops, mut next) = (Vec::new(), Vec::new());
        for (shard, version) in shards {
            let Ok(value) = row.encode() else { return Vec::new() };
            let new = Version(version.map_or(1, |version| version.0 + 1));
            let row = Row { value, version: new, nonce: self.cx.nonce(), expiry: None };
            let expect = version.map_or(Expect::Absent, Expect::Version);
            ops.push(Op::Put { key: rows::shard_key(*shard), row, expect });
            next.push(new);
        }
        let answers = self.cx.engines.index.batch(ops).await;
        answers.into_iter().zip(next).map(|(answer, new)| answer.map(|()| new)).collect()
    }

    /// What is remembered of a destination.
    /// # Errors
    /// [`ReadError`].
    pub async fn remembered(&self, destination: &str) -> Result<Vec<Remembered>, ReadError> {
        let range = Range {
            partition: rows::destination_partition(destination).into(),
            from: None,
            to: None,
            order: Order::Forward,
            limit: HEALTH_MAX,
            consistency: Consistency::Eventual,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found
            .into_iter()
            .map(|(sort, row)| {
                let egress = rows::parse_destination_sort(&sort);
                let egress = egress.ok_or_else(|| damaged("key of a destination"))?;
                let health = HealthRow::decode(&row.value).map_err(damaged)?;
                Ok((egress.map(str::to_owned), health, row.version))
            })
            .collect()
    }

    /// Remembers something of a destination, over `version` (`None`: nothing was there); forgets
    /// it where `health` is `None`. It goes by itself when nothing was new for 30 days. Returns
    /// the new version.
    /// # Errors
    /// [`WriteError`]: what is remembered is only economy.
    pub async fn remember(
        &self,
        destination: &str,
        egress: Option<&str>,
        health: Option<&HealthRow>,
        version: Option<Version>,
    ) -> Result<Option<Version>, WriteError> {
        let key = rows::destination_key(destination, egress);
        let index = &self.cx.engines.index;
        let Some(health) = health else {
            if let Some(version) = version {
                index.delete_if(&key, Expect::Version(version)).await?;
            }
            return Ok(None);
        };
        let value = health.clone().within_limits().encode().map_err(too_large)?;
        let new = Version(version.map_or(1, |version| version.0 + 1));
        let expiry = Some(index.now().after(HEALTH_KEPT));
        let row = Row { value, version: new, nonce: self.cx.nonce(), expiry };
        let expect = version.map_or(Expect::Absent, Expect::Version);
        index.put_if(&key, row, expect).await?;
        Ok(Some(new))
    }
}

/// How long what is remembered of a destination stays.
const HEALTH_KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
