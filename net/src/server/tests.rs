//! Real sockets on free ports of loopback.

use std::net::IpAddr;

use engine::memory::{Options as WorldOptions, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::driver::tests::{Echo, EchoEdge};
use crate::{LimitsOptions, Network, TlsConfig};

/// Greets each peer with its address.
struct Greeter;

impl Service for Greeter {
    type Core = Echo;
    type Edge = EchoEdge;

    fn connect(&self, peer: Peer, tls: Option<Tls>, _: mail::Instant) -> (Echo, EchoEdge) {
        let secured = if tls.is_some() { " secured" } else { "" };
        (
            Echo::greeting(&format!("{} {:?}{secured}\n", peer.address, peer.via)),
            EchoEdge::default(),
        )
    }
}

struct Test {
    server: Server,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

fn start(options: LimitsOptions, tls: TlsMode, proxies: &[&str]) -> Test {
    let engines = World::new(WorldOptions::default()).process("net");
    let dir = tempfile::tempdir().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificates = TlsConfig::SelfSigned { dir: dir.path().to_owned(), names };
    let server = Server {
        clock: engines.clock.clone(),
        tasks: engines.tasks.clone(),
        tls: Some(Arc::new(TlsServer::open(certificates).unwrap())),
        limits: Limits::new(options, engines.clock),
        pace: Pace::default(),
        drain: Drain::new(),
        span: tracing::Span::none(),
    };
    let proxies = proxies.iter().map(|network| network.parse::<Network>().unwrap()).collect();
    let address = "127.0.0.1:0".parse().unwrap();
    let bound = Listener { protocol: Protocol::Smtp, address, tls, proxies }.bind().unwrap();
    let address = bound.address();
    server.start(bound, Arc::new(Greeter));
    Test { server, address, _dir: dir }
}

impl Test {
    async fn connect(&self, first: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream
    }
}

async fn line(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with('\n') {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte.into()),
            Err(_) => break,
        }
    }
    text
}

fn proxied(client: IpAddr) -> Vec<u8> {
    let IpAddr::V4(v4) = client else { panic!("IPv4 here") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(v4.octets());
    header.extend([127, 0, 0, 1, 0, 99, 0, 25]);
    header
}

#[tokio::test]
async fn a_proxy_of_ours_is_believed_and_must_speak() {
    let limits = LimitsOptions { per_network_max: 1, ..LimitsOptions::default() };
    let test = start(limits, TlsMode::None, &["127.0.0.0/8"]);
    let client = "203.0.113.7".parse().unwrap();
    let mut first = test.connect(&proxied(client)).await;
    assert_eq!(line(&mut first).await, "203.0.113.7 Proxy\n");
    // The client is counted, not the proxy.
    let mut second = test.connect(&proxied(client)).await;
    assert_eq!(line(&mut second).await, "421 4.3.2 too many connections from your address\r\n");
    let mut other = test.connect(&proxied("203.0.113.8".parse().unwrap())).await;
    assert_eq!(line(&mut other).await, "203.0.113.8 Proxy\n");
    // Without a header, or with one of version 1: not a word.
    for wrong in ["EHLO x.test, here I am\r\n", "PROXY TCP4 203.0.113.7 10.0.0.1 4660 25\r\n"] {
        let mut wrong = test.connect(wrong.as_bytes()).await;
        assert_eq!(line(&mut wrong).await, "");
    }
}

/// C3's cousin: anybody may send a header, only proxies are believed.
#[tokio::test]
async fn a_stranger_is_not_believed() {
    let test = start(LimitsOptions::default(), TlsMode::None, &["192.0.2.0/24"]);
    let mut stream = test.connect(&proxied("203.0.113.7".parse().unwrap())).await;
    assert_eq!(line(&mut stream).await, "127.0.0.1 Direct\n");
}

#[tokio::test]
async fn connections_are_limited_and_given_back() {
    let limits = LimitsOptions { per_network_max: 2, ..LimitsOptions::default() };
    let test = start(limits, TlsMode::None, &[]);
    let mut first = test.connect(b"").await;
    let mut second = test.connect(b"").await;
    assert_eq!(line(&mut first).await, "127.0.0.1 Direct\n");
    assert_eq!(line(&mut second).await, "127.0.0.1 Direct\n");
    let mut third = test.connect(b"").await;
    assert!(line(&mut third).await.starts_with("421 "));
    // A panic gives its place back, too.
    first.write_all(b"PANIC\n").await.unwrap();
    assert!(line(&mut first).await.starts_with("421 "));
    second.write_all(b"QUIT\n").await.unwrap();
    assert_eq!(line(&mut second).await, "bye\n");
    let mut rest = [0; 1];
    assert_eq!(first.read(&mut rest).await.unwrap() + second.read(&mut rest).await.unwrap(), 0);
    while test.server.limits.open() > 0 {
        tokio::task::yield_now().await;
    }
    let mut again = test.connect(b"").await;
    assert_eq!(line(&mut again).await, "127.0.0.1 Direct\n");
}

// RFC 8314 §3.
#[tokio::test]
async fn tls_comes_first_where_it_is_implicit() {
    let test = start(LimitsOptions::default(), TlsMode::Implicit, &[]);
    // Who speaks in the clear gets at most an alert.
    let mut plain = test.connect(b"EHLO x.test\r\n").await;
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.windows(6).any(|part| part == b"Direct"));
    let mut stream = crate::tls::tests::connect(test.address, &test._dir).await;
    stream.write_all(b"QUIT\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "127.0.0.1 Direct secured\nbye\n");
}

#[tokio::test]
async fn a_drain_lets_nobody_in() {
    let test = start(LimitsOptions::default(), TlsMode::None, &[]);
    let mut open = test.connect(b"").await;
    assert_eq!(line(&mut open).await, "127.0.0.1 Direct\n");
    assert!(test.server.drain.finish(&*test.server.clock, Duration::from_secs(5)).await);
    assert_eq!(line(&mut open).await, "draining\n");
    assert!(TcpStream::connect(test.address).await.is_err());
}

/// The last words reach a peer that still sends: they are not overtaken by a reset.
#[tokio::test]
async fn the_last_words_are_heard() {
    let test = start(LimitsOptions::default(), TlsMode::None, &[]);
    let mut stream = test.connect(b"QUIT\n").await;
    stream.write_all(&vec![b'x'; 100_000]).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "127.0.0.1 Direct\nbye\n");
}

/// B3: who says nothing where a handshake or a proxy's header is due is let go, and
/// counted only once it is known who that is.
#[tokio::test(start_paused = true)]
async fn stalled_handshakes_end() {
    for (tls, proxies) in [
        (TlsMode::Implicit, &[][..]),
        (TlsMode::None, &["127.0.0.0/8"]),
        (TlsMode::None, &["::/0"]),
    ] {
        let test = start(LimitsOptions::default(), tls, proxies);
        let before = test.server.clock.instant();
        let mut stream = test.connect(b"\x16\x03").await;
        let mut said = Vec::new();
        if proxies == ["::/0"] {
            // Neither is due here: the control.
            assert_eq!(line(&mut stream).await, "127.0.0.1 Direct\n");
            continue;
        }
        // A reset is as good: what was sent is not read.
        if let Ok(read) = stream.read_to_end(&mut said).await {
            assert_eq!(read, 0, "{said:?}");
        }
        let waited = test.server.clock.instant().since(before);
        assert!(waited >= Pace::default().handshake, "{waited:?}");
        while test.server.limits.open() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
