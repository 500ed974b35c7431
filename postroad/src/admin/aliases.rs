//! Aliases: addresses that lead to other addresses, of ours or outside.

use mail::{Address, Domain};
use serde::Serialize;
use store::Directory;
use store::directory::{ListCursor, Resolution};
use store::rows::{AddressRow, DirectoryChange};

use super::{Admin, AdminError, address};

const PAGE: usize = 1_000;
/// Most targets of an alias.
const TARGETS_MAX: usize = 100;

/// An alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AliasInfo {
    /// Its address; `@example.org` takes all that is nobody's in the domain.
    pub alias: String,
    /// Where it leads.
    pub targets: Vec<String>,
    /// Those of them that are not ours: mail for the alias is forwarded to them.
    pub outside: Vec<String>,
}

impl AliasInfo {
    async fn new(
        directory: &Directory,
        alias: &Address,
        all: &[Address],
    ) -> Result<Self, AdminError> {
        let (mut targets, mut outside) = (Vec::new(), Vec::new());
        for target in all {
            targets.push(target.to_string());
            if directory.domain(target.domain()).await?.is_none() {
                outside.push(target.to_string());
            }
        }
        Ok(Self { alias: alias.to_string(), targets, outside })
    }
}

impl Admin {
    /// Makes an alias to one or more addresses. `@example.org` is a catch-all. To those that are not
    /// ours mail is forwarded, under a sender of ours.
    /// # Errors
    /// [`AdminError::Exists`] if the address is anybody's, [`AdminError::NotFound`] if a target
    /// of a domain of ours is nobody's, or as [`AdminError`] says.
    pub async fn add_alias(
        &self,
        alias: &str,
        targets: &[String],
    ) -> Result<AliasInfo, AdminError> {
        self.change(async |directory| {
            let alias = match alias.strip_prefix('@') {
                Some(domain) => Address::catch_all(&super::domain_name(domain)?),
                None => address(alias)?,
            };
            if directory.domain(alias.domain()).await?.is_none() {
                return Err(AdminError::NotFound {
                    what: "domain",
                    name: alias.domain().to_string(),
                });
            }
            if directory.address(&alias).await?.is_some() {
                return Err(AdminError::Exists { name: alias.to_string() });
            }
            let mut wanted = Vec::new();
            for target in targets {
                let target = address(target)?;
                if target.domain().is_literal() {
                    return Err(AdminError::invalid(
                        format!("{target} names no domain"),
                        "write it like ana@example.org",
                    ));
                }
                if target == alias {
                    return Err(AdminError::invalid(
                        format!("{alias} cannot lead to itself"),
                        "name an account",
                    ));
                }
                if matches!(directory.resolve(&target).await?, Resolution::NoSuchUser) {
                    return Err(AdminError::NotFound { what: "address", name: target.to_string() });
                }
                if !wanted.contains(&target) {
                    wanted.push(target);
                }
            }
            if wanted.is_empty() || wanted.len() > TARGETS_MAX {
                return Err(AdminError::invalid(
                    format!("an alias has 1 to {TARGETS_MAX} targets"),
                    "name at least one; let an alias lead to others for more",
                ));
            }
            let told = AliasInfo::new(directory, &alias, &wanted).await?;
            Ok((vec![DirectoryChange::Address(alias, AddressRow::Alias(wanted))], told))
        })
        .await
    }

    /// All aliases of a domain, or of all domains, by address.
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn aliases(&self, domain: Option<&str>) -> Result<Vec<AliasInfo>, AdminError> {
        let domains: Vec<Domain> = match domain {
            None => self.all_domains().await?,
            Some(name) => vec![super::domain_name(name)?],
        };
        let directory = self.look().await?;
        let mut all = Vec::new();
        for domain in domains {
            let mut cursor = Some(ListCursor::default());
            while let Some(from) = cursor {
                let (page, next) = directory.list(&domain, from, PAGE).await?;
                for (address, _) in page.into_iter().filter(|(_, account)| account.is_none()) {
                    if let Some(AddressRow::Alias(targets)) =
                        directory.address(&address).await?.as_deref()
                    {
                        all.push(AliasInfo::new(directory, &address, targets).await?);
                    }
                }
                cursor = next;
            }
        }
        all.sort_by(|a, b| a.alias.cmp(&b.alias));
        Ok(all)
    }

    /// Removes an alias; what it led to stays.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn remove_alias(&self, alias: &str) -> Result<(), AdminError> {
        self.change(async |directory| {
            let address = match alias.strip_prefix('@') {
                Some(domain) => Address::catch_all(&super::domain_name(domain)?),
                None => address(alias)?,
            };
            match directory.address(&address).await?.as_deref() {
                Some(AddressRow::Alias(_)) => {
                    Ok((vec![DirectoryChange::Address(address, AddressRow::Tombstone)], ()))
                }
                Some(_) => Err(AdminError::invalid(
                    format!("{address} is an account, not an alias"),
                    "use `postroad account remove`",
                )),
                None => Err(AdminError::NotFound { what: "alias", name: address.to_string() }),
            }
        })
        .await
    }
}
