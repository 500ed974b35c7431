//! Pages: whom a `fan` or a parked item reaches.
//!
//! Its recipients are expanded when it is worked on, not when its segment's plan was made, and what
//! they are expanded to may be more than a row holds. So whoever is first writes the pages, each a
//! small plan, before anything is appended; everybody after it reads them [H, δ]. What the segment
//! may be deleted by is then known too: the accounts in them have to let it go [F].
//!
//! The further pages are there, under the nonce of the run that made them, before the first is put
//! where absent: that one decides. Pages of runs that came late are named by nothing, and go with
//! the segment.

use engine::{Consistency, Expect, Key, Order, Range, ReadError, Row, Version, WriteError};
use mail::WriterId;

use super::Claims;
use crate::context::{damaged, too_large};
use crate::rows::{self, FanPage, ItemKey, ItemKind, Plan, RowValue};

/// Most pages of one item: 100 recipients of 1,000 members each.
pub const FAN_PAGES_MAX: usize = 1_000;

/// Rows deleted at once.
const FORGOTTEN_AT_ONCE: usize = 256;

impl Claims {
    /// The pages of an item of this segment's plan; `None`: it has reached nobody yet.
    /// # Errors
    /// [`ReadError`].
    pub async fn pages(
        &self,
        writer: WriterId,
        number: u64,
        item: &ItemKey,
    ) -> Result<Option<Vec<Plan>>, ReadError> {
        let read = async |further| {
            let key = rows::fan_page_key(writer, number, item, further);
            let row = self.cx.engines.index.get(&key, Consistency::Strong).await?;
            row.map(|row| FanPage::decode(&row.value).map_err(damaged)).transpose()
        };
        let Some(first) = read(None).await? else { return Ok(None) };
        let mut pages = vec![first.plan];
        for page in 1..=first.further {
            let further = read(Some((first.nonce, page))).await?;
            pages.push(further.ok_or_else(|| damaged("a fan page is not there"))?.plan);
        }
        Ok(Some(pages))
    }

    /// Fixes the pages of an item, unless it has some: returns those that stand. At most
    /// [`FAN_PAGES_MAX`], at least one.
    /// # Errors
    /// [`WriteError`]; an unknown outcome is not success: ask for the pages again.
    pub async fn pin_pages(
        &self,
        writer: WriterId,
        number: u64,
        item: &ItemKey,
        pages: Vec<Plan>,
    ) -> Result<Vec<Plan>, WriteError> {
        let nonce = self.cx.nonce();
        let further = pages.len().saturating_sub(1);
        let further = u16::try_from(further).ok().filter(|_| pages.len() <= FAN_PAGES_MAX);
        let further = further.ok_or_else(|| WriteError::Refused("too many fan pages".into()))?;
        for (page, plan) in (0_u16..).zip(&pages).skip(1) {
            let key = rows::fan_page_key(writer, number, item, Some((nonce, page)));
            self.put_page(&key, FanPage { nonce, further: 0, plan: plan.clone() }).await?;
        }
        let Some(first) = pages.first() else { return Ok(pages) };
        let key = rows::fan_page_key(writer, number, item, None);
        match self.put_page(&key, FanPage { nonce, further, plan: first.clone() }).await {
            Ok(()) => Ok(pages),
            Err(WriteError::Conflict) => {
                let there = self.pages(writer, number, item).await;
                let there = there.map_err(|error| WriteError::Unavailable(error.into()))?;
                there.ok_or(WriteError::Conflict)
            }
            Err(error) => Err(error),
        }
    }

    async fn put_page(&self, key: &Key, page: FanPage) -> Result<(), WriteError> {
        let value = page.encode().map_err(too_large)?;
        let row = Row { value, version: Version(1), nonce: self.cx.nonce(), expiry: None };
        self.cx.engines.index.put_if(key, row, Expect::Absent).await
    }

    /// Whether this segment's plan names the item, or a page of a `fan` item does: one that is not
    /// named does nothing [O′].
    /// # Errors
    /// [`ReadError`].
    pub async fn names(
        &self,
        writer: WriterId,
        number: u64,
        key: &ItemKey,
    ) -> Result<bool, ReadError> {
        let Some((claim, _)) = self.get(writer, number).await? else { return Ok(false) };
        if claim.names_item(key) {
            return Ok(true);
        }
        let of_fans = claim.plan.items.iter().map(|item| &item.key);
        for fan in of_fans.filter(|fan| fan.kind == ItemKind::Fan && fan.id == key.id) {
            let pages = self.pages(writer, number, fan).await?.unwrap_or_default();
            if pages.iter().flat_map(|page| &page.items).any(|item| item.key == *key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes all pages of a segment that is gone; of all segments of a writer of which nothing is
    /// left, if `number` is `None`.
    /// # Errors
    /// [`ReadError`], or a write that failed as one; do it again.
    pub async fn forget_pages(
        &self,
        writer: WriterId,
        number: Option<u64>,
    ) -> Result<(), ReadError> {
        let bound = |number: u64| number.to_be_bytes().to_vec().into();
        let range = Range {
            partition: rows::fan_pages_partition(writer).into(),
            from: number.map(bound),
            to: number.and_then(|number| number.checked_add(1)).map(bound),
            order: Order::Forward,
            limit: FORGOTTEN_AT_ONCE,
            consistency: Consistency::Strong,
        };
        loop {
            let found = self.cx.engines.index.range(&range).await?;
            let last = found.len() < FORGOTTEN_AT_ONCE;
            for (sort, _) in found {
                let key = Key::new(range.partition.clone(), sort);
                let deleted = self.cx.engines.index.delete_if(&key, Expect::Version(Version(1)));
                match deleted.await {
                    Ok(()) | Err(WriteError::Conflict) => {}
                    Err(error) => return Err(ReadError::Unavailable(error.into())),
                }
            }
            if last {
                return Ok(());
            }
        }
    }
}
