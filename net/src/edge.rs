//! What a protocol's edge implements to be driven.

use std::future::Future;

use mail::Instant;
use proto::{Core, Tls};

use crate::{Gone, Out, Peer};

/// Answers the questions of one connection's core. Lives as long as the connection.
///
/// Implement the methods as `async fn`. While one of them runs, the driver takes no step and
/// reads nothing: that is the back-pressure.
pub trait Edge<C: Core>: Send {
    /// Answers `ask` through `core`'s own `answer`; may write to the peer through `out` before.
    /// # Errors
    /// [`Gone`]: the connection is closed at once and without another word (the peer left, or
    /// the outcome is unknown and nothing may be said about it [N]).
    fn asked(
        &mut self,
        ask: C::Ask,
        core: &mut C,
        out: &mut Out<'_>,
    ) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Takes content (of a message, an APPEND literal), in order.
    /// # Errors
    /// [`Gone`]: as for [`Edge::asked`].
    fn taken(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Resolves when there is something to tell the peer though it asked nothing; the driver
    /// then calls [`Edge::woken`]. Dropped and made anew at will, so it must lose nothing by
    /// that. Polled only while the core waits. Never resolves unless implemented.
    fn wake(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// After [`Edge::wake`]: writes what there is to say.
    /// # Errors
    /// [`Gone`]: as for [`Edge::asked`].
    fn woken(
        &mut self,
        core: &mut C,
        out: &mut Out<'_>,
    ) -> impl Future<Output = Result<(), Gone>> + Send {
        let _ = (core, out);
        std::future::ready(Ok(()))
    }

    /// TLS came up after STARTTLS; the core has been told already.
    fn secured(&mut self, tls: &Tls) {
        let _ = tls;
    }
}

/// Makes a core and an edge for each connection of a listener.
pub trait Service: Send + Sync + 'static {
    /// The protocol's core.
    type Core: Core + 'static;
    /// What answers it.
    type Edge: Edge<Self::Core> + 'static;

    /// A client has connected. `tls` is given where TLS came first (implicit TLS); after
    /// STARTTLS the core is told by [`Core::secured`] instead. Must not block.
    fn connect(&self, peer: Peer, tls: Option<Tls>, now: Instant) -> (Self::Core, Self::Edge);
}
