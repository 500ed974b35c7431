use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{Nonce, Version};

fn open(directory: &Path) -> Result<(Sqlite, Arc<Counters>), OpenError> {
    let counters = Arc::new(Counters::default());
    Sqlite::open(directory, 2, counters.clone()).map(|index| (index, counters))
}

fn key(n: u64) -> Key {
    Key::new("p", n.to_be_bytes().to_vec())
}

fn row(version: u64, value: Vec<u8>) -> Row {
    let nonce = Nonce(version.to_be_bytes());
    Row { value: value.into(), version: Version(version), nonce, expiry: None }
}

#[tokio::test]
async fn callers_at_the_same_time_share_a_transaction() {
    let kept = tempfile::tempdir().unwrap();
    let (index, counters) = open(kept.path()).unwrap();
    let puts = (0..200).map(|n| index.put_if_owned(key(n), row(1, vec![1; 100]), Expect::Absent));
    let answers = futures_util::future::join_all(puts).await;
    assert!(answers.iter().all(Result::is_ok));
    let counts = counters.counts();
    assert_eq!(counts.index_writes, 200);
    assert!(counts.index_transactions <= 100, "{counts:?}");
    assert_eq!(counts.fsyncs, counts.index_transactions);
    // What changes nothing costs no sync.
    let again = index.put_if(&key(1), row(7, Vec::new()), Expect::Absent).await;
    assert!(matches!(again, Err(WriteError::Conflict)));
    assert_eq!(counters.counts().fsyncs, counts.fsyncs);
}

#[tokio::test]
async fn the_log_starts_again_under_load() {
    let kept = tempfile::tempdir().unwrap();
    let (index, _) = open(kept.path()).unwrap();
    let value = vec![7; crate::VALUE_BYTES_MAX];
    // 128 MiB of values, in a ring as account logs are.
    for round in 0..32 {
        let puts = (0..256)
            .map(|n| index.put_if_owned(key(n), row(round + 1, value.clone()), Expect::Any));
        assert!(futures_util::future::join_all(puts).await.iter().all(Result::is_ok));
    }
    let log = std::fs::metadata(kept.path().join("rows.db-wal")).unwrap().len();
    assert!(log < 80 << 20, "the log has grown to {log} bytes");
    let database = std::fs::metadata(kept.path().join("rows.db")).unwrap().len();
    assert!(database < 20 << 20, "the database has grown to {database} bytes");
}

#[test]
fn rows_past_their_expiry_are_swept_in_steps_and_no_others() {
    let kept = tempfile::tempdir().unwrap();
    let (index, _) = open(kept.path()).unwrap();
    drop(index);
    let connection = connection::connect(&kept.path().join("rows.db"), 256).unwrap();
    let now = Timestamp(1_000_000);
    let put = |n: u64, expiry: Option<Timestamp>| {
        let op =
            Op::Put { key: key(n), row: Row { expiry, ..row(1, vec![]) }, expect: Expect::Any };
        assert!(matches!(transact::operate(&connection, &op), Ok(Ok(true))));
    };
    let past = u64::try_from(transact::SWEPT_AT_ONCE).unwrap() + 50;
    (0..past).for_each(|n| put(n, Some(Timestamp(n))));
    put(past, Some(now));
    put(past + 1, Some(now.after(Duration::from_secs(1))));
    put(past + 2, None);
    assert_eq!(transact::sweep(&connection, now).unwrap(), transact::SWEPT_AT_ONCE);
    assert_eq!(transact::sweep(&connection, now).unwrap(), 50);
    assert_eq!(transact::sweep(&connection, now).unwrap(), 0);
    let left = connection.query_row("SELECT count(*) FROM rows", [], |row| row.get::<_, i64>(0));
    assert_eq!(left.unwrap(), 3);
}

#[tokio::test]
async fn a_closed_engine_answers_nothing_any_more() {
    let kept = tempfile::tempdir().unwrap();
    let (index, _) = open(kept.path()).unwrap();
    index.put_if(&key(1), row(1, vec![]), Expect::Absent).await.unwrap();
    index.health.poison(&rusqlite::Error::InvalidQuery);
    let put = index.put_if(&key(2), row(1, vec![]), Expect::Absent).await;
    assert!(matches!(put, Err(WriteError::Unavailable(_))));
    let get = index.get(&key(1), Consistency::Strong).await;
    assert!(matches!(get, Err(ReadError::Unavailable(_))));
    assert_eq!(
        index.ordered(vec![Op::Check { key: key(1), expect: Expect::Any }; 3]).await.len(),
        1
    );
    assert_eq!(index.batch(vec![Op::Check { key: key(1), expect: Expect::Any }; 3]).await.len(), 3);
    drop(index);
    let (again, _) = open(kept.path()).unwrap();
    assert!(again.get(&key(1), Consistency::Strong).await.unwrap().is_some());
    assert!(again.get(&key(2), Consistency::Strong).await.unwrap().is_none());
}

#[tokio::test]
async fn a_commit_that_fails_is_unknown_and_closes_the_engine() {
    let kept = tempfile::tempdir().unwrap();
    let (mut index, _) = open(kept.path()).unwrap();
    index.put_if(&key(1), row(1, vec![]), Expect::Absent).await.unwrap();

    // A writer whose every commit fails, in the place of the real one.
    let path = kept.path().join("rows.db");
    let (mut connection, turn) = connection::create(kept.path(), &path).unwrap();
    connection.commit_hook(Some(|| true)).unwrap();
    let (writes, jobs) = mpsc::channel(8);
    let counters = Arc::new(Counters::default());
    let copier = checkpoint::start(&path, index.health.clone(), counters.clone()).unwrap();
    let health = index.health.clone();
    let writer =
        Writer::new(connection, turn, jobs, copier, index.time, &health, &counters).unwrap();
    index.threads.push(spawn("broken-writer", move || writer.run()).unwrap());
    index.writes = Some(writes);

    let op = |n| Op::Put { key: key(n), row: row(1, vec![]), expect: Expect::Absent };
    let answers = index.batch(vec![op(2), op(3), op(1)]).await;
    let unknown = |answer: &Result<(), WriteError>| matches!(answer, Err(WriteError::Unknown(_)));
    // A conflict found in a transaction that may not have been is none.
    assert!(answers.len() == 3 && answers.iter().all(unknown), "{answers:?}");
    let after = index.put_if(&key(4), row(1, vec![]), Expect::Absent).await;
    assert!(matches!(after, Err(WriteError::Unavailable(_))), "{after:?}");
    let read = index.get(&key(1), Consistency::Strong).await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))));

    drop(index);
    let (again, _) = open(kept.path()).unwrap();
    assert!(again.get(&key(1), Consistency::Strong).await.unwrap().is_some());
    assert!(again.get(&key(4), Consistency::Strong).await.unwrap().is_none());
    again.put_if(&key(4), row(1, vec![]), Expect::Absent).await.unwrap();
}

#[test]
fn another_version_of_the_schema_is_refused() {
    let kept = tempfile::tempdir().unwrap();
    drop(open(kept.path()).unwrap());
    let connection = connection::connect(&kept.path().join("rows.db"), 256).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    assert!(matches!(open(kept.path()), Err(OpenError::Format(_))));
    std::fs::write(kept.path().join("rows.db"), vec![1; 10_000]).unwrap();
    assert!(matches!(open(kept.path()), Err(OpenError::Database { .. })));
}

#[tokio::test]
async fn damage_is_told_and_never_read_as_a_row() {
    use std::os::unix::fs::FileExt;
    let kept = tempfile::tempdir().unwrap();
    let (index, _) = open(kept.path()).unwrap();
    let ops = |n: u64| Op::Put { key: key(n), row: row(1, vec![3; 500]), expect: Expect::Any };
    assert!(index.batch((0..500).map(ops).collect()).await.iter().all(Result::is_ok));
    drop(index);
    let path = kept.path().join("rows.db");
    // Connections that close at the same time each take the other for the last one, and leave the
    // rows in the log.
    let connection = connection::connect(&path, 256).unwrap();
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    assert_eq!(busy, Ok(0));
    drop(connection);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for page in 5..file.metadata().unwrap().len() / connection::PAGE_BYTES {
        file.write_all_at(&[0xff; 64], page * connection::PAGE_BYTES).unwrap();
    }
    let (index, _) = open(kept.path()).unwrap();
    let mut damaged = false;
    for n in 0..500 {
        match index.get(&key(n), Consistency::Strong).await {
            Ok(Some(found)) => assert_eq!(found, row(1, vec![3; 500])),
            Ok(None) => panic!("a row has vanished silently"),
            Err(ReadError::Damaged(_)) => damaged = true,
            // Closed by then.
            Err(error) => assert!(matches!(error, ReadError::Unavailable(_)) && damaged, "{error}"),
        }
    }
    assert!(damaged);
}

impl Sqlite {
    async fn put_if_owned(&self, key: Key, row: Row, expect: Expect) -> Result<(), WriteError> {
        self.put_if(&key, row, expect).await
    }
}
