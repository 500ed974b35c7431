//! Connections as [`net`] hands them over, as axum wants them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use engine::Clock;
use net::{Incoming, Peer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

/// Connections that were accepted and not yet taken by axum.
const WAITING_MAX: usize = 64;
/// Longest life of a connection, whatever it does: requests here are few and small, and a slow
/// client must not hold a connection for ever (B3).
const LIFE: Duration = Duration::from_secs(120);

/// A listener fed by the returned sender.
pub(crate) fn listener(
    address: SocketAddr,
    clock: Arc<dyn Clock>,
) -> (HttpListener, mpsc::Sender<Incoming>) {
    let (send, receive) = mpsc::channel(WAITING_MAX);
    (HttpListener { address, clock, receive }, send)
}

pub(crate) struct HttpListener {
    address: SocketAddr,
    clock: Arc<dyn Clock>,
    receive: mpsc::Receiver<Incoming>,
}

impl axum::serve::Listener for HttpListener {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        match self.receive.recv().await {
            Some(incoming) => {
                let peer = incoming.peer;
                let life = self.clock.sleep(LIFE);
                (Connection { incoming, life: std::sync::Mutex::new(life) }, peer)
            }
            // No more will come; the drain ends this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer::direct(self.address))
    }
}

/// A connection with its permit and its end.
pub(crate) struct Connection {
    incoming: Incoming,
    /// A mutex only because the clock's futures are not `Sync`; never contended.
    life: std::sync::Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    /// Fails from the end of its life on.
    fn alive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.life.get_mut().map(|life| life.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Ok(()),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        Pin::new(&mut self.incoming.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(cx)?;
        Pin::new(&mut self.incoming.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.incoming.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.incoming.stream).poll_shutdown(cx)
    }
}
