//! Certificates of an authority of the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// Nobody trusts it but who is told to.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
}

/// A host's certificate with its key, as files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM: the certificate, then the authority's.
    pub chain: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes one.
    /// # Panics
    /// If openssl is not there.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("authority-").tempdir().unwrap();
        // Servers that give up their privileges read what lies here.
        Command::new("chmod").arg("755").arg(dir.path()).status().unwrap();
        let authority = Self { dir };
        let (key, pem) = (authority.path("authority.key"), authority.pem());
        openssl(
            &[
                &["req", "-x509"],
                &NEW_KEY[..],
                &["-days", "2", "-subj", "/CN=authority of the test"],
            ]
            .concat(),
            &[("-keyout", &key), ("-out", &pem)],
        );
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its own certificate: what is given to those who are to trust it.
    #[must_use]
    pub fn pem(&self) -> PathBuf {
        self.path("authority.crt")
    }

    /// A certificate for this host name.
    /// # Panics
    /// If openssl does not make it.
    #[must_use]
    pub fn issue(&self, name: &str) -> Certificate {
        self.issue_for(&[name])
    }

    /// One for several; files are named for the first.
    /// # Panics
    /// As [`Self::issue`].
    #[must_use]
    pub fn issue_for(&self, names: &[&str]) -> Certificate {
        let name = names[0];
        let (key, request) = (self.path(&format!("{name}.key")), self.path("request"));
        let (single, chain) = (self.path("single"), self.path(&format!("{name}.crt")));
        let extensions = self.path("extensions");
        let subject = format!("/CN={name}");
        openssl(
            &[&["req", "-new"], &NEW_KEY[..], &["-subj", &subject]].concat(),
            &[("-keyout", &key), ("-out", &request)],
        );
        let alternatives = names.join(",DNS:");
        std::fs::write(&extensions, format!("subjectAltName=DNS:{alternatives}\n")).unwrap();
        openssl(
            &["x509", "-req", "-days", "2", "-set_serial", "7"],
            &[
                ("-in", &request),
                ("-CA", &self.pem()),
                ("-CAkey", &self.path("authority.key")),
                ("-extfile", &extensions),
                ("-out", &single),
            ],
        );
        let both = [std::fs::read(&single).unwrap(), std::fs::read(self.pem()).unwrap()];
        std::fs::write(&chain, both.concat()).unwrap();
        Command::new("chmod").arg("644").arg(&key).status().unwrap();
        Certificate { chain, key }
    }
}

impl Certificate {
    /// For a server of the test.
    /// # Panics
    /// If the files are not what they should be.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        let chain: Vec<_> =
            CertificateDer::pem_file_iter(&self.chain).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }

    /// `3 1 1 <hash>`: DANE-EE by the SHA-256 of its public key (RFC 6698 §2.1).
    /// # Panics
    /// If openssl does not read it.
    #[must_use]
    pub fn tlsa(&self) -> String {
        let script = "openssl x509 -in \"$1\" -pubkey -noout | openssl pkey -pubin -outform DER \
                      | openssl dgst -sha256 -r | cut -d' ' -f1";
        let output = Command::new("sh").args(["-c", script, "sh"]).arg(&self.chain).output();
        let hash = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(hash.trim().len(), 64, "no hash: {hash}");
        format!("3 1 1 {}", hash.trim())
    }
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

fn openssl(words: &[&str], files: &[(&str, &Path)]) {
    let mut command = Command::new("openssl");
    command.args(words);
    for (option, file) in files {
        command.arg(option).arg(file);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
