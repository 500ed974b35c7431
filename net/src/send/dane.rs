//! TLSA records against certificates (RFC 6698, RFC 7671, RFC 7672).

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::dns::Tlsa;

/// PKIX-TA(0) and PKIX-EE(1) are not used in mail (RFC 7672 §3.1.3).
const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;

impl Tlsa {
    /// Whether it can be used for mail: usage 2 or 3, a selector and a matching type that are
    /// known, and data that fits them (RFC 7671 §4, RFC 7672 §3.1).
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let length = self.data.len();
        let fits = match self.matching {
            0 => (1..=16 * 1024).contains(&length),
            1 => length == 32,
            2 => length == 64,
            _ => false,
        };
        matches!(self.usage, DANE_TA | DANE_EE) && self.selector <= 1 && fits
    }

    /// Whether it is of the server's own certificate: neither names nor dates count then (RFC
    /// 7671 §5.1).
    pub(super) const fn is_end_entity(&self) -> bool {
        self.usage == DANE_EE
    }

    /// Whether this certificate is the one it means.
    pub(super) fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let selected = match self.selector {
            0 => certificate.as_ref(),
            _ => match X509Certificate::from_der(certificate) {
                Ok((_, parsed)) => parsed.tbs_certificate.subject_pki.raw,
                Err(_) => return false,
            },
        };
        match self.matching {
            0 => self.data == selected,
            1 => self.data == digest::digest(&digest::SHA256, selected).as_ref(),
            2 => self.data == digest::digest(&digest::SHA512, selected).as_ref(),
            _ => false,
        }
    }

    /// The trust anchor itself, where the record holds it whole: servers may leave it out of the
    /// chain they send then (RFC 7671 §5.2.2).
    pub(super) fn anchor(&self) -> Option<CertificateDer<'_>> {
        let whole = self.usage == DANE_TA && self.selector == 0 && self.matching == 0;
        whole.then(|| CertificateDer::from(self.data.as_slice()))
    }
}
