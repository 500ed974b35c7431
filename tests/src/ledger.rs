//! What a client was told of each message, and the judgement over what is found at the end.
//!
//! The sets are those of Jepsen's total-queue checker; duplicates fail too.

use std::collections::{BTreeMap, BTreeSet};

/// What the sender of a message knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// 250 or OK was received: it must be there exactly once.
    Acknowledged,
    /// A 4xx, 5xx, NO or BAD was received: it must not be there.
    Refused,
    /// The connection ended without an answer: it may be there once.
    Unknown,
}

/// All messages of a run, by (account, id).
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    fates: BTreeMap<(String, String), Fate>,
}

/// What is wrong at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged and not found (I1).
    pub lost: Vec<(String, String)>,
    /// Found more than once (I6).
    pub doubled: Vec<(String, String)>,
    /// Found although refused, or never sent.
    pub phantoms: Vec<(String, String)>,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// What was found of one recipient of another server at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Copies that reached the other server.
    pub copies: usize,
    /// Final reports that the sender has.
    pub reports: usize,
    /// Whether it is still worked on.
    pub waits: bool,
}

/// What is wrong with mail to other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Acknowledged, and neither there, nor worked on, nor reported (I1).
    pub lost: Vec<(String, String)>,
    /// There more than once, or there and reported, without a recorded unknown (I6).
    pub doubled: Vec<(String, String)>,
    /// More than one final report (R8).
    pub told_twice: Vec<(String, String)>,
    /// Found although refused, or never sent.
    pub phantoms: Vec<(String, String)>,
}

impl Sent {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl Ledger {
    /// Judges what became of mail to other servers; accounts are its recipients. `unknown` tells
    /// whether the outcome of a try is recorded as not known: only then may it be there twice.
    pub fn judge_sent(
        &self,
        found: &BTreeMap<(String, String), Outside>,
        mut unknown: impl FnMut(&(String, String)) -> bool,
    ) -> Sent {
        let mut sent = Sent::default();
        for (one, fate) in &self.fates {
            let known = found.get(one).copied().unwrap_or_default();
            let somewhere = known.copies > 0 || known.reports > 0 || known.waits;
            if *fate == Fate::Acknowledged && !somewhere {
                sent.lost.push(one.clone());
            }
        }
        for (one, known) in found {
            if (known.copies > 1 || known.copies > 0 && known.reports > 0) && !unknown(one) {
                sent.doubled.push(one.clone());
            }
            if known.reports > 1 {
                sent.told_twice.push(one.clone());
            }
            if matches!(self.fates.get(one), None | Some(Fate::Refused)) {
                sent.phantoms.push(one.clone());
            }
        }
        sent
    }

    /// Whether every acknowledged one has a copy or a report by now.
    #[must_use]
    pub fn is_settled(&self, found: &BTreeMap<(String, String), Outside>) -> bool {
        let ended = |one| found.get(one).is_some_and(|one| one.copies + one.reports > 0);
        self.acknowledged().all(ended)
    }

    /// Notes what a sender was told.
    pub fn note(&mut self, account: &str, id: &str, fate: Fate) {
        self.fates.insert((account.to_owned(), id.to_owned()), fate);
    }

    /// The same notes but for those that `other` names.
    #[must_use]
    pub fn without(&self, other: impl Fn(&(String, String)) -> bool) -> Self {
        let fates = self.fates.iter().filter(|(one, _)| !other(one));
        Self { fates: fates.map(|(one, fate)| (one.clone(), *fate)).collect() }
    }

    /// Those that were acknowledged.
    pub fn acknowledged(&self) -> impl Iterator<Item = &(String, String)> {
        let acknowledged = self.fates.iter().filter(|(_, fate)| **fate == Fate::Acknowledged);
        acknowledged.map(|(one, _)| one)
    }

    /// Takes in another's notes.
    pub fn merge(&mut self, other: Self) {
        self.fates.extend(other.fates);
    }

    /// How many have this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.fates.values().filter(|&&known| known == fate).count()
    }

    /// Judges what was found: every (account, id) in the mailboxes, with repetitions. `removed`
    /// are those whose owner's expunge was acknowledged or may have happened: they may be gone.
    #[must_use]
    pub fn judge(
        &self,
        found: &[(String, String)],
        removed: &BTreeSet<(String, String)>,
    ) -> Verdict {
        let mut counts: BTreeMap<&(String, String), usize> = BTreeMap::new();
        for one in found {
            *counts.entry(one).or_default() += 1;
        }
        let mut verdict = Verdict::default();
        for (one, fate) in &self.fates {
            if *fate == Fate::Acknowledged && !counts.contains_key(one) && !removed.contains(one) {
                verdict.lost.push(one.clone());
            }
        }
        for (one, count) in counts {
            if count > 1 {
                verdict.doubled.push(one.clone());
            }
            if matches!(self.fates.get(one), None | Some(Fate::Refused)) {
                verdict.phantoms.push(one.clone());
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: &str) -> (String, String) {
        ("alice".to_owned(), id.to_owned())
    }

    #[test]
    fn the_judge_sees_each_kind_of_wrong() {
        let mut ledger = Ledger::default();
        ledger.note("alice", "kept", Fate::Acknowledged);
        ledger.note("alice", "lost", Fate::Acknowledged);
        ledger.note("alice", "gone", Fate::Acknowledged);
        ledger.note("alice", "twice", Fate::Unknown);
        ledger.note("alice", "refused", Fate::Refused);
        ledger.note("alice", "maybe", Fate::Unknown);
        let found: Vec<_> = ["kept", "twice", "twice", "refused", "never"].map(one).into();
        let verdict = ledger.judge(&found, &BTreeSet::from([one("gone")]));
        assert_eq!(verdict.lost, [one("lost")]);
        assert_eq!(verdict.doubled, [one("twice")]);
        assert_eq!(verdict.phantoms, [one("never"), one("refused")]);
        let outside = |copies, reports| Outside { copies, reports, waits: false };
        let found = BTreeMap::from([
            (one("kept"), outside(1, 0)),
            (one("gone"), Outside { waits: true, ..Outside::default() }),
            (one("twice"), outside(2, 0)),
            (one("maybe"), outside(1, 2)),
            (one("refused"), outside(0, 1)),
        ]);
        let sent = ledger.judge_sent(&found, |pair| pair.1 == "twice");
        assert_eq!(sent.lost, [one("lost")]);
        assert_eq!((sent.doubled, sent.told_twice), (vec![one("maybe")], vec![one("maybe")]));
        assert_eq!(sent.phantoms, [one("refused")]);
        assert!(!ledger.is_settled(&found));
        assert!(
            ledger.judge(&[one("kept"), one("lost"), one("gone")], &BTreeSet::new()).is_clean()
        );
    }
}
