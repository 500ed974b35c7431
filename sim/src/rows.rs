//! What is asked of the rows while a run is under way: no seq of a log is ever two entries (I2).

use std::collections::BTreeMap;
use std::sync::Mutex;

use engine::Nonce;
use engine::memory::World;

use crate::known::Known;

/// Nonce of each (partition, seq) of account logs, seen so far in this run.
#[derive(Default)]
pub(crate) struct Entries(Mutex<BTreeMap<(Vec<u8>, u64), Nonce>>);

thread_local! {
    /// One run at a time on a thread.
    static ENTRIES: Entries = Entries::default();
}

/// Forgets the run before.
pub(crate) fn begin() {
    ENTRIES.with(|entries| {
        if let Ok(mut entries) = entries.0.lock() {
            entries.clear();
        }
    });
}

/// Looks at all rows of account logs.
pub(crate) fn watch(world: &World, known: &Known) {
    ENTRIES.with(|entries| {
        let Ok(mut entries) = entries.0.lock() else { return };
        for (key, row) in world.rows() {
            let is_entry = key.partition.first() == Some(&b'l') && key.sort.first() == Some(&1);
            if !is_entry {
                continue;
            }
            let place = (key.partition.to_vec(), row.version.0);
            let first = *entries.entry(place).or_insert(row.nonce);
            if first != row.nonce {
                known.wrong(format!("I2: seq {} was two entries", row.version.0));
            }
        }
    });
}
