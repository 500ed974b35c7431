//! `check_host()`: mechanisms in order, with their limits (RFC 7208 §4.6.4).

use std::net::IpAddr;
use std::pin::Pin;

use mail::spf::{MacroString, Mechanism, Prefixes, Qualifier, SpfRecord, Variables};
use mail::verdicts::Found;
use net::dns::DnsFault;

use crate::policy::lookups::{Lookups, is_name};

/// Terms that ask DNS, in all records of a check.
const TERMS_MAX: u32 = 10;
/// Answers without records.
const VOIDS_MAX: u32 = 2;
/// Hosts of one `mx`, and names of one client.
const HOSTS_MAX: usize = 10;

/// How a check ends before a mechanism matched.
type Early = Found;

/// What a record says, and where an explanation of it is to be had.
struct Outcome {
    found: Found,
    /// Of a failure: the record's `exp`, and the domain of that record.
    explain: Option<(MacroString, String)>,
}

type Evaluating<'f> = Pin<Box<dyn Future<Output = Result<Outcome, Early>> + Send + 'f>>;

/// One check of one client.
pub(in crate::policy) struct Check<'a> {
    lookups: &'a Lookups<'a>,
    ip: IpAddr,
    sender: (&'a str, &'a str),
    helo: &'a str,
    terms: u32,
    voids: u32,
    /// The client's names that lead back to it, once they were asked for.
    names: Option<Vec<String>>,
}

impl<'a> Check<'a> {
    /// A check of a client that sends as `local@domain`.
    pub(in crate::policy) fn new(
        lookups: &'a Lookups<'a>,
        ip: IpAddr,
        sender: (&'a str, &'a str),
        helo: &'a str,
    ) -> Self {
        // RFC 7208 §5: an IPv4 address within IPv6 is the IPv4 address.
        let ip = ip.to_canonical();
        Self { lookups, ip, sender, helo, terms: 0, voids: 0, names: None }
    }

    /// The result, and the explanation of a failure if it is asked for.
    pub(in crate::policy) async fn run(
        &mut self,
        domain: &str,
        explain: bool,
        receiver: &str,
        seconds: u64,
    ) -> (Found, Option<String>) {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        // RFC 7208 §4.3: a domain that is no name of several labels has no record.
        if !is_name(domain) || !domain.contains('.') {
            return (Found::None, None);
        }
        let outcome = match self.host(domain).await {
            Ok(outcome) => outcome,
            Err(early) => return (early, None),
        };
        let Some((exp, of)) = outcome.explain.filter(|_| explain) else {
            return (outcome.found, None);
        };
        (outcome.found, self.explanation(&exp, &of, receiver, seconds).await)
    }

    /// RFC 7208 §6.2: any trouble, and there is none.
    async fn explanation(
        &mut self,
        exp: &MacroString,
        domain: &str,
        receiver: &str,
        seconds: u64,
    ) -> Option<String> {
        let name = self.expand(exp, domain).await;
        let texts = self.lookups.txt(&name).await.ok()?;
        let [text] = &texts[..] else { return None };
        let text = MacroString::parse_explanation(text).ok()?;
        let best = self.name_for(&text, domain).await;
        let variables = Variables { receiver, seconds, ..self.variables(domain, &best) };
        Some(text.explanation(&variables))
    }

    fn host<'f>(&'f mut self, domain: &'f str) -> Evaluating<'f> {
        Box::pin(async move {
            let record = self.record(domain).await?;
            for directive in &record.directives {
                if self.matches(&directive.mechanism, domain).await? {
                    let found = match directive.qualifier {
                        Qualifier::Pass => Found::Pass,
                        Qualifier::Fail => Found::Fail,
                        Qualifier::SoftFail => Found::SoftFail,
                        Qualifier::Neutral => Found::Neutral,
                    };
                    let explain = record.explanation.filter(|_| found == Found::Fail);
                    return Ok(Outcome {
                        found,
                        explain: explain.map(|exp| (exp, domain.to_owned())),
                    });
                }
            }
            let Some(redirect) = &record.redirect else {
                return Ok(Outcome { found: Found::Neutral, explain: None });
            };
            // RFC 7208 §6.1: where nothing matched, redirect decides.
            self.term()?;
            let target = self.expand(redirect, domain).await;
            match self.host(&target).await {
                Err(Found::None) => Err(Found::PermError),
                other => other,
            }
        })
    }

    /// The one record of a domain (RFC 7208 §4.4, §4.5).
    async fn record(&self, domain: &str) -> Result<SpfRecord, Early> {
        if !is_name(domain) {
            return Err(Found::None);
        }
        let texts = match self.lookups.txt(domain).await {
            Ok(texts) => texts,
            Err(fault) if fault.is_temporary() => return Err(Found::TempError),
            Err(_) => return Err(Found::None),
        };
        let mut records = texts.iter().filter(|text| SpfRecord::is_one(text.as_bytes()));
        match (records.next(), records.next()) {
            (None, _) => Err(Found::None),
            (Some(one), None) => SpfRecord::parse(one.as_bytes()).map_err(|_| Found::PermError),
            (Some(_), Some(_)) => Err(Found::PermError),
        }
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Early> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, length) => Ok(within(self.ip, (*network).into(), *length)),
            Mechanism::Ip6(network, length) => Ok(within(self.ip, (*network).into(), *length)),
            Mechanism::Include(target) => {
                self.term()?;
                let target = self.expand(target, domain).await;
                // RFC 7208 §5.2: include matches where the other record passes.
                match self.host(&target).await {
                    Ok(outcome) => Ok(outcome.found == Found::Pass),
                    Err(Found::None) => Err(Found::PermError),
                    Err(early) => Err(early),
                }
            }
            Mechanism::A(target, prefixes) => {
                self.term()?;
                let target = self.target(target.as_ref(), domain).await;
                self.has_address(&target, *prefixes).await
            }
            Mechanism::Mx(target, prefixes) => {
                self.term()?;
                let target = self.target(target.as_ref(), domain).await;
                self.has_exchanger(&target, *prefixes).await
            }
            Mechanism::Ptr(target) => {
                self.term()?;
                let target = self.target(target.as_ref(), domain).await;
                let names = self.names().await?;
                Ok(names.iter().any(|name| is_below(name, &target)))
            }
            Mechanism::Exists(target) => {
                self.term()?;
                let target = self.expand(target, domain).await;
                if !is_name(&target) {
                    return Ok(false);
                }
                // RFC 7208 §5.7: A records, whatever the client's family.
                let like = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
                let answer = self.lookups.addresses(&target, like).await;
                Ok(self.records(answer)?.is_some())
            }
        }
    }

    async fn has_address(&mut self, name: &str, prefixes: Prefixes) -> Result<bool, Early> {
        if !is_name(name) {
            return Ok(false);
        }
        let answer = self.lookups.addresses(name, self.ip).await;
        let found = self.records(answer)?.unwrap_or_default();
        let length = if self.ip.is_ipv4() { prefixes.v4 } else { prefixes.v6 };
        Ok(found.into_iter().any(|address| within(self.ip, address, length)))
    }

    async fn has_exchanger(&mut self, name: &str, prefixes: Prefixes) -> Result<bool, Early> {
        if !is_name(name) {
            return Ok(false);
        }
        let answer = self.lookups.mx(name).await;
        let hosts = self.records(answer)?.unwrap_or_default();
        for (at, host) in hosts.iter().enumerate() {
            // RFC 7208 §4.6.4
            if at >= HOSTS_MAX {
                return Err(Found::PermError);
            }
            if self.has_address(host, prefixes).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One more term that asks DNS.
    const fn term(&mut self) -> Result<(), Early> {
        self.terms += 1;
        if self.terms > TERMS_MAX { Err(Found::PermError) } else { Ok(()) }
    }

    /// The records of an answer; `None` for a void one, which is counted.
    fn records<T>(&mut self, answer: Result<Vec<T>, DnsFault>) -> Result<Option<Vec<T>>, Early> {
        match answer {
            Ok(records) => Ok(Some(records)),
            Err(fault) if fault.is_temporary() => Err(Found::TempError),
            Err(_) => {
                // RFC 7208 §4.6.4, F3
                self.voids += 1;
                if self.voids > VOIDS_MAX { Err(Found::PermError) } else { Ok(None) }
            }
        }
    }

    async fn target(&mut self, target: Option<&MacroString>, domain: &str) -> String {
        match target {
            Some(target) => self.expand(target, domain).await,
            None => domain.to_owned(),
        }
    }

    async fn expand(&mut self, text: &MacroString, domain: &str) -> String {
        let best = self.name_for(text, domain).await;
        text.domain(&self.variables(domain, &best))
    }

    fn variables<'v>(&'v self, domain: &'v str, name: &'v str) -> Variables<'v> {
        Variables {
            ip: self.ip,
            sender: self.sender,
            domain,
            helo: self.helo,
            name,
            receiver: "unknown",
            seconds: 0,
        }
    }

    /// `%{p}`: the domain itself, else a name below it, else any (RFC 7208 §7.3).
    async fn name_for(&mut self, text: &MacroString, domain: &str) -> String {
        let unknown = || "unknown".to_owned();
        if !text.needs_name() {
            return unknown();
        }
        let Ok(names) = self.names().await else { return unknown() };
        let exact = names.iter().find(|name| name.eq_ignore_ascii_case(domain));
        let below = names.iter().find(|name| is_below(name, domain));
        exact.or(below).or(names.first()).cloned().unwrap_or_else(unknown)
    }

    /// The client's names that lead back to it (RFC 7208 §5.5). Trouble with them is none.
    async fn names(&mut self) -> Result<Vec<String>, Early> {
        if let Some(names) = &self.names {
            return Ok(names.clone());
        }
        let mut valid = Vec::new();
        let found = match self.lookups.ptr(self.ip).await {
            Err(fault) if fault.is_temporary() => Vec::new(),
            answer => self.records(answer)?.unwrap_or_default(),
        };
        for name in found.into_iter().filter(|name| is_name(name)).take(HOSTS_MAX) {
            if self.lookups.addresses(&name, self.ip).await.is_ok_and(|all| all.contains(&self.ip))
            {
                valid.push(name);
            }
        }
        self.names = Some(valid.clone());
        Ok(valid)
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    let domain = domain.strip_suffix('.').unwrap_or(&domain);
    name.strip_suffix(domain).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// Whether the first so many bits are the same.
fn within(ip: IpAddr, network: IpAddr, length: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let differ = u32::from(ip) ^ u32::from(network);
            differ.checked_shr(32 - u32::from(length.min(32))).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let differ = u128::from(ip) ^ u128::from(network);
            differ.checked_shr(128 - u32::from(length.min(128))).unwrap_or(0) == 0
        }
        _ => false,
    }
}
