use std::sync::Arc;

use engine::memory::{Options, World};
use mail::Domain;
use net::{Drain, Limits, LimitsOptions, Listener, Pace, Protocol, Server, TlsMode};
use store::rows::{DirectoryChange, DomainRow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn get(address: std::net::SocketAddr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

// RFC 8461 §3.2, §3.3; RFC 9110 §7.2.
#[tokio::test]
async fn a_domain_of_ours_has_its_policy_and_nobody_else_has_one() {
    let world = World::new(Options::default());
    let engines = world.process("http");
    let store = Store::new(engines.clone(), store::Options::default());
    let row = |mode: &str| DomainRow {
        policies: vec![("mta-sts".to_owned(), mode.to_owned())],
        ..DomainRow::new()
    };
    let named = |name: &str| Domain::parse(name).unwrap();
    let changes = vec![
        DirectoryChange::Domain(named("one.test"), DomainRow::new()),
        DirectoryChange::Domain(named("two.test"), row("enforce")),
    ];
    store.directory().change(changes).await.unwrap();
    let server = Server {
        clock: engines.clock.clone(),
        tasks: engines.tasks.clone(),
        tls: None,
        limits: Limits::new(LimitsOptions::default(), engines.clock.clone()),
        pace: Pace::default(),
        drain: Drain::new(),
        span: tracing::Span::none(),
    };
    let listener = Listener {
        protocol: Protocol::Http,
        address: "127.0.0.1:0".parse().unwrap(),
        tls: TlsMode::None,
        proxies: Vec::new(),
    };
    let bound = listener.bind().unwrap();
    let address = bound.address();
    let web = Web::new(store, "mail.one.test".to_owned());
    crate::start(&server, bound, router(Arc::new(web)));
    const PATH: &str = "/.well-known/mta-sts.txt";
    let one = get(address, "mta-sts.one.test", PATH).await;
    assert!(one.starts_with("HTTP/1.1 200") && one.contains("mode: testing\r\n"), "{one}");
    assert!(one.contains("content-type: text/plain"), "{one}");
    let two = get(address, "MTA-STS.Two.test:443", PATH).await;
    assert!(two.contains("mode: enforce\r\nmx: mail.one.test\r\nmax_age: "), "{two}");
    for (host, path) in [
        ("mta-sts.three.test", PATH),
        ("one.test", PATH),
        ("", PATH),
        ("mta-sts.one.test", "/metrics"),
        ("mta-sts.one.test", "/healthz"),
    ] {
        let answer = get(address, host, path).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{host}{path}: {answer}");
    }
}
