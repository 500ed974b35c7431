//! The certificate authorities that servers elsewhere are verified by.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::TlsError;

/// Trusted authorities. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// The public ones, as Mozilla trusts them; they are part of the program, so that it needs no
    /// files of the system.
    #[must_use]
    pub fn public() -> Self {
        let store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self(Arc::new(store))
    }

    /// Those of a PEM file, and no others.
    /// # Errors
    /// [`TlsError`] if it cannot be read or holds something that is no authority.
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        let unusable = |why: String| TlsError::Content { path: path.to_owned(), why };
        let certificates = CertificateDer::pem_file_iter(path)
            .map_err(|why| unusable(why.to_string()))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| unusable(why.to_string()))?;
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add(certificate).map_err(|why| unusable(why.to_string()))?;
        }
        if store.is_empty() {
            return Err(unusable("it holds no certificate".to_owned()));
        }
        Ok(Self(Arc::new(store)))
    }

    pub(crate) const fn store(&self) -> &Arc<RootCertStore> {
        &self.0
    }
}
