//! The web servers at which domains publish their MTA-STS policies (RFC 8461), as one.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Serves until the process ends.
#[derive(Debug)]
pub struct Policies {
    served: Arc<AtomicUsize>,
}

impl Policies {
    /// At this address, under this certificate: the policy of each domain, by its name.
    /// # Panics
    /// If the address is taken.
    #[must_use]
    pub fn serve(
        address: SocketAddr,
        config: Arc<ServerConfig>,
        policies: BTreeMap<String, String>,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let served = Arc::new(AtomicUsize::new(0));
        let counted = served.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().filter_map(Result::ok) {
                if answer(socket, config.clone(), &policies).is_ok() {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { served }
    }

    /// How often a policy was given.
    #[must_use]
    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

fn answer(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    policies: &BTreeMap<String, String>,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    let (mut first, mut host) = (String::new(), String::new());
    stream.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(name) = line.strip_prefix("host: ") {
            name.clone_into(&mut host);
        }
    }
    let domain = host.strip_prefix("mta-sts.").unwrap_or_default();
    let known = first.starts_with("GET /.well-known/mta-sts.txt ");
    let policy = policies.get(domain).filter(|_| known);
    let policy = policy.ok_or_else(|| io::Error::other("no such policy"))?;
    let stream = stream.get_mut();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{policy}",
        policy.len()
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}
