//! A message on its way into the store.

mod incoming;
mod outgoing;

use std::collections::BTreeSet;

use bytes::Bytes;
use mail::Envelope;
use mail::date::DateTime;
use mail::header::addresses;
use mail::header::filter::{Filter, Unwanted};
use mail::summary::FieldName;
use mail::trace::{NotAField, RECEIVED_MAX};
use mail::verdicts::AuthenticationResults;
use net::Gone;
use proto::smtp::{Reply, Role, Session as Client};
use store::{Accept, AcceptError, Incoming, Receipt};

use crate::replies;
use crate::session::Caller;
use crate::trace::Trace;

/// Addresses of From that are looked up; nobody has more.
const FROM_ADDRESSES_MAX: usize = 20;

/// A refusal, or nothing that may be said.
pub(crate) type Refusal = Result<Reply, Gone>;

/// Envelope and content so far.
pub(crate) struct Message {
    envelope: Envelope,
    /// Takes out and adds the few fields that are changed at all.
    filter: Filter,
    /// The first thing that went wrong; the rest of the content is thrown away.
    content: Result<Incoming, AcceptError>,
}

impl Message {
    /// Nothing is written yet (I12).
    pub(crate) async fn begin(caller: &Caller, mut envelope: Envelope) -> Result<Self, Refusal> {
        // I6: who is named twice gets one copy.
        for recipient in &mut envelope.recipients {
            if let Some(original) = caller.returns.get(recipient.path.address()) {
                recipient.path = original.clone();
            }
        }
        let mut seen = BTreeSet::new();
        envelope.recipients.retain(|recipient| seen.insert(recipient.path.address().clone()));
        let filter = filter(caller).map_err(|_| Ok(replies::out_of_step()))?;
        match caller.shared.store.ingest().begin().await {
            Ok(incoming) => Ok(Self { envelope, filter, content: Ok(incoming) }),
            Err(error) => Err(replies::not_stored(&error)),
        }
    }

    /// What is wrong is told at the end: that is when a client listens.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        if self.filter.is_done() {
            return self.put(bytes).await;
        }
        let mut kept = Vec::with_capacity(bytes.len());
        self.filter.feed(bytes, &mut kept);
        self.put(&kept).await;
    }

    async fn put(&mut self, bytes: &[u8]) {
        if let Ok(incoming) = &mut self.content
            && let Err(error) = incoming.write(bytes).await
        {
            self.content = Err(error);
        }
    }

    /// All content has come: checks it, and has it stored.
    pub(crate) async fn commit(self, caller: &Caller, client: &Client) -> Result<Receipt, Refusal> {
        let outcome = self.store(caller, client).await;
        let result = match &outcome {
            Ok(_) => "stored",
            Err(Ok(reply)) if reply.is_permanent() => "refused",
            Err(Ok(_)) => "later",
            Err(Err(Gone)) => "unknown",
        };
        let role = match caller.role() {
            Role::Mx => "mx",
            Role::Submission => "submission",
        };
        if let Err(Ok(reply)) = &outcome {
            tracing::info!(peer = %caller.peer, code = reply.code(), "message not taken");
        }
        metrics::counter!("postroad_smtp_messages_total", "role" => role, "result" => result)
            .increment(1);
        outcome
    }

    async fn store(mut self, caller: &Caller, client: &Client) -> Result<Receipt, Refusal> {
        let mut rest = Vec::new();
        self.filter.finish(&mut rest);
        self.put(&rest).await;
        let not_stored = |error: AcceptError| replies::not_stored(&error);
        let taken = self.content.map_err(not_stored)?.end().await.map_err(not_stored)?;
        let scanned = taken.scanned();
        if scanned.header_too_large {
            return Err(Ok(replies::header_too_large()));
        }
        if scanned.counts.received as usize > RECEIVED_MAX {
            tracing::warn!(peer = %caller.peer, "a message goes in circles");
            return Err(Ok(replies::loops()));
        }
        let size = scanned.summary.size;
        let engines = caller.shared.store.engines();
        let id = format!("{:016x}", u64::from_be_bytes(engines.random.bytes()));
        let (mut verdicts, mut signatures) = (None, Vec::new());
        match caller.role() {
            Role::Mx => {
                if scanned.counts.delivered_to > 0 {
                    incoming::circles(&self.envelope, &taken, caller).await?;
                }
                verdicts = incoming::judge(&self.envelope, &taken, caller, client, &id).await?;
            }
            Role::Submission => {
                own_from(caller, &scanned.summary).await.map_err(Ok)?;
                outgoing::spend(caller, &self.envelope).await.map_err(Ok)?;
                signatures = outgoing::sign(caller, &self.envelope, &taken).await?;
            }
        }
        let host = &caller.shared.options.core.host;
        let results = verdicts.as_ref().and_then(|verdicts| {
            let (host, peer) = (host.as_str(), caller.peer.address);
            AuthenticationResults { host, peer, verdicts }.field()
        });
        let trace = Trace {
            host,
            peer: (!caller.hides_client()).then_some(caller.peer.address),
            peer_name: verdicts.as_ref().and_then(incoming::reverse_name),
            above: results.iter().chain(&signatures),
            client,
            id: &id,
            at: engines.index.now(),
        };
        let prefix = trace.prefix(&self.envelope);
        let prefix = prefix.map_err(|_| Ok(replies::out_of_step()))?.into_bytes();
        let recipients = self.envelope.recipients.len();
        let junk = verdicts.as_ref().is_some_and(|verdicts| verdicts.junk);
        let verdicts = verdicts.map(|verdicts| Bytes::from(verdicts.encode())).unwrap_or_default();
        let accept = Accept { envelope: self.envelope, prefix: Bytes::from(prefix), verdicts };
        let receipt = taken.commit(accept).await.map_err(not_stored)?;
        let account = caller.account.as_ref().map(|entry| entry.id.to_string());
        tracing::info!(
            record = %receipt.record(), recipients, size, peer = %caller.peer, account, id, junk,
            "message stored"
        );
        metrics::counter!("postroad_smtp_stored_bytes_total").increment(size);
        Ok(receipt)
    }
}

/// What is changed (docs/rules.md, *Addresses and text*): nobody from outside speaks of checks
/// in our name (RFC 8601 §5); what our people submit keeps its blind copies blind, and gets the
/// Date and Message-ID that it lacks (RFC 6409 §8.1, §8.3).
fn filter(caller: &Caller) -> Result<Filter, NotAField> {
    let host = &caller.shared.options.core.host;
    match caller.role() {
        Role::Mx => {
            let ours = Unwanted::AuthenticationResults(host.as_str().to_owned());
            Ok(Filter::new(vec![ours]))
        }
        Role::Submission => {
            let engines = caller.shared.store.engines();
            let date = DateTime::from_timestamp(engines.index.now());
            let id = u128::from_be_bytes(engines.random.bytes());
            Filter::new(vec![Unwanted::Bcc])
                .adding(format!("Date: {date}\r\n"))?
                .adding(format!("Message-ID: <{id:032x}@{host}>\r\n"))
        }
    }
}

/// C3: what people see as the sender of a submission is an address of the account's too. A message
/// without From is taken as it is.
async fn own_from(caller: &Caller, summary: &mail::Summary) -> Result<(), Reply> {
    let Some(account) = &caller.account else { return Err(replies::not_your_from()) };
    let from = summary.fields.iter().filter(|field| field.name == FieldName::From);
    let items: Vec<_> = from.flat_map(|field| addresses(field.value())).collect();
    if items.len() > FROM_ADDRESSES_MAX {
        return Err(replies::not_your_from());
    }
    for item in items {
        let (Some(local), Some(host)) = (&item.mailbox, &item.host) else { continue };
        let text = (std::str::from_utf8(local).ok(), std::str::from_utf8(host).ok());
        let (Some(local), Some(host)) = text else { return Err(replies::not_your_from()) };
        let domain = mail::Domain::parse(host).map_err(|_| replies::not_your_from())?;
        let address = mail::Address::new(local, domain).map_err(|_| replies::not_your_from())?;
        match caller.own_address(account, &address).await {
            Err(reply) if reply.is_permanent() => return Err(replies::not_your_from()),
            other => other?,
        }
    }
    Ok(())
}
