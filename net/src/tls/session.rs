//! What may be known of a TLS session: for trace headers and for channel binding.

use aws_lc_rs::digest;
use proto::Tls;
use rustls::{ClientConnection, ConnectionCommon, ProtocolVersion, ServerConnection};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Certificate;

/// Everything a core may want to know of `session`, in which `certificate` was shown.
pub(super) fn info(session: &ServerConnection, certificate: Option<&Certificate>) -> Tls {
    Tls {
        exporter: exporter(session),
        server_end_point: certificate.and_then(|one| one.end_point.clone()),
        server_name: session.server_name().map(str::to_owned),
        ..common(session)
    }
}

/// The same, from the client's side.
pub(crate) fn client_info(session: &ClientConnection) -> Tls {
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    let end_point = leaf.and_then(|der| {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        end_point(der, &parsed)
    });
    Tls { exporter: exporter(session), server_end_point: end_point, ..common(session) }
}

fn common<T>(session: &ConnectionCommon<T>) -> Tls {
    let cipher = session.negotiated_cipher_suite().map(|suite| suite.suite());
    // IANA writes TLS_AES_256_GCM_SHA384, the library TLS13_AES_256_GCM_SHA384.
    let cipher = cipher.and_then(|suite| suite.as_str()).unwrap_or_default();
    Tls {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLS",
        },
        cipher: cipher.replacen("TLS13_", "TLS_", 1),
        ..Tls::default()
    }
}

/// RFC 9266 §2: label, empty context, 32 bytes. §4.2 forbids it in TLS 1.2 without extended
/// master secret, which the library does not tell, so only TLS 1.3 has it.
fn exporter<T>(session: &ConnectionCommon<T>) -> Option<[u8; 32]> {
    if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
}

/// RFC 5929 §4.1: the hash of the certificate as sent, with the hash function of its signature,
/// but SHA-256 for MD5 and SHA-1. Undefined where the signature has no hash, or several.
pub(super) fn end_point(der: &[u8], certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    let algorithm = match oid.as_str() {
        // md5, sha1, sha256 WithRSAEncryption; ecdsa-with-SHA1, -SHA256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, der).as_ref().to_vec())
}
