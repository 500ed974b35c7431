//! Response codes (RFC 9051 §7.1, RFC 5530, RFC 7162, RFC 9208).

use std::ops::RangeInclusive;

use mail::{Uid, UidValidity};

use super::{put, string};
use crate::imap::command::{Flag, Msn};

/// A response code: what a program is to know of a status response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// ALERT: show the text to the user.
    Alert,
    /// ALREADYEXISTS
    AlreadyExists,
    /// APPENDUID (RFC 4315)
    AppendUid(UidValidity, Uid),
    /// AUTHENTICATIONFAILED
    AuthenticationFailed,
    /// AUTHORIZATIONFAILED
    AuthorizationFailed,
    /// BADCHARSET with those that we know
    BadCharset(Vec<String>),
    /// CANNOT
    Cannot,
    /// CAPABILITY with the list; for the core.
    Capability(String),
    /// CLIENTBUG
    ClientBug,
    /// CLOSED (RFC 7162 §3.2.11): what follows is about the mailbox selected next.
    Closed,
    /// CONTACTADMIN
    ContactAdmin,
    /// COPYUID (RFC 4315): two sets that belong together one by one, so both of the same size.
    CopyUid {
        /// Of the mailbox copied to.
        validity: UidValidity,
        /// Copied from.
        from: Vec<RangeInclusive<u32>>,
        /// Copied to.
        to: Vec<RangeInclusive<u32>>,
    },
    /// CORRUPTION
    Corruption,
    /// EXPIRED
    Expired,
    /// EXPUNGEISSUED
    ExpungeIssued,
    /// HASCHILDREN
    HasChildren,
    /// HIGHESTMODSEQ (RFC 7162)
    HighestModSeq(u64),
    /// INUSE
    InUse,
    /// LIMIT
    Limit,
    /// MODIFIED (RFC 7162 §3.1.3): numbers of the kind that the command used.
    Modified(Vec<RangeInclusive<u32>>),
    /// NONEXISTENT
    NonExistent,
    /// NOPERM
    NoPerm,
    /// NOTSAVED (RFC 5182)
    NotSaved,
    /// OVERQUOTA
    OverQuota,
    /// PARSE
    Parse,
    /// PERMANENTFLAGS
    PermanentFlags {
        /// These.
        flags: Vec<Flag>,
        /// `\*`: new keywords may be made.
        any: bool,
    },
    /// PRIVACYREQUIRED
    PrivacyRequired,
    /// READ-ONLY
    ReadOnly,
    /// READ-WRITE
    ReadWrite,
    /// SERVERBUG
    ServerBug,
    /// TOOBIG
    TooBig,
    /// TRYCREATE
    TryCreate,
    /// UIDNEXT
    UidNext(Uid),
    /// UIDVALIDITY
    UidValidity(UidValidity),
    /// UNAVAILABLE
    Unavailable,
    /// UNKNOWN-CTE (RFC 3516)
    UnknownCte,
    /// USEATTR (RFC 6154 §3): no mailbox can have that special use.
    UseAttr,
    /// UNSEEN (RFC 3501): the first message without `\Seen`
    Unseen(Msn),
}

impl Code {
    fn word(&self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AppendUid(..) => "APPENDUID",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Self::BadCharset(_) => "BADCHARSET",
            Self::Cannot => "CANNOT",
            Self::Capability(_) => "CAPABILITY",
            Self::ClientBug => "CLIENTBUG",
            Self::Closed => "CLOSED",
            Self::ContactAdmin => "CONTACTADMIN",
            Self::CopyUid { .. } => "COPYUID",
            Self::Corruption => "CORRUPTION",
            Self::Expired => "EXPIRED",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::HasChildren => "HASCHILDREN",
            Self::HighestModSeq(_) => "HIGHESTMODSEQ",
            Self::InUse => "INUSE",
            Self::Limit => "LIMIT",
            Self::Modified(_) => "MODIFIED",
            Self::NonExistent => "NONEXISTENT",
            Self::NoPerm => "NOPERM",
            Self::NotSaved => "NOTSAVED",
            Self::OverQuota => "OVERQUOTA",
            Self::Parse => "PARSE",
            Self::PermanentFlags { .. } => "PERMANENTFLAGS",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::ServerBug => "SERVERBUG",
            Self::TooBig => "TOOBIG",
            Self::TryCreate => "TRYCREATE",
            Self::UidNext(_) => "UIDNEXT",
            Self::UidValidity(_) => "UIDVALIDITY",
            Self::Unavailable => "UNAVAILABLE",
            Self::UnknownCte => "UNKNOWN-CTE",
            Self::Unseen(_) => "UNSEEN",
            Self::UseAttr => "USEATTR",
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.word().as_bytes());
        match self {
            Self::AppendUid(validity, uid) => put(out, format_args!(" {validity} {uid}")),
            Self::BadCharset(names) if !names.is_empty() => {
                out.extend_from_slice(b" (");
                for (index, name) in names.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    // A charset in a code may be quoted, never a literal: see `string::quoted`.
                    string::quoted(name.as_bytes(), out);
                }
                out.push(b')');
            }
            Self::Capability(list) => {
                out.push(b' ');
                let good = |byte: &u8| *byte == b' ' || (byte.is_ascii_graphic() && *byte != b']');
                out.extend(list.bytes().filter(good));
            }
            Self::CopyUid { validity, from, to } => {
                put(out, format_args!(" {validity} "));
                string::ranges(from, out);
                out.push(b' ');
                string::ranges(to, out);
            }
            Self::HighestModSeq(modseq) => put(out, format_args!(" {modseq}")),
            Self::Modified(set) => {
                out.push(b' ');
                string::ranges(set, out);
            }
            Self::PermanentFlags { flags, any } => {
                out.push(b' ');
                string::flags(flags, *any, out);
            }
            Self::UidNext(uid) => put(out, format_args!(" {uid}")),
            Self::UidValidity(validity) => put(out, format_args!(" {validity}")),
            Self::Unseen(msn) => put(out, format_args!(" {msn}")),
            _ => {}
        }
    }
}
