use std::convert::Infallible;
use std::time::Duration;

use engine::memory::World;
use mail::flags::SystemFlags;
use mail::uidset::UidSet;
use mail::{AccountId, Epoch, FlagSet, Timestamp};

use super::*;
use crate::change::{Arrival, ArrivalPlace, Change, FlagOp, MailboxId};
use crate::entry::Kind;
use crate::inline::Inline;
use crate::{Options, Store};

const ACCOUNT: Account = Account { id: AccountId([7; 16]), epoch: Epoch(1) };

async fn change(log: &AccountLog, change: Change) {
    log.change(|_| Ok::<_, Infallible>(change.clone())).await.unwrap();
}

fn arrival(store: &Store) -> Change {
    Change::Append(vec![Arrival {
        record: store.fresh_record(),
        again: false,
        mailbox: MailboxId::INBOX,
        flags: FlagSet::default(),
        date: Timestamp::from_seconds(1_800_000_000),
        size: 100,
        place: ArrivalPlace::Inline(Inline::pack(b"Subject: x\r\n\r\nbody\r\n").unwrap()),
        summary: bytes::Bytes::from_static(b"s"),
    }])
}

/// What was told: how often it began anew, at which seq at first, the entries, and what is there
/// at the end.
async fn told(log: &AccountLog) -> (usize, Seq, Vec<(Seq, Kind)>, usize) {
    let (mut begun, mut first, mut entries, mut exists) = (0, Seq(0), Vec::new(), 0);
    log.retell(|told| match told {
        Told::Begin(state) => {
            if begun == 0 {
                first = state.seq();
            }
            begun += 1;
        }
        Told::Entry { entry, after, effects } => {
            if let Change::Append(_) = entry.change {
                assert!(effects.arrived[0].is_some());
            }
            entries.push((entry.seq, kind(&entry.change)));
            exists = after.mailbox(MailboxId::INBOX).unwrap().exists();
        }
    })
    .await
    .unwrap();
    (begun, first, entries, exists)
}

fn kind(change: &Change) -> Kind {
    match change {
        Change::Append(_) => Kind::Append,
        Change::Flags { .. } => Kind::Flags,
        Change::Expunge { .. } => Kind::Expunge,
        _ => Kind::Void,
    }
}

/// A few laps of the ring, with flags and expunges; a checkpoint after each of the rounds.
async fn laps(store: &Store, log: &AccountLog, rounds: u32) {
    for round in 0..rounds {
        for _ in 0..60 {
            change(log, arrival(store)).await;
        }
        let uids = UidSet::from_iter([round * 60 + 1]);
        let (mailbox, flags) = (MailboxId::INBOX, FlagSet::new(SystemFlags::SEEN, []));
        change(log, Change::Flags { mailbox, uids: uids.clone(), op: FlagOp::Add, flags }).await;
        change(log, Change::Expunge { mailbox, uids }).await;
        log.checkpoint().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_past_is_told_from_the_first_entry_on_though_its_rows_are_overwritten() {
    let world = World::default();
    let store = Store::new(world.process("a"), Options::default());
    let log = store.account(ACCOUNT).await.unwrap();
    assert_eq!(told(&log).await, (1, Seq(0), Vec::new(), 0));
    laps(&store, &log, 5).await;
    change(&log, arrival(&store)).await;
    let (begun, first, entries, exists) = told(&log).await;
    assert_eq!((begun, first, exists), (1, Seq(0), 5 * 59 + 1));
    assert!(entries.iter().map(|(seq, _)| seq.0).eq(1..=5 * 62 + 1));
    assert_eq!(entries.iter().filter(|(_, kind)| *kind == Kind::Expunge).count(), 5);
}

/// Roots go, but for one a day; history stays, for the restore window at least [Y].
#[tokio::test(start_paused = true)]
async fn the_past_outlives_the_roots_for_the_restore_window() {
    let world = World::default();
    let store = Store::new(world.process("a"), Options::default());
    let log = store.account(ACCOUNT).await.unwrap();
    laps(&store, &log, 4).await;
    assert!(log.clean().await.unwrap() > 0);
    let (begun, first, entries, exists) = told(&log).await;
    assert_eq!((begun, first, entries.len(), exists), (1, Seq(0), 4 * 62, 4 * 59));
    let window = store.options().timing.restore_window;
    store.engines().clock.sleep(window + Duration::from_secs(86_400)).await;
    laps(&store, &log, 1).await;
    log.clean().await.unwrap();
    let (begun, first, entries, exists) = told(&log).await;
    // An object that still has summaries keeps its history as well. UID 1 was gone already.
    assert!(first.0 <= 4 * 62 + 1, "{first}");
    assert_eq!((begun, exists), (1, 4 * 59 + 60));
    assert_eq!(entries.last().map(|(seq, _)| seq.0), Some(5 * 62));
}

/// Where history is missing the telling begins anew from a checkpoint, and says so.
#[tokio::test(start_paused = true)]
async fn a_gap_is_told_as_a_new_beginning() {
    let world = World::default();
    let store = Store::new(world.process("a"), Options::default());
    let log = store.account(ACCOUNT).await.unwrap();
    laps(&store, &log, 4).await;
    let objects = &store.engines().objects;
    let chunks = objects.list(&names::chunk_prefix(ACCOUNT), None, 100).await.unwrap();
    let of =
        |seq: u64| chunks.iter().find(|one| one.key.as_str().contains(&format!("{seq:016x}-")));
    objects.delete(&of(2 * 62).unwrap().key).await.unwrap();
    let (begun, first, entries, exists) = told(&log).await;
    assert_eq!((begun, first, exists), (2, Seq(0), 4 * 59));
    assert!(entries.iter().map(|(seq, _)| seq.0).eq((1..=62).chain(2 * 62 + 1..=4 * 62)));
}
