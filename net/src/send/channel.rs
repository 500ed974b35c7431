//! Moves the bytes of the SMTP client's core.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use engine::Clock;
use mail::Instant;
use proto::smtp::client::{Client, Step, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    CallLimits, Channel, Content, Fault, Offer, Offered, Reply, Stage, TlsInfo, Verify, Welcome,
    tls,
};
use crate::{BoxStream, Roots};

/// Content is given to the core in pieces of at most this many bytes.
const PIECE_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 8 * 1024;
/// The answer to QUIT is waited for so long; nothing depends on it.
const QUIT_TIME: Duration = Duration::from_secs(2);

/// What TLS will be checked against, if the core asks for it.
pub(super) struct Identity {
    pub(super) host: String,
    pub(super) verify: Verify,
    pub(super) roots: Roots,
}

/// One connection.
pub(super) struct TcpChannel {
    stream: BoxStream,
    client: Client,
    clock: Arc<dyn Clock>,
    limits: CallLimits,
    identity: Identity,
    buffer: Vec<u8>,
    /// Until when the next whole reply must have come, and how many there were before.
    waiting: Option<(u64, Instant)>,
    tls: Option<TlsInfo>,
    welcome: Welcome,
}

/// Where the core wants something of the caller.
enum Turn {
    Ready,
    Offered(Offered),
    GoAhead,
    Done(Reply),
    Closed,
}

impl TcpChannel {
    pub(super) fn new(
        stream: BoxStream,
        client: Client,
        clock: Arc<dyn Clock>,
        limits: CallLimits,
        identity: Identity,
        tls: Option<TlsInfo>,
    ) -> Self {
        let welcome = Welcome {
            banner: Reply::new(220, None, ""),
            features: client.features().clone(),
            tls: None,
            tls_failure: None,
        };
        let buffer = vec![0; READ_BYTES];
        Self { stream, client, clock, limits, identity, buffer, waiting: None, tls, welcome }
    }

    /// Up to the first transaction.
    pub(super) async fn greet(mut self) -> Result<Self, Fault> {
        match self.run().await? {
            Turn::Ready => {
                self.welcome = Welcome {
                    banner: self.client.banner().cloned().unwrap_or(self.welcome.banner),
                    features: self.client.features().clone(),
                    tls: self.tls.clone(),
                    tls_failure: self.client.starttls_failure().map(str::to_owned),
                };
                Ok(self)
            }
            _ => Err(Fault::new(Stage::Hello, "the connection did not become ready")),
        }
    }

    /// Why an attempt at TLS before this connection failed.
    pub(super) fn after_tls_failure(mut self, why: String) -> Self {
        self.welcome.tls_failure = Some(why);
        self
    }

    /// After a fault nothing more is said: the connection is dropped where it stands [c].
    fn drop_on_fault<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if result.is_err() {
            self.stream = Box::new(tokio::io::empty());
        }
        result
    }

    async fn send_content(
        &mut self,
        content: &mut dyn Content,
        may_end: &(dyn Fn() -> bool + Sync),
    ) -> Result<Reply, Fault> {
        let mut rest = None;
        self.client.begin();
        loop {
            match self.run().await? {
                Turn::GoAhead => self.feed(content, &mut rest, may_end).await?,
                Turn::Done(reply) => return Ok(reply),
                _ => return Err(Fault::new(Stage::Data, "the connection is over")),
            }
        }
    }

    /// Carries the core's steps out until it wants something.
    async fn run(&mut self) -> Result<Turn, Fault> {
        loop {
            match self.client.step() {
                Step::Send(bytes) => {
                    // Lent by the core, which must be told meanwhile what comes in.
                    let bytes = bytes.to_vec();
                    self.waiting = None;
                    self.write(&bytes).await;
                }
                Step::Wait(timer) => self.read(timer).await,
                Step::StartTls => self.secure().await?,
                Step::Ready => return Ok(Turn::Ready),
                Step::Offered(offered) => return Ok(Turn::Offered(offered)),
                Step::GoAhead => return Ok(Turn::GoAhead),
                Step::Done(reply) => return Ok(Turn::Done(reply)),
                Step::Closed => return Ok(Turn::Closed),
                Step::Failed(fault) => return Err(fault),
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        let deadline = self.clock.instant().after(self.limits.block);
        let (clock, client) = (self.clock.clone(), &mut self.client);
        let write = write_all(&mut self.stream, bytes, &mut self.buffer, client);
        match clock.by(deadline, write).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => self.client.broken(&closed(&why)),
            Err(_) => self.client.broken("the other side took nothing more"),
        }
    }

    async fn read(&mut self, timer: Timer) {
        let turns = self.client.turns();
        let time = match timer {
            Timer::Greeting => self.limits.greeting,
            Timer::Command => self.limits.command,
            Timer::Data => self.limits.data,
            Timer::End => self.limits.end,
            Timer::Quit => QUIT_TIME.min(self.limits.command),
        };
        // B3: the time is for a whole reply, however many bytes come.
        let deadline = match self.waiting {
            Some((at, deadline)) if at == turns => deadline,
            _ => self.clock.instant().after(time),
        };
        self.waiting = Some((turns, deadline));
        let (stream, buffer) = (&mut self.stream, &mut self.buffer);
        let read = std::future::poll_fn(|cx| poll_read(stream, buffer, cx));
        match self.clock.by(deadline, read).await {
            Ok(Ok(0)) => self.client.broken("connection closed by the other side"),
            Ok(Ok(count)) => {
                self.client.receive(self.buffer.get(..count).unwrap_or_default());
            }
            Ok(Err(why)) => self.client.broken(&closed(&why)),
            Err(_) => self.client.broken("no answer in time"),
        }
    }

    async fn secure(&mut self) -> Result<(), Fault> {
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let Identity { host, verify, roots } = &self.identity;
        let handshake = tls::connect(stream, host, verify, roots, &[]);
        match self.clock.timeout(self.limits.tls, handshake).await {
            Ok(Ok((stream, tls, info))) => {
                self.stream = stream;
                self.tls = Some(info);
                self.waiting = None;
                self.client.secured(tls);
                Ok(())
            }
            Ok(Err(why)) => Err(Fault::new(Stage::Tls, why)),
            Err(_) => Err(Fault::new(Stage::Tls, "no handshake in time")),
        }
    }

    /// Gives the core the next piece of the content, or its end. False: nothing may be ended.
    async fn feed(
        &mut self,
        content: &mut dyn Content,
        pieces: &mut Option<bytes::Bytes>,
        may_end: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Fault> {
        let rest = match pieces.take() {
            Some(rest) => Some(rest),
            None => content.next().await.map_err(|why| Fault::new(Stage::Content, why))?,
        };
        match rest {
            Some(mut rest) => {
                let piece = rest.split_to(rest.len().min(PIECE_BYTES));
                self.client.content(&piece);
                *pieces = (!rest.is_empty()).then_some(rest);
            }
            None => {
                // All but the end is on its way, so that it is asked as late as can be.
                self.flush().await;
                if !may_end() {
                    let why = "given up before the end of the content";
                    return Err(Fault::new(Stage::Content, why));
                }
                self.client.end();
            }
        }
        Ok(())
    }

    async fn flush(&mut self) {
        let deadline = self.clock.instant().after(self.limits.block);
        let stream = &mut self.stream;
        let flush = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx));
        match self.clock.by(deadline, flush).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => self.client.broken(&closed(&why)),
            Err(_) => self.client.broken("the other side took nothing more"),
        }
    }
}

#[async_trait]
impl Channel for TcpChannel {
    fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    async fn offer(&mut self, offer: &Offer) -> Result<Offered, Fault> {
        self.client.offer(offer);
        let result = match self.run().await {
            Ok(Turn::Offered(offered)) => Ok(offered),
            Ok(_) => Err(Fault::new(Stage::Sender, "the connection is over")),
            Err(fault) => Err(fault),
        };
        self.drop_on_fault(result)
    }

    async fn content(
        &mut self,
        content: &mut dyn Content,
        may_end: &(dyn Fn() -> bool + Sync),
    ) -> Result<Reply, Fault> {
        let result = self.send_content(content, may_end).await;
        self.drop_on_fault(result)
    }

    async fn quit(mut self: Box<Self>) {
        self.client.quit();
        self.waiting = None;
        if self.run().await.is_ok() {
            let stream = &mut self.stream;
            let shutdown = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx));
            // What becomes of it no longer matters.
            drop(self.clock.timeout(QUIT_TIME, shutdown).await);
        }
    }
}

fn closed(why: &io::Error) -> String {
    format!("connection broken: {why}")
}

/// Writes all of `bytes` and pushes them through. What has come before is taken first, so that a
/// refusal in the middle of the content is heard at once, not when the other side's buffers are
/// full; and while it has to wait what comes is taken, so that two sides that both write cannot
/// wait for each other (RFC 2920 §3.1). After a refusal nothing more is written.
async fn write_all(
    stream: &mut BoxStream,
    mut bytes: &[u8],
    buffer: &mut [u8],
    client: &mut Client,
) -> io::Result<()> {
    let mut has_listened = false;
    std::future::poll_fn(|cx| {
        loop {
            if std::mem::replace(&mut has_listened, true) {
                let progress = if bytes.is_empty() {
                    match Pin::new(&mut *stream).poll_flush(cx)? {
                        Poll::Ready(()) => return Poll::Ready(Ok(())),
                        Poll::Pending => false,
                    }
                } else {
                    match Pin::new(&mut *stream).poll_write(cx, bytes)? {
                        Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Poll::Ready(count) => {
                            bytes = bytes.get(count..).unwrap_or_default();
                            true
                        }
                        Poll::Pending => false,
                    }
                };
                if progress {
                    continue;
                }
                let came = std::task::ready!(take_in(stream, buffer, client, cx)?);
                if came == Came::Refusal {
                    return Poll::Ready(Ok(()));
                }
            } else if let Poll::Ready(Came::Refusal) = take_in(stream, buffer, client, cx)? {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await
}

/// What came while something is written.
#[derive(PartialEq, Eq)]
enum Came {
    /// The core goes on.
    Something,
    /// The core has failed.
    Refusal,
}

fn take_in(
    stream: &mut BoxStream,
    buffer: &mut [u8],
    client: &mut Client,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Came>> {
    let count = std::task::ready!(poll_read(stream, buffer, cx)?);
    if count == 0 {
        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    client.receive(buffer.get(..count).unwrap_or_default());
    Poll::Ready(Ok(if client.has_failed() { Came::Refusal } else { Came::Something }))
}

fn poll_read(
    stream: &mut BoxStream,
    buffer: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut read = ReadBuf::new(buffer);
    std::task::ready!(Pin::new(stream).poll_read(cx, &mut read))?;
    Poll::Ready(Ok(read.filled().len()))
}
