//! How a connection to another server ends before its time.

use mail::Reply;

/// How far a connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Our own side: the egress could not be reached, its source address not be used. Says nothing
    /// of the destination [g′].
    Egress,
    /// The destination's address: refused, unreachable, timed out, or not one that may be called.
    Connect,
    /// TLS: the handshake failed, or the certificate is not what it must be.
    Tls,
    /// Waiting for the greeting, or it refused us.
    Greeting,
    /// EHLO and HELO.
    Hello,
    /// STARTTLS was refused, not offered though demanded, or answered with more than one reply
    /// (A3).
    StartTls,
    /// AUTH.
    Login,
    /// MAIL FROM (and RSET before it).
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA, before the go-ahead.
    Data,
    /// While the content was sent.
    Content,
    /// After the final dot.
    End,
}

impl Stage {
    /// Its name, for events, `trace` and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Hello => "hello",
            Self::StartTls => "starttls",
            Self::Login => "login",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Data => "data",
            Self::Content => "content",
            Self::End => "end",
        }
    }
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How far it had come.
    pub stage: Stage,
    /// What the other side said, if it said something: to be classified.
    pub reply: Option<Reply>,
    /// What happened, in our words: one lower-case line.
    pub why: String,
    /// The final dot was sent and no answer came: it may have been delivered. Never switch the
    /// egress now [g′]; record it before the next try.
    pub unknown: bool,
}

impl Fault {
    /// A fault without words of the other side.
    #[must_use]
    pub fn new(stage: Stage, why: impl Into<String>) -> Self {
        Self { stage, reply: None, why: why.into(), unknown: false }
    }

    /// The other side ended it with this reply.
    #[must_use]
    pub fn refused(stage: Stage, reply: Reply) -> Self {
        let why = format!("refused: {reply}");
        Self { stage, reply: Some(reply), why, unknown: false }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.stage.name(), self.why)
    }
}

impl std::error::Error for Fault {}
