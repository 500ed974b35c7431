//! Handlers in a long-running process: any subset of them, fed by events and sweeps.
//!
//! Events only hurry things along. What is not done is found by the sweep; what is to be done
//! later waits here, and is found by the sweep again if this process ends.

mod bounce;
mod deliver;
mod items;
mod maintain;
mod replicate;
mod reports;

use std::collections::BTreeMap;

use engine::{Event, Subscription};
use mail::{Instant, Timestamp};
use store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bounce::{Bounce, Identity};
use crate::relay::{self, Outside, Relay};
use crate::reports::{Around, Reporter, Reports};

/// Which functions run in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Functions {
    /// From accepted segments to mailboxes.
    pub deliver: bool,
    /// Sweeps, checkpoints, compaction, deletion.
    pub maintain: bool,
    /// From the directory's change log to its rows.
    pub replicate: bool,
}

impl Functions {
    /// All of them.
    pub const ALL: Self = Self { deliver: true, maintain: true, replicate: true };
}

/// Functions that run in this process. Dropping it does not stop them; [`Local::drain`] does, and
/// so does the end of the process's tasks.
#[derive(Debug)]
pub struct Local {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl Local {
    /// Starts the functions.
    #[must_use]
    pub fn start(store: &Store, functions: Functions) -> Self {
        let (stop, stopping) = watch::channel(false);
        let tasks = &store.engines().tasks;
        let mut running = Vec::new();
        if functions.deliver {
            let deliver = deliver::Loop::new(store.clone(), stopping.clone());
            running.push(tasks.spawn("deliver", deliver.run()));
            running.push(tasks.spawn("items", items::run(store.clone(), stopping.clone())));
        }
        if functions.maintain {
            let sweeps = maintain::Sweeps::new(store.clone(), stopping.clone());
            running.push(tasks.spawn("sweeps", sweeps.run()));
            let upkeep = maintain::Upkeep::new(store.clone(), stopping.clone());
            running.push(tasks.spawn("upkeep", upkeep.run()));
        }
        if functions.replicate {
            running.push(tasks.spawn("replicate", replicate::run(store.clone(), stopping)));
        }
        Self { stop, running }
    }

    /// Starts the relay too.
    pub fn relay(&mut self, store: &Store, options: relay::Options, outside: Outside) {
        let relay = Relay::new(store.clone(), options, outside);
        let run = relay.run(self.stop.subscribe());
        self.running.push(store.engines().tasks.spawn("relay", run));
    }

    /// Starts `bounce` too.
    pub fn bounce(&mut self, store: &Store, options: relay::Options, identity: Identity) {
        let poll = options.poll;
        let handler = Bounce::new(store.clone(), options, identity);
        let run = bounce::run(store.clone(), handler, poll, self.stop.subscribe());
        self.running.push(store.engines().tasks.spawn("bounce", run));
    }

    /// Writes what this process counts for reports.
    pub fn count_for_reports(&mut self, store: &Store) {
        let run = reports::count(store.clone(), self.stop.subscribe());
        self.running.push(store.engines().tasks.spawn("counts", run));
    }

    /// Makes reports too.
    pub fn reports(&mut self, store: &Store, reporter: Reporter, around: Around) {
        let handler = Reports::new(store.clone(), reporter, around);
        let run = reports::make(store.clone(), handler, self.stop.subscribe());
        self.running.push(store.engines().tasks.spawn("reports", run));
    }

    /// Lets every function finish what it has begun, begin nothing new, and end.
    pub async fn drain(self) {
        self.stop.send_replace(true);
        for task in self.running {
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(%error, "a function ended in a panic");
            }
        }
    }
}

/// Things that wait for their time, each once; bounded (I8): the latest go first, for the sweep
/// finds them again.
#[derive(Debug)]
struct Waiting<T> {
    by_time: BTreeMap<(Instant, T), ()>,
    when: BTreeMap<T, Instant>,
}

/// Most things that wait at once.
const WAITING_MAX: usize = 65_536;

impl<T: Ord + Clone> Waiting<T> {
    const fn new() -> Self {
        Self { by_time: BTreeMap::new(), when: BTreeMap::new() }
    }

    /// `thing` is to be done at `at`; the earlier of two times counts.
    fn add(&mut self, at: Instant, thing: T) {
        if let Some(known) = self.when.get(&thing) {
            if *known <= at {
                return;
            }
            self.by_time.remove(&(*known, thing.clone()));
        }
        self.when.insert(thing.clone(), at);
        self.by_time.insert((at, thing), ());
        if self.when.len() > WAITING_MAX
            && let Some(((_, last), ())) = self.by_time.pop_last()
        {
            self.when.remove(&last);
        }
    }

    /// When the first of them is due.
    fn next(&self) -> Instant {
        self.by_time.first_key_value().map_or(Instant::NEVER, |((at, _), ())| *at)
    }

    /// Takes what is due, at most `limit`.
    fn take_due(&mut self, now: Instant, limit: usize) -> Vec<T> {
        let mut due = Vec::new();
        while due.len() < limit && self.next() <= now {
            let Some(((_, thing), ())) = self.by_time.pop_first() else { break };
            self.when.remove(&thing);
            due.push(thing);
        }
        due
    }
}

/// The point of this process's clock at which the store's time will be `at`; not further away
/// than an hour, whatever the times say (I10).
fn instant_of(store: &Store, at: Timestamp) -> Instant {
    const FURTHEST: std::time::Duration = std::time::Duration::from_secs(3600);
    let wait = at.since(store.engines().index.now()).min(FURTHEST);
    store.engines().clock.instant().after(wait)
}

/// Waits until `next`, or until an event that `wakes`: one that was lost may have. Whether to go on:
/// not if the process is to stop.
async fn woken(
    store: &Store,
    next: Instant,
    stopping: &mut watch::Receiver<bool>,
    events: &mut Box<dyn Subscription>,
    wakes: impl Fn(&Event) -> bool,
) -> bool {
    loop {
        let wake = store.engines().clock.sleep_until(next);
        tokio::select! {
            biased;
            () = stopped(stopping) => return false,
            event = events.next() => {
                if event.is_none_or(|event| wakes(&event)) {
                    return true;
                }
            }
            () = wake => return true,
        }
    }
}

/// Ready when the process is to stop.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender gone is as good as a word from it.
    if stopping.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("a host is gone");
    }
}
