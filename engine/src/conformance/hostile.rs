//! What holds whatever happens to single calls: promises 4 of [`Objects`](crate::Objects) and of
//! [`Index`](crate::Index), and all others seen through failures. Run on every engine; on the
//! in-memory one with all its faults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::{Region, false_, key, object, row, settle};
use crate::{Checksum, Consistency, Engines, Expect, Nonce, ObjectKey, Put, Version, WriteError};

/// Tasks at the same time.
const WORKERS: usize = 4;

/// Repeats a put until its outcome is a fact.
async fn put_to_a_fact(engines: &Engines, at: &ObjectKey, content: &Bytes) -> Put {
    loop {
        match engines.objects.put(at, std::slice::from_ref(content)).await {
            Ok(put) => return put,
            Err(error) => {
                assert!(!matches!(error, WriteError::Conflict | WriteError::Refused(_)), "{error}")
            }
        }
        engines.clock.sleep(Duration::from_millis(50)).await;
    }
}

async fn get(engines: &Engines, at: &ObjectKey) -> Option<Bytes> {
    engines.objects.get(at).await.expect("a get succeeds once all is calm")
}

/// Objects 2 and 4: of several writers of a key, one content stays, and all are told of it.
pub async fn p01_a_put_settles_to_one_content_for_all(region: &dyn Region) {
    let processes: Vec<Engines> = (0..WORKERS).map(|_| region.process()).collect();
    let mut workers = Vec::new();
    for (worker, engines) in processes.iter().enumerate() {
        let (mine, tasks) = (engines.clone(), &engines.tasks);
        workers.push(tasks.spawn("worker", async move {
            let mut told = Vec::new();
            for n in 0..8 {
                let at = object(&format!("ingest/w/{n}"));
                let content = Bytes::from(format!("{worker} wrote {n}"));
                let put = put_to_a_fact(&mine, &at, &content).await;
                told.push((at, Checksum::of(&[content]), put));
            }
            told
        }));
    }
    let mut told = Vec::new();
    for worker in workers {
        told.extend(worker.await.expect("the worker ends"));
    }
    region.calm().await;
    let reader = region.process();
    let mut stored = BTreeSet::new();
    for (at, mine, put) in told {
        let there = get(&reader, &at).await.expect("what was answered is there");
        let there = Checksum::of(&[there]);
        match put {
            Put::Stored => {
                assert_eq!(there, mine, "{at} was overwritten");
                assert!(stored.insert(at.clone()), "{at} was stored twice");
            }
            Put::Exists(other) => assert_eq!(there, other, "{at} has changed"),
        }
    }
}

/// Objects 4: what was answered `Unavailable` is not there, and never will be.
pub async fn p02_unavailable_is_not_stored(region: &dyn Region) {
    let engines = region.process();
    let mut ends = Vec::new();
    for n in 0..60 {
        let at = object(&format!("once/{n}"));
        let put = engines.objects.put(&at, &[Bytes::from("x")]).await;
        ends.push((at, put));
    }
    region.calm().await;
    for (at, put) in ends {
        let there = get(&engines, &at).await.is_some();
        match put {
            Ok(_) => assert!(there, "{at} was acknowledged and is lost (I1)"),
            Err(WriteError::Unknown(_)) => {}
            Err(error) => assert!(!there, "{at} is stored after: {error}"),
        }
    }
}

/// Index 2, 3 and 4: a row's versions, written by many with compare-and-set over unknown answers,
/// each have exactly one writer (I2).
pub async fn p03_each_version_has_one_writer(region: &dyn Region) {
    let processes: Vec<Engines> = (0..WORKERS).map(|_| region.process()).collect();
    let at = key("l", "head");
    let mut workers = Vec::new();
    for engines in &processes {
        let (mine, at) = (engines.clone(), at.clone());
        workers.push(engines.tasks.spawn("worker", async move {
            let (mut won, mut maybe) = (Vec::new(), 0);
            for _ in 0..12 {
                let Ok(there) = mine.index.get(&at, Consistency::Strong).await else { continue };
                let (expect, next) = match there {
                    None => (Expect::Absent, 1),
                    Some(row) => (Expect::Version(row.version), row.version.0 + 1),
                };
                let row = row(&mine, next, "x");
                match settle(&mine, &at, &row, expect).await {
                    Some(true) => won.push((row.version, row.nonce)),
                    Some(false) => {}
                    None => maybe += 1,
                }
            }
            (won, maybe)
        }));
    }
    let (mut winners, mut maybes): (BTreeMap<Version, Nonce>, u64) = (BTreeMap::new(), 0);
    for worker in workers {
        let (won, maybe) = worker.await.expect("the worker ends");
        maybes += maybe;
        for (version, nonce) in won {
            assert_eq!(winners.insert(version, nonce), None, "{version:?} has two writers");
        }
    }
    region.calm().await;
    let last = processes.first().expect("there are workers").index.clone();
    let last = last.get(&at, Consistency::Strong).await.expect("a get succeeds once all is calm");
    let last = last.map_or(0, |row| row.version.0);
    let won = winners.len() as u64;
    assert!((won..=won + maybes).contains(&last), "{won} won, {maybes} may have, last is {last}");
}

/// Index 1, 4 and 5: what was answered is read back; what certainly failed is not there.
pub async fn p04_answered_rows_are_read_back(region: &dyn Region) {
    let engines = region.process();
    let mut ends = Vec::new();
    for n in 0..80 {
        let (at, new) = (key("r", &format!("{n}")), row(&engines, 1, "x"));
        let put = engines.index.put_if(&at, new.clone(), Expect::Absent).await;
        ends.push((at, new, put));
    }
    region.calm().await;
    for (at, new, put) in ends {
        let there = engines.index.get(&at, Consistency::Strong).await;
        let there = there.expect("a get succeeds once all is calm");
        match put {
            Ok(()) => assert_eq!(there, Some(new)),
            Err(WriteError::Unknown(_)) => assert!(there.is_none_or(|row| row == new)),
            Err(WriteError::Unavailable(_)) => assert_eq!(there, None),
            Err(error) => assert!(false_(), "{at:?}: {error}"),
        }
    }
}
