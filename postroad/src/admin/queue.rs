//! Mail that waits: items that could not be put into their mailbox, or need a person.

use std::collections::BTreeMap;

use engine::Version;
use mail::Timestamp;
use serde::Serialize;
use store::rows::{Item, ItemKey, ItemKind, ItemState, RecipientState};

use super::{Admin, AdminError};

/// Items listed at most.
const LISTED_MAX: usize = 10_000;

/// An item in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueItem {
    /// Its name, for the other commands.
    pub id: String,
    /// What for: `local` (a mailbox of ours), `parked` (needs a person), and others that come.
    pub kind: &'static str,
    /// Where to.
    pub destination: String,
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
    /// What waits, the oldest first; at most 10,000.
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn queue(&self) -> Result<Vec<QueueItem>, AdminError> {
        let parked = self.parked().await?;
        let items = self.store.items().unfinished(LISTED_MAX).await?;
        let mut all: Vec<_> =
            items.iter().map(|(key, item, _)| summary(key, item, &parked)).collect();
        all.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Ok(all)
    }

    /// One item.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn queue_item(&self, id: &str) -> Result<QueueDetails, AdminError> {
        let (key, item, _) = self.find_item(id).await?;
        let parked = self.parked().await?;
        let to = item.recipients.iter().map(|one| QueueRecipient {
            address: one.path.clone(),
            state: recipient_state(one.state),
        });
        let history = item.history.iter().map(|one| QueueAttempt {
            at_ms: one.at.millis(),
            via: one.via.clone(),
            words: one.words.clone(),
        });
        Ok(QueueDetails {
            to: to.collect(),
            history: history.collect(),
            record: key.id.to_string(),
            item: summary(&key, &item, &parked),
        })
    }

    /// Has an item tried now, and takes it off the list of what needs a person.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn retry_item(&self, id: &str) -> Result<(), AdminError> {
        let (key, mut item, version) = self.find_item(id).await?;
        item.due = self.store.engines().index.now();
        if item.state == ItemState::Held {
            item.state = ItemState::Waiting;
        }
        self.store.items().update(&key, &item, version).await?;
        self.store.engines().events.publish(engine::Event::Items);
        self.unpark(&key).await
    }

    /// Removes an item: its recipients do not get this message any more, and nobody is told.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn remove_item(&self, id: &str) -> Result<(), AdminError> {
        let (key, item, version) = self.find_item(id).await?;
        self.store.items().remove(&key, item, version).await?;
        self.unpark(&key).await
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

fn summary(key: &ItemKey, item: &Item, parked: &Parked) -> QueueItem {
    QueueItem {
        id: name(key),
        kind: kind_name(key.kind),
        destination: key.destination.clone(),
        state: state_name(item.state),
        recipients: item.recipients.len(),
        tries: item.tries,
        created_ms: item.created.millis(),
        due_ms: item.due.millis(),
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

const KINDS: [ItemKind; 5] =
    [ItemKind::Remote, ItemKind::Link, ItemKind::Fan, ItemKind::Local, ItemKind::Parked];

const fn kind_name(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Remote => "remote",
        ItemKind::Link => "link",
        ItemKind::Fan => "fan",
        ItemKind::Local => "local",
        ItemKind::Parked => "parked",
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
        RecipientState::Failed => "failed",
        RecipientState::Told => "returned",
    }
}
