//! What another server's words mean: refused because of whom, and what to do next.
//!
//! `data/refusals.toml` holds the rules (docs/refusals.md explains the classes); admins put rules of
//! their own in front. A reply in its normal form ("550 5.7.1 text") is compared with all patterns
//! at once, and the first rule that matches, in order, decides. Pure: no I/O, no clock.

mod file;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mail::Reply;
use net::send::Stage;
use regex::bytes::RegexSet;

pub use file::RulesError;

/// The rules that come with the program.
const SHIPPED: &str = include_str!("../data/refusals.toml");

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The address we came from: the next egress now, even after a 5xx.
    Egress,
    /// Our domain, account or authentication: no other egress helps.
    Sender,
    /// Too much, too fast.
    Rate,
    /// First sight of us: again through the same egress, later.
    Greylist,
    /// This message.
    Content,
    /// This recipient.
    Mailbox,
    /// Trouble on their side: again, through any egress.
    System,
    /// Wrong host, protocol or credentials: look the way up again, then as the code says.
    Relay,
    /// A policy without a reason, or words that no rule knows.
    Unknown,
}

impl Class {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Egress,
        Self::Sender,
        Self::Rate,
        Self::Greylist,
        Self::Content,
        Self::Mailbox,
        Self::System,
        Self::Relay,
        Self::Unknown,
    ];

    /// Its name in the rules, in metrics and in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Sender => "sender",
            Self::Rate => "rate",
            Self::Greylist => "greylist",
            Self::Content => "content",
            Self::Mailbox => "mailbox",
            Self::System => "system",
            Self::Relay => "relay",
            Self::Unknown => "unknown",
        }
    }
}

/// What a refusal is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Our address.
    Ip,
    /// Our network: take another one.
    Net,
    /// Our country: take another region.
    Region,
    /// IPv4 or IPv6.
    Family,
    /// Our domain.
    Domain,
    /// The envelope sender.
    Sender,
    /// Our account at a smarthost.
    Account,
    /// This recipient.
    Recipient,
    /// This connection: a new one may go on.
    Connection,
    /// This message.
    Message,
    /// The destination.
    Destination,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ip,
        Self::Net,
        Self::Region,
        Self::Family,
        Self::Domain,
        Self::Sender,
        Self::Account,
        Self::Recipient,
        Self::Connection,
        Self::Message,
        Self::Destination,
    ];

    /// Its name in the rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Net => "net",
            Self::Region => "region",
            Self::Family => "family",
            Self::Domain => "domain",
            Self::Sender => "sender",
            Self::Account => "account",
            Self::Recipient => "recipient",
            Self::Connection => "connection",
            Self::Message => "message",
            Self::Destination => "destination",
        }
    }
}

/// What a rule has done instead of what its class says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Next {
    /// Another egress only if our own SPF check passes for it and this sender; else as class sender.
    OtherEgressSpf,
    /// One try through an egress of another network; the same answer again is final.
    OtherEgressOnce,
    /// The same egress after the hold.
    SameEgress,
}

impl Next {
    const ALL: [Self; 3] = [Self::OtherEgressSpf, Self::OtherEgressOnce, Self::SameEgress];

    const fn name(self) -> &'static str {
        match self {
            Self::OtherEgressSpf => "other-egress-spf",
            Self::OtherEgressOnce => "other-egress-once",
            Self::SameEgress => "same-egress",
        }
    }
}

/// What a reply means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id; [`UNMATCHED`] where none matched.
    pub rule: Arc<str>,
    /// What was refused.
    pub class: Class,
    /// Why, in one word.
    pub cause: Arc<str>,
    /// What the refusal is attached to.
    pub scope: Scope,
    /// What to do instead of what the class says.
    pub next: Option<Next>,
    /// First length of a hold.
    pub hold: Option<Duration>,
    /// The operator says this for more than one cause.
    pub doubt: bool,
}

/// The rule of a reply that no rule matched.
pub const UNMATCHED: &str = "unmatched";

/// One rule.
#[derive(Clone, Debug)]
struct Rule {
    finding: Finding,
    /// Names of mail exchangers that it is for, by suffix; none: any.
    mx: Vec<String>,
    pattern: String,
    sample: String,
}

impl Rule {
    /// A suffix is a whole name or ends at a dot.
    fn is_for(&self, mx: &str) -> bool {
        self.mx.is_empty()
            || self.mx.iter().any(|suffix| {
                mx.strip_suffix(suffix.as_str())
                    .is_some_and(|front| front.is_empty() || front.ends_with('.'))
            })
    }
}

/// A rule as it is written.
#[derive(Clone, Copy, Debug)]
pub struct RuleText<'a> {
    /// What it finds.
    pub finding: &'a Finding,
    /// Names of mail exchangers that it is for, by suffix; none: any.
    pub mx: &'a [String],
    /// Words that it knows.
    pub sample: &'a str,
}

/// The rules in their order. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Rules(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Vec<Rule>,
    /// Built when the first reply is classified: a process that sends nothing needs none of it.
    set: OnceLock<Option<RegexSet>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::shipped()
    }
}

impl Rules {
    /// The rules that come with the program.
    #[must_use]
    pub fn shipped() -> Self {
        // Tests see to it that the shipped file is right; a wrong one would leave every reply to
        // its code.
        Self::new(file::read(SHIPPED).unwrap_or_default())
    }

    /// An admin's own rules, in the format of the shipped file, before the shipped ones.
    /// # Errors
    /// [`RulesError`] says which rule is wrong and why: mend the file.
    pub fn with_own(text: &str) -> Result<Self, RulesError> {
        let mut rules = file::read(text)?;
        for rule in &rules {
            file::check(rule)?;
        }
        rules.extend(file::read(SHIPPED)?);
        Ok(Self::new(rules))
    }

    fn new(rules: Vec<Rule>) -> Self {
        Self(Arc::new(Inner { rules, set: OnceLock::new() }))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// All of them as they are written, in their order.
    pub fn texts(&self) -> impl Iterator<Item = RuleText<'_>> {
        self.0.rules.iter().map(|rule| RuleText {
            finding: &rule.finding,
            mx: &rule.mx,
            sample: &rule.sample,
        })
    }

    /// What a refusing `reply` of the mail exchanger `mx`, had at `stage`, means.
    #[must_use]
    pub fn classify(&self, reply: &Reply, stage: Stage, mx: &str) -> Finding {
        let mx = mx.trim_end_matches('.').to_ascii_lowercase();
        let words = reply.to_string();
        let set = self.0.set.get_or_init(|| file::compile(&self.0.rules));
        let matched = set.iter().flat_map(|set| set.matches(words.as_bytes()));
        // The set tells its matches in the order of the rules.
        let mut rules = matched.filter_map(|number| self.0.rules.get(number));
        match rules.find(|rule| rule.is_for(&mx)) {
            Some(rule) => rule.finding.clone(),
            None => unmatched(reply, stage),
        }
    }
}

/// Who runs a mail exchanger: the end of its name, in lower case; of one without a name its address.
#[must_use]
pub fn operator(mx: &str) -> String {
    // Below a country these say what, not who: one label more does.
    const KINDS: [&str; 9] = ["ac", "co", "com", "edu", "go", "gov", "ne", "net", "or"];
    let mx = mx.trim_end_matches('.').to_ascii_lowercase();
    if mx.parse::<std::net::IpAddr>().is_ok() {
        return mx;
    }
    let mut from_end = mx.rsplit('.');
    let (country, kind) = (from_end.next().unwrap_or_default(), from_end.next());
    let deep = country.len() == 2 && kind.is_some_and(|kind| KINDS.contains(&kind));
    let labels: Vec<&str> = mx.rsplit('.').take(if deep { 3 } else { 2 }).collect();
    labels.into_iter().rev().collect::<Vec<_>>().join(".")
}

/// A refusal without what differs each time (addresses, numbers, ids): two that have the same one
/// say the same.
#[must_use]
pub fn shape(words: &str) -> String {
    let said = words.split_whitespace().enumerate().map(|(at, word)| {
        // The codes are what they are.
        let code = at < 2 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let varies = word.contains('@') || word.bytes().any(|byte| byte.is_ascii_digit());
        if varies && !code { "*".to_owned() } else { word.to_lowercase() }
    });
    said.collect::<Vec<_>>().join(" ")
}

/// No rule matched: the basic code decides, and a permanent refusal may be tried once elsewhere.
fn unmatched(reply: &Reply, stage: Stage) -> Finding {
    // Said before anything was known of the message, it is about who we are.
    let early = stage <= Stage::Hello;
    let (class, next) = match reply.is_permanent() {
        true => (Class::Unknown, Some(Next::OtherEgressOnce)),
        false => (Class::System, None),
    };
    let scope = if early && reply.is_permanent() { Scope::Ip } else { Scope::Destination };
    Finding {
        rule: UNMATCHED.into(),
        class,
        cause: "unknown".into(),
        scope,
        next,
        hold: None,
        doubt: true,
    }
}
