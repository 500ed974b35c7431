//! What is thought of a message from outside before it is taken.

use mail::header::header_length;
use mail::report::ReportKind;
use mail::verdicts::Found;
use mail::{Envelope, Verdicts, trace};
use proto::smtp::Session as Client;
use store::Taken;

use super::Refusal;
use crate::policy::Arrival;
use crate::replies;
use crate::session::Caller;

/// Judges it by its authentication, by who lists its client, and by the spam filter. The whole message is held in memory meanwhile, within the budget of the process.
pub(super) async fn judge(
    envelope: &Envelope,
    taken: &Taken,
    caller: &Caller,
    client: &Client,
    id: &str,
) -> Result<Option<Verdicts>, Refusal> {
    let options = &caller.shared.options;
    let asks = options.judge.is_some() || options.spam.is_some() || options.milter.is_some();
    if !asks && caller.listed.is_none() {
        return Ok(None);
    }
    let whole = taken.whole().await.map_err(|error| replies::not_stored(&error))?;
    let arrival = Arrival {
        peer: caller.peer.address,
        helo: client.hello().unwrap_or("unknown"),
        sender: envelope.sender.as_ref(),
        host: &options.core.host,
        at: caller.shared.store.engines().index.now(),
        message: &whole,
    };
    let mut verdicts = Verdicts::default();
    if let Some(judge) = &options.judge {
        let judgement = judge.judge(&arrival).await;
        if let Some((domain, seen)) = &judgement.counted {
            let reports = caller.shared.store.reports();
            reports.count(ReportKind::Dmarc, domain, seen.encode());
        }
        if let Some(reply) = judgement.refused {
            return Err(Ok(reply));
        }
        verdicts = judgement.verdicts;
    }
    if let Some(listed) = &caller.listed {
        listed.tell(&mut verdicts);
    }
    if let Some(spam) = &options.spam
        && let Some(reply) = spam.ask(&arrival, envelope, &mut verdicts).await
    {
        return Err(Ok(reply));
    }
    if let Some(milter) = &options.milter
        && let Some(reply) = milter.ask(&arrival, envelope, id, &mut verdicts).await
    {
        return Err(Ok(reply));
    }
    Ok(Some(verdicts))
}

/// Refuses what one of its recipients has forwarded before (RFC 5321 §6.3): it came back, and would
/// again. Only who leads outside puts Delivered-To there, so nobody else's is looked at.
pub(super) async fn circles(
    envelope: &Envelope,
    taken: &Taken,
    caller: &Caller,
) -> Result<(), Refusal> {
    let whole = taken.whole().await.map_err(|error| replies::not_stored(&error))?;
    let header = whole.get(..header_length(&whole)).unwrap_or_default();
    for recipient in &envelope.recipients {
        let address = recipient.path.address();
        if !trace::was_delivered_to(header, address) {
            continue;
        }
        let expanded = caller.shared.store.directory().expand(address).await;
        if !expanded.map_err(|error| Ok(replies::no_directory(&error)))?.outside.is_empty() {
            tracing::warn!(peer = %caller.peer, "a forwarded message came back");
            return Err(Ok(replies::forwards_back()));
        }
    }
    Ok(())
}

/// The client's name that leads back to it.
pub(super) fn reverse_name(verdicts: &Verdicts) -> Option<&str> {
    let reverse = verdicts.reverse.as_ref()?;
    (reverse.found == Found::Pass).then_some(reverse.name.as_str())
}
