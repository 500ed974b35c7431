//! Flags of a message in a mailbox: the five system flags that are kept, and keywords
//! (RFC 9051 §2.3.2).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::codec::{Malformed, Reader, put_bytes, put_varint};

/// Most keywords one mailbox may know, and so one message may carry (docs/rules.md).
pub const KEYWORDS_MAX: usize = 1_000;

/// Longest keyword in bytes. RFC 9051 sets no limit; ours keeps an entry small.
pub const KEYWORD_BYTES_MAX: usize = 100;

/// The system flags that are kept, as bits. `\Recent` is gone with `IMAP4rev2` and never kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemFlags(pub u8);

impl SystemFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Seen`: read.
    pub const SEEN: Self = Self(1);
    /// `\Answered`.
    pub const ANSWERED: Self = Self(2);
    /// `\Flagged`: marked for attention.
    pub const FLAGGED: Self = Self(4);
    /// `\Deleted`: goes at the next EXPUNGE.
    pub const DELETED: Self = Self(8);
    /// `\Draft`.
    pub const DRAFT: Self = Self(16);
    /// All five.
    pub const ALL: Self = Self(31);

    const NAMES: [(Self, &'static str); 5] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// Whether all flags of `other` are set here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether none is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flag of this IMAP name, in any case: `\Seen` …; `None` for any other.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(flag, _)| *flag)
    }

    /// The IMAP names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

impl fmt::Debug for SystemFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// A keyword: an atom that does not begin with a backslash, at most [`KEYWORD_BYTES_MAX`] bytes.
/// Compared without case, shown as it was first written (RFC 5788 §1). Cheap to clone.
#[derive(Clone)]
pub struct Keyword(Arc<str>);

/// A flag name that cannot be a keyword. Answer the command with BAD or NO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a keyword: an atom of at most 100 ASCII characters without \\ is needed")]
pub struct KeywordSyntax;

impl Keyword {
    /// Takes `text` if it is an atom (RFC 9051 §9 `flag-keyword`).
    /// # Errors
    /// [`KeywordSyntax`] if it is not, or too long.
    pub fn parse(text: &str) -> Result<Self, KeywordSyntax> {
        let good = !text.is_empty()
            && text.len() <= KEYWORD_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte));
        if good { Ok(Self(text.into())) } else { Err(KeywordSyntax) }
    }

    /// As it was first written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl Hash for Keyword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
        state.write_u8(0);
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// The flags of one message: system flags, and keywords sorted without duplicates, so that equal
/// sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlagSet {
    /// The system flags.
    pub system: SystemFlags,
    keywords: Vec<Keyword>,
}

impl FlagSet {
    /// A set without keywords.
    #[must_use]
    pub const fn system(system: SystemFlags) -> Self {
        Self { system, keywords: Vec::new() }
    }

    /// A set of these.
    #[must_use]
    pub fn new(system: SystemFlags, keywords: impl IntoIterator<Item = Keyword>) -> Self {
        let mut keywords: Vec<_> = keywords.into_iter().collect();
        keywords.sort();
        keywords.dedup();
        Self { system, keywords }
    }

    /// The keywords, sorted.
    #[must_use]
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// Whether no flag is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.system.is_empty() && self.keywords.is_empty()
    }

    /// Whether this keyword is set.
    #[must_use]
    pub fn has_keyword(&self, keyword: &Keyword) -> bool {
        self.keywords.binary_search(keyword).is_ok()
    }

    /// Whether every flag of `other` is set here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.system.contains(other.system) && other.keywords.iter().all(|k| self.has_keyword(k))
    }

    /// Adds all flags of `other`.
    pub fn add(&mut self, other: &Self) {
        self.system = self.system.with(other.system);
        for keyword in &other.keywords {
            if let Err(at) = self.keywords.binary_search(keyword) {
                self.keywords.insert(at, keyword.clone());
            }
        }
    }

    /// Removes all flags of `other`.
    pub fn remove(&mut self, other: &Self) {
        self.system = self.system.without(other.system);
        self.keywords.retain(|keyword| !other.has_keyword(keyword));
    }

    /// Adds the flag with this IMAP name: a system flag, or a keyword. `\Recent` and other unknown
    /// backslash names are refused.
    /// # Errors
    /// [`KeywordSyntax`] if it is neither.
    pub fn add_name(&mut self, name: &str) -> Result<(), KeywordSyntax> {
        if let Some(flag) = SystemFlags::parse(name) {
            self.system = self.system.with(flag);
            return Ok(());
        }
        let keyword = Keyword::parse(name)?;
        if let Err(at) = self.keywords.binary_search(&keyword) {
            self.keywords.insert(at, keyword);
        }
        Ok(())
    }

    /// The IMAP names of all flags, system flags first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let system = self.system.names().map(|name| -> &str { name });
        system.chain(self.keywords.iter().map(Keyword::as_str))
    }

    /// Appends the set: one byte of system flags, the count, the keywords.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.system.0);
        put_varint(out, self.keywords.len() as u64);
        self.keywords.iter().for_each(|keyword| put_bytes(out, keyword.0.as_bytes()));
    }

    /// Reads what [`Self::encode`] wrote.
    /// # Errors
    /// [`Malformed`] if it is not that, or over [`KEYWORDS_MAX`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let system = SystemFlags(reader.byte()?);
        if !SystemFlags::ALL.contains(system) {
            return Err(Malformed("system flags"));
        }
        let count = reader.count(KEYWORDS_MAX)?;
        let mut keywords = Vec::with_capacity(count);
        for _ in 0..count {
            let text = reader.str(KEYWORD_BYTES_MAX)?;
            keywords.push(Keyword::parse(text).map_err(|_| Malformed("keyword"))?);
        }
        if !keywords.is_sorted_by(|a, b| a < b) {
            return Err(Malformed("keywords"));
        }
        Ok(Self { system, keywords })
    }
}

/// As IMAP writes it: `(\Seen $Forwarded)`.
impl fmt::Display for FlagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> FlagSet {
        let mut set = FlagSet::default();
        names.iter().for_each(|name| set.add_name(name).unwrap());
        set
    }

    // RFC 5788 §1; RFC 9051 §2.3.2.
    #[test]
    fn flags_are_named_without_case_and_shown_as_first_written() {
        let mut flags = set(&["\\seen", "$Forwarded", "$FORWARDED", "\\Draft", "NonJunk"]);
        assert_eq!(flags.to_string(), "(\\Seen \\Draft $Forwarded NonJunk)");
        flags.remove(&set(&["$forwarded", "\\Draft"]));
        assert_eq!(flags, set(&["nonjunk", "\\SEEN"]));
        flags.add(&set(&["\\Answered"]));
        assert!(flags.contains(&set(&["\\Seen", "\\Answered"])));
        assert!(!flags.contains(&set(&["\\Seen", "$x"])));
    }

    #[test]
    fn what_is_no_atom_is_refused() {
        for bad in
            ["", "\\Recent", "\\*", "a b", "a(", "a)", "a{", "a%", "a*", "a\"", "a]", "é", "a\r"]
        {
            assert!(FlagSet::default().add_name(bad).is_err(), "{bad}");
        }
        assert!(Keyword::parse(&"a".repeat(100)).is_ok());
        assert!(Keyword::parse(&"a".repeat(101)).is_err());
        assert!(Keyword::parse("$MDNSent[").is_ok());
    }

    #[test]
    fn sets_survive_their_encoding_and_damage_is_seen() {
        for flags in [set(&[]), set(&["\\Seen"]), set(&["b", "A", "\\Flagged", "c"])] {
            let mut out = Vec::new();
            flags.encode(&mut out);
            assert_eq!(FlagSet::decode(&mut Reader::new(&out)), Ok(flags));
        }
        for bad in [&[32, 0][..], &[0, 2, 1, b'b', 1, b'a'], &[0, 1, 1, b' '], &[0, 255], &[0]] {
            assert!(FlagSet::decode(&mut Reader::new(bad)).is_err(), "{bad:?}");
        }
    }
}
