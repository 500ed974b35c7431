//! The writer that this process is at the moment, and the names of its large messages.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Expect, Row, Version, WriteError};
use mail::{Instant, RecordId, WriterId};

use crate::context::{Context, too_large};
use crate::rows::{self, RowValue, WriterRow, WriterState};

/// Numbers that may be used before the answer of the oldest is known: n waits for n − 8 [γ].
const NUMBERS_AHEAD: u64 = 8;

/// One incarnation of this edge: its id, the numbers it used and the records it made.
pub(super) struct Writer {
    id: WriterId,
    began: Instant,
    next: u64,
    records: u64,
    unanswered: BTreeSet<u64>,
    /// Numbers that certainly hold nothing of ours and may be used again.
    free: BTreeSet<u64>,
}

impl Writer {
    pub(super) fn new(id: WriterId, began: Instant) -> Self {
        let (unanswered, free) = (BTreeSet::new(), BTreeSet::new());
        Self { id, began, next: 1, records: 0, unanswered, free }
    }

    pub(super) const fn id(&self) -> WriterId {
        self.id
    }

    /// The next number, if one may be used before another answer has come.
    pub(super) fn take_number(&mut self) -> Option<u64> {
        let number = match self.free.pop_first() {
            Some(number) => number,
            None => {
                let oldest = self.unanswered.first().copied().unwrap_or(self.next);
                // [γ]: eight end tombstones in a row always meet a writer that goes on.
                if self.next >= oldest + NUMBERS_AHEAD {
                    return None;
                }
                self.next += 1;
                self.next - 1
            }
        };
        self.unanswered.insert(number);
        Some(number)
    }

    pub(super) fn answered(&mut self, number: u64) {
        self.unanswered.remove(&number);
    }

    /// The number was taken, and certainly nothing is or will be under it.
    pub(super) fn give_back(&mut self, number: u64) {
        self.unanswered.remove(&number);
        self.free.insert(number);
    }

    pub(super) fn fresh_record(&mut self) -> RecordId {
        self.records += 1;
        RecordId { writer: self.id, counter: self.records }
    }

    /// Whether its life is over: a day, or so many numbers.
    pub(super) fn is_old(&self, cx: &Context) -> bool {
        cx.engines.clock.instant().since(self.began) >= cx.options.timing.writer_life
            || self.next > cx.options.upkeep.writer_numbers
    }
}

/// Names of `big/` objects of this process: the writer it is at the moment, and a counter. Also
/// sees to it that the writer's row is there before anything is put in its name [K].
pub(crate) struct BigKeys {
    cx: Arc<Context>,
    current: Mutex<Current>,
    announcing: tokio::sync::Mutex<()>,
}

struct Current {
    writer: WriterId,
    announced: bool,
    counter: u64,
}

impl BigKeys {
    pub(super) fn new(cx: &Arc<Context>) -> Self {
        let writer = WriterId(cx.engines.random.bytes());
        let current = Mutex::new(Current { writer, announced: false, counter: 0 });
        Self { cx: cx.clone(), current, announcing: tokio::sync::Mutex::new(()) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer that this process is now.
    pub(super) fn writer(&self) -> WriterId {
        self.lock().writer
    }

    /// A new incarnation, not announced yet.
    pub(super) fn renew(&self) -> WriterId {
        let writer = WriterId(self.cx.engines.random.bytes());
        *self.lock() = Current { writer, announced: false, counter: 0 };
        writer
    }

    /// Name of a large message, after the writer's row was put.
    pub(super) async fn next(&self) -> Result<RecordId, WriteError> {
        self.announce().await?;
        let mut current = self.lock();
        current.counter += 1;
        Ok(RecordId { writer: current.writer, counter: current.counter })
    }

    /// Puts the row of the current writer, unless that is known to be there [K].
    pub(super) async fn announce(&self) -> Result<(), WriteError> {
        let _one = self.announcing.lock().await;
        let writer = {
            let current = self.lock();
            if current.announced {
                return Ok(());
            }
            current.writer
        };
        let index = &self.cx.engines.index;
        let value = WriterRow {
            edge: self.cx.options.edge.chars().take(15).collect(),
            started: index.now(),
            watermark: 0,
            state: WriterState::Open,
            last: 0,
        };
        let row = Row {
            value: value.encode().map_err(too_large)?,
            version: Version(1),
            // Derived from the id, so that a repetition after an unknown answer is the same write.
            nonce: engine::Nonce(std::array::from_fn(|i| writer.0[i])),
            expiry: None,
        };
        match index.put_if(&rows::writer_key(writer), row, Expect::Absent).await {
            Ok(()) => {}
            // Its row is there and not ours: the id is a clone's [L]. The next one is fresh.
            Err(WriteError::Conflict) => {
                tracing::error!(%writer, "this writer exists already; taking another id");
                self.renew();
                return Err(WriteError::Unavailable("the writer's id was taken".into()));
            }
            Err(error) => return Err(error),
        }
        let mut current = self.lock();
        if current.writer == writer {
            current.announced = true;
        }
        Ok(())
    }
}
