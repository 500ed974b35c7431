//! Reports out and in, on one in-memory world.

use std::collections::BTreeMap as Map;
use std::net::IpAddr;

use async_trait::async_trait;
use engine::memory::World;
use mail::Domain;
use mail::date::DateTime;
use mail::report::{
    AggregateReport, DigestBody, Disposition, DmarcSeen, Letter, TlsOutcome, TlsPolicy, TlsReport,
    TlsSeen, Unpacked, unpack,
};
use net::Roots;
use net::dns::{Answer, DnsFault, Mx, Tlsa};
use net::send::Reach;
use store::rows::{Item, ItemState};
use store::{Options, Reporting};

use super::*;
use crate::testing::{accept, accounts, deliver_all, give_key, options};

const MINUTE: Duration = Duration::from_secs(60);

/// TXT records only.
#[derive(Default)]
struct Texts(Map<String, Vec<String>>);

impl Texts {
    fn new(all: &[(&str, &str)]) -> Self {
        let mut texts: Map<String, Vec<String>> = Map::new();
        for (name, text) in all {
            texts.entry((*name).to_owned()).or_default().push((*text).to_owned());
        }
        Self(texts)
    }
}

#[async_trait]
impl Dns for Texts {
    async fn txt(&self, name: &str) -> Result<Answer<String>, DnsFault> {
        if name.contains("broken.test") {
            return Err(DnsFault::Temporary("down".to_owned()));
        }
        let records = self.0.get(name).cloned().ok_or(DnsFault::NoSuchName)?;
        Ok(Answer { records, secure: false, ttl: MINUTE, canonical: None })
    }
    async fn mx(&self, _: &Domain) -> Result<Answer<Mx>, DnsFault> {
        Err(DnsFault::NoData)
    }
    async fn addresses(&self, _: &str) -> Result<Answer<IpAddr>, DnsFault> {
        Err(DnsFault::NoData)
    }
    async fn tlsa(&self, _: &str, _: u16) -> Result<Answer<Tlsa>, DnsFault> {
        Err(DnsFault::NoData)
    }
    async fn ptr(&self, _: IpAddr) -> Result<Answer<String>, DnsFault> {
        Err(DnsFault::NoData)
    }
    async fn listed(&self, _: &str) -> Result<Answer<std::net::Ipv4Addr>, DnsFault> {
        Err(DnsFault::NoData)
    }
}

fn store(world: &World, name: &str) -> Store {
    let reporting = Reporting { dmarc: true, tls: true, interval: MINUTE };
    Store::new(world.process(name), Options { reporting, ..options() })
}

fn reports(store: &Store, dns: &Arc<Texts>) -> Reports {
    let engines = store.engines();
    let dns: Arc<dyn Dns> = dns.clone();
    let http = Http::new(
        engines.clock.clone(),
        engines.tasks.clone(),
        dns.clone(),
        Roots::public(),
        Reach::Public,
    );
    let routes = Routes::new(Map::new(), true, Reach::Public, BTreeSet::new(), dns.clone());
    let reporter = Reporter {
        host: "mail.example.test".to_owned(),
        from: Address::parse("postmaster@example.test").unwrap(),
        organisation: "Example".to_owned(),
    };
    Reports::new(store.clone(), reporter, Around { dns, routes, http })
}

fn seen(source: [u8; 4]) -> DmarcSeen {
    DmarcSeen {
        source: source.into(),
        disposition: Disposition::Reject,
        dkim_aligned: false,
        spf_aligned: false,
        forwarded: false,
        header_from: "far.test".to_owned(),
        envelope_from: "evil.test".to_owned(),
        signatures: Vec::new(),
        spf: None,
    }
}

async fn leaving(store: &Store) -> Vec<(ItemKey, Item, engine::Version)> {
    store.items().unfinished(100).await.unwrap()
}

async fn letter(store: &Store, item: &Item) -> String {
    let index = store.index_of(item.place).await.unwrap().unwrap();
    let record = &index.records[0];
    let read = store.read_record(item.place, 0..record.location.size()).await.unwrap().unwrap();
    String::from_utf8(read.to_vec()).unwrap()
}

// RFC 9990 §4, §4.1.
#[tokio::test(start_paused = true)]
async fn one_report_goes_to_each_who_wants_it_however_many_make_it() {
    let world = World::default();
    let (one, two) = (store(&world, "one"), store(&world, "two"));
    accounts(&one, &["ana"]).await;
    give_key(&one).await;
    let dns = Arc::new(Texts::new(&[
        (
            "_dmarc.far.test",
            "v=DMARC1; p=reject; rua=mailto:d@far.test!10m,mailto:x@victim.test,\
             mailto:y@agent.test,mailto:z@far.test!1k,mailto:ana@example.test,mailto:bad address",
        ),
        ("far.test._report._dmarc.agent.test", "v=DMARC1;"),
        ("_dmarc.quiet.test", "v=DMARC1; p=none"),
    ]));
    let clock = one.engines().clock.clone();
    // From the beginning of a time.
    let over = one.engines().index.now().seconds() % 60;
    clock.sleep(Duration::from_secs(60 - over)).await;
    let from = one.engines().index.now().seconds();
    for (store, times) in [(&one, 3), (&two, 2)] {
        for _ in 0..times {
            store.reports().count(ReportKind::Dmarc, "far.test", seen([192, 0, 2, 1]).encode());
        }
        store.reports().count(ReportKind::Dmarc, "far.test", seen([192, 0, 2, times]).encode());
        store.reports().count(ReportKind::Dmarc, "quiet.test", seen([192, 0, 2, 1]).encode());
        store.reports().flush().await.unwrap();
    }
    let (first, second) = (reports(&one, &dns), reports(&two, &dns));
    first.round().await.unwrap();
    assert!(leaving(&one).await.is_empty(), "not before the time is over");
    clock.sleep(MINUTE * 2 + MINUTE / 2).await;
    let (left, right) = futures_util::future::join(first.round(), second.round()).await;
    left.unwrap();
    right.unwrap();
    // One who died and knows nothing makes the same.
    let again = reports(&two, &dns);
    again.about_again(from).await;
    let items = leaving(&one).await;
    let mut to: Vec<&str> =
        items.iter().map(|(_, item, _)| item.recipients[0].path.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["d@far.test", "y@agent.test"]);
    let (key, item, version) =
        items.iter().find(|(key, ..)| key.destination == "far.test").unwrap();
    let text = letter(&one, item).await;
    assert!(text.starts_with("Return-Path: <>\r\nDKIM-Signature: "), "{text}");
    assert!(text.contains("\r\nSubject: Report Domain: far.test\r\n Submitter: example.test\r\n"));
    let name = format!("filename=\"example.test!far.test!{from}!{}.xml.gz\"", from + 59);
    assert!(text.contains(&name), "{name} in {text}");
    let Unpacked::Xml(xml) = unpack(text.as_bytes()).unwrap() else { panic!() };
    let report = AggregateReport::read(&xml).unwrap();
    let rows: Vec<_> = report.rows.iter().map(|row| (row.count, row.seen.source)).collect();
    let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
    assert_eq!(rows, [(5, ip(1)), (1, ip(2)), (1, ip(3))]);
    assert_eq!((report.begin, report.end), (from, from + 59));
    // Its object goes when its item has ended, and only then (I5).
    let made = store::names::made(key.id);
    let is_there = async || one.engines().objects.get(&made).await.unwrap().is_some();
    second.round().await.unwrap();
    assert!(is_there().await);
    let mut ended = item.clone();
    ended.state = ItemState::Delivered;
    one.items().update(key, &ended, *version).await.unwrap();
    second.round().await.unwrap();
    assert!(!is_there().await);
    assert_eq!(one.reports().sent(None, 10).await.unwrap().len(), 1);
}

impl Reports {
    /// All reports of a time, as if nothing were known of them.
    async fn about_again(&self, from: u64) {
        for bucket in 0..TALLY_BUCKETS {
            for (domain, seen) in self.gather(ReportKind::Dmarc, from, bucket).await.unwrap() {
                self.about(ReportKind::Dmarc, from, &domain, &seen).await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_of_tls_is_made_where_one_is_wanted_and_later_where_dns_fails() {
    let world = World::default();
    let one = store(&world, "one");
    accounts(&one, &["ana"]).await;
    let dns =
        Arc::new(Texts::new(&[("_smtp._tls.far.test", "v=TLSRPTv1; rua=mailto:tls@reports.test")]));
    let call = |outcome| TlsSeen {
        policy: TlsPolicy::default(),
        outcome,
        from: None,
        host: "mx.far.test".to_owned(),
        to: None,
    };
    for _ in 0..3 {
        one.reports().count(ReportKind::Tls, "far.test", call(TlsOutcome::Success).encode());
    }
    let failed = call(TlsOutcome::Expired).encode();
    one.reports().count(ReportKind::Tls, "far.test", failed.clone());
    one.reports().count(ReportKind::Tls, "broken.test", failed.clone());
    one.reports().count(ReportKind::Tls, "nobody.test", failed);
    one.reports().flush().await.unwrap();
    let made = reports(&one, &dns);
    one.engines().clock.sleep(MINUTE * 2 + MINUTE / 2).await;
    made.round().await.unwrap();
    let items = leaving(&one).await;
    let [(key, item, _)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(key.destination, "reports.test");
    let text = letter(&one, item).await;
    assert!(text.contains("TLS-Report-Domain: far.test\r\n") && text.contains("tlsrpt+gzip"));
    let Unpacked::Json(json) = unpack(text.as_bytes()).unwrap() else { panic!() };
    let report = TlsReport::read(&json).unwrap();
    let summary = report.policies[0].summary;
    assert_eq!(summary.total_successful_session_count, 3);
    assert_eq!(summary.total_failure_session_count, 1);
    assert_eq!(report.policies[0].failure_details[0].result_type, "certificate-expired");
}

fn report_about(domain: &str, organisation: &str) -> Vec<u8> {
    let to = mail::Path::parse("postmaster@example.test").unwrap();
    let report = AggregateReport {
        organisation: organisation.to_owned(),
        id: "1".to_owned(),
        begin: 0,
        end: 86_399,
        policy: mail::report::PublishedPolicy { domain: domain.to_owned(), ..Default::default() },
        rows: vec![mail::report::AggregateRow { count: 7, seen: seen([192, 0, 2, 9]) }],
        ..AggregateReport::default()
    };
    Letter {
        kind: ReportKind::Dmarc,
        submitter: "far.test",
        host: "mail.far.test",
        organisation,
        from: "noreply@far.test",
        to: &to,
        domain,
        id: "1",
        begin: 0,
        end: 86_399,
        now: DateTime::from_timestamp(Timestamp(0)),
        report: &report.write(),
    }
    .write()
}

#[tokio::test(start_paused = true)]
async fn reports_that_come_in_are_kept_and_delivered_whatever_they_are() {
    let world = World::default();
    let one = store(&world, "one");
    let made = accounts(&one, &["postmaster"]).await;
    for message in [
        report_about("example.test", "Far"),
        report_about("example.test", "Far"),
        report_about("sub.example.test", "Other"),
        report_about("elsewhere.test", "Far"),
        b"Subject: Report Domain: example.test\r\n\r\nnothing\r\n".to_vec(),
        b"Subject: hello\r\n\r\nno report\r\n".to_vec(),
    ] {
        accept(&one, &["postmaster"], &message).await.unwrap();
    }
    deliver_all(&world, &one).await;
    let log = one.account(made[0]).await.unwrap();
    assert_eq!(crate::testing::inbox(&log).await.len(), 6);
    let domain = Domain::parse("example.test").unwrap();
    let (mut kept, refused) = one.reports().received(&domain, 0, 100).await.unwrap();
    kept.sort_by(|a, b| a.digest.organisation.cmp(&b.digest.organisation));
    let names: Vec<_> = kept.iter().map(|row| row.digest.organisation.as_str()).collect();
    assert_eq!(names, ["Far", "Other"]);
    let DigestBody::Dmarc { sources, .. } = &kept[0].digest.body else { panic!() };
    assert_eq!((sources.len(), sources[0].1.messages, sources[0].1.rejected), (1, 7, 7));
    assert_eq!((refused.malformed, refused.foreign, refused.over), (1, 1, 0));
}
