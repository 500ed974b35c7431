//! What is remembered of each egress at one destination: refused until when, for how long, why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mail::Timestamp;

use super::Egress;
use crate::refusals::{Class, Finding, Scope};

/// A hold where the rule gives none.
pub const HOLD_USUAL: Duration = Duration::from_secs(3_600);

/// Longest hold: doubling ends here.
pub const HOLD_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Shortest hold that is remembered; a success halves below it, and it is forgotten.
const HOLD_MIN: Duration = Duration::from_secs(60);

/// An egress that was refused at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What was refused.
    pub class: Class,
    /// What the refusal is attached to.
    pub scope: Scope,
    /// Which rule said so.
    pub rule: Arc<str>,
    /// Domain of the sender that was refused.
    pub sender: String,
    /// Held until then; after it one message probes.
    pub until: Timestamp,
    /// Length of the hold: doubled by a renewed refusal, halved by a success.
    pub hold: Duration,
    /// Since when it was refused without a success in between.
    pub since: Timestamp,
}

/// What is remembered of all egresses at one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<Arc<str>, Health>);

impl Marks {
    /// Of these.
    #[must_use]
    pub const fn new(marks: BTreeMap<Arc<str>, Health>) -> Self {
        Self(marks)
    }

    /// What is remembered of one; `None`: nothing bad.
    #[must_use]
    pub fn of(&self, egress: &str) -> Option<&Health> {
        self.0.get(egress)
    }

    /// Remembers.
    pub fn set(&mut self, egress: &Arc<str>, health: Health) {
        self.0.insert(egress.clone(), health);
    }

    /// The mark after a refusal: the rule's hold at first, twice the one before when renewed.
    pub(super) fn hold(
        &self,
        egress: &Egress,
        finding: &Finding,
        sender: &str,
        now: Timestamp,
    ) -> Health {
        let before = self.0.get(&egress.name);
        let first = finding.hold.unwrap_or(HOLD_USUAL);
        // Some rules hold longer than doubling may.
        let most = HOLD_MAX.max(first);
        let hold = before.map_or(first, |before| (before.hold * 2).max(first)).min(most);
        // A message that was under way when the hold began does not double it.
        let renewed = before.filter(|before| before.until > now);
        let (hold, until) = match renewed {
            Some(before) => (before.hold, before.until),
            None => (hold, now.after(hold)),
        };
        Health {
            class: finding.class,
            scope: finding.scope,
            rule: finding.rule.clone(),
            sender: sender.to_owned(),
            until,
            hold,
            since: before.map_or(now, |before| before.since),
        }
    }

    /// A message was taken through this egress. The mark as it is now, if there was one: `Some(None)`
    /// when it is forgotten.
    pub fn succeeded(&mut self, egress: &str, now: Timestamp) -> Option<Option<Health>> {
        let health = self.0.get_mut(egress)?;
        health.hold /= 2;
        health.until = now;
        if health.hold < HOLD_MIN {
            self.0.remove(egress);
            return Some(None);
        }
        Some(Some(health.clone()))
    }

    /// Whether an egress of another network was refused by the same rule, for the same sender's
    /// domain, within the hold.
    pub(super) fn same_elsewhere(
        &self,
        finding: &Finding,
        egress: &Egress,
        egresses: &[Egress],
        sender: &str,
        now: Timestamp,
    ) -> bool {
        egresses.iter().filter(|other| other.network != egress.network).any(|other| {
            self.0.get(&other.name).is_some_and(|health| {
                health.rule == finding.rule && health.sender == sender && health.until > now
            })
        })
    }
}
