//! SMTP client (RFC 5321), without I/O.
//!
//! [`Client`] is told what comes in ([`Client::receive`]) and says what to do ([`Client::step`]);
//! its driver writes, reads within the time of [`Timer`], does the TLS handshake, and gives up on
//! [`Step::Failed`]. Its promises: nothing that follows the answer to STARTTLS in clear is believed
//! (A3), and nothing learnt before TLS is remembered after it; no command or content can hold a
//! bare CR or LF (A1); parameters are said only where they are offered; an answer to nothing ends
//! the connection, so that no reply is taken for another's; once the final dot may have been sent,
//! a connection that ends without an answer is told as unknown.

mod commands;
mod content;
mod fault;
mod features;
mod login;
mod machine;
mod offer;
mod replies;

#[cfg(test)]
mod tests;

use mail::Reply;

pub use fault::{Fault, Stage};
pub use features::Features;
pub use machine::Client;
pub use offer::{Offer, Offered, OfferedRecipient};

use crate::sasl::{Nonce, Password};

/// How a connection is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// What EHLO says: a host name or an address literal. What cannot stand there becomes
    /// `localhost`.
    pub hello: String,
    /// Whether TLS is to be begun.
    pub starttls: StartTls,
    /// To log in with. With it, no mail is sent without.
    pub login: Option<Credentials>,
    /// Whether to log in without TLS, the password perhaps revealed.
    pub clear_login: bool,
    /// Whether content goes in chunks (RFC 3030) where that is offered. BINARYMIME always does.
    pub chunking: bool,
}

/// Whether STARTTLS is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// No; also for a connection that has TLS already.
    #[default]
    Never,
    /// Where it is offered; if it is refused, on without.
    Offered,
    /// Or nothing else (F4).
    Required,
}

/// To log in with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// Fresh randomness, for SCRAM.
    pub nonce: Nonce,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Write these bytes, all of them, before the next step; what comes in meanwhile is received.
    Send(&'a [u8]),
    /// Send what is buffered and read; if [`Client::turns`] does not move within this time,
    /// [`Client::broken`].
    Wait(Timer),
    /// Do the handshake, then [`Client::secured`].
    StartTls,
    /// [`Client::offer`] or [`Client::quit`].
    Ready,
    /// The answers to an offer; then as [`Step::Ready`], or [`Client::begin`] if it was accepted.
    Offered(Offered),
    /// [`Client::content`] or [`Client::end`].
    GoAhead,
    /// The content's fate: accepted (2xx) or refused. Then as [`Step::Ready`], but after 421
    /// [`Step::Closed`].
    Done(Reply),
    /// Nothing more: close.
    Closed,
    /// It is over: close without another word.
    Failed(Fault),
}

/// Which of the times of RFC 5321 §4.5.3.2 runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// For the greeting: 5 minutes.
    Greeting,
    /// For the reply to a command: 5 minutes.
    Command,
    /// For the reply to DATA: 2 minutes.
    Data,
    /// For the reply to the final dot, or a chunk: 10 minutes.
    End,
    /// For the reply to QUIT; nothing depends on it.
    Quit,
}
