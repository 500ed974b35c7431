use engine::memory::World;
use mail::AccountId;

use crate::rows::{BudgetKind, BudgetOwner};
use crate::{Options, Store};

#[tokio::test(start_paused = true)]
async fn a_day_has_a_limit_that_processes_share_within_a_minute() {
    let world = World::default();
    let store = |name: &str| Store::new(world.process(name), Options::default());
    let (one, two) = (store("one"), store("two"));
    let owner = BudgetOwner::Account(AccountId([1; 16]));
    let spend = async |store: &Store, amount| {
        store.budgets().spend(&owner, BudgetKind::Sends, amount, 10).await.unwrap()
    };
    let pause =
        async |seconds| one.engines().clock.sleep(std::time::Duration::from_secs(seconds)).await;
    let before = one.engines().counters.counts().index_writes;
    for _ in 0..6 {
        assert!(spend(&one, 1).await);
    }
    assert!(!spend(&one, 5).await, "11 of 10");
    assert_eq!(one.engines().counters.counts().index_writes, before, "not written at once");
    pause(61).await;
    assert!(spend(&one, 0).await);
    assert_eq!(one.engines().counters.counts().index_writes, before + 1);
    // Another process knows of it.
    assert!(!spend(&two, 5).await);
    assert!(spend(&two, 4).await);
    pause(61).await;
    assert!(spend(&two, 0).await && spend(&one, 0).await);
    pause(61).await;
    assert!(!spend(&one, 1).await && !spend(&two, 1).await);
    // Another kind, another owner, another day.
    let other = BudgetOwner::Account(AccountId([2; 16]));
    assert!(one.budgets().spend(&owner, BudgetKind::Messages, 10, 10).await.unwrap());
    assert!(one.budgets().spend(&other, BudgetKind::Sends, 10, 10).await.unwrap());
    pause(24 * 60 * 60).await;
    assert!(spend(&one, 10).await);
}
