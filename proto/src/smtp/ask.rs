//! What the core asks and what its edge answers.

use mail::{BodyType, Envelope, Path, Recipient, Ret};

use super::Reply;
use crate::sasl::{Nonce, Password, Verifiers};

/// A question of the core. All but [`Ask::Abort`] want an [`Answer`] before the next step.
#[derive(Debug)]
pub enum Ask {
    /// A client has connected. [`Answer::Accepted`]: it is greeted; [`Answer::Refused`]: told so
    /// instead, and the connection closes.
    Connect,
    /// MAIL FROM. Accepted or refused.
    Sender(Box<Sender>),
    /// RCPT TOs, 1..=100 that came together; [`Answer::Recipients`], one for each, in order.
    Recipients(Vec<Recipient>),
    /// Content is about to come, for this envelope (one recipient at least, those that were
    /// accepted). Accepted: it follows as `Step::Take`, then [`Ask::Commit`] or [`Ask::Abort`].
    Begin(Box<Envelope>),
    /// All content has come. [`Answer::Stored`], [`Answer::Refused`], or nobody is told
    /// (`net::Gone`) where the outcome is unknown [N].
    Commit,
    /// What came since [`Ask::Begin`] is to be thrown away; needs no answer.
    Abort,
    /// AUTH: the verifiers of this user; [`Answer::Verifiers`], of an unknown user's too
    /// ([`Verifiers::fake`], C1), or refused.
    Verifiers {
        /// As the client wrote it.
        user: String,
    },
    /// AUTH has come to an end. Accepted: the client is told 235; else refused.
    Login(Login),
}

/// MAIL FROM and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `None`: the null sender `<>`.
    pub path: Option<Path>,
    /// SIZE= (RFC 1870), never over the limit for messages.
    pub size: Option<u64>,
    /// BODY=
    pub body: BodyType,
    /// SMTPUTF8 (RFC 6531)
    pub smtputf8: bool,
    /// RET= (RFC 3461)
    pub ret: Option<Ret>,
    /// ENVID= as it came (xtext).
    pub envid: Option<String>,
}

/// The end of an AUTH exchange, to be decided by the edge.
#[derive(Debug)]
pub enum Login {
    /// PLAIN, LOGIN: check the password ([`Verifiers::check`]).
    Check {
        /// As the client wrote it.
        user: String,
        /// Whom it wants to act as, if not itself.
        authzid: Option<String>,
        /// What to check.
        password: Password,
    },
    /// SCRAM: a password was proved; may this account log in?
    Proved {
        /// As the client wrote it.
        user: String,
        /// Whom it wants to act as, if not itself.
        authzid: Option<String>,
        /// Which of the verifiers it was.
        verifier: usize,
    },
    /// SCRAM: the proof was wrong. Count it, and answer [`Answer::Refused`] in the words used for
    /// a wrong password (C1).
    Disproved {
        /// As the client wrote it.
        user: String,
    },
}

/// An answer. One that does not fit its question is taken as a temporary failure (451), so that
/// nothing is ever acknowledged by mistake.
#[derive(Debug)]
pub enum Answer<Receipt> {
    /// Yes.
    Accepted,
    /// No, in these words.
    Refused(Reply),
    /// For each recipient asked about, in order.
    Recipients(Vec<Result<(), Reply>>),
    /// The message is durable. The only way to 250 after content (promise 1).
    Stored(Receipt),
    /// The user's verifiers, and fresh randomness.
    Verifiers(Box<Verifiers>, Nonce),
}
