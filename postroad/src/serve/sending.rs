//! What the configuration says of sending: egresses, routes, times.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use edge_smtp::Leaving;
use engine::Clock;
use functions::bounce::Identity;
use functions::egress::Egress;
use functions::host::local::Local;
use functions::refusals::Rules;
use functions::relay::{Forwarding, Options, Outside, Spf, SpfSays};
use functions::routes::{Route, Routes};
use mail::verdicts::Found;
use mail::{Domain, srs};
use net::dns::Resolver;
use net::http::Http;
use net::send::{Login, Reach, Security, Tcp, Verify};
use net::sts::{Memory, Remembered, Sts};
use proto::sasl::Password;
use store::Store;

use crate::config::{Config, EgressSection, Role, RouteSection, RouteTls};
use crate::failure::Failure;
use crate::office;

/// Largest file of rules that is read.
const RULES_BYTES_MAX: u64 = 4 << 20;

/// Which other domains mail is sent to.
pub(crate) fn leaving(config: &Config) -> Leaving {
    let domains: BTreeSet<String> = config.routes.keys().map(|name| domain(name)).collect();
    Leaving { all: config.relay.mx || domains.contains("*"), domains: Arc::new(domains) }
}

/// A-labels, as destinations are named.
fn domain(name: &str) -> String {
    Domain::parse(name).map_or_else(|_| name.to_owned(), |domain| domain.as_str().to_owned())
}

/// Starts relay and bounce, where this process has their roles.
/// # Errors
/// A file that the configuration names cannot be used, or the store does not answer.
pub(super) async fn start(
    config: &Config,
    store: &Store,
    local: &mut Local,
) -> Result<(), Failure> {
    if !config.has(Role::Relay) && !config.has(Role::Bounce) {
        return Ok(());
    }
    let options = options(config)?;
    if config.has(Role::Bounce) {
        let forwarding = Some(Forwarding { mac: srs_key(&office::secret(store).await?) });
        let (host, domain) = (config.hostname(), config.postmaster());
        let identity = Identity { host, domain, forwarding };
        local.bounce(store, options.clone(), identity);
    }
    if config.has(Role::Relay) {
        local.relay(store, options, outside(config, store).await?);
    }
    Ok(())
}

/// By which senders are rewritten, and known again: the same at all processes of a region.
pub(super) fn srs_key(secret: &[u8]) -> srs::Key {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    Arc::new(move |bytes: &[u8]| {
        let mut sum = [0; 32];
        for (byte, of) in sum.iter_mut().zip(hmac::sign(&key, bytes).as_ref()) {
            *byte = *of;
        }
        sum
    })
}

fn options(config: &Config) -> Result<Options, Failure> {
    let relay = &config.relay;
    Ok(Options {
        egresses: egresses(config),
        rules: rules(config)?,
        lifetime: relay.lifetime,
        warn_after: relay.warn_after,
        retry_min: relay.retry,
        retry_max: relay.retry_max.max(relay.retry),
        lease: relay.lease,
        dot_margin: relay.margin,
        shard_lease: relay.shard_lease,
        poll: relay.poll,
        connections_max: relay.connections_max,
        per_destination_max: relay.per_destination_max,
        messages_max: relay.messages_max,
        rate: relay.rate,
        rates: rates(config),
        ..Options::default()
    })
}

/// The rules by which refusals are understood: the admin's own, and the shipped ones.
/// # Errors
/// The file that the configuration names cannot be used.
pub(crate) fn rules(config: &Config) -> Result<Rules, Failure> {
    config.relay.refusals.as_ref().map_or_else(|| Ok(Rules::shipped()), |path| own_rules(path))
}

/// What a route says, and for those that say nothing what is said for all: a route to `*` is for
/// domains without one.
fn rates(config: &Config) -> BTreeMap<String, u32> {
    let of = |(name, route): (&String, &RouteSection)| {
        (name.clone(), route.rate.unwrap_or(config.relay.rate))
    };
    config.routes.iter().map(of).collect()
}

fn own_rules(path: &Path) -> Result<Rules, Failure> {
    let hint = "see relay.refusals in the configuration, and docs/refusals.md";
    let cannot = |why: String| Failure::new(format!("cannot use {}: {why}", path.display()), hint);
    let bytes = std::fs::metadata(path).map_err(|why| cannot(why.to_string()))?.len();
    if bytes > RULES_BYTES_MAX {
        return Err(cannot("larger than 4 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|why| cannot(why.to_string()))?;
    Rules::with_own(&text).map_err(|why| cannot(why.to_string()))
}

fn egresses(config: &Config) -> Vec<Egress> {
    let region: Arc<str> = config.office.region.as_str().into();
    let of = |name: &str, one: &EgressSection| {
        let named = one.network.clone();
        let network = named.unwrap_or_else(|| network_of(name, one.address));
        Egress {
            name: name.into(),
            source: one.address,
            // A private one is translated on its way: to what, nobody has said.
            public: one.public.or(one.address.filter(|address| !is_private(*address))),
            hello: one.hello.clone().unwrap_or_else(|| config.hostname()),
            network: network.into(),
            region: region.clone(),
        }
    };
    let mut all: Vec<Egress> = config.egresses.iter().map(|(name, one)| of(name, one)).collect();
    if all.is_empty() {
        all.push(of("default", &EgressSection::default()));
    }
    all
}

/// Whether others see another address in its place (RFC 1918, RFC 4193).
const fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// SPF of our own domains, evaluated as a receiver does.
struct OwnSpf {
    dns: Arc<Resolver>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Spf for OwnSpf {
    async fn check(&self, domain: &str, address: IpAddr, hello: &str) -> (SpfSays, Duration) {
        let seen = edge_smtp::spf_of(&*self.dns, &self.clock, domain, address, hello).await;
        let says = match seen.found {
            Found::Pass => SpfSays::Pass,
            Found::Fail | Found::SoftFail | Found::Neutral => SpfSays::Fails,
            Found::TempError => SpfSays::Unknown,
            Found::None | Found::PermError => SpfSays::NoPolicy,
        };
        (says, seen.ttl)
    }
}

/// Addresses near one another are refused together.
fn network_of(name: &str, address: Option<IpAddr>) -> String {
    match address {
        None => name.to_owned(),
        Some(IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        Some(IpAddr::V6(v6)) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

/// The ways out, a client for what is asked for on them, and who answers their questions.
pub(super) fn ways(
    config: &Config,
    store: &Store,
) -> Result<(Routes, Http, Arc<Resolver>), Failure> {
    let engines = store.engines();
    let (clock, random) = (engines.clock.clone(), engines.random.clone());
    let dns = Arc::new(Resolver::new(&config.resolvers(), clock.clone(), random));
    let mut routes = BTreeMap::new();
    for (name, section) in &config.routes {
        routes.insert(domain(name), route(name, section)?);
    }
    let reach = match config.relay.networks.is_empty() {
        true => Reach::Public,
        false => Reach::Networks(config.relay.networks.clone().into()),
    };
    let ours = config.egresses.values().filter_map(|one| one.hello.clone());
    let ours = ours.chain([config.hostname()]).map(|name| name.to_ascii_lowercase()).collect();
    let http =
        Http::new(clock, engines.tasks.clone(), dns.clone(), config.authorities()?, reach.clone());
    Ok((Routes::new(routes, config.relay.mx, reach, ours, dns.clone()), http, dns))
}

async fn outside(config: &Config, store: &Store) -> Result<Outside, Failure> {
    let engines = store.engines();
    let (clock, random) = (engines.clock.clone(), engines.random.clone());
    let mac = srs_key(&office::secret(store).await?);
    let (routes, http, dns) = ways(config, store)?;
    let spf = Arc::new(OwnSpf { dns: dns.clone(), clock: clock.clone() });
    let sts = Sts::new(dns, Arc::new(http), clock.clone());
    let sts = Arc::new(sts.remembering(Arc::new(Policies(store.clone()))));
    Ok(Outside {
        dialer: Arc::new(Tcp::new(clock, random, config.authorities()?)),
        routes: routes.with_sts(sts),
        forwarding: Some(Forwarding { mac }),
        spf: config.relay.spf.then_some(spf as Arc<dyn Spf>),
    })
}

/// MTA-STS policies in rows: they outlive this process, and others of the region know of them.
struct Policies(Store);

#[async_trait]
impl Memory for Policies {
    async fn recall(&self, domain: &Domain) -> Option<Remembered> {
        match self.0.policies().recall(domain).await {
            Ok(found) => found.map(|(row, left)| Remembered { id: row.id, text: row.text, left }),
            Err(error) => {
                tracing::warn!(%domain, %error, "whether a policy is known is not known");
                None
            }
        }
    }

    async fn remember(&self, domain: &Domain, policy: Remembered) {
        let Remembered { id, text, left } = policy;
        if let Err(error) = self.0.policies().remember(domain, &id, &text, left).await {
            tracing::warn!(%domain, %error, "a policy is not kept over a restart");
        }
    }
}

fn route(name: &str, section: &RouteSection) -> Result<Route, Failure> {
    let hint = "see routes in the configuration";
    let hosts = section.hosts.iter().map(|host| {
        host_and_port(host)
            .ok_or_else(|| Failure::new(format!("routes.\"{name}\": not HOST:PORT: {host}"), hint))
    });
    let security = match section.tls {
        RouteTls::None => Security::Never,
        RouteTls::Opportunistic => Security::Opportunistic,
        RouteTls::Required => Security::Require(Verify::Nobody),
        // The host's own name is filled in when it is called.
        RouteTls::Verified => Security::Require(Verify::Names(Vec::new())),
        RouteTls::Implicit => Security::Implicit(Verify::Names(Vec::new())),
    };
    let login = match (&section.user, &section.password_file) {
        (Some(user), Some(path)) => {
            let cannot = |why| Failure::new(format!("cannot read {}: {why}", path.display()), hint);
            let text = std::fs::read_to_string(path).map_err(cannot)?;
            let password = text.lines().next().unwrap_or_default().to_owned();
            Some(Login { user: user.clone(), password: Password::new(password) })
        }
        _ => None,
    };
    Ok(Route { hosts: hosts.collect::<Result<_, _>>()?, security, login })
}

/// `NAME:PORT`, `ADDRESS:PORT`, `[ADDRESS]:PORT`.
pub(crate) fn host_and_port(text: &str) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_string(), address.port()));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let known = host == "localhost" || Domain::parse(host).is_ok();
    known.then(|| (host.to_ascii_lowercase(), port))
}
