//! The pages over real sockets on free ports of loopback.

use engine::memory::{Options, World};
use metrics_exporter_prometheus::PrometheusBuilder;
use net::{Limits, LimitsOptions, Listener, Pace, Protocol, TlsMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

struct Office {
    world: World,
    server: Server,
    address: std::net::SocketAddr,
}

fn start() -> Office {
    let world = World::new(Options::default());
    let engines = world.process("http");
    let recorder = PrometheusBuilder::new().add_global_label("region", "home").build_recorder();
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!("postroad_tests_total").increment(3);
    });
    let server = server(&engines);
    let operator = Operator::new(engines, server.drain.clone(), recorder.handle());
    let address = serve(&server, router(Arc::new(operator)));
    Office { world, server, address }
}

/// A server without TLS and with usual limits.
pub(crate) fn server(engines: &Engines) -> Server {
    Server {
        clock: engines.clock.clone(),
        tasks: engines.tasks.clone(),
        tls: None,
        limits: Limits::new(LimitsOptions::default(), engines.clock.clone()),
        pace: Pace::default(),
        drain: Drain::new(),
        span: tracing::Span::none(),
    }
}

/// Serves the pages on a free port.
pub(crate) fn serve(server: &Server, pages: Router) -> std::net::SocketAddr {
    let listener = Listener {
        protocol: Protocol::Http,
        address: "127.0.0.1:0".parse().unwrap(),
        tls: TlsMode::None,
        proxies: Vec::new(),
    };
    let bound = listener.bind().unwrap();
    let address = bound.address();
    super::start(server, bound, pages);
    address
}

/// The whole answer for a page of this host.
pub(crate) async fn ask(address: std::net::SocketAddr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(office: &Office, path: &str) -> String {
    ask(office.address, "x", path).await
}

#[tokio::test]
async fn each_page_is_served() {
    let office = start();
    assert!(get(&office, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(&office, "/readyz").await.ends_with("ready\n"));
    let metrics = get(&office, "/metrics").await;
    assert!(metrics.contains("postroad_tests_total{region=\"home\"} 3"), "{metrics}");
    assert!(get(&office, "/").await.starts_with("HTTP/1.1 404"));
    assert!(get(&office, "/metrics/../..").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_ready() {
    let office = start();
    office.world.cut("http", true);
    let answer = get(&office, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // The process itself is well.
    assert!(get(&office, "/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_drain_ends_idle_connections() {
    let office = start();
    let mut idle = TcpStream::connect(office.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 15];
    idle.read_exact(&mut some).await.unwrap();
    let drained = office.server.drain.finish(&*office.server.clock, Duration::from_secs(5)).await;
    assert!(drained);
    let mut rest = String::new();
    idle.read_to_string(&mut rest).await.unwrap();
    assert!(TcpStream::connect(office.address).await.is_err());
}
