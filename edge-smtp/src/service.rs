//! What all connections of a listener share, and how one begins.

use std::sync::Arc;

use mail::Instant;
use net::{Peer, Service, Throttle};
use proto::Tls;
use proto::smtp::Server;
use store::Store;

use crate::{Options, Session, Stored};

/// What sessions share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) throttle: Throttle,
}

/// SMTP on a store. Cloning shares it.
#[derive(Clone)]
pub struct Smtp(Arc<Shared>);

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Smtp {
    /// SMTP with these options on this store. `throttle` is shared with everything that takes
    /// passwords in this process (C1).
    #[must_use]
    pub fn new(options: Options, store: Store, throttle: Throttle) -> Self {
        Self(Arc::new(Shared { options, store, throttle }))
    }
}

impl Service for Smtp {
    type Core = Server<Stored>;
    type Edge = Session;

    fn connect(&self, peer: Peer, tls: Option<Tls>, now: Instant) -> (Server<Stored>, Session) {
        // AUTH in the clear only where nobody can listen in.
        let core = Server::new(self.0.options.core.clone(), tls, peer.is_loopback(), now);
        (core, Session::new(self.0.clone(), peer))
    }
}
