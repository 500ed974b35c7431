//! Runs `deliver`: new segments as they come, in natural batches.

use std::time::Duration;

use engine::{Event, ObjectKey, Subscription};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use mail::Instant;
use store::Store;
use tokio::sync::watch;

use super::{Waiting, instant_of, stopped};
use crate::deliver::Deliver;
use crate::handler::{Handler, Outcome};

/// Segments in one batch.
const BATCH_MAX: usize = 64;

/// Batches under way at once. Normally one, so that batches are large; more only while one hangs.
const BATCHES_MAX: usize = 4;

/// A batch that takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_millis(100);

/// What was finished rides with the next batch; only if none comes for so long it is written by
/// itself: a single sender's next message comes sooner, and costs no sync more.
const FLUSH_AFTER: Duration = Duration::from_millis(250);

type Batch = (Vec<ObjectKey>, Vec<Outcome>);

pub(super) struct Loop {
    store: Store,
    stopping: watch::Receiver<bool>,
    events: Box<dyn Subscription>,
    deliver: Deliver,
    waiting: Waiting<ObjectKey>,
    /// Until when nothing more is begun, while a batch is under way.
    hold: Instant,
}

impl Loop {
    pub(super) fn new(store: Store, stopping: watch::Receiver<bool>) -> Self {
        let now = store.engines().clock.instant();
        Self {
            events: store.engines().events.subscribe(),
            deliver: Deliver::new(store.clone()),
            waiting: Waiting::new(),
            hold: now,
            stopping,
            store,
        }
    }

    pub(super) async fn run(self) {
        let Self { store, mut stopping, mut events, deliver, mut waiting, mut hold } = self;
        let clock = store.engines().clock.clone();
        let mut flying = FuturesUnordered::new();
        let mut flush_at = Instant::NEVER;
        loop {
            let now = clock.instant();
            take_events(&mut events, &mut waiting, now);
            let free = flying.is_empty() || (flying.len() < BATCHES_MAX && now >= hold);
            if free && waiting.next() <= now {
                let keys = waiting.take_due(now, BATCH_MAX);
                hold = now.after(HANGS_AFTER);
                let deliver = &deliver;
                flying.push(async move {
                    let outcomes = deliver.handle(keys.clone()).await;
                    (keys, outcomes)
                });
                continue;
            }
            if flying.is_empty() && now >= flush_at {
                deliver.flush().await;
                flush_at = Instant::NEVER;
                continue;
            }
            let next = match flying.len() {
                0 => waiting.next().min(flush_at),
                // Nothing more is begun before one of them has ended: do not wake for it.
                BATCHES_MAX.. => Instant::NEVER,
                _ => waiting.next().max(hold),
            };
            let wake = clock.sleep_until(next);
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => break,
                Some(batch) = flying.next(), if !flying.is_empty() => {
                    ended(&store, batch, &mut waiting);
                    if deliver.has_finished() {
                        flush_at = clock.instant().after(FLUSH_AFTER);
                    }
                }
                event = events.next() => note(event, &mut waiting, now),
                () = wake => {}
            }
        }
        while let Some(batch) = flying.next().await {
            ended(&store, batch, &mut waiting);
        }
        deliver.flush().await;
    }
}

/// All events that are there already, so that a batch takes them together.
fn take_events(events: &mut Box<dyn Subscription>, waiting: &mut Waiting<ObjectKey>, now: Instant) {
    while let Some(event) = events.next().now_or_never() {
        note(event, waiting, now);
    }
}

fn note(event: Option<Event>, waiting: &mut Waiting<ObjectKey>, now: Instant) {
    match event {
        Some(Event::Object(key)) if store::names::parse_ingest(&key).is_some() => {
            waiting.add(now, key);
        }
        // Some were lost: the sweep finds what they named.
        None | Some(_) => {}
    }
}

fn ended(store: &Store, (keys, outcomes): Batch, waiting: &mut Waiting<ObjectKey>) {
    for (key, outcome) in keys.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Done => {}
            Outcome::Later { at, why } => {
                tracing::debug!(%key, %why, "a segment is delivered later");
                waiting.add(instant_of(store, at), key);
            }
            Outcome::Park { why } => {
                // The sweep brings it again, so it is never dropped.
                tracing::error!(%key, %why, "a segment cannot be delivered");
                metrics::counter!("postroad_segments_parked_total").increment(1);
            }
        }
    }
}
