//! `relay`: items leave by SMTP, through one of our egresses.
//!
//! **Wakes it:** an item made in this process (at once), a due row (soon), the end of a hold.
//! **Reads:** due rows of the shards it leases, items, the segments that they name, what is remembered
//! of destinations. **Writes:** item rows with their due rows, shard leases, a row when what is known
//! of a destination or an egress changes [g′].
//!
//! **A second run is harmless:** starting an item is fenced by its version; a takeover of a lease
//! writes "unknown" into the history before anything is sent [c]; a 250 is written whatever happened
//! meanwhile, unless the item is finished [d]; finished items stay [b].
//!
//! **Upholds:** I1 (an item is finished only when every recipient was taken or told of), I6, I8.

mod attempt;
mod content;
mod dial;
mod job;
mod offer;
mod options;
mod outcome;
mod pace;
mod passing;
mod queue;
mod scout;
mod seal;
mod settle;
mod sites;
#[cfg(test)]
mod tests;
mod tls;
mod worker;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::Clock;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use mail::{Timestamp, WriterId};
use net::send::Dialer;
use store::rows::ItemKey;
use store::{Announced, Store};
use tokio::sync::{Notify, mpsc, watch};

use crate::routes::Routes;
use queue::{Added, Bounds, Queue};
use sites::Sites;

pub(crate) use outcome::{notify_of, parse_said};

pub use offer::Forwarding;
pub use options::Options;
pub use passing::{Spf, SpfSays};

/// Fresh items of this process that may wait to be taken.
const FRESH_MAX: usize = 1_000;

/// A look at what may be started, if nothing asks for one before.
const NO_TURN: Duration = Duration::from_secs(60);

/// What a relay needs of the world.
#[derive(Clone)]
pub struct Outside {
    /// Opens connections.
    pub dialer: Arc<dyn Dialer>,
    /// Finds the way.
    pub routes: Routes,
    /// How mail that is forwarded is rewritten; `None`: senders stay as they are.
    pub forwarding: Option<Forwarding>,
    /// Tells through which egresses mail of our domains may leave; `None`: through any.
    pub spf: Option<Arc<dyn Spf>>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// What all tasks of a relay share.
struct Shared {
    store: Store,
    options: Options,
    outside: Outside,
    /// This relay, in leases.
    holder: WriterId,
    queue: Mutex<Queue>,
    sites: Sites,
    /// Which egresses SPF passes for domains of ours.
    known: passing::Known,
    /// Items that were begun under their first lease, and whose end is not written yet [f].
    begun: Mutex<BTreeSet<ItemKey>>,
    /// Refusals that no rule knows and that are kept already: operator and shape.
    noted: Mutex<BTreeSet<(String, String)>>,
    /// There may be something to start.
    ready: Notify,
    /// A destination's own place may be to be looked at.
    look: Notify,
}

impl Shared {
    fn now(&self) -> Timestamp {
        self.store.engines().index.now()
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.store.engines().clock
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> MutexGuard<'_, BTreeSet<ItemKey>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether whoever holds a lease died: then it holds nobody up.
    fn is_dead(&self, holder: WriterId) -> bool {
        self.store.engines().peers.is_dead_holder(&holder.0)
    }

    /// A time, a quarter shorter or longer at random: what failed together is not tried together.
    fn jitter(&self, time: Duration) -> Duration {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let random = &self.store.engines().random;
        Duration::from_millis(ms - ms / 4 + random.below(ms / 2 + 1))
    }

    /// Items that are due, to the queue; what belongs at its destination's own place goes there.
    async fn take_in(&self, due: Vec<Announced>) {
        let now = self.now();
        let mut aside = Vec::new();
        {
            let mut queue = self.queue();
            for one in due {
                if queue.add(one.clone(), now) == Added::Aside {
                    aside.push(one);
                }
            }
        }
        self.ready.notify_one();
        if !aside.is_empty() {
            self.set_aside(aside).await;
        }
    }
}

/// A relay.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    fresh: mpsc::Receiver<Announced>,
}

impl Relay {
    /// A relay on this store.
    pub(crate) fn new(store: Store, options: Options, outside: Outside) -> Self {
        let engines = store.engines();
        let holder = WriterId(engines.peers.holder(&*engines.random));
        let fresh = store.items().hand().open(holder, options.lease, FRESH_MAX);
        let bounds = Bounds {
            connections: options.connections_max.max(1),
            per_destination: options.per_destination_max.max(1),
            waiting: options.waiting_max.max(1),
            waiting_all: options.waiting_all_max.max(1),
        };
        let shared = Shared {
            store,
            options,
            outside,
            holder,
            queue: Mutex::new(Queue::new(bounds)),
            sites: Sites::default(),
            known: passing::Known::default(),
            begun: Mutex::default(),
            noted: Mutex::default(),
            ready: Notify::new(),
            look: Notify::new(),
        };
        Self { shared: Arc::new(shared), fresh }
    }

    /// Sends until told to stop; then lets every connection finish its message.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let shared = self.shared.clone();
        let tasks = shared.store.engines().tasks.clone();
        let scout = tasks.spawn("relay-scout", scout::run(shared.clone(), stopping.clone()));
        let mut working = FuturesUnordered::new();
        loop {
            // Before what may start is started: what may by then is seen in the next turn.
            let now = shared.now();
            let turn = shared.queue().next_start(now).map(|at| at.since(now));
            let turn = shared.clock().sleep(turn.unwrap_or(NO_TURN));
            while let Some(destination) = self.start() {
                let work = worker::run(shared.clone(), destination, stopping.clone());
                working.push(tasks.spawn("relay-send", work));
            }
            tokio::select! {
                biased;
                () = crate::host::local::stopped(&mut stopping) => break,
                Some(ended) = working.next(), if !working.is_empty() => report(ended),
                Some(due) = self.fresh.recv() => {
                    let mut all = vec![due];
                    while let Ok(more) = self.fresh.try_recv() {
                        all.push(more);
                    }
                    shared.take_in(all).await;
                }
                () = shared.ready.notified() => {}
                () = turn => {}
            }
        }
        shared.store.items().hand().close();
        while let Some(ended) = working.next().await {
            report(ended);
        }
        report(scout.await);
    }

    fn start(&self) -> Option<String> {
        let now = self.shared.now();
        let mut queue = self.shared.queue();
        let next = queue.start(now);
        let (active, waiting) = queue.counts();
        drop(queue);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        {
            metrics::gauge!("postroad_relay_connections_open").set(active as f64);
            metrics::gauge!("postroad_relay_items_waiting").set(waiting as f64);
        }
        next
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task of the relay ended in a panic");
        metrics::counter!("postroad_relay_panics_total").increment(1);
    }
}
