//! Which edges and functions a process runs, and what the configuration says of each.

use std::sync::Arc;

use edge_http::Operator;
use edge_http::web::Web;
use edge_imap::Imap;
use edge_smtp::Smtp;
use functions::host::local::{Functions, Local};
use mail::Domain;
use metrics_exporter_prometheus::PrometheusHandle;
use net::acme::Challenges;
use net::{Bound, Protocol, Server, Throttle, ThrottleOptions, TlsMode};
use proto::sasl::Mechanism;
use proto::{imap, smtp};
use store::Store;

use crate::config::{ACME, Config, Role};
use crate::failure::Failure;
use crate::office;
use crate::serve::policy::Policy;
use crate::serve::{reports, sending};

/// Starts the functions of this process's roles.
pub(super) async fn start_functions(config: &Config, store: &Store) -> Result<Local, Failure> {
    let functions = Functions {
        deliver: config.has(Role::Deliver),
        maintain: config.has(Role::Maintain),
        replicate: config.has(Role::Replicate),
    };
    let mut local = Local::start(store, functions);
    sending::start(config, store, &mut local).await?;
    reports::start(config, store, &mut local)?;
    Ok(local)
}

/// Lets clients in.
/// # Errors
/// The store did not answer.
pub(super) async fn start(
    config: &Config,
    store: &Store,
    server: &Server,
    bound: Vec<(String, Bound)>,
    (metrics, challenges): (PrometheusHandle, Challenges),
) -> Result<(), Failure> {
    let shared = Shared {
        config,
        store,
        secret: office::secret(store).await?,
        throttle: throttle(config, server),
        policy: Policy::new(config, store)?,
    };
    let operator = Operator::new(store.engines().clone(), server.drain.clone(), metrics);
    let operator = Arc::new(operator);
    let web = Arc::new(Web::new(store.clone(), config.hostname()));
    for (name, bound) in bound {
        let listener = bound.listener();
        let starttls = listener.tls == TlsMode::StartTls;
        match listener.protocol {
            // What the world may reach shows nothing of the operator's.
            Protocol::Http if name == ACME => {
                edge_http::start(server, bound, edge_http::challenges(challenges.clone()));
            }
            Protocol::Http if config.is_web(&name) => {
                edge_http::start(server, bound, edge_http::web::router(web.clone()));
            }
            Protocol::Http => edge_http::start(server, bound, edge_http::router(operator.clone())),
            Protocol::Smtp => {
                let service = shared.smtp(smtp::Role::Mx, starttls)?;
                server.start(bound, Arc::new(service));
            }
            Protocol::Submission => {
                let service = shared.smtp(smtp::Role::Submission, starttls)?;
                server.start(bound, Arc::new(service));
            }
            Protocol::Imap => {
                server.start(bound, Arc::new(shared.imap(starttls)));
            }
        }
    }
    Ok(())
}

fn throttle(config: &Config, server: &Server) -> Throttle {
    let login = &config.login;
    let options = ThrottleOptions {
        free: login.free,
        delay: login.delay,
        delay_max: login.delay_max,
        refuse_after: login.refuse_after,
        account_failures_max: login.account_failures_max,
        half_life: login.half_life,
        trusted: config.limits.trusted.clone(),
    };
    Throttle::new(options, server.clock.clone())
}

/// What the edges of a process have in common.
struct Shared<'a> {
    config: &'a Config,
    store: &'a Store,
    secret: Vec<u8>,
    throttle: Throttle,
    policy: Policy,
}

impl Shared<'_> {
    fn smtp(&self, role: smtp::Role, starttls: bool) -> Result<Smtp, Failure> {
        let config = self.config;
        let domain = |name: &str| {
            let hint = "see office.hostname and office.postmaster in the configuration";
            Domain::parse(name).map_err(|_| Failure::new(format!("not a domain: {name}"), hint))
        };
        let (smtp, submission) = (&config.smtp, &config.submission);
        let is_mx = role == smtp::Role::Mx;
        let choose = |mx: u32, other: u32| if is_mx { mx } else { other };
        let limits = smtp::Limits {
            message_bytes_max: config.limits.message_size_max.0,
            recipients_max: if is_mx { smtp.recipients_max } else { submission.recipients_max },
            messages_max: choose(smtp.messages_max, submission.messages_max),
            errors_max: choose(smtp.errors_max, submission.errors_max),
            ..smtp::Limits::default()
        };
        let times = smtp::Times {
            greeting_pause: if is_mx { smtp.greeting_pause } else { std::time::Duration::ZERO },
            command: if is_mx { smtp.command } else { submission.command },
            session: if is_mx { smtp.session } else { submission.session },
            ..smtp::Times::default()
        };
        let core = smtp::Config {
            host: domain(&config.hostname())?,
            postmaster: domain(&config.postmaster())?,
            role,
            starttls,
            auth: if is_mx { Vec::new() } else { Mechanism::ALL.to_vec() },
            dsn: true,
            limits,
            times,
        };
        let limit = |most: u64| (most > 0).then_some(most);
        let options = edge_smtp::Options {
            iterations: config.login.iterations,
            quota_bytes: config.limits.quota.map(|size| size.0),
            judge: self.policy.judge.clone(),
            blocklists: self.policy.blocklists.clone(),
            greylist: self.policy.greylist.clone(),
            spam: self.policy.spam.clone(),
            milter: self.policy.milter.clone(),
            sign: submission.sign,
            hide_client: submission.hide_client,
            daily: edge_smtp::Daily {
                messages: limit(submission.messages_per_day),
                recipients: limit(submission.recipients_per_day),
            },
            leaving: sending::leaving(config),
            returns: Some(sending::srs_key(&self.secret)),
            ..edge_smtp::Options::new(Arc::new(core), self.secret.clone())
        };
        Ok(Smtp::new(options, self.store.clone(), self.throttle.clone()))
    }

    fn imap(&self, starttls: bool) -> Imap {
        let config = self.config;
        let core = imap::Config {
            host: config.hostname(),
            starttls,
            mechanisms: Mechanism::ALL.to_vec(),
            append_limit: config.limits.message_size_max.0,
            id: vec![("name".to_owned(), "Postroad".to_owned())],
            login_time: config.imap.login,
            autologout_time: config.imap.idle,
        };
        let options = edge_imap::Options {
            iterations: config.login.iterations,
            quota_bytes: config.limits.quota.map(|size| size.0),
            search_time: config.imap.search,
            taught: self.policy.taught.clone(),
            ..edge_imap::Options::new(core, self.secret.clone())
        };
        Imap::new(options, self.store.clone(), self.throttle.clone())
    }
}
