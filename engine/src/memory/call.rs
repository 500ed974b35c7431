//! One call of one simulated process: what may happen to it on the way to the store and back.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::broadcast;

use super::Shared;
use super::faults::Ending;
use super::state::State;
use crate::events::Told;
use crate::{Cause, Clock, Counters, ReadError, WriteError};

/// A process's way to its world; all three engines of it.
#[derive(Clone)]
pub(crate) struct Process {
    pub(super) world: Arc<Shared>,
    pub(super) name: Arc<str>,
    pub(super) counters: Arc<Counters>,
    /// The latest store time it was told, in milliseconds.
    pub(super) told_ms: Arc<AtomicU64>,
    pub(super) events: Arc<broadcast::Sender<Told>>,
}

/// What the faults have in store for a call.
struct Fate {
    number: u64,
    before: Duration,
    after: Duration,
    ending: Ending,
}

/// The cause that simulated failures give.
#[derive(Debug, thiserror::Error)]
#[error("simulated: {0}")]
pub(super) struct Simulated(pub(super) &'static str);

fn cause(what: &'static str) -> Cause {
    Simulated(what).into()
}

/// An effect on the state, which may be carried out twice.
pub(super) trait Effect<T>:
    FnMut(&mut State) -> Result<T, WriteError> + Send + 'static
{
}

impl<T, F: FnMut(&mut State) -> Result<T, WriteError> + Send + 'static> Effect<T> for F {}

impl Process {
    /// Carries out a write with whatever befalls it.
    pub(super) async fn write<T: fmt::Debug + Send + 'static>(
        &self,
        what: String,
        mut effect: impl Effect<T>,
    ) -> Result<T, WriteError> {
        let fate = self.fate(false, &what);
        let number = fate.number;
        let answer = match fate.ending {
            Ending::Failed => {
                self.sleep(fate.before).await;
                Err(WriteError::Unavailable(cause("not carried out")))
            }
            Ending::Full => {
                self.sleep(fate.before).await;
                Err(WriteError::Full(cause("no room")))
            }
            Ending::LostDropped => {
                self.sleep(fate.before).await;
                Err(WriteError::Unknown(cause("request lost")))
            }
            Ending::Answered => self.land(fate.before, effect).await,
            Ending::LostDone => {
                let done = self.land(fate.before, effect).await;
                self.line(number, &what, &format_args!("answer lost: {}", outcome(&done)));
                Err(WriteError::Unknown(cause("answer lost")))
            }
            Ending::LostLate(late) => {
                self.land_late(number, late, what.clone(), effect);
                self.sleep(fate.before).await;
                Err(WriteError::Unknown(cause("no answer yet")))
            }
            Ending::Repeated => {
                let first = effect(&mut self.world.state());
                self.line(number, &what, &format_args!("repeated: {}", outcome(&first)));
                match self.land(fate.before, effect).await {
                    // Ours, and overwritten before the second try: no conflict to be told of.
                    Err(WriteError::Conflict) if first.is_ok() => {
                        Err(WriteError::Unknown(cause("repeated, then overwritten")))
                    }
                    second => second,
                }
            }
        };
        self.sleep(fate.after).await;
        self.line(number, &what, &outcome(&answer));
        answer
    }

    /// Carries out a read. `look` is told whether an eventual read would be served stale.
    pub(super) async fn read<T>(
        &self,
        what: String,
        look: impl FnOnce(&State, bool) -> Result<T, ReadError>,
        shown: impl FnOnce(&T) -> String,
    ) -> Result<T, ReadError> {
        let fate = self.fate(true, &what);
        self.sleep(fate.before).await;
        let answer = if fate.ending == Ending::Failed {
            Err(ReadError::Unavailable(cause("read failed")))
        } else {
            let mut state = self.world.state();
            let chance = state.faults.read_stale;
            let stale = state.dice.chance(chance);
            look(&state, stale)
        };
        self.sleep(fate.after).await;
        match &answer {
            Ok(found) => self.line(fate.number, &what, &shown(found)),
            Err(error) => self.line(fate.number, &what, error),
        }
        answer
    }

    fn fate(&self, read: bool, what: &str) -> Fate {
        const HOUR: Duration = Duration::from_secs(3_600);
        let elapsed = self.world.elapsed();
        let mut state = self.world.state();
        state.calls += 1;
        let number = state.calls;
        let State { faults, dice, script, cut, stalled, traps, .. } = &mut *state;
        let (mut before, mut after) = faults.delays(dice);
        let until = stalled.get(&*self.name).copied().unwrap_or_default();
        let hangs = until.saturating_sub(elapsed);
        if !hangs.is_zero() {
            // On the way there, or on the way back.
            let way = if dice.chance(500) { &mut before } else { &mut after };
            *way = way.saturating_add(hangs);
        } else if let Some((_, time)) = traps.get(&*self.name).filter(|(c, _)| matches(what, c)) {
            stalled.insert((*self.name).to_owned(), elapsed.saturating_add(*time));
            traps.remove(&*self.name);
        }
        if number > self.world.options.calls_max {
            before = HOUR;
        }
        let ending = if cut.contains(&*self.name) {
            Ending::Failed
        } else if read {
            if dice.chance(faults.read_failed) { Ending::Failed } else { Ending::Answered }
        } else if let Some(scripted) = script.pop_front() {
            scripted
        } else if *faults == super::Faults::default() {
            Ending::Answered
        } else {
            faults.write(dice)
        };
        Fate { number, before, after, ending }
    }

    /// Carries out `effect` after a delay; whoever asked may be gone by then.
    async fn land<T: Send + 'static>(
        &self,
        delay: Duration,
        mut effect: impl Effect<T>,
    ) -> Result<T, WriteError> {
        if delay.is_zero() {
            return effect(&mut self.world.state());
        }
        let world = self.world.clone();
        let landing = self.world.tasks.spawn("effect under way", async move {
            world.sleep(delay).await;
            effect(&mut world.state())
        });
        landing.await.unwrap_or_else(|_| Err(WriteError::Unknown(cause("world ended"))))
    }

    fn land_late<T: fmt::Debug + Send + 'static>(
        &self,
        number: u64,
        delay: Duration,
        what: String,
        mut effect: impl Effect<T>,
    ) {
        let (world, name) = (self.world.clone(), self.name.clone());
        self.world.tasks.spawn("late effect", async move {
            world.sleep(delay).await;
            let done = effect(&mut world.state());
            world.line(number, &name, &what, &format_args!("landed late: {}", outcome(&done)));
        });
    }

    pub(super) async fn sleep(&self, time: Duration) {
        self.world.sleep(time).await;
    }

    pub(super) fn line(&self, number: u64, what: &str, ended: &dyn fmt::Display) {
        self.world.line(number, &self.name, what, ended);
    }
}

impl Shared {
    pub(super) fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + use<> {
        let timer =
            (!time.is_zero()).then(|| self.clock.sleep_until(self.clock.instant().after(time)));
        async move {
            if let Some(timer) = timer {
                timer.await;
            }
        }
    }

    fn line(&self, number: u64, process: &str, what: &str, ended: &dyn fmt::Display) {
        let mut state = self.state();
        if state.trace.is_some() {
            let at = self.elapsed();
            state.line(at, &format!("#{number} {process} {what} -> {ended}"));
        }
    }
}

/// Whether a call is one that a trap waits for: it begins with what stands before a `*`, if there is
/// one, and has in it what stands behind that.
fn matches(what: &str, call: &str) -> bool {
    let (begin, within) = call.split_once('*').unwrap_or((call, ""));
    what.starts_with(begin) && what.contains(within)
}

/// An answer as the trace shows it.
fn outcome<T: fmt::Debug>(answer: &Result<T, WriteError>) -> String {
    match answer {
        Ok(done) => format!("{done:?}"),
        Err(error) => error.to_string(),
    }
}
