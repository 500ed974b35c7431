//! Ways by routes and exchangers, in a DNS of the test's own.

use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use engine::memory::{Options as WorldOptions, World};
use net::dns::Answer;
use net::sts::Policies;

use super::*;

/// What is published; `!` in front of a host's address says that it is not signed.
#[derive(Clone, Default)]
struct Published {
    mx: Vec<(u16, &'static str)>,
    fault: Option<DnsFault>,
    /// By host; its TLSA records.
    tlsa: BTreeMap<&'static str, Result<Vec<Tlsa>, DnsFault>>,
    unsigned: bool,
    policy: Option<&'static str>,
}

fn answer<T>(records: Vec<T>, secure: bool) -> Answer<T> {
    Answer { records, secure, ttl: Duration::from_secs(60), canonical: None }
}

#[async_trait]
impl Dns for Published {
    async fn mx(&self, _: &Domain) -> Result<Answer<Mx>, DnsFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mx =
            |(preference, host): &(u16, &str)| Mx { preference: *preference, host: (*host).into() };
        Ok(answer(self.mx.iter().map(mx).collect(), !self.unsigned))
    }

    async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsFault> {
        let last = match host {
            "gone.far.test" => return Err(DnsFault::NoSuchName),
            "bogus.far.test" => return Err(DnsFault::Bogus),
            "mx1.far.test" => 1,
            _ => 2,
        };
        Ok(answer(vec![Ipv4Addr::new(192, 0, 2, last).into()], host != "unsigned.far.test"))
    }

    async fn tlsa(&self, host: &str, port: u16) -> Result<Answer<Tlsa>, DnsFault> {
        assert!(
            !self.unsigned && port == 25,
            "TLSA records are asked for only where they can be trusted"
        );
        let found = self.tlsa.get(host).cloned().unwrap_or(Err(DnsFault::NoSuchName));
        found.map(|records| answer(records, true))
    }

    async fn txt(&self, _: &str) -> Result<Answer<String>, DnsFault> {
        let record = self.policy.map(|_| "v=STSv1; id=1".to_owned());
        Ok(answer(vec![record.ok_or(DnsFault::NoSuchName)?], false))
    }

    async fn ptr(&self, _: IpAddr) -> Result<Answer<String>, DnsFault> {
        Err(DnsFault::NoData)
    }

    async fn listed(&self, _: &str) -> Result<Answer<Ipv4Addr>, DnsFault> {
        Err(DnsFault::NoData)
    }
}

#[async_trait]
impl Policies for Published {
    async fn fetch(&self, _: &Domain) -> Result<String, String> {
        self.policy.map(str::to_owned).ok_or_else(|| "none".to_owned())
    }
}

const ENFORCE: &str = "version: STSv1\nmode: enforce\nmx: mx1.far.test\nmax_age: 9999\n";
const TESTING: &str = "version: STSv1\nmode: testing\nmx: mx1.far.test\nmax_age: 9999\n";

fn tlsa(usage: u8) -> Tlsa {
    Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] }
}

/// The ways as text: host, and what TLS must be.
async fn ways(published: Published, domain: &str) -> Result<Vec<String>, NoWay> {
    let engines = World::new(WorldOptions::default()).process("routes");
    let dns = Arc::new(published);
    let sts = Sts::new(dns.clone(), dns.clone(), engines.clock);
    let ours = BTreeSet::from(["us.test".to_owned()]);
    let routes = Routes::new(BTreeMap::new(), true, Reach::Public, ours, dns);
    let way = routes.with_sts(Arc::new(sts)).way(domain, &*engines.random).await?;
    let text = |target: Target| {
        let security = match target.security {
            Security::Opportunistic => "opportunistic".to_owned(),
            Security::Require(Verify::Dane(records, names)) => {
                format!("dane {} {}", records.len(), names.join(","))
            }
            Security::Require(Verify::Names(names)) => format!("names {}", names.join(",")),
            other => format!("{other:?}"),
        };
        assert_eq!((target.address.port(), target.reach), (25, Reach::Public));
        format!("{} {security}", target.host)
    };
    Ok(way.into_iter().map(text).collect())
}

fn two() -> Published {
    Published { mx: vec![(20, "mx2.far.test"), (10, "mx1.far.test")], ..Published::default() }
}

#[track_caller]
fn later(result: Result<Vec<String>, NoWay>, part: &str) {
    match result {
        Err(NoWay::Later(why)) if why.contains(part) => {}
        other => panic!("expected to wait for {part:?}: {other:?}"),
    }
}

#[track_caller]
fn never_with(result: Result<Vec<String>, NoWay>, part: &str) {
    match result {
        Err(NoWay::Never(reply)) if reply.to_string().contains(part) => {}
        other => panic!("expected {part:?}: {other:?}"),
    }
}

/// RFC 5321 §5.1, RFC 7505.
/// RFC 7505 §3.
#[tokio::test]
async fn exchangers_are_taken_by_preference_and_loops_cut() {
    let found = ways(two(), "far.test").await.unwrap();
    assert_eq!(found, ["mx1.far.test opportunistic", "mx2.far.test opportunistic"]);
    let implicit = Published { fault: Some(DnsFault::NoData), ..Published::default() };
    assert_eq!(ways(implicit, "far.test").await.unwrap(), ["far.test opportunistic"]);
    let with_us = Published {
        mx: vec![(10, "mx1.far.test"), (20, "us.test"), (20, "mx2.far.test")],
        ..two()
    };
    assert_eq!(ways(with_us, "far.test").await.unwrap(), ["mx1.far.test opportunistic"]);
    let only_us = Published { mx: vec![(10, "us.test"), (20, "mx2.far.test")], ..two() };
    never_with(ways(only_us, "far.test").await, "554 5.4.6");
    never_with(ways(Published { mx: vec![(0, "")], ..two() }, "far.test").await, "556 5.1.10");
    let none = |fault| Published { fault: Some(fault), ..two() };
    never_with(ways(none(DnsFault::NoSuchName), "far.test").await, "550 5.1.2");
    later(ways(none(DnsFault::Bogus), "far.test").await, "DNSSEC");
    later(ways(none(DnsFault::Temporary("x".into())), "far.test").await, "no answer");
    let gone = Published { mx: vec![(10, "gone.far.test"), (20, "mx2.far.test")], ..two() };
    assert_eq!(ways(gone, "far.test").await.unwrap(), ["mx2.far.test opportunistic"]);
    let bogus = Published { mx: vec![(10, "bogus.far.test")], ..two() };
    later(ways(bogus, "far.test").await, "DNSSEC");
}

/// RFC 7672 §2.2; F4.
#[tokio::test]
async fn tlsa_records_make_tls_a_must_and_no_answer_makes_mail_wait() {
    let dane = |found| Published { tlsa: BTreeMap::from([("mx1.far.test", found)]), ..two() };
    assert_eq!(
        ways(dane(Ok(vec![tlsa(3)])), "far.test").await.unwrap(),
        ["mx1.far.test dane 1 mx1.far.test,far.test", "mx2.far.test opportunistic"]
    );
    // A host whose records cannot be had is not called; another may be.
    for fault in [DnsFault::Bogus, DnsFault::Temporary("x".into())] {
        let found = ways(dane(Err(fault)), "far.test").await.unwrap();
        assert_eq!(found, ["mx2.far.test opportunistic"]);
    }
    let only = Published { mx: vec![(10, "mx1.far.test")], ..dane(Err(DnsFault::Bogus)) };
    later(ways(only, "far.test").await, "TLSA records of mx1.far.test: DNSSEC");
    // Without signatures they mean nothing, and are not asked for.
    let unsigned = Published { unsigned: true, ..dane(Ok(vec![tlsa(3)])) };
    assert_eq!(ways(unsigned, "far.test").await.unwrap()[0], "mx1.far.test opportunistic");
    // None that is usable: TLS with anybody (§2.2).
    assert_eq!(
        ways(dane(Ok(vec![tlsa(1)])), "far.test").await.unwrap()[0],
        "mx1.far.test dane 1 mx1.far.test,far.test"
    );
}

/// RFC 8461 §4, §5.
/// RFC 8461 §2.
#[tokio::test]
async fn an_enforced_policy_names_the_hosts_and_dane_goes_before_it() {
    let with = |policy| Published { policy: Some(policy), unsigned: true, ..two() };
    assert_eq!(ways(with(ENFORCE), "far.test").await.unwrap(), ["mx1.far.test names mx1.far.test"]);
    assert_eq!(ways(with(TESTING), "far.test").await.unwrap().len(), 2);
    assert_eq!(ways(with("<html>"), "far.test").await.unwrap()[0], "mx1.far.test opportunistic");
    let none_allowed = Published { mx: vec![(10, "mx2.far.test")], ..with(ENFORCE) };
    later(ways(none_allowed, "far.test").await, "not in the policy");
    let both = |usage| Published {
        tlsa: BTreeMap::from([("mx2.far.test", Ok(vec![tlsa(usage)]))]),
        unsigned: false,
        ..with(ENFORCE)
    };
    assert_eq!(
        ways(both(3), "far.test").await.unwrap(),
        ["mx1.far.test names mx1.far.test", "mx2.far.test dane 1 mx2.far.test,far.test"]
    );
    assert_eq!(ways(both(1), "far.test").await.unwrap(), ["mx1.far.test names mx1.far.test"]);
}

#[tokio::test]
async fn a_route_goes_before_exchangers_and_fills_in_its_names() {
    let engines = World::new(WorldOptions::default()).process("routes");
    let route = Route {
        hosts: vec![("mx1.far.test".into(), 2525), ("gone.far.test".into(), 25)],
        security: Security::Require(Verify::Names(vec![])),
        login: None,
    };
    let routes = BTreeMap::from([("far.test".to_owned(), route)]);
    let dns = Arc::new(two());
    let routes = Routes::new(routes, false, Reach::Public, BTreeSet::new(), dns);
    let way = routes.way("far.test", &*engines.random).await.unwrap();
    assert_eq!(way.len(), 1);
    assert_eq!(way[0].address.to_string(), "192.0.2.1:2525");
    assert_eq!(way[0].reach, Reach::Anywhere);
    let names = Verify::Names(vec!["mx1.far.test".into()]);
    assert_eq!(way[0].security, Security::Require(names));
    assert!(!routes.leads_to("other.test"));
    assert!(routes.way("other.test", &*engines.random).await.is_err());
}

// RFC 5321 §2.3.4; RFC 6761 §6.3: neither is a matter of the DNS.
#[tokio::test]
async fn an_address_and_this_machine_are_not_asked_for() {
    let found = ways(two(), "[192.0.2.9]").await.unwrap();
    assert_eq!(found, ["192.0.2.9 opportunistic"]);
    assert_eq!(ways(two(), "[ipv6:2001:db8::1]").await.unwrap(), ["2001:db8::1 opportunistic"]);
    never_with(ways(two(), "[x]").await, "501 5.1.3");
    let route = Route {
        hosts: vec![("localhost".into(), 2525)],
        security: Security::Opportunistic,
        login: None,
    };
    let routes = BTreeMap::from([("far.test".to_owned(), route)]);
    let routes = Routes::new(routes, false, Reach::Public, BTreeSet::new(), Arc::new(two()));
    let engines = World::new(WorldOptions::default()).process("routes");
    let way = routes.way("far.test", &*engines.random).await.unwrap();
    assert_eq!(way[0].address.to_string(), "127.0.0.1:2525");
}
