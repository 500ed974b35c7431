//! The judgement: every acknowledged recipient outside was delivered to, or its sender has exactly one
//! report; twice only after a recorded unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::memory::World;
use store::Store;
use store::rows::{Due, Item, ItemKey, ItemKind, RowValue};
use tests::ledger::Fate;

use super::Sent;
use super::remote::Remote;
use crate::people::{self, ACCOUNTS};

/// Virtual time that healing may take.
const HEALING: Duration = Duration::from_secs(900);

/// Virtual time after that in which what is late still lands, and must break nothing.
const AFTERLIFE: Duration = Duration::from_secs(60);

/// Waits until nothing is under way, and judges.
pub(super) async fn settled(
    world: &World,
    store: &Store,
    remote: &Remote,
    sent: &Sent,
) -> Vec<String> {
    let clock = store.engines().clock.clone();
    let end = clock.instant().after(HEALING);
    while clock.instant() < end {
        clock.sleep(Duration::from_secs(2)).await;
        let lost = sent.lock().is_ok_and(|sent| sent.values().any(|fate| *fate == Fate::Unknown));
        if unfinished(world).is_empty()
            && !lost
            && judge(world, store, remote, sent).await.is_empty()
        {
            break;
        }
    }
    clock.sleep(AFTERLIFE).await;
    let mut wrong = unfinished(world);
    wrong.extend(judge(world, store, remote, sent).await);
    wrong
}

fn items(world: &World) -> Vec<(ItemKey, Item)> {
    let rows = world.rows().into_iter();
    let of_items = rows.filter(|(key, _)| key.partition.first() == Some(&b'o'));
    of_items
        .filter_map(|(key, row)| {
            Some((ItemKey::from_sort(&key.sort)?, Item::decode(&row.value).ok()?))
        })
        .collect()
}

fn unfinished(world: &World) -> Vec<String> {
    let open = items(world).into_iter().filter(|(_, item)| !item.state.is_finished());
    open.map(|(key, item)| {
        let due = due_rows(world, &key);
        format!("I1: STUCK {key:?}: announced at {due:?}: {item:?}")
    })
    .collect()
}

/// Where an item is announced: partition and time of each of its due rows.
fn due_rows(world: &World, item: &ItemKey) -> Vec<(String, u64)> {
    let rows = world.rows().into_iter();
    let due = rows.filter(|(key, _)| key.partition.first() == Some(&b'd'));
    due.filter_map(|(key, _)| {
        let (at, of) = Due::parse_sort(&key.sort)?;
        (of == *item).then(|| (key.partition.escape_ascii().to_string(), at.0))
    })
    .collect()
}

async fn judge(world: &World, store: &Store, remote: &Remote, sent: &Sent) -> Vec<String> {
    let mut wrong = Vec::new();
    let reports = match reports(store, &mut wrong).await {
        Ok(reports) => reports,
        Err(error) => return vec![format!("I1: an account cannot be read: {error}")],
    };
    // Unknowns of each recipient and record; which record an id is, the trace of the store tells.
    let mut unknowns: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (key, item) in items(world).into_iter().filter(|(key, _)| key.kind == ItemKind::Remote) {
        let Some(id) = id_of(store, &item).await else {
            wrong.push(format!("R4: the record of {key:?} cannot be read"));
            continue;
        };
        let count = item.history.iter().filter(|one| one.words.starts_with("unknown")).count();
        for to in &item.recipients {
            *unknowns.entry((to.path.clone(), id.clone())).or_default() += count;
        }
    }
    let sent = sent.lock().map(|sent| sent.clone()).unwrap_or_default();
    for (pair, fate) in sent {
        let taken = remote.with(|done| done.taken.get(&pair).copied().unwrap_or(0));
        let told = reports.get(&pair).copied().unwrap_or(0);
        let unknown = unknowns.get(&pair).copied().unwrap_or(0);
        let state = format!("{pair:?}: taken {taken}, reports {told}, unknown {unknown}");
        match fate {
            Fate::Acknowledged if taken == 0 && told == 0 => {
                wrong.push(format!("I1: LOST {state}"))
            }
            Fate::Refused if taken + told > 0 => wrong.push(format!("R3: PHANTOM {state}")),
            _ => {}
        }
        if taken > 1 + unknown {
            wrong.push(format!("I6: DOUBLE {state}"));
        }
        if told > 1 {
            wrong.push(format!("I6: TWO REPORTS {state}"));
        }
        if taken > 0 && told > 0 && unknown == 0 {
            wrong.push(format!("I6: REPORT OF WHAT WAS SENT {state}"));
        }
    }
    wrong
}

async fn id_of(store: &Store, item: &Item) -> Option<String> {
    let read = store.read_record(item.place, 0..u64::MAX).await.ok()??;
    tests::message::id_of(&read)
}

/// Failures reported to the senders: (recipient, id) → how often.
async fn reports(
    store: &Store,
    wrong: &mut Vec<String>,
) -> Result<BTreeMap<(String, String), usize>, store::LogError> {
    let mut reports = BTreeMap::new();
    let log = store.account(people::account(ACCOUNTS[0])).await?;
    log.fresh().await?;
    let all: Vec<_> = log.view(|state| {
        let each = state.mailboxes().flat_map(|mailbox| {
            let id = mailbox.id();
            mailbox.messages().map(move |m| (id, m.uid)).collect::<Vec<_>>()
        });
        each.collect()
    });
    for (mailbox, uid) in all {
        let Some(read) = log.read(mailbox, uid, 0..u64::MAX).await? else { continue };
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some(id) = tests::message::id_of(&read) else {
            wrong.push("R4: a report does not say of what".to_owned());
            continue;
        };
        for part in text.split("\r\n\r\n") {
            let field = |name: &str| {
                let of = part.split("\r\n").find_map(|line| line.strip_prefix(name));
                of.map(str::to_owned)
            };
            if let (Some(to), Some(action)) =
                (field("Final-Recipient: rfc822; "), field("Action: "))
                && action == "failed"
            {
                *reports.entry((to, id.clone())).or_default() += 1;
            }
        }
    }
    Ok(reports)
}
