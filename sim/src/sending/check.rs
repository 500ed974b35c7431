//! The judgement: every acknowledged recipient outside was delivered to, or its sender has exactly one
//! report; twice only after a recorded unknown. Of success is told who asked for it, once, by whoever
//! is to tell it.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::memory::World;
use functions::Handler as _;
use functions::maintain::{Maintain, Task};
use mail::Notify;
use store::rows::{Due, Item, ItemKey, ItemKind, RecipientState, RowValue};
use store::{Store, names};
use tests::ledger::Fate;

use super::remote::Remote;
use super::{HERE, Sent};
use crate::people::{self, ACCOUNTS};

/// Virtual time that healing may take.
const HEALING: Duration = Duration::from_secs(900);

/// A jump of the store's clock that every time but the life of segments is shorter than.
const AGE_MS: i64 = 48 * 3_600_000;

/// Rounds of upkeep: tell, let go, delete.
const ROUNDS: usize = 4;

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
        let lost =
            sent.lock().is_ok_and(|sent| sent.values().any(|(_, fate)| *fate == Fate::Unknown));
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
    if wrong.is_empty() {
        wrong.extend(left(world, store).await);
    }
    wrong
}

/// What is there although it should be gone, when all times are over (I5).
async fn left(world: &World, store: &Store) -> Vec<String> {
    let maintain = Maintain::new(store.clone());
    for _ in 0..ROUNDS {
        world.jump(AGE_MS);
        let mut tasks = vec![Task::Sweep];
        tasks.extend(
            ACCOUNTS.map(|name| Task::Account { account: people::account(name), all: true }),
        );
        tasks.push(Task::Audit);
        for (task, outcome) in tasks.iter().zip(maintain.handle(tasks.clone()).await) {
            world.note(&format!("{task:?}: {outcome:?}"));
        }
    }
    let made = world.object_keys().into_iter().filter(|key| names::parse_made(key).is_some());
    let mut wrong: Vec<String> =
        made.map(|key| format!("I5: {key} is dead and there for ever")).collect();
    let of_made = world.rows().into_iter().filter(|(key, _)| key.partition.first() == Some(&b'm'));
    wrong.extend(of_made.map(|_| "I5: a row tells whom a dead message reached".to_owned()));
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

/// What the items of the world say of a recipient and a message.
#[derive(Default)]
struct Said {
    /// How often it was recorded that nobody knows.
    unknown: usize,
    /// It was given up.
    given_up: bool,
}

type Pair = (String, String);

async fn said(world: &World, store: &Store, wrong: &mut Vec<String>) -> BTreeMap<Pair, Said> {
    let mut all: BTreeMap<Pair, Said> = BTreeMap::new();
    // Which record an id is, the record tells.
    for (key, item) in items(world).into_iter().filter(|(key, _)| key.kind == ItemKind::Remote) {
        let Some(id) = id_of(store, &item).await else {
            wrong.push(format!("R4: the record of {key:?} cannot be read"));
            continue;
        };
        let count = item.history.iter().filter(|one| one.words.starts_with("unknown")).count();
        for to in &item.recipients {
            let said = all.entry((to.path.clone(), id.clone())).or_default();
            said.unknown += count;
            said.given_up |= to.state == RecipientState::Told;
        }
    }
    all
}

async fn judge(world: &World, store: &Store, remote: &Remote, sent: &Sent) -> Vec<String> {
    let mut wrong = Vec::new();
    let (reports, here) = match (reports(store, &mut wrong).await, here(store).await) {
        (Ok(reports), Ok(here)) => (reports, here),
        (Err(error), _) | (_, Err(error)) => {
            return vec![format!("I1: an account cannot be read: {error}")];
        }
    };
    let said = said(world, store, &mut wrong).await;
    let sent = sent.lock().map(|sent| sent.clone()).unwrap_or_default();
    for (pair, (notify, fate)) in sent {
        let count = |of: &BTreeMap<Pair, usize>| of.get(&pair).copied().unwrap_or(0);
        let (mut taken, there) = remote.with(|done| (count(&done.taken), count(&done.told_there)));
        let is_here = pair.0 == HERE;
        if is_here {
            taken = here.get(&pair.1).copied().unwrap_or(0);
        }
        let Told { failed, succeeded } = reports.get(&pair).copied().unwrap_or_default();
        let unknown = said.get(&pair).map_or(0, |said| said.unknown);
        let given_up = said.get(&pair).is_some_and(|said| said.given_up);
        let state = format!(
            "{pair:?}, {notify:?}: taken {taken}, {there} of that by who tells, told of failure \
             {failed}, of success {succeeded}, unknown {unknown}, given up: {given_up}"
        );
        let wants_failures = notify == Notify::UNSAID || notify.contains(Notify::FAILURE);
        let told_enough = failed > 0 || (given_up && !wants_failures);
        match fate {
            Fate::Acknowledged if taken == 0 && !told_enough => {
                wrong.push(format!("I1: LOST {state}"));
            }
            Fate::Refused if taken + failed + succeeded > 0 => {
                wrong.push(format!("R3: PHANTOM {state}"));
            }
            _ => {}
        }
        if taken > 1 + unknown {
            wrong.push(format!("I6: DOUBLE {state}"));
        }
        if failed > 1 || succeeded > 1 {
            wrong.push(format!("I6: TWO REPORTS {state}"));
        }
        if taken > 0 && failed > 0 && unknown == 0 {
            wrong.push(format!("I6: REPORT OF WHAT WAS SENT {state}"));
        }
        let wants_success = notify.contains(Notify::SUCCESS);
        if (failed > 0 && !wants_failures) || (succeeded > 0 && !wants_success) {
            wrong.push(format!("RFC 3461: TOLD UNASKED {state}"));
        }
        if succeeded > 0 && taken == there {
            wrong.push(format!("RFC 3461: SUCCESS THAT IS NONE OF OURS TO TELL {state}"));
        }
        let owed = wants_success && taken > 0 && there == 0 && !given_up && failed == 0;
        if fate == Fate::Acknowledged && owed && succeeded == 0 {
            wrong.push(format!("RFC 3461: SUCCESS NOT TOLD {state}"));
        }
    }
    wrong
}

/// What is in the mailbox of who is here: how often each id.
async fn here(store: &Store) -> Result<BTreeMap<String, usize>, store::LogError> {
    let mut there = BTreeMap::new();
    for read in mail_of(store, ACCOUNTS[1]).await? {
        *there.entry(tests::message::id_of(&read).unwrap_or_default()).or_default() += 1;
    }
    Ok(there)
}

async fn mail_of(store: &Store, name: &str) -> Result<Vec<bytes::Bytes>, store::LogError> {
    let log = store.account(people::account(name)).await?;
    log.fresh().await?;
    let all: Vec<_> = log.view(|state| {
        let each = state.mailboxes().flat_map(|mailbox| {
            let id = mailbox.id();
            mailbox.messages().map(move |m| (id, m.uid)).collect::<Vec<_>>()
        });
        each.collect()
    });
    let mut texts = Vec::new();
    for (mailbox, uid) in all {
        texts.extend(log.read(mailbox, uid, 0..u64::MAX).await?);
    }
    Ok(texts)
}

async fn id_of(store: &Store, item: &Item) -> Option<String> {
    let read = store.read_record(item.place, 0..u64::MAX).await.ok()??;
    tests::message::id_of(&read)
}

/// How often a sender was told.
#[derive(Clone, Copy, Default)]
struct Told {
    failed: usize,
    succeeded: usize,
}

/// What senders were told: (recipient, id) → how often.
async fn reports(
    store: &Store,
    wrong: &mut Vec<String>,
) -> Result<BTreeMap<Pair, Told>, store::LogError> {
    let mut reports: BTreeMap<Pair, Told> = BTreeMap::new();
    for read in mail_of(store, ACCOUNTS[0]).await? {
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
            let fields = (field("Final-Recipient: rfc822; "), field("Action: "));
            let (Some(to), Some(action)) = fields else { continue };
            let told = reports.entry((to, id.clone())).or_default();
            match action.as_str() {
                "failed" => told.failed += 1,
                "delivered" | "relayed" | "expanded" => told.succeeded += 1,
                _ => {}
            }
        }
    }
    Ok(reports)
}
