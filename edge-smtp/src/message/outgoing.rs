//! What a submission needs besides a sender of one's own: room in the day's budget, and signatures.

use std::sync::Arc;

use mail::dkim::body_hash;
use mail::header::{addresses, header_length};
use mail::summary::FieldName;
use mail::{Domain, Envelope, Summary};
use proto::smtp::Reply;
use store::rows::{BudgetKind, BudgetOwner};
use store::{Taken, Whole};

use super::Refusal;
use crate::replies;
use crate::session::Caller;

/// Bytes that are hashed at once, in about a millisecond.
const HASHED_HERE_MAX: usize = 256 * 1024;

/// Counts a message and its recipients against the account's day. Only who has logged in spends
/// (I12).
pub(super) async fn spend(caller: &Caller, envelope: &Envelope) -> Result<(), Reply> {
    let Some(account) = &caller.account else { return Ok(()) };
    let budgets = caller.shared.store.budgets();
    let owner = BudgetOwner::Account(account.id);
    let daily = &caller.shared.options.daily;
    let recipients = u64::try_from(envelope.recipients.len()).unwrap_or(u64::MAX);
    for (kind, what, amount, most) in [
        (BudgetKind::Sends, "recipients", recipients, daily.recipients),
        (BudgetKind::Messages, "messages", 1, daily.messages),
    ] {
        let Some(most) = most else { continue };
        match budgets.spend(&owner, kind, amount, most).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(account = %account.id, what, most, "a day's limit is reached");
                return Err(replies::day_is_full(what, most));
            }
            Err(error) => return Err(replies::no_budget(&error)),
        }
    }
    Ok(())
}

/// The DKIM-Signature fields of a submission: one per kind of key that its domain has. The domain
/// is that of From, which is the account's own; without From, the sender's.
pub(super) async fn sign(
    caller: &Caller,
    envelope: &Envelope,
    taken: &Taken,
) -> Result<Vec<String>, Refusal> {
    if !caller.shared.options.sign {
        return Ok(Vec::new());
    }
    let of_sender = || envelope.sender.as_ref().map(|path| path.address().domain().clone());
    let Some(domain) = author(taken.summary()).or_else(of_sender) else { return Ok(Vec::new()) };
    let signers = caller.shared.store.directory().signers(&domain).await;
    let signers = signers.map_err(|error| Ok(replies::no_directory(&error)))?;
    if signers.is_empty() {
        return Ok(Vec::new());
    }
    let whole = taken.whole().await.map_err(|error| replies::not_stored(&error))?;
    let whole = Arc::new(whole);
    let body = hash(caller, &whole).await;
    let header = whole.get(..header_length(&whole)).unwrap_or_default();
    let now = caller.shared.store.engines().index.now();
    let mut all = Vec::with_capacity(signers.len());
    for signer in &signers {
        match signer.sign(header, &body, now) {
            Ok(field) => all.push(field),
            Err(error) => {
                tracing::error!(%domain, selector = signer.selector, %error, "not signed");
            }
        }
    }
    Ok(all)
}

/// The hash of a message's body. A large one is hashed beside the tasks that serve others, if there is
/// room for it.
async fn hash(caller: &Caller, whole: &Arc<Whole>) -> [u8; 32] {
    if whole.len() > HASHED_HERE_MAX {
        let shared = whole.clone();
        let work = &caller.shared.store.engines().work;
        if let Ok(hash) = work.run(move || body_hash(&shared)).await {
            return hash;
        }
    }
    body_hash(whole)
}

/// The domain of the first address in From.
fn author(summary: &Summary) -> Option<Domain> {
    let mut from = summary.fields.iter().filter(|field| field.name == FieldName::From);
    let items = addresses(from.next()?.value());
    let host = items.into_iter().find(|item| item.mailbox.is_some())?.host?;
    Domain::parse(std::str::from_utf8(&host).ok()?).ok()
}
