//! What a server can say, typed, and its encoder (RFC 9051 §7).
//!
//! Whatever the values are, what is written is one well-formed response: text loses CR, LF and NUL
//! (D3), strings become quoted or literals as their octets need, mailbox names follow
//! [`Style`], and a keyword that is no atom is not written at all.

pub mod code;
pub mod fetch;
pub mod structure;

mod string;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::RangeInclusive;

pub use code::Code;
pub use fetch::{FetchData, FetchLine, LiteralName};
pub use structure::{Address, Disposition, Envelope, Kind, Params, Part};

pub(crate) use string::{is_atom_char, string as string_into};

use super::command::{Flag, Msn, SpecialUse, StatusItem, Tag};

/// How this client wants names and strings, by what it has enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// ENABLE IMAP4rev2 was said: mailbox names are UTF-8, not modified UTF-7, and quoted strings
    /// may have UTF-8 (RFC 9051 §5.1, appendix A); RECENT and SEARCH are not sent.
    pub rev2: bool,
}

/// Human text of a status response, in UTF-8. Whatever is in it, one line is written of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Cow<'static, str>);

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl Text {
    fn encode(&self, style: Style, out: &mut Vec<u8>) {
        string::text(&self.0, style, out);
    }
}

/// Numbers as sorted ranges, none of them 0.
pub type Ranges = [RangeInclusive<u32>];

/// An attribute of a mailbox in LIST (RFC 9051 §7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// `\NonExistent`
    NonExistent,
    /// `\Noselect`
    NoSelect,
    /// `\Noinferiors`
    NoInferiors,
    /// `\HasChildren`
    HasChildren,
    /// `\HasNoChildren`
    HasNoChildren,
    /// `\Marked`
    Marked,
    /// `\Unmarked`
    Unmarked,
    /// `\Subscribed`
    Subscribed,
    /// `\Remote`
    Remote,
    /// `\Sent` and its kin.
    Use(SpecialUse),
}

impl Attribute {
    fn name(self) -> &'static str {
        match self {
            Self::NonExistent => "\\NonExistent",
            Self::NoSelect => "\\Noselect",
            Self::NoInferiors => "\\Noinferiors",
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Marked => "\\Marked",
            Self::Unmarked => "\\Unmarked",
            Self::Subscribed => "\\Subscribed",
            Self::Remote => "\\Remote",
            Self::Use(which) => {
                SpecialUse::EACH.iter().find(|(each, _)| *each == which).map_or("\\All", |it| it.1)
            }
        }
    }
}

/// A mailbox in LIST or LSUB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Its attributes, in this order.
    pub attributes: &'a [Attribute],
    /// Its name; empty only in the answer to `LIST "" ""`.
    pub name: &'a str,
    /// CHILDINFO ("SUBSCRIBED"): something below it is subscribed (RFC 5258 §4).
    pub child_subscribed: bool,
}

/// A resource of a quota root, in units of 1,024 octets for storage (RFC 9208 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// STORAGE, in KiB.
    Storage {
        /// Used, rounded up.
        used: u64,
        /// Limit.
        limit: u64,
    },
    /// MESSAGE, in messages.
    Message {
        /// Used.
        used: u64,
        /// Limit.
        limit: u64,
    },
}

/// The answer of ESEARCH (RFC 4731 §3.1). An empty result is all `None` but `count`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Esearch<'a> {
    /// The numbers are UIDs.
    pub uid: bool,
    /// Smallest.
    pub min: Option<u32>,
    /// Largest.
    pub max: Option<u32>,
    /// All; not written if empty (RFC 4731 §3.1).
    pub all: Option<&'a Ranges>,
    /// How many.
    pub count: Option<u32>,
    /// Highest modseq of what was found (RFC 7162 §3.1.10).
    pub modseq: Option<u64>,
}

/// An untagged response.
#[derive(Clone, Debug)]
pub enum Response<'a> {
    /// `* OK`
    Ok(Option<Code>, Text),
    /// `* NO`
    No(Option<Code>, Text),
    /// `* BAD`
    Bad(Option<Code>, Text),
    /// `* BYE`; the edge that writes it closes after it.
    Bye(Option<Code>, Text),
    /// `* n EXISTS`
    Exists(u32),
    /// `* n RECENT`; not written in rev2.
    Recent(u32),
    /// `* n EXPUNGE`
    Expunge(Msn),
    /// `* VANISHED` (RFC 7162 §3.2.10); nothing is written of an empty set.
    Vanished {
        /// `(EARLIER)`: expunged before, not now.
        earlier: bool,
        /// Which.
        uids: &'a Ranges,
    },
    /// `* FLAGS`
    Flags(&'a [Flag]),
    /// `* LIST`
    List(Listed<'a>),
    /// `* LSUB`
    Lsub(Listed<'a>),
    /// `* STATUS`
    Status {
        /// The mailbox.
        mailbox: &'a str,
        /// What and how much.
        items: &'a [(StatusItem, u64)],
    },
    /// `* SEARCH`, the answer in rev1 without RETURN.
    Search {
        /// Numbers found, in ascending order.
        found: &'a [u32],
        /// Highest modseq of them (RFC 7162 §3.1.6).
        modseq: Option<u64>,
    },
    /// `* ESEARCH`
    Esearch(&'a Tag, Esearch<'a>),
    /// `* NAMESPACE (("" "/")) NIL NIL`: one personal namespace (RFC 2342).
    Namespace,
    /// `* QUOTA`: usage and limit of each resource (RFC 9208 §4.2.1).
    Quota {
        /// Name of the quota root.
        root: &'a str,
        /// Its resources.
        resources: &'a [Resource],
    },
    /// `* QUOTAROOT`: the roots that a mailbox counts for (RFC 9208 §4.2.2).
    QuotaRoot {
        /// The mailbox.
        mailbox: &'a str,
        /// Names of its quota roots.
        roots: &'a [&'a str],
    },
}

impl Response<'_> {
    /// Appends the whole response with its CRLF to `out`.
    pub fn encode(&self, style: Style, out: &mut Vec<u8>) {
        match self {
            Self::Ok(code, text) => status("* OK ", code.as_ref(), text, style, out),
            Self::No(code, text) => status("* NO ", code.as_ref(), text, style, out),
            Self::Bad(code, text) => status("* BAD ", code.as_ref(), text, style, out),
            Self::Bye(code, text) => status("* BYE ", code.as_ref(), text, style, out),
            Self::Exists(count) => put(out, format_args!("* {count} EXISTS\r\n")),
            Self::Recent(_) if style.rev2 => {}
            Self::Recent(count) => put(out, format_args!("* {count} RECENT\r\n")),
            Self::Expunge(msn) => put(out, format_args!("* {msn} EXPUNGE\r\n")),
            Self::Vanished { uids: [], .. } => {}
            Self::Vanished { earlier, uids } => {
                let earlier = if *earlier { "(EARLIER) " } else { "" };
                put(out, format_args!("* VANISHED {earlier}"));
                string::ranges(uids, out);
                out.extend_from_slice(b"\r\n");
            }
            Self::Flags(flags) => {
                out.extend_from_slice(b"* FLAGS ");
                string::flags(flags, false, out);
                out.extend_from_slice(b"\r\n");
            }
            Self::List(listed) => list("* LIST ", listed, style, out),
            Self::Lsub(listed) => list("* LSUB ", listed, style, out),
            Self::Status { mailbox, items } => status_items(mailbox, items, style, out),
            Self::Search { found, modseq } => search(found, *modseq, out),
            Self::Esearch(tag, esearch) => esearch.encode(tag, out),
            Self::Namespace => out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"),
            Self::Quota { root, resources } => quota(root, resources, style, out),
            Self::QuotaRoot { mailbox, roots } => {
                out.extend_from_slice(b"* QUOTAROOT ");
                string::mailbox(mailbox, style, out);
                for root in *roots {
                    out.push(b' ');
                    string::astring(root.as_bytes(), style, out);
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    // A Vec takes every write.
    drop(out.write_fmt(text));
}

/// A status response, tagged or not: `start` has what is before the code, with its space.
pub(crate) fn status(
    start: &str,
    code: Option<&Code>,
    text: &Text,
    style: Style,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(start.as_bytes());
    if let Some(code) = code {
        out.push(b'[');
        code.encode(out);
        out.extend_from_slice(b"] ");
    }
    text.encode(style, out);
    out.extend_from_slice(b"\r\n");
}

fn list(start: &str, listed: &Listed<'_>, style: Style, out: &mut Vec<u8>) {
    out.extend_from_slice(start.as_bytes());
    let names: Vec<&str> = listed.attributes.iter().map(|attribute| attribute.name()).collect();
    put(out, format_args!("({}) \"/\" ", names.join(" ")));
    string::mailbox(listed.name, style, out);
    if listed.child_subscribed {
        out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    }
    out.extend_from_slice(b"\r\n");
}

fn status_items(mailbox: &str, items: &[(StatusItem, u64)], style: Style, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* STATUS ");
    string::mailbox(mailbox, style, out);
    out.extend_from_slice(b" (");
    for (index, (item, value)) in items.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        put(out, format_args!("{space}{} {value}", item.name()));
    }
    out.extend_from_slice(b")\r\n");
}

fn search(found: &[u32], modseq: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* SEARCH");
    for number in found {
        put(out, format_args!(" {number}"));
    }
    // RFC 7162 §3.1.5: no MODSEQ where nothing was found.
    if let Some(modseq) = modseq.filter(|_| !found.is_empty()) {
        put(out, format_args!(" (MODSEQ {modseq})"));
    }
    out.extend_from_slice(b"\r\n");
}

impl Esearch<'_> {
    fn encode(&self, tag: &Tag, out: &mut Vec<u8>) {
        out.extend_from_slice(b"* ESEARCH (TAG ");
        // A tag may have `\`, which no quoted string has bare.
        string::string(tag.as_str().as_bytes(), Style::default(), out);
        out.push(b')');
        if self.uid {
            out.extend_from_slice(b" UID");
        }
        for (name, value) in [("MIN", self.min), ("MAX", self.max), ("COUNT", self.count)] {
            if let Some(value) = value {
                put(out, format_args!(" {name} {value}"));
            }
        }
        if let Some(all) = self.all.filter(|all| !all.is_empty()) {
            out.extend_from_slice(b" ALL ");
            string::ranges(all, out);
        }
        if let Some(modseq) = self.modseq {
            put(out, format_args!(" MODSEQ {modseq}"));
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn quota(root: &str, resources: &[Resource], style: Style, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* QUOTA ");
    string::astring(root.as_bytes(), style, out);
    out.extend_from_slice(b" (");
    for (index, resource) in resources.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        let (name, used, limit) = match resource {
            Resource::Storage { used, limit } => ("STORAGE", used, limit),
            Resource::Message { used, limit } => ("MESSAGE", used, limit),
        };
        put(out, format_args!("{space}{name} {used} {limit}"));
    }
    out.extend_from_slice(b")\r\n");
}

impl StatusItem {
    /// Every one with its name.
    pub const EACH: [(Self, &'static str); 10] = [
        (Self::Messages, "MESSAGES"),
        (Self::Recent, "RECENT"),
        (Self::UidNext, "UIDNEXT"),
        (Self::UidValidity, "UIDVALIDITY"),
        (Self::Unseen, "UNSEEN"),
        (Self::Deleted, "DELETED"),
        (Self::DeletedStorage, "DELETED-STORAGE"),
        (Self::Size, "SIZE"),
        (Self::HighestModSeq, "HIGHESTMODSEQ"),
        (Self::AppendLimit, "APPENDLIMIT"),
    ];

    fn name(self) -> &'static str {
        Self::EACH.iter().find(|(each, _)| *each == self).map_or("MESSAGES", |it| it.1)
    }
}
