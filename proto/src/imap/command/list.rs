//! LIST, plain and extended (RFC 9051 §6.3.9, RFC 5258), and what STATUS tells.

/// LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Put before each pattern.
    pub reference: String,
    /// With `*` and `%`, decoded; at least one, at most 100. An empty one (plain LIST only) asks
    /// for the separator.
    pub patterns: Vec<String>,
    /// Which mailboxes.
    pub select: ListSelect,
    /// What to tell of them.
    pub told: ListReturn,
    /// The client used extended syntax: CHILDINFO may be sent, and all attributes that cost nothing.
    pub extended: bool,
}

/// LIST selection options (RFC 5258 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListSelect {
    /// SUBSCRIBED
    pub subscribed: bool,
    /// REMOTE; we have none.
    pub remote: bool,
    /// RECURSIVEMATCH; only with another one.
    pub recursive_match: bool,
    /// SPECIAL-USE: what mailboxes are for is told (RFC 6154 §4).
    pub special_use: bool,
}

/// LIST return options (RFC 5258 §3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListReturn {
    /// SUBSCRIBED
    pub subscribed: bool,
    /// CHILDREN
    pub children: bool,
    /// SPECIAL-USE: only mailboxes with a use are listed (RFC 6154 §4).
    pub special_use: bool,
    /// STATUS (RFC 5819) with what to tell; empty if not asked for.
    pub status: Vec<StatusItem>,
}

/// What STATUS tells (RFC 9051 §6.3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// MESSAGES
    Messages,
    /// RECENT (RFC 3501); 0 is a right answer
    Recent,
    /// UIDNEXT
    UidNext,
    /// UIDVALIDITY
    UidValidity,
    /// UNSEEN
    Unseen,
    /// DELETED
    Deleted,
    /// DELETED-STORAGE: what EXPUNGE would free, in units of 1,024 octets as the quota's STORAGE
    /// (RFC 9208 §4.1.4; QUOTA=RES-STORAGE demands it)
    DeletedStorage,
    /// SIZE (RFC 8438)
    Size,
    /// HIGHESTMODSEQ (RFC 7162)
    HighestModSeq,
    /// APPENDLIMIT (RFC 7889)
    AppendLimit,
}
