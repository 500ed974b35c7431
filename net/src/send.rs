//! Mail out: connections to other servers, behind a seam that a simulation answers.
//!
//! A [`Dialer`] makes a [`Channel`]: greeted, encrypted as the [`Call`] demands, logged in if
//! asked. Over it go transactions, one after the other. Whom to call, how sure to be of it, and
//! what a refusal means is decided above.

mod call;
mod channel;
mod connect;
mod dane;
mod reach;
mod tcp;
pub(crate) mod tls;

#[cfg(test)]
pub(crate) mod tests;

use async_trait::async_trait;
use bytes::Bytes;
pub use mail::Reply;
pub use proto::smtp::client::{Fault, Features, Offer, Offered, OfferedRecipient, Stage};

pub use call::{Call, CallLimits, From, Login, Security, Verify};
pub(crate) use connect::connect;
pub use reach::{Reach, is_public};
pub use tcp::Tcp;

/// Makes connections.
#[async_trait]
pub trait Dialer: Send + Sync {
    /// Connects to `call.address`, reads the greeting, says EHLO (HELO where that is refused),
    /// takes TLS and logs in as asked. One address, one try; but where security is
    /// [`Security::Opportunistic`] and TLS fails, a second connection without it.
    /// # Errors
    /// [`Fault`], whose stage tells how far it came.
    async fn call(&self, call: Call) -> Result<Box<dyn Channel>, Fault>;
}

/// A connection that is ready for transactions.
///
/// After a [`Fault`] it is of no further use: drop it. Refusals of a sender, a recipient or the
/// content are no faults, but replies; the channel goes on with the next [`Channel::offer`].
#[async_trait]
pub trait Channel: Send {
    /// What the other side said of itself.
    fn welcome(&self) -> &Welcome;

    /// Begins a transaction: RSET if one is open, MAIL, and each RCPT, in one go where the other
    /// side offers PIPELINING. One reply per recipient, in order; where the sender is refused
    /// without PIPELINING, the recipients are not asked and get the sender's reply. If no
    /// recipient was accepted, the next call is another `offer` or `quit`, never `content`.
    /// # Errors
    /// [`Fault`]: nothing was sent; also where the other side says 421.
    async fn offer(&mut self, offer: &Offer) -> Result<Offered, Fault>;

    /// DATA or BDAT, the content, and the reply to it. `may_end` is asked right before the final
    /// dot (the last chunk): if it says no, the connection is dropped and nothing was sent [c].
    ///
    /// The content is put out as it is, dots stuffed; a bare CR or LF in it, and a NUL, ends it
    /// with a fault at [`Stage::Content`] (A1: we never send them), but for BINARYMIME.
    /// # Errors
    /// [`Fault`]: nothing was sent unless it is `unknown`.
    async fn content(
        &mut self,
        content: &mut dyn Content,
        may_end: &(dyn Fn() -> bool + Sync),
    ) -> Result<Reply, Fault>;

    /// Says QUIT, waits a little for the answer, and closes. Never fails: nothing depends on it.
    async fn quit(self: Box<Self>);
}

/// A message's content, piece by piece, lines ending in CRLF.
#[async_trait]
pub trait Content: Send {
    /// The next piece; `None` at the end.
    /// # Errors
    /// Why it cannot be read: the connection is dropped before the end, nothing was sent.
    async fn next(&mut self) -> Result<Option<Bytes>, String>;
}

/// What the other side said of itself, and how it is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Its greeting.
    pub banner: Reply,
    /// What it offers, after TLS if there is any.
    pub features: Features,
    /// TLS, if there is any.
    pub tls: Option<TlsInfo>,
    /// Why there is no TLS although it was tried ([`Security::Opportunistic`]); for TLS-RPT.
    pub tls_failure: Option<String>,
}

/// The TLS session of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// Cipher suite's IANA name.
    pub cipher: String,
    /// What the certificate was checked against.
    pub verified: Verified,
}

/// What a certificate was checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Nothing: against eavesdroppers only.
    Nothing,
    /// The public certificate authorities, and the name (RFC 8461 §4.2, or a route's).
    Names,
    /// TLSA records (RFC 7672).
    Dane,
}
