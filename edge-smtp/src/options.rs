//! What is configured of SMTP.

use std::collections::BTreeSet;
use std::sync::Arc;

use mail::{Domain, srs};
use proto::sasl;
use proto::smtp::Config;

use crate::policy::{Blocklists, Greylist, Judge, MilterFilter, SpamFilter};

/// Options of one listener.
#[derive(Clone)]
pub struct Options {
    /// What the protocol core needs: name, role, mechanisms, limits, times.
    pub core: Arc<Config>,
    /// Secret of which the verifiers of unknown users are made (C1); the same at all edges of a
    /// domain.
    pub secret: Vec<u8>,
    /// Iterations of the verifiers of unknown users: those of new accounts.
    pub iterations: u32,
    /// Bytes an account may hold where its row says nothing; `None`: no limit.
    pub quota_bytes: Option<u64>,
    /// Which other domains mail is sent to.
    pub leaving: Leaving,
    /// Judges mail that comes in; `None`: nothing is checked, DNS is not asked.
    pub judge: Option<Arc<Judge>>,
    /// Lists of clients whose mail is refused or goes to Junk.
    pub blocklists: Option<Arc<Blocklists>>,
    /// Makes unknown senders come twice.
    pub greylist: Option<Arc<Greylist>>,
    /// Asked about every message from outside.
    pub spam: Option<Arc<SpamFilter>>,
    /// Asked too, by the milter protocol.
    pub milter: Option<Arc<MilterFilter>>,
    /// Submissions get DKIM signatures where their domain has keys.
    pub sign: bool,
    /// Submissions do not tell where they come from.
    pub hide_client: bool,
    /// What an account may send in a day.
    pub daily: Daily,
    /// Senders that we rewrote when we forwarded are known by it, and reports for them taken; `None`:
    /// they are nobody.
    pub returns: Option<srs::Key>,
}

/// What an account may send in a day; `None`: any number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Daily {
    /// Messages.
    pub messages: Option<u64>,
    /// Recipients.
    pub recipients: Option<u64>,
}

impl Options {
    /// No quota, usual iterations, no checks, no limits; signatures where there are keys.
    #[must_use]
    pub fn new(core: Arc<Config>, secret: Vec<u8>) -> Self {
        Self {
            core,
            secret,
            iterations: sasl::ITERATIONS,
            quota_bytes: None,
            judge: None,
            blocklists: None,
            greylist: None,
            spam: None,
            milter: None,
            sign: true,
            hide_client: false,
            daily: Daily::default(),
            leaving: Leaving::default(),
            returns: None,
        }
    }
}

/// Which domains that are not ours mail can be sent to.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// All of them.
    pub all: bool,
    /// These, in A-labels.
    pub domains: Arc<BTreeSet<String>>,
}

impl Leaving {
    /// Whether mail for this domain can leave.
    #[must_use]
    pub fn leads_to(&self, domain: &Domain) -> bool {
        self.all || self.domains.contains(domain.as_str())
    }
}

/// Never shows the secret.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("core", &self.core).finish_non_exhaustive()
    }
}
