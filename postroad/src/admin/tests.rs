//! The administrator's functions on an in-memory store.

use engine::memory::{Options as WorldOptions, World};
use proto::sasl::{Password, Verifier};

use super::*;

fn admin(world: &World, name: &str) -> Admin {
    Admin::new(Store::new(world.process(name), store::Options::default()), 4096)
}

fn new(address: &str) -> NewAccount {
    NewAccount {
        address: address.to_owned(),
        name: String::new(),
        password: Password::new("long-enough".to_owned()),
        quota_bytes: None,
        admin: false,
    }
}

#[tokio::test]
async fn domains_accounts_and_aliases_come_and_go() {
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    assert!(matches!(
        admin.add_account(new("ana@example.test")).await,
        Err(AdminError::Invalid { .. })
    ));
    assert_eq!(admin.add_domain("Example.TEST").await.unwrap().domain, "example.test");
    assert!(matches!(admin.add_domain("example.test").await, Err(AdminError::Exists { .. })));
    admin.add_account(new("Ana@example.test")).await.unwrap();
    let again = admin.add_account(new("ana@EXAMPLE.test")).await;
    assert!(matches!(again, Err(AdminError::Exists { .. })));
    let ana = ["ana@example.test".to_owned()];
    for nobody in ["nobody@example.test", "bo@[192.0.2.1]"] {
        assert!(admin.add_alias("x@example.test", &[nobody.to_owned()]).await.is_err());
    }
    // An address outside is forwarded to.
    let both = ["bo@far.test".to_owned(), ana[0].clone()];
    let added = admin.add_alias("bo@example.test", &both).await.unwrap();
    assert_eq!((&added.targets[..], &added.outside[..]), (&both[..], &both[..1]));
    admin.remove_alias("bo@example.test").await.unwrap();
    admin.add_alias("team@example.test", &ana).await.unwrap();
    admin.add_alias("@example.test", &ana).await.unwrap();
    let shown = admin.domain("example.test").await.unwrap();
    assert_eq!((shown.accounts, shown.aliases, shown.more), (1, 2, false));
    assert_eq!(admin.accounts(None).await.unwrap().len(), 1);
    assert_eq!(admin.aliases(Some("example.test")).await.unwrap()[1].targets, ana);
    assert!(matches!(admin.remove_domain("example.test").await, Err(AdminError::Invalid { .. })));
    admin.remove_alias("team@example.test").await.unwrap();
    admin.remove_alias("@example.test").await.unwrap();
    admin.remove_account("ana@example.test", false).await.unwrap();
    admin.remove_domain("example.test").await.unwrap();
    assert!(admin.domains().await.unwrap().is_empty());
    assert!(matches!(admin.domain("example.test").await, Err(AdminError::NotFound { .. })));
}

#[tokio::test]
async fn passwords_are_kept_as_verifiers_only() {
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    admin.add_domain("example.test").await.unwrap();
    admin.add_account(new("ana@example.test")).await.unwrap();
    let short = Password::new("short".to_owned());
    assert!(admin.set_password("ana@example.test", &short).await.is_err());
    let changed = Password::new("another-one".to_owned());
    admin.set_password("ana@example.test", &changed).await.unwrap();
    let address = Address::parse("ana@example.test").unwrap();
    let entry = admin.look().await.unwrap().login(&address).await.unwrap().unwrap();
    let kept = &entry.row.credentials;
    assert_eq!(kept.verifiers.len(), 1);
    let one = &kept.verifiers[0];
    let verifier =
        Verifier::from_keys(&kept.salt, kept.iterations, one.stored_key, one.server_key).unwrap();
    assert!(verifier.check("another-one") && !verifier.check("long-enough"));
    for (_, row) in world.rows() {
        for secret in ["another-one", "long-enough"] {
            assert!(!row.value.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }
}

/// Two processes that decide at the same time: neither overwrites the other.
#[tokio::test]
async fn changes_of_two_administrators_do_not_overwrite_each_other() {
    let world = World::new(WorldOptions::default());
    let (a, b) = (admin(&world, "a"), admin(&world, "b"));
    a.add_domain("example.test").await.unwrap();
    let add = async |admin: &Admin, who: &str| {
        for n in 0..8 {
            admin.add_account(new(&format!("{who}{n}@example.test"))).await.unwrap();
        }
    };
    tokio::join!(add(&a, "a"), add(&b, "b"));
    let both =
        tokio::join!(a.add_account(new("x@example.test")), b.add_account(new("x@example.test")));
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    assert_eq!(a.accounts(None).await.unwrap().len(), 17);
    assert_eq!(a.accounts(None).await.unwrap(), b.accounts(None).await.unwrap());
}

async fn all(admin: &Admin) -> Vec<QueueItem> {
    admin.queue(&QueueFilter::default(), 1_000).await.unwrap().0
}

#[tokio::test]
async fn items_that_are_not_there_are_told() {
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    assert!(all(&admin).await.is_empty());
    let long = "0".repeat(48) + ":local:0:ana@example.test";
    for id in ["", "zz", "a:b:c:d", &long] {
        assert!(matches!(admin.queue_item(id).await, Err(AdminError::NotFound { .. })), "{id}");
        assert!(admin.retry_item(id).await.is_err() && admin.remove_item(id).await.is_err());
    }
}

#[tokio::test]
async fn the_doctor_tells_what_is_not_well() {
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    let report = admin.doctor(Ok(Vec::new())).await;
    assert_eq!(report.verdict, Verdict::Ok, "{report:#?}");
    assert!(world.object_keys().is_empty());
    // A segment of a writer that nobody announced [K].
    let key = engine::ObjectKey::new(format!("ingest/{}/{:016x}", "ab".repeat(16), 1)).unwrap();
    admin.store.engines().objects.put(&key, &[]).await.unwrap();
    let report = admin.doctor(Err("no key".to_owned())).await;
    let failed: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Failure)
        .map(|check| check.name)
        .collect();
    assert_eq!(failed, ["writers", "certificates"]);
    world.cut("a", true);
    let report = admin.doctor(Ok(Vec::new())).await;
    assert!(report.checks.iter().filter(|one| one.verdict == Verdict::Failure).count() >= 5);
}

fn item(now: mail::Timestamp) -> (store::rows::ItemKey, store::rows::Item) {
    use store::place::{SegmentRef, Slot};
    use store::rows::{Attempt, Item, ItemKey, ItemKind, ItemRecipient, ItemState};
    let writer = mail::WriterId([7; 16]);
    let key = ItemKey {
        id: mail::RecordId { writer, counter: 9 },
        kind: ItemKind::Local,
        destination: "ana@example.test".to_owned(),
        k: 2,
    };
    let place = Slot { segment: SegmentRef::Ingest { writer, number: 1 }, index: 0 };
    let item = Item {
        state: ItemState::Held,
        due: now.after(std::time::Duration::from_secs(3600)),
        tries: 1,
        history: vec![Attempt { at: now, via: "ana".to_owned(), words: "not now".to_owned() }],
        ..Item::new(now, place, vec![ItemRecipient::new(0, "ana@example.test")])
    };
    (key, item)
}

#[tokio::test]
async fn items_are_listed_shown_retried_and_removed() {
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    let now = admin.store.engines().index.now();
    let (key, held) = item(now);
    admin.store.items().make(&key, &held).await.unwrap();
    admin.store.items().park(&key, now, "nobody there").await.unwrap();
    let listed = all(&admin).await;
    assert_eq!(listed.len(), 1);
    let id = &listed[0].id;
    assert_eq!((listed[0].state, listed[0].parked.as_deref()), ("held", Some("nobody there")));
    let shown = admin.queue_item(id).await.unwrap();
    assert_eq!((shown.to.len(), shown.history[0].words.as_str()), (1, "not now"));
    assert_eq!(admin.doctor(Ok(Vec::new())).await.verdict, Verdict::Warning);
    admin.retry_item(id).await.unwrap();
    let retried = admin.queue_item(id).await.unwrap().item;
    assert_eq!((retried.state, retried.parked), ("waiting", None));
    assert!(retried.due_ms < held.due.millis());
    admin.remove_item(id).await.unwrap();
    assert!(all(&admin).await.is_empty());
    assert!(matches!(admin.queue_item(id).await, Err(AdminError::NotFound { .. })));
}

/// Many items: the list is bounded, the count is not, and what is filtered is acted on.
#[tokio::test]
async fn a_long_queue_is_filtered_counted_and_acted_on() {
    use store::rows::{Attempt, ItemKey, ItemKind};
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    let now = admin.store.engines().index.now();
    let (key, item) = item(now);
    for n in 0..300_u64 {
        let destination = if n % 3 == 0 { "dead.test" } else { "live.test" }.to_owned();
        let id = mail::RecordId { counter: n, ..key.id };
        let key = ItemKey { id, kind: ItemKind::Remote, destination, k: 0 };
        let words = "451 4.3.2 come back later".to_owned();
        let history = vec![Attempt { at: now, via: "mx".to_owned(), words }];
        let created = now.after(std::time::Duration::from_millis(n));
        let state = store::rows::ItemState::Waiting;
        let item = store::rows::Item { created, history, state, ..item.clone() };
        admin.store.items().make(&key, &item).await.unwrap();
    }
    let (listed, total) = admin.queue(&QueueFilter::default(), 10).await.unwrap();
    assert_eq!((listed.len(), total), (10, 300));
    assert!(listed.is_sorted_by_key(|one| one.created_ms));
    assert_eq!(listed[0].created_ms, now.millis());
    assert_eq!(listed[0].words.as_deref(), Some("451 4.3.2 come back later"));
    let counts = admin.queue_count(&QueueFilter::default()).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|one| (one.destination.as_str(), one.items)).collect();
    assert_eq!(counts, [("live.test", 200), ("dead.test", 100)]);
    let dead = QueueFilter { destination: Some("Dead.test".to_owned()), ..QueueFilter::default() };
    assert_eq!(admin.queue_act(QueueAct::Hold, &dead).await.unwrap(), (100, 0));
    let held = QueueFilter { state: Some("held".to_owned()), ..QueueFilter::default() };
    assert_eq!(admin.queue(&held, 1).await.unwrap().1, 100);
    // Held items are due for nobody.
    let far = now.after(std::time::Duration::from_secs(10 * 365 * 86_400));
    assert!(admin.queue(&held, 1).await.unwrap().0[0].due_ms > far.millis());
    assert_eq!(admin.queue_act(QueueAct::Release, &held).await.unwrap(), (100, 0));
    assert_eq!(admin.queue(&held, 1).await.unwrap().1, 0);
    assert_eq!(admin.queue_act(QueueAct::Remove, &dead).await.unwrap(), (100, 0));
    assert_eq!(all(&admin).await.len(), 200);
    let none = QueueFilter::default();
    assert!(admin.queue_act(QueueAct::Remove, &none).await.is_err());
    let wrong = QueueFilter { state: Some("lost".to_owned()), ..QueueFilter::default() };
    assert!(matches!(admin.queue(&wrong, 1).await, Err(AdminError::Invalid { .. })));
    // The records are nowhere: nobody is their sender.
    let by = QueueFilter { sender: Some("sender.test".to_owned()), ..QueueFilter::default() };
    assert_eq!(admin.queue(&by, 1).await.unwrap().1, 0);
}

/// [U]: one account that cannot be replayed is found, and made whole by an audited act.
#[tokio::test]
async fn a_broken_account_is_found_and_repaired() {
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    admin.add_domain("example.test").await.unwrap();
    admin.add_account(new("ana@example.test")).await.unwrap();
    assert!(admin.repair_account("ana@example.test", "a test").await.unwrap().is_empty());
    let fine = admin.account("ana@example.test").await.unwrap();
    assert_eq!(fine.used, Some(Used { messages: 0, bytes: 0 }));
    admin.add_account(new("bob@example.test")).await.unwrap();
    let (_, bob) = accounts::find(admin.look().await.unwrap(), "bob@example.test").await.unwrap();
    let row = engine::Row {
        value: bytes::Bytes::from_static(b"no entry"),
        version: engine::Version(1),
        nonce: engine::Nonce([9; 8]),
        expiry: None,
    };
    let key = store::rows::entry_key(bob.account(), mail::Seq(1));
    admin.store.engines().index.put_if(&key, row, engine::Expect::Absent).await.unwrap();
    let check = |report: Report| report.checks.into_iter().find(|one| one.name == "accounts");
    let found = check(admin.doctor(Ok(Vec::new())).await).unwrap();
    assert_eq!(found.verdict, Verdict::Failure);
    assert!(found.found.contains("bob@example.test"), "{}", found.found);
    assert_eq!(admin.account("bob@example.test").await.unwrap().used, None);
    assert_eq!(admin.repair_account("bob@example.test", "a test").await.unwrap(), [1]);
    let found = check(admin.doctor(Ok(Vec::new())).await).unwrap();
    assert_eq!(found.verdict, Verdict::Ok, "{}", found.found);
}

#[tokio::test]
async fn aliases_are_in_the_way_of_removing_their_account() {
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    admin.add_domain("example.test").await.unwrap();
    for who in ["ana", "bob"] {
        admin.add_account(new(&format!("{who}@example.test"))).await.unwrap();
    }
    let to = |who: &str| format!("{who}@example.test");
    admin.add_alias("team@example.test", &[to("ana"), to("bob")]).await.unwrap();
    admin.add_alias("sales@example.test", &[to("ana+sales")]).await.unwrap();
    admin.add_alias("b@example.test", &[to("bob")]).await.unwrap();
    let refused = admin.remove_account("ana@example.test", false).await.unwrap_err();
    assert_eq!(refused.to_string(), "2 aliases lead to it: sales@example.test, team@example.test");
    assert!(refused.hint().contains("--force"));
    let gone = admin.remove_account("ana@example.test", true).await.unwrap();
    assert_eq!((gone.aliases_changed, gone.aliases_removed), (1, 1));
    let left: Vec<_> = admin.aliases(None).await.unwrap();
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|alias| alias.targets == [to("bob")]), "{left:?}");
    // Its mail goes by `maintain`, when nobody can want it back any more.
    let due = world.rows().into_iter().filter(|(key, _)| key.partition.starts_with(b"dm")).count();
    assert_eq!(due, 1);
}

#[tokio::test(start_paused = true)]
async fn keys_change_with_an_overlap() {
    let world = World::new(WorldOptions::default());
    let admin = admin(&world, "a");
    admin.add_domain("example.test").await.unwrap();
    let states = |keys: &[KeyInfo]| -> Vec<String> {
        let one = |key: &KeyInfo| format!("{} {} {}", key.selector, key.algorithm, key.state);
        keys.iter().map(one).collect()
    };
    let made = admin.domain_keys("example.test").await.unwrap();
    let [rsa, ed25519] = &made[..] else { panic!("{made:?}") };
    assert_eq!((rsa.algorithm, ed25519.algorithm), ("rsa-sha256", "ed25519-sha256"));
    assert!(rsa.record.starts_with("v=DKIM1; k=rsa; p=") && rsa.state == "signing");
    let domain = Domain::parse("example.test").unwrap();
    let signing = async || {
        admin.store.directory().refresh();
        let signers = admin.store.directory().signers(&domain).await.unwrap();
        signers.into_iter().map(|signer| signer.selector).collect::<Vec<_>>()
    };
    let old = signing().await;
    let shown = admin.domain_records("example.test", &Publishing::default()).await.unwrap();
    assert!(shown.iter().any(|one| one.name == ed25519.name));
    let line = shown.iter().find(|one| one.name == rsa.name).unwrap().line();
    assert!(line.split('"').all(|part| part.len() <= 255) && line.contains("\" \""), "{line}");
    // They are published first, and sign when it is said.
    let keys = admin.rotate_keys("example.test", None).await.unwrap();
    assert_eq!(states(&keys)[2..].iter().filter(|one| one.ends_with("waiting")).count(), 2);
    assert_eq!(signing().await, old);
    assert!(admin.rotate_keys("example.test", None).await.is_err());
    let keys = admin.activate_keys("example.test").await.unwrap();
    assert!(states(&keys)[..2].iter().all(|one| one.ends_with("retired")), "{keys:?}");
    let new = signing().await;
    assert!(new.iter().all(|one| !old.contains(one)) && new.len() == 2);
    assert!(admin.remove_key("example.test", &new[0]).await.is_err(), "it signs");
    for selector in &old {
        admin.remove_key("example.test", selector).await.unwrap();
    }
    // Or when a time has come.
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    admin.rotate_keys("example.test", Some(day)).await.unwrap();
    assert_eq!(signing().await, new);
    admin.store.engines().clock.sleep(day * 2).await;
    assert!(signing().await.iter().all(|one| !new.contains(one)));
    let keys = admin.domain_keys("example.test").await.unwrap();
    assert!(states(&keys)[..2].iter().all(|one| one.ends_with("retired")), "{keys:?}");
    assert!(!format!("{keys:?}").contains("private"));
}
