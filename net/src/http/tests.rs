//! Against small servers on loopback.

use engine::memory::{Options as WorldOptions, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::dns::{DnsOptions, Resolver};
use crate::send::tests::certificates::{Authority, Leaf};

const TIME: Duration = Duration::from_secs(20);

fn client(roots: Roots, reach: Reach) -> (Http, Tasks) {
    let engines = World::new(WorldOptions::default()).process("http");
    let options =
        DnsOptions { servers: vec!["127.0.0.1:1".parse().unwrap()], ..Default::default() };
    let dns = Resolver::new(&options, engines.clock.clone(), engines.random);
    let http = Http::new(engines.clock, engines.tasks.clone(), Arc::new(dns), roots, reach);
    (http, engines.tasks)
}

/// Answers one request with these bytes; returns what was asked.
async fn server(
    tasks: &Tasks,
    answer: Vec<u8>,
    leaf: Option<Leaf>,
) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tasks.spawn("server", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream: BoxStream = Box::new(stream);
        if let Some(leaf) = leaf {
            let Ok(secured) = TlsAcceptor::from(leaf.config()).accept(stream).await else {
                return String::new();
            };
            stream = Box::new(secured);
        }
        let mut asked = Vec::new();
        while !asked.windows(4).any(|four| four == b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(&answer).await.ok();
        stream.shutdown().await.ok();
        String::from_utf8(asked).unwrap()
    });
    (address, served)
}

#[tokio::test]
async fn an_answer_is_read_and_a_redirect_is_not_followed() {
    let (http, tasks) = client(Roots::public(), Reach::Anywhere);
    let answer =
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 2\r\n\r\nhi";
    let (address, served) = server(&tasks, answer.to_vec(), None).await;
    let asked = Asked::get(&format!("http://{address}/a?b=c"), TIME, 100);
    let answered = http.ask(asked).await.unwrap().response;
    assert_eq!((answered.status().as_u16(), answered.body().as_ref()), (302, &b"hi"[..]));
    let asked = served.await.unwrap();
    assert!(asked.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_ascii_lowercase().contains(&format!("host: {address}\r\n")), "{asked}");
}

#[tokio::test]
async fn too_large_an_answer_and_a_foreign_certificate_are_faults() {
    let authority = Authority::new();
    let (http, tasks) = client(authority.roots(), Reach::Anywhere);
    let large = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 200]].concat();
    let (address, _) = server(&tasks, large, None).await;
    let fault = http.ask(Asked::get(&format!("http://{address}/"), TIME, 100)).await.unwrap_err();
    assert_eq!(fault.to_string(), "the answer is too large");
    let good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    for (name, welcome) in [("127.0.0.1", true), ("other.test", false)] {
        let leaf = authority.leaf(name, true);
        let (address, _) = server(&tasks, good.clone(), Some(leaf)).await;
        let answered = http.ask(Asked::get(&format!("https://{address}/"), TIME, 100)).await;
        assert_eq!(answered.is_ok(), welcome, "{name}: {answered:?}");
    }
}

/// E3
#[tokio::test]
async fn it_goes_only_where_it_may() {
    let (http, tasks) = client(Roots::public(), Reach::Public);
    let (address, served) = server(&tasks, vec![], None).await;
    for host in [address.to_string(), format!("[::ffff:127.0.0.1]:{}", address.port())] {
        let fault = http.ask(Asked::get(&format!("http://{host}/"), TIME, 9)).await.unwrap_err();
        assert!(fault.to_string().contains("not an address"), "{fault}");
    }
    served.abort();
    for bad in ["file:///etc/passwd", "/x", "http:///", "https://a b/"] {
        assert!(http.ask(Asked::get(bad, TIME, 9)).await.is_err(), "{bad}");
    }
}
