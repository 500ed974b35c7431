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

/// A recipient was taken. `words`: of a server that tells the sender nothing itself, so that we do if
/// the sender asked for it (RFC 3461 §5.2.3).
pub(super) fn taken(item: &mut Item, envelope: &Envelope, at: usize, words: Option<&str>) {
    let expanded = item.expanded;
    let Some(recipient) = item.recipients.get_mut(at) else { return };
    recipient.state = RecipientState::Delivered;
    recipient.said.clear();
    let asked = notify_of(envelope, recipient.envelope).contains(Notify::SUCCESS);
    if let Some(words) = words
        && asked
        && !expanded
        && envelope.sender.is_some()
    {
        recipient.state = RecipientState::Taken;
        item.say(at, words);
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
    let to_tell = any(RecipientState::Failed) || any(RecipientState::Taken);
    if !open && !to_tell {
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
    if to_tell || item.delay == Delay::Due {
        item.state = ItemState::Bouncing;
        item.due = now;
        return End::Report;
    }
    item.state = ItemState::Waiting;
    item.due = now.after(wait(item.tries, options, after, jitter));
    if item.hold {
        item.hold_now(now);
    }
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

#[cfg(test)]
mod tests {
    use mail::{Path, Recipient, WriterId};
    use store::place::{SegmentRef, Slot};
    use store::rows::ItemRecipient;

    use super::*;

    fn item() -> Item {
        let segment = SegmentRef::Ingest { writer: WriterId([1; 16]), number: 1 };
        let to = vec![ItemRecipient::new(0, "a@far.test")];
        Item::new(Timestamp(1), Slot { segment, index: 0 }, to)
    }

    fn envelope(notify: Notify) -> Envelope {
        let path = |text| Path::parse(text).unwrap();
        let to = Recipient { notify, ..Recipient::new(path("a@far.test")) };
        Envelope::new(Some(path("ana@example.test")), vec![to])
    }

    /// How an item ends that a server took, or refused for good.
    fn end(mut item: Item, envelope: &Envelope, words: Option<&str>, fails: bool) -> ItemState {
        match fails {
            true => failed(&mut item, 0, "mx 550 5.1.1 no"),
            false => taken(&mut item, envelope, 0, words),
        }
        let options = Options::default();
        conclude(&mut item, envelope, Timestamp(2), &options, None, |time| time);
        item.state
    }

    // RFC 3461 §5.2.3.
    #[test]
    fn success_is_told_by_us_where_nobody_else_does_and_somebody_asked() {
        let words = Some("mx.far.test 250 2.0.0 yes");
        let asked = envelope(Notify::SUCCESS.with(Notify::FAILURE));
        assert_eq!(end(item(), &asked, words, false), ItemState::Bouncing);
        // The other server does.
        assert_eq!(end(item(), &asked, None, false), ItemState::Delivered);
        // It was told that it was expanded.
        let expanded = Item { expanded: true, ..item() };
        assert_eq!(end(expanded, &asked, words, false), ItemState::Delivered);
        for notify in [Notify::UNSAID, Notify::NEVER, Notify::FAILURE.with(Notify::DELAY)] {
            assert_eq!(end(item(), &envelope(notify), words, false), ItemState::Delivered);
        }
        // D2
        let nobody = Envelope { sender: None, ..asked };
        assert_eq!(end(item(), &nobody, words, false), ItemState::Delivered);
    }

    #[test]
    fn failure_is_told_unless_somebody_does_not_want_to_know() {
        for (notify, told) in [
            (Notify::UNSAID, true),
            (Notify::FAILURE, true),
            (Notify::NEVER, false),
            (Notify::SUCCESS, false),
            (Notify::DELAY, false),
        ] {
            let state = if told { ItemState::Bouncing } else { ItemState::Failed };
            assert_eq!(end(item(), &envelope(notify), None, true), state, "{notify:?}");
        }
        let nobody = Envelope { sender: None, ..envelope(Notify::FAILURE) };
        assert_eq!(end(item(), &nobody, None, true), ItemState::Failed);
    }
}
