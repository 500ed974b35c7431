//! The keys that sign in a domain's name, ready to use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mail::Domain;
use mail::dkim::{Signer, SigningKey};

use super::{Directory, DirectoryError};
use crate::rows::{DkimKey, DomainRow, KeyUse};

/// Domains whose keys are kept in memory.
const DOMAINS_MAX: usize = 1_000;

/// Keys that were read lately, with the row they are of.
#[derive(Default)]
pub(super) struct Known(Mutex<BTreeMap<Domain, Ready>>);

#[derive(Clone)]
struct Ready {
    row: Arc<DomainRow>,
    keys: Arc<[(Signer, KeyUse)]>,
}

impl Directory {
    /// The keys that sign for a domain of ours now: of each kind the newest that may. None: it is
    /// not ours, or has no keys. Reading keys costs some 0.1 ms, so they are kept.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn signers(&self, domain: &Domain) -> Result<Vec<Signer>, DirectoryError> {
        let Some(row) = self.domain(domain).await? else { return Ok(Vec::new()) };
        let now = self.cx.engines.index.now();
        let keys = self.signing.keys(domain, &row);
        let mut signers: Vec<Signer> = Vec::new();
        for (signer, _) in keys.iter().rev().filter(|(_, used)| used.signs(now)) {
            let kind = signer.key.algorithm();
            if signers.iter().all(|one| one.key.algorithm() != kind) {
                signers.push(signer.clone());
            }
        }
        Ok(signers)
    }
}

impl Known {
    fn keys(&self, domain: &Domain, row: &Arc<DomainRow>) -> Arc<[(Signer, KeyUse)]> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = known.get_mut(domain)
            && (Arc::ptr_eq(&ready.row, row) || ready.row.dkim == row.dkim)
        {
            ready.row = row.clone();
            return ready.keys.clone();
        }
        let keys: Arc<[_]> = row.dkim.iter().filter_map(|key| ready(domain, key)).collect();
        // I8: bounded by forgetting everything.
        if known.len() >= DOMAINS_MAX {
            known.clear();
        }
        known.insert(domain.clone(), Ready { row: row.clone(), keys: keys.clone() });
        keys
    }
}

fn ready(domain: &Domain, key: &DkimKey) -> Option<(Signer, KeyUse)> {
    let selector = key.selector.clone();
    match SigningKey::from_pkcs8(&key.private_key) {
        Ok(private) => {
            let domain = domain.as_str().to_owned();
            Some((Signer { domain, selector, key: private }, key.used))
        }
        Err(error) => {
            tracing::error!(%domain, selector, %error, "mail is signed without this key");
            None
        }
    }
}
