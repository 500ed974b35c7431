//! What the people of a run know: the basis of the judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mail::{AccountId, RecordId, Seq};
use tests::ledger::{Fate, Ledger};

/// Shared by all actors of a run; they never wait for one another with it.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<Mutex<Facts>>);

/// A place that may mean one record for ever: account, mailbox, UIDVALIDITY, UID.
pub(crate) type UidPlace = (AccountId, u32, u32, u32);

#[derive(Default)]
pub(crate) struct Facts {
    /// Fates by (account name, id).
    pub(crate) ledger: Ledger,
    /// Expunge acknowledged: never to be seen again.
    pub(crate) gone: BTreeSet<(String, String)>,
    /// Expunge asked for: may be gone.
    pub(crate) perhaps: BTreeSet<(String, String)>,
    /// Mail sent to the alias: it comes to one of two accounts, once in all.
    pub(crate) shared: BTreeMap<String, Fate>,
    /// What each UID ever meant (I3).
    pub(crate) uids: BTreeMap<UidPlace, RecordId>,
    /// Highest seq that anybody saw of an account: who reads strongly after that sees it too (I4).
    pub(crate) seqs: BTreeMap<AccountId, Seq>,
    /// What went wrong while the run was under way.
    pub(crate) wrong: Vec<String>,
    /// Ids given out.
    next: u64,
}

impl Known {
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id that no other message of the run has.
    pub(crate) fn fresh_id(&self, kind: &str) -> String {
        let mut facts = self.facts();
        facts.next += 1;
        format!("{kind}-{}", facts.next)
    }

    pub(crate) fn wrong(&self, what: String) {
        let mut facts = self.facts();
        if facts.wrong.len() < 100 {
            facts.wrong.push(what);
        }
    }

    pub(crate) fn note(&self, to: &str, id: &str, fate: Fate) {
        let mut facts = self.facts();
        if to == crate::people::ALIAS {
            facts.shared.insert(id.to_owned(), fate);
        } else {
            facts.ledger.note(to, id, fate);
        }
    }

    /// The highest seq seen of an account so far.
    pub(crate) fn seq(&self, account: AccountId) -> Seq {
        self.facts().seqs.get(&account).copied().unwrap_or(Seq(0))
    }

    /// Somebody saw this seq of an account, in a strong read that began when `floor` had been seen
    /// [X].
    pub(crate) fn saw_seq(&self, account: AccountId, seq: Seq, floor: Seq) {
        if seq < floor {
            self.wrong(format!("I4: {floor} was seen of {account:?}, and then {seq}"));
        }
        let mut facts = self.facts();
        let seen = facts.seqs.entry(account).or_insert(seq);
        *seen = seq.max(*seen);
    }

    /// Somebody saw this record under this UID.
    pub(crate) fn saw(&self, place: UidPlace, record: RecordId) {
        let mut facts = self.facts();
        let meant = *facts.uids.entry(place).or_insert(record);
        drop(facts);
        if meant != record {
            self.wrong(format!("I3: {place:?} meant {meant} and means {record}"));
        }
    }
}
