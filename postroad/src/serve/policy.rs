//! What the configuration says of incoming mail's checks, made ready for all listeners at once.

use std::sync::Arc;

use edge_imap::Taught;
use edge_smtp::{
    Action, Blocklist, Blocklists, Greylist, GreylistOptions, Judge, ListAction, MilterFilter,
    MilterOptions, OnFailure, PolicyOptions, SpamFilter, SpamOptions,
};
use mail::Domain;
use net::Roots;
use net::dns::{Dns, Resolver};
use net::http::Http;
use net::milter::{Milter, MilterAddress};
use net::send::Reach;
use store::Store;
use tokio::sync::mpsc;

use crate::config::{BlockAction, CheckAction, Config, FailureAction};
use crate::failure::Failure;
use crate::serve::learning;

/// The checks of a process; each `None` where it is off.
pub(super) struct Policy {
    pub(super) judge: Option<Arc<Judge>>,
    pub(super) blocklists: Option<Arc<Blocklists>>,
    pub(super) greylist: Option<Arc<Greylist>>,
    pub(super) spam: Option<Arc<SpamFilter>>,
    pub(super) milter: Option<Arc<MilterFilter>>,
    pub(super) taught: Option<mpsc::Sender<Taught>>,
}

impl Policy {
    /// # Errors
    /// Signatures cannot be verified here.
    pub(super) fn new(config: &Config, store: &Store) -> Result<Self, Failure> {
        let engines = store.engines();
        let clock = &engines.clock;
        let resolver = Resolver::new(&config.resolvers(), clock.clone(), engines.random.clone());
        let dns: Arc<dyn Dns> = Arc::new(resolver);
        let options = options(config);
        let judge = if options.is_off() {
            None
        } else {
            let judge = Judge::new(options, dns.clone(), clock.clone());
            let hint = "switch [policy] dkim, dmarc and arc off to start without";
            Some(Arc::new(judge.map_err(|error| Failure::new(error.to_string(), hint))?))
        };
        let trusted = &config.limits.trusted;
        let lists: Vec<Blocklist> = config
            .blocklists
            .iter()
            .filter_map(|(name, list)| {
                let action = match list.action {
                    BlockAction::Reject => ListAction::Reject,
                    BlockAction::Junk => ListAction::Junk,
                };
                Some(Blocklist { name: name.clone(), zone: list.zone.clone()?, action })
            })
            .collect();
        let blocklists = (!lists.is_empty())
            .then(|| Arc::new(Blocklists::new(lists, dns.clone(), clock.clone(), trusted.clone())));
        let greylist = config.greylist.on.then(|| {
            let options = GreylistOptions {
                wait: config.greylist.wait,
                again_within: config.greylist.again_within,
                known_for: config.greylist.known_for,
                trusted: trusted.clone(),
                ..GreylistOptions::default()
            };
            Arc::new(Greylist::new(options, clock.clone()))
        });
        let spam = config.spam.url.as_ref().map(|url| {
            let options = SpamOptions {
                url: url.clone(),
                time: config.spam.time,
                message_bytes_max: config.spam.message_size_max.0,
                reject: config.spam.reject,
                greylist: config.spam.greylist,
            };
            Arc::new(SpamFilter::new(options, filter_client(store, dns.clone())))
        });
        let address = config.spam.milter.as_deref().and_then(MilterAddress::parse);
        let milter = address.map(|address| {
            let options = MilterOptions {
                message_bytes_max: config.spam.message_size_max.0,
                reject: config.spam.reject,
                on_failure: match config.spam.on_failure {
                    FailureAction::Accept => OnFailure::Accept,
                    FailureAction::Later => OnFailure::Later,
                },
            };
            let milter = Milter::new(address, clock.clone(), config.spam.time);
            Arc::new(MilterFilter::new(options, milter))
        });
        let taught = learning::start(config, store, || filter_client(store, dns));
        Ok(Self { judge, blocklists, greylist, spam, milter, taught })
    }
}

/// For filters beside us: the configuration names them, so they may be anywhere.
fn filter_client(store: &Store, dns: Arc<dyn Dns>) -> Http {
    let engines = store.engines();
    let (clock, tasks) = (engines.clock.clone(), engines.tasks.clone());
    Http::new(clock, tasks, dns, Roots::public(), Reach::Anywhere)
}

fn options(config: &Config) -> PolicyOptions {
    let policy = &config.policy;
    let action = |action: CheckAction| match action {
        CheckAction::Off => Action::Off,
        CheckAction::Note => Action::Note,
        CheckAction::Honour => Action::Honour,
    };
    let trusted = policy.arc_trusted.iter().filter_map(|domain| Domain::parse(domain).ok());
    PolicyOptions {
        spf: action(policy.spf),
        dkim: policy.dkim,
        dmarc: action(policy.dmarc),
        arc: policy.arc,
        arc_trusted: trusted.collect(),
        reverse: policy.reverse,
        lookups_max: policy.lookups_max,
        deadline: policy.deadline,
    }
}
