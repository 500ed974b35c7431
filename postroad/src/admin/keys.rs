//! Keys that sign a domain's mail (DKIM): made with the domain, changed with an overlap, so that
//! nobody meets a signature whose key is not published yet, or not any more.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::Ed25519KeyPair;
use jiff::Timestamp as Moment;
use mail::dkim::SigningKey;
use mail::{Domain, Timestamp};
use serde::Serialize;
use store::rows::{DKIM_KEYS_MAX, DirectoryChange, DkimKey, DomainRow, KeyUse};

use super::{Admin, AdminError, domain_name};

/// A signing key, without its private half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Its selector.
    pub selector: String,
    /// `rsa-sha256` or `ed25519-sha256`.
    pub algorithm: &'static str,
    /// `waiting`, `signing` or `retired`.
    pub state: &'static str,
    /// When a waiting key begins to sign by itself, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Where its public half is published.
    pub name: String,
    /// The TXT record there.
    pub record: String,
}

impl Admin {
    /// The signing keys of a domain.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn domain_keys(&self, name: &str) -> Result<Vec<KeyInfo>, AdminError> {
        let domain = domain_name(name)?;
        let row = self.look().await?.domain(&domain).await?;
        let row = row.ok_or_else(|| not_found(&domain))?;
        Ok(infos(&domain, &row, self.now()))
    }

    /// Makes new keys of both kinds. They wait until [`Self::activate_keys`], or sign by themselves
    /// `after` a time; publish their records before.
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`] while others wait or retired ones are
    /// still there, or as [`AdminError`] says.
    pub async fn rotate_keys(
        &self,
        name: &str,
        after: Option<Duration>,
    ) -> Result<Vec<KeyInfo>, AdminError> {
        let domain = domain_name(name)?;
        let now = self.now();
        let used = KeyUse::Waiting(after.map(|after| now.after(after)));
        let fresh = self.fresh_keys(used)?;
        self.change_keys(&domain, |row| {
            if row.dkim.iter().any(|key| matches!(key.used, KeyUse::Waiting(_))) {
                return Err(AdminError::invalid(
                    format!("{domain} has keys that wait already"),
                    "publish their records and use --activate, or remove them",
                ));
            }
            if row.dkim.len() + fresh.len() > DKIM_KEYS_MAX {
                return Err(AdminError::invalid(
                    format!("{domain} has too many keys"),
                    "remove the retired ones with `postroad domain keys remove`",
                ));
            }
            for mut key in fresh.clone() {
                while row.dkim.iter().any(|one| one.selector == key.selector) {
                    key.selector.push('x');
                }
                row.dkim.push(key);
            }
            Ok(())
        })
        .await
    }

    /// Lets keys that wait sign from now on, and retires those that signed.
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`] if none wait, or as [`AdminError`] says.
    pub async fn activate_keys(&self, name: &str) -> Result<Vec<KeyInfo>, AdminError> {
        let domain = domain_name(name)?;
        self.change_keys(&domain, |row| {
            let waits = |key: &DkimKey| matches!(key.used, KeyUse::Waiting(_));
            if !row.dkim.iter().any(waits) {
                return Err(AdminError::invalid(
                    format!("{domain} has no keys that wait"),
                    "make some with `postroad domain keys rotate`",
                ));
            }
            for key in &mut row.dkim {
                if waits(key) {
                    key.used = KeyUse::Signing;
                }
            }
            settle(&mut row.dkim, self.now());
            Ok(())
        })
        .await
    }

    /// Forgets a key. Take its record out of DNS a few days after it was retired.
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`] while it signs, or as [`AdminError`] says.
    pub async fn remove_key(&self, name: &str, selector: &str) -> Result<Vec<KeyInfo>, AdminError> {
        let domain = domain_name(name)?;
        self.change_keys(&domain, |row| {
            let found = row.dkim.iter().position(|key| key.selector == selector);
            let missing = || AdminError::NotFound { what: "key", name: selector.to_owned() };
            let at = found.ok_or_else(missing)?;
            if row.dkim.get(at).is_some_and(|key| key.used == KeyUse::Signing) {
                return Err(AdminError::invalid(
                    format!("{selector} signs"),
                    "let another sign first: `postroad domain keys rotate`, then --activate",
                ));
            }
            row.dkim.remove(at);
            Ok(())
        })
        .await
    }

    async fn change_keys(
        &self,
        domain: &Domain,
        change: impl Fn(&mut DomainRow) -> Result<(), AdminError>,
    ) -> Result<Vec<KeyInfo>, AdminError> {
        self.change(async |directory| {
            let row = directory.domain(domain).await?.ok_or_else(|| not_found(domain))?;
            let mut row = DomainRow::clone(&row);
            settle(&mut row.dkim, self.now());
            change(&mut row)?;
            let infos = infos(domain, &row, self.now());
            Ok((vec![DirectoryChange::Domain(domain.clone(), row)], infos))
        })
        .await
    }

    /// New keys, one of each kind. Their selectors tell the kind and the month.
    pub(super) fn fresh_keys(&self, used: KeyUse) -> Result<Vec<DkimKey>, AdminError> {
        let month = i64::try_from(self.now().millis())
            .ok()
            .and_then(|ms| Moment::from_millisecond(ms).ok())
            .map_or_else(|| "0".to_owned(), |moment| moment.strftime("%Y%m").to_string());
        let cannot = || AdminError::Unavailable("keys cannot be made here".to_owned());
        let seed: [u8; 32] = self.store.engines().random.bytes();
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| cannot())?
            .to_pkcs8v1()
            .map_err(|_| cannot())?;
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| cannot())?;
        let rsa: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| cannot())?;
        let key = |kind: char, private: &[u8]| DkimKey {
            selector: format!("{kind}{month}"),
            private_key: private.to_vec(),
            used,
        };
        Ok(vec![key('r', rsa.as_ref()), key('e', ed25519.as_ref())])
    }

    pub(super) fn now(&self) -> Timestamp {
        self.store.engines().index.now()
    }
}

/// Writes down what time has done: keys that waited for a moment that is over sign, and what a
/// newer key of the same kind has replaced is retired.
fn settle(keys: &mut [DkimKey], now: Timestamp) {
    let mut newer = Vec::new();
    for key in keys.iter_mut().rev() {
        if !key.used.signs(now) {
            continue;
        }
        let kind = SigningKey::from_pkcs8(&key.private_key).map_or("", |key| key.algorithm());
        key.used = if newer.contains(&kind) { KeyUse::Retired } else { KeyUse::Signing };
        newer.push(kind);
    }
}

fn infos(domain: &Domain, row: &DomainRow, now: Timestamp) -> Vec<KeyInfo> {
    let mut keys = row.dkim.clone();
    settle(&mut keys, now);
    let info = |key: &DkimKey| {
        let public = SigningKey::from_pkcs8(&key.private_key).ok()?;
        Some(KeyInfo {
            selector: key.selector.clone(),
            algorithm: public.algorithm(),
            state: match key.used {
                KeyUse::Signing => "signing",
                KeyUse::Waiting(_) => "waiting",
                KeyUse::Retired => "retired",
            },
            from_ms: match key.used {
                KeyUse::Waiting(from) => from.map(Timestamp::millis),
                KeyUse::Signing | KeyUse::Retired => None,
            },
            name: format!("{}._domainkey.{domain}", key.selector),
            record: public.record().ok()?,
        })
    };
    keys.iter().filter_map(info).collect()
}

fn not_found(domain: &Domain) -> AdminError {
    AdminError::NotFound { what: "domain", name: domain.to_string() }
}
