//! What all IMAP connections of a process share, and how one begins.

use std::sync::Arc;
use std::time::Duration;

use engine::{Clock, Random};
use mail::{Instant, Uid};
use net::{Peer, Service, Throttle};
use proto::Tls;
use proto::imap::{Config, Server};
use proto::{Core, sasl};
use store::change::MailboxId;
use store::{AccountLog, Store};
use tokio::sync::mpsc;

use crate::session::Session;

/// What is configured of mailbox access.
#[derive(Clone)]
pub struct Options {
    /// What the protocol core needs: name, mechanisms, limits.
    pub core: Config,
    /// Secret of which the verifiers of unknown users are made (C1); the same at all edges.
    pub secret: Vec<u8>,
    /// Iterations of the verifiers of unknown users: those of new accounts.
    pub iterations: u32,
    /// Bytes an account may hold where its row says nothing; `None`: no limit.
    pub quota_bytes: Option<u64>,
    /// Longest time that one SEARCH may take (B2).
    pub search_time: Duration,
    /// How often an idle client's account is read again though no hint came [y].
    pub idle_reread: Duration,
    /// Hears of what people put into Junk and take out of it. Best effort: what finds the queue
    /// full is not told.
    pub taught: Option<mpsc::Sender<Taught>>,
}

/// A message that somebody has judged, by moving it.
#[derive(Clone, Debug)]
pub struct Taught {
    /// Its account's log.
    pub log: Arc<AccountLog>,
    /// Where it is now.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: Uid,
    /// It was put into Junk; else it was taken out.
    pub spam: bool,
}

/// Never shows the secret.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Options {
    /// Usual limits around `core`.
    #[must_use]
    pub const fn new(core: Config, secret: Vec<u8>) -> Self {
        Self {
            core,
            secret,
            iterations: sasl::ITERATIONS,
            quota_bytes: None,
            search_time: Duration::from_secs(300),
            idle_reread: Duration::from_secs(300),
            taught: None,
        }
    }
}

/// What sessions share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) core: Arc<Config>,
    pub(crate) store: Store,
    pub(crate) throttle: Throttle,
}

impl Shared {
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.store.engines().clock
    }

    pub(crate) fn random(&self) -> &Arc<dyn Random> {
        &self.store.engines().random
    }
}

/// IMAP on a store. Cloning shares it.
#[derive(Clone)]
pub struct Imap {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Imap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imap").finish_non_exhaustive()
    }
}

impl Imap {
    /// IMAP with these options on this store; `throttle` is shared with everything that takes
    /// passwords.
    #[must_use]
    pub fn new(options: Options, store: Store, throttle: Throttle) -> Self {
        let core = Arc::new(options.core.clone());
        Self { shared: Arc::new(Shared { options, core, store, throttle }) }
    }
}

impl Service for Imap {
    type Core = Server;
    type Edge = Session;

    fn connect(&self, peer: Peer, tls: Option<Tls>, _now: Instant) -> (Server, Session) {
        let mut core = Server::new(self.shared.core.clone(), peer.address);
        if let Some(tls) = tls {
            core.secured(tls);
        }
        (core, Session::new(self.shared.clone(), peer))
    }
}
