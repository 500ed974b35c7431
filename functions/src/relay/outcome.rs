//! What becomes of an item after an attempt. Pure.

use std::time::Duration;

use mail::{Envelope, Notify, Reply, Timestamp};
use store::rows::{Attempt, Delay, Item, ItemState, RecipientState};

use super::options::Options;

/// How an item goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is finished.
    Finished,
    /// Its sender is to be told something; it may go on after that.
    Report,
    /// It is tried again at its due time.
    Again,
}

/// How words are kept with a recipient: the server (`-`: we ourselves), then the reply.
pub(super) fn said(server: Option<&str>, reply: &Reply) -> String {
    format!("{} {reply}", server.filter(|name| !name.is_empty()).unwrap_or("-"))
}

/// Reads what [`said`] wrote; `None` for nothing.
pub(crate) fn parse_said(said: &str) -> Option<(Option<&str>, &str)> {
    let (server, words) = said.split_once(' ')?;
    Some(((server != "-").then_some(server), words))
}

/// A recipient was taken.
pub(super) fn taken(item: &mut Item, at: usize) {
    if let Some(recipient) = item.recipients.get_mut(at) {
        recipient.state = RecipientState::Delivered;
        recipient.said.clear();
    }
}

/// A recipient is given up, with these words.
pub(super) fn failed(item: &mut Item, at: usize, words: &str) {
    item.say(at, words);
    if let Some(recipient) = item.recipients.get_mut(at) {
        recipient.state = RecipientState::Failed;
    }
}

/// Notes an attempt.
pub(super) fn attempted(item: &mut Item, now: Timestamp, via: &str, words: String) {
    item.record_attempt(Attempt { at: now, via: via.to_owned(), words });
}

/// It was tried long enough: whoever is still open is given up.
pub(super) fn expire(item: &mut Item) {
    for at in 0..item.recipients.len() {
        let open = item.recipients.get(at).filter(|one| one.state == RecipientState::Open);
        let Some(open) = open else { continue };
        let words = match open.said.is_empty() {
            true => "- 554 4.4.7 It could not be delivered within the time allowed".to_owned(),
            false => open.said.clone(),
        };
        failed(item, at, &words);
    }
}

/// Sets the state that follows from the recipients' states, and when the item is due.
pub(super) fn conclude(
    item: &mut Item,
    envelope: &Envelope,
    now: Timestamp,
    options: &Options,
    after: Option<Duration>,
    jitter: impl FnOnce(Duration) -> Duration,
) -> End {
    item.lease = None;
    // D2: never to the null sender; and RFC 3461 §4.1: nobody who does not want to know.
    for recipient in &mut item.recipients {
        let notify = notify_of(envelope, recipient.envelope);
        let unwanted = envelope.sender.is_none()
            || !(notify == Notify::UNSAID || notify.contains(Notify::FAILURE));
        if recipient.state == RecipientState::Failed && unwanted {
            recipient.state = RecipientState::Told;
        }
    }
    let any = |state| item.recipients.iter().any(|one| one.state == state);
    let open = any(RecipientState::Open);
    let failed = any(RecipientState::Failed);
    if !open && !failed {
        let all_taken = !any(RecipientState::Told);
        item.state = if all_taken { ItemState::Delivered } else { ItemState::Failed };
        return End::Finished;
    }
    if open && item.delay == Delay::Untold && now.since(item.created) > options.warn_after {
        let wanted = |one: &store::rows::ItemRecipient| {
            let notify = notify_of(envelope, one.envelope);
            notify == Notify::UNSAID || notify.contains(Notify::DELAY)
        };
        let open = item.recipients.iter().filter(|one| one.state == RecipientState::Open);
        let told = envelope.sender.is_some() && open.clone().any(wanted);
        item.delay = if told { Delay::Due } else { Delay::Told };
    }
    if failed || item.delay == Delay::Due {
        item.state = ItemState::Bouncing;
        item.due = now;
        return End::Report;
    }
    item.state = ItemState::Waiting;
    item.due = now.after(wait(item.tries, options, after, jitter));
    End::Again
}

/// Until the next try: doubling, with jitter, not shorter than the other side asks for.
fn wait(
    tries: u32,
    options: &Options,
    after: Option<Duration>,
    jitter: impl FnOnce(Duration) -> Duration,
) -> Duration {
    let doubled = options.retry_min.saturating_mul(1 << tries.saturating_sub(1).min(16));
    jitter(doubled.min(options.retry_max)).max(after.unwrap_or_default())
}

/// NOTIFY= of a recipient.
pub(crate) fn notify_of(envelope: &Envelope, number: u32) -> Notify {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    envelope.recipients.get(at).map_or(Notify::UNSAID, |to| to.notify)
}
