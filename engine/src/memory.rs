//! Deterministic in-memory engines, for simulation and for the tests of what stands above.
//!
//! A [`World`] is what the processes of one region share: objects, rows, wake-ups and the store's
//! time. Each simulated process gets its own [`Engines`] from it. Time is the runtime's: run it
//! on a current-thread runtime with paused time, and every run with the same seed takes the same
//! steps. [`Faults`] make calls fail, lose their answer, land late or come out of order; they are
//! drawn from the seed, and may be changed at any time (first hostile, then healed). Nothing here
//! touches the disk, the wall clock or the system's randomness.

mod call;
mod events;
mod faults;
mod index;
mod objects;
mod state;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use faults::{Ending, Faults};
pub use state::Seen;

use self::call::Process;
use self::state::State;
use crate::dice::Dice;
use crate::system::RuntimeClock;
use crate::{Clock, Counters, Engines, Peers, Random, Strangers, Tasks};

/// What a world starts with.
#[derive(Clone, Debug)]
pub struct Options {
    /// All that is drawn at random follows from it.
    pub seed: u64,
    /// Bytes of objects that fit; `None`: no bound.
    pub capacity_bytes: Option<u64>,
    /// Part of the capacity that is kept back until the ballast is released [α].
    pub ballast_bytes: u64,
    /// What [`Objects::puts_in_flight`](crate::Objects::puts_in_flight) answers.
    pub puts_in_flight: usize,
    /// The store's time at the start, milliseconds since 1970.
    pub start_ms: u64,
    /// After so many calls every call takes an hour, so that a run that never comes to rest ends.
    pub calls_max: u64,
    /// Whether processes know which others are dead: see [`Peers`](crate::Peers).
    pub deaths_known: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            capacity_bytes: None,
            ballast_bytes: 0,
            puts_in_flight: 1,
            start_ms: 1_800_000_000_000,
            calls_max: u64::MAX,
            deaths_known: false,
        }
    }
}

/// One region's store. Cloning shares it.
#[derive(Clone)]
pub struct World(Arc<Shared>);

/// A process that knows which others have crashed.
struct Known {
    world: Arc<Shared>,
    /// Processes are numbered from 1.
    number: u64,
}

impl Peers for Known {
    fn own(&self) -> Option<[u8; 8]> {
        Some(self.number.to_be_bytes())
    }

    fn is_dead(&self, process: [u8; 8]) -> bool {
        self.world.state().is_dead(u64::from_be_bytes(process))
    }
}

/// What all processes of a world share.
pub(crate) struct Shared {
    state: Mutex<State>,
    clock: RuntimeClock,
    options: Options,
    /// Effects under way and late wake-ups: they outlive the process that began them, as requests
    /// on a network do.
    tasks: Tasks,
}

impl Shared {
    /// The state. Held for the moment of one effect only, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl World {
    /// An empty store without faults.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State::new(options.seed)),
            clock: RuntimeClock::new(),
            options,
            tasks: Tasks::default(),
        }))
    }

    /// The engines of a process that starts now. `name` is for traces and [`World::cut`]; a
    /// process of the same name started again gets other random bytes. Its crash is
    /// [`Tasks::abort`] of [`Engines::tasks`]; what it had asked the store may still land.
    #[must_use]
    pub fn process(&self, name: &str) -> Engines {
        let counters = Arc::new(Counters::default());
        let tasks = Tasks::default();
        let (seed, events, number) = self.0.state().admit(name, tasks.pulse());
        let peers: Arc<dyn Peers> = match self.0.options.deaths_known {
            true => Arc::new(Known { world: self.0.clone(), number }),
            false => Arc::new(Strangers),
        };
        let process = Arc::new(Process {
            world: self.0.clone(),
            name: name.into(),
            counters: counters.clone(),
            told_ms: Arc::new(AtomicU64::new(0)),
            events,
        });
        Engines {
            objects: process.clone(),
            index: process.clone(),
            events: process,
            peers,
            clock: Arc::new(self.0.clock),
            random: Arc::new(SeededRandom(Mutex::new(Dice::new(seed)))),
            tasks,
            work: crate::Work::inline(),
            counters,
        }
    }

    /// From now on these faults.
    pub fn set_faults(&self, faults: Faults) {
        self.0.state().faults = faults;
    }

    /// The next writes end so, one after the other, before the dice are asked again.
    pub fn next_writes(&self, endings: impl IntoIterator<Item = Ending>) {
        self.0.state().script.extend(endings);
    }

    /// Cuts the process of this name off from the store, or connects it again. What it asked
    /// before may still land; what it asks now is answered `Unavailable`; nobody wakes it.
    pub fn cut(&self, name: &str, off: bool) {
        let mut state = self.0.state();
        match off {
            true => state.cut.insert(name.into()),
            false => state.cut.remove(name),
        };
    }

    /// The process of this name hangs in its calls for so long, while all others go on: what it asks
    /// in that time is done or answered only after it. A process that is started under this name
    /// does not hang. A zombie, if others take over meanwhile.
    pub fn stall(&self, name: &str, time: Duration) {
        let until = self.0.elapsed().saturating_add(time);
        self.0.state().stalled.insert(name.into(), until);
    }

    /// As [`World::stall`], but from right after the next call of this process whose line in the
    /// trace begins with `call`: between two steps that are not to be torn apart. A `*` in `call`:
    /// begins with what is before it, and has in it what is behind.
    pub fn stall_after(&self, name: &str, call: &'static str, time: Duration) {
        self.0.state().traps.insert(name.into(), (call, time));
    }

    /// How many calls were made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.state().calls
    }

    /// The store's wall clock jumps (I10).
    pub fn jump(&self, by_ms: i64) {
        self.0.state().skew_ms += by_ms;
    }

    /// A control for checkers: from now on the store lies, as one does that answers before it has
    /// synced. What it answers from now on, until it is honest again, is gone at the next
    /// [`World::power_cut`] (promise 1 of both traits broken on purpose).
    pub fn lie(&self, lying: bool) {
        self.0.state().lying = lying;
    }

    /// The power fails: what was answered by a lie is gone; an honest store loses nothing. What
    /// is under way may still land: end the processes too.
    pub fn power_cut(&self) {
        self.0.state().undo_lies();
    }

    /// A row of this version has another value from now on, unnoticed, as on a medium that errs; and
    /// back again. Rows of another version stay as they are.
    pub fn damage(&self, key: &crate::Key, version: crate::Version, value: bytes::Bytes) {
        let mut state = self.0.state();
        if let Some(row) = state.rows.get_mut(key)
            && row.version == version
        {
            row.value = value;
        }
    }

    /// Tells `line` every call with its outcome, one line each, in order. The same seed and the
    /// same calls give the same lines. `line` must not use the world.
    pub fn trace(&self, line: impl FnMut(&str) + Send + 'static) {
        self.0.state().trace = Some(Box::new(line));
    }

    /// Tells `see` every row and object that comes to be, changes or goes from now on, in the order
    /// in which that happens, whoever is told of it: for checkers of what may follow what. Damage
    /// is not told. `see` must not use the world.
    pub fn observe(&self, see: impl FnMut(&Seen<'_>) + Send + 'static) {
        self.0.state().observer = Some(Box::new(see));
    }

    /// Adds a line of the simulation's own to the trace.
    pub fn note(&self, text: &str) {
        let at = self.0.elapsed();
        self.0.state().line(at, text);
    }

    /// The names of all objects, in order, however cut off or faulty the store is: for checkers.
    #[must_use]
    pub fn object_keys(&self) -> Vec<crate::ObjectKey> {
        self.0.state().objects.keys().cloned().collect()
    }

    /// All rows, in order: for checkers.
    #[must_use]
    pub fn rows(&self) -> Vec<(crate::Key, crate::Row)> {
        self.0.state().rows.iter().map(|(key, row)| (key.clone(), row.clone())).collect()
    }
}

impl Shared {
    /// Time since the world began.
    fn elapsed(&self) -> Duration {
        self.clock.instant().since(RuntimeClock::FIRST)
    }

    /// The store's wall time now, milliseconds.
    fn wall_ms(&self, state: &State) -> u64 {
        let elapsed = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.options.start_ms.saturating_add(elapsed).saturating_add_signed(state.skew_ms)
    }
}

/// A process's random bytes: from the world's seed.
struct SeededRandom(Mutex<Dice>);

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            let random = dice.next().to_le_bytes();
            chunk.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
        }
    }
}

#[cfg(test)]
mod tests;
