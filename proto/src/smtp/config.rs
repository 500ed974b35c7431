//! What a listener's connections have in common.

use std::time::Duration;

use mail::Domain;

use crate::sasl::Mechanism;

/// What clients come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Mail from other servers, for our own recipients.
    Mx,
    /// Mail of our own accounts: AUTH comes before MAIL (RFC 6409 §4.3).
    Submission,
}

/// Configuration of a listener's cores.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name in the greeting and in the reply to EHLO.
    pub host: Domain,
    /// The domain of `RCPT TO:<Postmaster>` (RFC 5321 §4.1.1.3).
    pub postmaster: Domain,
    /// What clients come for.
    pub role: Role,
    /// Whether STARTTLS is offered where TLS is not up yet.
    pub starttls: bool,
    /// Mechanisms of AUTH; none: no AUTH. Offered under TLS only, but where a connection is said
    /// to be safe in the clear ([`super::Server::new`]).
    pub auth: Vec<Mechanism>,
    /// Whether DSN is offered (RFC 3461): only where success, delay and failure are told.
    pub dsn: bool,
    /// Sizes and counts.
    pub limits: Limits,
    /// Times.
    pub times: Times,
}

/// Sizes and counts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Content of a message, in bytes as they are kept; over it 552.
    pub message_bytes_max: u64,
    /// Recipients of a transaction; over it 452. At most [`mail::envelope::RECIPIENTS_MAX`].
    pub recipients_max: usize,
    /// Messages of a connection; at the next MAIL 421.
    pub messages_max: u32,
    /// Commands that were refused (5xx); after them 421.
    pub errors_max: u32,
    /// Commands other than MAIL, RCPT, DATA and BDAT between two stored messages; after them 421.
    pub idle_commands_max: u32,
    /// Bytes of a command line, without CRLF; over it 500. An AUTH line may have 12,288.
    pub line_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 50 * 1024 * 1024,
            recipients_max: mail::envelope::RECIPIENTS_MAX,
            messages_max: 10_000,
            errors_max: 100,
            idle_commands_max: 100,
            line_bytes_max: 2_048,
        }
    }
}

/// Times. What a client takes longer for ends its connection with 421 (B3).
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Wait so long before the greeting; who talks meanwhile is no mail server (A5). Zero: greet
    /// at once.
    pub greeting_pause: Duration,
    /// A command must be complete so long after the last reply (RFC 5321 §4.5.3.2.7: 5 minutes).
    pub command: Duration,
    /// Longest silence within content (RFC 5321 §4.5.3.2.5: 3 minutes).
    pub content_silence: Duration,
    /// Content may come this much later than [`Self::content_rate`] has it.
    pub content_grace: Duration,
    /// Slowest rate of content, in bytes a second, over all the time that we waited for it.
    pub content_rate: u64,
    /// Longest time of a connection.
    pub session: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            greeting_pause: Duration::ZERO,
            command: Duration::from_secs(5 * 60),
            content_silence: Duration::from_secs(3 * 60),
            content_grace: Duration::from_secs(2 * 60),
            content_rate: 512,
            session: Duration::from_secs(60 * 60),
        }
    }
}
