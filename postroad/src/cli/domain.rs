//! `postroad domain show` and what belongs to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mail::Timestamp;
use mail::date::DateTime;
use net::dns::Resolver;
use net::http::{Asked, Http};
use net::send::Reach;
use serde::Serialize;

use super::print;
use crate::admin::{
    Admin, DnsRecord, DomainDetails, Looker, Publishing, Surroundings, ToldTime, Verdict,
};
use crate::config::{Config, Protocol, Tls};
use crate::failure::Failure;

/// Longest value shown in a table.
const CELL_CHARS_MAX: usize = 100;

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    domain: DomainDetails,
    records: Vec<DnsRecord>,
}

/// What this configuration publishes.
pub(super) fn publishing(config: &Config) -> Publishing {
    let mut services = Vec::new();
    for (name, section) in &config.listeners {
        let service = match section.kind(name) {
            Some((Protocol::Submission, Tls::Implicit)) => "_submissions",
            Some((Protocol::Submission, Tls::StartTls)) => "_submission",
            Some((Protocol::Imap, Tls::Implicit)) => "_imaps",
            Some((Protocol::Imap, Tls::StartTls)) => "_imap",
            _ => continue,
        };
        services.extend(section.address.first().map(|address| (service, address.port())));
    }
    services.sort_unstable();
    services.dedup();
    let web = config.listeners.keys().any(|name| config.is_web(name));
    // One without an address is the system's choice, one that is not public is translated on its
    // way: others see what the configuration says, or, as a rule, the host's own.
    let egresses = config.egresses.values().map(|egress| {
        let address = egress.public.or(egress.address.filter(is_global))?;
        Some((address, egress.hello.clone().unwrap_or_else(|| config.hostname())))
    });
    let egresses: Option<Vec<_>> = egresses.collect();
    Publishing { host: config.hostname(), services, web, egresses: egresses.unwrap_or_default() }
}

/// Whether others can see such an address (RFC 6890).
fn is_global(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified())
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// Whoever asks DNS as this configuration says.
pub(super) fn looker(config: &Config, admin: &Admin) -> Looker {
    let engines = admin.engines();
    let looker = Looker::new(&config.resolvers(), engines);
    // Without authorities to verify it by, the policy is not fetched; `config check` tells why.
    let Ok(roots) = config.authorities() else { return looker };
    let (clock, random) = (engines.clock.clone(), engines.random.clone());
    let dns = Arc::new(Resolver::new(&config.resolvers(), clock.clone(), random));
    // They are our own names: where they lead is the administrator's affair.
    looker.fetching(Arc::new(Http::new(clock, engines.tasks.clone(), dns, roots, Reach::Anywhere)))
}

/// What `doctor` looks at. DNS is asked if resolvers are configured, or the host's name can be in
/// the public DNS; `offline`: never.
pub(super) async fn surroundings(config: &Config, admin: &Admin, offline: bool) -> Surroundings {
    let publishing = publishing(config);
    let asked = !config.dns.servers.is_empty() || is_public(&publishing.host);
    let looker = (asked && !offline).then(|| looker(config, admin));
    let blocklists = config.blocklists.values().filter_map(|list| list.zone.clone()).collect();
    let time = if offline { None } else { told_time(config, admin).await };
    Surroundings { publishing, looker, blocklists, time }
}

/// How long the other machine may take to tell its time.
const TELL_TIME: Duration = Duration::from_secs(10);
/// Largest directory of an authority that is read for it.
const DIRECTORY_BYTES_MAX: usize = 64 * 1024;

/// The time in the answer of the one HTTPS server that the configuration names, the authority's
/// directory; `None`: it names none.
async fn told_time(config: &Config, admin: &Admin) -> Option<ToldTime> {
    let directory = config.acme.directory.as_deref()?;
    let by = directory.split('/').nth(2).unwrap_or(directory).to_owned();
    let engines = admin.engines();
    let roots = match &config.acme.authorities {
        Some(path) => net::Roots::read(path),
        None => config.authorities(),
    };
    let asked = async {
        let (clock, random) = (engines.clock.clone(), engines.random.clone());
        let dns = Arc::new(Resolver::new(&config.resolvers(), clock.clone(), random));
        let roots = roots.map_err(|why| why.to_string())?;
        let http = Http::new(clock, engines.tasks.clone(), dns, roots, Reach::Anywhere);
        let answer = http.ask(Asked::get(directory, TELL_TIME, DIRECTORY_BYTES_MAX)).await;
        let answer = answer.map_err(|why| why.to_string())?.response;
        let date = answer.headers().get("date").ok_or("its answer has no date")?;
        let date = DateTime::parse(date.as_bytes()).ok_or("its date cannot be read")?;
        u64::try_from(date.seconds).map(Timestamp::from_seconds).map_err(|_| "no date".to_owned())
    };
    let theirs = asked.await;
    Some(ToldTime { by, theirs, ours: engines.index.now() })
}

/// RFC 6761, RFC 6762: names that nobody else knows.
fn is_public(host: &str) -> bool {
    const OTHERS: [&str; 7] =
        ["test", "example", "invalid", "localhost", "local", "internal", "localdomain"];
    let last = host.rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| !OTHERS.contains(&last))
}

/// Shows a domain; whether all that it needs is published, as far as that was looked at.
pub(super) async fn show(
    admin: &Admin,
    config: &Config,
    name: &str,
    check: bool,
    json: bool,
) -> Result<bool, Failure> {
    let domain = admin.domain(name).await?;
    let publishing = publishing(config);
    let mut records = admin.domain_records(name, &publishing).await?;
    if check {
        looker(config, admin).check(&domain.domain, &mut records, &publishing).await?;
    }
    let bad = |record: &DnsRecord| {
        record.check.as_ref().is_some_and(|check| check.verdict == Verdict::Failure)
    };
    let good = !records.iter().any(bad);
    if json {
        print::json(&Shown { domain, records })?;
        return Ok(good);
    }
    let more = if domain.more { " at least" } else { "" };
    print::fields(&[
        ("domain", domain.domain),
        ("unicode", domain.unicode),
        ("accounts", format!("{}{more}", domain.accounts)),
        ("aliases", format!("{}{more}", domain.aliases)),
    ])?;
    print::line("")?;
    if check {
        records.iter().try_for_each(checked)?;
    } else {
        print::line("; to be published; `--check` looks whether it is")?;
        records.iter().try_for_each(published)?;
    }
    Ok(good)
}

/// For a zone file, with a comment.
fn published(record: &DnsRecord) -> Result<(), Failure> {
    print::line(&format!("; {}", record.why))?;
    // What is no record, or not for us to say, is a comment.
    let comment = if record.is_plain() { "" } else { "; " };
    print::line(&format!("{comment}{}", record.line()))
}

fn checked(record: &DnsRecord) -> Result<(), Failure> {
    let Some(check) = &record.check else { return Ok(()) };
    let verdict = match check.verdict {
        Verdict::Ok => "ok     ",
        Verdict::Warning => "WARNING",
        Verdict::Failure => "FAILURE",
    };
    print::line(&format!("{verdict}  {} {}  ({})", record.kind, record.name, record.why))?;
    for found in &check.found {
        print::line(&format!("         found     {}", cut(found)))?;
    }
    if check.verdict != Verdict::Ok {
        print::line(&format!("         expected  {}", cut(&record.value)))?;
    }
    match &check.note {
        Some(note) => print::line(&format!("         {note}")),
        None => Ok(()),
    }
}

fn cut(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = clean.clone().take(CELL_CHARS_MAX).collect();
    if clean.count() > CELL_CHARS_MAX {
        shown.push('…');
    }
    shown
}
