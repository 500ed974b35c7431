//! Local items: mail for an account of ours that could not be appended when its segment was
//! delivered [O, O′].
//!
//! **Wakes it:** a due row. **Reads:** the item, the claim that names it, the account's state, the
//! segment's index. **Writes:** one entry, then the item's row. **A second run is harmless:** the
//! account is read before the item is seen to be still open, and only then is anything appended;
//! ids in the window are left out [J].

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{Version, WriteError};
use mail::{Account, Seq};
use store::directory::Expanded;
use store::place::SegmentRef;
use store::rows::{Attempt, Item, ItemKind, ItemState, RecipientState};
use store::segment::Index;
use store::{AccountLog, Announced, DeliverError, Delivered, Delivery, LogError, Store, names};

use crate::deliver::{PARKED_FOR, arrivals, parse_local};
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
        let ours = matches!(due.item.kind, ItemKind::Local | ItemKind::Fan | ItemKind::Parked);
        if !ours || item.state != ItemState::Waiting {
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
        let SegmentRef::Ingest { writer, number } = item.place.segment else { return Ok(None) };
        // [O′]: an item that the plan does not name does nothing.
        let claim = self.store.claims().get(writer, number).await?;
        if !claim.is_some_and(|(claim, _)| claim.names_item(&due.item)) {
            return Ok(None);
        }
        let Some(index) = self.store.segment_index(&names::ingest(writer, number)).await? else {
            return Err("the segment of an open item is not there".into());
        };
        let targets = self.targets(due, item, &index).await?;
        if targets.is_empty() {
            return Ok(Some(Stays::Nobody));
        }
        let mut deliveries = Vec::new();
        for account in targets {
            let (log, sight) = match self.sight(account).await {
                Ok(seen) => seen,
                Err(error) => return Ok(Some(Stays::Log(error))),
            };
            let segment = item.place.segment;
            let arrivals = arrivals(&index, segment, std::iter::once(item.place.index));
            deliveries.push(Delivery { log, segment, sight, arrivals });
        }
        // [O′]: still open after the accounts were read?
        let now = self.store.items().get(&due.item).await?;
        if !now.is_some_and(|(now, at)| at == version && now == *item) {
            return Ok(None);
        }
        let (_, answers) = self.store.append_all(Vec::new(), &deliveries).await;
        for answer in answers {
            match answer {
                Ok(Delivered::InLog) => {}
                Ok(Delivered::NotTried) => return Ok(Some(Stays::Log(LogError::Behind))),
                Err(DeliverError::Log(error)) => return Ok(Some(Stays::Log(error))),
                Err(error) => return Err(Box::new(error)),
            }
        }
        self.finish(due, item.clone(), version).await?;
        Ok(None)
    }

    /// The account of a local item; whom the recipients of a `fan`, or of a parked item that an
    /// admin had tried again, are now [δ]. None, unless each of them is somebody here.
    async fn targets(
        &self,
        due: &Announced,
        item: &Item,
        index: &Index,
    ) -> Result<BTreeSet<Account>, Error> {
        if due.item.kind == ItemKind::Local {
            let account = parse_local(&due.item.destination);
            return Ok(BTreeSet::from([account.ok_or("a local item names no account")?]));
        }
        let at = usize::try_from(item.place.index).unwrap_or(usize::MAX);
        let envelope = index.records.get(at).and_then(|record| record.envelope.as_ref());
        let envelope = envelope.ok_or("an item names a record without envelope")?;
        let mut accounts = BTreeSet::new();
        for to in &item.recipients {
            let at = usize::try_from(to.envelope).unwrap_or(usize::MAX);
            let Some(recipient) = envelope.recipients.get(at) else { continue };
            let expanded = self.store.directory().expand(recipient.path.address()).await?;
            let Expanded { accounts: found, elsewhere, outside, nobody, cut } = expanded;
            let parked = due.item.kind == ItemKind::Parked;
            if parked && !(elsewhere.is_empty() && outside.is_empty() && nobody.is_empty() && !cut)
            {
                return Ok(BTreeSet::new());
            }
            accounts.extend(found);
        }
        Ok(accounts)
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
        if due.item.kind == ItemKind::Parked {
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
            outcomes.push(match self.one(one).await {
                Ok(outcome) => outcome,
                Err(why) => {
                    let now = self.store.engines().index.now();
                    let at = now.after(self.store.options().timing.item_retry);
                    Outcome::Later { at, why }
                }
            });
        }
        outcomes
    }
}
