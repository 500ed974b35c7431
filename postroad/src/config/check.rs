//! What a single value cannot tell: what is missing, what contradicts, what cannot be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::mistakes::{Mistakes, Origin};
use super::tree::{Tree, Value};
use super::{Config, Protocol, Role, Tls};

/// Makes paths absolute and notes what is wrong with the whole.
pub(super) fn complete(config: &mut Config, tree: &Tree, base: &Path, mistakes: &mut Mistakes) {
    absolute(&mut config.store.directory, base);
    config.tls.directory.iter_mut().for_each(|path| absolute(path, base));
    config.acme.authorities.iter_mut().for_each(|path| absolute(path, base));
    config.tls.authorities.iter_mut().for_each(|path| absolute(path, base));
    for certificate in config.tls.certificates.values_mut() {
        let paths = [&mut certificate.chain, &mut certificate.key];
        paths.into_iter().flatten().for_each(|path| absolute(path, base));
    }
    config.relay.refusals.iter_mut().for_each(|path| absolute(path, base));
    for route in config.routes.values_mut() {
        route.password_file.iter_mut().for_each(|path| absolute(path, base));
    }
    names(config, tree, mistakes);
    sending(config, tree, mistakes);
    numbers(config, tree, mistakes);
    listeners(config, tree, mistakes);
    certificates(config, tree, mistakes);
    resolvers(config, tree, mistakes);
    policy(config, tree, mistakes);
    acme(config, tree, mistakes);
}

fn acme(config: &Config, tree: &Tree, mistakes: &mut Mistakes) {
    let section = &config.acme;
    if section.directory.as_ref().is_some_and(|url| !url.starts_with("https://")) {
        mistakes.add(
            &origin(tree, &["acme", "directory"]),
            "`acme.directory` is no https URL",
            "write the authority's directory, such as https://acme-v02.api.letsencrypt.org/directory",
        );
    }
    let looked_at = config.listeners.contains_key(super::ACME) || !config.has(Role::Http);
    if section.directory.is_some() && !looked_at {
        mistakes.add(
            &origin(tree, &["acme"]),
            "`acme.directory` without a listener for the authority",
            "add [listeners.acme] with an address that port 80 of each name leads to",
        );
    }
    for name in section.names.iter().filter(|name| mail::Domain::parse(name).is_err()) {
        mistakes.add(
            &origin(tree, &["acme", "names"]),
            format!("`acme.names` has \"{name}\", which is no host name"),
            "write names like mail.example.org",
        );
    }
    if section.contact.iter().any(|contact| !contact.starts_with("mailto:")) {
        mistakes.add(
            &origin(tree, &["acme", "contact"]),
            "`acme.contact` has something that is no mailto: address",
            "write mailto:postmaster@example.org",
        );
    }
}

/// Who validates must be named: the system's resolvers may be anybody's.
fn resolvers(config: &Config, tree: &Tree, mistakes: &mut Mistakes) {
    if config.dns.validates && config.dns.servers.is_empty() {
        mistakes.add(
            &origin(tree, &["dns", "validates"]),
            "`dns.validates` without `dns.servers`",
            "name the resolvers that validate, such as servers = [\"127.0.0.1:53\"]",
        );
    }
}

fn policy(config: &Config, tree: &Tree, mistakes: &mut Mistakes) {
    for domain in &config.policy.arc_trusted {
        if mail::Domain::parse(domain).is_err() {
            let problem = format!("`policy.arc_trusted` cannot name \"{domain}\"");
            let at = origin(tree, &["policy", "arc_trusted"]);
            mistakes.add(&at, problem, "write domains, like lists.example.org");
        }
    }
    for (name, list) in &config.blocklists {
        let at = origin(tree, &["blocklists", name]);
        let zone = list.zone.as_deref().unwrap_or_default();
        if mail::Domain::parse(zone).is_err() {
            let problem = format!("`blocklists.{name}.zone` cannot be \"{zone}\"");
            mistakes.add(&at, problem, "write the list's zone, like zen.example.org");
        }
    }
    for (key, url) in [("url", &config.spam.url), ("learn_url", &config.spam.learn_url)] {
        let fits =
            |url: &String| ["http://", "https://"].iter().any(|start| url.starts_with(start));
        if let Some(url) = url.as_ref().filter(|url| !fits(url)) {
            let problem = format!("`spam.{key}` cannot be \"{url}\"");
            let at = origin(tree, &["spam", key]);
            mistakes.add(&at, problem, "write it like http://127.0.0.1:11333");
        }
    }
    if let Some(text) = &config.spam.milter
        && net::milter::MilterAddress::parse(text).is_none()
    {
        let at = origin(tree, &["spam", "milter"]);
        let problem = format!("`spam.milter` cannot be \"{text}\"");
        mistakes.add(&at, problem, "write it like inet:127.0.0.1:11332 or unix:/run/filter.sock");
    }
    if config.reporter().is_none() {
        let at = origin(tree, &["reports", "from"]);
        let fix = "write an address of this office, like postmaster@example.org";
        mistakes.add(&at, "`reports.from` is no address", fix);
    }
    if config.reports.interval < std::time::Duration::from_secs(1) {
        let at = origin(tree, &["reports", "interval"]);
        mistakes.add(&at, "`reports.interval` is too small", "write at least 1s; a day is usual");
    }
    if config.blocklists.len() > 16 {
        let at = origin(tree, &["blocklists"]);
        mistakes.add(&at, "more than 16 blocklists", "leave the best ones");
    }
}

fn absolute(path: &mut PathBuf, base: &Path) {
    if path.is_relative() {
        *path = base.join(&*path);
    }
}

/// Where a key was written, or the nearest section around it.
fn origin(tree: &Tree, path: &[&str]) -> Origin {
    let mut at = tree;
    for key in path {
        match &at.value {
            Value::Table(table) if table.contains_key(*key) => {
                let Some(next) = table.get(*key) else { break };
                at = next;
            }
            _ => break,
        }
    }
    at.origin.clone()
}

fn names(config: &Config, tree: &Tree, mistakes: &mut Mistakes) {
    let region = &config.office.region;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.is_empty() || region.len() > 32 || !region.chars().all(fits) {
        mistakes.add(
            &origin(tree, &["office", "region"]),
            format!("`office.region` cannot be \"{region}\""),
            "write 1 to 32 lower-case letters, digits and hyphens",
        );
    }
    let domain = |key: &str, name: &str, fix: &str, mistakes: &mut Mistakes| {
        if mail::Domain::parse(name).is_err() {
            let problem = format!("`office.{key}` cannot be \"{name}\"");
            mistakes.add(&origin(tree, &["office", key]), problem, fix);
        }
    };
    let fix = "write this server's name as other servers look it up, like mail.example.org";
    domain("hostname", &config.hostname(), fix, mistakes);
    if config.office.postmaster.is_some() {
        let fix = "write a domain of this office, like example.org";
        domain("postmaster", &config.postmaster(), fix, mistakes);
    }
    let edge = config.edge();
    if edge.is_empty() || edge.len() > 63 {
        mistakes.add(
            &origin(tree, &["office", "edge"]),
            format!("`office.edge` cannot be \"{edge}\""),
            "write 1 to 63 bytes",
        );
    }
    if tracing_subscriber::EnvFilter::try_new(&config.log.level).is_err() {
        mistakes.add(
            &origin(tree, &["log", "level"]),
            format!("`log.level` cannot be \"{}\"", config.log.level),
            "write error, warn, info, debug or trace, or a filter such as info,net=debug",
        );
    }
    let mut roles = config.office.roles.clone();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() {
        let fix = "name at least one role, or leave the key out for all";
        mistakes.add(&origin(tree, &["office", "roles"]), "`office.roles` names none", fix);
    } else if roles.len() < config.office.roles.len() {
        let fix = "name each role once";
        mistakes.add(&origin(tree, &["office", "roles"]), "`office.roles` repeats a role", fix);
    }
}

fn numbers(config: &Config, tree: &Tree, mistakes: &mut Mistakes) {
    let mut at_least = |path: [&str; 2], value: u64, min: u64, unit: &str| {
        if value < min {
            let [section, key] = path;
            let problem = format!("`{section}.{key}` is too small");
            mistakes.add(&origin(tree, &path), problem, format!("write at least {min}{unit}"));
        }
    };
    let limits = &config.limits;
    at_least(["limits", "message_size_max"], limits.message_size_max.0, 65_536, "B");
    at_least(["limits", "connections_max"], limits.connections_max as u64, 1, "");
    let per_address = limits.connections_per_address_max as u64;
    at_least(["limits", "connections_per_address_max"], per_address, 1, "");
    let per_minute = limits.connections_per_minute_max as u64;
    at_least(["limits", "connections_per_minute_max"], per_minute, 1, "");
    at_least(["limits", "handshake"], limits.handshake.as_secs(), 1, "s");
    at_least(["limits", "content_window"], limits.content_window.as_secs(), 1, "s");
    at_least(["limits", "write_stall"], limits.write_stall.as_secs(), 1, "s");
    at_least(["login", "iterations"], config.login.iterations.into(), 4096, "");
    at_least(["login", "half_life"], config.login.half_life.as_secs(), 1, "s");
    let timeout = u64::try_from(config.dns.timeout.as_millis()).unwrap_or(u64::MAX);
    at_least(["dns", "timeout"], timeout, 100, "ms");
    at_least(["dns", "attempts"], config.dns.attempts.into(), 1, "");
    // RFC 5321 §4.5.3.1.8: at least 100 recipients are taken.
    at_least(["smtp", "recipients_max"], config.smtp.recipients_max as u64, 100, "");
    at_least(["submission", "recipients_max"], config.submission.recipients_max as u64, 100, "");
    for (section, command, session) in [
        ("smtp", config.smtp.command, config.smtp.session),
        ("submission", config.submission.command, config.submission.session),
    ] {
        at_least([section, "command"], command.as_secs(), 1, "s");
        at_least([section, "session"], session.as_secs(), 1, "s");
    }
    at_least(["imap", "login"], config.imap.login.as_secs(), 1, "s");
    at_least(["imap", "search"], config.imap.search.as_secs(), 1, "s");
    at_least(["imap", "idle"], config.imap.idle.as_secs(), 1, "s");
    let relay = &config.relay;
    for (key, time) in [
        ("lifetime", relay.lifetime),
        ("retry", relay.retry),
        ("lease", relay.lease),
        ("margin", relay.margin),
        ("shard_lease", relay.shard_lease),
        ("poll", relay.poll),
    ] {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        at_least(["relay", key], ms, 100, "ms");
    }
    at_least(["relay", "connections_max"], relay.connections_max as u64, 1, "");
    at_least(["relay", "per_destination_max"], relay.per_destination_max as u64, 1, "");
    at_least(["relay", "messages_max"], relay.messages_max.into(), 1, "");
    let timing = &config.timing;
    for (key, time) in [
        ("sweep", timing.sweep),
        ("retry", timing.retry),
        ("lease", timing.lease),
        ("maintain", timing.maintain),
        ("audit", timing.audit),
        ("writer_life", timing.writer_life),
        ("commit", timing.commit),
    ] {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        at_least(["timing", key], ms, 10, "ms");
    }
    at_least(["upkeep", "checkpoint_entries"], config.upkeep.checkpoint_entries, 1, "");
    at_least(["upkeep", "compact_messages"], config.upkeep.compact_messages, 1, "");
    // docs/rules.md: the ring has 128 slots; who appends must never find it full.
    if config.upkeep.checkpoint_entries > 64 {
        let problem = "`upkeep.checkpoint_entries` is too large";
        mistakes.add(&origin(tree, &["upkeep", "checkpoint_entries"]), problem, "write at most 64");
    }
    if config.store.free_percent_min > 90 {
        let problem = "`store.free_percent_min` is too large";
        let fix = "write a share of the disk in percent, 90 at most";
        mistakes.add(&origin(tree, &["store", "free_percent_min"]), problem, fix);
    }
}

fn sending(config: &Config, tree: &Tree, mistakes: &mut Mistakes) {
    for (name, route) in &config.routes {
        let here = origin(tree, &["routes", name]);
        if name != "*" && mail::Domain::parse(name).is_err() {
            let problem = format!("`routes.\"{name}\"` is for no domain");
            mistakes.add(&here, problem, "write a domain, or \"*\" for all that have no route");
        }
        if route.hosts.is_empty() {
            let problem = format!("`routes.\"{name}\"` has no hosts");
            mistakes.add(&here, problem, "add hosts, like [\"mail.example.org:25\"]");
        }
        for host in route.hosts.iter().filter(|host| crate::serve::host_and_port(host).is_none()) {
            let problem = format!("`routes.\"{name}\"`: \"{host}\" is no host with a port");
            mistakes.add(&here, problem, "write it like mail.example.org:25 or [2001:db8::1]:25");
        }
        if route.user.is_some() != route.password_file.is_some() {
            let problem = format!("`routes.\"{name}\"` has half a login");
            mistakes.add(&here, problem, "add both user and password_file, or neither");
        }
    }
    for name in config.egresses.keys().filter(|name| name.is_empty() || name.len() > 63) {
        let here = origin(tree, &["egresses", name]);
        mistakes.add(&here, format!("`egresses.{name}` is no name"), "write 1 to 63 bytes");
    }
    let relay = &config.relay;
    if relay.margin * 2 > relay.lease {
        let problem = "`relay.lease` is too short for `relay.margin`";
        let fix = "make the lease at least twice as long";
        mistakes.add(&origin(tree, &["relay", "lease"]), problem, fix);
    }
}

fn listeners(config: &Config, tree: &Tree, mistakes: &mut Mistakes) {
    let mut taken: BTreeMap<SocketAddr, &str> = BTreeMap::new();
    let mut served = Vec::new();
    for (name, section) in &config.listeners {
        let here = origin(tree, &["listeners", name]);
        let Some((protocol, tls)) = section.kind(name) else {
            let problem = format!("`listeners.{name}` does not say what is spoken there");
            mistakes.add(&here, problem, "add protocol and tls, or use one of the six known names");
            continue;
        };
        served.push(protocol.role());
        if section.address.is_empty() {
            let problem = format!("`listeners.{name}` has no address");
            mistakes.add(&here, problem, "add address, like [\"0.0.0.0:25\", \"[::]:25\"]");
        }
        if matches!(protocol, Protocol::Http | Protocol::Web) && tls == Tls::StartTls {
            let problem = format!("`listeners.{name}`: HTTP has no STARTTLS");
            mistakes.add(&here, problem, "use tls = \"none\" or \"implicit\"");
        }
        for address in &section.address {
            if address.port() == 0 {
                continue;
            }
            if let Some(other) = taken.insert(*address, name) {
                let problem =
                    format!("`listeners.{name}` uses {address}, as `listeners.{other}` does");
                mistakes.add(&here, problem, "give each listener its own address or port");
            }
        }
    }
    let listening = [Role::Smtp, Role::Submission, Role::Imap, Role::Http];
    for role in listening.into_iter().filter(|role| config.has(*role) && !served.contains(role)) {
        // The default roles are all; who listens to nothing of it need not say so for HTTP.
        if role == Role::Http {
            continue;
        }
        let name = role.name();
        mistakes.add(
            &origin(tree, &["office", "roles"]),
            format!("the role {name} has no listener"),
            format!("add [listeners.{name}] with an address, or list office.roles without {name}"),
        );
    }
}

fn certificates(config: &Config, tree: &Tree, mistakes: &mut Mistakes) {
    for (name, one) in &config.tls.certificates {
        if one.chain.is_none() || one.key.is_none() {
            mistakes.add(
                &origin(tree, &["tls", "certificates", name]),
                format!("`tls.certificates.{name}` is not whole"),
                "name both files: chain and key",
            );
        }
    }
}
