//! What others see of this office: its records, the names of its addresses, blocklists.

use std::net::IpAddr;
use std::time::Duration;

use mail::Timestamp;
use net::CertificateInfo;
use net::dns::{Dns as _, DnsFault};

use super::super::{DnsRecord, Looker, Publishing};
use super::{Admin, AdminError, Check, Verdict, failure, ok, unreadable, warning};

/// All questions together take at most so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Domains whose records are looked up at most.
const DOMAINS_MAX: usize = 20;
/// Addresses of ours looked at at most.
const ADDRESSES_MAX: usize = 16;
/// Findings told at most.
const TOLD_MAX: usize = 5;

/// What `doctor` looks at beyond the store.
#[derive(Debug)]
pub struct Surroundings {
    /// What our domains publish.
    pub publishing: Publishing,
    /// Whom to ask; `None`: DNS is not asked.
    pub looker: Option<Looker>,
    /// Zones of DNS blocklists, which our own addresses should not be in.
    pub blocklists: Vec<String>,
    /// What time another machine says it is, if one was asked.
    pub time: Option<ToldTime>,
}

/// What time another machine says it is.
#[derive(Clone, Debug)]
pub struct ToldTime {
    /// Who.
    pub by: String,
    /// Its time, to a second; or why it told none.
    pub theirs: Result<Timestamp, String>,
    /// Ours at that moment.
    pub ours: Timestamp,
}

/// A clock that is off by more makes others refuse signatures and certificates, sooner or later.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(60);

/// Our clock beside another's (I10: nothing is lost by a wrong one, but others read our dates).
pub(super) fn time(told: &ToldTime) -> Check {
    const NAME: &str = "time";
    let theirs = match &told.theirs {
        Ok(theirs) => *theirs,
        Err(why) => return ok(NAME, format!("{} was not asked: {why}", told.by)),
    };
    let (ahead, behind) = (told.ours.since(theirs), theirs.since(told.ours));
    let off = ahead.max(behind);
    if off <= CLOCK_OFF_MAX {
        return ok(NAME, format!("within {} s of {}", off.as_secs() + 1, told.by));
    }
    let which = if ahead > behind { "ahead of" } else { "behind" };
    warning(
        NAME,
        format!("this clock is {} s {which} that of {}", off.as_secs(), told.by),
        "set it, and let a time service keep it right",
    )
}

impl Admin {
    pub(super) async fn network(&self, around: &Surroundings) -> Vec<Check> {
        let Some(looker) = &around.looker else {
            return vec![ok("dns", "not asked")];
        };
        let all = async {
            let mut checks = vec![match self.records(looker, &around.publishing).await {
                Ok(check) => check,
                Err(why) => unreadable("dns", &why),
            }];
            match looker.egresses(&around.publishing).await {
                Ok(mut addresses) => {
                    addresses.truncate(ADDRESSES_MAX);
                    checks.push(reverse(looker, &addresses).await);
                    if !around.blocklists.is_empty() {
                        checks.push(listed(looker, &addresses, &around.blocklists).await);
                    }
                }
                Err(why) => checks.push(warning(
                    "names",
                    format!("{}: {why}", around.publishing.host),
                    "publish the address of this host, or set office.hostname right",
                )),
            }
            checks
        };
        match self.engines().clock.timeout(PATIENCE, all).await {
            Ok(checks) => checks,
            Err(_) => vec![warning("dns", "no answer in a minute", "see [dns] servers")],
        }
    }

    /// Each domain's records.
    async fn records(&self, looker: &Looker, publishing: &Publishing) -> Result<Check, AdminError> {
        const NAME: &str = "dns";
        const HINT: &str = "see `postroad domain show DOMAIN --check`";
        let domains = self.domains().await?;
        let (mut wrong, mut worth) = (Vec::new(), Vec::new());
        for domain in domains.iter().take(DOMAINS_MAX) {
            let mut records = self.domain_records(&domain.domain, publishing).await?;
            looker.check(&domain.domain, &mut records, publishing).await?;
            for record in &records {
                let Some(check) = &record.check else { continue };
                let note = check.note.as_deref().unwrap_or_default();
                let line = format!("{} {}: {note}", record.kind, record.name);
                match check.verdict {
                    Verdict::Failure => wrong.push(line),
                    Verdict::Warning => worth.push(line),
                    Verdict::Ok => {}
                }
            }
        }
        let told = |lines: &[String]| {
            let more = lines.len().saturating_sub(TOLD_MAX);
            let mut text = lines.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
            if more > 0 {
                text.push_str(&format!("; and {more} more"));
            }
            text
        };
        Ok(if !wrong.is_empty() {
            failure(NAME, told(&wrong), HINT)
        } else if !worth.is_empty() {
            warning(NAME, told(&worth), HINT)
        } else {
            ok(NAME, format!("{} domains publish what they need", domains.len()))
        })
    }

    /// Whether the certificates are for the names that others connect to.
    pub(super) async fn certificate_names(
        &self,
        certificates: &[CertificateInfo],
        publishing: &Publishing,
    ) -> Result<Check, AdminError> {
        const NAME: &str = "tls names";
        let mut names = vec![publishing.host.clone()];
        if publishing.web {
            for domain in self.domains().await? {
                let records = self.domain_records(&domain.domain, publishing).await?;
                names.extend(records.iter().filter(|one| one.is_policy()).map(policy_host));
            }
        }
        let covered = |name: &String| {
            let patterns = certificates.iter().flat_map(|one| &one.names);
            patterns.into_iter().any(|pattern| covers(pattern, name))
        };
        let missing: Vec<_> = names.into_iter().filter(|name| !covered(name)).collect();
        Ok(if missing.is_empty() || certificates.is_empty() {
            ok(NAME, "the certificates are for the names in use")
        } else {
            let found = format!("no certificate is for {}", missing.join(" "));
            warning(NAME, found, "others see a wrong name: get certificates for these too")
        })
    }
}

fn policy_host(record: &DnsRecord) -> String {
    record.name.clone()
}

/// RFC 6125 §6.4.3: a star stands for one whole label, the first.
fn covers(pattern: &str, name: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("*.") {
        return name.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest));
    }
    pattern.eq_ignore_ascii_case(name)
}

/// Each address has a name that leads back to it and is the one it greets with.
async fn reverse(looker: &Looker, addresses: &[(IpAddr, String)]) -> Check {
    const NAME: &str = "names";
    const HINT: &str = "let whoever gave you the address point its reverse name to the host name";
    let mut wrong = Vec::new();
    for (address, hello) in addresses {
        let names = match looker.resolver.ptr(*address).await {
            Ok(answer) => answer.records,
            Err(why) => {
                wrong.push(format!("{address} has no name ({why})"));
                continue;
            }
        };
        let mut back = false;
        for name in names.iter().take(ADDRESSES_MAX) {
            let found = looker.resolver.addresses(name).await;
            back |= found.is_ok_and(|answer| answer.records.contains(address));
        }
        if !back {
            wrong.push(format!("{address} is called {}, which is not it", names.join(" ")));
        } else if !names.iter().any(|name| name.eq_ignore_ascii_case(hello)) {
            wrong.push(format!("{address} is called {}, and says {hello}", names.join(" ")));
        }
    }
    if wrong.is_empty() {
        let told: Vec<_> =
            addresses.iter().map(|(one, hello)| format!("{one} is {hello}")).collect();
        return ok(NAME, format!("{}, both ways", told.join(", ")));
    }
    warning(NAME, wrong.join("; "), HINT)
}

/// Our own addresses in the blocklists that we use ourselves (RFC 5782).
async fn listed(looker: &Looker, addresses: &[(IpAddr, String)], zones: &[String]) -> Check {
    const NAME: &str = "blocklists";
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    for zone in zones {
        for (address, _) in addresses {
            match looker.resolver.listed(&format!("{}.{zone}", reversed(*address))).await {
                // RFC 5782 §2.1: listed is what has an address in 127.0.0.0/8.
                Ok(answer) if answer.records.iter().any(|one| one.is_loopback()) => {
                    found.push(format!("{address} is listed by {zone}"));
                }
                Ok(_) | Err(DnsFault::NoSuchName | DnsFault::NoData) => {}
                Err(why) => silent.push(format!("{zone}: {why}")),
            }
        }
    }
    if !found.is_empty() {
        return warning(
            NAME,
            found.join("; "),
            "others refuse its mail: find out why, then ask to be taken off",
        );
    }
    match silent.first() {
        Some(first) => warning(NAME, first.clone(), "see [dns] and [blocklists]"),
        None => ok(NAME, format!("no address of ours is in {}", zones.join(" "))),
    }
}

/// RFC 5782 §2.1, §2.4: the address backwards, by bytes or by nibbles.
fn reversed(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told() {
        let at = Timestamp::from_seconds(1_800_000_000);
        let check = |theirs| time(&ToldTime { by: "ca.test".into(), theirs, ours: at });
        for (seconds, part) in [
            (1_800_000_000, "within 1 s of ca.test"),
            (1_800_000_059, "within 60 s"),
            (1_800_000_100, "100 s behind that of ca.test"),
            (1_799_996_400, "3600 s ahead of that of ca.test"),
        ] {
            let found = check(Ok(Timestamp::from_seconds(seconds)));
            assert!(found.found.contains(part), "{found:?}");
            assert_eq!(found.verdict == Verdict::Warning, found.found.contains("that of"));
        }
        let silent = check(Err("no answer in time".into()));
        assert_eq!(silent.verdict, Verdict::Ok);
        assert!(silent.found.contains("no answer in time"), "{silent:?}");
    }

    // RFC 5782 §2.1, §2.4; RFC 6125 §6.4.3.
    #[test]
    fn addresses_are_reversed_and_patterns_cover_one_label() {
        assert_eq!(reversed("192.0.2.9".parse().unwrap()), "9.2.0.192");
        let long = reversed("2001:db8::5".parse().unwrap());
        assert!(long.starts_with("5.0.0.0.") && long.ends_with("8.b.d.0.1.0.0.2"), "{long}");
        assert!(covers("*.example.org", "mail.Example.org"));
        assert!(!covers("*.example.org", "a.b.example.org"));
        assert!(!covers("*.example.org", "example.org"));
        assert!(covers("mail.example.org", "MAIL.example.org"));
    }
}
