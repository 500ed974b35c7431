//! What a message is told of its way: Return-Path and Received (RFC 5321 §4.4),
//! and what the checks found.

use std::net::IpAddr;

use mail::date::DateTime;
use mail::trace::{NotAField, Prefix, Received, return_path};
use mail::{Domain, Envelope, Timestamp};
use proto::smtp::Session as Client;

/// What there is to be told.
pub(crate) struct Trace<'a, A> {
    /// Our name.
    pub(crate) host: &'a Domain,
    /// The client's address; `None`: it is not told.
    pub(crate) peer: Option<IpAddr>,
    /// Its name, if it leads back to the address.
    pub(crate) peer_name: Option<&'a str>,
    /// What goes above Received: Authentication-Results, our signatures.
    pub(crate) above: A,
    /// What it said.
    pub(crate) client: &'a Client,
    /// Names this transaction here and in our events; the record's id is not known yet.
    pub(crate) id: &'a str,
    /// When.
    pub(crate) at: Timestamp,
}

impl<'a, A: Iterator<Item = &'a String>> Trace<'a, A> {
    /// The header fields that go before the message.
    pub(crate) fn prefix(self, envelope: &Envelope) -> Result<Prefix, NotAField> {
        let tls = self.client.tls().map(|tls| format!("{} {}", tls.version, tls.cipher));
        // RFC 5321 §7.2: several recipients are not told of one another.
        let recipient = match &envelope.recipients[..] {
            [only] => Some(&only.path),
            _ => None,
        };
        let received = Received {
            helo: self.client.hello().unwrap_or("unknown"),
            peer: self.peer,
            peer_name: self.peer_name,
            by: self.host.as_str(),
            with: self.client.with(envelope.smtputf8),
            tls: tls.as_deref(),
            id: self.id,
            recipient,
            when: DateTime::from_timestamp(self.at),
        };
        let mut prefix = Prefix::new();
        prefix.push(&return_path(envelope.sender.as_ref()))?;
        // RFC 8601 §4: above the Received field of the same server.
        for field in self.above {
            prefix.push(field)?;
        }
        prefix.push(&received.field())?;
        Ok(prefix)
    }
}
