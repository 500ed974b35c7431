//! What the dialogue asks its edge, and the edge's answers.

use super::command::{Command, DateTime, Flag, MailboxName, Tag};
use super::response::{Code, Text};
use crate::sasl::{Nonce, Password, Verifiers};

/// A question for the edge. Until it is answered no other command is begun (RFC 9051 §5.5).
///
/// Untagged data that belong to the answer are written by the edge, made by
/// [`super::response`], *before* it answers.
#[derive(Debug)]
pub enum Ask {
    /// LOGIN, or a SASL mechanism that sends the password. Answer `Ok` (then the account is logged
    /// in), `No` with [`Code::AuthenticationFailed`] after the delay that limits guessing, or `Bye`.
    /// Right and wrong users must cost the same (C1).
    Password {
        /// As the client wrote it; canonicalise before look-up.
        user: String,
        /// Whom it wants to act as, if not itself; refuse unless that is the same account.
        authzid: Option<String>,
        /// What to check, by [`Verifiers::check`].
        password: Password,
    },
    /// SCRAM: look up the user's verifiers. Answer `Verifiers`, with [`Verifiers::fake`] for an
    /// unknown user; or `No` if that cannot be had now.
    Verifiers {
        /// As the client wrote it; canonicalise before look-up.
        user: String,
    },
    /// SCRAM: the client has proved that it knows a password. Answer `Ok` (logged in), `No` or
    /// `Bye`.
    Proved {
        /// As the client wrote it.
        user: String,
        /// Whom it wants to act as, if not itself; refuse unless that is the same account.
        authzid: Option<String>,
        /// Which of the verifiers it was (app passwords).
        verifier: usize,
    },
    /// SCRAM: the proof fits no verifier. Count it, wait as for a wrong password, and answer `No`
    /// or `Bye` (C1).
    Refused {
        /// As the client wrote it.
        user: String,
    },
    /// A command of an account that is logged in. Answer `Ok`, `No`, `Bad` or `Bye`.
    ///
    /// Commands on messages are only asked while a mailbox is selected: after SELECT or EXAMINE was
    /// answered `Ok`, until CLOSE or UNSELECT was, or the next SELECT is answered `No` (RFC 9051
    /// §6.3.2); `Bad` changes nothing. QRESYNC's parameters are only asked after ENABLE QRESYNC.
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
    /// To [`Ask::Verifiers`], with fresh randomness.
    Verifiers(Verifiers, Nonce),
}
