//! Local items: mail for an account of ours that could not be appended when its segment was
//! delivered [O, O′]; `fan` items, what a plan had no room for [δ]; and parked ones that an admin
//! had tried again.
//!
//! **Wakes it:** a due row. **Reads:** the item, the claim that names it, its pages, the accounts'
//! states, the segment's index. **Writes:** its pages, entries, items that the pages name, then the
//! item's row. **A second run is harmless:** whom a `fan` reaches is fixed in its pages before
//! anything else; the accounts are read before the item is seen to be still open, and only then is
//! anything appended; ids in the window are left out [J].

use std::sync::Arc;

use engine::{Version, WriteError};
use mail::{Account, Seq, WriterId};
use store::place::SegmentRef;
use store::rows::{
    Attempt, Item, ItemKind, ItemState, Plan, PlanAccount, PlanItem, RecipientState,
};
use store::segment::Index;
use store::{AccountLog, Announced, DeliverError, Delivered, Delivery, LogError, Store, names};

use crate::deliver::{PARKED_FOR, arrivals, make_item, pages, parse_local};
use crate::handler::{Error, Handler, Outcome};

/// Why an item stays.
#[derive(Debug, thiserror::Error)]
enum Stays {
    /// Its recipients are nobody, or not all of them somebody here.
    #[error("no account here has this address")]
    Nobody,
    /// An account cannot take it now.
    #[error(transparent)]
    Log(LogError),
}

/// How one page ended.
enum Ended {
    /// Somebody else finished the item, or took it out.
    Closed,
    /// All of its members have a successor.
    All,
    /// Some accounts cannot take it now.
    Some(LogError),
}

/// The handler.
#[derive(Debug)]
pub struct LocalItems {
    store: Store,
}

impl LocalItems {
    /// A handler on this store.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    async fn one(&self, due: &Announced) -> Result<Outcome, Error> {
        let items = self.store.items();
        // What leaves this store is the relay's, with its due rows.
        if !matches!(due.item.kind, ItemKind::Local | ItemKind::Fan | ItemKind::Parked) {
            return Ok(Outcome::Done);
        }
        let Some((item, version)) = items.get(&due.item).await? else {
            // [a]: announced, not there yet; or gone since long, then by its own expiry.
            return self.forgotten(due).await;
        };
        if item.state.is_finished() || (version >= due.version && item.due != due.at) {
            if item.state.is_finished() {
                // Who finished it may have ended before it was taken off that list.
                items.unpark(&due.item, item.created).await?;
            }
            items.forget_due(due).await?;
            return Ok(Outcome::Done);
        }
        if item.state != ItemState::Waiting {
            return Ok(Outcome::Done);
        }
        let Some(why) = self.deliver(due, &item, version).await? else {
            return Ok(Outcome::Done);
        };
        self.again(due, item, version, &why).await?;
        Ok(match why {
            Stays::Nobody => Outcome::Park { why: why.to_string().into() },
            Stays::Log(why) if why.is_lasting() => Outcome::Park { why: Box::new(why) },
            Stays::Log(why) => {
                let now = self.store.engines().index.now();
                let at = now.after(self.store.options().timing.item_retry);
                Outcome::Later { at, why: Box::new(why) }
            }
        })
    }

    /// A due row whose item has been absent for as long as finished items are kept is nothing.
    async fn forgotten(&self, due: &Announced) -> Result<Outcome, Error> {
        let kept = self.store.options().timing.item_kept;
        if self.store.engines().index.now().since(due.at) > kept {
            self.store.items().forget_due(due).await?;
        }
        Ok(Outcome::Done)
    }

    /// Delivers it, if it may be; `Some`: why it cannot be now.
    async fn deliver(
        &self,
        due: &Announced,
        item: &Item,
        version: Version,
    ) -> Result<Option<Stays>, Error> {
        let segment = item.place.segment;
        let SegmentRef::Ingest { writer, number } = segment else { return Ok(None) };
        // [O′]: an item that the plan does not name does nothing.
        if !self.store.claims().names(writer, number, &due.item).await? {
            return Ok(None);
        }
        let Some(index) = self.store.segment_index(&names::ingest(writer, number)).await? else {
            return Err("the segment of an open item is not there".into());
        };
        let pages = self.pages(due, item, &index, writer, number).await?;
        let mut stays = pages.is_empty().then_some(Stays::Nobody);
        for page in &pages {
            match self.page(due, item, version, &index, (page, stays.is_some())).await? {
                Ended::Closed => return Ok(None),
                Ended::All => {}
                // Whom the others cannot wait for.
                Ended::Some(error) => stays = Some(Stays::Log(error)),
            }
        }
        if stays.is_none() {
            self.finish(due, item.clone(), version).await?;
        }
        Ok(stays)
    }

    /// One page: what can be appended to its accounts is, and its items are made.
    async fn page(
        &self,
        due: &Announced,
        item: &Item,
        version: Version,
        index: &Index,
        (page, late): (&Plan, bool),
    ) -> Result<Ended, Error> {
        let segment = item.place.segment;
        let (mut deliveries, mut ended) = (Vec::new(), Ended::All);
        for member in &page.accounts {
            match self.sight(member.account).await {
                Ok((log, sight)) => {
                    let records = std::iter::once(item.place.index);
                    let arrivals = arrivals(index, segment, records, &log);
                    deliveries.push(Delivery { log, segment, sight, arrivals });
                }
                Err(error) => ended = Ended::Some(error),
            }
        }
        // [O′]: still open after the accounts were read?
        let now = self.store.items().get(&due.item).await?;
        if !now.is_some_and(|(now, at)| at == version && now == *item) {
            return Ok(Ended::Closed);
        }
        let (_, answers) = self.store.append_all(Vec::new(), &deliveries).await;
        for answer in answers {
            match answer {
                Ok(Delivered::InLog) => {}
                Ok(Delivered::NotTried) => ended = Ended::Some(LogError::Behind),
                Err(DeliverError::Log(error)) => ended = Ended::Some(error),
                Err(error) => return Err(Box::new(error)),
            }
        }
        let mut all = page.items.clone();
        if late || !matches!(ended, Ended::All) {
            // As long as this one is open, not all have it.
            let recipients = item.recipients.iter().map(|to| to.envelope).collect();
            all.push(PlanItem::new(due.item.clone(), recipients));
        }
        for one in &page.items {
            let why = "no way to deliver it yet";
            make_item(&self.store, segment, index, (one, &all), why).await?;
        }
        Ok(ended)
    }

    /// The account of a local item; whom the recipients of a `fan`, or of a parked item that an
    /// admin had tried again, are when it is first worked on [δ]: from then on it is those [H].
    /// None, unless each of a parked one's is somebody here.
    async fn pages(
        &self,
        due: &Announced,
        item: &Item,
        index: &Index,
        writer: WriterId,
        number: u64,
    ) -> Result<Vec<Plan>, Error> {
        if due.item.kind == ItemKind::Local {
            let account = parse_local(&due.item.destination);
            let account = account.ok_or("a local item names no account")?;
            let mail = vec![(item.place.index, 0)];
            let accounts = vec![PlanAccount { account, mail }];
            return Ok(vec![Plan { accounts, items: Vec::new() }]);
        }
        let claims = self.store.claims();
        if let Some(pinned) = claims.pages(writer, number, &due.item).await? {
            return Ok(pinned);
        }
        let at = usize::try_from(item.place.index).unwrap_or(usize::MAX);
        let record = index.records.get(at).ok_or("an item names a record that is not there")?;
        let some = item.recipients.iter().map(|to| to.envelope);
        let parked = due.item.kind == ItemKind::Parked;
        let directory = self.store.directory();
        let pages = pages(directory, record, item.place.index, due.item.k, some, parked).await?;
        if pages.is_empty() {
            return Ok(pages);
        }
        Ok(claims.pin_pages(writer, number, &due.item, pages).await?)
    }

    async fn sight(&self, account: Account) -> Result<(Arc<AccountLog>, Seq), LogError> {
        let log = self.store.account(account).await?;
        let sight = log.fresh().await?;
        Ok((log, sight))
    }

    async fn finish(&self, due: &Announced, mut item: Item, version: Version) -> Result<(), Error> {
        item.state = ItemState::Delivered;
        item.recipients.iter_mut().for_each(|to| to.state = RecipientState::Delivered);
        let items = self.store.items();
        match items.update(&due.item, &item, version).await {
            Ok(_) => {}
            // Somebody else finished it; its record was in the window for one of us.
            Err(WriteError::Conflict) => return Ok(()),
            Err(error) => return Err(Box::new(error)),
        }
        // The due row goes last: as long as it is there, all of this is seen to again.
        self.unpark(due, &item).await?;
        items.forget_due(due).await?;
        Ok(())
    }

    /// Takes it off the list that the admin sees.
    async fn unpark(&self, due: &Announced, item: &Item) -> Result<(), Error> {
        self.store.items().unpark(&due.item, item.created).await?;
        tracing::info!(record = %due.item.id, account = %due.item.destination,
            "a local item was delivered");
        Ok(())
    }

    /// Later again, twice as late each time up to an hour.
    async fn again(
        &self,
        due: &Announced,
        mut item: Item,
        version: Version,
        why: &Stays,
    ) -> Result<(), Error> {
        let now = self.store.engines().index.now();
        let timing = &self.store.options().timing;
        let wait = match due.item.kind {
            ItemKind::Parked => PARKED_FOR,
            _ => timing.item_retry.saturating_mul(1 << item.tries.min(6)),
        };
        if due.item.kind != ItemKind::Local {
            // A local one is on the list since it was made.
            self.store.items().park(&due.item, item.created, &why.to_string()).await?;
        }
        item.tries = item.tries.saturating_add(1);
        item.due = now.after(wait);
        item.record_attempt(Attempt { at: now, via: "local".into(), words: why.to_string() });
        match self.store.items().update(&due.item, &item, version).await {
            Ok(_) => self.store.items().forget_due(due).await?,
            Err(WriteError::Conflict) => {}
            Err(error) => return Err(Box::new(error)),
        }
        Ok(())
    }
}

impl Handler for LocalItems {
    /// Due rows.
    type Event = Vec<Announced>;

    async fn handle(&self, due: Vec<Announced>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(due.len());
        for one in &due {
            let done = self.one(one).await;
            outcomes.push(Outcome::of(done, &self.store, self.store.options().timing.item_retry));
        }
        outcomes
    }
}
