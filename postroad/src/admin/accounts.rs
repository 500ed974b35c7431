//! Accounts: who has mail here.

use mail::{Address, Domain};
use proto::sasl::{Password, SALT_BYTES, Verifier};
use serde::Serialize;
use store::Directory;
use store::directory::{Entry, ListCursor};
use store::rows::{self, AccountRow, AddressRow, Credentials, DirectoryChange, Role, Roles};

use super::{Admin, AdminError, address, own_address};

const PAGE: usize = 1_000;
/// Shortest password taken.
const PASSWORD_CHARS_MIN: usize = 8;
/// What the account's own password is called among its verifiers.
const OWN_PASSWORD: &str = "password";

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its address.
    pub address: String,
    /// Name shown to people; may be empty.
    pub name: String,
    /// Its password.
    pub password: Password,
    /// Most bytes of mail; `None`: no limit.
    pub quota_bytes: Option<u64>,
    /// May administer the office.
    pub admin: bool,
}

/// How much mail an account may keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Most bytes; `None`: no limit.
    pub bytes: Option<u64>,
    /// Most messages; `None`: no limit.
    pub messages: Option<u64>,
}

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountSummary {
    /// An address of it.
    pub address: String,
    /// Its id, for ever.
    pub id: String,
    /// Name shown to people.
    pub name: String,
    /// May not log in.
    pub disabled: bool,
}

/// An account and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountDetails {
    /// Its id, for ever.
    pub id: String,
    /// Its addresses, the main one first.
    pub addresses: Vec<String>,
    /// Name shown to people.
    pub name: String,
    /// Region where its mail is kept.
    pub home: String,
    /// May not log in.
    pub disabled: bool,
    /// May administer the office.
    pub admin: bool,
    /// What it may keep.
    pub quota: Quota,
    /// What it keeps; `None`: its log cannot be read here, see `doctor`.
    pub used: Option<Used>,
    /// What its passwords are called; never the passwords.
    pub passwords: Vec<String>,
}

/// What went with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RemovedAccount {
    /// Aliases that led to it and lead on to others.
    pub aliases_changed: u64,
    /// Aliases that led nowhere else.
    pub aliases_removed: u64,
    /// When its mail is erased, in milliseconds since 1970.
    pub erased_ms: u64,
}

/// What an account keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Admin {
    /// Makes an account.
    /// # Errors
    /// [`AdminError::Exists`] if the address is anybody's, or as [`AdminError`] says.
    pub async fn add_account(&self, new: NewAccount) -> Result<AccountSummary, AdminError> {
        let fresh = self.credentials(&new.password, None).await?;
        let id = self.directory().fresh_account();
        let region = self.store.options().region.clone();
        self.change(async |directory| {
            let address = own_address(directory, &new.address).await?;
            if address.is_catch_all() {
                return Err(AdminError::invalid(
                    "an account needs an address of its own",
                    "write it like ana@example.org",
                ));
            }
            if directory.address(&address).await?.is_some() {
                return Err(AdminError::Exists { name: address.to_string() });
            }
            let roles = if new.admin { Roles::of(&[Role::Admin]) } else { Roles::default() };
            let row = AccountRow {
                name: new.name.clone(),
                credentials: fresh.clone(),
                quota_bytes: new.quota_bytes,
                roles,
                ..AccountRow::new(region.clone(), 1, address.clone())
            };
            let told = summary(&address, &Entry { id, row: std::sync::Arc::new(row.clone()) });
            let changes = vec![
                DirectoryChange::Account(id, Box::new(row)),
                DirectoryChange::Address(address, AddressRow::Account(id)),
            ];
            Ok((changes, told))
        })
        .await
    }

    /// All accounts of a domain, or of all domains, by address.
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn accounts(&self, domain: Option<&str>) -> Result<Vec<AccountSummary>, AdminError> {
        let domains = match domain {
            None => self.all_domains().await?,
            Some(name) => {
                let domain = super::domain_name(name)?;
                if self.look().await?.domain(&domain).await?.is_none() {
                    return Err(AdminError::NotFound { what: "domain", name: domain.to_string() });
                }
                vec![domain]
            }
        };
        let mut all = Vec::new();
        for domain in domains {
            self.accounts_of(&domain, &mut all).await?;
        }
        all.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(all)
    }

    async fn accounts_of(
        &self,
        domain: &Domain,
        all: &mut Vec<AccountSummary>,
    ) -> Result<(), AdminError> {
        let mut cursor = Some(ListCursor::default());
        while let Some(from) = cursor {
            let (page, next) = self.directory().list(domain, from, PAGE).await?;
            for (address, account) in page {
                let Some(id) = account else { continue };
                if let Some(entry) = self.directory().account(id).await? {
                    all.push(summary(&address, &entry));
                }
            }
            cursor = next;
        }
        Ok(())
    }

    /// One account.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn account(&self, name: &str) -> Result<AccountDetails, AdminError> {
        let directory = self.look().await?;
        let (_, entry) = find(directory, name).await?;
        let row = &entry.row;
        let passwords = row.credentials.verifiers.iter().map(|one| one.label.clone()).collect();
        Ok(AccountDetails {
            id: entry.id.to_string(),
            addresses: row.addresses.iter().map(ToString::to_string).collect(),
            name: row.name.clone(),
            home: row.home.clone(),
            disabled: row.disabled,
            admin: row.roles.has(Role::Admin),
            quota: Quota { bytes: row.quota_bytes, messages: row.quota_messages },
            used: self.used(&entry).await,
            passwords,
        })
    }

    /// What an account keeps, read strongly.
    async fn used(&self, entry: &Entry) -> Option<Used> {
        let log = self.store.account(entry.account()).await.ok()?;
        log.fresh().await.ok()?;
        let totals = log.view(|state| state.totals());
        Some(Used { messages: totals.messages, bytes: totals.bytes })
    }

    /// Takes an account out of the directory: no mail for it is accepted any more, nobody logs in
    /// to it, and its mail is erased after the restore window. Aliases that lead to it are in the
    /// way: with `force` they lose it, and those that led nowhere else go.
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`] where aliases are in the way, or as
    /// [`AdminError`] says.
    pub async fn remove_account(
        &self,
        name: &str,
        force: bool,
    ) -> Result<RemovedAccount, AdminError> {
        let (_, entry) = find(self.look().await?, name).await?;
        let (mut aliases_changed, mut aliases_removed) = (0, 0);
        let aliases = self.aliases_to(&entry).await?;
        if !force && !aliases.is_empty() {
            return Err(in_the_way(&aliases));
        }
        for alias in aliases {
            match self.leave_alias(&alias, &entry).await? {
                Some(true) => aliases_removed += 1,
                Some(false) => aliases_changed += 1,
                None => {}
            }
        }
        // Asked for first: should this end in between, it finds the account there and does nothing.
        let window = self.store.options().timing.restore_window;
        let erased = self.store.engines().index.now().after(window);
        let why = rows::MaintenanceWhy::Removed;
        self.store.items().ask_maintenance(erased, entry.account(), why).await?;
        self.change(async |directory| {
            let (_, entry) = find(directory, name).await?;
            let mut changes = Vec::new();
            // The account's own change goes last: it fits in with at most 99 addresses.
            let addresses = entry.row.addresses.iter().take(rows::DIRECTORY_CHANGES_MAX - 1);
            for address in addresses {
                let row = directory.address(address).await?;
                if row.as_deref() == Some(&AddressRow::Account(entry.id)) {
                    let gone = DirectoryChange::Address(address.clone(), AddressRow::Tombstone);
                    changes.push(gone);
                }
            }
            let gone = Box::new(AccountRow::tombstone(entry.row.epoch));
            changes.push(DirectoryChange::Account(entry.id, gone));
            Ok((changes, ()))
        })
        .await?;
        Ok(RemovedAccount { aliases_changed, aliases_removed, erased_ms: erased.0 })
    }

    /// Aliases that lead to an account.
    async fn aliases_to(&self, entry: &Entry) -> Result<Vec<String>, AdminError> {
        let all = self.aliases(None).await?;
        let leads = |target: &String| Address::parse(target).is_ok_and(|to| is_of(entry, &to));
        let leading = all.into_iter().filter(|one| one.targets.iter().any(leads));
        Ok(leading.map(|one| one.alias).collect())
    }

    /// Takes an account out of an alias. Whether the alias went; `None`: it did not lead there any
    /// more.
    async fn leave_alias(&self, alias: &str, entry: &Entry) -> Result<Option<bool>, AdminError> {
        let alias = match alias.strip_prefix('@') {
            Some(domain) => Address::catch_all(&super::domain_name(domain)?),
            None => address(alias)?,
        };
        self.change(async |directory| {
            let row = directory.address(&alias).await?;
            let Some(AddressRow::Alias(targets)) = row.as_deref() else {
                return Ok((Vec::new(), None));
            };
            let left: Vec<Address> =
                targets.iter().filter(|target| !is_of(entry, target)).cloned().collect();
            if left.len() == targets.len() {
                return Ok((Vec::new(), None));
            }
            let went = left.is_empty();
            let row = if went { AddressRow::Tombstone } else { AddressRow::Alias(left) };
            Ok((vec![DirectoryChange::Address(alias.clone(), row)], Some(went)))
        })
        .await
    }

    /// Sets an account's password; its app passwords stay.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn set_password(&self, name: &str, password: &Password) -> Result<(), AdminError> {
        self.change(async |directory| {
            let (_, entry) = find(directory, name).await?;
            let mut row = AccountRow::clone(&entry.row);
            row.credentials = self.credentials(password, Some(&row.credentials)).await?;
            Ok((vec![DirectoryChange::Account(entry.id, Box::new(row))], ()))
        })
        .await
    }

    /// Sets what an account may keep.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn set_quota(&self, name: &str, quota: Quota) -> Result<(), AdminError> {
        self.change(async |directory| {
            let (_, entry) = find(directory, name).await?;
            let mut row = AccountRow::clone(&entry.row);
            (row.quota_bytes, row.quota_messages) = (quota.bytes, quota.messages);
            Ok((vec![DirectoryChange::Account(entry.id, Box::new(row))], ()))
        })
        .await
    }

    /// Voids the changes of an account that cannot be replayed, so that it can be read again; what
    /// those changes did is lost, their mail is not. Returns their numbers; none if all is well.
    /// `reason` says who and why, and stays in the log [U].
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn repair_account(&self, name: &str, reason: &str) -> Result<Vec<u64>, AdminError> {
        let (_, entry) = find(self.look().await?, name).await?;
        let voided = self.store.repair(entry.account(), reason).await?;
        Ok(voided.into_iter().map(|seq| seq.0).collect())
    }

    /// Credentials with this password in place of the one before. All verifiers of an account
    /// share salt and iterations: they change only while there are no app passwords.
    async fn credentials(
        &self,
        password: &Password,
        before: Option<&Credentials>,
    ) -> Result<Credentials, AdminError> {
        if password.reveal().chars().count() < PASSWORD_CHARS_MIN {
            return Err(AdminError::invalid(
                format!("the password has fewer than {PASSWORD_CHARS_MIN} characters"),
                "choose a longer one",
            ));
        }
        let others = before
            .map(|before| before.verifiers.iter().filter(|one| one.label != OWN_PASSWORD).cloned());
        let others: Vec<_> = others.into_iter().flatten().collect();
        let shared = before.filter(|_| !others.is_empty());
        let salt = match shared {
            Some(before) => before.salt.clone(),
            None => self.store.engines().random.bytes::<SALT_BYTES>().to_vec(),
        };
        let iterations = shared.map_or(self.iterations, |before| before.iterations);
        let (password, under) = (password.clone(), salt.clone());
        let derive = move || Verifier::derive(password.reveal(), &under, iterations);
        let verifier = self.store.engines().work.run(derive).await;
        let verifier = verifier
            .map_err(|busy| AdminError::Unavailable(busy.to_string()))?
            .map_err(|why| AdminError::invalid(why.to_string(), "choose another password"))?;
        let (stored_key, server_key) = verifier.parts();
        let own = rows::Verifier {
            label: OWN_PASSWORD.to_owned(),
            set: self.store.engines().index.now(),
            stored_key: *stored_key,
            server_key: *server_key,
        };
        let verifiers = std::iter::once(own).chain(others).collect();
        Ok(Credentials { salt, iterations, verifiers, imported: Vec::new() })
    }
}

/// Aliases that lead to an account that was to be removed.
fn in_the_way(aliases: &[String]) -> AdminError {
    const TOLD: usize = 5;
    let some: Vec<&str> = aliases.iter().take(TOLD).map(String::as_str).collect();
    let more = if aliases.len() > TOLD { ", …" } else { "" };
    let some = some.join(", ");
    let problem = match aliases.len() {
        1 => format!("1 alias leads to it: {some}"),
        many => format!("{many} aliases lead to it: {some}{more}"),
    };
    AdminError::invalid(
        problem,
        "lead them elsewhere first, or use --force: they lose it, and go if they led only there",
    )
}

/// Whether an address is an account's, a detail of one too.
fn is_of(entry: &Entry, address: &Address) -> bool {
    let base = address.without_detail();
    entry.row.addresses.iter().any(|own| own == address || base.as_ref() == Some(own))
}

fn summary(address: &Address, entry: &Entry) -> AccountSummary {
    AccountSummary {
        address: address.to_string(),
        id: entry.id.to_string(),
        name: entry.row.name.clone(),
        disabled: entry.row.disabled,
    }
}

/// The account with exactly this address.
pub(super) async fn find(
    directory: &Directory,
    name: &str,
) -> Result<(Address, Entry), AdminError> {
    let address = address(name)?;
    let missing = || AdminError::NotFound { what: "account", name: address.to_string() };
    match directory.address(&address).await?.as_deref() {
        Some(AddressRow::Account(id)) => {
            let entry = directory.account(*id).await?.ok_or_else(missing)?;
            Ok((address.clone(), entry))
        }
        Some(_) => Err(AdminError::invalid(
            format!("{address} is an alias, not an account"),
            "`postroad alias list` shows where it leads",
        )),
        None => Err(missing()),
    }
}
