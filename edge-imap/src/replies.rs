//! From errors to replies: the one table (RFC 5530 codes). What is not known to have happened or
//! not gets no reply at all: the connection ends (A timeout is not a failure).

use net::Gone;
use proto::imap::Answer;
use proto::imap::response::Code;
use store::{AcceptError, ChangeError, LogError};

/// Why a command is not carried out.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Tell the client.
    Answer(Box<Answer>),
    /// Say nothing more and close.
    Gone,
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Answer(Box::new(refusal.answer()))
    }
}

/// Why the mailbox or the account does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The mailbox does not exist.
    NoMailbox,
    /// It does not exist, but could be created: APPEND, COPY, MOVE.
    TryCreate,
    /// The mailbox was deleted while it was selected.
    Deleted,
    /// EXAMINEd.
    ReadOnly,
    /// Sequence numbers that no message has.
    BadSet,
    /// No mailbox is selected.
    NotSelected,
    /// Messages asked for by number are gone (RFC 2180 §4.1).
    ExpungeIssued,
    /// The account's quota.
    OverQuota,
    /// A limit, named.
    Limit(&'static str),
    /// A name of this kind cannot be used.
    Name(&'static str),
    /// There is one already.
    AlreadyExists,
    /// INBOX stays.
    Inbox,
    /// A part whose transfer encoding is not known.
    UnknownCte,
    /// The body cannot be read now.
    Unreadable,
    /// A charset that is not known.
    BadCharset,
    /// A special use that a mailbox cannot be given.
    SpecialUse,
    /// Only one's own quota.
    QuotaRoot,
    /// There is nothing to do: success.
    Nothing,
}

impl Refusal {
    pub(crate) fn answer(self) -> Answer {
        let no = |code: Code, text: &'static str| Answer::No(Some(code), text.into());
        match self {
            Self::NoMailbox => no(Code::NonExistent, "no such mailbox"),
            Self::TryCreate => no(Code::TryCreate, "no such mailbox; create it first"),
            Self::Deleted => no(Code::NonExistent, "the selected mailbox was deleted"),
            Self::ReadOnly => Answer::No(None, "the mailbox is selected read-only".into()),
            Self::BadSet => Answer::Bad(None, "no message has such a number".into()),
            Self::NotSelected => Answer::Bad(None, "select a mailbox first".into()),
            Self::ExpungeIssued => no(Code::ExpungeIssued, "some messages are gone"),
            Self::OverQuota => no(Code::OverQuota, "the account's quota is used up"),
            Self::Limit(text) => no(Code::Limit, text),
            Self::Name(text) => no(Code::Cannot, text),
            Self::AlreadyExists => no(Code::AlreadyExists, "there is such a mailbox already"),
            Self::Inbox => no(Code::Cannot, "INBOX cannot be deleted"),
            Self::UnknownCte => no(Code::UnknownCte, "the part's transfer encoding is not known"),
            Self::Unreadable => no(Code::Unavailable, "a message cannot be read now, try again"),
            Self::BadCharset => no(
                Code::BadCharset(vec!["UTF-8".into(), "US-ASCII".into()]),
                "charset not known, or text that is not of it",
            ),
            Self::Nothing => Answer::Ok(None, "nothing to do".into()),
            Self::SpecialUse => no(Code::UseAttr, "a mailbox cannot be created for such a use"),
            Self::QuotaRoot => no(Code::NoPerm, "no such quota root"),
        }
    }
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        let no = |code: Code, text: &'static str| Answer::No(Some(code), text.into());
        let answer = match &error {
            // It may have happened: the client finds out when it is back (unknown is never
            // success, and never failure).
            LogError::Unknown => {
                tracing::warn!(%error, "outcome of a change unknown, connection closed");
                return Self::Gone;
            }
            LogError::Unavailable(_) => no(Code::Unavailable, "mail store not available now"),
            LogError::Full => no(Code::Unavailable, "no room left in the mail store"),
            LogError::Behind => no(Code::InUse, "the mailbox changes too fast, try again"),
            LogError::TooLarge => no(Code::Limit, "too much at once, ask for less"),
            LogError::Fenced { .. } => {
                Answer::Bye(Some(Code::Unavailable), "the account has moved, log in again".into())
            }
            LogError::Broken { .. } => no(Code::ServerBug, "the account needs repair"),
            LogError::Damaged(_) => no(Code::Corruption, "stored data damaged"),
            _ => no(Code::ServerBug, "internal error"),
        };
        match &error {
            LogError::Broken { .. } | LogError::Damaged(_) => {
                tracing::error!(%error, "account cannot be used");
            }
            _ => tracing::warn!(%error, "command not carried out"),
        }
        Self::Answer(Box::new(answer))
    }
}

impl From<AcceptError> for Stop {
    fn from(error: AcceptError) -> Self {
        let no = |code: Code, text: &'static str| {
            Self::Answer(Box::new(Answer::No(Some(code), text.into())))
        };
        match error {
            AcceptError::Unknown => {
                tracing::warn!(%error, "outcome of an APPEND unknown, connection closed");
                Self::Gone
            }
            AcceptError::Later => no(Code::Unavailable, "mail store not available now"),
            AcceptError::Full => no(Code::Unavailable, "no room left in the mail store"),
            AcceptError::TooLarge { .. } => no(Code::TooBig, "message too large"),
            AcceptError::Malformed(_) => no(Code::Cannot, "the message cannot be stored"),
        }
    }
}

impl From<ChangeError<Refusal>> for Stop {
    fn from(error: ChangeError<Refusal>) -> Self {
        match error {
            ChangeError::Refused(refusal) => refusal.into(),
            ChangeError::Log(error) => error.into(),
        }
    }
}
