//! The way to a destination: an admin's route, or its mail exchangers (RFC 5321 §5.1), each with an
//! address, and how sure of it one must be (DANE, RFC 7672; MTA-STS, RFC 8461).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use engine::Random;
use mail::report::{TlsPolicy, TlsPolicyKind};
use mail::{Domain, Reply};
use net::dns::{Dns, DnsFault, Mx, Tlsa};
use net::send::{Login, Reach, Security, Verify};
use net::sts::{Mode, Policy, Sts};

/// Most addresses that one try of a destination calls.
const TARGETS_MAX: usize = 10;

/// The port of mail exchangers.
const SMTP_PORT: u16 = 25;

/// Where mail for a domain goes instead of to its mail exchangers.
#[derive(Clone, Debug)]
pub struct Route {
    /// Hosts with their ports, tried in this order: names, or addresses.
    pub hosts: Vec<(String, u16)>,
    /// What TLS must be.
    pub security: Security,
    /// To log in with.
    pub login: Option<Login>,
}

/// One address to be called.
#[derive(Clone, Debug)]
pub struct Target {
    /// The host's name, or its address where it has none.
    pub host: String,
    /// Its address and port.
    pub address: SocketAddr,
    /// What TLS must be.
    pub security: Security,
    /// To log in with.
    pub login: Option<Login>,
    /// Which addresses may be called at all (E3).
    pub reach: Reach,
    /// What said which TLS it must be, for reports; `None`: it is no mail exchanger of a domain.
    pub policy: Option<Arc<TlsPolicy>>,
}

/// There is no way now, or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoWay {
    /// The domain takes no mail: the sender is told these words, which are ours.
    Never(Reply),
    /// Look again later.
    Later(String),
}

/// Finds ways.
#[derive(Clone)]
pub struct Routes {
    /// By domain; `*` is for all that have none of their own (a smarthost).
    routes: Arc<BTreeMap<String, Route>>,
    /// Whether mail exchangers are looked up at all.
    mx: bool,
    /// Which networks they may lead to.
    reach: Reach,
    /// Names that we greet with: mail is never sent to ourselves.
    ours: Arc<BTreeSet<String>>,
    dns: Arc<dyn Dns>,
    sts: Option<Arc<Sts>>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("routes", &self.routes).field("mx", &self.mx).finish()
    }
}

impl Routes {
    /// Ways by these routes, and, if `mx`, by mail exchangers in networks of `reach`.
    #[must_use]
    pub fn new(
        routes: BTreeMap<String, Route>,
        mx: bool,
        reach: Reach,
        ours: BTreeSet<String>,
        dns: Arc<dyn Dns>,
    ) -> Self {
        Self { routes: Arc::new(routes), mx, reach, ours: Arc::new(ours), dns, sts: None }
    }

    /// These, with the policies of domains honoured (MTA-STS).
    #[must_use]
    pub fn with_sts(self, sts: Arc<Sts>) -> Self {
        Self { sts: Some(sts), ..self }
    }

    /// Whether mail for this domain can leave at all.
    #[must_use]
    pub fn leads_to(&self, domain: &str) -> bool {
        self.mx || self.route(domain).is_some()
    }

    fn route(&self, domain: &str) -> Option<&Route> {
        self.routes.get(domain).or_else(|| self.routes.get("*"))
    }

    /// Addresses for a domain, best first; at least one.
    /// # Errors
    /// [`NoWay`].
    pub async fn way(
        &self,
        domain: &str,
        random: &(dyn Random + 'static),
    ) -> Result<Vec<Target>, NoWay> {
        if let Some(route) = self.route(domain) {
            return self.by_route(route).await;
        }
        if !self.mx {
            return Err(NoWay::Later("no route to this domain is configured".to_owned()));
        }
        if domain.starts_with('[') {
            return self.literal(domain);
        }
        self.by_mx(domain, random).await
    }

    async fn by_route(&self, route: &Route) -> Result<Vec<Target>, NoWay> {
        let (mut targets, mut why) = (Vec::new(), "a route without hosts".to_owned());
        for (host, port) in &route.hosts {
            match self.addresses(host).await {
                Ok((addresses, _)) => targets.extend(addresses.into_iter().map(|ip| Target {
                    host: host.clone(),
                    address: SocketAddr::new(ip, *port),
                    security: named(&route.security, host),
                    login: route.login.clone(),
                    reach: Reach::Anywhere,
                    policy: None,
                })),
                Err(fault) => why = format!("{host}: {fault}"),
            }
        }
        targets.truncate(TARGETS_MAX);
        if targets.is_empty() { Err(NoWay::Later(why)) } else { Ok(targets) }
    }

    /// RFC 5321 §2.3.4: a domain that is an address.
    fn literal(&self, domain: &str) -> Result<Vec<Target>, NoWay> {
        let inner = domain.trim_matches(['[', ']']);
        let inner = inner.strip_prefix("ipv6:").unwrap_or(inner);
        match inner.parse() {
            Ok(ip) => Ok(vec![self.exchanger(inner, ip, Security::Opportunistic)]),
            Err(_) => Err(never(501, (5, 1, 3), "not an address")),
        }
    }

    fn exchanger(&self, host: &str, ip: IpAddr, security: Security) -> Target {
        Target {
            host: host.to_owned(),
            address: SocketAddr::new(ip, SMTP_PORT),
            security,
            login: None,
            reach: self.reach.clone(),
            policy: None,
        }
    }

    async fn by_mx(
        &self,
        name: &str,
        random: &(dyn Random + 'static),
    ) -> Result<Vec<Target>, NoWay> {
        let domain = Domain::parse(name).map_err(|_| never(501, (5, 1, 2), "not a domain"))?;
        let (mut exchangers, secure) = match self.dns.mx(&domain).await {
            Ok(answer) => (answer.records, answer.secure),
            Err(DnsFault::NoData) => {
                // RFC 5321 §5.1: the implicit MX.
                (vec![Mx { preference: 0, host: name.to_owned() }], false)
            }
            Err(DnsFault::NoSuchName) => {
                return Err(never(550, (5, 1, 2), "this domain does not exist"));
            }
            Err(fault) => return Err(NoWay::Later(format!("mail exchangers of {name}: {fault}"))),
        };
        // RFC 7505 §3: a null MX takes no mail; it comes back at once.
        if exchangers.iter().all(|mx| mx.host.is_empty()) {
            return Err(never(556, (5, 1, 10), "this domain takes no mail (null MX)"));
        }
        sort(&mut exchangers, random);
        self.cut_loops(&mut exchangers)?;
        let policy = match &self.sts {
            Some(sts) => sts.policy(&domain).await,
            None => None,
        };
        let policy = policy.filter(|policy| policy.mode == Mode::Enforce);
        let (mut targets, mut why) = (Vec::new(), String::new());
        for Mx { host, .. } in exchangers.iter().filter(|mx| !mx.host.is_empty()) {
            match self.addresses(host).await {
                Ok((addresses, signed)) => {
                    match self.security(host, name, secure && signed, policy.as_deref()).await {
                        Ok(None) => {
                            why = format!("{host} is not in the policy (MTA-STS) of {name}")
                        }
                        Ok(Some(security)) => {
                            let about = Some(Arc::new(published(&security, policy.as_deref())));
                            targets.extend(addresses.into_iter().map(|ip| Target {
                                policy: about.clone(),
                                ..self.exchanger(host, ip, security.clone())
                            }));
                        }
                        Err(fault) => why = format!("TLSA records of {host}: {fault}"),
                    }
                }
                Err(fault) => why = format!("addresses of {host}: {fault}"),
            }
            if targets.len() >= TARGETS_MAX {
                break;
            }
        }
        targets.truncate(TARGETS_MAX);
        if targets.is_empty() { Err(NoWay::Later(why)) } else { Ok(targets) }
    }

    /// RFC 5321 §5.1: where we are one of them, only better ones are tried.
    fn cut_loops(&self, exchangers: &mut Vec<Mx>) -> Result<(), NoWay> {
        let ours = exchangers.iter().filter(|mx| self.ours.contains(&mx.host));
        if let Some(own) = ours.map(|mx| mx.preference).min() {
            exchangers.retain(|mx| mx.preference < own);
            if exchangers.is_empty() {
                return Err(never(
                    554,
                    (5, 4, 6),
                    "mail for this domain loops back to this server",
                ));
            }
        }
        Ok(())
    }

    /// TLSA records that can be trusted make TLS a must (RFC 7672 §2.2), and go before a policy
    /// (RFC 8461 §2); a policy that is enforced names the hosts, and whose certificates they must
    /// show. `None`: mail must not go there.
    async fn security(
        &self,
        host: &str,
        domain: &str,
        signed: bool,
        policy: Option<&Policy>,
    ) -> Result<Option<Security>, DnsFault> {
        let by_policy = |policy: &Policy| {
            let verify = Verify::Names(vec![host.to_owned()]);
            policy.allows(host).then_some(Security::Require(verify))
        };
        let without = || policy.map_or(Some(Security::Opportunistic), by_policy);
        if !signed {
            return Ok(without());
        }
        match self.dns.tlsa(host, SMTP_PORT).await {
            Ok(answer) if answer.secure => {
                let usable = answer.records.iter().any(Tlsa::is_usable);
                if let Some(policy) = policy.filter(|_| !usable) {
                    return Ok(by_policy(policy));
                }
                let names = vec![host.to_owned(), domain.to_owned()];
                Ok(Some(Security::Require(Verify::Dane(answer.records, names))))
            }
            Ok(_) | Err(DnsFault::NoSuchName | DnsFault::NoData) => Ok(without()),
            // F4: no answer is no permission to do without.
            Err(fault) => Err(fault),
        }
    }

    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, bool), DnsFault> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok((vec![ip], false));
        }
        // RFC 6761 §6.3: not a matter of the DNS.
        if host == "localhost" {
            return Ok((vec![IpAddr::from([127, 0, 0, 1])], false));
        }
        self.dns.addresses(host).await.map(|answer| (answer.records, answer.secure))
    }
}

/// What a report says of why a host is called so (RFC 8460 §4.2).
fn published(security: &Security, policy: Option<&Policy>) -> TlsPolicy {
    match (security, policy) {
        (Security::Require(Verify::Dane(records, _)), _) => TlsPolicy {
            kind: TlsPolicyKind::Tlsa,
            lines: records.iter().map(ToString::to_string).collect(),
            hosts: Vec::new(),
        },
        (Security::Require(Verify::Names(_)), Some(policy)) => {
            TlsPolicy { kind: TlsPolicyKind::Sts, lines: policy.lines(), hosts: policy.mx.clone() }
        }
        _ => TlsPolicy::default(),
    }
}

/// By preference; equals in a random order (RFC 5321 §5.1).
fn sort(exchangers: &mut [Mx], random: &(dyn Random + 'static)) {
    let mut keyed: Vec<(u16, u64, Mx)> =
        exchangers.iter().map(|mx| (mx.preference, random.below(1 << 32), mx.clone())).collect();
    keyed.sort();
    for (place, (_, _, mx)) in exchangers.iter_mut().zip(keyed) {
        *place = mx;
    }
}

/// A route that wants names checked and names none means its hosts'.
fn named(security: &Security, host: &str) -> Security {
    let fill = |verify: &Verify| match verify {
        Verify::Names(names) if names.is_empty() => Verify::Names(vec![host.to_owned()]),
        other => other.clone(),
    };
    match security {
        Security::Require(verify) => Security::Require(fill(verify)),
        Security::Implicit(verify) => Security::Implicit(fill(verify)),
        other => other.clone(),
    }
}

fn never(code: u16, enhanced: (u8, u16, u16), text: &str) -> NoWay {
    NoWay::Never(Reply::new(code, Some(enhanced), text))
}
