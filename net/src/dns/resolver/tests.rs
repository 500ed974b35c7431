//! Against a small server in the same process.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::Tasks;
use engine::memory::{Options as WorldOptions, World};
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{self, A, AAAA, CNAME, MX, PTR, SOA, TXT};
use tokio::net::TcpListener;

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 300, data)
}

/// Answers from a table; counts questions.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    ports: Arc<Mutex<BTreeSet<u16>>>,
    _tasks: Tasks,
}

struct Zone {
    records: Vec<Record>,
    asked: Arc<AtomicUsize>,
    /// Names whose signatures are "wrong".
    bogus: &'static str,
}

impl Zone {
    fn answer(&self, packet: &[u8], over_tcp: bool) -> Vec<u8> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let question = Message::from_vec(packet).unwrap();
        let head = &question.metadata;
        assert!(head.recursion_desired);
        let query = question.queries[0].clone();
        let mut answer = Message::response(head.id, head.op_code);
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.authentic_data = head.authentic_data;
        let asked = text(query.name());
        let mut owner = asked.clone();
        for record in &self.records {
            if let RData::CNAME(target) = &record.data
                && text(&record.name) == owner
            {
                answer.add_answer(record.clone());
                owner = text(&target.0);
            }
        }
        let of_owner = |record: &&Record| text(&record.name) == owner;
        let mut fitting: Vec<_> = self.records.iter().filter(of_owner).cloned().collect();
        let exists = !fitting.is_empty();
        fitting.retain(|record| record.record_type() == query.query_type());
        answer.add_query(query);
        if asked == self.bogus && !head.checking_disabled {
            answer.metadata.response_code = ResponseCode::ServFail;
        } else if asked == "refused.test" {
            answer.metadata.response_code = ResponseCode::Refused;
        } else if asked == "long.test" && !over_tcp {
            answer.metadata.truncation = true;
        } else if exists {
            // What nobody asked for is not to be believed.
            answer.add_answer(record("evil.test", RData::A(A::new(6, 6, 6, 6))));
            answer.add_answers(fitting);
        } else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(name("ns.test"), name("root.test"), 1, 2, 3, 4, 60);
            answer.add_authority(record("test", RData::SOA(soa)));
        }
        answer.to_vec().unwrap()
    }
}

impl Server {
    async fn start(records: Vec<Record>) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let zone = Arc::new(Zone { records, asked: asked.clone(), bogus: "bogus.test" });
        let tasks = Tasks::default();
        let over_udp = zone.clone();
        let ports = Arc::<Mutex<BTreeSet<u16>>>::default();
        let met = ports.clone();
        tasks.spawn("udp", async move {
            let mut buffer = [0; 4096];
            loop {
                let (count, peer) = udp.recv_from(&mut buffer).await.unwrap();
                met.lock().unwrap().insert(peer.port());
                let answer = over_udp.answer(&buffer[..count], false);
                // A guess of somebody else's comes first: another id.
                let mut forged = answer.clone();
                forged[0] ^= 1;
                udp.send_to(&forged, peer).await.unwrap();
                udp.send_to(&answer, peer).await.unwrap();
            }
        });
        tasks.spawn("tcp", async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut packet = vec![0; length.into()];
                stream.read_exact(&mut packet).await.unwrap();
                let answer = zone.answer(&packet, true);
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        Self { address, asked, ports, _tasks: tasks }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn resolver(&self, trust_ad: bool) -> Resolver {
        let options = DnsOptions {
            servers: vec![self.address],
            timeout: Duration::from_secs(5),
            attempts: 1,
            trust_ad,
        };
        resolver(&options)
    }
}

fn resolver(options: &DnsOptions) -> Resolver {
    let engines = World::new(WorldOptions::default()).process("dns");
    Resolver::new(options, engines.clock, engines.random)
}

fn zone() -> Vec<Record> {
    let txt =
        |strings: &[&str]| RData::TXT(TXT::new(strings.iter().map(|s| (*s).to_owned()).collect()));
    let tlsa = rdata::TLSA::new(3.into(), 1.into(), 1.into(), vec![7; 32]);
    vec![
        record("a.test", RData::MX(MX::new(10, name("MX1.a.test")))),
        record("a.test", RData::MX(MX::new(20, name("mx2.a.test")))),
        record("null.test", RData::MX(MX::new(0, Name::root()))),
        record("mx1.a.test", RData::A(A::new(192, 0, 2, 1))),
        record("mx1.a.test", RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
        record("_25._tcp.mx1.a.test", RData::TLSA(tlsa)),
        record("a.test", txt(&["v=spf1 ", "-all"])),
        record("alias.test", RData::CNAME(CNAME(name("mx1.a.test")))),
        record("1.2.0.192.in-addr.arpa", RData::PTR(PTR(name("mx1.a.test")))),
        record("long.test", txt(&["long"])),
        record("bogus.test", txt(&["forged"])),
        record("listed.bl.test", RData::A(A::new(127, 0, 0, 2))),
    ]
}

// RFC 1035 §4.2.2; RFC 6698 §2.1; RFC 7672 §2.1.
#[tokio::test]
async fn each_kind_of_record_is_found() {
    let server = Server::start(zone()).await;
    let dns = server.resolver(true);
    let mx = dns.mx(&Domain::parse("a.test").unwrap()).await.unwrap();
    let hosts: Vec<_> = mx.records.iter().map(|mx| (mx.preference, mx.host.as_str())).collect();
    assert_eq!(hosts, [(10, "mx1.a.test"), (20, "mx2.a.test")]);
    assert!(mx.secure && mx.ttl <= Duration::from_secs(300) && mx.canonical.is_none());
    let null = dns.mx(&Domain::parse("null.test").unwrap()).await.unwrap();
    assert_eq!(null.records, [Mx { preference: 0, host: String::new() }]);
    let found = dns.addresses("MX1.a.test.").await.unwrap();
    let expected: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(found.records, expected);
    let alias = dns.addresses("alias.test").await.unwrap();
    assert_eq!(
        (alias.records, alias.canonical.as_deref()),
        (expected.to_vec(), Some("mx1.a.test"))
    );
    let tlsa = dns.tlsa("mx1.a.test", 25).await.unwrap().records;
    assert_eq!(tlsa, [Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }]);
    assert_eq!(dns.txt("a.test").await.unwrap().records, ["v=spf1 -all"]);
    assert_eq!(dns.ptr("192.0.2.1".parse().unwrap()).await.unwrap().records, ["mx1.a.test"]);
    assert_eq!(dns.listed("listed.bl.test").await.unwrap().records, [Ipv4Addr::new(127, 0, 0, 2)]);
    // Over TCP, where it does not fit.
    assert_eq!(dns.txt("long.test").await.unwrap().records, ["long"]);
}

// RFC 4035 §3.2.2, §4.7, §5.5; RFC 6840 §5.7.
#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_cannot_be_had() {
    let server = Server::start(zone()).await;
    let dns = server.resolver(true);
    assert_eq!(dns.txt("nowhere.test").await.unwrap_err(), DnsFault::NoSuchName);
    assert_eq!(dns.txt("mx1.a.test").await.unwrap_err(), DnsFault::NoData);
    assert_eq!(dns.txt("bogus.test").await.unwrap_err(), DnsFault::Bogus);
    assert!(matches!(dns.txt("refused.test").await, Err(DnsFault::Temporary(_))));
    assert_eq!(dns.txt(&"x".repeat(64)).await.unwrap_err(), DnsFault::NoSuchName);
    assert_eq!(dns.txt("a..test").await.unwrap_err(), DnsFault::NoSuchName);
    // Who is not trusted to validate cannot say that it is secure, nor that it is bogus.
    let dns = server.resolver(false);
    assert!(!dns.txt("a.test").await.unwrap().secure);
    assert!(matches!(dns.txt("bogus.test").await, Err(DnsFault::Temporary(_))));
}

// RFC 2308 §5; RFC 5452 §9.2.
#[tokio::test]
async fn answers_are_kept_faults_are_not() {
    let server = Server::start(zone()).await;
    let dns = server.resolver(false);
    for _ in 0..3 {
        dns.txt("A.test").await.unwrap();
        dns.txt("nowhere.test").await.unwrap_err();
    }
    assert_eq!(server.asked(), 2);
    for _ in 0..3 {
        dns.txt("refused.test").await.unwrap_err();
    }
    assert_eq!(server.asked(), 5);
    // Each question from a port of its own, which nobody can guess from the one before.
    assert!(server.ports.lock().unwrap().len() > 1);
}

#[tokio::test]
async fn a_silent_server_is_followed_by_the_next() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(zone()).await;
    let options = DnsOptions {
        servers: vec![silent.local_addr().unwrap(), server.address],
        timeout: Duration::from_millis(50),
        attempts: 1,
        trust_ad: false,
    };
    assert_eq!(resolver(&options).txt("a.test").await.unwrap().records, ["v=spf1 -all"]);
    let only = DnsOptions { servers: vec![silent.local_addr().unwrap()], ..options };
    let fault = resolver(&only).txt("a.test").await.unwrap_err();
    assert!(matches!(fault, DnsFault::Temporary(why) if why.contains("no answer in time")));
}

#[test]
fn one_family_s_fault_does_not_hide_the_other() {
    let answer = |text: &str, secure| Answer {
        records: vec![text.parse::<IpAddr>().unwrap()],
        secure,
        ttl: Duration::from_secs(9),
        canonical: None,
    };
    let (v4, v6) = (answer("192.0.2.1", true), answer("::1", false));
    let temporary = || DnsFault::Temporary("x".into());
    let joined = both(Ok(v4.clone()), Ok(v6.clone())).unwrap();
    assert!(joined.records.len() == 2 && !joined.secure);
    assert_eq!(both(Ok(v4.clone()), Err(temporary())), Ok(v4.clone()));
    assert_eq!(both(Err(DnsFault::NoData), Ok(v6.clone())), Ok(v6));
    assert_eq!(both(Ok(v4), Err(DnsFault::Bogus)), Err(DnsFault::Bogus));
    assert_eq!(both(Err(DnsFault::NoData), Err(temporary())), Err(temporary()));
    assert_eq!(both(Err(temporary()), Err(DnsFault::NoData)), Err(temporary()));
    assert_eq!(both(Err(DnsFault::NoData), Err(DnsFault::NoData)), Err(DnsFault::NoData));
}
