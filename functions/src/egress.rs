//! The choice of an egress: from which of our addresses a destination is called next, after what it
//! said to which of them (docs/refusals.md).
//!
//! Pure over the list of egresses, what is remembered of each at this destination ([`Health`]), what
//! happened to this message so far ([`Past`]), and the time. Nothing here writes, dials or sleeps.
//! Only the destination's own words mark an (egress, destination) [g′]; trouble on our side of the
//! egress marks nothing.

mod health;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mail::Timestamp;

use crate::refusals::{Class, Finding, Next, Scope};

pub use health::{HOLD_MAX, HOLD_USUAL, Health, Marks};

/// One of our addresses for outgoing mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// Its name in the configuration, in history and in reports.
    pub name: Arc<str>,
    /// Source address; `None` leaves it to the system.
    pub source: Option<IpAddr>,
    /// Its address as others see it; `None`: not known.
    pub public: Option<IpAddr>,
    /// What it says in EHLO.
    pub hello: String,
    /// Egresses of one network are refused together ([`Scope::Net`]).
    pub network: Arc<str>,
    /// Egresses of one country or region are refused together ([`Scope::Region`]).
    pub region: Arc<str>,
}

impl Egress {
    /// Whether what was attached to `refused` by `scope` is attached to this one too.
    fn shares(&self, refused: &Self, scope: Scope) -> bool {
        match scope {
            Scope::Net => self.network == refused.network,
            Scope::Region => self.region == refused.region,
            Scope::Family => match (self.source, refused.source) {
                (Some(ours), Some(theirs)) => ours.is_ipv6() == theirs.is_ipv6(),
                _ => false,
            },
            _ => self.name == refused.name,
        }
    }
}

/// What happened to one message at this destination in this round of tries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// It has to go through this one: a greylist knows it, or an unknown outcome came from it [g′].
    pub pinned: Option<Arc<str>>,
    /// Egresses that were refused for it, each with the rule.
    pub refused: BTreeMap<Arc<str>, Arc<str>>,
    /// Networks not to be tried any more.
    pub networks: Vec<Arc<str>>,
}

/// Which egress is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Use {
        /// Its number in the list.
        egress: usize,
        /// Its hold is over and nothing is known since: one message only, to see (half open).
        probe: bool,
    },
    /// Not before this time: all that are left are held.
    Wait {
        /// When the first hold ends.
        until: Timestamp,
    },
    /// Every egress has refused this message, or must not be used for it.
    None,
}

/// What becomes of a refused message, or of one refused recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next egress, now. If there is none, [`Verdict::Fail`] after a permanent reply, else
    /// [`Verdict::Later`].
    Switch,
    /// Again later.
    Later {
        /// Not before this time has passed, if that is known.
        after: Option<Duration>,
        /// Through the same egress.
        same: bool,
    },
    /// Again over a new connection.
    Reconnect,
    /// Again with fewer recipients at once.
    Split,
    /// Given up: the sender is told.
    Fail,
}

/// Chooses. `spf` tells whether the envelope sender's SPF passes for an egress; only such are used
/// where the sender's domain is ours (then it is asked), all else for anybody.
#[must_use]
pub fn choose(
    egresses: &[Egress],
    marks: &Marks,
    past: &Past,
    now: Timestamp,
    allowed: &dyn Fn(&Egress) -> bool,
) -> Choice {
    let mut wait: Option<Timestamp> = None;
    let mut best: Option<(bool, usize)> = None;
    // A pin to what was refused itself meanwhile, or is no egress any more, or none for this sender,
    // holds nothing back.
    let pinned = past.pinned.as_ref().filter(|name| {
        !past.refused.contains_key(*name)
            && egresses.iter().any(|one| one.name == **name && allowed(one))
    });
    for (number, egress) in egresses.iter().enumerate() {
        let pinned = pinned.is_none_or(|name| *name == egress.name);
        let refused =
            past.refused.contains_key(&egress.name) || past.networks.contains(&egress.network);
        if !pinned || refused || !allowed(egress) {
            continue;
        }
        match held(egresses, egress, marks, now) {
            Held::No => {
                best = Some((false, number));
                break;
            }
            Held::Probe => best = best.or(Some((true, number))),
            Held::Until(until) => wait = Some(wait.map_or(until, |first| first.min(until))),
        }
    }
    match (best, wait) {
        (Some((probe, egress)), _) => Choice::Use { egress, probe },
        (None, Some(until)) => Choice::Wait { until },
        (None, None) => Choice::None,
    }
}

enum Held {
    No,
    Probe,
    Until(Timestamp),
}

/// Whether an egress is held at a destination: by what was said to itself, or to one that shares
/// its network, region or family.
fn held(egresses: &[Egress], egress: &Egress, marks: &Marks, now: Timestamp) -> Held {
    let mut state = Held::No;
    for other in egresses {
        let Some(health) = marks.of(&other.name) else { continue };
        if !egress.shares(other, health.scope) {
            continue;
        }
        match (health.until > now, &state) {
            (true, Held::Until(known)) => state = Held::Until(health.until.max(*known)),
            (true, _) => state = Held::Until(health.until),
            (false, Held::No) => state = Held::Probe,
            (false, _) => {}
        }
    }
    state
}

/// A refusal that is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// What the words mean.
    pub finding: &'a Finding,
    /// Whether they were a 5xx.
    pub permanent: bool,
    /// Who was refused.
    pub egress: &'a Egress,
    /// The domain of the envelope sender.
    pub sender: &'a str,
    /// Whether another egress passes SPF for this sender.
    pub spf_elsewhere: bool,
    /// When.
    pub now: Timestamp,
}

/// What a refusal means for the message, and what is to be remembered of the egress.
#[must_use]
pub fn judge(refusal: &Refusal<'_>, egresses: &[Egress], past: &Past, marks: &Marks) -> Judgement {
    let Refusal { finding, permanent, egress, sender, spf_elsewhere, now } = *refusal;
    let by_code = || match permanent {
        true => Verdict::Fail,
        false => Verdict::Later { after: finding.hold, same: false },
    };
    let only = |verdict| Judgement { verdict, mark: None, avoid: None };
    match finding.next {
        Some(Next::SameEgress) => {
            return only(Verdict::Later { after: finding.hold, same: true });
        }
        Some(Next::OtherEgressSpf) => {
            return match spf_elsewhere {
                true => Judgement { avoid: Some(Avoid::Egress), ..only(Verdict::Switch) },
                false => only(by_code()),
            };
        }
        Some(Next::OtherEgressOnce) => {
            // The same answer from another network is final.
            let again = past.refused.iter().any(|(_, rule)| *rule == finding.rule);
            let elsewhere = egresses.iter().any(|other| other.network != egress.network);
            return match again || !elsewhere {
                true => only(by_code()),
                false => Judgement { avoid: Some(Avoid::Network), ..only(Verdict::Switch) },
            };
        }
        None => {}
    }
    match finding.class {
        Class::Egress => {
            // Two networks, one rule, one sender: it is not the address.
            if marks.same_elsewhere(finding, egress, egresses, sender, now) {
                return only(by_code());
            }
            let mark = marks.hold(egress, finding, sender, now);
            Judgement { verdict: Verdict::Switch, mark: Some(mark), avoid: Some(Avoid::Egress) }
        }
        Class::Rate => match finding.scope {
            Scope::Ip | Scope::Net | Scope::Family | Scope::Region => {
                let mark = marks.hold(egress, finding, sender, now);
                Judgement { mark: Some(mark), ..only(Verdict::Later { after: None, same: false }) }
            }
            Scope::Connection => only(Verdict::Reconnect),
            Scope::Message => only(Verdict::Split),
            _ => only(Verdict::Later { after: finding.hold.or(Some(HOLD_USUAL)), same: false }),
        },
        Class::Greylist => only(Verdict::Later { after: finding.hold, same: true }),
        Class::System => only(Verdict::Later { after: finding.hold, same: false }),
        Class::Sender | Class::Content | Class::Mailbox | Class::Relay | Class::Unknown => {
            only(by_code())
        }
    }
}

/// What follows from a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// For the message or the recipient.
    pub verdict: Verdict,
    /// For the egress at this destination: to be written, for it is a change of its state.
    pub mark: Option<Health>,
    /// What this message does not try again in this round.
    pub avoid: Option<Avoid>,
}

/// What a message does not try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Avoid {
    /// The egress that was refused.
    Egress,
    /// Every egress of its network.
    Network,
}

impl Past {
    /// Notes that `egress` was refused for this message.
    pub fn note(&mut self, egress: &Egress, finding: &Finding, avoid: Option<Avoid>) {
        if avoid.is_some() {
            self.refused.insert(egress.name.clone(), finding.rule.clone());
        }
        if avoid == Some(Avoid::Network) && !self.networks.contains(&egress.network) {
            self.networks.push(egress.network.clone());
        }
    }
}
