//! Domains of the office.

use mail::Domain;
use serde::Serialize;
use store::directory::ListCursor;
use store::rows::{DirectoryChange, DomainRow, KeyUse};

use super::{Admin, AdminError, domain_name};

/// Addresses looked at when a domain is shown; more are told as "at least".
const COUNTED_MAX: usize = 100_000;
const PAGE: usize = 1_000;

/// A domain in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainSummary {
    /// Its name; other scripts as A-labels.
    pub domain: String,
}

/// A domain and what there is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainDetails {
    /// Its name; other scripts as A-labels.
    pub domain: String,
    /// The same in its own script.
    pub unicode: String,
    /// Addresses that are an account's.
    pub accounts: usize,
    /// Other addresses: aliases and groups.
    pub aliases: usize,
    /// There are more: counting stopped.
    pub more: bool,
}

impl Admin {
    /// Makes a domain one of ours, with keys that sign its mail. Its name, as it is kept, is
    /// returned.
    /// # Errors
    /// [`AdminError::Exists`], or as [`AdminError`] says.
    pub async fn add_domain(&self, name: &str) -> Result<DomainSummary, AdminError> {
        let domain = domain_name(name)?;
        if self.look().await?.domain(&domain).await?.is_some() {
            return Err(AdminError::Exists { name: domain.to_string() });
        }
        let dkim = self.fresh_keys(KeyUse::Signing)?;
        self.change(async |directory| {
            if directory.domain(&domain).await?.is_some() {
                return Err(AdminError::Exists { name: domain.to_string() });
            }
            let row = DomainRow { dkim: dkim.clone(), ..DomainRow::new() };
            let change = DirectoryChange::Domain(domain.clone(), row);
            Ok((vec![change], DomainSummary { domain: domain.to_string() }))
        })
        .await
    }

    /// All domains, by name.
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn domains(&self) -> Result<Vec<DomainSummary>, AdminError> {
        let found = self.all_domains().await?;
        Ok(found.iter().map(|domain| DomainSummary { domain: domain.to_string() }).collect())
    }

    pub(super) async fn all_domains(&self) -> Result<Vec<Domain>, AdminError> {
        let directory = self.look().await?;
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = directory.domains(after.as_ref()).await?;
            all.extend(page.into_iter().map(|(domain, _)| domain));
            after = next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// One domain.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn domain(&self, name: &str) -> Result<DomainDetails, AdminError> {
        let domain = domain_name(name)?;
        let directory = self.look().await?;
        if directory.domain(&domain).await?.is_none() {
            return Err(AdminError::NotFound { what: "domain", name: domain.to_string() });
        }
        let mut details = DomainDetails {
            domain: domain.to_string(),
            unicode: domain.to_unicode(),
            accounts: 0,
            aliases: 0,
            more: false,
        };
        let mut cursor = Some(ListCursor::default());
        while let Some(from) = cursor {
            let (page, next) = directory.list(&domain, from, PAGE).await?;
            let accounts = page.iter().filter(|(_, account)| account.is_some()).count();
            details.accounts += accounts;
            details.aliases += page.len() - accounts;
            details.more = next.is_some() && details.accounts + details.aliases >= COUNTED_MAX;
            cursor = next.filter(|_| !details.more);
        }
        Ok(details)
    }

    /// Makes a domain without addresses no longer ours.
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`] while it has addresses, or as
    /// [`AdminError`] says.
    pub async fn remove_domain(&self, name: &str) -> Result<(), AdminError> {
        let domain = domain_name(name)?;
        self.change(async |directory| {
            if directory.domain(&domain).await?.is_none() {
                return Err(AdminError::NotFound { what: "domain", name: domain.to_string() });
            }
            let mut cursor = Some(ListCursor::default());
            while let Some(from) = cursor {
                let (page, next) = directory.list(&domain, from, PAGE).await?;
                if let Some((address, _)) = page.first() {
                    return Err(AdminError::invalid(
                        format!("{domain} still has addresses, such as {address}"),
                        "remove its accounts and aliases first",
                    ));
                }
                cursor = next;
            }
            Ok((vec![DirectoryChange::Domain(domain.clone(), DomainRow::tombstone())], ()))
        })
        .await
    }
}
