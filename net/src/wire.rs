//! The connection's bytes: a boxed stream, a bounded output buffer, and the write side's limits.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use engine::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Anything that bytes go through: a socket, TLS over one, an in-process pipe.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A stream of any kind; boxed, so that a connection costs what its kind needs, and no more.
pub type BoxStream = Box<dyn Stream>;

/// The connection is over: the peer left, stopped reading, or must not be told anything more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection is gone")]
pub struct Gone;

/// Output collects up to this much before it is written.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Read at once, on the stack: nothing is kept while a connection is idle.
const READ_BYTES: usize = 16 * 1024;

/// After our good-bye the peer has this long, and may send this much, before the socket is closed.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// How slowly a peer may take what we write before it counts as gone (B3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct WritePace {
    /// Longest time without any progress.
    pub(crate) stall: Duration,
}

/// The stream and what waits to be written to it.
pub(crate) struct Wire {
    stream: BoxStream,
    buffer: Vec<u8>,
    clock: Arc<dyn Clock>,
    pace: WritePace,
    /// A write failed, or bytes were cut in the middle: nothing may follow.
    broken: bool,
}

impl Wire {
    pub(crate) fn new(stream: BoxStream, clock: Arc<dyn Clock>, pace: WritePace) -> Self {
        Self { stream, buffer: Vec::new(), clock, pace, broken: false }
    }

    /// Takes the stream out, to put TLS around it; what was buffered must have been flushed.
    pub(crate) fn replace(&mut self, stream: BoxStream) -> BoxStream {
        debug_assert!(self.buffer.is_empty(), "flushed before the stream is replaced");
        std::mem::replace(&mut self.stream, stream)
    }

    /// Reads once and hands the bytes to `take` while they are on the stack; `take` says what it
    /// made of them. `Ok(None)`: the peer closed its side.
    pub(crate) async fn read<T>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> T,
    ) -> io::Result<Option<T>> {
        let stream = &mut self.stream;
        std::future::poll_fn(|cx| poll_read(stream, cx, &mut take)).await
    }

    /// [`Wire::write`] for the driver: what fits into the buffer costs no future, the rest is boxed,
    /// so that an idle connection does not keep its space.
    pub(crate) async fn put(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        if !self.broken && self.buffer.len() + bytes.len() <= BUFFER_BYTES_MAX {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        Box::pin(self.write(bytes)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        if self.broken {
            return Err(Gone);
        }
        if self.buffer.len() + bytes.len() <= BUFFER_BYTES_MAX {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        self.write_buffer().await?;
        if bytes.len() <= BUFFER_BYTES_MAX {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        self.write_now(bytes).await
    }

    async fn write_buffer(&mut self) -> Result<(), Gone> {
        if self.broken {
            return Err(Gone);
        }
        // Given back to the allocator: an idle connection keeps no buffer.
        let bytes = std::mem::take(&mut self.buffer);
        self.write_now(&bytes).await
    }

    async fn write_now(&mut self, mut bytes: &[u8]) -> Result<(), Gone> {
        // Set until all is written, so that a cancelled write is never continued in the middle.
        self.broken = true;
        while !bytes.is_empty() {
            let deadline = self.clock.instant().after(self.pace.stall);
            let stream = &mut self.stream;
            let write = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes));
            match self.clock.by(deadline, write).await {
                Ok(Ok(written)) if written > 0 => {
                    bytes = bytes.get(written..).unwrap_or_default();
                }
                _ => return Err(Gone),
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Writes all that is buffered and pushes it through to the peer.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        if self.buffer.is_empty() {
            return if self.broken { Err(Gone) } else { Ok(()) };
        }
        Box::pin(self.flush_now()).await
    }

    async fn flush_now(&mut self) -> Result<(), Gone> {
        self.write_buffer().await?;
        let deadline = self.clock.instant().after(self.pace.stall);
        let stream = &mut self.stream;
        let flush = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx));
        match self.clock.by(deadline, flush).await {
            Ok(Ok(())) => Ok(()),
            _ => {
                self.broken = true;
                Err(Gone)
            }
        }
    }

    /// Flushes, says good-bye on the stream (close_notify, FIN), and waits a little for the peer to
    /// close too, taking in what it still sends: closing a socket with bytes unread resets it, and
    /// a reset may overtake our last words.
    pub(crate) async fn close(&mut self) {
        if self.flush().await.is_err() {
            return;
        }
        let stream = &mut self.stream;
        let good_bye = async {
            std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await?;
            let mut left = LINGER_BYTES_MAX;
            loop {
                let read = std::future::poll_fn(|cx| poll_read(stream, cx, &mut <[u8]>::len)).await;
                match read? {
                    Some(bytes) if bytes < left => left -= bytes,
                    _ => return io::Result::Ok(()),
                }
            }
        };
        let deadline = self.clock.instant().after(LINGER);
        // What the peer makes of it no longer matters.
        drop(self.clock.by(deadline, good_bye).await);
    }
}

fn poll_read<T>(
    stream: &mut BoxStream,
    cx: &mut Context<'_>,
    take: &mut impl FnMut(&[u8]) -> T,
) -> Poll<io::Result<Option<T>>> {
    let mut bytes = [const { MaybeUninit::<u8>::uninit() }; READ_BYTES];
    let mut buffer = ReadBuf::uninit(&mut bytes);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    let filled = buffer.filled();
    Poll::Ready(Ok(if filled.is_empty() { None } else { Some(take(filled)) }))
}

/// The way to the peer, lent to an edge while it answers.
pub struct Out<'a> {
    pub(crate) wire: &'a mut Wire,
}

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("buffered", &self.wire.buffer.len()).finish_non_exhaustive()
    }
}

impl Out<'_> {
    /// Writes `bytes`, all of them, in order with what the core sends. Up to 16 KiB are buffered
    /// until the core waits, more are written at once, at the peer's pace.
    /// # Errors
    /// [`Gone`]: the peer left or stopped reading; stop.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.wire.write(bytes).await
    }

    /// Pushes through what is buffered. Needed only before a long silence: the driver flushes
    /// whenever the core waits.
    /// # Errors
    /// [`Gone`]: the peer left or stopped reading; stop.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        self.wire.flush().await
    }
}
