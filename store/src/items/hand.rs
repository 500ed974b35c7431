//! From whoever makes items to the relay of the same process: the relay need not look for what was
//! just made, and holds its first lease, so that beginning costs no write [f].

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mail::{Timestamp, WriterId};
use tokio::sync::mpsc;

use super::Announced;
use crate::rows::{Item, ItemKey, ItemKind, Lease, due_shard};

/// What a relay takes fresh items by.
#[derive(Debug, Default)]
pub struct Hand(Mutex<Option<Relay>>);

#[derive(Debug)]
struct Relay {
    holder: WriterId,
    lease: Duration,
    shards: BTreeSet<u16>,
    fresh: mpsc::Sender<Announced>,
}

/// Room for one item that is being made.
pub(super) struct Told(mpsc::OwnedPermit<Announced>);

impl Told {
    pub(super) fn send(self, due: Announced) {
        drop(self.0.send(due));
    }
}

impl Hand {
    /// A relay of this process begins: `holder` in leases of this length. At most `room` items
    /// wait to be taken; what is beyond is found by its due row.
    pub fn open(
        &self,
        holder: WriterId,
        lease: Duration,
        room: usize,
    ) -> mpsc::Receiver<Announced> {
        let (fresh, taken) = mpsc::channel(room.max(1));
        *self.lock() = Some(Relay { holder, lease, shards: BTreeSet::new(), fresh });
        taken
    }

    /// The shards that the relay holds now: of others it is told nothing.
    pub fn hold(&self, shards: BTreeSet<u16>) {
        if let Some(relay) = &mut *self.lock() {
            relay.shards = shards;
        }
    }

    /// The relay ends.
    pub fn close(&self) {
        *self.lock() = None;
    }

    /// Gives the first lease of an item to the relay, if it holds the shard and has room.
    pub(super) fn take(&self, key: &ItemKey, item: &mut Item, now: Timestamp) -> Option<Told> {
        let relay = self.lock();
        let relay = relay.as_ref().filter(|relay| {
            key.kind == ItemKind::Remote
                && item.due <= now
                && relay.shards.contains(&due_shard(&key.destination))
        })?;
        let room = relay.fresh.clone().try_reserve_owned().ok()?;
        item.lease = Some(Lease { holder: relay.holder, until: now.after(relay.lease) });
        item.fence = 1;
        Some(Told(room))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Relay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
