//! `postroad demo`: a whole office on this machine, to try it.
//!
//! It writes an ordinary configuration and makes ordinary accounts; then it is `serve`. Nothing
//! anywhere asks "is this the demo?": being friendly to loopback is settings in that file.

mod text;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use engine::Random;
use proto::sasl::Password;
use store::Store;

use crate::admin::{Admin, AdminError, NewAccount};
use crate::cli::{line, to_stderr};
use crate::config::Config;
use crate::failure::Failure;

/// The demo's domain (RFC 2606: nobody's for ever).
const DOMAIN: &str = "example.test";
/// Its accounts; the first administers it.
const ACCOUNTS: [(&str, &str); 3] = [("admin", "Admin"), ("alice", "Alice"), ("bob", "Bob")];
/// Who reads what every domain must take (RFC 2142, RFC 5321 §4.5.1).
const ALIASES: [&str; 2] = ["postmaster", "abuse"];

/// Where the demo listens unless told otherwise.
const LISTENERS: [(&str, u16); 6] = [
    ("smtp", 2525),
    ("submission", 2587),
    ("submissions", 2465),
    ("imap", 2143),
    ("imaps", 2993),
    ("http", 2080),
];

/// Command line of `postroad demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Folder for the configuration and the mail; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "./postroad-demo")]
    data: PathBuf,
    /// Password of all three accounts, set at every start; without it, passwords are made and
    /// printed once
    #[arg(long, value_name = "PW")]
    password: Option<String>,
    /// Which ports: `fixed` as in the configuration, `os` free ones
    #[arg(long, value_enum, default_value_t = Ports::Fixed)]
    ports: Ports,
    /// Listen elsewhere: NAME=HOST:PORT, as often as needed
    #[arg(long, value_name = "NAME=HOST:PORT", value_parser = listen)]
    listen: Vec<(String, SocketAddr)>,
    /// Send mail for a domain to this server: DOMAIN=HOST:PORT, as often as needed; written into
    /// the configuration. Other domains stay refused
    #[arg(long, value_name = "DOMAIN=HOST:PORT", value_parser = route)]
    route: Vec<(String, String)>,
    /// When ready, print only one line of JSON with the address of every listener
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ports {
    Fixed,
    Os,
}

fn listen(text: &str) -> Result<(String, SocketAddr), String> {
    let names = LISTENERS.map(|(name, _)| name).join(", ");
    let wrong = || format!("write NAME=HOST:PORT, like smtp=127.0.0.1:2525; names: {names}");
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    if !LISTENERS.iter().any(|(known, _)| *known == name) {
        return Err(wrong());
    }
    // A host name is looked up once, here; the first of its addresses is taken.
    let address = address.to_socket_addrs().ok().and_then(|mut all| all.next());
    Ok((name.to_owned(), address.ok_or_else(wrong)?))
}

fn route(text: &str) -> Result<(String, String), String> {
    let wrong = || "write DOMAIN=HOST:PORT, like example.org=127.0.0.1:2600".to_owned();
    let (domain, host) = text.split_once('=').ok_or_else(wrong)?;
    let domain = mail::Domain::parse(domain).map_err(|_| wrong())?;
    if crate::serve::host_and_port(host).is_none() {
        return Err(wrong());
    }
    Ok((domain.as_str().to_owned(), host.to_owned()))
}

/// Writes the configuration if there is none yet, and runs it until told to end.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let file = args.data.join("postroad.toml");
    if !file.exists() {
        write_config(&file, &args.listen)?;
    }
    let mut config = Config::load(&file)?;
    if add_routes(&file, &config, &args.route)? {
        config = Config::load(&file)?;
    }
    listen_elsewhere(&mut config, args);
    for (domain, host) in &args.route {
        // Where the file names another host for the domain, the file stays as it is.
        let section = config.routes.entry(domain.clone()).or_default();
        section.hosts = vec![host.clone()];
    }
    crate::events::start(&config.log)?;
    let iterations = config.login.iterations;
    let prepare = async |store: &Store| {
        let admin = Admin::new(store.clone(), iterations);
        let made = accounts(&admin, args.password.as_deref(), &*store.engines().random).await?;
        if !made.is_empty() {
            // To people, however the addresses are told; this is the only time.
            to_stderr(&text::passwords(&made));
        }
        Ok(())
    };
    crate::serve::run(&config, prepare, |started| {
        if args.json {
            return line(&started.to_json());
        }
        line(&text::welcome(started, &args.data))
    })
}

/// Takes the ports that this start was asked for; the file stays as it is.
fn listen_elsewhere(config: &mut Config, args: &DemoArgs) {
    for (name, section) in &mut config.listeners {
        if args.ports == Ports::Os {
            section.address.iter_mut().for_each(|address| address.set_port(0));
        }
        let told = args.listen.iter().rev().find(|(other, _)| other == name);
        if let Some((_, address)) = told {
            section.address = vec![*address];
        }
    }
}

fn write_config(file: &Path, listen: &[(String, SocketAddr)]) -> Result<(), Failure> {
    let told: BTreeMap<_, _> =
        listen.iter().map(|(name, address)| (name.as_str(), *address)).collect();
    let listeners = LISTENERS.map(|(name, port)| {
        let address = told.get(name).copied();
        (name, address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port))))
    });
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(|why| cannot_write(file, &why))?;
    }
    replace(file, &text::config(&listeners))
}

/// Adds routes that the configuration does not have, so that whoever administers the office sees
/// them too; whether there were any.
fn add_routes(file: &Path, config: &Config, routes: &[(String, String)]) -> Result<bool, Failure> {
    let new: BTreeMap<_, _> =
        routes.iter().filter(|(domain, _)| !config.routes.contains_key(domain)).cloned().collect();
    if new.is_empty() {
        return Ok(false);
    }
    let before = std::fs::read_to_string(file).map_err(|why| cannot_write(file, &why))?;
    replace(file, &(before + &text::routes(&new)))?;
    Ok(true)
}

fn cannot_write(file: &Path, why: &std::io::Error) -> Failure {
    let error = format!("cannot write {}: {why}", file.display());
    Failure::new(error, "name a folder that you may write to with --data")
}

fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    let cannot = |why: std::io::Error| cannot_write(file, &why);
    // Whole or not at all: a start that is cut short leaves no half file.
    let temporary = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut new = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&temporary)
        .map_err(cannot)?;
    new.write_all(text.as_bytes()).map_err(cannot)?;
    new.sync_all().map_err(cannot)?;
    std::fs::rename(&temporary, file).map_err(cannot)
}

/// Makes the domain, accounts and aliases that are not there; returns the passwords it made up.
async fn accounts(
    admin: &Admin,
    password: Option<&str>,
    random: &(dyn Random + 'static),
) -> Result<Vec<(String, String)>, Failure> {
    done_or_there(admin.add_domain(DOMAIN).await)?;
    let mut made = Vec::new();
    for (n, (local, name)) in ACCOUNTS.into_iter().enumerate() {
        let address = format!("{local}@{DOMAIN}");
        let text = password.map_or_else(|| made_up(random), str::to_owned);
        let new = NewAccount {
            address: address.clone(),
            name: name.to_owned(),
            password: Password::new(text.clone()),
            quota_bytes: None,
            admin: n == 0,
        };
        match admin.add_account(new).await {
            Ok(_) if password.is_none() => made.push((address, text)),
            Ok(_) => {}
            Err(AdminError::Exists { .. }) if password.is_some() => {
                admin.set_password(&address, &Password::new(text)).await?;
            }
            Err(AdminError::Exists { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    let reader = format!("{}@{DOMAIN}", ACCOUNTS[0].0);
    for local in ALIASES {
        let alias = format!("{local}@{DOMAIN}");
        done_or_there(admin.add_alias(&alias, std::slice::from_ref(&reader)).await)?;
    }
    Ok(made)
}

fn done_or_there<T>(done: Result<T, AdminError>) -> Result<(), AdminError> {
    match done {
        Ok(_) | Err(AdminError::Exists { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

/// A password to be typed by people: 80 bits, no letter that looks like another.
fn made_up(random: &(dyn Random + 'static)) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    let letters: Vec<char> = random.bytes::<16>().iter().map(letter).collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_a_good_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("demo/postroad.toml");
        let smtp = ("smtp".to_owned(), "127.0.0.1:3525".parse().unwrap());
        write_config(&file, &[smtp]).unwrap();
        let config = Config::load(&file).unwrap();
        assert_eq!(config.store.directory, dir.path().join("demo/store"));
        let listening = config.listening();
        assert_eq!(listening.len(), LISTENERS.len());
        assert!(listening.iter().all(|(_, listener)| listener.address.ip().is_loopback()));
        assert!(listening.iter().any(|(_, listener)| listener.address.port() == 3525));
    }

    #[test]
    fn routes_are_named_strictly() {
        let (domain, host) = route("Example.ORG=localhost:2600").unwrap();
        assert_eq!((domain.as_str(), host.as_str()), ("example.org", "localhost:2600"));
        for wrong in ["example.org", "=127.0.0.1:25", "example.org=127.0.0.1", "a b=127.0.0.1:25"] {
            assert!(route(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn routes_are_written_once_and_nobody_s_are_written_over() {
        let kept = tempfile::tempdir().unwrap();
        let file = kept.path().join("postroad.toml");
        write_config(&file, &[]).unwrap();
        let route = |host: &str| [("far.test".to_owned(), host.to_owned())];
        let add = |host| {
            let config = Config::load(&file).unwrap();
            add_routes(&file, &config, &route(host)).unwrap()
        };
        assert!(add("127.0.0.1:2600") && !add("127.0.0.1:2600") && !add("127.0.0.1:2700"));
        let config = Config::load(&file).unwrap();
        assert_eq!(config.routes["far.test"].hosts, ["127.0.0.1:2600"]);
    }

    #[test]
    fn listeners_are_named_strictly() {
        assert!(listen("smtp=127.0.0.1:25").is_ok());
        assert!(listen("imaps=[::1]:993").is_ok());
        let (_, address) = listen("smtp=localhost:2525").unwrap();
        assert!(address.ip().is_loopback() && address.port() == 2525);
        for wrong in ["smtp", "pop3=127.0.0.1:110", "smtp=127.0.0.1", "smtp=127.0.0.1:x"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
