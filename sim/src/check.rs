//! The judgement after everything has healed: I1 to I6 and I11, and the states of docs/states.md.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use store::Store;
use store::rows::{Claim, ClaimState, Item, ItemKey, RowValue, WriterRow};
use tests::ledger::Fate;

use crate::known::Known;
use crate::leftovers;
use crate::office::Office;
use crate::people::{self, ACCOUNTS};

/// Virtual time that healing may take.
const HEALING: Duration = Duration::from_secs(600);

/// Virtual time after that in which what is late still lands and `maintain` works on, and must
/// break nothing: longer than any process hangs.
const AFTERLIFE: Duration = Duration::from_secs(90);

/// Waits until all is delivered, lets upkeep go on for a while, judges, lets all that is dead be
/// deleted, and judges again.
pub(crate) async fn settled(office: &mut Office, known: &Known) {
    let Some(store) = office.store("edge-1") else { return };
    let clock = store.engines().clock.clone();
    let end = clock.instant().after(HEALING);
    while clock.instant() < end {
        clock.sleep(Duration::from_secs(2)).await;
        if unfinished(office).is_empty()
            && judge(&store, known).await.is_ok_and(|wrong| wrong.is_empty())
        {
            break;
        }
    }
    clock.sleep(AFTERLIFE).await;
    last_look(office, &store, known).await;
    if known.facts().wrong.is_empty() {
        leftovers::clean(office, &store).await;
        last_look(office, &store, known).await;
        leftovers::find(office, &store).await.into_iter().for_each(|wrong| known.wrong(wrong));
    }
}

async fn last_look(office: &Office, store: &Store, known: &Known) {
    match judge(store, known).await {
        Ok(wrong) => wrong.into_iter().for_each(|wrong| known.wrong(wrong)),
        Err(error) => known.wrong(format!("I1: an account cannot be read: {error}")),
    }
    unfinished(office).into_iter().for_each(|wrong| known.wrong(wrong));
}

/// What is not in one of the states of docs/states.md that need nobody any more: recipients of a
/// segment without successor (I11), items that wait, rows that cannot be read.
fn unfinished(office: &Office) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut watermarks = BTreeMap::new();
    for (key, row) in office.world().rows() {
        let damaged = |what: &str, error| format!("{what} is damaged: {error}");
        match key.partition.first() {
            Some(b'c') => match Claim::decode(&row.value) {
                Ok(claim) if claim.state != ClaimState::Done => {
                    wrong.push(format!("I11: {claim:?} is open"));
                }
                Ok(_) => {}
                Err(error) => wrong.push(damaged("a claim row", error)),
            },
            Some(b'w') => match WriterRow::decode(&row.value) {
                Ok(writer) => {
                    watermarks.insert(key.sort.to_vec(), writer.watermark);
                }
                Err(error) => wrong.push(damaged("a writer row", error)),
            },
            Some(b'o') => match (ItemKey::from_sort(&key.sort), Item::decode(&row.value)) {
                (Some(item), Ok(found)) if !found.state.is_finished() => {
                    wrong.push(format!("I1: {item:?} waits: {found:?}"));
                }
                (Some(_), Ok(_)) => {}
                (None, _) => wrong.push("an item's key is damaged".to_owned()),
                (_, Err(error)) => wrong.push(damaged("an item", error)),
            },
            Some(b'l' | b'd' | b'a' | b'u' | b'n' | b'g' | b'r' | b'h' | b'y') => {}
            _ => wrong.push(format!("a row of no kind: {}", key.partition.escape_ascii())),
        }
    }
    for key in office.world().object_keys() {
        let Some((writer, number)) = store::names::parse_ingest(&key) else { continue };
        match watermarks.get(&writer.0[..]) {
            Some(watermark) if *watermark >= number => {}
            Some(_) => wrong.push(format!("I11: {key} is beyond its writer's watermark")),
            // [K]: nobody would ever look at it.
            None => wrong.push(format!("I11: {key} has no writer")),
        }
    }
    wrong
}

/// Everything found in all mailboxes against what people know.
async fn judge(store: &Store, known: &Known) -> Result<Vec<String>, store::LogError> {
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    let mut shared: BTreeMap<String, usize> = BTreeMap::new();
    for name in ACCOUNTS {
        for id in ids_of(store, name, known, &mut wrong).await? {
            let is_shared = known.facts().shared.contains_key(&id);
            if is_shared {
                *shared.entry(id.clone()).or_default() += 1;
            } else {
                found.push((name.to_owned(), id.clone()));
            }
            if known.facts().gone.contains(&(name.to_owned(), id.clone())) {
                wrong.push(format!("R6: {id} of {name} was expunged and is back"));
            }
        }
    }
    let facts = known.facts();
    let verdict = facts.ledger.judge(&found, &facts.perhaps);
    wrong.extend(verdict.lost.iter().map(|one| format!("I1: lost {one:?}")));
    wrong.extend(verdict.doubled.iter().map(|one| format!("I6: doubled {one:?}")));
    wrong.extend(verdict.phantoms.iter().map(|one| format!("R3: phantom {one:?}")));
    let removed: BTreeSet<&String> = facts.perhaps.iter().map(|(_, id)| id).collect();
    for (id, fate) in &facts.shared {
        let count = shared.get(id).copied().unwrap_or(0);
        if *fate == Fate::Acknowledged && count == 0 && !removed.contains(id) {
            wrong.push(format!("I1: lost {id}, sent to the alias"));
        }
        if count > 1 {
            wrong.push(format!("I6: {id}, sent to the alias, is there {count} times"));
        }
        if *fate == Fate::Refused && count > 0 {
            wrong.push(format!("R3: {id}, sent to the alias, was refused and is there"));
        }
    }
    Ok(wrong)
}

/// Ids of all messages of an account, each read whole and compared with what was sent (R4, I5).
async fn ids_of(
    store: &Store,
    name: &str,
    known: &Known,
    wrong: &mut Vec<String>,
) -> Result<Vec<String>, store::LogError> {
    let log = store.account(people::account(name)).await?;
    log.fresh().await?;
    let account = log.account().id;
    let all: Vec<_> = log.view(|state| {
        let each = state.mailboxes().flat_map(|mailbox| {
            let (id, validity) = (mailbox.id(), mailbox.uid_validity().get());
            mailbox.messages().map(move |m| (id, validity, m.uid, m.record)).collect::<Vec<_>>()
        });
        each.collect()
    });
    let mut ids = Vec::new();
    for (mailbox, validity, uid, record) in all {
        known.saw((account, mailbox.0, validity, uid.get()), record);
        match log.read(mailbox, uid, 0..u64::MAX).await {
            Ok(Some(read)) => {
                let id = tests::message::id_of(&read).unwrap_or_default();
                if !read.ends_with(&people::text(&id)) {
                    wrong.push(format!("R4: {id} of {name} is not as it was sent"));
                }
                ids.push(id);
            }
            Ok(None) => {}
            Err(error) => wrong.push(format!("I5: {record} of {name} cannot be read: {error}")),
        }
    }
    Ok(ids)
}
