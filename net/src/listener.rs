//! Where clients connect.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};
use tokio::net::TcpListener;

use crate::Network;

/// Connections the kernel holds for us before we accept them.
const BACKLOG: i32 = 1024;

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// SMTP from other servers (port 25).
    Smtp,
    /// Message submission (RFC 6409, RFC 8314).
    Submission,
    /// IMAP.
    Imap,
    /// HTTP.
    Http,
}

impl Protocol {
    /// The protocol's ALPN name (IANA; SMTP has none registered, the obvious one is used). Where
    /// a client offers names, ours must be among them: a browser or another protocol's client
    /// gets no further (A5).
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Smtp | Self::Submission => b"smtp",
            Self::Imap => b"imap",
            Self::Http => b"http/1.1",
        }
    }

    /// Its name, as in the configuration and in labels of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Imap => "imap",
            Self::Http => "http",
        }
    }

    /// The last line said where no core can: the connection is refused, or its core panicked.
    /// `why` is one line of ASCII.
    #[must_use]
    pub fn farewell(self, why: &str) -> String {
        match self {
            Self::Smtp | Self::Submission => format!("421 4.3.2 {why}\r\n"),
            Self::Imap => format!("* BYE {why}\r\n"),
            Self::Http => {
                "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n".to_owned()
            }
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When TLS begins at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsMode {
    /// Never.
    None,
    /// When the client asks for it (STARTTLS).
    StartTls,
    /// With the first byte (RFC 8314 §3).
    Implicit,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where; port 0 takes a free one. An IPv6 address takes IPv6 only, `[::]` included: list
    /// `0.0.0.0` too.
    pub address: SocketAddr,
    /// When TLS begins.
    pub tls: TlsMode,
    /// Networks whose connections begin with a PROXY protocol v2 header, always.
    pub proxies: Vec<Network>,
}

/// A listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {protocol}")]
pub struct BindError {
    /// For what.
    pub protocol: Protocol,
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

impl BindError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => "another process has this port: stop it, or choose another",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one, or grant it"
            }
            io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            _ => "check the listener's address",
        }
    }
}

impl Listener {
    /// Takes the address, without accepting yet.
    /// # Errors
    /// [`BindError`]: its `hint` says what to do.
    pub fn bind(self) -> Result<Bound, BindError> {
        let (protocol, address) = (self.protocol, self.address);
        let bound = self.bind_socket();
        bound.map_err(|source| BindError { protocol, address, source })
    }

    fn bind_socket(self) -> io::Result<Bound> {
        let socket = Socket::new(
            Domain::for_address(self.address),
            Type::STREAM,
            Some(SocketProtocol::TCP),
        )?;
        if self.address.is_ipv6() {
            // What is bound is what was written, whatever the machine's default.
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&self.address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        let address = socket.local_addr()?;
        Ok(Bound { listener: self, socket, address })
    }
}

/// A listener that has its address.
#[derive(Debug)]
pub struct Bound {
    pub(crate) listener: Listener,
    pub(crate) socket: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// The real address, with the port the system chose where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked for.
    #[must_use]
    pub const fn listener(&self) -> &Listener {
        &self.listener
    }
}
