//! The one table from what can go wrong to what the client is told.

use std::net::IpAddr;
use std::time::Duration;

use net::Gone;
use proto::smtp::Reply;
use store::directory::DirectoryError;
use store::{AcceptError, LogError};

fn reply(code: u16, enhanced: (u16, u16), text: &'static str) -> Reply {
    Reply::new(code, enhanced, text)
}

/// What the store says of a message. `Err`: nobody knows whether it was stored, so nobody is told
/// anything, and the sender tries again [N].
pub(crate) fn not_stored(error: &AcceptError) -> Result<Reply, Gone> {
    Ok(match error {
        AcceptError::Unknown => return Err(Gone),
        AcceptError::Later => reply(451, (3, 2), "Cannot take mail now, try again later"),
        AcceptError::Full => no_room(),
        AcceptError::TooLarge { .. } => reply(552, (3, 4), "Message too large"),
        AcceptError::Malformed(_) => reply(554, (6, 0), "This message cannot be stored"),
    })
}

/// The owner of the domain in From asks for this.
pub(crate) fn dmarc_rejects(from: &str) -> Reply {
    let text = format!(
        "Not taken: neither SPF nor DKIM shows that this is from {from}, whose DMARC policy asks \
         to reject such mail"
    );
    Reply::new(550, (7, 1), text)
}

/// RFC 7372 §3.2: a refusal by SPF is 5.7.23. What the domain's owner says of it goes along (RFC 7208 §8.4).
pub(crate) fn spf_fails(domain: &str, explanation: Option<&str>) -> Reply {
    let said = explanation.map(|text| format!("; {domain} explains: {text}")).unwrap_or_default();
    let text = format!("Not taken: {domain} does not allow this address to send for it{said}");
    Reply::new(550, (7, 23), text)
}

/// F1
pub(crate) fn several_from() -> Reply {
    reply(550, (7, 1), "Not taken: a message must have exactly one well-formed From")
}

/// The client is on a blocklist.
pub(crate) fn listed(client: IpAddr, zone: &str) -> Reply {
    Reply::new(550, (7, 1), format!("Not taken: your address {client} is listed by {zone}"))
}

/// Greylisting (RFC 6647 §4).
pub(crate) fn come_again(wait: Duration) -> Reply {
    let text = format!("You are new here, please come again in {} seconds", wait.as_secs().max(1));
    Reply::new(451, (7, 1), text)
}

/// The spam filter says so.
pub(crate) fn spam() -> Reply {
    reply(550, (7, 1), "Not taken: this looks like spam")
}

/// A filter's own words (`550 5.7.1 text`), where they are a reply that refuses; else `usual`.
pub(crate) fn filter_says(words: Option<&str>, usual: Reply) -> Reply {
    let said = words.and_then(mail::Reply::parse).filter(|said| !said.is_positive());
    let Some(said) = said else { return usual };
    let (_, subject, detail) = said.enhanced.unwrap_or((0, 7, 1));
    Reply::new(said.code, (subject, detail), said.text)
}

/// The spam filter wants to see it again.
pub(crate) fn spam_later() -> Reply {
    reply(451, (7, 1), "Please try again later")
}

/// What an account may send in a day is sent.
pub(crate) fn day_is_full(what: &str, most: u64) -> Reply {
    let text = format!("The limit of {most} {what} a day is reached; try again tomorrow");
    Reply::new(452, (7, 1), text)
}

/// What was sent today is not known.
pub(crate) fn no_budget(error: &engine::ReadError) -> Reply {
    tracing::warn!(%error, "a budget gave no answer");
    reply(451, (3, 0), "Cannot look at your limits now, try again later")
}

/// The medium is full [α].
pub(crate) fn no_room() -> Reply {
    reply(452, (3, 1), "No room for mail now, try again later")
}

/// The directory did not answer.
pub(crate) fn no_directory(error: &DirectoryError) -> Reply {
    tracing::warn!(%error, "the directory gave no answer");
    reply(451, (3, 0), "Cannot look this up now, try again later")
}

/// An account's log did not answer when its quota was asked for.
pub(crate) fn no_account(error: &LogError) -> Reply {
    tracing::warn!(%error, "an account's log gave no answer");
    reply(451, (3, 0), "Cannot look at this mailbox now, try again later")
}

/// RFC 4954 §6: the directory did not answer a login, or too many passwords wait to be checked.
pub(crate) fn no_login(error: &dyn std::error::Error) -> Reply {
    tracing::warn!(%error, "login not possible");
    reply(454, (7, 0), "Temporary authentication failure")
}

/// C1: the one answer to a wrong password, an unknown user, and whoever may not log in.
pub(crate) fn wrong_password() -> Reply {
    reply(535, (7, 8), "Wrong user name or password")
}

pub(crate) fn no_such_user() -> Reply {
    reply(550, (1, 1), "No such user here")
}

/// A rewritten sender of ours, but not from the null sender.
pub(crate) fn reports_only() -> Reply {
    reply(550, (7, 1), "This address takes reports only")
}

/// A rewritten sender of ours, of long ago.
pub(crate) fn no_longer() -> Reply {
    reply(550, (1, 6), "This address was for reports, and is no longer valid")
}

/// A rewritten sender of ours whose domain we send nothing to.
pub(crate) fn no_way_back() -> Reply {
    reply(550, (1, 2), "Mail to the sender's domain is not sent from here")
}

/// C3
pub(crate) fn no_relay() -> Reply {
    reply(550, (7, 1), "We do not relay, and this domain is not ours")
}

/// Submission to another domain.
pub(crate) fn not_outside() -> Reply {
    reply(550, (7, 1), "Mail to other domains is not sent from here yet")
}

pub(crate) fn mailbox_full() -> Reply {
    reply(452, (2, 2), "This mailbox is full, try again later")
}

pub(crate) fn not_your_sender() -> Reply {
    reply(553, (7, 1), "This sender address is not yours")
}

pub(crate) fn not_your_from() -> Reply {
    reply(550, (7, 1), "The address in From is not yours")
}

/// RFC 5321 §6.3
pub(crate) fn loops() -> Reply {
    reply(554, (4, 6), "Too many hops, this message goes in circles")
}

/// One of the recipients has forwarded it before.
pub(crate) fn forwards_back() -> Reply {
    reply(554, (4, 6), "This address has forwarded this message before, it goes in circles")
}

pub(crate) fn header_too_large() -> Reply {
    reply(552, (3, 4), "The message's header is too large")
}

/// A session that lost its place; nothing was stored.
pub(crate) fn out_of_step() -> Reply {
    reply(451, (3, 0), "Internal error, try again")
}
