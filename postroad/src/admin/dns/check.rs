//! Looking the records up: what is found, what was expected, and what follows from the difference.

use std::net::IpAddr;
use std::sync::Arc;

use edge_smtp::spf_of;
use engine::{Clock, Engines};
use mail::Domain;
use mail::dmarc::DmarcRecord;
use mail::spf::SpfRecord;
use mail::verdicts::{Asked, Found};
use net::dns::{Answer, Dns as _, DnsFault, DnsOptions, Resolver};
use net::sts::{Mode, Policies, Policy};

use super::{AdminError, DnsCheck, DnsRecord, Publishing, Verdict, Wants, domain_name};

/// Asks DNS for an administrator.
pub struct Looker {
    pub(in crate::admin) resolver: Resolver,
    /// Fetches what our domains publish by HTTPS; `None`: nobody does.
    policies: Option<Arc<dyn Policies>>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Looker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Looker").field("resolver", &self.resolver).finish_non_exhaustive()
    }
}

fn told(verdict: Verdict, found: Vec<String>, note: impl Into<String>) -> DnsCheck {
    DnsCheck { verdict, found, note: Some(note.into()) }
}

fn fine(found: Vec<String>) -> DnsCheck {
    DnsCheck { verdict: Verdict::Ok, found, note: None }
}

/// A record that is not there, or a server that does not say.
fn absent(fault: &DnsFault, missing: Verdict, follows: &str) -> DnsCheck {
    match fault {
        DnsFault::NoSuchName | DnsFault::NoData => {
            told(missing, Vec::new(), format!("not published: {follows}"))
        }
        DnsFault::Temporary(_) => told(Verdict::Warning, Vec::new(), fault.to_string()),
        DnsFault::Bogus => told(
            Verdict::Failure,
            Vec::new(),
            "DNSSEC validation failed: who validates does not see it at all",
        ),
    }
}

/// What others get who ask for the domain's policy, as RFC 8461 §3.3 has them ask: by HTTPS, with a
/// certificate for the name, without redirects.
async fn policy(policies: &dyn Policies, domain: &Domain, ours: &str) -> DnsCheck {
    let shown = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = match policies.fetch(domain).await {
        Ok(text) => text,
        Err(why) => {
            let note = format!("others cannot fetch it: {why}");
            return told(Verdict::Warning, Vec::new(), note);
        }
    };
    let found = vec![shown(&text).chars().take(SHOWN_CHARS_MAX).collect()];
    let (Ok(theirs), Ok(ours)) = (Policy::parse(&text), Policy::parse(ours)) else {
        return told(Verdict::Failure, found, "that is no policy: others see none");
    };
    if (theirs.mode, &theirs.mx) == (ours.mode, &ours.mx) {
        return fine(found);
    }
    // Who keeps to it sends nothing to a host that it does not name.
    let lost = theirs.mode == Mode::Enforce && !ours.mx.iter().all(|host| theirs.allows(host));
    if lost {
        return told(Verdict::Failure, found, "others may not send to our mail exchanger");
    }
    told(Verdict::Warning, found, "somebody else's policy, or an old one, is served there")
}

/// Longest policy that is shown.
const SHOWN_CHARS_MAX: usize = 500;

impl Looker {
    /// Asks these resolvers.
    #[must_use]
    pub fn new(options: &DnsOptions, engines: &Engines) -> Self {
        let (clock, random) = (engines.clock.clone(), engines.random.clone());
        Self { resolver: Resolver::new(options, clock.clone(), random), policies: None, clock }
    }

    /// The same, and fetches policies too.
    #[must_use]
    pub fn fetching(self, policies: Arc<dyn Policies>) -> Self {
        Self { policies: Some(policies), ..self }
    }

    /// Looks every record of the domain up, one after the other.
    /// # Errors
    /// [`AdminError::Invalid`]: that is no domain.
    pub async fn check(
        &self,
        domain: &str,
        records: &mut [DnsRecord],
        publishing: &Publishing,
    ) -> Result<(), AdminError> {
        let domain = &domain_name(domain)?;
        for record in records {
            let check = match &record.wants {
                Wants::Mx => self.mx(domain, &publishing.host).await,
                Wants::Host => self.host(&record.name).await,
                Wants::Spf => self.spf(domain, publishing).await,
                Wants::Dkim(missing) => self.dkim(record, *missing).await,
                Wants::Dmarc => self.dmarc(&record.name).await,
                Wants::Sts => self.sts(record).await,
                Wants::StsHost => self.sts_host(&record.name).await,
                Wants::TlsRpt => self.tls_rpt(&record.name).await,
                Wants::Srv(port) => self.srv(&record.name, *port, &publishing.host).await,
                Wants::Policy(text) => match &self.policies {
                    Some(policies) => policy(&**policies, domain, text).await,
                    None => continue,
                },
            };
            record.check = Some(check);
        }
        Ok(())
    }

    async fn mx(&self, domain: &Domain, host: &str) -> DnsCheck {
        let mut answer = match self.resolver.mx(domain).await {
            Ok(answer) => answer,
            Err(why) => return absent(&why, Verdict::Failure, "others cannot send it mail"),
        };
        answer.records.sort();
        let found: Vec<_> =
            answer.records.iter().map(|mx| format!("{} {}.", mx.preference, mx.host)).collect();
        let ours = answer.records.iter().position(|mx| mx.host.eq_ignore_ascii_case(host));
        match ours {
            None => told(
                Verdict::Failure,
                found,
                format!("{host} is not among them: its mail goes elsewhere"),
            ),
            Some(0) => fine(found),
            Some(_) => told(Verdict::Warning, found, format!("others are asked before {host}")),
        }
    }

    async fn host(&self, host: &str) -> DnsCheck {
        match self.resolver.addresses(host).await {
            Ok(Answer { records, canonical, .. }) => {
                let found = records.iter().map(ToString::to_string).collect();
                match canonical {
                    // RFC 2181 §10.3: a mail exchanger is no alias.
                    Some(name) => told(
                        Verdict::Warning,
                        found,
                        format!("it is an alias of {name}; a mail exchanger must not be one"),
                    ),
                    None => fine(found),
                }
            }
            Err(why) => absent(&why, Verdict::Failure, "the mail exchanger is not found"),
        }
    }

    /// Addresses that mail is sent from, and what each says in EHLO: those configured, else the
    /// host's.
    pub(in crate::admin) async fn egresses(
        &self,
        publishing: &Publishing,
    ) -> Result<Vec<(IpAddr, String)>, DnsFault> {
        if !publishing.egresses.is_empty() {
            return Ok(publishing.egresses.clone());
        }
        let host = &publishing.host;
        let found = self.resolver.addresses(host).await?.records;
        Ok(found.into_iter().map(|address| (address, host.clone())).collect())
    }

    /// TXT records of which `is_one` holds.
    async fn texts(
        &self,
        name: &str,
        is_one: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, DnsFault> {
        let mut found = self.resolver.txt(name).await?.records;
        found.retain(|text| is_one(text));
        if found.is_empty() { Err(DnsFault::NoData) } else { Ok(found) }
    }

    async fn spf(&self, domain: &Domain, publishing: &Publishing) -> DnsCheck {
        let found = self.texts(domain.as_str(), |text| SpfRecord::is_one(text.as_bytes())).await;
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                return absent(&why, Verdict::Warning, "many will take its mail for forged");
            }
        };
        if found.len() > 1 {
            // RFC 7208 §4.5.
            return told(Verdict::Failure, found, "there must be only one: now none counts");
        }
        let first = found.first().map_or("", String::as_str);
        if let Err(why) = SpfRecord::parse(first.as_bytes()) {
            return told(Verdict::Failure, found.clone(), format!("it cannot be read: {why}"));
        }
        let egresses = match self.egresses(publishing).await {
            Ok(egresses) => egresses,
            Err(why) => {
                return told(Verdict::Warning, found, format!("{}: {why}", publishing.host));
            }
        };
        for (address, hello) in egresses {
            let result =
                spf_of(&self.resolver, &self.clock, domain.as_str(), address, &hello).await;
            match result.found {
                Found::Pass => {}
                Found::TempError => {
                    return told(Verdict::Warning, found, "it could not be evaluated now");
                }
                other => {
                    let word = other.keyword();
                    let note = format!("mail sent from {address} gets \"{word}\", not \"pass\"");
                    return told(Verdict::Failure, found, note);
                }
            }
        }
        fine(found)
    }

    async fn dkim(&self, record: &DnsRecord, missing: Verdict) -> DnsCheck {
        let found = match self.texts(&record.name, |_| true).await {
            Ok(found) => found,
            Err(why) => {
                return absent(&why, missing, "signatures with this key are not valid");
            }
        };
        let key = |text: &str| tag(text, "p");
        if found.len() > 1 {
            return told(Verdict::Failure, found, "there must be only one");
        }
        if found.iter().all(|text| key(text) == key(&record.value)) {
            return fine(found);
        }
        told(missing.max(Verdict::Warning), found, "it is another key: signatures are not valid")
    }

    async fn dmarc(&self, name: &str) -> DnsCheck {
        let is_one = |text: &str| DmarcRecord::parse(text.as_bytes()).is_some();
        let found = match self.texts(name, is_one).await {
            Ok(found) => found,
            Err(why) => {
                return absent(
                    &why,
                    Verdict::Warning,
                    "large receivers want one, and nobody reports",
                );
            }
        };
        if found.len() > 1 {
            return told(Verdict::Failure, found, "there must be only one: now none counts");
        }
        let first = found.first().and_then(|text| DmarcRecord::parse(text.as_bytes()));
        let asked = first.as_ref().and_then(|record| record.asks(true, true));
        let reports = first.is_some_and(|record| !record.reports.is_empty());
        match (asked, reports) {
            (None, _) => told(Verdict::Warning, found, "it asks for nothing"),
            (_, false) => told(Verdict::Warning, found, "nobody gets the reports (rua)"),
            (Some(Asked::None), _) => {
                told(Verdict::Ok, found, "nothing is asked for yet: read the reports, then go on")
            }
            _ => fine(found),
        }
    }

    async fn sts(&self, record: &DnsRecord) -> DnsCheck {
        let found = match self.texts(&record.name, |text| text.starts_with("v=STSv1")).await {
            Ok(found) => found,
            Err(why) => {
                return absent(&why, Verdict::Warning, "others do not insist on TLS");
            }
        };
        if found.len() > 1 {
            return told(Verdict::Warning, found, "there must be only one: now none counts");
        }
        if found.iter().all(|text| tag(text, "id") == tag(&record.value, "id")) {
            return fine(found);
        }
        told(Verdict::Warning, found, "another id: others keep to the policy they know")
    }

    async fn sts_host(&self, name: &str) -> DnsCheck {
        match self.resolver.addresses(name).await {
            Ok(answer) => fine(answer.records.iter().map(ToString::to_string).collect()),
            Err(why) => absent(&why, Verdict::Warning, "the policy cannot be fetched"),
        }
    }

    async fn tls_rpt(&self, name: &str) -> DnsCheck {
        match self.texts(name, |text| text.starts_with("v=TLSRPTv1")).await {
            Ok(found) => fine(found),
            Err(why) => absent(&why, Verdict::Warning, "nobody tells when TLS fails"),
        }
    }

    async fn srv(&self, name: &str, port: u16, host: &str) -> DnsCheck {
        match self.resolver.srv(name).await {
            Ok(answer) => {
                let line = |one: &net::dns::Srv| {
                    format!("{} {} {} {}.", one.priority, one.weight, one.port, one.host)
                };
                let found = answer.records.iter().map(line).collect();
                let ours =
                    |one: &net::dns::Srv| one.port == port && one.host.eq_ignore_ascii_case(host);
                if answer.records.iter().any(ours) {
                    return fine(found);
                }
                told(Verdict::Warning, found, "mail programs go elsewhere")
            }
            Err(why) => absent(&why, Verdict::Warning, "people must type the server's name"),
        }
    }
}

/// The value of a tag in `a=b; c=d`, without white space.
fn tag(text: &str, name: &str) -> Option<String> {
    let mut tags = text.split(';').filter_map(|tag| tag.split_once('='));
    let (_, value) = tags.find(|(known, _)| known.trim() == name)?;
    Some(value.split_whitespace().collect())
}
