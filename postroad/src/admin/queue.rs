//! Mail that waits: items on their way to other servers, that could not be put into their mailbox,
//! or that need a person.

mod list;

use std::collections::BTreeMap;

use engine::Version;
use mail::Timestamp;
use serde::Serialize;
use store::names;
use store::place::SegmentRef;
use store::rows::{Item, ItemKey, ItemKind, ItemState, RecipientState};

use super::{Admin, AdminError, address};

pub use list::{QueueCount, QueueFilter};

/// Items listed at most.
pub(crate) const LISTED_MAX: usize = 10_000;

/// An item in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueItem {
    /// Its name, for the other commands.
    pub id: String,
    /// What for: `remote` (another server), `local` (a mailbox of ours), `parked` (needs a person),
    /// `fan` (many members of a group), `link` (another region).
    pub kind: &'static str,
    /// Where to.
    pub destination: String,
    /// Envelope sender, empty for reports; `None`: not known any more.
    pub sender: Option<String>,
    /// `waiting`, `held` or `bouncing`.
    pub state: &'static str,
    /// Recipients it is for.
    pub recipients: usize,
    /// How often it was tried.
    pub tries: u32,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it is tried next, in milliseconds since 1970.
    pub due_ms: u64,
    /// The last try's answer, in the other side's words.
    pub words: Option<String>,
    /// Why it needs a person, if it does.
    pub parked: Option<String>,
}

/// All about one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueDetails {
    /// What the list shows.
    #[serde(flatten)]
    pub item: QueueItem,
    /// The record it carries.
    pub record: String,
    /// Whom it is for.
    pub to: Vec<QueueRecipient>,
    /// The egress it must go through: one knows it already, or may have sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
    /// The address of ours that forwards it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarder: Option<String>,
    /// What is remembered of its destination: held until when, and why.
    pub remembered: Vec<QueueRemembered>,
    /// What was tried, the oldest first.
    pub history: Vec<QueueAttempt>,
}

/// A recipient of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueRecipient {
    /// The address.
    pub address: String,
    /// Where it stands.
    pub state: &'static str,
    /// What was last said to it, in the other side's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// What is remembered of a destination, or of one egress at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueRemembered {
    /// The egress; `None`: the destination itself.
    pub egress: Option<String>,
    /// What kind of refusal it was; `down`: nobody answers there.
    pub class: String,
    /// Held until, in milliseconds since 1970.
    pub until_ms: u64,
    /// Why, in the other side's words.
    pub words: String,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueAttempt {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Through what.
    pub via: String,
    /// What was answered.
    pub words: String,
}

type Parked = BTreeMap<ItemKey, (Timestamp, String)>;

impl Admin {
    /// One item.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn queue_item(&self, id: &str) -> Result<QueueDetails, AdminError> {
        let (key, item, _) = self.find_item(id).await?;
        let parked = self.parked().await?;
        let to = item.recipients.iter().map(|one| QueueRecipient {
            address: one.path.clone(),
            state: recipient_state(one.state),
            said: one.said.clone(),
        });
        let history = item.history.iter().map(|one| QueueAttempt {
            at_ms: one.at.millis(),
            via: one.via.clone(),
            words: one.words.clone(),
        });
        let remembered = match key.kind {
            ItemKind::Remote => self.store.items().remembered(&key.destination).await?,
            _ => Vec::new(),
        };
        let remembered = remembered.into_iter().map(|(egress, health, _)| QueueRemembered {
            egress,
            class: health.class,
            until_ms: health.until.millis(),
            words: health.words,
        });
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(QueueDetails {
            to: to.collect(),
            history: history.collect(),
            record: key.id.to_string(),
            egress: some(&item.egress),
            forwarder: some(&item.forwarder),
            remembered: remembered.collect(),
            item: QueueItem { sender: self.sender(&item).await?, ..summary(&key, &item, &parked) },
        })
    }

    /// Has an item tried now, and takes it off the list of what needs a person.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn retry_item(&self, id: &str) -> Result<(), AdminError> {
        let found = self.find_item(id).await?;
        self.act_on(QueueAct::Retry, found).await
    }

    /// Holds an item: it is not tried, nor given back, until it is released.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn hold_item(&self, id: &str) -> Result<(), AdminError> {
        let found = self.find_item(id).await?;
        self.act_on(QueueAct::Hold, found).await
    }

    /// Lets an item go on that was held: it is tried now.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn release_item(&self, id: &str) -> Result<(), AdminError> {
        let found = self.find_item(id).await?;
        self.act_on(QueueAct::Release, found).await
    }

    /// Removes an item: its recipients do not get this message any more, and nobody is told.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn remove_item(&self, id: &str) -> Result<(), AdminError> {
        let found = self.find_item(id).await?;
        self.act_on(QueueAct::Remove, found).await
    }

    async fn act_on(
        &self,
        act: QueueAct,
        (key, mut item, version): (ItemKey, Item, Version),
    ) -> Result<(), AdminError> {
        let now = self.store.engines().index.now();
        // [c]: how such a try ends is not known here, and must not be forgotten.
        let peers = &self.store.engines().peers;
        let lease = item.lease.filter(|lease| lease.until > now);
        if let Some(lease) = lease.filter(|lease| !peers.is_dead_holder(&lease.holder.0)) {
            let held = act == QueueAct::Hold && item.state == ItemState::Waiting;
            if held || (act == QueueAct::Release && item.hold) {
                // Whoever is sending it sees to it.
                item.hold = held;
                return Ok(self.store.items().update(&key, &item, version).await.map(|_| ())?);
            }
            if act != QueueAct::Remove {
                let left = lease.until.since(now).as_secs();
                return Err(AdminError::invalid(
                    format!("it is being sent just now, or was when its process ended ({left} s)"),
                    "try again in a moment",
                ));
            }
        }
        match act {
            QueueAct::Remove => {
                self.store.items().remove(&key, item, version).await?;
                return self.unpark(&key).await;
            }
            QueueAct::Hold if item.state == ItemState::Bouncing => {
                return Err(AdminError::invalid(
                    "its sender is just being told; that cannot be held",
                    "`queue remove` stops it",
                ));
            }
            QueueAct::Hold => {
                item.hold_now(now);
            }
            QueueAct::Release if item.state != ItemState::Held && !item.hold => return Ok(()),
            QueueAct::Retry | QueueAct::Release => {
                (item.due, item.hold) = (now, false);
                if item.state == ItemState::Held {
                    item.state = ItemState::Waiting;
                }
            }
        }
        self.store.items().update(&key, &item, version).await?;
        if act == QueueAct::Hold {
            return Ok(());
        }
        self.store.engines().events.publish(engine::Event::Items);
        self.unpark(&key).await
    }

    /// Envelope sender of an item; `None`: its record is not there any more.
    async fn sender(&self, item: &Item) -> Result<Option<String>, AdminError> {
        let object = match item.place.segment {
            SegmentRef::Ingest { writer, number } => names::ingest(writer, number),
            SegmentRef::Made { id } => names::made(id),
            SegmentRef::Account { .. } => return Ok(None),
        };
        let Some(index) = self.store.segment_index(&object).await? else { return Ok(None) };
        let at = usize::try_from(item.place.index).unwrap_or(usize::MAX);
        let envelope = index.records.get(at).and_then(|record| record.envelope.as_ref());
        let sender = |envelope: &mail::Envelope| {
            envelope.sender.as_ref().map_or_else(String::new, |path| path.text().to_owned())
        };
        Ok(envelope.map(sender))
    }

    async fn unpark(&self, key: &ItemKey) -> Result<(), AdminError> {
        if let Some((since, _)) = self.parked().await?.get(key) {
            self.store.items().unpark(key, *since).await?;
        }
        Ok(())
    }

    pub(super) async fn parked(&self) -> Result<Parked, AdminError> {
        let rows = self.store.items().parked(LISTED_MAX).await?;
        Ok(rows.into_iter().map(|(since, key, why)| (key, (since, why))).collect())
    }

    /// The unfinished item of this name. Reads that one row.
    async fn find_item(&self, id: &str) -> Result<(ItemKey, Item, Version), AdminError> {
        let missing = || AdminError::NotFound { what: "item", name: id.to_owned() };
        let key = parse_name(id).ok_or_else(missing)?;
        let (item, version) = self.store.items().get(&key).await?.ok_or_else(missing)?;
        if item.state.is_finished() { Err(missing()) } else { Ok((key, item, version)) }
    }
}

/// What an admin does to items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueAct {
    /// Try it now.
    Retry,
    /// Do not try it until it is released.
    Hold,
    /// Let it go on.
    Release,
    /// Its recipients do not get it.
    Remove,
}

fn summary(key: &ItemKey, item: &Item, parked: &Parked) -> QueueItem {
    QueueItem {
        id: name(key),
        kind: kind_name(key.kind),
        destination: key.destination.clone(),
        sender: None,
        state: state_name(item.state),
        recipients: item.recipients.len(),
        tries: item.tries,
        created_ms: item.created.millis(),
        due_ms: item.due.millis(),
        words: item.history.last().map(|tried| tried.words.clone()),
        parked: parked.get(key).map(|(_, why)| why.clone()),
    }
}

/// An item's name: what it is made of, so that it can be found without a search.
pub(super) fn name(key: &ItemKey) -> String {
    format!("{}:{}:{}:{}", key.id, kind_name(key.kind), key.k, key.destination)
}

fn parse_name(name: &str) -> Option<ItemKey> {
    let mut parts = name.splitn(4, ':');
    let id = parts.next()?.parse().ok()?;
    let kind = parts.next()?;
    let kind = KINDS.into_iter().find(|one| kind_name(*one) == kind)?;
    let k = parts.next()?.parse().ok()?;
    let destination = parts.next()?.to_owned();
    (destination.len() <= 255).then_some(ItemKey { id, kind, destination, k })
}

const KINDS: [ItemKind; 6] = [
    ItemKind::Remote,
    ItemKind::Link,
    ItemKind::Fan,
    ItemKind::Local,
    ItemKind::Parked,
    ItemKind::Report,
];

const fn kind_name(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Remote => "remote",
        ItemKind::Link => "link",
        ItemKind::Fan => "fan",
        ItemKind::Local => "local",
        ItemKind::Parked => "parked",
        ItemKind::Report => "report",
    }
}

pub(super) const fn state_name(state: ItemState) -> &'static str {
    match state {
        ItemState::Waiting => "waiting",
        ItemState::Held => "held",
        ItemState::Bouncing => "bouncing",
        ItemState::Delivered => "delivered",
        ItemState::Failed => "failed",
        ItemState::Removed => "removed",
    }
}

pub(super) const fn recipient_state(state: RecipientState) -> &'static str {
    match state {
        RecipientState::Open => "open",
        RecipientState::Delivered => "delivered",
        RecipientState::Taken => "taken",
        RecipientState::Failed => "failed",
        RecipientState::Told => "returned",
    }
}
