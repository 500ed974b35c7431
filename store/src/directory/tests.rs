use engine::memory::World;

use super::*;
use crate::rows::{DirectoryChange, MemberRow, Role, Roles};
use crate::{Options, Store};

fn store(world: &World, name: &str) -> Store {
    Store::new(world.process(name), Options::default())
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn account(store: &Store, text: &str, roles: Roles) -> (AccountId, Vec<DirectoryChange>) {
    let id = store.directory().fresh_account();
    let row = AccountRow { roles, ..AccountRow::new("home", 1, address(text)) };
    let changes = vec![
        DirectoryChange::Account(id, Box::new(row)),
        DirectoryChange::Address(address(text), AddressRow::Account(id)),
    ];
    (id, changes)
}

fn alias(from: &str, to: &[&str]) -> DirectoryChange {
    let targets = to.iter().map(|text| address(text)).collect();
    DirectoryChange::Address(address(from), AddressRow::Alias(targets))
}

async fn filled(store: &Store) -> (AccountId, AccountId) {
    let domain = Domain::parse("example.test").unwrap();
    let (ana, mut changes) = account(store, "ana@example.test", Roles::default());
    let (bob, more) = account(store, "bob@example.test", Roles::of(&[Role::Admin]));
    changes.extend(more);
    changes.push(DirectoryChange::Domain(domain, DomainRow::new()));
    store.directory().change(changes).await.unwrap();
    (ana, bob)
}

async fn who(store: &Store, text: &str) -> String {
    match store.directory().resolve(&address(text)).await.unwrap() {
        Resolution::Account(entry) => entry.row.addresses[0].local().to_owned(),
        Resolution::Alias(targets) => format!("{} targets", targets.len()),
        Resolution::Group(_) => "group".to_owned(),
        Resolution::NoSuchUser => "nobody".to_owned(),
        Resolution::NotOurDomain => "outside".to_owned(),
    }
}

// RFC 2142 §4.
#[tokio::test(start_paused = true)]
async fn addresses_lead_where_they_should() {
    let world = World::default();
    let store = store(&world, "a");
    filled(&store).await;
    for (text, expected) in [
        ("ana@example.test", "ana"),
        ("ANA+lists@Example.Test", "ana"),
        ("postmaster@example.test", "bob"),
        ("abuse@example.test", "bob"),
        ("nobody@example.test", "nobody"),
        ("ana@elsewhere.test", "outside"),
    ] {
        assert_eq!(who(&store, text).await, expected, "{text}");
    }
    let catch_all = alias("@example.test", &["ana@example.test", "bob@example.test"]);
    store.directory().change(vec![catch_all]).await.unwrap();
    assert_eq!(who(&store, "nobody@example.test").await, "2 targets");
    let gone = DirectoryChange::Address(address("ana@example.test"), AddressRow::Tombstone);
    store.directory().change(vec![gone]).await.unwrap();
    assert_eq!(who(&store, "ana@example.test").await, "2 targets");
}

#[tokio::test(start_paused = true)]
async fn expansion_ends_in_loops_and_takes_each_once() {
    let world = World::default();
    let store = store(&world, "a");
    let (ana, bob) = filled(&store).await;
    let group = store.directory().fresh_account();
    let changes = vec![
        alias("all@example.test", &["x@example.test", "ana@example.test", "o@outside.test"]),
        alias("x@example.test", &["all@example.test", "team@example.test", "gone@example.test"]),
        DirectoryChange::Address(address("team@example.test"), AddressRow::Group(group)),
        DirectoryChange::Member(group, address("bob@example.test"), MemberRow::Present(Some(bob))),
    ];
    store.directory().change(changes).await.unwrap();
    let all = store.directory().expand(&address("all@example.test")).await.unwrap();
    let ids: Vec<_> = all.accounts.iter().map(|account| account.id).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&ana) && ids.contains(&bob));
    assert_eq!(all.outside.len(), 1);
    assert_eq!(all.nobody.len(), 1);
    assert!(!all.cut);
}

#[tokio::test(start_paused = true)]
async fn two_creators_of_one_address_do_not_both_win() {
    let world = World::default();
    let (one, two) = (store(&world, "one"), store(&world, "two"));
    filled(&one).await;
    let base = one.directory().apply_new().await.unwrap();
    assert_eq!(two.directory().apply_new().await.unwrap(), base);
    let (_, first) = account(&one, "new@example.test", Roles::default());
    let (_, second) = account(&two, "new@example.test", Roles::default());
    one.directory().change_at(base, first).await.unwrap();
    // [q]: the second has not applied the first, so it cannot take the next number.
    let refused = two.directory().change_at(base, second).await;
    assert!(matches!(refused, Err(DirectoryError::Conflict)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_change_does_not_bring_a_deleted_account_back() {
    let world = World::default();
    let store = store(&world, "a");
    let (ana, _) = filled(&store).await;
    let old = store.directory().changes_after(Directory::START, 1).await.unwrap();
    let gone = DirectoryChange::Account(ana, Box::new(AccountRow::tombstone(1)));
    store.directory().change(vec![gone]).await.unwrap();
    // [p]: a slow replicate applies the creation again, after the tombstone.
    for (number, change) in &old {
        store.directory().apply(*number, change).await.unwrap();
    }
    store.directory().refresh();
    assert!(store.directory().account(ana).await.unwrap().is_none());
    assert_eq!(who(&store, "ana@example.test").await, "nobody");
}

#[tokio::test(start_paused = true)]
async fn another_process_sees_a_change_within_a_second() {
    let world = World::default();
    let (one, two) = (store(&world, "one"), store(&world, "two"));
    let (ana, _) = filled(&one).await;
    let login = address("ana@example.test");
    let entry = two.directory().login(&login).await.unwrap().unwrap();
    assert!(!entry.row.disabled);
    let row = AccountRow { disabled: true, ..(*entry.row).clone() };
    one.directory().change(vec![DirectoryChange::Account(ana, Box::new(row))]).await.unwrap();
    two.engines().clock.sleep(std::time::Duration::from_secs(1)).await;
    assert!(two.directory().login(&login).await.unwrap().unwrap().row.disabled);
}

#[tokio::test(start_paused = true)]
async fn listings_page_over_all_addresses_once() {
    let world = World::default();
    let store = store(&world, "a");
    filled(&store).await;
    let many: Vec<_> =
        (0..90).map(|i| alias(&format!("a{i}@example.test"), &["ana@example.test"])).collect();
    store.directory().change(many).await.unwrap();
    let domain = Domain::parse("example.test").unwrap();
    let (mut all, mut cursor) = (Vec::new(), Some(ListCursor::default()));
    while let Some(at) = cursor {
        let (page, next) = store.directory().list(&domain, at, 7).await.unwrap();
        all.extend(page);
        cursor = next;
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 92);
    let (domains, next) = store.directory().domains(None).await.unwrap();
    assert_eq!((domains.len(), next), (1, None));
}

#[tokio::test(start_paused = true)]
async fn senders_are_those_whose_address_it_is() {
    let world = World::default();
    let store = store(&world, "a");
    filled(&store).await;
    let changes = vec![
        alias("only@example.test", &["ana@example.test"]),
        alias("both@example.test", &["ana@example.test", "bob@example.test"]),
    ];
    store.directory().change(changes).await.unwrap();
    let ana = store.directory().login(&address("ana@example.test")).await.unwrap().unwrap();
    for (text, expected) in [
        ("ana@example.test", true),
        ("ana+x@example.test", true),
        ("only@example.test", true),
        ("both@example.test", false),
        ("bob@example.test", false),
        ("nobody@example.test", false),
    ] {
        let may = store.directory().may_send_as(&ana, &address(text)).await.unwrap();
        assert_eq!(may, expected, "{text}");
    }
}
