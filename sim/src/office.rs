//! The processes of one region: each has its own engines on the shared world, its own store, and
//! the functions it runs. A crash drops all of it where it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::memory::World;
use functions::host::local::{Functions, Local};
use store::{Options, Store, Timing, Upkeep};

use crate::mood::Mood;

/// Every process, and what it does.
pub(crate) const PROCESSES: [(&str, Functions); 5] = [
    ("edge-1", Functions { deliver: false, maintain: false, replicate: false }),
    ("edge-2", Functions { deliver: true, maintain: false, replicate: false }),
    ("deliver", Functions { deliver: true, maintain: false, replicate: false }),
    ("maintain-1", Functions { deliver: false, maintain: true, replicate: true }),
    ("maintain-2", Functions { deliver: false, maintain: true, replicate: false }),
];

/// One running process.
struct Process {
    store: Store,
    _functions: Local,
}

/// All of them.
pub(crate) struct Office {
    world: World,
    mood: Mood,
    running: BTreeMap<&'static str, Process>,
}

impl Office {
    pub(crate) fn new(world: World, mood: Mood) -> Self {
        Self { world, mood, running: BTreeMap::new() }
    }

    pub(crate) const fn mood(&self) -> Mood {
        self.mood
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// Starts a process, again if it had crashed; returns its store.
    pub(crate) fn start(&mut self, name: &'static str, functions: Functions) -> Store {
        self.crash(name);
        self.world.note(&format!("start {name}"));
        let store = Store::new(self.world.process(name), options(name, self.mood));
        let local = Local::start(&store, functions);
        self.running.insert(name, Process { store: store.clone(), _functions: local });
        store
    }

    /// Everything of the process is dropped where it stands.
    pub(crate) fn crash(&mut self, name: &str) {
        if let Some(process) = self.running.remove(name) {
            self.world.note(&format!("crash {name}"));
            process.store.engines().tasks.abort();
        }
    }

    pub(crate) fn store(&self, name: &str) -> Option<Store> {
        self.running.get(name).map(|process| process.store.clone())
    }
}

/// Times and bounds shrunk, so that everything happens many times in two minutes.
pub(crate) fn options(name: &str, mood: Mood) -> Options {
    let ms = Duration::from_millis;
    let s = Duration::from_secs;
    let upkeep = match mood.lazy {
        // [A]: what an appender must do for itself is seen only where nobody does it for him.
        true => Upkeep {
            checkpoint_entries: 100_000,
            checkpoint_bytes: 1 << 30,
            compact_records: 100_000,
            compact_bytes: 1 << 30,
            ..Upkeep::default()
        },
        false => Upkeep {
            checkpoint_entries: 16,
            checkpoint_bytes: 16 << 10,
            compact_records: 5,
            compact_bytes: 32 << 10,
            ..Upkeep::default()
        },
    };
    Options {
        region: "home".to_owned(),
        edge: name.to_owned(),
        spool_bytes_max: 4 << 10,
        timing: Timing {
            retry_min: ms(10),
            retry_max: ms(400),
            commit_patience: s(60),
            unavailable_patience: s(2),
            writer_life: s(25),
            // Longer than any clock jumps while writes are under way, as in earnest [b, C].
            writer_kept: s(40 * 3_600),
            claim_lease: ms(700),
            sweep: s(2),
            directory_fresh: s(1),
            space_check: s(5),
            compact_after: if mood.lazy { s(3_600) } else { s(15) },
            restore_window: s(20),
            backup_interval: s(5),
            item_kept: s(40 * 3_600),
            item_retry: s(6),
            hint_kept: s(60),
            audit: s(10),
            maintain_poll: s(2),
            writer_grace: s(2),
            deliver_retry: ms(100),
            reread: s(20),
        },
        upkeep: Upkeep { small_segments: 3, writer_numbers: 40, ..upkeep },
        ..Options::default()
    }
}
