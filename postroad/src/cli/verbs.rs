//! The commands that administer a store, thin over [`Admin`].

use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp as Moment;
use mail::Address;

use super::{Json, ask, print};
use crate::admin::{Admin, KeyInfo, NewAccount, Quota, txt_line};
use crate::config::{ByteSize, Config};
use crate::failure::Failure;

/// Opens the store and does `work` on it; a running server sees every change at once.
pub(super) fn run<T>(
    config: &Config,
    work: impl AsyncFnOnce(Admin) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = crate::office::open(config)?;
        let admin = Admin::new(store.clone(), config.login.iterations);
        let done = work(admin).await;
        store.engines().tasks.abort();
        done
    })
}

#[derive(Debug, Subcommand)]
pub(super) enum DomainVerb {
    /// Make a domain one of ours
    #[command(after_help = "Example: postroad domain add example.org")]
    Add {
        /// Its name
        domain: String,
    },
    /// List the domains
    #[command(after_help = "Example: postroad domain list --json")]
    List(Json),
    /// Show a domain, what there is in it, and every DNS record it has to publish
    #[command(
        after_help = "Example: postroad domain show example.org --check\n\nThe exit code is 1 if \
        something that is needed is missing or wrong."
    )]
    Show {
        /// Its name
        domain: String,
        /// Look each record up
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        json: Json,
    },
    /// The keys that sign a domain's mail (DKIM)
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Set what a domain asks of others: mta-sts (none, testing, enforce) or dmarc (none,
    /// quarantine, reject); then publish what `show` shows
    #[command(after_help = "Example: postroad domain set example.org mta-sts enforce")]
    Set {
        /// Its name
        domain: String,
        /// mta-sts or dmarc
        policy: String,
        /// How strict
        value: String,
    },
    /// Remove a domain that has no addresses any more
    #[command(after_help = "Example: postroad domain remove example.org")]
    Remove {
        /// Its name
        domain: String,
    },
}

impl DomainVerb {
    /// Whether all that was looked at is well.
    pub(super) async fn run(self, admin: &Admin, config: &Config) -> Result<bool, Failure> {
        match self {
            Self::Show { domain, check, json: Json { json } } => {
                return super::domain::show(admin, config, &domain, check, json).await;
            }
            Self::Add { domain } => {
                let added = admin.add_domain(&domain).await?;
                print::line(&format!(
                    "added {}; `postroad domain show {}` tells what to publish",
                    added.domain, added.domain
                ))
            }
            Self::Keys(verb) => verb.run(admin).await,
            Self::List(Json { json }) => {
                let domains = admin.domains().await?;
                if json {
                    print::json(&domains)
                } else {
                    print::table(["DOMAIN"], domains.into_iter().map(|one| [one.domain]))
                }
            }
            Self::Set { domain, policy, value } => {
                admin.set_domain_policy(&domain, &policy, &value).await?;
                print::line(&format!("set {policy} of {domain} to {value}"))
            }
            Self::Remove { domain } => {
                admin.remove_domain(&domain).await?;
                print::line(&format!("removed {domain}"))
            }
        }?;
        Ok(true)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysVerb {
    /// List the keys and the records to publish
    #[command(after_help = "Example: postroad domain keys list example.org")]
    List {
        /// The domain
        domain: String,
        #[command(flatten)]
        json: Json,
    },
    /// Make new keys; they sign once they are activated, and the old ones stay published
    #[command(after_help = "Example: postroad domain keys rotate example.org --after 2d\n\n\
        Publish the new records first. Remove the old keys, and their records, some days after \
        the new ones sign.")]
    Rotate {
        /// The domain
        domain: String,
        /// Let the new keys sign after this time, like 2d
        #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "activate")]
        after: Option<Duration>,
        /// Let the keys that wait sign from now on
        #[arg(long)]
        activate: bool,
    },
    /// Remove a key that signs no more
    #[command(after_help = "Example: postroad domain keys remove example.org r202601")]
    Remove {
        /// The domain
        domain: String,
        /// The key's selector
        selector: String,
    },
}

impl KeysVerb {
    async fn run(self, admin: &Admin) -> Result<(), Failure> {
        let (keys, json) = match self {
            Self::List { domain, json: Json { json } } => (admin.domain_keys(&domain).await?, json),
            Self::Rotate { domain, activate: true, .. } => {
                (admin.activate_keys(&domain).await?, false)
            }
            Self::Rotate { domain, after, .. } => (admin.rotate_keys(&domain, after).await?, false),
            Self::Remove { domain, selector } => {
                (admin.remove_key(&domain, &selector).await?, false)
            }
        };
        if json {
            return print::json(&keys);
        }
        let row = |one: &KeyInfo| {
            let from = one.from_ms.map(|ms| format!(" until {}", moment(ms))).unwrap_or_default();
            [one.selector.clone(), one.algorithm.to_owned(), format!("{}{from}", one.state)]
        };
        print::table(["SELECTOR", "ALGORITHM", "STATE"], keys.iter().map(row))?;
        print::line("\nTo publish:")?;
        for KeyInfo { name, record, .. } in keys {
            print::line(&txt_line(&name, &record))?;
        }
        Ok(())
    }
}

/// A time with its unit.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    crate::config::parse_time(text).ok_or_else(|| "write a time like 2d or 12h".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum AccountVerb {
    /// Make an account; its password is asked for, or read from standard input
    #[command(after_help = "Example: postroad account add ana@example.org --name \"Ana Ozola\"")]
    Add {
        /// Its address
        address: String,
        /// Name shown to people
        #[arg(long, default_value = "")]
        name: String,
        /// Most mail it may keep, like 5GiB
        #[arg(long, value_name = "SIZE")]
        quota: Option<ByteSize>,
        /// It may administer the office
        #[arg(long)]
        admin: bool,
    },
    /// List the accounts
    #[command(after_help = "Example: postroad account list example.org --json")]
    List {
        /// Of this domain only
        domain: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Show an account
    #[command(after_help = "Example: postroad account show ana@example.org")]
    Show {
        /// Its address
        address: String,
        #[command(flatten)]
        json: Json,
    },
    /// Remove an account: no mail for it is accepted any more, and its mail is erased after 30 days
    #[command(after_help = "Example: postroad account remove ana@example.org")]
    Remove {
        /// Its address
        address: String,
        /// Also take it out of the aliases that lead to it; those that lead only there go
        #[arg(long)]
        force: bool,
    },
    /// Set an account's password: asked for, or read from standard input
    #[command(after_help = "Example: postroad account passwd ana@example.org < secret.txt")]
    Passwd {
        /// Its address
        address: String,
    },
    /// Make an account readable again whose changes cannot be replayed (see `doctor`)
    #[command(
        after_help = "Example: postroad account repair ana@example.org --reason \"disk error of May\""
    )]
    Repair {
        /// Its address
        address: String,
        /// Who does this and why; stays in the account's log
        #[arg(long)]
        reason: String,
    },
    /// Set how much mail an account may keep
    #[command(
        after_help = "Example: postroad account quota ana@example.org 5GiB --messages 100000"
    )]
    Quota {
        /// Its address
        address: String,
        /// Most bytes, like 5GiB, or `none`
        size: String,
        /// Most messages
        #[arg(long)]
        messages: Option<u64>,
    },
}

impl AccountVerb {
    pub(super) async fn run(self, admin: &Admin) -> Result<(), Failure> {
        match self {
            Self::Add { address, name, quota, admin: is_admin } => {
                let password = ask::new_password(&address)?;
                let quota_bytes = quota.map(|size| size.0);
                let new = NewAccount { address, name, password, quota_bytes, admin: is_admin };
                let added = admin.add_account(new).await?;
                print::line(&format!("added {}", added.address))
            }
            Self::List { domain, json: Json { json } } => {
                let accounts = admin.accounts(domain.as_deref()).await?;
                if json {
                    return print::json(&accounts);
                }
                let row = |one: crate::admin::AccountSummary| {
                    [one.address, one.name, if one.disabled { "disabled" } else { "" }.to_owned()]
                };
                print::table(["ADDRESS", "NAME", ""], accounts.into_iter().map(row))
            }
            Self::Show { address, json: Json { json } } => {
                show_account(admin, &address, json).await
            }
            Self::Remove { address, force } => {
                let gone = admin.remove_account(&address, force).await?;
                let mut line = format!("removed {address}");
                if gone.aliases_changed + gone.aliases_removed > 0 {
                    line += &format!(
                        "; taken out of {} aliases, {} more led only there and went",
                        gone.aliases_changed, gone.aliases_removed
                    );
                }
                line += &format!("; its mail is erased after {}", moment(gone.erased_ms));
                print::line(&line)
            }
            Self::Passwd { address } => {
                let password = ask::new_password(&address)?;
                admin.set_password(&address, &password).await?;
                print::line(&format!("changed the password of {address}"))
            }
            Self::Repair { address, reason } => {
                let voided = admin.repair_account(&address, &reason).await?;
                if voided.is_empty() {
                    return print::line(&format!("{address} can be read: nothing to repair"));
                }
                let numbers: Vec<_> = voided.iter().map(ToString::to_string).collect();
                print::line(&format!("voided the changes {} of {address}", numbers.join(" ")))
            }
            Self::Quota { address, size, messages } => {
                let bytes = match size.as_str() {
                    "none" => None,
                    size => Some(bytes(size)?),
                };
                let quota = Quota { bytes: bytes.map(|size| size.0), messages };
                admin.set_quota(&address, quota).await?;
                print::line(&format!("changed the quota of {address}"))
            }
        }
    }
}

async fn show_account(admin: &Admin, address: &str, json: bool) -> Result<(), Failure> {
    let shown = admin.account(address).await?;
    if json {
        return print::json(&shown);
    }
    let bytes = shown.quota.bytes.map_or("no limit".to_owned(), |n| ByteSize(n).to_string());
    let messages = shown.quota.messages.map_or("no limit".to_owned(), |n| n.to_string());
    let used = shown.used.map_or("unknown: see `postroad doctor`".to_owned(), |used| {
        format!("{} bytes in {} messages", used.bytes, used.messages)
    });
    print::fields(&[
        ("id", shown.id),
        ("addresses", shown.addresses.join(" ")),
        ("name", shown.name),
        ("home", shown.home),
        ("disabled", shown.disabled.to_string()),
        ("admin", shown.admin.to_string()),
        ("quota", format!("{bytes}, {messages} of messages")),
        ("used", used),
        ("passwords", shown.passwords.join(" ")),
    ])
}

#[derive(Debug, Subcommand)]
pub(super) enum AliasVerb {
    /// Make an alias; @example.org takes all that is nobody's there. To addresses outside, mail is
    /// forwarded under a sender of ours
    #[command(
        after_help = "Example: postroad alias add sales@example.org ana@example.org bo@far.example"
    )]
    Add {
        /// Its address
        alias: String,
        /// Where it leads
        #[arg(required = true)]
        targets: Vec<String>,
        #[command(flatten)]
        json: Json,
    },
    /// List the aliases
    #[command(after_help = "Example: postroad alias list example.org")]
    List {
        /// Of this domain only
        domain: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Remove an alias
    #[command(after_help = "Example: postroad alias remove sales@example.org")]
    Remove {
        /// Its address
        alias: String,
    },
}

impl AliasVerb {
    pub(super) async fn run(self, admin: &Admin, config: &Config) -> Result<(), Failure> {
        match self {
            Self::Add { alias, targets, json: Json { json } } => {
                let added = admin.add_alias(&alias, &targets).await?;
                if json {
                    return print::json(&added);
                }
                print::line(&format!("added {} -> {}", added.alias, added.targets.join(" ")))?;
                let leaving = crate::serve::leaving(config);
                for outside in &added.outside {
                    let domain = Address::parse(outside).map(|address| address.domain().clone());
                    if !domain.is_ok_and(|domain| leaving.leads_to(&domain)) {
                        print::line(&format!(
                            "no mail is sent to the domain of {outside} yet: set relay.mx, or a route"
                        ))?;
                    }
                }
                Ok(())
            }
            Self::List { domain, json: Json { json } } => {
                let aliases = admin.aliases(domain.as_deref()).await?;
                if json {
                    return print::json(&aliases);
                }
                let rows = aliases.into_iter().map(|one| [one.alias, one.targets.join(" ")]);
                print::table(["ALIAS", "LEADS TO"], rows)
            }
            Self::Remove { alias } => {
                admin.remove_alias(&alias).await?;
                print::line(&format!("removed {alias}"))
            }
        }
    }
}

/// A size with its unit, or plain bytes.
fn bytes(text: &str) -> Result<ByteSize, Failure> {
    let plain = text.parse::<u64>().map(ByteSize);
    plain.or_else(|_| text.parse()).map_err(|why: &str| {
        Failure::new(format!("{text} is {why}"), "or write `none` for no limit")
    })
}

/// Milliseconds since 1970, for people.
pub(super) fn moment(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| Moment::from_millisecond(ms).ok());
    moment
        .map_or_else(|| ms.to_string(), |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
