//! A spam filter beside us that speaks the milter protocol.
//!
//! Only its verdict counts: text is never rewritten, and what was acknowledged is in a mailbox, so
//! that what a filter discards or holds goes to Junk.

use mail::{Envelope, Verdicts};
use net::milter::{Decision, Milter, Said, Shown};
use proto::smtp::Reply;

use super::Arrival;
use crate::replies;

/// What is done where the filter gives no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Mail is taken without it.
    #[default]
    Accept,
    /// Mail is to come again later.
    Later,
}

/// How the filter is asked, and what is done with its word.
#[derive(Clone, Debug)]
pub struct MilterOptions {
    /// Larger messages are not shown to it.
    pub message_bytes_max: u64,
    /// What it rejects is refused; else it goes to Junk.
    pub reject: bool,
    /// Where it gives no answer.
    pub on_failure: OnFailure,
}

/// Asks the filter; one for all listeners of a process.
#[derive(Debug)]
pub struct MilterFilter {
    options: MilterOptions,
    milter: Milter,
}

impl MilterFilter {
    /// Asks this filter.
    #[must_use]
    pub const fn new(options: MilterOptions, milter: Milter) -> Self {
        Self { options, milter }
    }

    /// Notes the filter's word, and answers with a refusal if it asks for one.
    pub(crate) async fn ask(
        &self,
        arrival: &Arrival<'_>,
        envelope: &Envelope,
        id: &str,
        verdicts: &mut Verdicts,
    ) -> Option<Reply> {
        let size = u64::try_from(arrival.message.len()).unwrap_or(u64::MAX);
        if size > self.options.message_bytes_max {
            count("too large");
            return None;
        }
        let recipients: Vec<&str> = envelope.recipients.iter().map(|to| to.path.text()).collect();
        let reverse = verdicts.reverse.as_ref().map(|one| one.name.as_str());
        let shown = Shown {
            host: arrival.host.as_str(),
            peer: arrival.peer,
            peer_name: reverse.filter(|name| !name.is_empty()),
            helo: arrival.helo,
            sender: arrival.sender.map_or("", mail::Path::text),
            recipients: &recipients,
            id,
            message: arrival.message,
        };
        let said = match self.milter.ask(&shown).await {
            Ok(said) => said,
            Err(why) => {
                tracing::warn!(why, "the milter gave no answer");
                count("no answer");
                return match self.options.on_failure {
                    OnFailure::Accept => None,
                    OnFailure::Later => Some(replies::spam_later()),
                };
            }
        };
        let (result, refused) = self.obey(said, verdicts);
        count(result);
        refused
    }

    fn obey(&self, said: Said, verdicts: &mut Verdicts) -> (&'static str, Option<Reply>) {
        let mut junk = |why: String| {
            verdicts.junk(why);
            ("junk", None)
        };
        match said.decision {
            Decision::Reject(words) if self.options.reject => {
                ("reject", Some(replies::filter_says(words.as_deref(), replies::spam())))
            }
            Decision::Reject(_) => junk("the milter rejects it".to_owned()),
            Decision::Later(words) => {
                ("later", Some(replies::filter_says(words.as_deref(), replies::spam_later())))
            }
            Decision::Quarantine(why) => junk(format!("the milter holds it: {why}")),
            Decision::Discard => junk("the milter would throw it away".to_owned()),
            Decision::Accept => match said.fields.iter().find(|(name, value)| is_spam(name, value))
            {
                Some((name, value)) => junk(format!("the milter says {name}: {value}")),
                None => ("no action", None),
            },
        }
    }
}

/// How rspamd and SpamAssassin mark what they think is spam.
fn is_spam(name: &str, value: &str) -> bool {
    let says_yes = value.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("yes"));
    let names = ["X-Spam", "X-Spam-Flag", "X-Spam-Status"];
    says_yes && names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn count(result: &'static str) {
    metrics::counter!("postroad_smtp_milter_answers_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_spam_are_known_and_others_are_not() {
        for (name, value, spam) in [
            ("X-Spam-Flag", "YES", true),
            ("x-spam", "Yes", true),
            ("X-Spam-Status", "Yes, score=9", true),
            ("X-Spam-Status", "No, score=1", false),
            ("X-Spam-Score", "yes", false),
            ("X-Spam", "", false),
        ] {
            assert_eq!(is_spam(name, value), spam, "{name}: {value}");
        }
    }
}
