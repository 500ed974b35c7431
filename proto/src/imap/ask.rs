//! What the dialogue asks its edge, and the edge's answers.

use super::command::{Command, DateTime, Flag, MailboxName, Secret, Tag};
use super::response::{Code, Text};

/// A question for the edge. Until it is answered no other command is begun (RFC 9051 §5.5).
///
/// Untagged data that belong to the answer are written by the edge, made by
/// [`super::response`], *before* it answers.
#[derive(Debug)]
pub enum Ask {
    /// LOGIN, or a SASL mechanism that sends the password. Answer `Ok` (then the account is logged
    /// in), `No` with [`Code::AuthenticationFailed`], after the delay that limits guessing, or
    /// `Bye`. Right and wrong users must cost the same (RELIABILITY C1).
    Password {
        /// Whose password it is.
        user: String,
        /// Whom to act as, where it is another one (RFC 4616).
        authzid: Option<String>,
        /// To check.
        password: Secret,
    },
    /// A mailbox command. Answer `Ok`, `No`, `Bad` or `Bye`.
    Command(Box<Command>),
    /// APPEND up to its message. Answer `Go` to have the message by `Step::Take` and then
    /// [`Ask::AppendEnd`], or `No`.
    AppendBegin(Box<Append>),
    /// The message is whole. Answer `Ok` with [`Code::AppendUid`] only when it is durable, or `No`.
    AppendEnd,
    /// What followed the message was not the end of the command (or it has a NUL and was no
    /// literal8): forget it. Answer anything; the client gets BAD.
    AppendAbort,
    /// IDLE has begun: from now on changes may be written at any time. Answer `Go`, or `No`.
    IdleStart,
    /// DONE: write what is still to be told, then answer `Ok`.
    IdleEnd,
}

/// APPEND up to its message literal (RFC 9051 §6.3.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Repeated in the tagged response.
    pub tag: Tag,
    /// Where to.
    pub mailbox: MailboxName,
    /// Without duplicates.
    pub flags: Vec<Flag>,
    /// Its internal date; else now.
    pub date: Option<DateTime>,
    /// How many octets follow; within the configured limit when it is asked.
    pub size: u64,
    /// A literal8: NUL is allowed in it (RFC 3516 §4.4).
    pub binary: bool,
}

/// The edge's answer.
#[derive(Debug)]
pub enum Answer {
    /// Tagged OK.
    Ok(Option<Code>, Text),
    /// Tagged NO.
    No(Option<Code>, Text),
    /// Tagged BAD.
    Bad(Option<Code>, Text),
    /// Untagged BYE, then close; no tagged response.
    Bye(Option<Code>, Text),
    /// Go on: send the message; idling.
    Go,
}
