//! TLS with a real client over in-process pipes.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;

use engine::Tasks;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::driver::tests::{Echo, EchoEdge};
use crate::driver::tests_support::ManualClock;
use crate::{Drain, Driver, End, Pace, serve};

fn self_signed(dir: &std::path::Path, names: &[&str]) -> TlsConfig {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    TlsConfig::SelfSigned { dir: dir.to_owned(), names }
}

fn connector(chains: &[PathBuf], alpn: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for chain in chains {
        roots.add(CertificateDer::from_pem_file(chain).unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// Both sides of one handshake.
async fn handshake(
    server: &TlsServer,
    connector: &TlsConnector,
    name: &'static str,
) -> (std::io::Result<TlsStream<DuplexStream>>, std::io::Result<Tls>) {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let name = ServerName::try_from(name).unwrap();
    let (client, server) =
        tokio::join!(connector.connect(name, near), server.accept(Protocol::Imap, Box::new(far)));
    (client, server.map(|(_, info)| info))
}

#[tokio::test]
async fn a_self_signed_certificate_is_made_once_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = self_signed(dir.path(), &["mail.example.test", "127.0.0.1"]);
    let first = TlsServer::open(config.clone()).unwrap();
    let key = dir.path().join("tls.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&key).unwrap();
    let again = TlsServer::open(config).unwrap();
    assert_eq!(std::fs::read(&key).unwrap(), bytes);
    assert_eq!(first.certificates(), again.certificates());
    let info = &again.certificates()[0];
    assert_eq!(info.names, ["mail.example.test", "127.0.0.1"]);
    assert_eq!(info.not_after.seconds() / (365 * 86_400), 75);
}

// RFC 9266 §2; RFC 5929 §4, §4.1.
#[tokio::test]
async fn both_sides_agree_on_the_channel_binding() {
    let dir = tempfile::tempdir().unwrap();
    let server = TlsServer::open(self_signed(dir.path(), &["mail.example.test"])).unwrap();
    let chain = dir.path().join("tls.crt");
    let connector = connector(std::slice::from_ref(&chain), &[b"imap"]);
    let (client, info) = handshake(&server, &connector, "mail.example.test").await;
    let (client, info) = (client.unwrap(), info.unwrap());
    assert_eq!(info.version, "TLSv1.3");
    assert!(info.cipher.starts_with("TLS_"), "{}", info.cipher);
    assert!(!info.cipher.starts_with("TLS_TLS"), "{}", info.cipher);
    assert_eq!(info.server_name.as_deref(), Some("mail.example.test"));
    let (_, session) = client.get_ref();
    let exported =
        session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
    assert_eq!(info.exporter, Some(exported));
    let shown = session.peer_certificates().unwrap()[0].as_ref();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, shown);
    assert_eq!(info.server_end_point.as_deref(), Some(hash.as_ref()));
}

/// A5: who says to speak something else gets no further.
#[tokio::test]
async fn another_protocols_client_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = TlsServer::open(self_signed(dir.path(), &["mail.example.test"])).unwrap();
    let chain = [dir.path().join("tls.crt")];
    for (alpn, welcome) in
        [(&[b"imap".as_slice()][..], true), (&[b"h2", b"http/1.1"], false), (&[], true)]
    {
        let (client, info) =
            handshake(&server, &connector(&chain, alpn), "mail.example.test").await;
        assert_eq!((client.is_ok(), info.is_ok()), (welcome, welcome), "{alpn:?}");
    }
}

#[tokio::test]
async fn names_choose_and_reload_changes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    TlsServer::open(self_signed(a.path(), &["a.example.test"])).unwrap();
    TlsServer::open(self_signed(b.path(), &["*.b.example.test"])).unwrap();
    let files = |dir: &tempfile::TempDir| CertificateFiles {
        chain: dir.path().join("tls.crt"),
        key: dir.path().join("tls.key"),
    };
    let server = TlsServer::open(TlsConfig::Files(vec![files(&a), files(&b)])).unwrap();
    let both = [a.path().join("tls.crt"), b.path().join("tls.crt")];
    let client = connector(&both, &[]);
    for (name, welcome) in
        [("a.example.test", true), ("x.b.example.test", true), ("c.example.test", false)]
    {
        assert_eq!(handshake(&server, &client, name).await.0.is_ok(), welcome, "{name}");
    }
    // A bad file changes nothing; a good one does.
    let old = std::fs::read(&both[0]).unwrap();
    std::fs::write(&both[0], "nothing").unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Content { .. })));
    assert!(handshake(&server, &client, "a.example.test").await.0.is_ok());
    std::fs::remove_file(&both[0]).unwrap();
    assert!(matches!(server.reload(), Err(TlsError::File { .. })));
    TlsServer::open(self_signed(a.path(), &["c.example.test"])).unwrap();
    server.reload().unwrap();
    let client = connector(&both, &[]);
    assert!(handshake(&server, &client, "c.example.test").await.0.is_ok());
    // A key of another chain is told before it is used.
    std::fs::write(&both[0], old).unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Content { .. })));
}

// RFC 9525 §6.3.
#[test]
fn wildcards_stand_for_one_label() {
    assert!(matches_name("*.example.test", "a.EXAMPLE.test"));
    assert!(!matches_name("*.example.test", "a.b.example.test"));
    assert!(!matches_name("*.example.test", "example.test"));
}

/// A2, RFC 3207 §4.2.
#[tokio::test]
async fn what_came_in_the_clear_after_starttls_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let server = TlsServer::open(self_signed(dir.path(), &["mail.example.test"])).unwrap();
    let (mut near, far) = tokio::io::duplex(16 * 1024);
    let driver = Driver {
        clock: Arc::new(ManualClock::default()),
        tls: Some(Arc::new(server)),
        protocol: Protocol::Smtp,
        pace: Pace::default(),
    };
    let tasks = Tasks::default();
    let drain = Drain::new();
    let signal = drain.signal();
    let edge = EchoEdge::default();
    let seen: Arc<Mutex<Option<Tls>>> = edge.tls.clone();
    let served = tasks.spawn("serve", async move {
        serve(Box::new(far), Echo::new(), edge, Arc::new(driver), signal).await
    });
    near.write_all(b"TLS\ninjected\n").await.unwrap();
    let mut plain = [0; 9];
    near.read_exact(&mut plain).await.unwrap();
    assert_eq!(&plain, b"hello\ngo\n");
    let connector = connector(&[dir.path().join("tls.crt")], &[]);
    let name = ServerName::try_from("mail.example.test").unwrap();
    let mut secured = connector.connect(name, near).await.unwrap();
    secured.write_all(b"own\nQUIT\n").await.unwrap();
    let mut text = String::new();
    secured.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "own\nbye\n");
    drop(secured);
    assert_eq!(served.await.unwrap(), End::Closed);
    assert_eq!(seen.lock().unwrap().as_ref().map(|tls| tls.version), Some("TLSv1.3"));
}

/// A client of a server whose self-signed certificate is in `dir`.
pub(crate) async fn connect(
    address: std::net::SocketAddr,
    dir: &tempfile::TempDir,
) -> TlsStream<tokio::net::TcpStream> {
    let connector = connector(&[dir.path().join("tls.crt")], &[]);
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}
