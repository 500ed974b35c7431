//! What is kept of certificates and accounts.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use mail::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{AcmeError, AcmeOptions, failed};
use crate::CertificateFiles;
use crate::tls::files;

const ACCOUNT_BYTES_MAX: u64 = 64 * 1024;

/// The account, and at which authority it is.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    directory: String,
    credentials: T,
}

/// Chain and key in one file, so that they change together.
pub(super) fn certificate(folder: &Path) -> PathBuf {
    folder.join("acme.pem")
}

fn account_file(folder: &Path) -> PathBuf {
    folder.join("acme-account.json")
}

/// The lock of the process that does the work; `None` if another has it.
pub(super) fn lock(folder: &Path) -> Result<Option<File>, AcmeError> {
    let file = File::create(folder.join("acme.lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(why)) => Err(failed(why)),
    }
}

/// Whether there is no certificate for these names, or only a third of its life is left.
pub(super) fn is_due(options: &AcmeOptions, now: Timestamp) -> bool {
    life(&options.certificate(), &options.names).is_none_or(|(from, until)| {
        let life = until.since(from);
        until.since(now) <= life / 3
    })
}

/// The life of the certificate in `path`, if it is for exactly these names.
fn life(path: &Path, names: &[String]) -> Option<(Timestamp, Timestamp)> {
    let both = CertificateFiles { chain: path.to_owned(), key: path.to_owned() };
    let found = files::read(&both).ok()?;
    let mut own = found.info.names.clone();
    let mut wanted: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    own.sort();
    wanted.sort();
    wanted.dedup();
    if own != wanted {
        return None;
    }
    let leaf = CertificateDer::from_pem_file(path).ok()?;
    let (_, parsed) = X509Certificate::from_der(&leaf).ok()?;
    let from = u64::try_from(parsed.validity().not_before.timestamp()).ok()?;
    Some((Timestamp::from_seconds(from), found.info.not_after))
}

/// A signing request (DER) for these names, and its fresh key (PEM).
pub(super) fn request(names: &[String]) -> Result<(Vec<u8>, String), AcmeError> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(failed)?;
    Ok((request.der().to_vec(), key.serialize_pem()))
}

/// Keeps a certificate that can be used; one that cannot does not replace what is there.
pub(super) fn keep(folder: &Path, chain: &str, key: &str) -> Result<(), AcmeError> {
    let new = folder.join("acme-new.pem");
    let text = format!("{}\n{key}", chain.trim_end());
    files::write(&new, text.as_bytes(), 0o600).map_err(failed)?;
    files::read(&CertificateFiles { chain: new.clone(), key: new.clone() }).map_err(failed)?;
    fs::rename(&new, certificate(folder)).map_err(failed)
}

/// The account at this authority, if there is one.
pub(super) fn account(options: &AcmeOptions) -> Option<AccountCredentials> {
    let path = account_file(&options.folder);
    if fs::metadata(&path).ok()?.len() > ACCOUNT_BYTES_MAX {
        return None;
    }
    let kept: Kept<AccountCredentials> = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (kept.directory == options.directory).then_some(kept.credentials)
}

/// Keeps an account for the next time.
pub(super) fn keep_account(
    options: &AcmeOptions,
    credentials: &AccountCredentials,
) -> Result<(), AcmeError> {
    let kept = Kept { directory: options.directory.clone(), credentials };
    let text = serde_json::to_vec(&kept).map_err(failed)?;
    files::write(&account_file(&options.folder), &text, 0o600).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn options(folder: &Path, names: &[&str]) -> AcmeOptions {
        AcmeOptions {
            directory: "https://a.test/dir".into(),
            contact: vec![],
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn a_certificate_is_due_when_it_is_missing_for_other_names_or_nearly_over() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["mx.example.test", "mail.example.test"];
        let own = options(folder.path(), &names);
        let day =
            |n: u64| Timestamp::from_seconds(1_700_000_000).after(Duration::from_secs(n * 86_400));
        assert!(is_due(&own, day(0)));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(own.names.clone()).unwrap();
        let start = rcgen::date_time_ymd(2023, 11, 14);
        params.not_before = start;
        params.not_after = rcgen::date_time_ymd(2024, 2, 12);
        let certificate = params.self_signed(&key).unwrap();
        keep(folder.path(), &certificate.pem(), &key.serialize_pem()).unwrap();
        assert!(!is_due(&own, day(1)));
        assert!(!is_due(&own, day(58)));
        assert!(is_due(&own, day(61)));
        assert!(is_due(&own, day(1_000)));
        assert!(is_due(&options(folder.path(), &names[..1]), day(1)));
        // What cannot be used does not replace what can.
        let other = KeyPair::generate().unwrap().serialize_pem();
        assert!(keep(folder.path(), &certificate.pem(), &other).is_err());
        assert!(keep(folder.path(), "nothing", &other).is_err());
        assert!(!is_due(&own, day(1)));
    }

    #[test]
    fn one_process_at_a_time_does_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        assert!(held.is_some() && lock(folder.path()).unwrap().is_none());
        drop(held);
        assert!(lock(folder.path()).unwrap().is_some());
    }
}
