//! What a report says: from an item's recipients and history.

use mail::date::DateTime;
use mail::dsn::{Action, Report, Reported, Returned};
use mail::{Notify, Path, RecordId, Reply, Ret, Timestamp, header, trace};
use net::send::Stage;
use store::Store;
use store::rows::{Delay, EXPANDED, Item, ItemKey, ItemKind, ItemRecipient, RecipientState};
use store::segment::IndexRecord;

use crate::handler::Error;
use crate::refusals::Class;
use crate::relay::{self, Forwarding, notify_of, parse_said};

/// Longest message that is returned whole where the sender asked for that.
const FULL_BYTES_MAX: u64 = 64 * 1024;

/// Most of a header that is returned.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// Attempts told of one item.
const ATTEMPTS_MAX: usize = 8;

/// Who reports.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Our host name.
    pub host: String,
    /// Whose postmaster is asked.
    pub domain: String,
    /// How senders were rewritten of what was forwarded; `None`: they were not.
    pub forwarding: Option<Forwarding>,
}

/// What a report is made of.
pub(super) struct Source<'a> {
    pub(super) store: &'a Store,
    pub(super) options: &'a relay::Options,
    pub(super) identity: &'a Identity,
    pub(super) key: &'a ItemKey,
    pub(super) item: &'a Item,
    pub(super) record: &'a IndexRecord,
    pub(super) now: Timestamp,
}

impl Source<'_> {
    pub(super) async fn report(&self, id: RecordId, sender: &Path) -> Result<Report, Error> {
        let at = DateTime::from_timestamp;
        let envelope = self.record.envelope.as_ref().ok_or("no envelope")?;
        let recipients: Vec<Reported> = self
            .item
            .recipients
            .iter()
            .filter_map(|recipient| {
                let action = self.action(recipient)?;
                self.reported(recipient, action)
            })
            .collect();
        Ok(Report {
            host: self.identity.host.clone(),
            domain: self.identity.domain.clone(),
            to: sender.clone(),
            id: id.to_string(),
            now: at(self.now),
            arrived: at(self.record.received),
            envid: envelope.envid.clone(),
            recipients,
            returned: self.returned(envelope.ret).await?,
        })
    }

    /// What is told of a recipient, if anything is.
    fn action(&self, recipient: &ItemRecipient) -> Option<Action> {
        let envelope = self.record.envelope.as_ref()?;
        let notify = notify_of(envelope, recipient.envelope);
        match recipient.state {
            RecipientState::Failed => Some(Action::Failed),
            RecipientState::Taken => Some(match self.key.kind {
                ItemKind::Report if self.key.destination == EXPANDED => Action::Expanded,
                ItemKind::Report => Action::Delivered,
                _ => Action::Relayed,
            }),
            RecipientState::Open if self.item.delay == Delay::Due => {
                let wanted = notify == Notify::UNSAID || notify.contains(Notify::DELAY);
                wanted.then_some(Action::Delayed)
            }
            _ => None,
        }
    }

    fn reported(&self, recipient: &ItemRecipient, action: Action) -> Option<Reported> {
        let number = usize::try_from(recipient.envelope).unwrap_or(usize::MAX);
        let given = self.record.envelope.as_ref()?.recipients.get(number)?;
        let (server, words) = parse_said(&recipient.said).unwrap_or((None, ""));
        let reply = Reply::parse(words);
        let class = match action {
            Action::Failed => 5,
            Action::Delayed => 4,
            Action::Delivered | Action::Relayed | Action::Expanded => 2,
        };
        let in_trouble = matches!(action, Action::Failed | Action::Delayed);
        let status = match reply.as_ref().and_then(|reply| reply.enhanced) {
            // RFC 3464 §2.3.4: what was given up is permanent, whatever the last words were.
            Some((_, subject, detail)) => (class, subject, detail),
            None => (class, 0, 0),
        };
        let until = self.item.created.after(self.options.lifetime);
        let at = DateTime::from_timestamp;
        Some(Reported {
            // RFC 3464 §2.3.2: the sender knows the address of ours, not where it leads.
            recipient: given.path.clone(),
            orcpt: given.orcpt.clone(),
            action,
            status,
            server: server.map(str::to_owned),
            words: words.to_owned(),
            advice: self.advice(reply.as_ref(), server, action).to_owned(),
            attempts: if in_trouble { self.attempts(words) } else { Vec::new() },
            tried: self.item.history.last().map(|attempt| at(attempt.at)),
            until: (action == Action::Delayed).then(|| at(until)),
        })
    }

    /// What each egress was told: when it was more than the last words.
    fn attempts(&self, last: &str) -> Vec<String> {
        let history = &self.item.history;
        let from = history.len().saturating_sub(ATTEMPTS_MAX);
        let told = history.iter().skip(from).map(|attempt| {
            let at = DateTime::from_timestamp(attempt.at);
            format!("{at} through {}: {}", attempt.via, attempt.words)
        });
        let all: Vec<String> = told.collect();
        let only_last = all.len() == 1 && !last.is_empty() && all[0].contains(last);
        if only_last { Vec::new() } else { all }
    }

    fn advice(&self, reply: Option<&Reply>, server: Option<&str>, action: Action) -> &'static str {
        match action {
            Action::Failed => {}
            Action::Delayed => return "Nothing need be done now.",
            Action::Delivered | Action::Relayed | Action::Expanded => return "",
        }
        let Some(reply) = reply else { return "" };
        let host = server.unwrap_or_default();
        let finding = self.options.rules.classify(reply, Stage::End, host);
        advice_for(finding.class)
    }

    /// RFC 3461 §4.3: all of it only if asked for, where something failed, and if it is not large.
    async fn returned(&self, ret: Option<Ret>) -> Result<Returned, Error> {
        let location = &self.record.location;
        let failed = self.item.recipients.iter().any(|one| one.state == RecipientState::Failed);
        let full = failed && ret == Some(Ret::Full) && location.size() <= FULL_BYTES_MAX;
        let end = match full {
            true => location.size(),
            false => location.size().min(location.prefix_bytes() + HEADER_BYTES_MAX),
        };
        let read = self.store.read_record(self.item.place, 0..end).await?;
        let read = read.ok_or("the record of an open item is not there")?;
        let split = usize::try_from(location.prefix_bytes()).unwrap_or(usize::MAX);
        let (prefix, body) = read.split_at_checked(split).ok_or("a record without prefix")?;
        let mut out = trace::without_return_path(prefix).to_vec();
        if full {
            out.extend_from_slice(body);
            return Ok(Returned::Full(out));
        }
        out.extend_from_slice(body.get(..header::header_length(body)).unwrap_or(body));
        Ok(Returned::Headers(out))
    }
}

/// What a sender can do about a refusal of a class.
const fn advice_for(class: Class) -> &'static str {
    match class {
        Class::Mailbox => "Check the address, or ask the recipient in another way.",
        Class::Content => {
            "The message itself was refused: change it (an attachment, a link) and send it again."
        }
        Class::Egress => {
            "This mail server was refused, not your message: your postmaster has to see to it. Sending it again later may help."
        }
        Class::Sender => {
            "Your domain or account was refused, not this message: your postmaster has to see to it."
        }
        Class::Rate => "Too much was sent in a short time: send it again later.",
        Class::Relay => {
            "The other side does not take mail for this address: check the part behind the @."
        }
        Class::Greylist | Class::System => {
            "The other side has trouble of its own: send it again later."
        }
        Class::Unknown => "The other side gave no reason: its postmaster can tell.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_advice_in_whole_sentences() {
        for class in Class::ALL {
            assert!(advice_for(class).ends_with('.'), "{class:?}");
        }
    }
}
