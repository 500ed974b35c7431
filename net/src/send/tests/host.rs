//! A server that follows a script for each connection: `S: ` says a line, `C: ` expects one, `TLS`
//! does the handshake, `closed` expects the end, `stall` reads no more and
//! stays open, `no TLS` says nonsense.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use engine::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::certificates::Leaf;
use crate::BoxStream;

pub(super) struct Host {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    sources: Arc<Mutex<Vec<IpAddr>>>,
    served: JoinHandle<()>,
    _tasks: Tasks,
}

type Script = Vec<&'static str>;

impl Host {
    pub(super) async fn start(scripts: &[&[&'static str]]) -> Self {
        Self::serve(scripts, None).await
    }

    pub(super) async fn start_tls(scripts: &[&[&'static str]], leaf: Leaf) -> Self {
        Self::serve(scripts, Some(leaf)).await
    }

    async fn serve(scripts: &[&[&'static str]], leaf: Option<Leaf>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripts: Vec<Script> = scripts.iter().map(|script| script.to_vec()).collect();
        let connections = Arc::new(AtomicUsize::new(0));
        let sources = Arc::new(Mutex::new(vec![]));
        let (count, seen) = (connections.clone(), sources.clone());
        let tasks = Tasks::default();
        let served = tasks.spawn("host", async move {
            let mut held = vec![];
            for script in scripts {
                let (stream, peer) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                seen.lock().unwrap().push(peer.ip());
                held.extend(follow(stream, script, leaf.as_ref()).await);
            }
            if !held.is_empty() {
                std::future::pending::<()>().await;
            }
        });
        Self { address, connections, sources, served, _tasks: tasks }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// All scripts were followed to their ends; from where the connections came.
    pub(super) async fn finished(self) -> Vec<IpAddr> {
        self.served.await.unwrap();
        Arc::try_unwrap(self.sources).unwrap().into_inner().unwrap()
    }
}

/// The connection, if it is to stay open.
async fn follow(stream: TcpStream, script: Script, leaf: Option<&Leaf>) -> Option<BoxStream> {
    let mut stream: BoxStream = Box::new(stream);
    for line in script {
        if let Some(text) = line.strip_prefix("S: ") {
            stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        } else if let Some(text) = line.strip_prefix("C: ") {
            assert_eq!(read_line(&mut stream).await, text);
        } else if line == "TLS" {
            let acceptor = TlsAcceptor::from(leaf.unwrap().config.clone());
            // Whether the client goes on is its affair.
            match acceptor.accept(stream).await {
                Ok(secured) => stream = Box::new(secured),
                Err(_) => return None,
            }
        } else if line == "closed" {
            assert_eq!(read_line(&mut stream).await, "");
        } else if line == "no TLS" {
            stream.read_u8().await.unwrap();
            stream.write_all(b"421 what is that?\r\n").await.unwrap();
        } else {
            assert_eq!(line, "stall");
            return Some(stream);
        }
        stream.flush().await.ok();
    }
    None
}

/// A line without its CRLF; empty at the end.
async fn read_line(stream: &mut BoxStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    let text = String::from_utf8(text).unwrap();
    text.trim_end_matches("\r\n").to_owned()
}
