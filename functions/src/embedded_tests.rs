//! The same on the embedded engines, with real files: restarts, and what a message costs.

use std::path::Path;

use mail::Account;
use store::change::MailboxId;
use store::{Options, Store};

use crate::handler::Handler;
use crate::host::local::{Functions, Local};
use crate::maintain::{Maintain, Task};
use crate::testing::{accept, accounts, inbox, message, options};

fn open(directory: &Path) -> Store {
    let config = engine::Config::new(directory);
    let timing = store::Timing { backup_interval: std::time::Duration::ZERO, ..options().timing };
    Store::new(engine::open(&config).unwrap(), Options { timing, ..options() })
}

async fn wait_for(store: &Store, account: Account, messages: u64) {
    let log = store.account(account).await.unwrap();
    let mut watch = log.watch();
    let there = |_: &mail::Seq| log.view(|state| state.totals().messages) >= messages;
    watch.wait_for(there).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_survives_restarts_and_compaction() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let ids = accounts(&store, &["ana"]).await;
    // Accepted, not delivered: the process ends first.
    let mut records = Vec::new();
    for i in 0..3 {
        records.push(accept(&store, &["ana"], &message(&i.to_string())).await.unwrap().record());
    }
    store.engines().tasks.abort();
    drop(store);
    let store = open(directory.path());
    let local = Local::start(&store, Functions::ALL);
    wait_for(&store, ids[0], 3).await;
    local.drain().await;
    let maintain = Maintain::new(store.clone());
    let done =
        maintain.handle(vec![Task::Sweep, Task::Account { account: ids[0], all: true }]).await;
    assert!(done.iter().all(crate::Outcome::is_done), "{done:?}");
    store.engines().tasks.abort();
    drop(store);
    let store = open(directory.path());
    let log = store.account(ids[0]).await.unwrap();
    let there = inbox(&log).await;
    assert_eq!(there.iter().map(|(_, record)| *record).collect::<Vec<_>>(), records);
    for (i, (uid, _)) in there.iter().enumerate() {
        let bytes = log.read(MailboxId::INBOX, *uid, 0..u64::MAX).await.unwrap().unwrap();
        assert!(bytes.ends_with(&message(&i.to_string())));
    }
    let left = store.engines().objects.list("ingest/", None, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// Near the budgets of docs/rules.md per delivered message at 20 and 100 senders; with room, for how much
/// comes together is the scheduler's choice. The benchmark prints the exact counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivered_message_costs_what_was_planned() {
    for (senders, puts_max, writes_max) in [(20_usize, 0.25, 1.6), (100, 0.1, 1.3)] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let names: Vec<String> = (0..senders).map(|i| format!("user{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ids = accounts(&store, &names).await;
        let local = Local::start(&store, Functions { deliver: true, ..Functions::default() });
        let each = 20;
        let before = store.engines().counters.counts();
        let mut tasks = Vec::new();
        for name in &names {
            let (store, name) = (store.clone(), (*name).to_owned());
            let tasks_of = store.engines().tasks.clone();
            tasks.push(tasks_of.spawn("sender", async move {
                for _ in 0..each {
                    accept(&store, &[&name], &[b'x'; 2048]).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        for id in &ids {
            wait_for(&store, *id, each).await;
        }
        local.drain().await;
        let after = store.engines().counters.counts();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let per = |count: u64| count as f64 / (senders as u64 * each) as f64;
        let puts = per(after.object_puts - before.object_puts);
        let writes = per(after.index_writes - before.index_writes);
        let fsyncs = per(after.fsyncs - before.fsyncs);
        let text =
            format!("{senders} senders: {puts:.3} puts, {writes:.3} writes, {fsyncs:.3} fsyncs");
        println!("{text}");
        assert!(puts <= puts_max && writes <= writes_max, "{text}");
    }
}
