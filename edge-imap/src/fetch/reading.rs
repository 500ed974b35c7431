//! The bytes of one message, a bounded piece at a time.

use std::ops::Range;

use bytes::Bytes;
use mail::Uid;
use mail::structure::{Limits, Scanner};
use mail::summary::Summary;
use store::change::MailboxId;
use store::{AccountLog, LogError};

/// Most bytes of a message that are read, and held, at once.
pub(crate) const PIECE_BYTES: u64 = 256 * 1024;

/// Why bytes could not be had.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The message was expunged meanwhile.
    Expunged,
    /// The store does not answer, or what it has is damaged.
    Failed(LogError),
}

/// One message to read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) log: &'a AccountLog,
    pub(crate) mailbox: MailboxId,
    pub(crate) uid: Uid,
    /// Bytes of the whole message.
    pub(crate) size: u64,
}

impl Reading<'_> {
    /// Exactly the bytes of `range`, at most [`PIECE_BYTES`] of them. A place that was let go
    /// since we looked is looked up again once, after a strong read.
    pub(crate) async fn piece(&self, range: Range<u64>) -> Result<Bytes, Unread> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        match self.try_piece(range.clone()).await {
            Err(Unread::Failed(error)) => {
                tracing::debug!(%error, uid = %self.uid, "read failed, looking again");
                self.log.fresh().await.map_err(Unread::Failed)?;
                self.try_piece(range).await
            }
            read => read,
        }
    }

    async fn try_piece(&self, range: Range<u64>) -> Result<Bytes, Unread> {
        let length = range.end - range.start;
        match self.log.read(self.mailbox, self.uid, range).await {
            Ok(Some(bytes)) if bytes.len() as u64 == length => Ok(bytes),
            Ok(Some(_)) => {
                Err(Unread::Failed(LogError::Damaged("message shorter than recorded".into())))
            }
            Ok(None) => Err(Unread::Expunged),
            Err(error) => Err(Unread::Failed(error)),
        }
    }

    /// Hands all of `range` to `take`, piece by piece; `take` says whether to go on.
    pub(crate) async fn each(
        &self,
        range: Range<u64>,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Unread> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + PIECE_BYTES);
            let piece = self.piece(at..end).await?;
            if !take(&piece) {
                break;
            }
            at = end;
        }
        Ok(())
    }

    /// The whole of a small range, such as a header; what is beyond `bytes_max` is left out.
    pub(crate) async fn whole(&self, range: Range<u64>, bytes_max: u64) -> Result<Vec<u8>, Unread> {
        let range = range.start..range.end.min(range.start.saturating_add(bytes_max));
        let mut whole = Vec::new();
        self.each(range, |piece| {
            whole.extend_from_slice(piece);
            true
        })
        .await?;
        Ok(whole)
    }

    /// A summary with nothing cut, made from the message itself.
    pub(crate) async fn scan(&self, prefix: u64) -> Result<Summary, Unread> {
        let mut scanner = Scanner::new(Limits::default());
        self.each(prefix..self.size, |piece| {
            scanner.feed(piece);
            true
        })
        .await?;
        Ok(scanner.finish().summary)
    }
}
