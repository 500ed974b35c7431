//! From an address to those who get its mail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mail::{Account, AccountId, Address};

use super::{Directory, DirectoryError, Entry, ListCursor};
use crate::rows::{AddressRow, Role};

/// Most addresses that one address may be expanded to, all that were met on the way included.
pub const EXPANDED_MAX: usize = 1_000;

/// Rows of a domain's listing looked at for somebody who reads postmaster's mail.
const ADMIN_SEARCH_MAX: usize = 1_000;

/// What an address is.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// An account.
    Account(Entry),
    /// Other addresses.
    Alias(Vec<Address>),
    /// The members of a group.
    Group(AccountId),
    /// The domain is ours, the address is nobody's: 550 5.1.1.
    NoSuchUser,
    /// The domain is not ours.
    NotOurDomain,
}

/// Who gets the mail for an address, aliases and groups expanded.
#[derive(Clone, Debug, Default)]
pub struct Expanded {
    /// Accounts kept in this region.
    pub accounts: BTreeSet<Account>,
    /// Accounts kept elsewhere, with their region.
    pub elsewhere: BTreeMap<AccountId, String>,
    /// Addresses of domains that are not ours.
    pub outside: BTreeSet<Address>,
    /// Addresses of ours that are nobody's.
    pub nobody: BTreeSet<Address>,
    /// There were more than [`EXPANDED_MAX`]: the rest was left out.
    pub cut: bool,
}

impl Directory {
    /// What an address is: the exact one, else without its `+detail`, else (postmaster, abuse) who
    /// reads that, else the catch-all of the domain.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn resolve(&self, address: &Address) -> Result<Resolution, DirectoryError> {
        let Some(domain) = self.domain(address.domain()).await? else {
            return Ok(Resolution::NotOurDomain);
        };
        if let Some(found) = self.exactly(address).await? {
            return Ok(found);
        }
        let base = address.without_detail();
        if let Some(base) = &base
            && let Some(found) = self.exactly(base).await?
        {
            return Ok(found);
        }
        // RFC 5321 §4.5.1: postmaster always delivers; RFC 2142 §4: and so does abuse.
        let local = base.as_ref().unwrap_or(address).local();
        if matches!(local, "postmaster" | "abuse") {
            let named = domain.policies.iter().find(|(name, _)| name == "postmaster");
            if let Some((_, text)) = named
                && let Ok(named) = Address::parse(text)
                && named != *address
            {
                return Ok(Resolution::Alias(vec![named]));
            }
            if let Some(admin) = self.some_admin(address).await? {
                return Ok(Resolution::Account(admin));
            }
        }
        let catch_all = Address::catch_all(address.domain());
        Ok(self.exactly(&catch_all).await?.unwrap_or(Resolution::NoSuchUser))
    }

    async fn exactly(&self, address: &Address) -> Result<Option<Resolution>, DirectoryError> {
        Ok(match self.address(address).await?.as_deref() {
            None | Some(AddressRow::Tombstone) => None,
            Some(AddressRow::Alias(targets)) => Some(Resolution::Alias(targets.clone())),
            Some(AddressRow::Group(id)) => Some(Resolution::Group(*id)),
            // An address whose account is gone is nobody's.
            Some(AddressRow::Account(id)) => self.account(*id).await?.map(Resolution::Account),
        })
    }

    /// An administrator of the domain, for mail that somebody must read.
    async fn some_admin(&self, address: &Address) -> Result<Option<Entry>, DirectoryError> {
        let (mut looked, mut cursor) = (0, Some(ListCursor::default()));
        while let Some(at) = cursor
            && looked < ADMIN_SEARCH_MAX
        {
            let (page, next) = self.list(address.domain(), at, 100).await?;
            looked += page.len().max(1);
            for id in page.into_iter().filter_map(|(_, id)| id) {
                if let Some(entry) = self.account(id).await?
                    && entry.row.roles.has(Role::Admin)
                {
                    return Ok(Some(entry));
                }
            }
            cursor = next;
        }
        Ok(None)
    }

    /// Who gets the mail for an address: aliases of aliases and groups too, each address once, so
    /// that loops end; at most [`EXPANDED_MAX`].
    /// # Errors
    /// [`DirectoryError`].
    pub async fn expand(&self, address: &Address) -> Result<Expanded, DirectoryError> {
        let mut expanded = Expanded::default();
        let mut seen = BTreeSet::from([address.clone()]);
        let mut waiting = VecDeque::from([address.clone()]);
        while let Some(next) = waiting.pop_front() {
            let targets = match self.resolve(&next).await? {
                Resolution::Account(entry) => {
                    if entry.row.home == self.cx.options.region {
                        expanded.accounts.insert(entry.account());
                    } else {
                        expanded.elsewhere.insert(entry.id, entry.row.home.clone());
                    }
                    continue;
                }
                Resolution::Alias(targets) => targets,
                Resolution::Group(id) => self.all_members(id, &mut expanded.cut).await?,
                Resolution::NoSuchUser => {
                    expanded.nobody.insert(next);
                    continue;
                }
                Resolution::NotOurDomain => {
                    expanded.outside.insert(next);
                    continue;
                }
            };
            for target in targets {
                if seen.len() >= EXPANDED_MAX {
                    expanded.cut = true;
                    break;
                }
                if seen.insert(target.clone()) {
                    waiting.push_back(target);
                }
            }
        }
        Ok(expanded)
    }

    async fn all_members(
        &self,
        group: AccountId,
        cut: &mut bool,
    ) -> Result<Vec<Address>, DirectoryError> {
        let (mut all, mut cursor) = (Vec::new(), Some(ListCursor::default()));
        while let Some(at) = cursor {
            let (page, next) = self.members(group, at, 1_000).await?;
            all.extend(page.into_iter().map(|(address, _)| address));
            if all.len() > EXPANDED_MAX {
                *cut = true;
                all.truncate(EXPANDED_MAX);
                break;
            }
            cursor = next;
        }
        Ok(all)
    }
}
