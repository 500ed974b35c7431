//! The change log, and how its changes become rows [p, q].

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{Consistency, Event, Expect, Key, Order, Range, Row, Version, WriteError};

use super::{Directory, DirectoryError};
use crate::context::{damaged, too_large};
use crate::rows::{
    self, AddressRow, Applied, ChangeRow, DirectoryChange, DirectoryNumber, MemberRow, RowValue,
};

/// Changes of the log read at once.
const PAGE: usize = 64;

/// Tombstones in listings and groups stay so long (x).
const LISTING_TOMBSTONE: Duration = Duration::from_secs(90 * 86_400);

/// Tries of one conditional put whose outcome is not known.
const TRIES_MAX: u32 = 8;

/// Tries of an unconditional change against others.
const CONFLICTS_MAX: u32 = 64;

/// What a row is to be.
struct Target {
    value: bytes::Bytes,
    expiry: bool,
}

impl Directory {
    /// Makes these rows so, whatever they were; the last one to say so wins. Applied when it
    /// returns. Where rows must be looked at first, use [`Self::change_at`].
    /// # Errors
    /// [`DirectoryError`].
    pub async fn change(
        &self,
        changes: Vec<DirectoryChange>,
    ) -> Result<DirectoryNumber, DirectoryError> {
        for _ in 0..CONFLICTS_MAX {
            let base = self.apply_new().await?;
            match self.change_at(base, changes.clone()).await {
                Err(DirectoryError::Conflict) => {}
                other => return other,
            }
        }
        Err(DirectoryError::Conflict)
    }

    /// Makes these rows so, if nothing was changed since `base`, which [`Self::apply_new`] told
    /// and after which the caller has looked. Applied when it returns.
    /// # Errors
    /// [`DirectoryError::Conflict`]: apply, look and decide again.
    pub async fn change_at(
        &self,
        base: DirectoryNumber,
        changes: Vec<DirectoryChange>,
    ) -> Result<DirectoryNumber, DirectoryError> {
        let number = DirectoryNumber { epoch: base.epoch, n: base.n + 1 };
        // The rows must fit too, or the log could never be applied.
        let change = ChangeRow { changes };
        targets(&change)?;
        let value = change.encode().map_err(too_large)?;
        let row = Row { value, version: Version(1), nonce: self.cx.nonce(), expiry: None };
        // [q]: the log first, only where absent, by who has applied all before it.
        self.put_surely(&rows::change_key(number), row, Expect::Absent).await?;
        self.cache.clear();
        self.apply_new().await?;
        self.cx.engines.events.publish(Event::Directory);
        Ok(number)
    }

    /// Applies what the change log has and this region has not: all of `replicate`. Returns the
    /// number of the last change applied. A second run is harmless: only newer goes over older.
    /// # Errors
    /// [`DirectoryError`]; what was applied stays.
    pub async fn apply_new(&self) -> Result<DirectoryNumber, DirectoryError> {
        let _one = self.applying.lock().await;
        let index = &self.cx.engines.index;
        let key = rows::applied_key(&self.cx.options.region);
        let row = index.get(&key, Consistency::Strong).await?;
        let version = row.as_ref().map(|row| row.version);
        let mut applied = match row {
            Some(row) => Applied::decode(&row.value).map_err(damaged)?,
            None => Applied { number: Self::START, ..Applied::default() },
        };
        let before = applied.number;
        loop {
            let page = self.changes_after(applied.number, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for (number, change) in page {
                // A gap cannot be: who put a number had applied all before it.
                if number.n != applied.number.n + 1 {
                    return Err(DirectoryError::Damaged("a change is missing in the log".into()));
                }
                self.apply(number, &change).await?;
                applied.number = number;
            }
        }
        if applied.number != before {
            self.cache.clear();
            let value = applied.encode().map_err(too_large)?;
            let next = Version(version.map_or(1, |version| version.0 + 1));
            let row = Row { value, version: next, nonce: self.cx.nonce(), expiry: None };
            let expect = version.map_or(Expect::Absent, Expect::Version);
            match index.put_if(&key, row, expect).await {
                // Somebody else applied them too; or the next run applies them again.
                Ok(()) | Err(WriteError::Conflict | WriteError::Unknown(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(applied.number)
    }

    /// The changes after a number, in order, at most `limit`: what another region asks for.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn changes_after(
        &self,
        after: DirectoryNumber,
        limit: usize,
    ) -> Result<Vec<(DirectoryNumber, ChangeRow)>, DirectoryError> {
        let first = DirectoryNumber { epoch: after.epoch, n: after.n + 1 };
        let range = Range {
            partition: rows::changes_partition(after.epoch).into(),
            from: Some(rows::change_key(first).sort),
            to: None,
            order: Order::Forward,
            limit,
            consistency: Consistency::Strong,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found
            .into_iter()
            .map(|(sort, row)| {
                let n = u64::from_be_bytes(<[u8; 8]>::try_from(&sort[..]).map_err(damaged)?);
                let change = ChangeRow::decode(&row.value).map_err(damaged)?;
                Ok((DirectoryNumber { epoch: after.epoch, n }, change))
            })
            .collect()
    }

    pub(super) async fn apply(
        &self,
        number: DirectoryNumber,
        change: &ChangeRow,
    ) -> Result<(), DirectoryError> {
        for (key, target) in targets(change)? {
            self.apply_row(&key, target, number.version()).await?;
        }
        Ok(())
    }

    /// Newer over older only; what is deleted is a tombstone row, so nothing old comes back [p].
    async fn apply_row(
        &self,
        key: &Key,
        target: Target,
        version: Version,
    ) -> Result<(), DirectoryError> {
        let index = &self.cx.engines.index;
        let expiry = target.expiry.then(|| index.now().after(LISTING_TOMBSTONE));
        for _ in 0..TRIES_MAX {
            let there = index.get(key, Consistency::Strong).await?;
            if there.as_ref().is_some_and(|row| row.version >= version) {
                return Ok(());
            }
            let expect = there.map_or(Expect::Absent, |row| Expect::Version(row.version));
            let nonce = self.cx.nonce();
            let row = Row { value: target.value.clone(), version, nonce, expiry };
            match self.put_surely(key, row, expect).await {
                Ok(()) => return Ok(()),
                Err(DirectoryError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(DirectoryError::Conflict)
    }

    /// A conditional put, repeated as the same write while its outcome is not known [M].
    async fn put_surely(&self, key: &Key, row: Row, expect: Expect) -> Result<(), DirectoryError> {
        let mut backoff = self.cx.backoff();
        for _ in 0..TRIES_MAX {
            match self.cx.engines.index.put_if(key, row.clone(), expect).await {
                Err(WriteError::Unknown(_)) => backoff.pause().await,
                other => return Ok(other?),
            }
        }
        Err(DirectoryError::Unknown)
    }
}

/// The rows that a change makes; of several that name one row the last counts.
fn targets(change: &ChangeRow) -> Result<BTreeMap<Key, Target>, WriteError> {
    let mut targets = BTreeMap::new();
    let mut set = |key, value: Result<_, rows::RowTooLarge>, expiry| {
        let value = value.map_err(too_large)?;
        targets.insert(key, Target { value, expiry });
        Ok::<_, WriteError>(())
    };
    for one in &change.changes {
        match one {
            DirectoryChange::Account(id, row) => set(rows::account_key(*id), row.encode(), false)?,
            DirectoryChange::Domain(domain, row) => {
                set(rows::domain_key(domain), row.encode(), false)?;
            }
            DirectoryChange::Member(group, member, row) => {
                let gone = *row == MemberRow::Tombstone;
                set(rows::group_member_key(*group, member), row.encode(), gone)?;
            }
            DirectoryChange::Address(address, row) => {
                set(rows::address_key(address), row.encode(), false)?;
                let listed = match row {
                    AddressRow::Tombstone => MemberRow::Tombstone,
                    AddressRow::Account(id) => MemberRow::Present(Some(*id)),
                    AddressRow::Alias(_) | AddressRow::Group(_) => MemberRow::Present(None),
                };
                let gone = listed == MemberRow::Tombstone;
                set(rows::listing_key(address), listed.encode(), gone)?;
            }
        }
    }
    Ok(targets)
}
