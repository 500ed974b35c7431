use std::sync::Arc;

use bytes::Bytes;
use engine::memory::World;
use functions::maintain::Task;
use functions::{Deliver, Handler as _, Maintain};
use mail::flags::SystemFlags;
use mail::uidset::UidSet;
use mail::{Envelope, FlagSet, Path, Recipient};
use proto::sasl::Password;
use store::change::{Change, FlagOp, MailboxId, SpecialUse};
use store::{Accept, AccountLog, Store, names};

use super::*;
use crate::admin::NewAccount;

/// An office of ana and bob on an in-memory store.
async fn office(world: &World) -> Admin {
    let admin = Admin::new(Store::new(world.process("a"), store::Options::default()), 4096);
    admin.add_domain("example.test").await.unwrap();
    for name in ["ana", "bob"] {
        let new = NewAccount {
            address: format!("{name}@example.test"),
            name: String::new(),
            password: Password::new("long-enough".to_owned()),
            quota_bytes: None,
            admin: false,
        };
        admin.add_account(new).await.unwrap();
    }
    admin
}

async fn accept(admin: &Admin, to: &[&str], number: u32) -> RecordId {
    let mut incoming = admin.store.ingest().begin().await.unwrap();
    let message = format!(
        "Message-ID: <{number}@sender.test>\r\nSubject: =?utf-8?q?n=C2=B0?= {number}\r\n\r\nx\r\n"
    );
    incoming.write(message.as_bytes()).await.unwrap();
    let path = |name: &str| Path::parse(&format!("{name}@example.test")).unwrap();
    let to = to.iter().map(|name| Recipient::new(path(name))).collect();
    let envelope = Envelope::new(Some(Path::parse("zoe@sender.test").unwrap()), to);
    let prefix = b"Received: from peer.test ([192.0.2.7])\r\n\tby mx.test; today\r\n";
    let accept = Accept { envelope, prefix: Bytes::from_static(prefix), verdicts: Bytes::new() };
    incoming.commit(accept).await.unwrap().record()
}

async fn deliver(admin: &Admin, world: &World) {
    let deliver = Deliver::new(admin.store.clone());
    let keys = world.object_keys().into_iter().filter(|key| names::parse_ingest(key).is_some());
    assert!(deliver.handle(keys.collect()).await.iter().all(functions::Outcome::is_done));
    deliver.flush().await;
}

async fn log(admin: &Admin, name: &str) -> Arc<AccountLog> {
    let name = format!("{name}@example.test");
    let (_, entry) = accounts::find(admin.look().await.unwrap(), &name).await.unwrap();
    admin.store.account(entry.account()).await.unwrap()
}

async fn change(log: &AccountLog, change: Change) {
    log.fresh().await.unwrap();
    log.change(|_| Ok::<_, std::convert::Infallible>(change.clone())).await.unwrap();
}

/// Flags the first message, copies it to the archive, moves it to the trash, expunges it there.
async fn play(log: &AccountLog) {
    let uids = || UidSet::from_iter([1]);
    let seen = FlagSet::new(SystemFlags::SEEN, []);
    let by_use = |wanted| log.view(|state| state.by_use(wanted).unwrap().id());
    let (archive, trash) = (by_use(SpecialUse::Archive), by_use(SpecialUse::Trash));
    let from = MailboxId::INBOX;
    change(log, Change::Flags { mailbox: from, uids: uids(), op: FlagOp::Add, flags: seen }).await;
    change(log, Change::Copy { from, to: archive, uids: uids(), is_move: false }).await;
    change(log, Change::Copy { from, to: trash, uids: uids(), is_move: true }).await;
    change(log, Change::Expunge { mailbox: trash, uids: uids() }).await;
}

fn told(trace: &Trace) -> Vec<(&str, &str, Option<u32>)> {
    let told = trace.steps.iter();
    told.map(|one| (one.what, one.mailbox.as_deref().unwrap_or(""), one.uid)).collect()
}

const PLAYED: [(&str, &str, Option<u32>); 7] = [
    ("accepted", "", None),
    ("planned", "", None),
    ("delivered", "INBOX", Some(1)),
    ("flags", "INBOX", Some(1)),
    ("copied", "Archive", Some(1)),
    ("moved", "Trash", Some(1)),
    ("expunged", "Trash", Some(1)),
];

#[tokio::test(start_paused = true)]
async fn every_step_of_a_message_is_told() {
    let world = World::default();
    let admin = office(&world).await;
    let record = accept(&admin, &["ana"], 1).await;
    let waits = admin.trace_record(&record.to_string(), None).await.unwrap();
    assert_eq!(told(&waits)[1].0, "waits");
    deliver(&admin, &world).await;
    play(&*log(&admin, "ana").await).await;
    let trace = admin.trace_record(&record.to_string(), None).await.unwrap();
    assert_eq!(told(&trace), PLAYED, "{trace:#?}");
    assert_eq!(trace.subject.as_deref(), Some("n° 1"));
    let first = &trace.steps[0].text;
    assert!(first.contains("from <zoe@sender.test> for <ana@example.test>"), "{first}");
    assert!(first.contains("Received: from peer.test ([192.0.2.7]) by mx.test"), "{first}");
    assert!(trace.unknown.is_empty(), "{:?}", trace.unknown);
    // By Message-ID within the account; nobody else's.
    let by_id = admin.trace_message("ana@example.test", "<1@sender.test>").await.unwrap();
    assert_eq!(by_id, [trace]);
    assert!(admin.trace_message("bob@example.test", "1@sender.test").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_record_is_found_among_many_segments_and_in_all_of_its_accounts() {
    let world = World::default();
    let admin = office(&world).await;
    let mut records = Vec::new();
    for number in 0..60 {
        records.push(accept(&admin, &["ana", "bob"], number).await);
    }
    deliver(&admin, &world).await;
    for record in &records {
        let trace = admin.trace_record(&record.to_string(), None).await.unwrap();
        let steps = told(&trace);
        let delivered = steps.iter().filter(|step| step.0 == "delivered").count();
        assert_eq!((steps[0].0, delivered), ("accepted", 2));
    }
    let lately = admin.trace_account("ana@example.test", None, 5).await.unwrap();
    assert_eq!((lately.steps.len(), lately.unknown.len()), (5, 1));
    assert_eq!(lately.steps[0].record, Some(records[59].to_string()));
    let unknown = RecordId { counter: 1 << 40, ..records[0] };
    let unknown = admin.trace_record(&unknown.to_string(), None).await;
    assert!(matches!(unknown, Err(AdminError::NotFound { .. })));
    assert!(admin.trace_record("zz", None).await.is_err());
}

/// When the segment is gone, what accounts know is told, and what is not known any more is said.
#[tokio::test(start_paused = true)]
async fn what_is_gone_is_said() {
    let world = World::default();
    let options = store::Options {
        timing: store::Timing {
            backup_interval: std::time::Duration::ZERO,
            ..store::Timing::default()
        },
        ..store::Options::default()
    };
    let first = office(&world).await;
    let admin = Admin::new(Store::new(world.process("b"), options), 4096);
    let record = accept(&first, &["ana"], 1).await;
    deliver(&first, &world).await;
    play(&*log(&admin, "ana").await).await;
    let account = log(&admin, "ana").await.account();
    let maintain = Maintain::new(admin.store.clone());
    maintain.handle(vec![Task::Sweep, Task::Account { account, all: true }]).await;
    let ingest = world.object_keys().into_iter().filter(|key| names::parse_ingest(key).is_some());
    assert_eq!(ingest.count(), 0, "the segment is still there");
    for named in [None, Some("ana@example.test")] {
        let trace = admin.trace_record(&record.to_string(), named).await.unwrap();
        let told: Vec<_> = told(&trace).into_iter().filter(|step| step.0 != "stored").collect();
        assert_eq!(told, PLAYED[2..], "{trace:#?}");
        assert!(trace.unknown[0].starts_with("its coming"), "{:?}", trace.unknown);
    }
}

/// Mail that left: its item's tries in the other side's words, and the report that its sender got.
#[tokio::test(start_paused = true)]
async fn what_other_servers_said_and_what_the_sender_was_told_is_there() {
    use store::place::{SegmentRef, Slot};
    use store::rows::{Attempt, ItemState, RecipientState};
    let world = World::default();
    let admin = office(&world).await;
    let mut incoming = admin.store.ingest().begin().await.unwrap();
    incoming.write(b"Message-ID: <out@example.test>\r\n\r\nx\r\n").await.unwrap();
    let ana = Path::parse("ana@example.test").unwrap();
    let to = Recipient::new(Path::parse("yan@far.test").unwrap());
    let envelope = Envelope::new(Some(ana.clone()), vec![to]);
    let accept = Accept { envelope, prefix: Bytes::new(), verdicts: Bytes::new() };
    let record = incoming.commit(accept).await.unwrap().record();
    deliver(&admin, &world).await;
    let items = admin.store.items();
    let (key, mut item, version) = items.of_record(record, 10).await.unwrap().pop().unwrap();
    let now = admin.store.engines().index.now();
    let words = "550 5.1.1 no such person here".to_owned();
    item.record_attempt(Attempt { at: now, via: "one -> mx.far.test".to_owned(), words });
    item.recipients[0].state = RecipientState::Told;
    item.state = ItemState::Failed;
    item.reports = 1;
    items.update(&key, &item, version).await.unwrap();
    let id = report_id(&key, 0);
    let made = store::Made {
        id,
        envelope: Envelope::new(None, vec![Recipient::new(ana)]),
        at: now,
        prefix: Bytes::new(),
        content: Bytes::from_static(b"Subject: report\r\n\r\nsorry\r\n"),
        cause: (key.clone(), 0),
        told: vec![0],
    };
    admin.store.make(made).await.unwrap();
    let log = log(&admin, "ana").await;
    let place = Slot { segment: SegmentRef::Made { id }, index: 0 };
    let arrival = store::change::Arrival {
        record: id,
        again: false,
        mailbox: MailboxId::INBOX,
        flags: FlagSet::default(),
        date: now,
        size: 10,
        place: store::change::ArrivalPlace::Slot(place),
        summary: Bytes::new(),
    };
    change(&log, Change::Deliver(vec![arrival])).await;
    let by_id = admin.trace_message("ana@example.test", "out@example.test").await.unwrap();
    let trace = &by_id[0];
    let whats: Vec<_> = trace.steps.iter().map(|step| step.what).collect();
    assert_eq!(
        whats,
        ["accepted", "planned", "queued", "tried", "reported", "delivered", "failed"],
        "{trace:#?}"
    );
    assert!(trace.steps[3].text.ends_with("mx.far.test: 550 5.1.1 no such person here"));
    assert_eq!(trace.steps[4].record, Some(id.to_string()));
    assert_eq!(trace.steps[5].account.as_deref(), Some("ana@example.test"));
    // Its segment goes; it is found by its items for as long as they are kept.
    let objects = admin.store.engines().objects.clone();
    for key in world.object_keys().into_iter().filter(|key| names::parse_ingest(key).is_some()) {
        objects.delete(&key).await.unwrap();
    }
    let later = Admin::new(Store::new(world.process("later"), store::Options::default()), 4096);
    for id in ["<out@example.test>", "out@example.test"] {
        let by_id = later.trace_message("ana@example.test", id).await.unwrap();
        let whats: Vec<_> = by_id[0].steps.iter().map(|step| step.what).collect();
        assert_eq!(whats, ["queued", "tried", "reported", "delivered", "failed"], "{by_id:#?}");
        assert_eq!((by_id.len(), by_id[0].record.clone()), (1, Some(record.to_string())));
    }
    assert!(later.trace_message("bob@example.test", "out@example.test").await.is_err());
    // The report itself says what it was made for.
    let report = admin.trace_record(&id.to_string(), None).await.unwrap();
    let made = &report.steps[0];
    assert!(made.what == "made" && made.text.contains(&queue::name(&key)), "{made:?}");
}
