//! What other servers refuse: the rules, and words that no rule knows.

use functions::refusals::{Rules, UNMATCHED};
use mail::Reply;
use net::send::Stage;
use serde::Serialize;
use store::rows::Unmatched;

use super::{Admin, AdminError};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleInfo {
    /// Its id.
    pub id: String,
    /// What is refused (docs/refusals.md).
    pub class: &'static str,
    /// Why, in one word.
    pub cause: String,
    /// What the refusal is attached to.
    pub scope: &'static str,
    /// Mail exchangers that it is for, by the end of their names; none: any.
    pub mx: Vec<String>,
    /// Words that it knows.
    pub sample: String,
}

/// Words that no rule knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnmatchedInfo {
    /// Who runs the server: the end of its name.
    pub operator: String,
    /// The server that said it last.
    pub host: String,
    /// Where in the dialogue.
    pub stage: String,
    /// What it said, in the form that rules match.
    pub words: String,
    /// When it was first met, in milliseconds since 1970.
    pub first_ms: u64,
    /// When it was last met, to a day.
    pub last_ms: u64,
}

/// The rules in force, in their order.
#[must_use]
pub fn rules(rules: &Rules) -> Vec<RuleInfo> {
    let info = |rule: functions::refusals::RuleText<'_>| RuleInfo {
        id: rule.finding.rule.to_string(),
        class: rule.finding.class.name(),
        cause: rule.finding.cause.to_string(),
        scope: rule.finding.scope.name(),
        mx: rule.mx.to_vec(),
        sample: rule.sample.to_owned(),
    };
    rules.texts().map(info).collect()
}

impl Admin {
    /// What was refused within 30 days in words that none of these rules knows, the newest first;
    /// at most 1,280, of each operator the last 20 at most.
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn unmatched(&self, rules: &Rules) -> Result<Vec<UnmatchedInfo>, AdminError> {
        let mut all = self.store.items().unmatched().await?;
        all.retain(|one| still_unknown(one, rules));
        all.sort_by(|a, b| (b.last, &a.operator, &a.words).cmp(&(a.last, &b.operator, &b.words)));
        let info = |one: Unmatched| UnmatchedInfo {
            operator: one.operator,
            host: one.host,
            stage: one.stage,
            words: one.words,
            first_ms: one.first.millis(),
            last_ms: one.last.millis(),
        };
        Ok(all.into_iter().map(info).collect())
    }
}

/// A rule may have been written since.
fn still_unknown(one: &Unmatched, rules: &Rules) -> bool {
    let Some(reply) = Reply::parse(&one.words) else { return true };
    *rules.classify(&reply, Stage::Recipient, &one.host).rule == *UNMATCHED
}
