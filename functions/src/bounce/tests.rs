use engine::memory::{Ending, World};
use mail::{Account, Address, Notify, Ret};
use store::change::MailboxId;
use store::place::SegmentRef;
use store::rows::{
    AccountRow, AddressRow, DELIVERED, DirectoryChange, DuePlace, EXPANDED, ItemRecipient,
    REPORT_SHARDS,
};
use store::{Accept, names};

use super::*;
use crate::testing::{accounts, deliver_all, inbox, process};

const BODY: &[u8] = b"From: ana@example.test\r\nSubject: hello\r\n\r\nthe body\r\n";

fn bounce(store: &Store) -> Bounce {
    let identity = Identity {
        host: "mx.example.test".into(),
        domain: "example.test".into(),
        forwarding: None,
    };
    Bounce::new(store.clone(), relay::Options::default(), identity)
}

/// One look at all reports that are due; whether all were made.
async fn look(store: &Store, bounce: &Bounce) -> bool {
    let mut all = true;
    for shard in 0..REPORT_SHARDS {
        let Ok(due) = store.items().due(&DuePlace::Reports(shard), None, 100).await else {
            return false;
        };
        all &= due.is_empty() | bounce.handle(due).await.iter().all(Outcome::is_done);
    }
    all
}

async fn tell(store: &Store) {
    let bounce = bounce(store);
    for _ in 0..3 {
        assert!(look(store, &bounce).await);
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn asking(to: &[(&str, Notify)]) -> Envelope {
    let recipients = to.iter().map(|(to, notify)| Recipient {
        notify: *notify,
        orcpt: Some(format!("rfc822;x-{to}")),
        ..Recipient::new(path(to))
    });
    Envelope {
        envid: Some("QQ+2B1".into()),
        ..Envelope::new(Some(path("ana@example.test")), recipients.collect())
    }
}

async fn accept(world: &World, store: &Store, envelope: Envelope) -> (RecordId, Slot) {
    let before = world.object_keys();
    let mut incoming = store.ingest().begin().await.unwrap();
    incoming.write(BODY).await.unwrap();
    let prefix = Bytes::from_static(b"Received: from x by y\r\n");
    let accept = Accept { envelope, prefix, verdicts: Bytes::new() };
    let receipt = incoming.commit(accept).await.unwrap();
    let new = world.object_keys().into_iter().filter(|key| !before.contains(key));
    let (writer, number) = new.into_iter().find_map(|key| names::parse_ingest(&key)).unwrap();
    (receipt.record(), Slot { segment: SegmentRef::Ingest { writer, number }, index: 0 })
}

/// What is in the inbox of an account, as text.
async fn texts(store: &Store, account: Account) -> Vec<String> {
    let log = store.account(account).await.unwrap();
    let mut texts = Vec::new();
    for (uid, _) in inbox(&log).await {
        let read = log.read(MailboxId::INBOX, uid, 0..u64::MAX).await.unwrap().unwrap();
        texts.push(String::from_utf8(read.to_vec()).unwrap());
    }
    texts
}

async fn lead(store: &Store, alias: &str, to: &[&str]) {
    let parse = |text: &&str| Address::parse(text).unwrap();
    let row = AddressRow::Alias(to.iter().map(parse).collect());
    let change = DirectoryChange::Address(parse(&alias), row);
    store.directory().change(vec![change]).await.unwrap();
}

/// An item of mail to far.test whose sender is to be told.
async fn failing(store: &Store, (id, place): (RecordId, Slot), item: Item) -> ItemKey {
    let key = ItemKey { id, kind: ItemKind::Remote, destination: "far.test".into(), k: 0 };
    let item = Item { state: ItemState::Bouncing, place, ..item };
    store.items().make(&key, &item).await.unwrap();
    key
}

fn refused(number: u32, to: &str) -> ItemRecipient {
    let said = "mx.far.test 550 5.1.1 No such user".to_owned();
    let state = RecipientState::Failed;
    ItemRecipient { state, said, ..ItemRecipient::new(number, to) }
}

#[tokio::test(start_paused = true)]
async fn who_asks_hears_once_of_mail_that_is_in_a_mailbox_whatever_write_goes_wrong() {
    let endings = [
        Ending::Failed,
        Ending::LostDone,
        Ending::LostDropped,
        Ending::LostLate(std::time::Duration::from_millis(30)),
        Ending::Repeated,
    ];
    for step in 0..12 {
        for ending in endings {
            let world = World::default();
            let store = process(&world, "edge");
            let ids = accounts(&store, &["ana", "bob", "eve"]).await;
            let to = [("bob@example.test", Notify::SUCCESS), ("eve@example.test", Notify::UNSAID)];
            accept(&world, &store, asking(&to)).await;
            let answered = std::iter::repeat_n(Ending::Answered, step);
            world.next_writes(answered.chain([ending]));
            deliver_all(&world, &store).await;
            let first = process(&world, "first");
            look(&first, &bounce(&first)).await;
            first.engines().tasks.abort();
            let second = process(&world, "second");
            second.engines().clock.sleep(std::time::Duration::from_secs(5)).await;
            tell(&second).await;
            let told = texts(&second, ids[0]).await;
            assert_eq!(told.len(), 1, "step {step} {ending:?}: {told:?}");
            let part = "Original-Recipient: rfc822; x-bob@example.test\r\n\
                Final-Recipient: rfc822; bob@example.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n";
            assert!(told[0].contains(part), "{}", told[0]);
            assert!(!told[0].contains("eve@"), "{}", told[0]);
            assert_eq!(texts(&second, ids[1]).await.len(), 1);
        }
    }
}

/// RFC 3461 §5.2.7: an alias of one passes on what was asked, one of several is told of.
#[tokio::test(start_paused = true)]
async fn aliases_are_told_of_as_they_expand() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana", "bob", "eve"]).await;
    lead(&store, "single@example.test", &["bob@example.test"]).await;
    lead(&store, "team@example.test", &["bob@example.test", "eve@example.test", "x@far.test"])
        .await;
    lead(&store, "away@example.test", &["y@far.test"]).await;
    let asked = Notify::SUCCESS;
    let to = ["single@example.test", "team@example.test", "away@example.test", "bob@example.test"];
    let (id, _) = accept(&world, &store, asking(&to.map(|to| (to, asked)))).await;
    deliver_all(&world, &store).await;
    tell(&store).await;
    let told = texts(&store, ids[0]).await;
    let all = told.concat();
    for (to, action) in [("single", "delivered"), ("team", "expanded"), ("bob", "delivered")] {
        let part = format!("Final-Recipient: rfc822; {to}@example.test\r\nAction: {action}\r\n");
        assert_eq!(all.matches(&part).count(), 1, "{part} in {all}");
    }
    // What only leads on is told of by whoever gets it.
    assert!(!all.contains("Final-Recipient: rfc822; away@"), "{all}");
    assert_eq!(told.len(), 2, "one of those delivered, one of those expanded");
    for (to, expanded) in [("x@far.test", true), ("y@far.test", false)] {
        let items = store.items().of_record(id, 100).await.unwrap();
        let found = items.iter().find(|(_, item, _)| item.recipients[0].path == to);
        assert_eq!(found.unwrap().1.expanded, expanded, "{to}");
    }
    for (key, item, _) in store.items().of_record(id, 100).await.unwrap() {
        let report = key.kind == ItemKind::Report;
        assert_eq!(report, [DELIVERED, EXPANDED].contains(&key.destination.as_str()));
        assert_eq!(item.state.is_finished(), report, "{key:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_null_sender_and_the_sender_of_spam_hear_nothing() {
    let world = World::default();
    let store = process(&world, "one");
    accounts(&store, &["ana", "bob"]).await;
    let from_nobody = Envelope { sender: None, ..asking(&[("bob@example.test", Notify::SUCCESS)]) };
    let (id, place) = accept(&world, &store, from_nobody).await;
    deliver_all(&world, &store).await;
    assert!(store.items().of_record(id, 10).await.unwrap().is_empty());
    let now = store.engines().index.now();
    let item = Item::new(now, place, vec![refused(0, "bob@far.test")]);
    let key = failing(&store, (id, place), item).await;
    let before = world.object_keys();
    tell(&store).await;
    assert_eq!(world.object_keys(), before, "D2: no report is made");
    assert_eq!(store.items().get(&key).await.unwrap().unwrap().0.state, ItemState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_report_gives_back_what_was_asked_for_and_says_everything_once() {
    for (ret, whole) in [(None, false), (Some(Ret::Headers), false), (Some(Ret::Full), true)] {
        let world = World::default();
        let store = process(&world, "one");
        let ids = accounts(&store, &["ana"]).await;
        let to = [("no@far.test", Notify::UNSAID), ("yes@far.test", Notify::SUCCESS)];
        let record = accept(&world, &store, Envelope { ret, ..asking(&to) }).await;
        let now = store.engines().index.now();
        let taken = ItemRecipient {
            state: RecipientState::Taken,
            said: "mx.far.test 250 2.6.0 queued".into(),
            ..ItemRecipient::new(1, "yes@far.test")
        };
        let item = Item::new(now, record.1, vec![refused(0, "no@far.test"), taken]);
        let key = failing(&store, record, item).await;
        // Two at once, and one late: one report.
        let (one, two) = (bounce(&store), bounce(&store));
        futures_util::future::join(look(&store, &one), look(&store, &two)).await;
        tell(&store).await;
        let told = texts(&store, ids[0]).await;
        assert_eq!(told.len(), 1);
        for part in [
            "Return-Path: <>\r\n",
            "Original-Envelope-Id: QQ+1\r\n",
            "Original-Recipient: rfc822; x-no@far.test\r\nFinal-Recipient: rfc822; no@far.test\r\n\
             Action: failed\r\nStatus: 5.1.1\r\n",
            "Final-Recipient: rfc822; yes@far.test\r\nAction: relayed\r\nStatus: 2.6.0\r\n\
             Remote-MTA: dns; mx.far.test\r\n",
            "Subject: hello\r\n",
        ] {
            assert!(told[0].contains(part), "{part:?} is not in\n{}", told[0]);
        }
        assert_eq!(told[0].contains("the body"), whole, "{ret:?}");
        let (item, _) = store.items().get(&key).await.unwrap().unwrap();
        let states: Vec<_> = item.recipients.iter().map(|one| one.state).collect();
        assert_eq!(states, [RecipientState::Told, RecipientState::Delivered]);
        assert_eq!((item.state, item.reports), (ItemState::Failed, 1));
    }
}

/// RFC 3461 §4.3: of success only the header comes back.
#[tokio::test(start_paused = true)]
async fn success_gives_back_the_header_only() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana", "bob"]).await;
    let to = [("bob@example.test", Notify::SUCCESS)];
    accept(&world, &store, Envelope { ret: Some(Ret::Full), ..asking(&to) }).await;
    deliver_all(&world, &store).await;
    tell(&store).await;
    let told = texts(&store, ids[0]).await.concat();
    assert!(told.contains("Subject: hello\r\n") && !told.contains("the body"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_told_once_and_only_to_whom_it_concerns() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana"]).await;
    let to = [("a@far.test", Notify::UNSAID), ("b@far.test", Notify::FAILURE)];
    let record = accept(&world, &store, asking(&to)).await;
    let now = store.engines().index.now();
    let open = |number, to: &str| ItemRecipient::new(number, to);
    let recipients = vec![open(0, "a@far.test"), open(1, "b@far.test")];
    let item = Item { delay: Delay::Due, ..Item::new(now, record.1, recipients) };
    let key = failing(&store, record, item).await;
    tell(&store).await;
    let told = texts(&store, ids[0]).await;
    assert_eq!(told.len(), 1);
    let part = "Final-Recipient: rfc822; a@far.test\r\nAction: delayed\r\nStatus: 4.0.0\r\n";
    assert!(told[0].contains(part) && told[0].contains("Will-Retry-Until: "), "{}", told[0]);
    assert!(!told[0].contains("b@far.test\r\nAction"), "{}", told[0]);
    let (item, _) = store.items().get(&key).await.unwrap().unwrap();
    assert_eq!((item.state, item.delay), (ItemState::Waiting, Delay::Told));
    assert!(item.recipients.iter().all(|one| one.state == RecipientState::Open));
}

/// [d]: somebody writes a 250 while the report on others is under way: it is told in the next one.
#[tokio::test(start_paused = true)]
async fn what_was_taken_while_a_report_was_made_comes_in_the_next() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana"]).await;
    let to = [("no@far.test", Notify::UNSAID), ("late@far.test", Notify::SUCCESS)];
    let record = accept(&world, &store, asking(&to)).await;
    let now = store.engines().index.now();
    let recipients = vec![refused(0, "no@far.test"), ItemRecipient::new(1, "late@far.test")];
    let key = failing(&store, record, Item::new(now, record.1, recipients)).await;
    let bounce = bounce(&store);
    let (item, version) = store.items().get(&key).await.unwrap().unwrap();
    let due = store.items().due(&DuePlace::of(&key, item.state), None, 9).await.unwrap().remove(0);
    let index = store.index_of(record.1).await.unwrap().unwrap();
    let sender = path("ana@example.test");
    let of = bounce.tell(&due, &item, version, &index.records[0], &sender).await.unwrap();
    assert_eq!(of, Some(vec![0]));
    let mut merged = item.clone();
    merged.recipients[1].state = RecipientState::Taken;
    merged.recipients[1].said = "mx.far.test 250 2.0.0 yes".into();
    store.items().begin(&key, &merged, version).await.unwrap();
    // Too late for the version that it was made of.
    bounce.told(&due, item, version, &[0]).await.unwrap();
    tell(&store).await;
    store.engines().clock.sleep(relay::Options::default().retry_min).await;
    tell(&store).await;
    let told = texts(&store, ids[0]).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("Action: failed") && !told[0].contains("Action: relayed"));
    assert!(!told[1].contains("Action: failed") && told[1].contains("Action: relayed"));
    let (item, _) = store.items().get(&key).await.unwrap().unwrap();
    assert_eq!((item.state, item.reports), (ItemState::Failed, 2));
}

/// [O]: an account that cannot take it now: success is told when an item has brought it.
#[tokio::test(start_paused = true)]
async fn success_is_not_told_before_there_is_any() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana", "bob"]).await;
    let to = [("bob@example.test", Notify::SUCCESS)];
    let (id, place) = accept(&world, &store, asking(&to)).await;
    let now = store.engines().index.now();
    let key =
        |kind, destination: &str| ItemKey { id, kind, destination: destination.to_owned(), k: 0 };
    // As `deliver` leaves it.
    let local = key(ItemKind::Local, &crate::deliver::local_destination(ids[1]));
    let late = Item::new(now, place, vec![ItemRecipient::new(0, "bob@example.test")]);
    store.items().make(&local, &late).await.unwrap();
    let report = Item { state: ItemState::Bouncing, ..late.clone() };
    store.items().make(&key(ItemKind::Report, DELIVERED), &report).await.unwrap();
    tell(&store).await;
    assert!(texts(&store, ids[0]).await.is_empty());
    let (item, version) = store.items().get(&local).await.unwrap().unwrap();
    let done = Item { state: ItemState::Delivered, ..item };
    store.items().update(&local, &done, version).await.unwrap();
    store.engines().clock.sleep(relay::Options::default().retry_min * 2).await;
    tell(&store).await;
    tell(&store).await;
    assert_eq!(texts(&store, ids[0]).await.len(), 1);
}

/// RFC 6533: a sender, or a recipient, that is not ASCII makes a global report.
#[tokio::test(start_paused = true)]
async fn a_sender_beyond_ascii_gets_a_global_report() {
    let world = World::default();
    let store = process(&world, "one");
    accounts(&store, &["ana"]).await;
    let jose = Address::parse("josé@example.test").unwrap();
    let id = store.directory().fresh_account();
    let row = AccountRow::new("home", 1, jose.clone());
    let changes = vec![
        DirectoryChange::Account(id, Box::new(row)),
        DirectoryChange::Address(jose, AddressRow::Account(id)),
    ];
    store.directory().change(changes).await.unwrap();
    let envelope = Envelope {
        sender: Some(path("josé@example.test")),
        smtputf8: true,
        ..asking(&[("zoë@far.test", Notify::UNSAID)])
    };
    let record = accept(&world, &store, envelope).await;
    let now = store.engines().index.now();
    let item = Item::new(now, record.1, vec![refused(0, "zoë@far.test")]);
    failing(&store, record, item).await;
    tell(&store).await;
    let told = texts(&store, Account { id, epoch: mail::Epoch(1) }).await.concat();
    for part in [
        "report-type=global-delivery-status",
        "Content-Type: message/global-delivery-status; charset=utf-8\r\n",
        "Final-Recipient: utf-8; zoë@far.test\r\nAction: failed\r\n",
        "Content-Type: message/global-headers\r\n",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
}

/// A sender that we rewrote ourselves is told under its own address, or, where it is none of ours,
/// nobody is.
#[tokio::test(start_paused = true)]
async fn a_report_for_a_rewritten_sender_goes_to_whom_it_stands_for() {
    let world = World::default();
    let store = process(&world, "one");
    accounts(&store, &["ana"]).await;
    let mac: srs::Key = std::sync::Arc::new(|bytes: &[u8]| {
        let mut sum = [0; 32];
        bytes.iter().enumerate().for_each(|(at, byte)| sum[at % 32] ^= byte.rotate_left(3));
        sum
    });
    let forwarding = Some(relay::Forwarding { mac: mac.clone() });
    let identity = Identity { forwarding, ..bounce(&store).identity };
    let bounce = Bounce::new(store.clone(), relay::Options::default(), identity);
    let far = Address::parse("cleo@far.test").unwrap();
    let ours = mail::Domain::parse("example.test").unwrap();
    let today = srs::day(store.engines().index.now());
    let of = async |day: u64| {
        let made = srs::forward(&far, &ours, day, &|bytes| mac(bytes)).unwrap();
        let envelope = Envelope::new(Some(made.into()), Vec::new());
        bounce.sender_of(&envelope).await.unwrap().map(|path| path.address().to_string())
    };
    assert_eq!(of(today).await.as_deref(), Some("cleo@far.test"));
    assert_eq!(of(today.wrapping_sub(srs::DAYS_MAX + 1) % 1024).await, None);
    let plain = Envelope::new(Some(path("ana@example.test")), Vec::new());
    assert_eq!(bounce.sender_of(&plain).await.unwrap(), plain.sender);
}
