//! From accepting to reading, on in-memory engines.

use std::time::Duration;

use engine::memory::World;

use crate::host::local::{Functions, Local};
use crate::testing::{accept, accounts, fresh_log, inbox, message, noise, process};

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_delivered_and_can_be_read() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana", "bob"]).await;
    let local = Local::start(&store, Functions::ALL);
    let receipt = accept(&store, &["ana", "bob"], &message("hi")).await.unwrap();
    let log = store.account(ids[0]).await.unwrap();
    let mut watch = log.watch();
    watch.wait_for(|seq| seq.0 >= 1).await.unwrap();
    let there = inbox(&log).await;
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].1, receipt.record());
    let (mailbox, uid) = (store::change::MailboxId::INBOX, there[0].0);
    let bytes = log.read(mailbox, uid, 0..u64::MAX).await.unwrap().unwrap();
    let expected = [b"Received: from x by y\r\n", &message("hi")[..]].concat();
    assert_eq!(bytes, expected);
    local.drain().await;
    assert_eq!(inbox(&*fresh_log(&world, ids[1]).await).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_streams_into_an_object_of_its_own() {
    let world = World::default();
    let store = process(&world, "one");
    let ids = accounts(&store, &["ana"]).await;
    let local = Local::start(&store, Functions::ALL);
    let mut body = message("large");
    body.extend(noise(3, 3_000_000));
    accept(&store, &["ana"], &body).await.unwrap();
    let log = store.account(ids[0]).await.unwrap();
    log.watch().wait_for(|seq| seq.0 >= 1).await.unwrap();
    let uid = inbox(&log).await[0].0;
    let mailbox = store::change::MailboxId::INBOX;
    let bytes = log.read(mailbox, uid, 0..u64::MAX).await.unwrap().unwrap();
    assert!(bytes.ends_with(&body));
    let part = log.read(mailbox, uid, 2_000_000..2_000_100).await.unwrap().unwrap();
    assert_eq!(part, bytes.slice(2_000_000..2_000_100));
    local.drain().await;
}

#[tokio::test(start_paused = true)]
async fn mail_that_no_event_told_of_is_found_by_the_sweep() {
    let world = World::default();
    let edge = process(&world, "edge");
    let ids = accounts(&edge, &["ana"]).await;
    for i in 0..20 {
        accept(&edge, &["ana"], &message(&i.to_string())).await.unwrap();
    }
    edge.engines().tasks.abort();
    let worker = process(&world, "worker");
    let local = Local::start(&worker, Functions::ALL);
    let log = worker.account(ids[0]).await.unwrap();
    let waited =
        log.watch().wait_for(|_| log.view(|state| state.totals().messages == 20)).await.is_ok();
    assert!(waited);
    worker.engines().clock.sleep(Duration::from_secs(2)).await;
    local.drain().await;
    assert_eq!(inbox(&*fresh_log(&world, ids[0]).await).await.len(), 20);
    let writers = worker.writers().page(None).await.unwrap();
    assert!(writers.iter().any(|(_, row, _)| row.watermark > 0 && row.watermark == row.last));
}

#[tokio::test(start_paused = true)]
async fn what_a_busy_account_leaves_behind_is_compacted_without_being_told() {
    let world = World::default();
    let options = store::Options {
        timing: store::Timing {
            backup_interval: Duration::ZERO,
            maintain_poll: Duration::from_secs(1),
            ..crate::testing::options().timing
        },
        ..crate::testing::options()
    };
    let store = store::Store::new(world.process("one"), options);
    let ids = accounts(&store, &["ana"]).await;
    let local = Local::start(&store, Functions::ALL);
    for i in 0..200 {
        accept(&store, &["ana"], &message(&i.to_string())).await.unwrap();
    }
    let log = store.account(ids[0]).await.unwrap();
    log.watch().wait_for(|_| log.view(|s| s.totals().messages == 200)).await.unwrap();
    store.engines().clock.sleep(Duration::from_secs(20)).await;
    local.drain().await;
    let left = world.object_keys().iter().filter(|k| k.as_str().starts_with("ingest/")).count();
    assert!(left < 70, "{left} segments left");
    assert_eq!(inbox(&*fresh_log(&world, ids[0]).await).await.len(), 200);
}
