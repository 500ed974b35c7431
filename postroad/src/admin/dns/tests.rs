//! Against a DNS server in the same process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use engine::memory::World;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};
use net::dns::DnsOptions;
use store::Store;
use tokio::net::UdpSocket;

use super::super::{Check, Surroundings};
use super::*;

type Zone = Arc<Mutex<BTreeMap<String, Vec<RData>>>>;

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn text_of(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn text(text: &str) -> RData {
    let strings = text.as_bytes().chunks(255);
    RData::TXT(TXT::new(strings.map(|one| String::from_utf8(one.to_vec()).unwrap()).collect()))
}

fn address(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}

fn answer(zone: &Zone, packet: &[u8]) -> Vec<u8> {
    let question = Message::from_vec(packet).unwrap();
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.message_type = MessageType::Response;
    let zone = zone.lock().unwrap();
    match zone.get(text_of(query.name()).as_str()) {
        Some(found) => {
            for data in found {
                let record = Record::from_rdata(query.name().clone(), 0, data.clone());
                if record.record_type() == query.query_type() {
                    answer.add_answer(record);
                } else if let RData::CNAME(CNAME(target)) = data {
                    answer.add_answer(record);
                    let there = zone.get(text_of(target).as_str()).into_iter().flatten();
                    let there =
                        there.map(|data| Record::from_rdata(target.clone(), 0, data.clone()));
                    answer.add_answers(there.filter(|one| one.record_type() == query.query_type()));
                }
            }
        }
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(query);
    answer.to_vec().unwrap()
}

struct Office {
    admin: Admin,
    zone: Zone,
    options: DnsOptions,
    publishing: Publishing,
    _tasks: engine::Tasks,
}

async fn office() -> Office {
    let world = World::default();
    let store = Store::new(world.process("a"), store::Options::default());
    let admin = Admin::new(store, 4096);
    admin.add_domain("example.test").await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let options =
        DnsOptions { servers: vec![socket.local_addr().unwrap()], ..DnsOptions::default() };
    let zone = Zone::default();
    let (tasks, answers) = (engine::Tasks::new(4), zone.clone());
    drop(tasks.spawn("dns", async move {
        let mut buffer = [0; 2048];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&answer(&answers, &buffer[..count]), from).await.unwrap();
        }
    }));
    let publishing = Publishing {
        host: "mail.example.test".to_owned(),
        services: vec![("_imaps", 993)],
        ..Publishing::default()
    };
    Office { admin, zone, options, publishing, _tasks: tasks }
}

impl Office {
    fn set(&self, name: &str, data: Vec<RData>) {
        self.zone.lock().unwrap().insert(name.to_owned(), data);
    }

    async fn records(&self) -> Vec<DnsRecord> {
        self.admin.domain_records("example.test", &self.publishing).await.unwrap()
    }

    fn looker(&self) -> Looker {
        Looker::new(&self.options, self.admin.engines())
    }

    /// Verdicts by type and name.
    async fn check(&self) -> BTreeMap<String, (Verdict, String)> {
        let mut records = self.records().await;
        self.looker().check("example.test", &mut records, &self.publishing).await.unwrap();
        let checked = records.into_iter().filter_map(|one| {
            let check = one.check?;
            Some((
                format!("{} {}", one.kind, one.name),
                (check.verdict, check.note.unwrap_or_default()),
            ))
        });
        checked.collect()
    }

    /// Publishes all that is to be published.
    async fn publish(&self) {
        for record in self.records().await {
            if record.kind == "TXT" {
                self.set(&record.name, vec![text(&record.value)]);
            }
        }
        let spf = text("v=spf1 mx -all");
        let mx = RData::MX(MX::new(10, name("mail.example.test")));
        self.set("example.test", vec![mx, spf, text("something else")]);
        self.set("mail.example.test", vec![address(25)]);
        self.set("mta-sts.example.test", vec![address(25)]);
        let srv = RData::SRV(SRV::new(0, 1, 993, name("mail.example.test")));
        self.set("_imaps._tcp.example.test", vec![srv]);
    }

    async fn doctor(&self, blocklists: &[&str]) -> BTreeMap<&'static str, Check> {
        let around = Surroundings {
            publishing: self.publishing.clone(),
            looker: Some(self.looker()),
            blocklists: blocklists.iter().map(|zone| (*zone).to_owned()).collect(),
            time: None,
        };
        let report = self.admin.doctor_around(Ok(Vec::new()), &around).await;
        report.checks.into_iter().map(|check| (check.name, check)).collect()
    }
}

// RFC 2782; RFC 6186 §3; RFC 8460 §3.
#[tokio::test]
async fn what_is_published_as_shown_is_found_right() {
    let office = office().await;
    let lines: Vec<_> = office.records().await.iter().map(DnsRecord::line).collect();
    assert!(lines.contains(&"example.test. IN MX 10 mail.example.test.".to_owned()), "{lines:?}");
    assert!(lines.contains(&"example.test. IN TXT \"v=spf1 mx -all\"".to_owned()), "{lines:?}");
    office.publish().await;
    let checked = office.check().await;
    assert!(checked.values().all(|(verdict, _)| *verdict == Verdict::Ok), "{checked:#?}");
    assert!(checked.len() >= 7, "{checked:#?}");
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_told_with_what_follows() {
    let office = office().await;
    let checked = office.check().await;
    let verdict = |checked: &BTreeMap<String, (Verdict, String)>, name: &str| {
        checked.get(name).unwrap_or_else(|| panic!("{name}: {checked:#?}")).clone()
    };
    assert_eq!(verdict(&checked, "MX example.test").0, Verdict::Failure);
    assert_eq!(verdict(&checked, "TXT _dmarc.example.test").0, Verdict::Warning);
    office.publish().await;
    // SPF that leaves our address out; two records of DMARC; mail that goes elsewhere.
    let elsewhere = RData::MX(MX::new(5, name("mx.other.test")));
    office.set("example.test", vec![elsewhere, text("v=spf1 ip4:198.51.100.0/24 -all")]);
    let dmarc = text("v=DMARC1; p=reject; rua=mailto:a@example.test");
    office.set("_dmarc.example.test", vec![dmarc.clone(), dmarc]);
    office.set("_mta-sts.example.test", vec![text("v=STSv1; id=20200101;")]);
    let checked = office.check().await;
    let (mx, spf) = (verdict(&checked, "MX example.test"), verdict(&checked, "TXT example.test"));
    assert!(mx.0 == Verdict::Failure && mx.1.contains("goes elsewhere"), "{mx:?}");
    assert!(spf.0 == Verdict::Failure && spf.1.contains("192.0.2.25 gets \"fail\""), "{spf:?}");
    assert_eq!(verdict(&checked, "TXT _dmarc.example.test").0, Verdict::Failure);
    assert_eq!(verdict(&checked, "TXT _mta-sts.example.test").0, Verdict::Warning);
    // RFC 2181 §10.3: a mail exchanger is no alias.
    office.set("host.example.test", vec![address(25)]);
    office.set("mail.example.test", vec![RData::CNAME(CNAME(name("host.example.test")))]);
    let alias = verdict(&office.check().await, "A mail.example.test");
    assert!(alias.0 == Verdict::Warning && alias.1.contains("host.example.test"), "{alias:?}");
    // A domain without a policy publishes none.
    office.admin.set_domain_policy("example.test", "mta-sts", "none").await.unwrap();
    assert!(!office.check().await.contains_key("TXT _mta-sts.example.test"));
    assert!(office.admin.set_domain_policy("example.test", "mta-sts", "strict").await.is_err());
    assert!(office.admin.set_domain_policy("none.test", "mta-sts", "none").await.is_err());
}

#[tokio::test]
async fn the_doctor_sees_names_and_blocklists_of_our_addresses() {
    let office = office().await;
    office.publish().await;
    let found = office.doctor(&["bl.test"]).await;
    assert_eq!(found["dns"].verdict, Verdict::Ok, "{found:#?}");
    assert_eq!(found["names"].verdict, Verdict::Warning, "{found:#?}");
    assert_eq!(found["blocklists"].verdict, Verdict::Ok, "{found:#?}");
    let reverse = RData::PTR(PTR(name("mail.example.test")));
    office.set("25.2.0.192.in-addr.arpa", vec![reverse]);
    office.set("25.2.0.192.bl.test", vec![RData::A(A::new(127, 0, 0, 2))]);
    let found = office.doctor(&["bl.test"]).await;
    assert_eq!(found["names"].verdict, Verdict::Ok, "{found:#?}");
    assert!(found["blocklists"].found.contains("192.0.2.25 is listed by bl.test"), "{found:#?}");
}

// RFC 1035 §3.3, §5.1.
#[test]
fn long_texts_are_several_strings() {
    let line = quoted(&format!("{}\"", "x".repeat(300)));
    assert_eq!(line, format!("\"{}\" \"{}\\\"\"", "x".repeat(255), "x".repeat(45)));
}

/// A web server that answers so.
struct Web(Result<&'static str, &'static str>);

#[async_trait::async_trait]
impl net::sts::Policies for Web {
    async fn fetch(&self, domain: &Domain) -> Result<String, String> {
        assert_eq!(domain.as_str(), "example.test");
        self.0.map(str::to_owned).map_err(str::to_owned)
    }
}

// RFC 8461 §3.3.
#[tokio::test]
async fn the_policy_is_fetched_as_others_fetch_it() {
    let office = office().await;
    office.publish().await;
    let check = async |answer| {
        let mut records = office.records().await;
        let looker = office.looker().fetching(Arc::new(Web(answer)));
        looker.check("example.test", &mut records, &office.publishing).await.unwrap();
        let policy = records.into_iter().find(DnsRecord::is_policy).unwrap();
        let check = policy.check.unwrap();
        (check.verdict, check.note.unwrap_or_default())
    };
    let ours = "version: STSv1\r\nmode: testing\r\nmx: mail.example.test\r\nmax_age: 5\r\n";
    assert_eq!(check(Ok(ours)).await, (Verdict::Ok, String::new()));
    for (answer, verdict, part) in [
        (Err("no whole answer"), Verdict::Warning, "no whole answer"),
        (Ok("<html>"), Verdict::Failure, "no policy"),
        (
            Ok("version: STSv1\nmode: enforce\nmx: mx.other.test\nmax_age: 5\n"),
            Verdict::Failure,
            "may not send",
        ),
        (
            Ok("version: STSv1\nmode: enforce\nmx: mail.example.test\nmax_age: 5\n"),
            Verdict::Warning,
            "an old one",
        ),
    ] {
        let (found, note) = check(answer).await;
        assert!(found == verdict && note.contains(part), "{answer:?}: {found:?} {note}");
    }
}
