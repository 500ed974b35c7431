//! The embedded index: one `SQLite` database, shared safely by several processes.
//!
//! One thread writes: it takes all operations that wait, carries them out in one transaction and
//! commits with one sync, so a hundred callers pay for one. Writers of several processes queue
//! for a lock on a file of their own before they begin [v]: `SQLite`'s busy handler would let
//! them starve each other. Readers are a few threads, each read a transaction of its own, so none
//! pins the log. The log is copied back by a thread beside the writer, which does only the small
//! rest, so that it starts again from its beginning even under load.
//!
//! A commit whose sync fails is `Unknown` and closes the engine until it is opened again: the
//! kernel reports such a failure once, and the next sync would claim what is not there.
//!
//! Nothing else in the process may open the database's files: closing any descriptor of them
//! gives up `SQLite`'s locks. Copies are made through `SQLite`.

mod checkpoint;
mod connection;
mod read;
mod transact;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use mail::Timestamp;
use tokio::sync::{mpsc, oneshot};

use self::read::{Question, Reader};
use self::writer::{Job, Writer};
use crate::condition::{check_key, check_range};
use crate::counters::Call;
use crate::{
    Cause, Consistency, Counters, Expect, Index, Key, Op, Range, ReadError, Row, WriteError,
};

/// Writes that wait for the writer at most; more wait to wait.
const WRITES_WAITING_MAX: usize = 4_096;

/// Reads that wait for a reader at most.
const READS_WAITING_MAX: usize = 1_024;

/// Why the index cannot be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// A file beside the database.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Another version, or not ours.
    Format(PathBuf),
    /// The database itself.
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: Cause,
    },
}

impl OpenError {
    /// What the database said, unless it only wants room.
    fn database(path: &Path, cause: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match cause.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => {
                Self::File { path, cause: std::io::ErrorKind::StorageFull.into() }
            }
            _ => Self::Database { path, cause: cause.into() },
        }
    }
}

/// The engine is closed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Closed {
    /// By an error that cannot be repaired while it is open.
    #[error("the index closed itself after a failed sync or damage; open the store again")]
    Poisoned,
    /// A thread of it is gone.
    #[error("the index is shutting down")]
    Ended,
}

/// Whether the engine can still be believed. Shared by all its threads.
#[derive(Debug, Default)]
pub(crate) struct Health(AtomicBool);

impl Health {
    fn poison(&self, why: &rusqlite::Error) {
        self.0.store(true, Ordering::Release);
        tracing::error!(error = %why, "the index closes itself until it is opened again");
    }

    fn poisoned(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The engine. Dropping it waits for what is under way.
pub(crate) struct Sqlite {
    writes: Option<mpsc::Sender<Job>>,
    reads: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
    time: StoreTime,
    counters: Arc<Counters>,
    health: Arc<Health>,
}

impl Sqlite {
    /// Opens or makes the database in `directory`.
    pub(crate) fn open(
        directory: &Path,
        readers: usize,
        counters: Arc<Counters>,
    ) -> Result<Self, OpenError> {
        let path = directory.join("rows.db");
        let time = StoreTime::start();
        let health = Arc::new(Health::default());
        let database = |cause| OpenError::database(&path, cause);
        let file = |cause| OpenError::File { path: directory.to_path_buf(), cause };
        let (connection, turn) = connection::create(directory, &path)?;

        let (writes, jobs) = mpsc::channel(WRITES_WAITING_MAX);
        let (reads, questions) = mpsc::channel(READS_WAITING_MAX);
        let questions = Arc::new(std::sync::Mutex::new(questions));
        let copier =
            checkpoint::start(&path, health.clone(), counters.clone()).map_err(database)?;
        let mut threads = Vec::new();
        let writer = Writer::new(connection, turn, jobs, copier, time, &health, &counters)
            .map_err(database)?;
        threads.push(spawn("index-writer", move || writer.run()).map_err(file)?);
        for _ in 0..readers.clamp(1, 64) {
            let reader =
                Reader::open(&path, questions.clone(), health.clone()).map_err(database)?;
            threads.push(spawn("index-reader", move || reader.run()).map_err(file)?);
        }
        Ok(Self { writes: Some(writes), reads: Some(reads), threads, time, counters, health })
    }

    async fn operate(&self, ops: Vec<Op>, ordered: bool) -> Vec<Result<(), WriteError>> {
        let writing = ops.iter().filter(|op| !matches!(op, Op::Check { .. })).count();
        self.counters.calls(Call::IndexWrite, writing as u64);
        let n = ops.len();
        if n == 0 {
            return Vec::new();
        }
        let all = |error: fn(Closed) -> WriteError, why| match ordered {
            true => vec![Err(error(why))],
            false => (0..n).map(|_| Err(error(why))).collect(),
        };
        let unavailable = |why: Closed| WriteError::Unavailable(why.into());
        if self.health.poisoned() {
            return all(unavailable, Closed::Poisoned);
        }
        let (answer, answered) = oneshot::channel();
        let Some(writes) = &self.writes else { return all(unavailable, Closed::Ended) };
        if writes.send(Job { ops, ordered, answer }).await.is_err() {
            return all(unavailable, Closed::Ended);
        }
        match answered.await {
            Ok(answers) => answers,
            // The writer died with it: it may have committed.
            Err(_) => all(|why| WriteError::Unknown(why.into()), Closed::Ended),
        }
    }

    async fn one(&self, op: Op) -> Result<(), WriteError> {
        let answers = self.operate(vec![op], false).await;
        let ended = || Err(WriteError::Unknown(Closed::Ended.into()));
        answers.into_iter().next().unwrap_or_else(ended)
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, ReadError>>) -> Question,
    ) -> Result<T, ReadError> {
        self.counters.call(Call::IndexRead);
        let closed = |why: Closed| ReadError::Unavailable(why.into());
        if self.health.poisoned() {
            return Err(closed(Closed::Poisoned));
        }
        let (answer, answered) = oneshot::channel();
        let Some(reads) = &self.reads else { return Err(closed(Closed::Ended)) };
        reads.send(question(answer)).await.map_err(|_| closed(Closed::Ended))?;
        answered.await.map_err(|_| closed(Closed::Ended))?
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The threads end when their queues do.
        self.writes.take();
        self.reads.take();
        // Not for ever: a stopped process may have the turn that the writer waits for. What it
        // has not begun by then, nobody has been told of.
        let mut left = 2_000;
        while left > 0 && self.threads.iter().any(|thread| !thread.is_finished()) {
            left -= 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let ended = self.threads.drain(..).filter(JoinHandle::is_finished);
        ended.for_each(|thread| drop(thread.join()));
    }
}

#[async_trait]
impl Index for Sqlite {
    async fn get(&self, key: &Key, _: Consistency) -> Result<Option<Row>, ReadError> {
        check_key(key)?;
        let key = key.clone();
        self.ask(|answer| Question::Get(key, answer)).await
    }

    async fn put_if(&self, key: &Key, row: Row, expect: Expect) -> Result<(), WriteError> {
        self.one(Op::Put { key: key.clone(), row, expect }).await
    }

    async fn delete_if(&self, key: &Key, expect: Expect) -> Result<(), WriteError> {
        self.one(Op::Delete { key: key.clone(), expect }).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<(Bytes, Row)>, ReadError> {
        check_range(range)?;
        let range = range.clone();
        self.ask(|answer| Question::Range(range, answer)).await
    }

    async fn batch(&self, ops: Vec<Op>) -> Vec<Result<(), WriteError>> {
        self.operate(ops, false).await
    }

    async fn ordered(&self, ops: Vec<Op>) -> Vec<Result<(), WriteError>> {
        self.operate(ops, true).await
    }

    fn now(&self) -> Timestamp {
        self.time.now()
    }

    fn is_closed(&self) -> bool {
        self.health.poisoned()
    }
}

/// The store's time: the machine's wall clock when the store was opened, carried on by the
/// monotonic clock, so that no jump of the wall clock reaches a row (I10) [h].
#[derive(Clone, Copy, Debug)]
struct StoreTime {
    opened: Timestamp,
    since: tokio::time::Instant,
}

impl StoreTime {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn start() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let since = tokio::time::Instant::now();
        Self { opened: Timestamp::default().after(wall.unwrap_or_default()), since }
    }

    fn now(&self) -> Timestamp {
        self.opened.after(self.since.elapsed())
    }
}

#[cfg(test)]
mod tests;
