//! Senders and mailbox owners: what they do, and what they were told.

use std::sync::Arc;

use bytes::Bytes;
use mail::flags::{FlagSet, SystemFlags};
use mail::uidset::UidSet;
use mail::{Account, AccountId, Address, Envelope, Epoch, Path, Recipient, Seq, Timestamp};
use store::change::{Change, FlagOp, MailboxChange, MailboxId};
use store::{Accept, AccountLog, ChangeError, LogError, Store};
use tests::ledger::Fate;

use crate::dice::Dice;
use crate::known::Known;

/// The accounts of a run.
pub(crate) const ACCOUNTS: [&str; 2] = ["ana", "bob"];

/// An alias that moves from one account to the other while mail for it is under way.
pub(crate) const ALIAS: &str = "team";

/// The accounts' domain.
pub(crate) const DOMAIN: &str = "example.test";

pub(crate) fn account(name: &str) -> Account {
    let number = ACCOUNTS.iter().position(|known| *known == name).unwrap_or(0);
    let byte = u8::try_from(number + 1).unwrap_or(0);
    Account { id: AccountId([byte; 16]), epoch: Epoch(1) }
}

/// An address of the domain.
///
/// # Panics
/// Never: names here are literals.
pub(crate) fn address(name: &str) -> Address {
    Address::parse(&format!("{name}@{DOMAIN}")).expect("names of the simulation are addresses")
}

/// The message with this id; every eighth is long enough for an object of its own, and some that
/// are appended do not fit into their entry [ζ].
pub(crate) fn text(id: &str) -> Vec<u8> {
    let sum: usize = id.bytes().map(usize::from).sum();
    let bytes = match sum % 8 {
        0 if id.starts_with("append") => 20_000,
        0 => 6_000,
        _ => 120,
    };
    tests::message::sized(id, bytes)
}

/// Sends messages to accounts and the alias through one edge until it dies.
pub(crate) async fn sender(store: Store, known: Known, mut dice: Dice) {
    loop {
        let clock = store.engines().clock.clone();
        clock.sleep(dice.millis(1, 900)).await;
        let to: Vec<&str> = match dice.below(4) {
            0 => vec![ALIAS],
            1 => vec!["ana", "bob"],
            2 => vec!["ana"],
            _ => vec!["bob"],
        };
        let id = known.fresh_id("mail");
        for to in &to {
            known.note(to, &id, Fate::Unknown);
        }
        let fate = send(&store, &to, &id).await;
        for to in &to {
            known.note(to, &id, fate);
        }
    }
}

async fn send(store: &Store, to: &[&str], id: &str) -> Fate {
    let Ok(mut incoming) = store.ingest().begin().await else { return Fate::Refused };
    for piece in text(id).chunks(1_000) {
        if incoming.write(piece).await.is_err() {
            return Fate::Refused;
        }
    }
    let recipients = to.iter().map(|to| Recipient::new(path(to))).collect();
    let envelope = Envelope::new(Some(path("sender")), recipients);
    let accept = Accept {
        envelope,
        prefix: Bytes::from_static(b"Return-Path: <s@x.test>\r\n"),
        verdicts: Bytes::new(),
    };
    match incoming.commit(accept).await {
        Ok(_receipt) => Fate::Acknowledged,
        Err(store::AcceptError::Unknown) => Fate::Unknown,
        Err(_) => Fate::Refused,
    }
}

fn path(name: &str) -> Path {
    let text = format!("{name}@{DOMAIN}");
    Path::parse(&text).expect("names of the simulation are paths")
}

/// What a mailbox's owner remembers between two looks (I4).
#[derive(Default)]
struct Memory {
    validity: u32,
    modseq: Seq,
    messages: std::collections::BTreeMap<u32, FlagSet>,
}

/// Reads, flags, moves, expunges and appends through one edge until it dies.
pub(crate) async fn owner(store: Store, known: Known, name: &'static str, mut dice: Dice) {
    let mut memory = Memory::default();
    loop {
        let clock = store.engines().clock.clone();
        clock.sleep(dice.millis(50, 1_500)).await;
        let Ok(log) = store.account(account(name)).await else { continue };
        let (id, floor) = (log.account().id, known.seq(log.account().id));
        let Ok(seq) = log.fresh().await else { continue };
        known.saw_seq(id, seq, floor);
        look(&log, &known, &mut memory);
        match dice.below(6) {
            0 => flag(&log, &known, &mut dice).await,
            1 | 2 => expunge(&log, &known, name, &mut dice).await,
            3 => copy(&log, &mut dice).await,
            4 => append(&log, &known, name).await,
            _ => {}
        }
        known.saw_seq(id, log.seq(), Seq(0));
    }
}

/// Changes one small thing after the other, through one edge until it dies: a log that is busy.
pub(crate) async fn ticker(store: Store, name: &'static str, mut dice: Dice) {
    loop {
        let clock = store.engines().clock.clone();
        clock.sleep(dice.millis(5, 120)).await;
        let Ok(log) = store.account(account(name)).await else { continue };
        let uids: Vec<u32> = log.view(|state| {
            let inbox = state.mailbox(MailboxId::INBOX);
            inbox.map(|inbox| inbox.messages().map(|m| m.uid.get()).collect()).unwrap_or_default()
        });
        let on = dice.percent(50);
        let change = match dice.one_of(&uids) {
            Some(uid) => {
                let op = if on { FlagOp::Add } else { FlagOp::Remove };
                let flags = FlagSet::new(SystemFlags::SEEN, []);
                Change::Flags { mailbox: MailboxId::INBOX, uids: one(*uid), op, flags }
            }
            None => Change::Mailbox(MailboxChange::Subscribe { name: "Tick".to_owned(), on }),
        };
        if log.change(|_| Ok::<_, ()>(change.clone())).await.is_err() {
            clock.sleep(dice.millis(20, 250)).await;
        }
    }
}

/// Looks at INBOX: UIDs mean what they meant (I3), and the changes since the last look are all of
/// them (I4).
fn look(log: &AccountLog, known: &Known, memory: &mut Memory) {
    let id = log.account().id;
    let seen: Vec<_> = log.view(|state| {
        let all = state.mailboxes().flat_map(|mailbox| {
            let (number, validity) = (mailbox.id().0, mailbox.uid_validity().get());
            let place = move |uid: u32| (id, number, validity, uid);
            mailbox.messages().map(move |m| (place(m.uid.get()), m.record)).collect::<Vec<_>>()
        });
        all.collect()
    });
    for (place, record) in seen {
        known.saw(place, record);
    }
    let wrong = log.view(|state| {
        let inbox = state.mailbox(MailboxId::INBOX)?;
        let now: std::collections::BTreeMap<u32, FlagSet> =
            inbox.messages().map(|m| (m.uid.get(), m.flags.clone())).collect();
        let mut told = std::mem::take(&mut memory.messages);
        let same = memory.validity == inbox.uid_validity().get();
        let since = memory.modseq;
        memory.validity = inbox.uid_validity().get();
        memory.modseq = state.seq();
        memory.messages.clone_from(&now);
        if !same {
            return None;
        }
        let vanished = inbox.vanished_since(since).ok()?;
        told.retain(|uid, _| !vanished.contains(*uid));
        told.extend(inbox.changed_since(since).map(|m| (m.uid.get(), m.flags.clone())));
        (told != now)
            .then(|| format!("I4: since {since} a client is told {told:?}, but it is {now:?}"))
    });
    if let Some(wrong) = wrong {
        known.wrong(wrong);
    }
}

/// One message of INBOX, as (uid, id in its text).
async fn pick(log: &AccountLog, dice: &mut Dice) -> Option<(u32, String)> {
    let uids: Vec<u32> = log.view(|state| {
        let inbox = state.mailbox(MailboxId::INBOX);
        inbox.map(|inbox| inbox.messages().map(|m| m.uid.get()).collect()).unwrap_or_default()
    });
    let uid = *dice.one_of(&uids)?;
    let read = log.read(MailboxId::INBOX, uid.try_into().ok()?, 0..u64::MAX).await.ok()??;
    Some((uid, tests::message::id_of(&read)?))
}

fn one(uid: u32) -> UidSet {
    UidSet::from_ranges([(uid, uid)])
}

async fn flag(log: &AccountLog, known: &Known, dice: &mut Dice) {
    let Some((uid, _)) = pick(log, dice).await else { return };
    let op = if dice.percent(70) { FlagOp::Add } else { FlagOp::Remove };
    let flags = FlagSet::new(SystemFlags::FLAGGED, []);
    let change = Change::Flags { mailbox: MailboxId::INBOX, uids: one(uid), op, flags };
    let done = log.change(|_| Ok::<_, ()>(change.clone())).await;
    if done.is_err() {
        return;
    }
    let set = log.view(|state| {
        let inbox = state.mailbox(MailboxId::INBOX)?;
        Some(inbox.message(uid)?.flags.system.contains(SystemFlags::FLAGGED))
    });
    // Another owner may have changed it meanwhile only if the log moved on, which this process
    // has not seen: what it appended is the last thing it knows.
    if set == Some(op == FlagOp::Remove) {
        known.wrong(format!("a flag of UID {uid} is not as its change left it"));
    }
}

async fn expunge(log: &AccountLog, known: &Known, name: &str, dice: &mut Dice) {
    let Some((uid, id)) = pick(log, dice).await else { return };
    let removed = (name.to_owned(), id);
    known.facts().perhaps.insert(removed.clone());
    let change = Change::Expunge { mailbox: MailboxId::INBOX, uids: one(uid) };
    let done = log
        .change(|state| {
            let there = state.mailbox(MailboxId::INBOX).and_then(|inbox| inbox.message(uid));
            if there.is_some() { Ok(change.clone()) } else { Err(()) }
        })
        .await;
    if done.is_ok() {
        known.facts().gone.insert(removed);
    }
}

/// Moves one message of INBOX to the Archive: it stays one message.
async fn copy(log: &AccountLog, dice: &mut Dice) {
    let Some((uid, _)) = pick(log, dice).await else { return };
    let moved: Result<_, ChangeError<()>> = log
        .change(|state| {
            let archive = state.by_name("Archive").ok_or(())?.id();
            let there = state.mailbox(MailboxId::INBOX).and_then(|inbox| inbox.message(uid));
            there.ok_or(())?;
            Ok(Change::Copy { from: MailboxId::INBOX, to: archive, uids: one(uid), is_move: true })
        })
        .await;
    if let Err(ChangeError::Log(LogError::Damaged(_) | LogError::Broken { .. })) = moved {
        // The checker finds it again and says what is wrong.
    }
}

async fn append(log: &Arc<AccountLog>, known: &Known, name: &str) {
    let id = known.fresh_id("append");
    known.note(name, &id, Fate::Unknown);
    let fate = match append_text(log, &text(&id)).await {
        Ok(()) => Fate::Acknowledged,
        Err(true) => Fate::Unknown,
        Err(false) => Fate::Refused,
    };
    known.note(name, &id, fate);
}

/// `Err(true)`: whether it happened is not known.
async fn append_text(log: &Arc<AccountLog>, text: &[u8]) -> Result<(), bool> {
    let mut body = log.append_body();
    body.write(text).await.map_err(|_| false)?;
    let appended = body.end().await.map_err(|_| false)?;
    let arrival = appended.arrival(MailboxId::INBOX, FlagSet::default(), Timestamp(1_000_000));
    let change = Change::Append(vec![arrival]);
    match log.change(|_| Ok::<_, ()>(change.clone())).await {
        Ok(_) => Ok(()),
        Err(ChangeError::Log(LogError::Unknown)) => Err(true),
        Err(_) => Err(false),
    }
}
