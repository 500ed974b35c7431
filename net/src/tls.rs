//! TLS on the server's side: certificates from files or self-signed, chosen by SNI, read again on
//! demand; and what a core may know of a session.
//!
//! The process-wide crypto provider is installed once, in `main`, never here.

pub(crate) mod files;
pub(crate) mod session;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use mail::Timestamp;
use proto::Tls;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::{BoxStream, Protocol};

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub chain: PathBuf,
    /// Its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Where a process's certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// Real ones. The first serves clients that ask for no name, or for one that none has.
    Files(Vec<CertificateFiles>),
    /// One made on first start, for `names`, kept as `tls.crt` and `tls.key` (mode 0600) in
    /// `dir`, and used again later.
    SelfSigned {
        /// Must exist.
        dir: PathBuf,
        /// Host names and addresses it is for; at least one.
        names: Vec<String>,
    },
    /// One that somebody keeps valid ([`crate::acme`]): chain and key in one file, and the
    /// self-signed one until it is there.
    Kept {
        /// The file.
        file: PathBuf,
        /// Further ones.
        others: Vec<CertificateFiles>,
        /// As of [`Self::SelfSigned`].
        dir: PathBuf,
        /// As of [`Self::SelfSigned`].
        names: Vec<String>,
    },
}

impl TlsConfig {
    /// The files that there are now, or none for the self-signed one.
    fn files(&self) -> Vec<CertificateFiles> {
        match self {
            Self::Files(files) => files.clone(),
            Self::SelfSigned { .. } => vec![],
            Self::Kept { file, others, .. } => {
                let kept = CertificateFiles { chain: file.clone(), key: file.clone() };
                let kept = Some(kept).filter(|_| file.exists());
                kept.into_iter().chain(others.iter().cloned()).collect()
            }
        }
    }

    /// When the files were changed last.
    fn changed(&self) -> Vec<Option<SystemTime>> {
        let files = self.files();
        let paths = files.iter().flat_map(|files| [&files.chain, &files.key]);
        paths.map(|path| std::fs::metadata(path).and_then(|of| of.modified()).ok()).collect()
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not usable: {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No certificate at all was named.
    #[error("no certificate is configured")]
    None,
    /// The library refused.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl TlsError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => "check the path and that this user may read it",
            Self::Content { .. } => "both files must be PEM, and the key must belong to the chain",
            Self::None => "name a chain and a key, or leave both out for a self-signed one",
            Self::Setup(_) => "see the cause above",
        }
    }
}

/// One certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Names and addresses it is for (subjectAltName).
    pub names: Vec<String>,
    /// After this it is invalid.
    pub not_after: Timestamp,
    /// File it was read from.
    pub path: PathBuf,
}

/// The TLS of a process's listeners. Share it by `Arc`.
pub struct TlsServer {
    config: TlsConfig,
    current: RwLock<Arc<Current>>,
    /// Kept over reloads, so that sessions can be resumed after one.
    tickets: Arc<dyn ProducesTickets>,
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsServer").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Certificates as last read. A handshake uses one of these from its beginning to its end.
struct Current {
    chooser: Arc<Chooser>,
    configs: [(Protocol, Arc<ServerConfig>); 4],
    /// The files' times, read before them, so that a change in between is seen next time.
    changed: Vec<Option<SystemTime>>,
}

impl TlsServer {
    /// Reads the certificates; makes the self-signed one where there is none yet.
    /// # Errors
    /// [`TlsError`]: its `hint` says what to do.
    pub fn open(config: TlsConfig) -> Result<Self, TlsError> {
        let tickets = Ticketer::new()?;
        let current = RwLock::new(Arc::new(Current::read(&config, &tickets)?));
        Ok(Self { config, current, tickets })
    }

    /// Reads them again. New connections use the new ones, none is interrupted; on an error the
    /// old ones stay.
    /// # Errors
    /// As [`TlsServer::open`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = Arc::new(Current::read(&self.config, &self.tickets)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Reads them again if their files have changed since they were read; whether they had.
    /// # Errors
    /// As [`TlsServer::open`].
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let changed = self.config.changed() != self.current().changed;
        if changed {
            self.reload()?;
        }
        Ok(changed)
    }

    /// The certificates in use.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.current().chooser.certificates.iter().map(|one| one.info.clone()).collect()
    }

    fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does the server's handshake over `stream`. The caller bounds the time.
    /// # Errors
    /// The client's or the stream's fault; close the connection.
    pub async fn accept(
        &self,
        protocol: Protocol,
        stream: BoxStream,
    ) -> std::io::Result<(BoxStream, Tls)> {
        let current = self.current();
        let config = current.configs.iter().find(|(of, _)| *of == protocol);
        let Some((_, config)) = config else {
            return Err(std::io::Error::other("no TLS for this protocol"));
        };
        let stream = TlsAcceptor::from(config.clone()).accept(stream).await?;
        let (_, session) = stream.get_ref();
        let certificate = current.chooser.choose(session.server_name());
        let info = session::info(session, certificate);
        Ok((Box::new(stream), info))
    }
}

impl Current {
    fn read(config: &TlsConfig, tickets: &Arc<dyn ProducesTickets>) -> Result<Self, TlsError> {
        let changed = config.changed();
        let files = config.files();
        let certificates = match config {
            TlsConfig::SelfSigned { dir, names } | TlsConfig::Kept { dir, names, .. }
                if files.is_empty() =>
            {
                vec![files::self_signed(dir, names)?]
            }
            _ => files.iter().map(files::read).collect::<Result<Vec<_>, _>>()?,
        };
        if certificates.is_empty() {
            return Err(TlsError::None);
        }
        let chooser = Arc::new(Chooser { certificates });
        let server = |protocol: Protocol| {
            let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth();
            let mut config = builder.with_cert_resolver(chooser.clone());
            config.alpn_protocols = vec![protocol.alpn().to_vec()];
            config.ticketer = tickets.clone();
            config.send_tls13_tickets = 1;
            Ok::<_, TlsError>((protocol, Arc::new(config)))
        };
        let configs = [
            server(Protocol::Smtp)?,
            server(Protocol::Submission)?,
            server(Protocol::Imap)?,
            server(Protocol::Http)?,
        ];
        Ok(Self { chooser, configs, changed })
    }
}

/// One certificate with its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    key: Arc<CertifiedKey>,
    pub(crate) info: CertificateInfo,
    /// `tls-server-end-point` of it (RFC 5929 §4.1).
    end_point: Option<Vec<u8>>,
}

/// Chooses by the name a client asks for.
#[derive(Debug)]
struct Chooser {
    /// Never empty.
    certificates: Vec<Certificate>,
}

impl Chooser {
    fn choose(&self, name: Option<&str>) -> Option<&Certificate> {
        let fits = |certificate: &&Certificate| {
            let names = &certificate.info.names;
            name.is_some_and(|asked| names.iter().any(|own| matches_name(own, asked)))
        };
        self.certificates.iter().find(fits).or_else(|| self.certificates.first())
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name())?.key.clone())
    }
}

/// RFC 9525 §6.3: a wildcard is the whole leftmost label and stands for exactly one.
pub(crate) fn matches_name(own: &str, asked: &str) -> bool {
    match own.strip_prefix("*.") {
        Some(parent) => {
            asked.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
        }
        None => own.eq_ignore_ascii_case(asked),
    }
}

#[cfg(test)]
pub(crate) mod tests;
