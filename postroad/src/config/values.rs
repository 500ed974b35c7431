//! Kinds of values: how each is read, shown, and explained to who got it wrong.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use net::Network;

use super::mistakes::Mistakes;
use super::schema::{Entry, Node};
use super::tree::{Tree, Value};

/// A value that is written as one word.
pub(super) trait Scalar: Sized {
    /// What it is, for documentation and mistakes: "a time, like \"30s\"".
    const KIND: &'static str;
    /// Whether it is written without quotes.
    const BARE: bool = false;
    fn from_text(text: &str) -> Option<Self>;
    fn show(&self) -> String;
}

/// `"25MiB"`: a number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// In bytes, for what is kept in memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("ms", 1), ("s", 1_000)];

/// A whole number and one of the units, the longest that fits first.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits =
            SIZES.iter().find(|(_, factor)| self.0.is_multiple_of(*factor) && self.0 >= *factor);
        let (unit, factor) = fits.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl std::str::FromStr for ByteSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        with_unit(text, &SIZES).map(Self).ok_or("not a size: write it like 25MiB")
    }
}

impl Scalar for ByteSize {
    const KIND: &'static str = "a size, like \"25MiB\" (B, KiB, MiB, GiB)";
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

/// A time as it is written everywhere: `30s`, `2d`.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    Duration::from_text(text)
}

impl Scalar for Duration {
    const KIND: &'static str = "a time, like \"30s\" (ms, s, m, h, d)";
    fn from_text(text: &str) -> Option<Self> {
        with_unit(text, &TIMES).map(Self::from_millis)
    }
    fn show(&self) -> String {
        let ms = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
        let fits = units.iter().find(|(_, factor)| ms.is_multiple_of(*factor) && ms >= *factor);
        let (unit, factor) = fits.unwrap_or(&("s", 1_000));
        format!("\"{}{unit}\"", ms / factor)
    }
}

impl Scalar for bool {
    const KIND: &'static str = "true or false";
    const BARE: Self = true;
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Scalar for $type {
            const KIND: &'static str = "a whole number";
            const BARE: bool = true;
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
numbers!(u32, u64, usize);

impl Scalar for String {
    const KIND: &'static str = "text";
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    fn show(&self) -> String {
        toml::Value::String(self.clone()).to_string()
    }
}

impl Scalar for PathBuf {
    const KIND: &'static str = "a path; relative ones begin at the configuration file's folder";
    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }
    fn show(&self) -> String {
        toml::Value::String(self.display().to_string()).to_string()
    }
}

impl Scalar for SocketAddr {
    const KIND: &'static str = "an address with a port, like \"192.0.2.1:25\" or \"[::]:25\"";
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Scalar for IpAddr {
    const KIND: &'static str = "an address, like \"192.0.2.1\" or \"2001:db8::1\"";
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Scalar for Network {
    const KIND: &'static str = "a network, like \"192.0.2.0/24\", \"2001:db8::/32\" or one address";
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

/// An enum of words: its names in the order of its declaration.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }
        $kind:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As written in the configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl Scalar for $name {
            const KIND: &'static str = $kind;
            fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == text)
            }
            fn show(&self) -> String {
                format!("\"{}\"", self.name())
            }
        }
    };
}

words! {
    /// What a process does. Any subset runs in one process; several processes may share a store.
    pub enum Role {
        /// Receives mail from other servers.
        Smtp = "smtp",
        /// Takes mail from its users.
        Submission = "submission",
        /// Shows mail to its users.
        Imap = "imap",
        /// Health, readiness and metrics.
        Http = "http",
        /// Puts what was accepted into mailboxes.
        Deliver = "deliver",
        /// Checkpoints, compacts, deletes what is dead.
        Maintain = "maintain",
        /// Applies the directory's change log.
        Replicate = "replicate",
        /// Sends mail to other servers.
        Relay = "relay",
        /// Tells senders what became of their mail.
        Bounce = "bounce",
    }
    "a role: smtp, submission, imap, http, deliver, maintain, replicate, relay or bounce"
}

words! {
    /// What is spoken at a listener.
    pub enum Protocol {
        /// SMTP from other servers.
        Smtp = "smtp",
        /// Submission by users.
        Submission = "submission",
        /// IMAP.
        Imap = "imap",
        /// HTTP for the operator: health and metrics.
        Http = "http",
        /// HTTP for everybody: what domains publish.
        Web = "web",
    }
    "a protocol: smtp, submission, imap, http or web"
}

words! {
    /// When TLS begins.
    pub enum Tls {
        /// Never.
        None = "none",
        /// When the client asks for it.
        StartTls = "starttls",
        /// With the first byte.
        Implicit = "implicit",
    }
    "one of none, starttls, implicit"
}

words! {
    /// What TLS must be on the way to another server.
    pub enum RouteTls {
        /// None, even if offered.
        None = "none",
        /// Where it is offered, with any certificate.
        Opportunistic = "opportunistic",
        /// STARTTLS with any certificate, or nothing is sent.
        Required = "required",
        /// STARTTLS with a certificate of the host's name, or nothing is sent.
        Verified = "verified",
        /// TLS from the first byte, with a certificate of the host's name.
        Implicit = "implicit",
    }
    "one of none, opportunistic, required, verified, implicit"
}

words! {
    /// How events are written to stderr.
    pub enum LogFormat {
        /// Text on a terminal, JSON otherwise.
        Auto = "auto",
        /// One readable line an event.
        Text = "text",
        /// One JSON object an event.
        Json = "json",
    }
    "one of auto, text, json"
}

words! {
    /// What is done with the result of a check.
    pub enum CheckAction {
        /// The check is not made.
        Off = "off",
        /// Its result is noted in the message, and does nothing.
        Note = "note",
        /// What the domain's owner asks for is done.
        Honour = "honour",
    }
    "one of off, note, honour"
}

words! {
    /// What is done with mail from who is on a blocklist.
    pub enum BlockAction {
        /// It is refused.
        Reject = "reject",
        /// It goes to Junk.
        Junk = "junk",
    }
    "one of reject, junk"
}

words! {
    /// What is done when a filter does not answer.
    pub enum FailureAction {
        /// Mail is taken without it.
        Accept = "accept",
        /// Mail is to come again later.
        Later = "later",
    }
    "one of accept, later"
}

/// Reads one word; a mistake leaves `None`.
fn scalar<T: Scalar>(tree: &Tree, path: &str, mistakes: &mut Mistakes) -> Option<T> {
    let text = match &tree.value {
        Value::Text(text) if !T::BARE => Some(text.as_str()),
        Value::Number(digits) if T::BARE => Some(digits.as_str()),
        Value::Bool(value) if T::BARE => Some(if *value { "true" } else { "false" }),
        Value::Variable(text) => Some(text.trim()),
        _ => None,
    };
    let value = text.and_then(T::from_text);
    if value.is_none() {
        let found = match &tree.value {
            Value::Text(text) | Value::Variable(text) => format!("\"{text}\""),
            Value::Number(digits) => digits.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Table(_) => "a table".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Other => "a value of another kind".to_owned(),
        };
        let fix = format!("write {}", T::KIND);
        mistakes.add(&tree.origin, format!("`{path}` cannot be {found}"), fix);
    }
    value
}

fn entry(path: &str, docs: &[&'static str], kind: String, default: Option<String>) -> Entry {
    Entry { path: path.to_owned(), docs: docs.to_vec(), kind: Some(kind), default }
}

macro_rules! scalar_nodes {
    ($($type:ty),+ $(,)?) => {$(
        impl Node for $type {
            fn read(&mut self, tree: &Tree, path: &str, mistakes: &mut Mistakes) {
                if let Some(value) = scalar(tree, path, mistakes) {
                    *self = value;
                }
            }
            fn describe(&self, path: &str, docs: &[&'static str], out: &mut Vec<Entry>) {
                let kind = <$type as Scalar>::KIND.to_owned();
                out.push(entry(path, docs, kind, Some(self.show())));
            }
        }
    )+};
}
scalar_nodes!(
    bool,
    u32,
    u64,
    usize,
    String,
    PathBuf,
    Duration,
    ByteSize,
    SocketAddr,
    IpAddr,
    Network,
    Role,
    RouteTls,
    Protocol,
    Tls,
    LogFormat,
    CheckAction,
    BlockAction,
    FailureAction
);

impl<T: Scalar> Node for Option<T> {
    fn read(&mut self, tree: &Tree, path: &str, mistakes: &mut Mistakes) {
        if let Some(value) = scalar(tree, path, mistakes) {
            *self = Some(value);
        }
    }

    fn describe(&self, path: &str, docs: &[&'static str], out: &mut Vec<Entry>) {
        let default = self.as_ref().map(Scalar::show);
        out.push(entry(path, docs, T::KIND.to_owned(), default));
    }
}

/// A list; one value may stand for a list of one, and a variable holds them between commas.
impl<T: Scalar> Node for Vec<T> {
    fn read(&mut self, tree: &Tree, path: &str, mistakes: &mut Mistakes) {
        let one: Vec<Tree>;
        let words: &[Tree] = match &tree.value {
            Value::List(list) => list,
            Value::Variable(text) => {
                let word = |word: &str| Tree {
                    value: Value::Variable(word.to_owned()),
                    origin: tree.origin.clone(),
                };
                one = text.split(',').filter(|word| !word.trim().is_empty()).map(word).collect();
                &one
            }
            _ => std::slice::from_ref(tree),
        };
        *self = words.iter().filter_map(|word| scalar(word, path, mistakes)).collect();
    }

    fn describe(&self, path: &str, docs: &[&'static str], out: &mut Vec<Entry>) {
        let shown: Vec<String> = self.iter().map(Scalar::show).collect();
        let kind = format!("a list; each is {}", T::KIND);
        out.push(entry(path, docs, kind, Some(format!("[{}]", shown.join(", ")))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_they_are_shown() {
        let size = |text: &str| text.parse::<ByteSize>().ok();
        assert_eq!(size("25MiB"), Some(ByteSize(25 << 20)));
        assert_eq!(size("1 GiB"), Some(ByteSize(1 << 30)));
        assert_eq!(size("0B"), Some(ByteSize(0)));
        for wrong in ["", "25", "MiB", "25MB", "-1B", "1.5MiB", "99999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
        for bytes in [0, 1, 1023, 1024, 1536, 3 << 20, 5 << 30] {
            assert_eq!(size(&ByteSize(bytes).to_string()), Some(ByteSize(bytes)));
        }
        for ms in [0, 1, 500, 1000, 1500, 60_000, 90_000, 3_600_000, 86_400_000] {
            let time = Duration::from_millis(ms);
            assert_eq!(Duration::from_text(time.show().trim_matches('"')), Some(time));
        }
        assert_eq!(Duration::from_text("5 parsecs"), None);
    }
}
