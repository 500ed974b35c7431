//! The one loop that moves bytes between a peer and a protocol core.
//!
//! Per connection it keeps the core, the edge, a boxed stream, and nothing else while idle: bytes
//! are read into a buffer on the stack inside `poll` and given to the core there; only what the
//! core does not take yet is copied. Time is [`engine::Clock`]'s alone, and the order of events is
//! fixed (`biased`), so a simulation can drive the same loop.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use engine::Clock;
use futures_util::FutureExt;
use mail::Instant;
use proto::{Core, Step};

use crate::wire::{Wire, WritePace};
use crate::{BoxStream, DrainSignal, Edge, Gone, Out, Protocol, TlsServer};

/// How slow a peer may be (B3). The core's own deadline bounds each command; this bounds content
/// and what we write.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Content (DATA, an APPEND literal) is measured over this much waiting for the peer.
    pub window: Duration,
    /// Fewer bytes of content than this in a window are too slow.
    pub window_bytes_min: u64,
    /// A peer that takes nothing of what we write for this long is gone.
    pub write_stall: Duration,
    /// A TLS handshake must be over by then.
    pub handshake: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(120),
            window_bytes_min: 6 * 1024,
            write_stall: Duration::from_secs(60),
            handshake: Duration::from_secs(15),
        }
    }
}

/// What [`serve`] needs besides the connection itself. Cheap to clone.
#[derive(Clone)]
pub struct Driver {
    /// The process's clock.
    pub clock: Arc<dyn Clock>,
    /// For STARTTLS; `None`: a core that asks for it is closed.
    pub tls: Option<Arc<TlsServer>>,
    /// Whose words are used where the core can no longer speak, and whose ALPN names apply.
    pub protocol: Protocol,
    /// How slow the peer may be.
    pub pace: Pace,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The core closed it.
    Closed,
    /// The peer closed it, stopped reading, or the edge had nothing more to say.
    Gone,
    /// TLS could not be started.
    Handshake,
    /// A deadline passed and the good-bye did not get through.
    Late,
    /// The drain's patience was over.
    Cut,
    /// Something panicked; this connection alone ended by it.
    Panicked,
}

/// Drives `core` over `stream` until it ends; `edge` answers. A panic in the core or the edge
/// ends this connection only. Never holds more than what the core does not take of one read
/// (16 KiB) and 16 KiB of output.
pub fn serve<C: Core, E: Edge<C>>(
    stream: BoxStream,
    core: C,
    edge: E,
    driver: Arc<Driver>,
    drain: DrainSignal,
) -> impl Future<Output = End> + Send {
    let pace = WritePace { stall: driver.pace.write_stall };
    // Boxed here: what an async function is given, and keeps, it holds twice.
    let connection = Box::new(Connection {
        wire: Wire::new(stream, driver.clock.clone(), pace),
        core,
        edge,
        driver,
        drain: drain.clone(),
        pending: Vec::new(),
        flow: Flow::default(),
        told_to_drain: false,
        lates: 0,
        ended: false,
    });
    drive(connection, drain)
}

async fn drive<C: Core, E: Edge<C>>(
    mut connection: Box<Connection<C, E>>,
    mut drain: DrainSignal,
) -> End {
    let outcome = {
        let run = AssertUnwindSafe(connection.run()).catch_unwind();
        tokio::select! {
            biased;
            // First: it wakes this task when the drain begins, too, which `event` then sees.
            () = drain.over() => return End::Cut,
            outcome = run => outcome,
        }
    };
    let end = match outcome {
        Ok(Ok(end) | Err(end)) => end,
        Err(_panic) => {
            let protocol = connection.driver.protocol;
            metrics::counter!("postroad_panics_total", "at" => "connection").increment(1);
            tracing::error!(%protocol, "a connection panicked and was ended");
            let farewell = protocol.farewell("internal error, try again later");
            let mut out = Out { wire: &mut connection.wire };
            if Box::pin(out.write(farewell.as_bytes())).await.is_err() {
                return End::Panicked;
            }
            End::Panicked
        }
    };
    if matches!(end, End::Closed | End::Panicked) {
        Box::pin(connection.wire.close()).await;
    }
    end
}

/// Measures the content a peer sends, over the time we waited for it.
#[derive(Debug, Default)]
struct Flow {
    /// Content is under way.
    on: bool,
    waited: Duration,
    bytes: u64,
}

impl Flow {
    /// When the window is full if nothing more comes.
    fn deadline(&self, now: Instant, pace: &Pace) -> Instant {
        if self.on { now.after(pace.window.saturating_sub(self.waited)) } else { Instant::NEVER }
    }

    /// Notes a wait for the peer; false: it is too slow.
    fn waited(&mut self, time: Duration, bytes: usize, pace: &Pace) -> bool {
        if !self.on {
            return true;
        }
        self.waited += time;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < pace.window {
            return true;
        }
        let enough = self.bytes >= pace.window_bytes_min;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        enough
    }
}

struct Connection<C, E> {
    wire: Wire,
    core: C,
    edge: E,
    driver: Arc<Driver>,
    drain: DrainSignal,
    /// Received and not yet taken by the core. No more is read while there is any.
    pending: Vec<u8>,
    flow: Flow,
    told_to_drain: bool,
    /// How often the deadline passed without the core closing.
    lates: u8,
    /// The peer closed its side.
    ended: bool,
}

enum Event {
    Drain,
    /// Bytes came; how many, and how many of them the core took.
    Received(usize),
    Ended,
    Woken,
    Late,
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl<C: Core, E: Edge<C>> Connection<C, E> {
    async fn run(&mut self) -> Result<End, End> {
        loop {
            let now = self.driver.clock.instant();
            match self.core.step(now) {
                Step::Send(bytes) => {
                    self.flow = Flow::default();
                    self.wire.put(bytes).await?;
                }
                Step::Take(bytes) => {
                    self.flow.on = true;
                    Box::pin(self.edge.taken(bytes)).await?;
                }
                Step::Ask(ask) => {
                    self.flow = Flow::default();
                    let mut out = Out { wire: &mut self.wire };
                    // Boxed, so that an idle connection does not keep the space of its largest
                    // answer.
                    Box::pin(self.edge.asked(ask, &mut self.core, &mut out)).await?;
                }
                Step::Wait => self.wait(now).await?,
                Step::StartTls => Box::pin(self.start_tls()).await?,
                Step::Close => return Ok(End::Closed),
            }
        }
    }

    async fn wait(&mut self, now: Instant) -> Result<(), End> {
        if !self.pending.is_empty() {
            let taken = self.core.receive(&self.pending).min(self.pending.len());
            if taken > 0 {
                self.pending.drain(..taken);
                if self.pending.is_empty() {
                    // An idle connection keeps no buffer.
                    self.pending = Vec::new();
                }
                return Ok(());
            }
        } else if self.ended {
            self.wire.flush().await?;
            return Err(End::Gone);
        }
        self.wire.flush().await?;
        let deadline = self.core.deadline().min(self.flow.deadline(now, &self.driver.pace));
        let event = self.event(deadline).await?;
        let pace = &self.driver.pace;
        let waited = self.driver.clock.instant().since(now);
        match event {
            Event::Received(bytes) => {
                if !self.flow.waited(waited, bytes, pace) {
                    self.late()?;
                }
            }
            Event::Ended => {
                self.ended = true;
                self.core.ended();
            }
            Event::Drain => {
                self.told_to_drain = true;
                self.core.drain();
            }
            Event::Woken => {
                let mut out = Out { wire: &mut self.wire };
                Box::pin(self.edge.woken(&mut self.core, &mut out)).await?;
            }
            Event::Late => {
                let core_is_late = self.core.deadline() <= self.driver.clock.instant();
                if !self.flow.waited(waited, 0, pace) || core_is_late {
                    self.late()?;
                }
            }
        }
        Ok(())
    }

    /// What happens next. Reading comes before waking, so that a busy account cannot keep a
    /// client's own commands from being read.
    async fn event(&mut self, deadline: Instant) -> Result<Event, End> {
        let Self { wire, core, edge, driver, drain, pending, told_to_drain, ended, .. } = self;
        let may_read = pending.is_empty() && !*ended;
        let read = wire.read(|bytes| {
            let taken = core.receive(bytes).min(bytes.len());
            if let Some(rest) = bytes.get(taken..) {
                pending.extend_from_slice(rest);
            }
            bytes.len()
        });
        let late = driver.clock.sleep_until(deadline);
        tokio::select! {
            biased;
            () = drain.seen(), if !*told_to_drain => Ok(Event::Drain),
            read = read, if may_read => match read {
                Ok(Some(bytes)) => Ok(Event::Received(bytes)),
                Ok(None) => Ok(Event::Ended),
                Err(_) => Err(End::Gone),
            },
            () = edge.wake() => Ok(Event::Woken),
            () = late => Ok(Event::Late),
        }
    }

    /// Tells the core that time is up; a core that does not close after that is closed.
    fn late(&mut self) -> Result<(), End> {
        self.flow = Flow::default();
        self.lates += 1;
        if self.lates > 2 {
            return Err(End::Late);
        }
        self.core.late();
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        // RFC 3207 §4.2: what came in the clear after the command is nobody's (A2).
        self.pending = Vec::new();
        self.wire.flush().await?;
        let Some(tls) = &self.driver.tls else {
            tracing::error!("a core asked for TLS on a listener without it");
            return Err(End::Handshake);
        };
        // An empty stream stands in while TLS is put around the real one.
        let plain = self.wire.replace(Box::new(tokio::io::empty()));
        let Driver { clock, protocol, pace, .. } = &*self.driver;
        let deadline = clock.instant().after(pace.handshake);
        let handshake = clock.by(deadline, tls.accept(*protocol, plain)).await;
        let (stream, info) = match handshake {
            Ok(Ok(secured)) => secured,
            Ok(Err(why)) => {
                tracing::info!(%why, "TLS handshake failed");
                return Err(End::Handshake);
            }
            Err(_) => return Err(End::Handshake),
        };
        drop(self.wire.replace(stream));
        self.core.secured(info.clone());
        self.edge.secured(&info);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests_support;

#[cfg(test)]
pub(crate) mod tests;
