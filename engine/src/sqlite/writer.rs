//! The one thread that writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mail::Timestamp;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::{Copier, retry, written};
use super::connection::{FRAME_BYTES, Turn, copy_all_back, copy_back};
use super::{Closed, Health, StoreTime, transact};
use crate::{Cause, Counters, Op, WriteError};

/// Operations of one transaction, about at most.
const GROUP_OPS: usize = 1_000;

/// Bytes of values of one transaction, about at most.
const GROUP_BYTES: usize = 2 << 20;

/// Below this much room nothing is begun: certainly not done is better than unknown.
const ROOM_BYTES: u64 = 8 << 20;

/// Pages of the log from which on it is copied back by the thread: 32 MiB (decision 0005).
const COPY_PAGES: u64 = 8_000;

/// Pages left to copy that the writer copies itself, so that the log starts again.
const REST_PAGES: u64 = 500;

/// Pages of the log at which the writer stops for all the copying: 64 MiB.
const LOG_PAGES_MAX: u64 = 16_000;

/// Time between two looks for expired rows.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// What somebody wants written.
pub(super) struct Job {
    pub(super) ops: Vec<Op>,
    /// Stop at the first that fails.
    pub(super) ordered: bool,
    pub(super) answer: oneshot::Sender<Answers>,
}

/// One answer per operation that was tried.
pub(super) type Answers = Vec<Result<(), WriteError>>;

pub(super) struct Writer {
    connection: Connection,
    turn: Turn,
    jobs: mpsc::Receiver<Job>,
    copier: Copier,
    time: StoreTime,
    swept: Timestamp,
    /// Pages in the log after the last commit.
    log_pages: Arc<AtomicU64>,
    directory: PathBuf,
    health: Arc<Health>,
    counters: Arc<Counters>,
}

/// A job carried out in the transaction that is open.
struct Pending {
    answer: oneshot::Sender<Answers>,
    /// What it will be told if the transaction commits.
    answers: Answers,
    /// How many answers it gets if not.
    tried: usize,
}

/// The jobs of the transaction that is open.
#[derive(Default)]
struct Group {
    pending: Vec<Pending>,
    ops: usize,
    bytes: usize,
    changed: bool,
}

/// How a transaction failed.
enum Failed {
    /// Before its commit: nothing of it has happened.
    Before(rusqlite::Error),
    /// In its commit: it may have.
    Commit(rusqlite::Error),
}

impl Writer {
    pub(super) fn new(
        mut connection: Connection,
        turn: Turn,
        jobs: mpsc::Receiver<Job>,
        copier: Copier,
        time: StoreTime,
        health: &Arc<Health>,
        counters: &Arc<Counters>,
    ) -> rusqlite::Result<Self> {
        let log_pages = Arc::new(AtomicU64::new(0));
        let (pages, written) = (log_pages.clone(), counters.clone());
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, total: i32| {
            let total = u64::try_from(total).unwrap_or(0);
            let before = pages.swap(total, Ordering::Relaxed);
            // Smaller than before: it has started again from its beginning.
            let new = if total >= before { total - before } else { total };
            written.index_bytes(FRAME_BYTES * new);
            Ok(())
        }))?;
        let path = connection.path().map(PathBuf::from).unwrap_or_default();
        let directory = path.parent().map(PathBuf::from).unwrap_or_default();
        Ok(Self {
            connection,
            turn,
            jobs,
            copier,
            time,
            swept: time.now(),
            log_pages,
            directory,
            health: health.clone(),
            counters: counters.clone(),
        })
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self) {
        while let Some(first) = self.jobs.blocking_recv() {
            let mut group = Group::default();
            if self.health.poisoned() {
                group.add(first, Vec::new());
                group.fail(|| WriteError::Unavailable(Closed::Poisoned.into()));
                continue;
            }
            match self.write(&mut group, first) {
                Ok(()) => group.tell(),
                Err(failed) => self.failed(group, failed),
            }
        }
    }

    /// One transaction of all that waits, durable when this returns.
    fn write(&mut self, group: &mut Group, first: Job) -> Result<(), Failed> {
        if let Err(error) = self.ready() {
            group.add(first, Vec::new());
            return Err(error);
        }
        let ended = self.transact(group, first);
        match &ended {
            Ok(()) => self.tend_log(),
            Err(_) if self.connection.is_autocommit() => {}
            // Fails only if it has been rolled back already.
            Err(_) => drop(self.connection.execute_batch("ROLLBACK")),
        }
        self.turn.give_back();
        ended
    }

    /// Waits for this process's turn, and sees to it that there is room. Not its turn any more
    /// after an error.
    fn ready(&self) -> Result<(), Failed> {
        let failed = |code, text: String| {
            let error = rusqlite::ffi::Error::new(code);
            Failed::Before(rusqlite::Error::SqliteFailure(error, Some(text)))
        };
        self.turn
            .take()
            .map_err(|error| failed(rusqlite::ffi::SQLITE_CANTOPEN, error.to_string()))?;
        self.room().map_err(|free| {
            self.turn.give_back();
            failed(rusqlite::ffi::SQLITE_FULL, format!("only {free} bytes left on the disk"))
        })
    }

    /// Whether there is room for a transaction; if not, how much is left.
    fn room(&self) -> Result<(), u64> {
        match rustix::fs::statvfs(&self.directory) {
            Ok(about) => match about.f_bavail.saturating_mul(about.f_frsize) {
                free if free < ROOM_BYTES => Err(free),
                _ => Ok(()),
            },
            // Not knowing is no reason to stop.
            Err(_) => Ok(()),
        }
    }

    fn transact(&mut self, group: &mut Group, first: Job) -> Result<(), Failed> {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            group.add(first, Vec::new());
            return Err(Failed::Before(error));
        }
        let mut next = Some(first);
        while let Some(job) = next.take() {
            let ended = self.carry_out(group, &job);
            let (answers, error) =
                ended.map_or_else(|error| (Vec::new(), Some(error)), |answers| (answers, None));
            group.add(job, answers);
            if let Some(error) = error {
                return Err(Failed::Before(error));
            }
            if group.ops < GROUP_OPS && group.bytes < GROUP_BYTES {
                next = self.jobs.try_recv().ok();
            }
        }
        if self.time.now().since(self.swept) >= SWEEP_EVERY {
            let swept =
                transact::sweep(&self.connection, self.time.now()).map_err(Failed::Before)?;
            group.changed |= swept > 0;
            if swept < transact::SWEPT_AT_ONCE {
                self.swept = self.time.now();
            }
        }
        self.execute("COMMIT").map_err(Failed::Commit)?;
        if group.changed {
            self.counters.transaction();
            self.counters.fsyncs(1);
        }
        Ok(())
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    fn carry_out(&self, group: &mut Group, job: &Job) -> rusqlite::Result<Answers> {
        let mut answers = Vec::with_capacity(job.ops.len());
        for op in &job.ops {
            let ended = transact::operate(&self.connection, op)?;
            group.ops += 1;
            if let Op::Put { row, .. } = op {
                group.bytes += row.value.len();
            }
            group.changed |= matches!(ended, Ok(true));
            let stop = job.ordered && ended.is_err();
            answers.push(ended.map(|_| ()));
            if stop {
                break;
            }
        }
        Ok(answers)
    }

    /// Nobody of this group is told success.
    fn failed(&self, group: Group, failed: Failed) {
        let (error, certain) = match failed {
            Failed::Before(error) => (error, true),
            Failed::Commit(error) => (error, false),
        };
        // A failed sync is reported once; damage does not heal. Both end this engine's credit.
        if broken(&error) || (!certain && !retry(&error)) {
            self.health.poison(&error);
        }
        let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
        let error = Arc::new(error);
        group.fail(|| {
            let cause: Cause = error.clone().into();
            match (certain, full) {
                (false, _) => WriteError::Unknown(cause),
                (true, true) => WriteError::Full(cause),
                (true, false) => WriteError::Unavailable(cause),
            }
        });
    }

    /// Keeps the log short: the thread copies it back, the writer only what came meanwhile, and
    /// then the next commit starts it again from its beginning.
    fn tend_log(&self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < COPY_PAGES {
            return;
        }
        let (copied, bytes) = match self.copier.finished() {
            Some(copied) if pages.saturating_sub(copied) <= REST_PAGES => {
                written(|| copy_back(&self.connection))
            }
            _ if pages >= LOG_PAGES_MAX => written(|| copy_all_back(&self.connection)),
            _ => {
                self.copier.wake();
                return;
            }
        };
        match copied {
            Ok(_) => {
                self.counters.fsyncs(2);
                self.counters.index_bytes(bytes);
            }
            Err(error) if retry(&error) => {}
            Err(error) => self.health.poison(&error),
        }
    }
}

/// Whether this is a failed disk or a damaged database.
fn broken(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(SystemIoFailure | DatabaseCorrupt | NotADatabase))
}

impl Group {
    fn add(&mut self, job: Job, answers: Answers) {
        let tried = if job.ordered { 1 } else { job.ops.len() };
        self.pending.push(Pending { answer: job.answer, answers, tried });
    }

    /// The transaction is durable: tells everybody.
    fn tell(self) {
        for pending in self.pending {
            // Nobody may wait any more.
            drop(pending.answer.send(pending.answers));
        }
    }

    /// It is not: tells everybody this instead.
    fn fail(self, error: impl Fn() -> WriteError) {
        for pending in self.pending {
            let answers = (0..pending.tried).map(|_| Err(error())).collect();
            drop(pending.answer.send(answers));
        }
    }
}
