//! The configuration: one TOML file, one tree of structs whose doc comments and defaults are the
//! documentation (`docs/configuration.md`, `postroad config example`).
//!
//! Unknown keys are refused, all mistakes are told at once with their places and what to do.
//! Environment variables `POSTROAD_SECTION__KEY` override the file. Secrets never stand here.

mod check;
mod document;
mod mistakes;
mod policy;
mod schema;
mod tree;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use functions::relay::Options as Relay;
use net::acme::AcmeOptions;
use net::dns::DnsOptions;
use net::{Network, Roots, TlsError};
use schema::{Node as _, section};
use store::{Reporting, Timing, Upkeep};

pub use document::{example, markdown};
pub use mistakes::{Mistake, Mistakes, Origin};
pub use policy::{BlocklistSection, GreylistSection, PolicySection, ReportsSection, SpamSection};
pub(crate) use values::parse_time;
pub use values::{
    BlockAction, ByteSize, CheckAction, FailureAction, LogFormat, Protocol, Role, RouteTls, Tls,
};

/// Name of the listener that an authority of certificates looks at.
pub(crate) const ACME: &str = "acme";

/// Largest configuration file read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

section! {
    /// The whole configuration.
    pub struct Config {
        /// Who this office is, and what this process does in it.
        pub office: Office = Office::default(),
        /// Where and how mail is kept. Several processes may share a store.
        pub store: StoreSection = StoreSection::default(),
        /// Certificates. SIGHUP reads them again.
        pub tls: TlsSection = TlsSection::default(),
        /// Getting certificates from an authority, and keeping them valid (RFC 8555).
        pub acme: AcmeSection = AcmeSection::default(),
        /// Where clients connect. The names `smtp`, `submission`, `submissions`, `imap`, `imaps`,
        /// `http`, `https` and `acme` imply a protocol and when TLS begins; any other name must tell
        /// both.
        /// A listener is opened if the process has the role of its protocol.
        pub listeners: BTreeMap<String, ListenerSection> = BTreeMap::new(),
        /// Bounds on clients and messages.
        pub limits: LimitsSection = LimitsSection::default(),
        /// How guessing passwords is made slow.
        pub login: LoginSection = LoginSection::default(),
        /// Receiving mail from other servers.
        pub smtp: SmtpSection = SmtpSection::default(),
        /// Taking mail from users.
        pub submission: SubmissionSection = SubmissionSection::default(),
        /// Checks of mail from other servers. What they find stands in Authentication-Results. All
        /// off: no question is asked of DNS.
        pub policy: PolicySection = PolicySection::default(),
        /// DNS blocklists. Who is on one can still write to postmaster and abuse.
        pub blocklists: BTreeMap<String, BlocklistSection> = BTreeMap::new(),
        /// Greylisting: mail from who is not known is taken when it comes again. Kept in memory.
        pub greylist: GreylistSection = GreylistSection::default(),
        /// Spam filters beside this server, asked about every message from outside: rspamd by HTTP, or
        /// any that speaks the milter protocol. When rspamd does not answer, mail is taken without it.
        pub spam: SpamSection = SpamSection::default(),
        /// Reports to other domains: how mail in their name fared here (DMARC), and how TLS to their
        /// servers went (TLS-RPT). Only to those who ask for them in DNS, once a day, by mail without
        /// a sender. None are made where mail cannot leave.
        pub reports: ReportsSection = ReportsSection::default(),
        /// Sending mail to other servers.
        pub relay: RelaySection = RelaySection::default(),
        /// Where mail for a domain goes instead of to its mail exchangers; `"*"` is for all that have
        /// no route of their own: a smarthost.
        pub routes: BTreeMap<String, RouteSection> = BTreeMap::new(),
        /// Our addresses for outgoing mail, by name. Without any, the system chooses one.
        pub egresses: BTreeMap<String, EgressSection> = BTreeMap::new(),
        /// Showing mail to users.
        pub imap: ImapSection = ImapSection::default(),
        /// Asking the domain name system.
        pub dns: DnsSection = DnsSection::default(),
        /// When background work happens.
        pub timing: TimingSection = TimingSection::default(),
        /// When `maintain` finds a mailbox worth its work.
        pub upkeep: UpkeepSection = UpkeepSection::default(),
        /// What is written to stderr.
        pub log: LogSection = LogSection::default(),
    }
}

section! {
    /// Who this office is, and what this process does in it.
    pub struct Office {
        /// Name of the region: in rows, events and metrics. Lower-case letters, digits and hyphens.
        /// It must never change, and all processes of a store must use the same.
        pub region: String = "home".to_owned(),
        /// Name of this server, as it greets and as it stands in trace headers. Without one, the
        /// system's host name is used.
        pub hostname: Option<String> = None,
        /// Name of this process among those of the region, in events. Without one, the host name.
        pub edge: Option<String> = None,
        /// Domain whose postmaster reads what is sent to plain `postmaster`. Without one, the host
        /// name without its first label.
        pub postmaster: Option<String> = None,
        /// What this process does.
        pub roles: Vec<Role> = Role::ALL.to_vec(),
    }
}

section! {
    /// Where and how mail is kept. Several processes may share a store.
    pub struct StoreSection {
        /// Folder of the store. Made if it is not there.
        pub directory: PathBuf = PathBuf::from("/var/lib/postroad"),
        /// Share of the disk, in percent, below which no mail is accepted.
        pub free_percent_min: u64 = 5,
        /// Memory for the state of open mailboxes.
        pub accounts_memory: ByteSize = ByteSize(64 << 20),
        /// Memory for bodies read lately.
        pub bodies_memory: ByteSize = ByteSize(32 << 20),
        /// Memory for messages being received; more senders wait.
        pub receiving_memory: ByteSize = ByteSize(256 << 20),
    }
}

section! {
    /// Certificates. SIGHUP reads them again.
    pub struct TlsSection {
        /// Folder for the self-signed certificate that is made when no other is named. Without one,
        /// the store's folder.
        pub directory: Option<PathBuf> = None,
        /// Host names the self-signed certificate is for. Without any, the server's own name.
        pub names: Vec<String> = Vec::new(),
        /// PEM file with the authorities by which other servers are verified, instead of the public
        /// ones.
        pub authorities: Option<PathBuf> = None,
        /// Real certificates; the name a client asks for chooses among them.
        pub certificates: BTreeMap<String, CertificateSection> = BTreeMap::new(),
    }
}

section! {
    /// One certificate, `[tls.certificates.NAME]`. The name is for you.
    pub struct CertificateSection {
        /// PEM file with the chain, the server's own certificate first.
        pub chain: Option<PathBuf> = None,
        /// PEM file with its private key.
        pub key: Option<PathBuf> = None,
    }
}

section! {
    /// Getting certificates from an authority, and keeping them valid (RFC 8555). The authority looks
    /// at port 80 of each name: `[listeners.acme]` must be reached there, and shows nothing else. The
    /// certificate is kept in `tls.directory`; until there is one, a self-signed one is used.
    pub struct AcmeSection {
        /// Directory of the authority, such as `https://acme-v02.api.letsencrypt.org/directory`.
        /// Naming it is agreeing to its terms of service. Without one, nothing is asked for.
        pub directory: Option<String> = None,
        /// Where the authority may write to, such as `mailto:postmaster@example.org`.
        pub contact: Vec<String> = Vec::new(),
        /// Host names of the certificate. Without any, `tls.names`, or the server's own name.
        pub names: Vec<String> = Vec::new(),
        /// PEM file with the authorities by which the directory itself is verified, instead of the
        /// public ones.
        pub authorities: Option<PathBuf> = None,
    }
}

section! {
    /// One listener, `[listeners.NAME]`.
    pub struct ListenerSection {
        /// Where: one address or several. Port 0 takes a free one. `[::]` is IPv6 only.
        pub address: Vec<SocketAddr> = Vec::new(),
        /// What is spoken. Implied by the known names.
        pub protocol: Option<Protocol> = None,
        /// When TLS begins. Implied by the known names.
        pub tls: Option<Tls> = None,
        /// Networks of proxies whose connections begin with a PROXY protocol v2 header, always.
        pub proxies: Vec<Network> = Vec::new(),
    }
}

section! {
    /// Bounds on clients and messages.
    pub struct LimitsSection {
        /// Largest message.
        pub message_size_max: ByteSize = ByteSize(50 << 20),
        /// Mail that an account may keep where nothing else is set for it. Without it, any amount.
        pub quota: Option<ByteSize> = None,
        /// Connections open at once.
        pub connections_max: usize = 10_000,
        /// Connections open at once from one address (IPv6: one /64).
        pub connections_per_address_max: usize = 100,
        /// New connections from one address (IPv6: one /64) in a minute.
        pub connections_per_minute_max: usize = 300,
        /// Networks that only `connections_max` bounds, and whose failed logins cost nothing.
        pub trusted: Vec<Network> = Vec::new(),
        /// Longest TLS handshake.
        pub handshake: Duration = Duration::from_secs(15),
        /// Time over which the speed of arriving content is measured.
        pub content_window: Duration = Duration::from_secs(120),
        /// A client that sends less than this in such a time is cut off.
        pub content_min: ByteSize = ByteSize(6 << 10),
        /// A client that takes nothing of what it is sent for so long is cut off.
        pub write_stall: Duration = Duration::from_secs(60),
        /// How long a stopping process waits for its connections.
        pub drain: Duration = Duration::from_secs(30),
    }
}

section! {
    /// How guessing passwords is made slow.
    pub struct LoginSection {
        /// Wrong passwords from one address (IPv6: one /64) that cost nothing.
        pub free: u32 = 3,
        /// Wait after the next wrong one; it doubles with each more.
        pub delay: Duration = Duration::from_millis(500),
        /// Longest such wait.
        pub delay_max: Duration = Duration::from_secs(8),
        /// After so many an address is refused for a while.
        pub refuse_after: u32 = 60,
        /// After so many for one account, from anywhere, addresses unknown to it wait longest.
        pub account_failures_max: u32 = 100,
        /// In this time all these counts halve.
        pub half_life: Duration = Duration::from_secs(15 * 60),
        /// Rounds of PBKDF2 in new passwords' verifiers (RFC 7677: 4,096 at least).
        pub iterations: u32 = 10_000,
    }
}

section! {
    /// Receiving mail from other servers.
    pub struct SmtpSection {
        /// Recipients of one message.
        pub recipients_max: usize = 1_000,
        /// Messages in one connection.
        pub messages_max: u32 = 10_000,
        /// Refused commands after which a client is cut off.
        pub errors_max: u32 = 100,
        /// Wait before the greeting; who talks meanwhile is no mail server.
        pub greeting_pause: Duration = Duration::ZERO,
        /// A command must be complete so long after the last reply (RFC 5321: 5 minutes).
        pub command: Duration = Duration::from_secs(5 * 60),
        /// Longest connection.
        pub session: Duration = Duration::from_secs(60 * 60),
    }
}

section! {
    /// Taking mail from users.
    pub struct SubmissionSection {
        /// Recipients of one message.
        pub recipients_max: usize = 1_000,
        /// Messages in one connection.
        pub messages_max: u32 = 10_000,
        /// Refused commands after which a client is cut off.
        pub errors_max: u32 = 100,
        /// A command must be complete so long after the last reply (RFC 5321: 5 minutes).
        pub command: Duration = Duration::from_secs(5 * 60),
        /// Longest connection.
        pub session: Duration = Duration::from_secs(60 * 60),
        /// Sign mail with the keys of its domain (DKIM).
        pub sign: bool = true,
        /// Do not tell recipients where the sender was: address and name of the client.
        pub hide_client: bool = false,
        /// Messages that an account may send in a day (UTC); 0: any number. Each process tells the
        /// others at most once a minute, so a minute's more may pass.
        pub messages_per_day: u64 = 5_000,
        /// Recipients that an account may send to in a day (UTC); 0: any number.
        pub recipients_per_day: u64 = 10_000,
    }
}

section! {
    /// Sending mail to other servers.
    pub struct RelaySection {
        /// Whether mail goes to the mail exchangers of its domain. Without it, only to domains with a
        /// route.
        pub mx: bool = true,
        /// Whether mail of our own domains leaves only through egresses that their SPF passes, if any
        /// does. Asks DNS where there are several egresses.
        pub spf: bool = true,
        /// Networks that a mail exchanger may be in besides the public internet.
        pub networks: Vec<Network> = Vec::new(),
        /// How long a message is tried; then its sender gets it back.
        pub lifetime: Duration = Relay::default().lifetime,
        /// After this time its sender is told that it is late.
        pub warn_after: Duration = Relay::default().warn_after,
        /// Wait after the first failure; it doubles with each more.
        pub retry: Duration = Relay::default().retry_min,
        /// Longest such wait.
        pub retry_max: Duration = Relay::default().retry_max,
        /// Connections to other servers open at once.
        pub connections_max: usize = Relay::default().connections_max,
        /// Connections to one domain open at once.
        pub per_destination_max: usize = Relay::default().per_destination_max,
        /// Messages a minute to one domain; a tenth of them may go at once. 0: as fast as it takes
        /// them.
        pub rate: u32 = 0,
        /// Messages over one connection.
        pub messages_max: u32 = Relay::default().messages_max,
        /// File with rules of your own about what refusals mean, before those that come with the
        /// program (docs/refusals.md).
        pub refusals: Option<PathBuf> = None,
        /// How long a message that is being sent is left to the process that began it. If that process
        /// dies, the message is sent anew at once where that can be known (embedded storage); else it
        /// waits as long.
        pub lease: Duration = Relay::default().lease,
        /// How much of that must be left when the message's last byte is sent: the other side may take
        /// that long to answer (RFC 5321: 10 minutes).
        pub margin: Duration = Relay::default().dot_margin,
        /// How long destinations are left to the process that sends to them.
        pub shard_lease: Duration = Relay::default().shard_lease,
        /// How often what no event announced is looked for.
        pub poll: Duration = Relay::default().poll,
    }
}

section! {
    /// One route, `[routes."DOMAIN"]`.
    pub struct RouteSection {
        /// Hosts, `NAME:PORT` or `ADDRESS:PORT`, tried in this order.
        pub hosts: Vec<String> = Vec::new(),
        /// What TLS must be.
        pub tls: RouteTls = RouteTls::Opportunistic,
        /// User name to log in with.
        pub user: Option<String> = None,
        /// File with the password, on its first line.
        pub password_file: Option<PathBuf> = None,
        /// Messages a minute to each domain that goes this way, instead of `relay.rate`. 0: as fast as
        /// they are taken.
        pub rate: Option<u32> = None,
    }
}

section! {
    /// One egress, `[egresses.NAME]`. They are used in the order of their names.
    pub struct EgressSection {
        /// Source address: one of this machine's. Without one, the system chooses.
        pub address: Option<IpAddr> = None,
        /// Its address as others see it, where that is another: behind a translator of addresses. What
        /// SPF says of it decides whether mail of our own domains leaves through it.
        pub public: Option<IpAddr> = None,
        /// What it says in EHLO: a host name that leads to the address as others see it. Without one,
        /// `office.hostname`.
        pub hello: Option<String> = None,
        /// Name of the network it is in: egresses of one network are refused together. Without one,
        /// its /24 (IPv6: its /48).
        pub network: Option<String> = None,
    }
}

section! {
    /// Showing mail to users.
    pub struct ImapSection {
        /// A client that says nothing for so long is logged out (RFC 9051: 30 minutes at least).
        pub idle: Duration = Duration::from_secs(30 * 60),
        /// A client must be logged in so soon.
        pub login: Duration = Duration::from_secs(2 * 60),
        /// Longest search.
        pub search: Duration = Duration::from_secs(5 * 60),
    }
}

section! {
    /// Asking the domain name system.
    pub struct DnsSection {
        /// Resolvers, `ADDRESS:PORT`, asked in this order. Without any, those of the system.
        pub servers: Vec<SocketAddr> = Vec::new(),
        /// Time for one answer.
        pub timeout: Duration = Duration::from_secs(5),
        /// How often each resolver is asked before the answer is given up.
        pub attempts: u32 = 2,
        /// Whether the resolvers named here validate DNSSEC and are believed to: DANE needs it. They
        /// must be on this machine, or reached over a network that nobody else can change.
        pub validates: bool = false,
    }
}

section! {
    /// When background work happens.
    pub struct TimingSection {
        /// How often what no event announced is looked for.
        pub sweep: Duration = Timing::default().sweep,
        /// How old what is known of an account's existence may be.
        pub directory_fresh: Duration = Timing::default().directory_fresh,
        /// How long deleted mail can be brought back.
        pub restore_window: Duration = Timing::default().restore_window,
        /// For how long what a backup may still want is kept.
        pub backup_interval: Duration = Timing::default().backup_interval,
        /// How soon mail that could not be put into its mailbox is tried again.
        pub retry: Duration = Timing::default().item_retry,
        /// How long delivering a segment is left to the process that began it.
        pub lease: Duration = Timing::default().claim_lease,
        /// How often `maintain` looks for mailboxes that ask for it.
        pub maintain: Duration = Timing::default().maintain_poll,
        /// How often `maintain` looks at everything.
        pub audit: Duration = Timing::default().audit,
        /// After this time a process puts accepted mail under a new writer's name.
        pub writer_life: Duration = Timing::default().writer_life,
        /// How long a sender waits for an answer while its message becomes durable.
        pub commit: Duration = Timing::default().commit_patience,
    }
}

section! {
    /// When `maintain` finds a mailbox worth its work.
    pub struct UpkeepSection {
        /// Changes of a mailbox after which its state is written as a checkpoint; 1 to 64.
        pub checkpoint_entries: u64 = Upkeep::default().checkpoint_entries,
        /// Messages of an account that lie between others' after which they are put together.
        pub compact_messages: u64 = Upkeep::default().compact_records,
        /// Bytes of them after which they are put together.
        pub compact_size: ByteSize = ByteSize(Upkeep::default().compact_bytes),
        /// After this time they are put together however few they are.
        pub compact_after: Duration = Timing::default().compact_after,
    }
}

section! {
    /// What is written to stderr.
    pub struct LogSection {
        /// Which events: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
        /// `info,net=debug`.
        pub level: String = "info".to_owned(),
        /// In which form.
        pub format: LogFormat = LogFormat::Auto,
    }
}

/// A configuration could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not right.
    #[error("{0}")]
    Mistakes(#[from] Mistakes),
}

impl ConfigError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => {
                "name the file with --config, or begin with `postroad demo` or `postroad config example`"
            }
            Self::Mistakes(_) => "`postroad config example` shows every key",
        }
    }
}

impl Config {
    /// Reads a file; the process's environment overrides it.
    /// # Errors
    /// [`ConfigError`], with all mistakes at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = |source| ConfigError::File { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(file)?.len() > FILE_BYTES_MAX {
            return Err(file(std::io::Error::other("larger than 1 MiB")));
        }
        let text = std::fs::read_to_string(path).map_err(file)?;
        let base = std::path::absolute(path).map_err(file)?;
        let base = base.parent().unwrap_or(Path::new("/"));
        let name = path.display().to_string();
        Ok(Self::parse(&text, &name, base, std::env::vars_os())?)
    }

    /// Reads a configuration's text. `name` is the file's, for mistakes; relative paths begin at
    /// `base`.
    /// # Errors
    /// All mistakes at once.
    pub fn parse(
        text: &str,
        name: &str,
        base: &Path,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes { file: name.to_owned(), list: Vec::new() };
        let mut tree = tree::parse(text, &mut mistakes);
        let broken = !mistakes.list.is_empty();
        tree::overlay(&mut tree, environment, &mut mistakes);
        let mut config = Self::default();
        config.read(&tree, "", &mut mistakes);
        // What could not be read may only seem to be missing.
        if !broken {
            check::complete(&mut config, &tree, base, &mut mistakes);
        }
        if mistakes.list.is_empty() {
            return Ok(config);
        }
        mistakes.list.sort();
        mistakes.list.dedup();
        Err(mistakes)
    }

    /// Whether this process has `role`.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.office.roles.contains(&role)
    }

    /// This server's name.
    #[must_use]
    pub fn hostname(&self) -> String {
        self.office.hostname.clone().unwrap_or_else(system_hostname)
    }

    /// The domain of plain `postmaster`.
    #[must_use]
    pub fn postmaster(&self) -> String {
        let hostname = self.hostname();
        let parent = hostname.split_once('.').filter(|(_, parent)| parent.contains('.'));
        let parent = parent.map_or(hostname.as_str(), |(_, parent)| parent);
        self.office.postmaster.clone().unwrap_or_else(|| parent.to_owned())
    }

    /// Who writes reports to other domains; `None`: it is no address.
    #[must_use]
    pub fn reporter(&self) -> Option<mail::Address> {
        let usual = || format!("postmaster@{}", self.postmaster());
        mail::Address::parse(&self.reports.from.clone().unwrap_or_else(usual)).ok()
    }

    /// What is counted for reports: nothing that nobody would be sent.
    #[must_use]
    pub fn reporting(&self) -> Reporting {
        let reports = &self.reports;
        let leaves = self.relay.mx || self.routes.contains_key("*");
        Reporting {
            dmarc: reports.dmarc && (leaves || !self.routes.is_empty()),
            tls: reports.tls && leaves,
            interval: reports.interval,
        }
    }

    /// This process's name among those of the region.
    #[must_use]
    pub fn edge(&self) -> String {
        self.office.edge.clone().unwrap_or_else(|| self.hostname())
    }

    /// The listeners of this process's roles, by name, each with its addresses.
    #[must_use]
    pub fn listening(&self) -> Vec<(String, net::Listener)> {
        let mut listening = Vec::new();
        for (name, section) in &self.listeners {
            let Some((protocol, tls)) = section.kind(name) else { continue };
            if !self.has(protocol.role()) {
                continue;
            }
            for address in &section.address {
                let listener = net::Listener {
                    protocol: protocol.net(),
                    address: *address,
                    tls: tls.net(),
                    proxies: section.proxies.clone(),
                };
                listening.push((name.clone(), listener));
            }
        }
        listening
    }

    /// Whether this listener has the pages for everybody.
    #[must_use]
    pub fn is_web(&self, listener: &str) -> bool {
        let kind = self.listeners.get(listener).and_then(|section| section.kind(listener));
        kind.is_some_and(|(protocol, _)| protocol == Protocol::Web)
    }

    /// How the domain name system is asked.
    #[must_use]
    pub fn resolvers(&self) -> DnsOptions {
        DnsOptions {
            servers: self.dns.servers.clone(),
            timeout: self.dns.timeout,
            attempts: self.dns.attempts,
            trust_ad: self.dns.validates,
        }
    }

    /// By which authorities other servers are verified.
    /// # Errors
    /// Their file cannot be used.
    pub fn authorities(&self) -> Result<Roots, TlsError> {
        self.tls.authorities.as_ref().map_or_else(|| Ok(Roots::public()), |path| Roots::read(path))
    }

    /// Where certificates come from.
    #[must_use]
    pub fn certificates(&self) -> net::TlsConfig {
        let files: Vec<_> = self
            .tls
            .certificates
            .values()
            .filter_map(|one| {
                let (chain, key) = one.chain.clone().zip(one.key.clone())?;
                Some(net::CertificateFiles { chain, key })
            })
            .collect();
        if files.is_empty() || self.acme.directory.is_some() {
            let (dir, names) = (self.tls_directory(), self.tls_names());
            return match self.acme() {
                Some(acme) => {
                    net::TlsConfig::Kept { file: acme.certificate(), others: files, dir, names }
                }
                None => net::TlsConfig::SelfSigned { dir, names },
            };
        }
        net::TlsConfig::Files(files)
    }

    /// Which certificate is got from an authority, if any is.
    #[must_use]
    pub fn acme(&self) -> Option<AcmeOptions> {
        let names = &self.acme.names;
        Some(AcmeOptions {
            directory: self.acme.directory.clone()?,
            contact: self.acme.contact.clone(),
            names: if names.is_empty() { self.tls_names() } else { names.clone() },
            folder: self.tls_directory(),
        })
    }

    fn tls_directory(&self) -> PathBuf {
        self.tls.directory.clone().unwrap_or_else(|| self.store.directory.clone())
    }

    fn tls_names(&self) -> Vec<String> {
        let names = self.tls.names.clone();
        if names.is_empty() { vec![self.hostname()] } else { names }
    }
}

impl ListenerSection {
    /// Protocol and TLS, as told or as implied by the name; `None` if neither.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<(Protocol, Tls)> {
        let known = match name {
            "smtp" => Some((Protocol::Smtp, Tls::StartTls)),
            "submission" => Some((Protocol::Submission, Tls::StartTls)),
            "submissions" => Some((Protocol::Submission, Tls::Implicit)),
            "imap" => Some((Protocol::Imap, Tls::StartTls)),
            "imaps" => Some((Protocol::Imap, Tls::Implicit)),
            "http" | ACME => Some((Protocol::Http, Tls::None)),
            "https" => Some((Protocol::Web, Tls::Implicit)),
            _ => None,
        };
        let protocol = self.protocol.or(known.map(|(protocol, _)| protocol))?;
        let tls = self.tls.or(known.map(|(_, tls)| tls))?;
        Some((protocol, tls))
    }
}

impl Protocol {
    /// The role that serves it.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Smtp => Role::Smtp,
            Self::Submission => Role::Submission,
            Self::Imap => Role::Imap,
            Self::Http | Self::Web => Role::Http,
        }
    }

    const fn net(self) -> net::Protocol {
        match self {
            Self::Smtp => net::Protocol::Smtp,
            Self::Submission => net::Protocol::Submission,
            Self::Imap => net::Protocol::Imap,
            Self::Http | Self::Web => net::Protocol::Http,
        }
    }
}

impl Tls {
    const fn net(self) -> net::TlsMode {
        match self {
            Self::None => net::TlsMode::None,
            Self::StartTls => net::TlsMode::StartTls,
            Self::Implicit => net::TlsMode::Implicit,
        }
    }
}

/// The system's host name; `localhost` where it has none.
fn system_hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    if name.is_empty() || name == "(none)" { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
