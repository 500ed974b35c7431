//! Certificates of an authority of the tests' own.

use std::sync::Arc;

use aws_lc_rs::digest;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::Roots;
use crate::dns::Tlsa;

pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

#[derive(Clone)]
pub(crate) struct Leaf {
    der: CertificateDer<'static>,
    pub(super) config: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn roots(&self) -> Roots {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, self.certificate.pem()).unwrap();
        Roots::read(&path).unwrap()
    }

    /// A certificate for `name`, valid now or long ago, with the authority's in its chain.
    pub(crate) fn leaf(&self, name: &str, current: bool) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if !current {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let der = certificate.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der.clone(), self.der()], key)
            .unwrap();
        Leaf { der, config: Arc::new(config) }
    }
}

impl Leaf {
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    pub(super) fn tlsa(&self, usage: u8, selector: u8, matching: u8) -> Tlsa {
        tlsa(&self.der, usage, selector, matching)
    }
}

/// From the RFC, so that it shares no code with the verifier.
pub(super) fn tlsa(der: &CertificateDer<'_>, usage: u8, selector: u8, matching: u8) -> Tlsa {
    let (_, parsed) = X509Certificate::from_der(der).unwrap();
    let selected = if selector == 1 { parsed.public_key().raw } else { der.as_ref() };
    let data = match matching {
        0 => selected.to_vec(),
        1 => digest::digest(&digest::SHA256, selected).as_ref().to_vec(),
        _ => digest::digest(&digest::SHA512, selected).as_ref().to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}
