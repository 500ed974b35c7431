//! From an accepted socket to a driven connection: limits, PROXY protocol, implicit TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::{Clock, Tasks};
use futures_util::FutureExt as _;
use proto::Tls;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tracing::Instrument as _;

use crate::{
    Bound, BoxStream, Drain, DrainSignal, Driver, End, Header, Limits, Listener, Pace, Peer,
    Permit, Protocol, Service, TlsMode, TlsServer, Via, read_proxy_header, serve,
};

/// After so much silence a peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// After the system could not accept (no more descriptors), wait this long and try again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all listeners of a process share.
#[derive(Clone)]
pub struct Server {
    /// The process's clock.
    pub clock: Arc<dyn Clock>,
    /// The process's tasks.
    pub tasks: Tasks,
    /// Certificates; `None`: no TLS anywhere.
    pub tls: Option<Arc<TlsServer>>,
    /// How many connections there may be.
    pub limits: Limits,
    /// How slow a peer may be.
    pub pace: Pace,
    /// Ends it all.
    pub drain: Drain,
    /// Around every connection's span: region and edge.
    pub span: tracing::Span,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// A connection that is counted, whose peer is known, and that is secured where TLS comes first.
pub struct Incoming {
    /// Its bytes.
    pub stream: BoxStream,
    /// Who talks.
    pub peer: Peer,
    /// Where TLS came first.
    pub tls: Option<Tls>,
    /// Ends it when the process drains.
    pub drain: DrainSignal,
    /// Counts it until dropped.
    pub permit: Permit,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Numbers the connections of a process, for events.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

impl Server {
    /// The driver for connections of `protocol`.
    #[must_use]
    pub fn driver(&self, protocol: Protocol) -> Driver {
        Driver { clock: self.clock.clone(), tls: self.tls.clone(), protocol, pace: self.pace }
    }

    /// Accepts at `bound` until the drain begins, and drives each connection with `service`.
    pub fn start<S: Service>(&self, bound: Bound, service: Arc<S>) {
        let driver = Arc::new(self.driver(bound.listener().protocol));
        let protocol = driver.protocol.name();
        self.start_with(bound, move |incoming: Incoming| {
            let Incoming { stream, peer, tls, drain, permit } = incoming;
            let (core, edge) = service.connect(peer, tls, driver.clock.instant());
            // Not an async block: it would keep what it is given beside what it awaits.
            serve(stream, core, edge, driver.clone(), drain).map(move |end| {
                let how = label(end);
                metrics::counter!("postroad_connections_total", "protocol" => protocol, "end" => how)
                    .increment(1);
                tracing::debug!(end = how, "connection ended");
                drop(permit);
            })
        });
    }

    /// Accepts at `bound` until the drain begins, and gives each connection to `handle`, in a
    /// task of its own. A panic in it ends that task only.
    pub fn start_with<H, F>(&self, bound: Bound, handle: H)
    where
        H: Fn(Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let server = self.clone();
        // The task must not keep the set it runs in alive.
        let tasks = self.tasks.clone();
        let drain = self.drain.signal();
        let accept = server.accept(bound, Arc::new(handle), drain);
        drop(tasks.spawn("accept", accept));
    }

    async fn accept<H, F>(self, bound: Bound, handle: Arc<H>, mut drain: DrainSignal)
    where
        H: Fn(Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = Arc::new(bound.listener);
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.draining() => return,
                accepted = bound.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, address)) => self.take(socket, address, &listener, &handle),
                Err(why) => {
                    // Out of descriptors, or the client left: neither ends the listener.
                    tracing::warn!(%why, protocol = %listener.protocol, "cannot accept");
                    self.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take<H, F>(
        &self,
        socket: TcpStream,
        address: SocketAddr,
        listener: &Arc<Listener>,
        handle: &Arc<H>,
    ) where
        H: Fn(Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        // Answers are small and waited for.
        let kept = socket.set_nodelay(true);
        // Peers that vanished without a word are found before an idle client's half hour is over.
        let probes = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 5);
        let kept = kept.and(SockRef::from(&socket).set_tcp_keepalive(&probes));
        if let Err(why) = kept {
            tracing::debug!(%why, "cannot set options of a socket");
        }
        let conn = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let protocol = listener.protocol;
        let span = tracing::info_span!(parent: &self.span, "conn", conn, %protocol, peer = tracing::field::Empty);
        let drain = self.drain.signal();
        // Boxed, and by itself: an idle connection keeps nothing of it.
        let prepare = self.connection().prepare(Box::new(socket), address, listener.clone(), drain);
        let (prepared, handle) = (Box::pin(prepare), handle.clone());
        let connection = async move {
            let served = match prepared.await {
                Some(incoming) => begin(&*handle, incoming),
                None => return,
            };
            drop(handle);
            served.await;
        };
        drop(self.tasks.spawn("connection", connection.instrument(span)));
    }

    /// What a connection's task needs of the server; not the tasks themselves.
    fn connection(&self) -> Preparing {
        Preparing {
            clock: self.clock.clone(),
            tls: self.tls.clone(),
            limits: self.limits.clone(),
            pace: self.pace,
        }
    }
}

const fn label(end: End) -> &'static str {
    match end {
        End::Closed => "closed",
        End::Gone => "gone",
        End::Handshake => "handshake",
        End::Late => "late",
        End::Cut => "cut",
        End::Panicked => "panicked",
    }
}

/// Hands a connection over. No async function, so that nothing of it is kept twice.
fn begin<F>(handle: &impl Fn(Incoming) -> F, incoming: Incoming) -> Pin<Box<F>> {
    tracing::Span::current().record("peer", tracing::field::display(&incoming.peer));
    Box::pin(handle(incoming))
}

struct Preparing {
    clock: Arc<dyn Clock>,
    tls: Option<Arc<TlsServer>>,
    limits: Limits,
    pace: Pace,
}

impl Preparing {
    async fn prepare(
        self,
        mut stream: BoxStream,
        address: SocketAddr,
        listener: Arc<Listener>,
        mut drain: DrainSignal,
    ) -> Option<Incoming> {
        let deadline = self.clock.instant().after(self.pace.handshake);
        let (incoming_drain, listener) = (drain.clone(), &*listener);
        let prepare = async {
            let peer = self.peer(&mut stream, address, listener, deadline).await?;
            let permit = match self.limits.admit(peer.address) {
                Ok(permit) => permit,
                Err(refusal) => {
                    let labels = [("protocol", listener.protocol.name()), ("why", refusal.label())];
                    metrics::counter!("postroad_connections_refused_total", &labels).increment(1);
                    self.refuse(stream, listener, &refusal.to_string(), deadline).await;
                    return None;
                }
            };
            let (stream, tls) = self.secure(stream, listener, deadline).await?;
            Some((stream, peer, tls, permit))
        };
        // Nobody is owed anything yet: a drain ends the handshake.
        let prepared = tokio::select! {
            biased;
            () = drain.draining() => None,
            prepared = prepare => prepared,
        };
        let (stream, peer, tls, permit) = prepared?;
        Some(Incoming { stream, peer, tls, drain: incoming_drain, permit })
    }

    async fn peer(
        &self,
        stream: &mut BoxStream,
        address: SocketAddr,
        listener: &Listener,
        deadline: mail::Instant,
    ) -> Option<Peer> {
        let direct = Peer::direct(address);
        if !listener.proxies.iter().any(|network| network.contains(direct.address)) {
            return Some(direct);
        }
        match self.clock.by(deadline, read_proxy_header(stream)).await {
            Ok(Ok(Header::Client(peer))) => Some(peer),
            Ok(Ok(Header::Local)) => Some(Peer { via: Via::Proxy, ..direct }),
            Ok(Err(why)) => {
                tracing::warn!(proxy = %direct, %why, "connection of a proxy refused");
                None
            }
            Err(_) => None,
        }
    }

    async fn secure(
        &self,
        stream: BoxStream,
        listener: &Listener,
        deadline: mail::Instant,
    ) -> Option<(BoxStream, Option<Tls>)> {
        if listener.tls != TlsMode::Implicit {
            return Some((stream, None));
        }
        let Some(tls) = &self.tls else {
            tracing::error!("a listener with implicit TLS has no certificates");
            return None;
        };
        match self.clock.by(deadline, tls.accept(listener.protocol, stream)).await {
            Ok(Ok((stream, info))) => Some((stream, Some(info))),
            Ok(Err(why)) => {
                tracing::debug!(%why, "TLS handshake failed");
                count_end(listener.protocol, End::Handshake);
                None
            }
            Err(_) => {
                count_end(listener.protocol, End::Handshake);
                None
            }
        }
    }

    /// Says why and closes. Where TLS comes first it only closes.
    async fn refuse(
        &self,
        mut stream: BoxStream,
        listener: &Listener,
        why: &str,
        by: mail::Instant,
    ) {
        use tokio::io::AsyncWriteExt;
        if listener.tls == TlsMode::Implicit {
            return;
        }
        let line = listener.protocol.farewell(why);
        let say = async {
            stream.write_all(line.as_bytes()).await?;
            stream.shutdown().await
        };
        let said: Result<io::Result<()>, _> = self.clock.by(by, say).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::trace!("a refused client did not wait for the reason");
        }
    }
}

fn count_end(protocol: Protocol, end: End) {
    let labels = [("protocol", protocol.name()), ("end", label(end))];
    metrics::counter!("postroad_connections_total", &labels).increment(1);
}

#[cfg(test)]
mod tests;
