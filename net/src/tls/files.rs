//! Certificates and keys on disk.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use mail::Timestamp;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Certificate, CertificateFiles, CertificateInfo, TlsError, session};

/// Largest PEM file read.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::File { path, source }
}

fn content_error(path: &Path, why: impl ToString) -> TlsError {
    TlsError::Content { path: path.to_owned(), why: why.to_string() }
}

fn read_pem(path: &Path) -> Result<Vec<u8>, TlsError> {
    let length = fs::metadata(path).map_err(file_error(path))?.len();
    if length > PEM_BYTES_MAX {
        return Err(content_error(path, "larger than 1 MiB"));
    }
    fs::read(path).map_err(file_error(path))
}

/// Reads a chain and its key and sees that they belong together.
pub(crate) fn read(files: &CertificateFiles) -> Result<Certificate, TlsError> {
    let CertificateFiles { chain: path, key: key_path } = files;
    let pem = read_pem(path)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| content_error(path, why))?;
    let Some(leaf) = chain.first().cloned() else {
        return Err(content_error(path, "it holds no certificate"));
    };
    let key = PrivateKeyDer::from_pem_slice(&read_pem(key_path)?)
        .map_err(|why| content_error(key_path, why))?;
    let key = any_supported_type(&key).map_err(|why| content_error(key_path, why))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|why| content_error(key_path, why))?;
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|why| content_error(path, why))?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    let info = CertificateInfo {
        names: names(&parsed),
        not_after: Timestamp::from_seconds(seconds),
        path: path.clone(),
    };
    let end_point = session::end_point(&leaf, &parsed);
    Ok(Certificate { key: Arc::new(certified), info, end_point })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => {
                <[u8; 4]>::try_from(*bytes).ok().map(|v4| std::net::Ipv4Addr::from(v4).to_string())
            }
            16 => {
                <[u8; 16]>::try_from(*bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
            }
            _ => None,
        },
        _ => None,
    };
    alternatives.value.general_names.iter().filter_map(name).collect()
}

/// The self-signed certificate in `dir`, made now if it is not there.
pub(super) fn self_signed(dir: &Path, names: &[String]) -> Result<Certificate, TlsError> {
    let files = CertificateFiles { chain: dir.join("tls.crt"), key: dir.join("tls.key") };
    if !files.chain.exists() {
        // Processes that start together make one pair.
        let path = dir.join("tls.lock");
        let lock = fs::File::create(&path).map_err(file_error(&path))?;
        lock.lock().map_err(file_error(&path))?;
        if !files.chain.exists() {
            make(&files, names)?;
        }
    }
    read(&files)
}

/// The certificate comes last: it is there only with its key.
fn make(files: &CertificateFiles, names: &[String]) -> Result<(), TlsError> {
    let refused = |why: rcgen::Error| content_error(&files.chain, why);
    let key = KeyPair::generate().map_err(refused)?;
    let mut params = CertificateParams::new(names).map_err(refused)?;
    let name = names.first().map_or("postroad", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    // Nobody verifies these dates: who trusts a self-signed certificate has pinned it.
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2044, 12, 31);
    let certificate = params.self_signed(&key).map_err(refused)?;
    write(&files.key, key.serialize_pem().as_bytes(), 0o600)?;
    write(&files.chain, certificate.pem().as_bytes(), 0o644)
}

pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let put = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    put().map_err(file_error(path))
}
