//! TLS on the client's side: whose certificate is taken.

use std::sync::Arc;

use proto::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{TlsInfo, Verified, Verify};
use crate::dns::Tlsa;
use crate::tls::{matches_name, session};
use crate::{BoxStream, Roots};

/// Certificates looked at in a chain; more are not.
const CHAIN_MAX: usize = 16;

/// Does the client's handshake over `stream`. The caller bounds the time.
///
/// # Errors
/// What went wrong, in words: the handshake, or whose certificate it is.
pub(crate) async fn connect(
    stream: BoxStream,
    host: &str,
    verify: &Verify,
    roots: &Roots,
    alpn: &[&[u8]],
) -> Result<(BoxStream, Tls, TlsInfo), String> {
    let name = server_name(host)?;
    let verified = verified(verify);
    let mut config = config(verify, roots)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|why| why.to_string())?;
    let tls = session::client_info(stream.get_ref().1);
    let info = TlsInfo { version: tls.version, cipher: tls.cipher.clone(), verified };
    Ok((Box::new(stream), tls, info))
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let host = host.trim_end_matches('.');
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let literal = literal.strip_prefix("ipv6:").unwrap_or(literal);
    ServerName::try_from(literal.to_owned()).map_err(|_| format!("no host name: {host}"))
}

fn verified(verify: &Verify) -> Verified {
    match verify {
        Verify::Nobody => Verified::Nothing,
        Verify::Names(_) => Verified::Names,
        Verify::Dane(records, _) if records.iter().any(Tlsa::is_usable) => Verified::Dane,
        // RFC 7672 §2.2: TLS is needed, whoever it is with.
        Verify::Dane(..) => Verified::Nothing,
    }
}

fn config(verify: &Verify, roots: &Roots) -> Result<ClientConfig, String> {
    let provider = Arc::new(default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let whose = match verify {
        Verify::Nobody => Whose::Anybody,
        Verify::Names(names) => Whose::Named(names.clone(), roots.store().clone()),
        Verify::Dane(records, names) => {
            let usable: Vec<_> = records.iter().filter(|one| one.is_usable()).cloned().collect();
            if usable.is_empty() { Whose::Anybody } else { Whose::Dane(usable, names.clone()) }
        }
    };
    let verifier = Arc::new(Verifier { whose, algorithms });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?;
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // A resumed session would not be verified by what is true today.
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
enum Whose {
    Anybody,
    Named(Vec<String>, Arc<RootCertStore>),
    /// Usable records, at least one, and names for those of trust anchors.
    Dane(Vec<Tlsa>, Vec<String>),
}

#[derive(Debug)]
struct Verifier {
    whose: Whose,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let rest = rest.get(..CHAIN_MAX).unwrap_or(rest);
        match &self.whose {
            Whose::Anybody => {}
            Whose::Named(names, roots) => {
                self.chain(leaf, rest, roots, now)?;
                check_names(leaf, names)?;
            }
            Whose::Dane(records, names) => self.dane(leaf, rest, records, names, now)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    // Whoever it is, it must hold the key of the certificate it shows.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    fn chain(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        roots: &RootCertStore,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, rest, now, algorithms)
    }

    /// One record that fits is enough (RFC 7672 §3.1).
    fn dane(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        records: &[Tlsa],
        names: &[String],
        now: UnixTime,
    ) -> Result<(), Error> {
        let (own, anchors): (Vec<_>, Vec<_>) = records.iter().partition(|r| r.is_end_entity());
        if own.iter().any(|record| record.matches(leaf)) {
            return Ok(());
        }
        let mut last = CertificateError::UnknownIssuer.into();
        for record in anchors {
            let shown = rest.iter().filter(|certificate| record.matches(certificate));
            let whole = record.anchor();
            for anchor in shown.chain(&whole) {
                let mut roots = RootCertStore::empty();
                let found = roots
                    .add(anchor.clone().into_owned())
                    .and_then(|()| self.chain(leaf, rest, &roots, now))
                    .and_then(|()| check_names(leaf, names));
                match found {
                    Ok(()) => return Ok(()),
                    Err(why) => last = why,
                }
            }
        }
        Err(last)
    }
}

/// Whether the certificate is for one of these names, of which `*.` stands for one label.
fn check_names(leaf: &CertificateDer<'_>, names: &[String]) -> Result<(), Error> {
    let parsed = ParsedCertificate::try_from(leaf)?;
    let is_for = |name: &String| {
        let name = name.trim_end_matches('.');
        if name.starts_with("*.") {
            return own_names(leaf)
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name) || matches_name(name, own));
        }
        ServerName::try_from(name.to_owned())
            .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    if names.iter().any(is_for) {
        return Ok(());
    }
    Err(CertificateError::NotValidForName.into())
}

fn own_names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    alternatives.value.general_names.iter().filter_map(name).collect()
}
