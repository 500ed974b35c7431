//! The one lane through which messages of this process become ingest segments.
//!
//! It holds what waits, packs it into batches, and keeps as many puts in flight as the engine
//! likes. One task owns all of it, so there is no lock, and a crash of the process drops it whole:
//! nothing that it dropped was acknowledged.
//!
//! A put may be over sooner than the senders that it answered come again. So that segments do not
//! get small by that, a batch waits a moment for messages that are being received just then
//! (decision 0075). A sender alone never waits, and a slow one holds nobody up.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{Event, ObjectKey};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mail::{Instant, RecordId};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::coming::Coming;
use super::put::{Fact, put_to_fact};
use super::writer::{BigKeys, Writer};
use super::{AcceptError, Receipt};
use crate::bodies::Bodies;
use crate::context::Context;
use crate::names;
use crate::segment::{Builder, NewRecord, SEGMENT_RECIPIENTS_MAX, SEGMENT_RECORDS_MAX};
use crate::space::Space;

/// After a put has ended the next waits for messages on their way, at most as long as that put
/// took, and no longer than this: it at most doubles what a message waits anyway.
const PATIENCE_MAX: Duration = Duration::from_millis(3);

/// It waits only while there are more than a quarter as many on their way as are there.
const WORTH_WAITING: usize = 4;

/// A message that waits to become durable.
pub(super) struct Pending {
    pub(super) record: NewRecord,
    /// Its body's own object, in the name of the writer that was when it came.
    pub(super) big: Option<RecordId>,
    pub(super) reply: oneshot::Sender<Result<Receipt, AcceptError>>,
    /// Its share of the spool, given back with the answer.
    pub(super) room: Vec<OwnedSemaphorePermit>,
}

/// Messages that go into one segment, with the ids they have under the present writer.
struct Batch {
    messages: Vec<Pending>,
    ids: Vec<RecordId>,
    /// The segment: the same bytes under whatever number it ends up.
    parts: Vec<Bytes>,
}

/// One put that was pursued to a fact.
struct Landed {
    number: u64,
    key: ObjectKey,
    batch: Batch,
    fact: Fact,
    /// When it began.
    began: Instant,
}

type Flight = Pin<Box<dyn Future<Output = Landed> + Send>>;

pub(super) struct Lane {
    cx: Arc<Context>,
    bodies: Arc<Bodies>,
    space: Arc<Space>,
    names: Arc<BigKeys>,
    coming: Arc<Coming>,
    queue: mpsc::Receiver<Pending>,
    waiting: VecDeque<Pending>,
    /// Batches to be put again under another number, ids kept.
    again: VecDeque<Batch>,
    writer: Writer,
    flying: FuturesUnordered<Flight>,
    /// Until when, after the last put, a small batch may wait.
    patience: Instant,
}

impl Lane {
    pub(super) fn new(
        cx: Arc<Context>,
        bodies: Arc<Bodies>,
        space: Arc<Space>,
        names: Arc<BigKeys>,
        coming: Arc<Coming>,
        queue: mpsc::Receiver<Pending>,
    ) -> Self {
        let writer = Writer::new(names.writer(), cx.engines.clock.instant());
        let (waiting, again, flying) = Default::default();
        let patience = Instant::default();
        Self { cx, bodies, space, names, coming, queue, waiting, again, writer, flying, patience }
    }

    /// Runs until nobody can commit any more and all is answered.
    pub(super) async fn run(mut self) {
        let mut open = true;
        while open || !self.flying.is_empty() || !self.again.is_empty() {
            self.take_waiting();
            let holds = open && self.holds();
            if !holds {
                self.start_puts().await;
            }
            let idle = self.waiting.is_empty() && self.again.is_empty();
            let until = if holds { self.patience } else { Instant::NEVER };
            let wake = self.cx.engines.clock.sleep_until(until);
            tokio::select! {
                biased;
                Some(landed) = self.flying.next(), if !self.flying.is_empty() => {
                    self.landed(landed);
                }
                first = self.queue.recv(), if open && (idle || holds) => match first {
                    Some(pending) => self.waiting.push_back(pending),
                    None => open = false,
                },
                () = wake, if holds => {}
                else => {}
            }
        }
    }

    /// Whether what waits should wait a moment longer: a put has just ended, and a good part of
    /// the next segment is still being received (decision 0075).
    fn holds(&self) -> bool {
        let waiting = self.waiting.len();
        self.flying.is_empty()
            && self.again.is_empty()
            && (1..SEGMENT_RECORDS_MAX).contains(&waiting)
            && self.coming.count() * WORTH_WAITING > waiting
            && self.cx.engines.clock.instant() < self.patience
    }

    /// Everything that waits now, up to one segment's records.
    fn take_waiting(&mut self) {
        while self.waiting.len() < SEGMENT_RECORDS_MAX {
            let Ok(pending) = self.queue.try_recv() else { break };
            self.waiting.push_back(pending);
        }
    }

    async fn start_puts(&mut self) {
        let width = self.cx.engines.objects.puts_in_flight().clamp(1, 8);
        while self.flying.len() < width && !(self.waiting.is_empty() && self.again.is_empty()) {
            if self.writer.is_old(&self.cx) && self.again.is_empty() {
                self.next_writer();
            }
            // [K]: the writer's row is there before its first segment.
            if let Err(error) = self.names.announce().await {
                tracing::warn!(%error, "cannot put this writer's row");
                self.refuse_waiting(&error);
                return;
            }
            if self.names.writer() != self.writer.id() {
                self.adopt(self.names.writer());
            }
            self.refuse_strangers();
            if self.waiting.is_empty() && self.again.is_empty() {
                return;
            }
            let Some(number) = self.writer.take_number() else { return };
            let batch = match self.again.pop_front() {
                Some(batch) => batch,
                None => self.next_batch(),
            };
            self.put(number, batch);
        }
    }

    /// The writer's row could not be put: what waits was certainly not stored.
    fn refuse_waiting(&mut self, error: &engine::WriteError) {
        let why = match error {
            engine::WriteError::Full(_) => AcceptError::Full,
            _ => AcceptError::Later,
        };
        let again = std::mem::take(&mut self.again).into_iter().flat_map(|batch| batch.messages);
        for pending in again.chain(std::mem::take(&mut self.waiting)) {
            answer(pending.reply, Err(why.clone()));
        }
    }

    fn next_batch(&mut self) -> Batch {
        let (mut messages, mut ids) = (Vec::new(), Vec::new());
        let mut builder = Builder::new(self.cx.nonce());
        let mut recipients = 0;
        // A plan has room for so many.
        let fits = |builder: &Builder, recipients: usize, next: &NewRecord| {
            let plan = recipients + next.recipients() <= SEGMENT_RECIPIENTS_MAX;
            builder.has_room(next) && (plan || builder.is_empty())
        };
        while let Some(next) =
            self.waiting.pop_front_if(|next| fits(&builder, recipients, &next.record))
        {
            recipients += next.record.recipients();
            let id = self.writer.fresh_record();
            builder.add(id, &next.record);
            ids.push(id);
            messages.push(next);
        }
        Batch { messages, ids, parts: builder.finish() }
    }

    fn put(&mut self, number: u64, batch: Batch) {
        let key = names::ingest(self.writer.id(), number);
        let cx = self.cx.clone();
        let began = cx.engines.clock.instant();
        self.coming.next_round();
        self.flying.push(Box::pin(async move {
            let fact = put_to_fact(&cx, &key, &batch.parts).await;
            Landed { number, key, batch, fact, began }
        }));
    }

    fn landed(&mut self, landed: Landed) {
        let Landed { number, key, batch, fact, began } = landed;
        let now = self.cx.engines.clock.instant();
        self.patience = now.after(now.since(began).min(PATIENCE_MAX));
        // A batch of an earlier writer answers for that one's numbers, which nobody uses any more.
        let current = batch.ids.first().is_none_or(|id| id.writer == self.writer.id());
        match fact {
            Fact::Stored => {
                if current {
                    self.writer.answered(number);
                }
                self.stored(key, batch);
            }
            Fact::Nowhere | Fact::NoRoom => {
                if current {
                    self.writer.give_back(number);
                }
                let why = if fact == Fact::NoRoom { AcceptError::Full } else { AcceptError::Later };
                if fact == Fact::NoRoom {
                    self.space.seen_full();
                }
                batch.messages.into_iter().for_each(|p| answer(p.reply, Err(why.clone())));
            }
            Fact::Closed if current => {
                tracing::warn!(%key, "a sweeper closed this number; the segment takes the next");
                self.writer.answered(number);
                self.again.push_back(batch);
            }
            Fact::Closed | Fact::Ended | Fact::Foreign => {
                if fact == Fact::Foreign {
                    tracing::error!(%key, "another process writes under this writer's name");
                }
                if current {
                    self.next_writer();
                }
                self.renamed(batch);
            }
        }
    }

    fn stored(&self, key: ObjectKey, batch: Batch) {
        self.bodies.remember(&key, &batch.parts);
        self.cx.engines.events.publish(Event::Object(key));
        let at = self.cx.engines.index.now();
        for (pending, id) in batch.messages.into_iter().zip(batch.ids) {
            drop(pending.room);
            // I1: the only place where a receipt is made of a segment, after it is known stored.
            answer(pending.reply, Ok(Receipt::new(id, at)));
        }
    }

    /// The messages of a batch get ids of the present writer [L, γ]. Certainly none is stored.
    fn renamed(&mut self, batch: Batch) {
        batch.messages.into_iter().rev().for_each(|pending| self.waiting.push_front(pending));
    }

    /// A large message of an earlier writer comes again: no segment names a large object of
    /// another writer, so that what is left of a writer can be deleted by its name.
    fn refuse_strangers(&mut self) {
        let writer = self.writer.id();
        let stranger = |pending: &Pending| pending.big.is_some_and(|big| big.writer != writer);
        for pending in std::mem::take(&mut self.waiting) {
            if stranger(&pending) {
                answer(pending.reply, Err(AcceptError::Later));
            } else {
                self.waiting.push_back(pending);
            }
        }
    }

    fn next_writer(&mut self) {
        let id = self.names.renew();
        self.adopt(id);
    }

    fn adopt(&mut self, id: mail::WriterId) {
        tracing::info!(writer = %id, "a new writer begins");
        self.writer = Writer::new(id, self.cx.engines.clock.instant());
        for batch in std::mem::take(&mut self.again).into_iter().rev() {
            self.renamed(batch);
        }
    }
}

/// Answers a session; one that has gone meanwhile was closed without a reply, which is what an
/// unknown outcome asks for.
fn answer(
    reply: oneshot::Sender<Result<Receipt, AcceptError>>,
    answer: Result<Receipt, AcceptError>,
) {
    if reply.send(answer).is_err() {
        tracing::debug!("a session has gone before its message was answered");
    }
}
