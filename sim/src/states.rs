//! The transitions that docs/states.md allows, asked of every row and object at the very moment
//! when it is written: what may come to be, what may follow it, and when it may go.
//!
//! It keeps a picture of its own of what is stored, so that damage on purpose does not fool it,
//! and knows nothing of who writes, or why.

mod ingest;
mod items;
mod log;

use std::collections::{BTreeMap, BTreeSet};

use engine::memory::{Seen, World};
use engine::{Key, ObjectKey, Row, Version};
use mail::{Account, WriterId};
use store::rows::{Claim, Item, ItemKey, RowValue, WriterRow};
use store::segment::Tombstone;
use store::{names, rows};

use crate::known::Known;
use crate::people::{self, ACCOUNTS};

/// What is stored, as far as the rules speak of it.
#[derive(Default)]
struct States {
    writers: BTreeMap<WriterId, (Version, WriterRow)>,
    claims: BTreeMap<(WriterId, u64), (Version, Claim)>,
    /// Ingest segments that are there; tombstones among them.
    segments: BTreeMap<(WriterId, u64), Option<Tombstone>>,
    /// Those that were ever there.
    stored: BTreeSet<(WriterId, u64)>,
    items: BTreeMap<ItemKey, (Version, Item)>,
    dues: BTreeMap<Key, u64>,
    logs: BTreeMap<Account, log::Log>,
    wrong: Vec<String>,
}

/// Watches a world from now on; what is forbidden is noted as wrong.
pub(crate) fn watch(world: &World, known: &Known) {
    let (mut states, known) = (States::new(), known.clone());
    world.observe(move |seen| {
        states.see(seen);
        std::mem::take(&mut states.wrong).into_iter().for_each(|wrong| known.wrong(wrong));
    });
}

impl States {
    fn new() -> Self {
        let logs = ACCOUNTS.iter().map(|name| (people::account(name), log::Log::default()));
        Self { logs: logs.collect(), ..Self::default() }
    }

    fn see(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Row { key, now } => self.see_row(key, *now),
            Seen::Object { key, now } => match names::parse_ingest(key) {
                Some((writer, number)) => self.see_segment(writer, number, *now),
                None => self.see_account_object(key, *now),
            },
        }
    }

    fn see_row(&mut self, key: &Key, now: Option<&Row>) {
        let sort = &key.sort[..];
        match key.partition.first() {
            Some(b'w') => match <[u8; 16]>::try_from(sort) {
                Ok(id) => self.see_writer(WriterId(id), now),
                Err(_) => self.wrong("a writer row's key is damaged"),
            },
            Some(b'c') => {
                let writer = key.partition.get(1..).and_then(|id| <[u8; 16]>::try_from(id).ok());
                match (writer, <[u8; 8]>::try_from(sort)) {
                    (Some(id), Ok(n)) => {
                        self.see_claim((WriterId(id), u64::from_be_bytes(n)), now);
                    }
                    _ => self.wrong("a claim row's key is damaged"),
                }
            }
            Some(b'o') => match ItemKey::from_sort(sort) {
                Some(item) => self.see_item(&item, now),
                None => self.wrong("an item's key is damaged"),
            },
            // Others of this letter are requests and a list, which anybody may write and delete.
            Some(b'd') if key.partition.len() == 3 => self.see_due(key, now),
            Some(b'l') => self.see_log(key, now),
            _ => {}
        }
    }

    fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(format!("state: {}", what.into()));
    }

    /// Complains unless `holds`.
    fn rule(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what());
        }
    }

    /// What a row holds now. A row that cannot be read is wrong by itself.
    fn read<T: RowValue>(&mut self, row: &Row) -> Option<T> {
        let decoded = T::decode(&row.value);
        if let Err(error) = &decoded {
            self.wrong(format!("a {} that cannot be read: {error}", T::NAME));
        }
        decoded.ok()
    }

    /// Rows that count: the first has version 1, each next one is one up.
    fn counts(&mut self, before: Option<Version>, now: Version, what: &impl std::fmt::Debug) {
        let next = before.map_or(1, |before| before.0 + 1);
        self.rule(now.0 == next, || format!("{what:?} goes from version {before:?} to {}", now.0));
    }

    /// The account that an object's key belongs to.
    fn account_of(&self, key: &ObjectKey) -> Option<Account> {
        let of = |account: &&Account| {
            let segments = names::account_segment_prefix(**account);
            let all = segments.strip_suffix("s/").unwrap_or(&segments);
            key.as_str().starts_with(all)
        };
        self.logs.keys().find(of).copied()
    }

    /// The account whose log a row belongs to.
    fn account_of_log(&self, key: &Key) -> Option<Account> {
        let of = |account: &&Account| rows::log_partition(**account)[..] == key.partition[..];
        self.logs.keys().find(of).copied()
    }
}
