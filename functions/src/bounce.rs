//! `bounce`: tells senders what became of their mail (RFC 3461, RFC 3464).
//!
//! **Wakes it:** the due row of an item whose state is `bouncing`: one that the relay gave up or, for
//! who asked for it, sent; or one that `deliver` made to tell of what was delivered. **Reads:** the item, its record,
//! the directory, the log of the sender's account. **Writes:** the report as `made/<id>`, an entry or
//! an item that takes it to the sender, then the item.
//!
//! **A second run is harmless** [e, j]: the report's id derives from the item and counts its reports,
//! so it is made once; the sender's log is read before the item is seen to be still `bouncing`, and
//! only then is anything appended, where ids in the window are left out; the item says that its
//! sender was told only after the report has a successor, and only of whom the report names: what
//! was taken since comes in the next one [d].
//!
//! **Upholds:** I1, I6, D2 (nothing is ever told to the null sender), at most one final report per
//! recipient.

mod arrived;
mod report;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use engine::{Version, WriteError};
use mail::srs::{self, NotReversed};
use mail::{BodyType, Envelope, Path, Recipient, RecordId, trace};
use store::place::{SegmentRef, Slot};
use store::rows::{Delay, Item, ItemKey, ItemKind, ItemState, PlanAccount, RecipientState};
use store::segment::{Index, IndexRecord};
use store::{Announced, DeliverError, Delivered, Delivery, Made, Store, derived_id};

use crate::deliver::{arrivals, make_item, pages};
use crate::handler::{Error, Handler, Outcome};
use crate::relay;
use crate::signing::signatures;

pub use report::Identity;

/// The handler.
#[derive(Debug)]
pub struct Bounce {
    store: Store,
    options: relay::Options,
    identity: Identity,
}

impl Bounce {
    /// A handler on this store, with the options of the relay beside it.
    #[must_use]
    pub const fn new(store: Store, options: relay::Options, identity: Identity) -> Self {
        Self { store, options, identity }
    }

    async fn one(&self, due: &Announced) -> Result<Outcome, Error> {
        let items = self.store.items();
        let now = self.store.engines().index.now();
        let Some((item, version)) = items.get(&due.item).await? else {
            // [a]: announced, not there yet; or gone since long, then by its own expiry.
            if now.since(due.at) > self.store.options().timing.item_kept {
                items.forget_due(due).await?;
            }
            return Ok(Outcome::Done);
        };
        let over = item.state.is_finished() || item.state != ItemState::Bouncing;
        if over || item.due != due.at {
            if item.state.is_finished() || version >= due.version {
                items.forget_due(due).await?;
            }
            return Ok(Outcome::Done);
        }
        let at = usize::try_from(item.place.index).unwrap_or(usize::MAX);
        let index = self.store.index_of(item.place).await?;
        let record = index.as_ref().and_then(|index| index.records.get(at));
        let record = record.ok_or("the record of an open item is not there")?;
        let envelope = record.envelope.as_ref().ok_or("an item's record has no envelope")?;
        if !self.arrived(due, &item, version).await? {
            return Ok(Outcome::Done);
        }
        let mut told = ending(&item);
        if let Some(sender) = self.sender_of(envelope).await? {
            match self.tell(due, &item, version, record, &sender).await? {
                Some(of) => told = of,
                None => return Ok(Outcome::Done),
            }
        }
        self.told(due, item, version, &told).await?;
        Ok(Outcome::Done)
    }

    /// Who is told. A sender that we rewrote ourselves, when the message came back to us or went
    /// through us twice, stands for another.
    async fn sender_of(&self, envelope: &Envelope) -> Result<Option<Path>, Error> {
        let (Some(sender), Some(forwarding)) = (&envelope.sender, &self.identity.forwarding) else {
            return Ok(envelope.sender.clone());
        };
        let address = sender.address();
        if self.store.directory().domain(address.domain()).await?.is_none() {
            return Ok(Some(sender.clone()));
        }
        let today = srs::day(self.store.engines().index.now());
        match srs::reverse(address, today, &|bytes| (forwarding.mac)(bytes)) {
            Ok(original) => Ok(Some(original.into())),
            Err(NotReversed::Ordinary) => Ok(Some(sender.clone())),
            Err(why @ (NotReversed::Forged | NotReversed::Expired)) => {
                tracing::warn!(%sender, %why, "nobody is told of what was not delivered");
                Ok(None)
            }
        }
    }

    /// Makes the report and takes it to the sender: the numbers of the recipients whose end it tells.
    /// `None`: somebody else was here.
    async fn tell(
        &self,
        due: &Announced,
        item: &Item,
        version: Version,
        record: &IndexRecord,
        sender: &Path,
    ) -> Result<Option<Vec<u8>>, Error> {
        let id = report_id(&due.item, item.reports);
        let now = self.store.engines().index.now();
        let made = report::Source {
            store: &self.store,
            options: &self.options,
            identity: &self.identity,
            key: &due.item,
            item,
            record,
            now,
        };
        let report = made.report(id, sender).await?;
        let content = report.write();
        let envelope = Envelope {
            body: if content.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
            smtputf8: report.needs_smtputf8(),
            ..Envelope::new(None, vec![Recipient::new(sender.clone())])
        };
        // Somebody's DMARC may ask for more than the name in HELO.
        let signed = signatures(&self.store, &self.identity.domain, &content, now).await;
        let prefix = Bytes::from(trace::return_path(None) + &signed);
        let cause = (due.item.clone(), item.reports);
        let content = content.into();
        let made = Made { id, envelope, at: now, prefix, content, cause, told: ending(item) };
        self.store.make(made).await?;
        let place = Slot { segment: SegmentRef::Made { id }, index: 0 };
        let index = self.store.index_of(place).await?.ok_or("a report is not there")?;
        if !self.take(due, version, place, &index).await? {
            return Ok(None);
        }
        // [j]: what counts is the report that is there, whoever made it.
        let told = index.records.first().and_then(store::told_by);
        Ok(Some(told.map_or_else(|| ending(item), <[u8]>::to_vec)))
    }

    /// Takes a report that is there to whom its sender's address is: accounts here, or items.
    async fn take(
        &self,
        due: &Announced,
        version: Version,
        place: Slot,
        index: &Index,
    ) -> Result<bool, Error> {
        let record = index.records.first().ok_or("a report without record")?;
        let directory = self.store.directory();
        let all = pages(directory, record, 0, 0, std::iter::once(0), false).await?;
        for page in all {
            let mut deliveries = Vec::new();
            for PlanAccount { account, .. } in &page.accounts {
                let log = self.store.account(*account).await?;
                let sight = log.fresh().await?;
                // I5: before the item is read below; see `maintain`, what was made.
                self.store.reach_by_made(record.location.id, *account).await?;
                let arrivals = arrivals(index, place.segment, std::iter::once(0), &log);
                deliveries.push(Delivery { log, segment: place.segment, sight, arrivals });
            }
            // [e]: still to be told after the logs were read?
            let now = self.store.items().get(&due.item).await?;
            if now.is_none_or(|(_, at)| at != version) {
                return Ok(false);
            }
            let (_, answers) = self.store.append_all(Vec::new(), &deliveries).await;
            for answer in answers {
                match answer {
                    Ok(Delivered::InLog) => {}
                    // It was delivered, and the account has let it go since.
                    Err(DeliverError::Released) => {}
                    Ok(Delivered::NotTried) => return Err("a report was not tried".into()),
                    Err(error) => return Err(Box::new(error)),
                }
            }
            for one in &page.items {
                let one = (one, &page.items[..]);
                make_item(&self.store, place.segment, index, one, "a report for nobody").await?;
            }
        }
        tracing::info!(record = %due.item.id, destination = %due.item.destination,
            ?place, "the sender was told");
        metrics::counter!("postroad_reports_made_total").increment(1);
        Ok(true)
    }

    /// The sender knows what became of these.
    async fn told(
        &self,
        due: &Announced,
        mut item: Item,
        version: Version,
        of: &[u8],
    ) -> Result<(), Error> {
        for number in of {
            let Some(recipient) = item.recipients.get_mut(usize::from(*number)) else { continue };
            recipient.state = match recipient.state {
                RecipientState::Failed => RecipientState::Told,
                RecipientState::Taken => RecipientState::Delivered,
                other => other,
            };
        }
        if item.delay == Delay::Due {
            item.delay = Delay::Told;
        }
        item.reports = item.reports.saturating_add(1);
        item.lease = None;
        let any = |state| item.recipients.iter().any(|one| one.state == state);
        let items = self.store.items();
        let more = any(RecipientState::Failed) || any(RecipientState::Taken);
        let written = if more || any(RecipientState::Open) {
            let now = self.store.engines().index.now();
            item.due = now.after(self.options.retry_min);
            // A report waits here for what is not delivered yet, and for what is to be told next.
            if !more && due.item.kind != ItemKind::Report {
                item.state = ItemState::Waiting;
                if item.hold {
                    item.hold_now(now);
                }
            }
            items.put_off(due, &item, version).await.map(|_| ())
        } else {
            let all_taken = !any(RecipientState::Told);
            item.state = if all_taken { ItemState::Delivered } else { ItemState::Failed };
            items.finish(due, &item, version).await
        };
        match written {
            Ok(()) | Err(WriteError::Conflict) => Ok(()),
            Err(error) => Err(Box::new(error)),
        }
    }
}

/// The numbers of the recipients whose end is to be told.
fn ending(item: &Item) -> Vec<u8> {
    let ends = |state| matches!(state, RecipientState::Failed | RecipientState::Taken);
    let numbered = (0..=u8::MAX).zip(&item.recipients);
    numbered.filter(|(_, one)| ends(one.state)).map(|(number, _)| number).collect()
}

/// The id of an item's report number `reports`, counted from 0: derived from the item [j].
#[must_use]
pub fn report_id(item: &ItemKey, reports: u32) -> RecordId {
    let mut said = b"report".to_vec();
    said.extend(item.to_sort());
    said.extend(reports.to_be_bytes());
    derived_id(&said)
}

impl Handler for Bounce {
    /// Due rows.
    type Event = Vec<Announced>;

    async fn handle(&self, due: Vec<Announced>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(due.len());
        for one in &due {
            let done = self.one(one).await;
            outcomes.push(Outcome::of(done, &self.store, self.options.retry_min));
        }
        outcomes
    }
}
