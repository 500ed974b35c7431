//! A connection to a server under test, in the clear or under TLS, read by lines.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::wait::PATIENCE;

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Tls(socket) => socket.read(buf),
            Self::Gone => Ok(0),
        }
    }
}

/// A buffered connection.
pub struct Stream {
    socket: BufReader<Socket>,
    tcp: TcpStream,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    /// Connects in the clear.
    /// # Errors
    /// As the operating system says.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&to, PATIENCE)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        Ok(Self { socket: BufReader::new(Socket::Plain(tcp.try_clone()?)), tcp })
    }

    /// Connects and starts TLS at once.
    /// # Errors
    /// As the operating system or the handshake says.
    pub fn connect_tls(to: SocketAddr) -> io::Result<Self> {
        let mut stream = Self::connect(to)?;
        stream.start_tls()?;
        Ok(stream)
    }

    /// Starts TLS on this connection; any certificate is taken. What was received and not read is
    /// kept in front, so that a server that talks too early is seen.
    /// # Errors
    /// As the handshake says.
    pub fn start_tls(&mut self) -> io::Result<()> {
        assert!(self.socket.buffer().is_empty(), "the server talked before TLS");
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let tcp = self.tcp.try_clone()?;
        let mut tls = StreamOwned::new(client, tcp);
        tls.flush()?;
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        self.socket = BufReader::new(Socket::Tls(Box::new(tls)));
        Ok(())
    }

    /// `tls-exporter` channel binding (RFC 9266) of a TLS 1.3 connection.
    #[must_use]
    pub fn exporter(&self) -> Option<[u8; 32]> {
        let Socket::Tls(tls) = self.socket.get_ref() else { return None };
        tls.conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
    }

    /// Sends all of `bytes`.
    /// # Errors
    /// As the operating system says.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.socket.get_mut() {
            Socket::Plain(socket) => socket.write_all(bytes),
            Socket::Tls(socket) => socket.write_all(bytes).and_then(|()| socket.flush()),
            Socket::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The next line without its CRLF; `None` at the end of the stream.
    /// # Errors
    /// As the operating system says; a line without LF at the end is `UnexpectedEof`.
    pub fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        self.socket.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    /// Exactly `count` bytes.
    /// # Errors
    /// As the operating system says.
    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the server has closed: reads what is left until then.
    /// # Errors
    /// As the operating system says; a reset counts as closed.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.socket.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Ok(bytes)
            }
            Err(error) => Err(error),
        }
    }

    /// Sets how long a read may take.
    /// # Errors
    /// As the operating system says.
    pub fn patience(&self, time: Duration) -> io::Result<()> {
        self.tcp.set_read_timeout(Some(time))
    }

    /// Closes without saying good-bye.
    pub fn close(&mut self) {
        if self.tcp.shutdown(std::net::Shutdown::Both).is_ok() {
            *self.socket.get_mut() = Socket::Gone;
        }
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Accepts what a server under test shows: its certificate is its own.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
