//! Whom mail is given to: DANE (RFC 7672) and MTA-STS (RFC 8461) are honoured, and where they
//! cannot be, mail waits and never goes in clear (F4). In a DNS of the test's own, signed, with a
//! server for each case at port 25 of an address of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tests::certificate::Authority;
use tests::office::Office;
use tests::sink::{At, Sink};
use tests::wait;
use tests::zones::Zones;

/// An office that looks exchangers up in these zones and trusts this authority.
fn office(zones: &Zones, authority: &Authority) -> Office {
    let mut office = Office::start();
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let relay = "mx = true\nnetworks = [\"127.0.0.0/8\"]\nretry = \"200ms\"\nretry_max = \"1s\"";
    assert!(text.contains("\nmx = false\n") && text.contains("\n[tls]\n"), "{text}");
    let authorities = format!("[tls]\nauthorities = \"{}\"", authority.pem().display());
    let text = text.replace("mx = false", relay).replace("[tls]", &authorities);
    let text = format!("{text}\n{}\n", zones.configuration());
    assert!(office.process().terminate());
    std::fs::write(&config, text).unwrap();
    office.restart();
    office
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// A mail server at port 25 with this certificate.
fn server(ip: &str, tls: Option<Arc<ServerConfig>>) -> Sink {
    let sink = Sink::bind(at(ip, 25));
    if let Some(tls) = tls {
        sink.set_tls(tls);
    }
    sink
}

/// Mail arrives, and under TLS.
fn arrives(sink: &Sink) {
    let received = sink.wait_for(1);
    assert!(received[0].tls, "in clear: {received:?}");
}

/// Tried several times, and never told anything of a message.
fn is_given_nothing(sink: &Sink, step: At) {
    sink.wait_for_step(step, 3);
    assert_eq!(sink.count(At::Sender), 0, "{:?}", sink.seen());
    assert!(sink.received().is_empty());
}

fn waits_for(office: &Office, domain: &str, why: &str) {
    let mut said = String::new();
    wait::until(&format!("{domain} to wait for {why:?}"), || {
        said = office.admin(&["queue", "list", "--json"], "");
        let found = said.lines().any(|line| line.contains(domain)) && said.contains(why);
        found.then_some(())
    });
}

#[test]
fn dane_is_honoured_and_refused() {
    let authority = Authority::new();
    let other = authority.issue("other.test").server();
    let zone = |ip: &str, tlsa: &str| format!("@ MX 10 mx\nmx A {ip}\n_25._tcp.mx TLSA {tlsa}\n");
    let good = authority.issue("mx.good.test");
    let wrong = authority.issue("mx.wrong.test");
    let nobody = good.tlsa().replacen("3 1 1", "1 1 1", 1);
    let all = [
        ("good.test", zone("127.1.0.1", &good.tlsa())),
        ("wrong.test", zone("127.1.0.2", &good.tlsa())),
        ("unusable.test", zone("127.1.0.3", &nobody)),
        ("bogus.test", zone("127.1.0.4", &good.tlsa())),
        ("stripped.test", zone("127.1.0.5", &good.tlsa())),
    ];
    let signed: Vec<_> = all.iter().map(|(name, zone)| (*name, zone.as_str(), true)).collect();
    let zones = Zones::start_forged(&signed, &[("bogus.test", "127.1.0.4", "127.1.0.6")]);
    let office = office(&zones, &authority);
    let [good, wrong, unusable, stripped] = [
        server("127.1.0.1", Some(good.server())),
        server("127.1.0.2", Some(wrong.server())),
        server("127.1.0.3", Some(other)),
        server("127.1.0.5", None),
    ];
    let bogus = [server("127.1.0.4", None), server("127.1.0.6", None)];
    for (name, _) in &all {
        office.submit(&format!("bob@{name}"), name);
    }
    arrives(&good);
    // RFC 7672 §2.2: no record that can be used: with anybody, but under TLS.
    arrives(&unusable);
    is_given_nothing(&wrong, At::StartTls);
    is_given_nothing(&stripped, At::Hello);
    waits_for(&office, "bogus.test", "DNSSEC");
    assert!(bogus.iter().all(|sink| sink.seen().is_empty()));
    office.assert_quiet(&[]);
}

/// A server of one policy, over HTTPS at port 443.
fn policy(ip: &str, tls: Arc<ServerConfig>, mx: &str) {
    let listener = TcpListener::bind(at(ip, 443)).unwrap();
    let body = format!("version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 86400\r\n");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let connection = ServerConnection::new(tls.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, socket);
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                asked.push(byte[0]);
            }
            let length = body.len();
            let head = match asked.starts_with(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n") {
                true => format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"),
                false => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            };
            stream.write_all(head.as_bytes()).ok();
            stream.conn.send_close_notify();
            stream.flush().ok();
        }
    });
}

#[test]
fn a_policy_of_mta_sts_is_honoured_and_refused() {
    let authority = Authority::new();
    let zone = |mx: &str, policy: &str| {
        format!("@ MX 10 mx\nmx A {mx}\nmta-sts A {policy}\n_mta-sts TXT \"v=STSv1; id=1\"\n")
    };
    let all = [
        ("good.test", zone("127.1.1.1", "127.1.1.11")),
        ("wrong.test", zone("127.1.1.2", "127.1.1.12")),
        ("foreign.test", zone("127.1.1.3", "127.1.1.13")),
    ];
    let unsigned: Vec<_> = all.iter().map(|(name, zone)| (*name, zone.as_str(), false)).collect();
    let zones = Zones::start(&unsigned);
    let office = office(&zones, &authority);
    for (domain, ip, mx) in [
        ("good.test", "127.1.1.11", "mx.good.test"),
        ("wrong.test", "127.1.1.12", "*.wrong.test"),
        ("foreign.test", "127.1.1.13", "mx.elsewhere.test"),
    ] {
        policy(ip, authority.issue(&format!("mta-sts.{domain}")).server(), mx);
    }
    let certificate = |name: &str| Some(authority.issue(name).server());
    let [good, wrong, foreign] = [
        server("127.1.1.1", certificate("mx.good.test")),
        server("127.1.1.2", certificate("mx.elsewhere.test")),
        server("127.1.1.3", certificate("mx.foreign.test")),
    ];
    for (name, _) in &all {
        office.submit(&format!("bob@{name}"), name);
    }
    arrives(&good);
    is_given_nothing(&wrong, At::StartTls);
    waits_for(&office, "foreign.test", "MTA-STS");
    assert!(foreign.seen().is_empty(), "{:?}", foreign.seen());
    office.assert_quiet(&[]);
}
