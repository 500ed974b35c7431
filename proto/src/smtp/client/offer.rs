//! What a message's envelope asks of the other side.

use mail::{BodyType, Notify, Path, Reply, Ret};

/// An envelope offered to another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// MAIL FROM; `None` is the null sender `<>`.
    pub sender: Option<Path>,
    /// RCPT TO, in this order; at least one, at most 1,000.
    pub recipients: Vec<OfferedRecipient>,
    /// RET= (RFC 3461 §4.3), said only where DSN is offered.
    pub ret: Option<Ret>,
    /// ENVID= in its xtext form (RFC 3461 §4.4), said only where DSN is offered.
    pub envid: Option<String>,
    /// The content's size as it will be sent, line ends of two bytes (RFC 1870), if known.
    pub size: Option<u64>,
    /// What the content holds. Where the other side does not offer what it needs, the sender is
    /// refused in our own words with 5.6.x: nothing is rewritten.
    pub body: BodyType,
    /// Whether the content needs SMTPUTF8 (its header has UTF-8); paths that need it are seen
    /// without it.
    pub smtputf8: bool,
}

/// One recipient of an [`Offer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedRecipient {
    /// The address.
    pub path: Path,
    /// NOTIFY=, said only where DSN is offered.
    pub notify: Notify,
    /// ORCPT= in its xtext form (`type;xtext`), said only where DSN is offered.
    pub orcpt: Option<String>,
}

impl OfferedRecipient {
    /// A recipient without parameters.
    #[must_use]
    pub const fn new(path: Path) -> Self {
        Self { path, notify: Notify::UNSAID, orcpt: None }
    }
}

/// Replies to the first half of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// To MAIL FROM.
    pub sender: Reply,
    /// To each RCPT TO, in the order of the offer.
    pub recipients: Vec<Reply>,
}

impl Offered {
    /// Whether the content may follow.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.sender.is_positive() && self.recipients.iter().any(Reply::is_positive)
    }
}
