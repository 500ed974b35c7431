//! A running process: engines, store, edges and functions, from the first socket to the last
//! acknowledgement.
//!
//! Order matters. Sockets are bound first (they may need privileges, and a port that is taken
//! must be told before anything is touched); then the store is opened; then the functions start;
//! only then are clients let in and readiness told. It ends the other way round: no new client,
//! every open one to its next safe point, then the functions, then the engines.

mod certificates;
mod edges;
mod learning;
mod policy;
mod reports;
mod sending;
mod signals;

pub(crate) use sending::{host_and_port, leaving, rules};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::{Clock, Engines, Event};
use metrics_exporter_prometheus::PrometheusHandle;
use net::acme::Challenges;
use net::{Bound, Drain, Limits, LimitsOptions, Pace, Server, TlsMode, TlsServer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use store::Store;
use tracing::Instrument as _;

use crate::config::Config;
use crate::failure::Failure;
use crate::{notify, office};

/// Open files besides connections, about.
const OWN_DESCRIPTORS: usize = 200;

/// How often histograms are folded, whether anybody asks for metrics or not.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How often it is looked whether the store has closed itself.
const CLOSED_LOOK: Duration = Duration::from_secs(1);

/// How long a process whose store has closed itself waits for its connections.
const FAILED_DRAIN: Duration = Duration::from_secs(2);

/// What is known of a process that is ready.
#[derive(Clone, Debug)]
pub struct Started {
    /// The real addresses of each listener, by its name.
    pub listeners: BTreeMap<String, Vec<SocketAddr>>,
}

impl Started {
    /// One line: the first address of every listener by its name.
    #[must_use]
    pub fn to_json(&self) -> String {
        let first = |(name, addresses): (&String, &Vec<SocketAddr>)| {
            let address = addresses.first()?;
            Some((name.clone(), serde_json::Value::String(address.to_string())))
        };
        serde_json::Value::Object(self.listeners.iter().filter_map(first).collect()).to_string()
    }
}

/// Runs the roles of `config` until a signal ends the process. `prepare` is called with the open
/// store before any client is let in, `ready` when all of them are.
/// # Errors
/// Why it did not start, or did not end well.
pub fn run(
    config: &Config,
    prepare: impl AsyncFnOnce(&Store) -> Result<(), Failure>,
    ready: impl FnOnce(&Started) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, prepare, ready))
}

async fn serve(
    config: &Config,
    prepare: impl AsyncFnOnce(&Store) -> Result<(), Failure>,
    ready: impl FnOnce(&Started) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let signals = signals::Signals::listen()?;
    let bound = bind(config)?;
    let metrics = crate::metrics::start(&config.office.region)?;
    let store = office::open(config)?;
    prepare(&store).await?;
    let server = server(config, &store)?;
    let span = server.span.clone();
    keep_metrics(&store, metrics.clone());
    watch_directory(&store);
    let functions = edges::start_functions(config, &store).instrument(span.clone()).await?;
    let started = Started { listeners: addresses(&bound) };
    let challenges = Challenges::default();
    edges::start(config, &store, &server, bound, (metrics, challenges.clone())).await?;
    span.in_scope(|| certificates::keep(config, &store, &server, challenges))?;
    span.in_scope(|| tracing::info!(roles = ?config.office.roles, "ready"));
    ready(&started)?;
    notify::notify("READY=1");
    let closed = until_closed(store.engines());
    let failed = signals.until_the_end(server.tls.as_deref(), &server.tasks, closed).await;
    notify::notify("STOPPING=1");
    span.in_scope(|| tracing::info!("draining"));
    let clock = store.engines().clock.clone();
    // A store that has closed itself answers nobody any more: nobody is worth a long wait.
    let patience = config.limits.drain.min(if failed { FAILED_DRAIN } else { Duration::MAX });
    let all = server.drain.finish(&*clock, patience).await;
    if clock.timeout(patience, functions.drain()).await.is_err() {
        // Nothing is lost: what was begun is done again by whoever comes next.
        span.in_scope(|| tracing::warn!("functions did not end in time"));
    }
    store.engines().tasks.abort();
    span.in_scope(|| tracing::info!(all_connections_ended_well = all, "ended"));
    if failed {
        let error = "the store closed itself after a failed sync or damage";
        return Err(Failure::new(error, "look after the disk, then start again"));
    }
    Ok(())
}

/// Until an engine closes itself (H3): to go on would be to pretend. Whoever starts this process
/// again opens the store anew, and only what is on the medium counts.
async fn until_closed(engines: &Engines) {
    while !engines.closed() {
        engines.clock.sleep(CLOSED_LOOK).await;
    }
}

/// Every connection is a descriptor, and the usual limit is 1,024: takes as many as are allowed,
/// and returns how many connections there may be: the configured number, or fewer.
fn connections_max(configured: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let allowed = allowed.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let room = allowed.saturating_sub(OWN_DESCRIPTORS).max(1);
    if room < configured {
        tracing::info!(room, configured, "fewer open files are allowed than connections");
    }
    room.min(configured)
}

fn bind(config: &Config) -> Result<Vec<(String, Bound)>, Failure> {
    let mut bound = Vec::new();
    for (name, listener) in config.listening() {
        bound.push((name, listener.bind()?));
    }
    Ok(bound)
}

fn addresses(bound: &[(String, Bound)]) -> BTreeMap<String, Vec<SocketAddr>> {
    let mut addresses: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
    for (name, bound) in bound {
        addresses.entry(name.clone()).or_default().push(bound.address());
    }
    addresses
}

fn keep_metrics(store: &Store, metrics: PrometheusHandle) {
    let clock = store.engines().clock.clone();
    drop(store.engines().tasks.spawn("metrics", async move {
        loop {
            clock.sleep(METRICS_UPKEEP).await;
            metrics.run_upkeep();
        }
    }));
}

/// Forgets what this process remembers of the directory when anybody changes it, so that other
/// processes' changes count at once. An event that is lost costs `timing.directory_fresh`.
fn watch_directory(store: &Store) {
    let mut events = store.engines().events.subscribe();
    let watched = store.clone();
    drop(store.engines().tasks.spawn("directory", async move {
        loop {
            if matches!(events.next().await, None | Some(Event::Directory)) {
                watched.directory().refresh();
            }
        }
    }));
}

fn server(config: &Config, store: &Store) -> Result<Server, Failure> {
    let limits = &config.limits;
    let engines = store.engines();
    let options = LimitsOptions {
        connections_max: connections_max(limits.connections_max),
        per_network_max: limits.connections_per_address_max,
        per_minute_max: limits.connections_per_minute_max,
        trusted: limits.trusted.clone(),
    };
    let clock: Arc<dyn Clock> = engines.clock.clone();
    let wanted = config.listening().iter().any(|(_, one)| one.tls != TlsMode::None);
    let tls = wanted.then(|| TlsServer::open(config.certificates())).transpose()?.map(Arc::new);
    Ok(Server {
        limits: Limits::new(options, clock.clone()),
        clock,
        tasks: engines.tasks.clone(),
        tls,
        pace: Pace {
            window: limits.content_window,
            window_bytes_min: limits.content_min.0,
            write_stall: limits.write_stall,
            handshake: limits.handshake,
        },
        drain: Drain::new(),
        span: tracing::info_span!("office", region = config.office.region, edge = config.edge()),
    })
}
