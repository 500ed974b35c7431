//! One message being taken: in memory up to 1 MiB, beyond that streamed into an object of its own
//! [P], scanned and hashed on the way.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use engine::{ObjectWriter, Put, WriteError};
use mail::structure::{Limits, Scanned, Scanner};
use mail::{Envelope, RecordId, Summary};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use super::coming::OnItsWay;
use super::lane::Pending;
use super::writer::BigKeys;
use super::{Accept, AcceptError, Ingest, Receipt, SPOOL_UNIT};
use crate::context::Context;
use crate::names;
use crate::segment::{Builder, Framer, Index, NewBody, NewRecord, Read, big_head};
use crate::space::Space;

/// Room in the spool is taken in steps of so many bytes.
const SPOOL_STEP: usize = 64 * 1024;

/// Takes the content of one message; dropped, it leaves nothing that anybody reads.
pub struct Incoming {
    ingest: Arc<Ingest>,
    spool: Spool,
    on_its_way: OnItsWay,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("received", &self.received()).finish_non_exhaustive()
    }
}

impl Incoming {
    pub(super) fn new(ingest: Arc<Ingest>) -> Self {
        let on_its_way = ingest.coming.begin();
        Self { spool: Spool::new(&ingest.spools, None), ingest, on_its_way }
    }

    /// Takes the next bytes of the message.
    /// # Errors
    /// [`AcceptError`]; the message cannot go on, and certainly is not stored.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AcceptError> {
        self.spool.write(bytes).await
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.spool.scanner.size()
    }

    /// Whether the message's header is over its limit already: the rest need not be read.
    #[must_use]
    pub fn header_too_large(&self) -> bool {
        self.spool.scanner.header_too_large()
    }

    /// The content is complete.
    /// # Errors
    /// [`AcceptError`]; certainly not stored as a message.
    pub async fn end(self) -> Result<Taken, AcceptError> {
        let Self { ingest, spool, on_its_way } = self;
        Ok(Taken { ingest, spooled: spool.end().await?, on_its_way })
    }

    /// [`Self::end`] and [`Taken::commit`].
    /// # Errors
    /// As these.
    pub async fn commit(self, accept: Accept) -> Result<Receipt, AcceptError> {
        self.end().await?.commit(accept).await
    }
}

/// A message that was taken whole and is not accepted yet.
pub struct Taken {
    ingest: Arc<Ingest>,
    spooled: Spooled,
    on_its_way: OnItsWay,
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taken").field("scanned", self.scanned()).finish_non_exhaustive()
    }
}

impl Taken {
    /// What the scanner found.
    #[must_use]
    pub const fn scanned(&self) -> &Scanned {
        &self.spooled.scanned
    }

    /// What clients will list of it.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.spooled.scanned.summary
    }

    /// The whole message in memory, for checks that need it so. Waits for room in the budget of
    /// the process; do it before the reply.
    /// # Errors
    /// [`AcceptError::Later`]: it cannot be read now, or is larger than the whole budget.
    pub async fn whole(&self) -> Result<Whole, AcceptError> {
        let size = usize::try_from(self.spooled.body.raw_bytes()).unwrap_or(usize::MAX);
        if size > self.ingest.cx.options.whole_bytes_max {
            return Err(AcceptError::Later);
        }
        let units = u32::try_from(size.div_ceil(SPOOL_UNIT)).map_err(|_| AcceptError::Later)?;
        let room = self.ingest.whole.clone().acquire_many_owned(units).await;
        let room = room.map_err(|_| AcceptError::Later)?;
        let bytes = match &self.spooled.raw {
            Some(raw) => raw.clone(),
            None => self.read_big().await?,
        };
        Ok(Whole { bytes, _room: room })
    }

    /// Reads the body back from its own object.
    async fn read_big(&self) -> Result<Bytes, AcceptError> {
        // A segment of this one record says where its frames are.
        let record = self.spooled.record(&Bytes::new(), None, Bytes::new(), mail::Timestamp(0))?;
        let mut builder = Builder::new(self.ingest.cx.nonce());
        builder.add(RecordId { writer: mail::WriterId([0; 16]), counter: 0 }, &record);
        let index = builder.finish().into_iter().next().unwrap_or_default();
        let Ok(Read::Whole(Index { records, .. })) = Index::read(&index) else {
            return Err(AcceptError::Later);
        };
        let Some(location) = records.first().map(|record| &record.location) else {
            return Err(AcceptError::Later);
        };
        let reading = location.reading(0..u64::MAX);
        let Some((big, range)) = reading.big() else { return Err(AcceptError::Later) };
        let got = self.ingest.cx.engines.objects.get_ranges(&names::big(big), &[range]).await;
        let frames = match got {
            Ok(Some(mut parts)) => parts.pop().unwrap_or_default(),
            Ok(None) => return Err(AcceptError::Later),
            Err(error) => {
                tracing::warn!(%error, "cannot read a large message back");
                return Err(AcceptError::Later);
            }
        };
        reading.finish(&Bytes::new(), &frames).map_err(|error| {
            tracing::error!(%error, "a large message was not stored as it was taken");
            AcceptError::Later
        })
    }

    /// Accepts the message: returns when it is durable in an ingest segment.
    /// # Errors
    /// [`AcceptError`]: [`AcceptError::Unknown`] asks for the connection to be closed without a
    /// reply; after every other the message is certainly not stored.
    pub async fn commit(self, accept: Accept) -> Result<Receipt, AcceptError> {
        let Self { ingest, mut spooled, on_its_way } = self;
        if spooled.scanned.header_too_large {
            return Err(AcceptError::Malformed("header over its limit"));
        }
        let Accept { envelope, prefix, verdicts } = accept;
        if envelope.recipients.is_empty() {
            return Err(AcceptError::Malformed("no recipient"));
        }
        let received = ingest.cx.engines.index.now();
        let room = std::mem::take(&mut spooled.room);
        // One record, however many its recipients: who is reached twice, by an alias of theirs too,
        // is recognised by its id, and none of them is accepted without the others [J, δ].
        let record = spooled.record(&prefix, Some(envelope), verdicts, received)?;
        let (reply, answer) = oneshot::channel();
        let pending = Pending { record, big: spooled.big, reply, room };
        ingest.stored(pending, on_its_way, answer).await
    }
}

impl Ingest {
    /// Hands a message to the lane and waits for its receipt.
    async fn stored(
        &self,
        pending: Pending,
        on_its_way: OnItsWay,
        answer: oneshot::Receiver<Result<Receipt, AcceptError>>,
    ) -> Result<Receipt, AcceptError> {
        let clock = &self.cx.engines.clock;
        let deadline = clock.instant().after(self.cx.options.timing.commit_patience);
        let Ok(Ok(())) = clock.by(deadline, self.queue.send(pending)).await else {
            // It never reached the lane: certainly not stored.
            return Err(AcceptError::Later);
        };
        // It has arrived: the lane must not wait for it any more.
        drop(on_its_way);
        // [N]: without an answer it may be in a segment whose outcome is not known.
        let Ok(Ok(answer)) = clock.by(deadline, answer).await else {
            return Err(AcceptError::Unknown);
        };
        let receipt = answer?;
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(receipt)
    }
}

/// A whole message in memory, counted against the budget of the process while it is held.
pub struct Whole {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whole").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The content of a message, complete, whatever becomes of it.
pub(crate) struct Spooled {
    pub(crate) scanned: Scanned,
    pub(crate) body: NewBody,
    /// The message itself, unless it is in an object of its own.
    pub(crate) raw: Option<Bytes>,
    /// That object.
    pub(crate) big: Option<RecordId>,
    pub(crate) summary: Bytes,
    room: Vec<OwnedSemaphorePermit>,
}

impl Spooled {
    /// A record of it.
    pub(crate) fn record(
        &self,
        prefix: &Bytes,
        envelope: Option<Envelope>,
        verdicts: Bytes,
        received: mail::Timestamp,
    ) -> Result<NewRecord, AcceptError> {
        NewRecord::new(
            received,
            envelope,
            verdicts,
            self.summary.clone(),
            prefix,
            self.body.clone(),
        )
        .ok_or(AcceptError::Malformed("prefix or verdicts over their limit"))
    }
}

/// What all messages being taken in this process share.
pub(crate) struct Spools {
    cx: Arc<Context>,
    room: Arc<Semaphore>,
    pub(super) big: Arc<BigKeys>,
    pub(crate) space: Arc<Space>,
}

impl Spools {
    pub(crate) fn new(cx: &Arc<Context>, space: &Arc<Space>) -> Self {
        let room = Arc::new(Semaphore::new(cx.options.spooling_bytes_max / SPOOL_UNIT));
        Self { cx: cx.clone(), room, big: Arc::new(BigKeys::new(cx)), space: space.clone() }
    }
}

/// Takes content: what [`Incoming`] and a large APPEND have in common.
pub(crate) struct Spool {
    shared: Arc<Spools>,
    scanner: Scanner,
    raw: Vec<u8>,
    big: Option<Big>,
    room: Vec<OwnedSemaphorePermit>,
    room_bytes: usize,
    /// An APPEND's: its object is its account's, not a writer's.
    own_name: Option<RecordId>,
}

/// The object that a large message streams into.
struct Big {
    id: RecordId,
    framer: Framer,
    writer: Box<dyn ObjectWriter>,
    stored: u64,
}

impl Spool {
    /// `own_name`: a large body gets this name, not one of this process's writer.
    pub(crate) fn new(shared: &Arc<Spools>, own_name: Option<RecordId>) -> Self {
        Self {
            shared: shared.clone(),
            scanner: Scanner::new(Limits::default()),
            raw: Vec::new(),
            big: None,
            room: Vec::new(),
            room_bytes: 0,
            own_name,
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), AcceptError> {
        let size = self.scanner.size() + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let max = self.shared.cx.options.message_bytes_max;
        if size > max {
            return Err(AcceptError::TooLarge { max });
        }
        self.scanner.feed(bytes);
        if self.big.is_some() {
            return self.write_big(bytes).await;
        }
        self.take_room(self.raw.len() + bytes.len())?;
        self.raw.extend_from_slice(bytes);
        if self.raw.len() > self.shared.cx.options.spool_bytes_max {
            self.start_big().await?;
        }
        Ok(())
    }

    /// Room in the spool for so many bytes in all (I8).
    fn take_room(&mut self, bytes: usize) -> Result<(), AcceptError> {
        while self.room_bytes < bytes {
            let units = u32::try_from(SPOOL_STEP / SPOOL_UNIT).unwrap_or(1);
            match self.shared.room.clone().try_acquire_many_owned(units) {
                Ok(permit) => self.room.push(permit),
                Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                    return Err(AcceptError::Later);
                }
            }
            self.room_bytes += SPOOL_STEP;
        }
        Ok(())
    }

    /// [P]: from here on into an object of its own, which no number waits for.
    async fn start_big(&mut self) -> Result<(), AcceptError> {
        let id = match self.own_name {
            Some(id) => id,
            None => self.shared.big.next().await.map_err(refused)?,
        };
        let objects = &self.shared.cx.engines.objects;
        let mut writer = objects.put_streaming(&names::big(id)).await.map_err(refused)?;
        writer.write(big_head()).await.map_err(refused)?;
        let raw = std::mem::take(&mut self.raw);
        self.big = Some(Big { id, framer: Framer::new(), writer, stored: 0 });
        self.write_big(&raw).await?;
        // What is held from now on is one frame and what the scanner holds.
        let kept = 2 * SPOOL_STEP + crate::segment::FRAME_BYTES;
        self.room.truncate(kept.div_ceil(SPOOL_STEP));
        self.room_bytes = self.room.len() * SPOOL_STEP;
        Ok(())
    }

    async fn write_big(&mut self, bytes: &[u8]) -> Result<(), AcceptError> {
        let Some(big) = &mut self.big else { return Ok(()) };
        big.framer.push(bytes);
        for frame in big.framer.take_stored() {
            big.stored += u64::try_from(frame.len()).unwrap_or(u64::MAX);
            big.writer.write(frame).await.map_err(refused)?;
        }
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<Spooled, AcceptError> {
        let Self { shared, scanner, raw, big, room, .. } = self;
        let id = big.as_ref().map(|big| big.id);
        let (body, raw) = match big {
            None => (NewBody::of(&raw), Some(Bytes::from(raw))),
            Some(big) => (big.finish(&shared.cx).await?, None),
        };
        let scanned = scanner.finish();
        let summary = Bytes::from(scanned.summary.encode());
        Ok(Spooled { scanned, body, raw, big: id, summary, room })
    }
}

impl Big {
    async fn finish(self, cx: &Context) -> Result<NewBody, AcceptError> {
        let Self { id, framer, mut writer, mut stored } = self;
        let (frames, body) = framer.finish_big();
        for frame in frames {
            stored += u64::try_from(frame.len()).unwrap_or(u64::MAX);
            writer.write(frame).await.map_err(refused)?;
        }
        match writer.finish().await {
            Ok(Put::Stored) => {}
            // A name is used once, so what is there is what an earlier answer did not tell of.
            Ok(Put::Exists(_)) => confirm(cx, id, stored).await?,
            Err(WriteError::Unknown(cause)) => {
                tracing::warn!(%cause, "whether a large message was stored is not known yet");
                confirm(cx, id, stored).await?;
            }
            Err(error) => return Err(refused(error)),
        }
        Ok(body.in_big(id))
    }
}

/// Whether the object is there, whole: objects are visible whole or not at all, under a name that
/// nobody else uses. If it is not there now, nothing will ever name it.
async fn confirm(cx: &Context, id: RecordId, stored: u64) -> Result<(), AcceptError> {
    let key = names::big(id);
    let size = stored + crate::segment::BIG_FRAMES_AT;
    let mut backoff = cx.backoff();
    for _ in 0..4 {
        match cx.engines.objects.list(key.as_str(), None, 1).await {
            Ok(listed) if listed.iter().any(|one| one.key == key && one.size == size) => {
                return Ok(());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%key, %error, "cannot look for a large message"),
        }
        backoff.pause().await;
    }
    Err(AcceptError::Later)
}

/// Nothing names the object yet, so the message is certainly not stored.
fn refused(error: WriteError) -> AcceptError {
    tracing::warn!(%error, "cannot take a large message");
    match error {
        WriteError::Full(_) => AcceptError::Full,
        _ => AcceptError::Later,
    }
}
