//! Every dead object is deleted, in the end (I5): what is left after all times are over.

use std::collections::BTreeSet;

use functions::Handler;
use functions::maintain::{Maintain, Task};
use store::place::SegmentRef;
use store::{Store, names};

use crate::office::Office;
use crate::people::{self, ACCOUNTS};

/// A jump of the store's clock that every window, interval and life is shorter than, whatever the
/// clock did before.
const AGE_MS: i64 = 48 * 3_600_000;

/// Rounds of upkeep: let go, delete, forget.
const ROUNDS: usize = 4;

/// Checkpoint roots that may stand: the last one, and one that was made meanwhile.
const ROOTS_MAX: usize = 2;

/// Stops all processes but the reader's, and does upkeep while ages pass.
pub(crate) async fn clean(office: &mut Office, store: &Store) {
    for name in ["edge-2", "deliver", "maintain-1", "maintain-2"] {
        office.crash(name);
    }
    let maintain = Maintain::new(store.clone());
    for _ in 0..ROUNDS {
        office.world().jump(AGE_MS);
        let mut tasks = vec![Task::Sweep];
        for name in ACCOUNTS {
            tasks.push(Task::Account { account: people::account(name), all: true });
        }
        tasks.push(Task::Audit);
        for (task, outcome) in tasks.iter().zip(maintain.handle(tasks.clone()).await) {
            office.world().note(&format!("{task:?}: {outcome:?}"));
        }
    }
}

/// What should not be there any more.
pub(crate) async fn find(office: &Office, store: &Store) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut roots = 0;
    let mut named = BTreeSet::new();
    for name in ACCOUNTS {
        let Ok(log) = store.account(people::account(name)).await else { continue };
        log.view(|state| {
            let used = state.segments().filter(|used| used.live > 0).map(|used| used.segment);
            let account = people::account(name);
            for segment in used {
                named.insert(names::segment(account, segment));
                if let SegmentRef::Account { nonce } = segment {
                    // A large APPEND lies in an object beside its segment.
                    named.insert(names::big(names::account_big(account, nonce)));
                }
            }
            let ingest = |segment: &SegmentRef| matches!(segment, SegmentRef::Ingest { .. });
            for used in state.segments().filter(|used| ingest(&used.segment)) {
                wrong.push(format!("I5: {name} holds {:?} for ever", used.segment));
            }
        });
    }
    for key in office.world().object_keys() {
        let of_account = key.as_str().starts_with("acct/");
        let is = |kind: &str| of_account && key.as_str().contains(kind);
        roots += usize::from(is("/c/"));
        if !of_account && !named.contains(&key) {
            wrong.push(format!("I5: {key} is dead and there for ever"));
        } else if is("/s/") && !named.contains(&key) {
            wrong.push(format!("I5: {key} is named by nothing and there for ever"));
        } else if is("/e/") {
            wrong.push(format!("I5: {key} is in a checkpoint and there for ever"));
        }
    }
    if roots > ROOTS_MAX * ACCOUNTS.len() {
        wrong.push(format!("I5: {roots} checkpoints are there for ever"));
    }
    for (key, _) in office.world().rows() {
        match key.partition.first() {
            Some(b'c') => wrong.push("a claim row is there for ever".to_owned()),
            Some(b'd') if key.partition[..] == b"dp"[..] => {
                wrong.push("I1: mail is shown as parked that is delivered".to_owned());
            }
            _ => {}
        }
    }
    wrong
}
