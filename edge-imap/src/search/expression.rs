//! SEARCH keys made ready to be asked of a message, one source of facts after the other: first
//! what the state knows, then the summary, then the header, and the body only where nothing else
//! decided (RFC 9051 §6.4.4). The time is linear in keys × messages, plus the bytes read (B2).

use mail::flags::{FlagSet, Keyword, SystemFlags};
use mail::text::{Needle, charset_to_text};
use mail::uidset::UidSet;
use proto::imap::command::{Flag, Search, SearchKey};

use crate::selection::View;

/// Most strings looked for in one SEARCH; more are refused.
pub(crate) const NEEDLES_MAX: usize = 256;

/// Why a SEARCH cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsearchable {
    /// Answer NO [BADCHARSET (UTF-8 US-ASCII)] (RFC 9051 §7.1).
    #[error("charset not known, or a string is not of it")]
    Charset,
    /// Answer NO [LIMIT].
    #[error("more than 256 strings to look for")]
    Needles,
}

/// A question about one message.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    All,
    None,
    And(Vec<Self>),
    Or(Box<(Self, Self)>),
    Not(Box<Self>),
    Uids(UidSet),
    System(SystemFlags),
    Keyword(Keyword),
    /// Day of the internal date, in days since 1970: before (`Less`), on, since.
    Date(Days),
    /// Day in the Date field.
    Sent(Days),
    Larger(u64),
    Smaller(u64),
    ModSeq(u64),
    /// A field of this name contains it; `None`: there is such a field.
    Header {
        name: Vec<u8>,
        value: Option<Box<Needle>>,
    },
    /// Index into the needles: in the body, or (`and_header`) anywhere.
    Content {
        needle: usize,
        and_header: bool,
    },
}

/// A condition on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Days {
    Before(i64),
    On(i64),
    Since(i64),
}

impl Days {
    fn holds(self, day: i64) -> bool {
        match self {
            Self::Before(bound) => day < bound,
            Self::On(bound) => day == bound,
            Self::Since(bound) => day >= bound,
        }
    }
}

/// All that a SEARCH asks.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Must hold.
    expression: Expression,
    /// What [`Expression::Content`] looks for.
    pub(crate) needles: Vec<Needle>,
}

/// What is known of one message; what is `None` has not been looked at yet.
pub(crate) struct Facts<'a> {
    pub(crate) uid: u32,
    pub(crate) modseq: u64,
    pub(crate) flags: &'a FlagSet,
    /// Day of the internal date, in days since 1970.
    pub(crate) day: i64,
    pub(crate) size: u64,
    pub(crate) header: Option<&'a dyn Header>,
    /// For each needle: in the body; in the header or the body.
    pub(crate) content: Option<&'a [(bool, bool)]>,
}

/// A source of header fields that may not have them all.
pub(crate) trait Header {
    /// Whether a field of this name contains the needle (or is there, without one); `None` if this
    /// source cannot say.
    fn contains(&self, name: &[u8], value: Option<&Needle>) -> Option<bool>;

    /// The day in the Date field; `Some(None)` if there is none that makes sense.
    fn sent(&self) -> Option<Option<i64>>;
}

impl Question {
    /// Makes a SEARCH ready for the messages that `view` numbers; `saved` is `$` (RFC 5182).
    pub(crate) fn new(search: &Search, view: &View, saved: &UidSet) -> Result<Self, Unsearchable> {
        let charset = search.charset.as_deref().unwrap_or("UTF-8");
        let mut compiler =
            Compiler { characters: Characters::named(charset)?, needles: Vec::new(), view, saved };
        let keys: Result<Vec<_>, _> = search.keys.iter().map(|key| compiler.key(key)).collect();
        Ok(Self { expression: Expression::And(keys?), needles: compiler.needles })
    }

    /// The messages that can fit at all, as far as sets of them are asked for.
    pub(crate) fn candidates(&self, mut all: UidSet) -> UidSet {
        if let Expression::And(parts) = &self.expression {
            for part in parts {
                if let Expression::Uids(uids) = part {
                    all = all.intersection(uids);
                }
            }
        }
        all
    }

    /// Whether the message fits; `None` if that takes more facts.
    pub(crate) fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        self.expression.holds(facts)
    }
}

impl Expression {
    /// Three-valued: an unknown part does not matter where the rest decides.
    fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::None => Some(false),
            Self::And(all) => {
                let mut holds = Some(true);
                for part in all {
                    holds = and(holds, part.holds(facts));
                    if holds == Some(false) {
                        break;
                    }
                }
                holds
            }
            Self::Or(pair) => {
                let not = |value: Option<bool>| value.map(|value| !value);
                not(and(not(pair.0.holds(facts)), not(pair.1.holds(facts))))
            }
            Self::Not(part) => part.holds(facts).map(|value| !value),
            Self::Uids(uids) => Some(uids.contains(facts.uid)),
            Self::System(flags) => Some(facts.flags.system.contains(*flags)),
            Self::Keyword(keyword) => Some(facts.flags.has_keyword(keyword)),
            Self::Date(days) => Some(days.holds(facts.day)),
            Self::Larger(size) => Some(facts.size > *size),
            Self::Smaller(size) => Some(facts.size < *size),
            // RFC 7162 §3.1.5: changed at or after it.
            Self::ModSeq(modseq) => Some(facts.modseq >= *modseq),
            Self::Sent(days) => {
                facts.header?.sent().map(|sent| sent.is_some_and(|d| days.holds(d)))
            }
            Self::Header { name, value } => facts.header?.contains(name, value.as_deref()),
            Self::Content { needle, and_header } => {
                let (body, anywhere) = facts.content?.get(*needle)?;
                Some(if *and_header { *anywhere } else { *body })
            }
        }
    }
}

fn and(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

struct Compiler<'a> {
    characters: Characters,
    needles: Vec<Needle>,
    view: &'a View,
    saved: &'a UidSet,
}

impl Compiler<'_> {
    fn key(&mut self, key: &SearchKey) -> Result<Expression, Unsearchable> {
        Ok(match key {
            SearchKey::All | SearchKey::Old => Expression::All,
            // No session is ever the one that sees a message as recent (RFC 9051 has dropped it).
            SearchKey::New | SearchKey::Recent => Expression::None,
            SearchKey::And(keys) => {
                Expression::And(keys.iter().map(|key| self.key(key)).collect::<Result<_, _>>()?)
            }
            SearchKey::Or(pair) => {
                Expression::Or(Box::new((self.key(&pair.0)?, self.key(&pair.1)?)))
            }
            SearchKey::Not(key) => Expression::Not(Box::new(self.key(key)?)),
            // RFC 9051 §6.4.4: numbers that no message has match nothing.
            SearchKey::Msn(set) => Expression::Uids(self.view.messages(set, false, self.saved)),
            SearchKey::Uid(set) => Expression::Uids(self.view.messages(set, true, self.saved)),
            SearchKey::Has(flag) => flag_expression(flag),
            SearchKey::HasNot(flag) => Expression::Not(Box::new(flag_expression(flag))),
            SearchKey::Before(date) => Expression::Date(Days::Before(date.days())),
            SearchKey::On(date) => Expression::Date(Days::On(date.days())),
            SearchKey::Since(date) => Expression::Date(Days::Since(date.days())),
            SearchKey::SentBefore(date) => Expression::Sent(Days::Before(date.days())),
            SearchKey::SentOn(date) => Expression::Sent(Days::On(date.days())),
            SearchKey::SentSince(date) => Expression::Sent(Days::Since(date.days())),
            SearchKey::Header { name, value } => {
                let value = match value.as_slice() {
                    [] => None,
                    text => Some(Box::new(self.characters.needle(text)?)),
                };
                Expression::Header { name: name.clone(), value }
            }
            SearchKey::Body(text) => self.content(text, false)?,
            SearchKey::Text(text) => self.content(text, true)?,
            SearchKey::Larger(size) => Expression::Larger(*size),
            SearchKey::Smaller(size) => Expression::Smaller(*size),
            SearchKey::ModSeq(modseq) => Expression::ModSeq(*modseq),
        })
    }

    fn content(&mut self, text: &[u8], and_header: bool) -> Result<Expression, Unsearchable> {
        if text.is_empty() {
            return Ok(Expression::All);
        }
        let needle = self.characters.needle(text)?;
        if self.needles.len() >= NEEDLES_MAX {
            return Err(Unsearchable::Needles);
        }
        self.needles.push(needle);
        Ok(Expression::Content { needle: self.needles.len() - 1, and_header })
    }
}

fn flag_expression(flag: &Flag) -> Expression {
    match flag {
        Flag::Seen => Expression::System(SystemFlags::SEEN),
        Flag::Answered => Expression::System(SystemFlags::ANSWERED),
        Flag::Flagged => Expression::System(SystemFlags::FLAGGED),
        Flag::Deleted => Expression::System(SystemFlags::DELETED),
        Flag::Draft => Expression::System(SystemFlags::DRAFT),
        // A keyword that cannot be set is on no message.
        Flag::Keyword(name) => Keyword::parse(name).map_or(Expression::None, Expression::Keyword),
    }
}

/// The charset of a SEARCH's strings.
enum Characters {
    Utf8,
    Other(String),
}

impl Characters {
    fn named(name: &str) -> Result<Self, Unsearchable> {
        // Unlike in mail, US-ASCII is taken as what clients mean by it: UTF-8.
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => Ok(Self::Utf8),
            _ => mail_parser::decoders::charsets::map::charset_decoder(name.as_bytes())
                .map(|_| Self::Other(name))
                .ok_or(Unsearchable::Charset),
        }
    }

    fn needle(&self, text: &[u8]) -> Result<Needle, Unsearchable> {
        match self {
            Self::Utf8 => {
                std::str::from_utf8(text).map(Needle::new).map_err(|_| Unsearchable::Charset)
            }
            Self::Other(name) => Ok(Needle::new(&charset_to_text(name.as_bytes(), text))),
        }
    }
}
