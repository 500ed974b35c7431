//! Bytes of messages: reading them, and taking those of an APPEND [ζ].

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mail::structure::Scanned;
use mail::{FlagSet, RecordId, Timestamp, Uid};

use super::{AccountLog, LogError};
use crate::change::{Arrival, ArrivalPlace, MailboxId};
use crate::ingest::{AcceptError, Spool};
use crate::inline::Inline;
use crate::names;
use crate::place::{ObjectNonce, Place, SegmentRef, Slot};
use crate::segment::Builder;

impl AccountLog {
    /// Part of a message as a client reads it (prefix, then body), checked. `None`: there is no
    /// such message (any more).
    /// # Errors
    /// [`LogError`]; [`LogError::Damaged`] needs a person.
    pub async fn read(
        &self,
        mailbox: MailboxId,
        uid: Uid,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, LogError> {
        let mut tried = None;
        for _ in 0..3 {
            let found = self.view(|state| {
                let message = state.mailbox(mailbox)?.message(uid.get())?;
                let inline = state.inline(message.arrival).cloned();
                Some((message.place, inline))
            });
            let Some((place, inline)) = found else { return Ok(None) };
            let slot = match (place, inline) {
                (Place::Inline, Some(inline)) => {
                    let whole = inline.unpack().map_err(|e| LogError::Damaged(Box::new(e)))?;
                    return Ok(Some(cut(&whole, &range)));
                }
                (Place::Inline, None) => {
                    return Err(LogError::Damaged("the bytes of an APPEND are not there".into()));
                }
                (Place::Slot(slot), _) => slot,
            };
            if tried == Some(slot) {
                // I5: what is referred to is never deleted.
                return Err(LogError::Damaged("a message's segment is not there".into()));
            }
            let key = names::segment(self.account, slot.segment);
            if let Some(bytes) = self.bodies.read(&key, slot.index, range.clone()).await? {
                return Ok(Some(bytes));
            }
            // Deleted: it has moved, and the log says where to.
            tried = Some(slot);
            self.fresh().await?;
        }
        Err(LogError::Behind)
    }

    /// Takes the bytes of an APPEND.
    #[must_use]
    pub fn append_body(self: &Arc<Self>) -> AppendBody {
        let nonce = ObjectNonce(self.cx.engines.random.bytes());
        // Named by the segment that will name it, so that who finds it finds out whether one does.
        let big = names::account_big(self.account, nonce);
        AppendBody { log: self.clone(), spool: Spool::new(&self.spools, Some(big)), nonce }
    }
}

fn cut(whole: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
    let (start, end) = (at(range.start), at(range.end));
    if start < end { whole.slice(start..end) } else { Bytes::new() }
}

/// Takes the bytes of one APPEND; dropped, it leaves nothing that anybody reads.
pub struct AppendBody {
    log: Arc<AccountLog>,
    spool: Spool,
    /// Of the segment that a body which does not fit into its entry goes into.
    nonce: ObjectNonce,
}

impl std::fmt::Debug for AppendBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppendBody").field("account", &self.log.account).finish_non_exhaustive()
    }
}

impl AppendBody {
    /// Takes the next bytes.
    /// # Errors
    /// [`AcceptError`]; certainly not stored.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AcceptError> {
        self.spool.write(bytes).await
    }

    /// The bytes are complete: a small message is kept for its entry, a larger one is put into a
    /// segment of the account, before any entry names it. Until then it is an orphan.
    /// # Errors
    /// [`AcceptError`]; the message is not in the account.
    pub async fn end(self) -> Result<Appended, AcceptError> {
        let Self { log, spool, nonce } = self;
        // [α]: what deletes may use the last of the room, what adds may not.
        if log.spools.space.is_full().await {
            return Err(AcceptError::Full);
        }
        // [G]: seen before anything of that name can be listed, and so be dropped: a large body is
        // there from here on, before the segment that names it.
        let seen = log.seq();
        let spooled = spool.end().await?;
        let record = log.cx.fresh_record();
        let size = spooled.body.raw_bytes();
        let inline = spooled.raw.as_deref().and_then(Inline::pack);
        let place = match inline {
            Some(inline) => ArrivalPlace::Inline(inline),
            None => {
                let now = log.cx.engines.index.now();
                let new = spooled.record(&Bytes::new(), None, Bytes::new(), now)?;
                let mut builder = Builder::account(log.cx.nonce());
                let index = builder.add(record, &new);
                let key = names::account_segment(log.account, nonce);
                log.sights.note(nonce, seen);
                log.cx.put_fresh(&key, &builder.finish()).await.map_err(|error| match error {
                    engine::WriteError::Full(_) => AcceptError::Full,
                    _ => AcceptError::Later,
                })?;
                let segment = SegmentRef::Account { nonce };
                ArrivalPlace::Slot(Slot { segment, index })
            }
        };
        let (summary, scanned) = (spooled.summary, spooled.scanned);
        Ok(Appended { record, size, place, summary, scanned })
    }
}

/// A message whose bytes were taken and that no entry names yet.
#[derive(Clone, Debug)]
pub struct Appended {
    record: RecordId,
    size: u64,
    place: ArrivalPlace,
    summary: Bytes,
    scanned: Scanned,
}

impl Appended {
    /// Id of its record.
    #[must_use]
    pub const fn record(&self) -> RecordId {
        self.record
    }

    /// RFC822.SIZE.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What the scanner found.
    #[must_use]
    pub const fn scanned(&self) -> &Scanned {
        &self.scanned
    }

    /// What goes into `Change::Append`; the message is in the mailbox when that change was made.
    #[must_use]
    pub fn arrival(&self, mailbox: MailboxId, flags: FlagSet, date: Timestamp) -> Arrival {
        Arrival {
            record: self.record,
            again: false,
            mailbox,
            flags,
            date,
            size: self.size,
            place: self.place.clone(),
            summary: self.summary.clone(),
        }
    }
}
