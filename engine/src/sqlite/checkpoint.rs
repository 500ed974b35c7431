//! The thread that copies the log back into the database beside the writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::connection::{connect, copy_back};
use super::{Health, spawn};
use crate::Counters;

/// The writer's handle on the thread.
pub(super) struct Copier {
    wake: Option<SyncSender<()>>,
    copied: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// Asks it to copy what there is. Never waits.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            match wake.try_send(()) {
                // Full: it has been asked already.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }

    /// How many pages of the log it has copied, once after each time that it finished.
    pub(super) fn finished(&self) -> Option<u64> {
        match self.copied.swap(0, Ordering::AcqRel) {
            0 => None,
            pages => Some(pages),
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.wake.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Starts the thread.
pub(super) fn start(
    path: &Path,
    health: Arc<Health>,
    counters: Arc<Counters>,
) -> rusqlite::Result<Copier> {
    let connection = connect(path, 256)?;
    let (wake, woken) = sync_channel(1);
    let copied = Arc::new(AtomicU64::new(0));
    let told = copied.clone();
    let thread = spawn("index-copier", move || run(&connection, &woken, &told, &health, &counters));
    // Without the thread the writer does it all.
    Ok(Copier { wake: Some(wake), copied, thread: thread.ok() })
}

fn run(
    connection: &Connection,
    woken: &Receiver<()>,
    copied: &AtomicU64,
    health: &Health,
    counters: &Counters,
) {
    while woken.recv().is_ok() && !health.poisoned() {
        let (ended, bytes) = written(|| copy_back(connection));
        match ended {
            // Somebody else is at it.
            Ok((0, _)) => {}
            Ok((_, pages)) => {
                // The log and the database are synced, once each.
                counters.fsyncs(2);
                counters.index_bytes(bytes);
                copied.store(pages, Ordering::Release);
            }
            Err(error) if retry(&error) => {}
            // A page that did not reach the medium must not be forgotten by the log.
            Err(error) => health.poison(&error),
        }
    }
}

/// What `work` answers, and the bytes that this thread wrote meanwhile: a page that is in the log
/// many times is copied back once, which `SQLite` does not tell. 0 where the system does not tell.
pub(super) fn written<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = thread_wrote();
    let answer = work();
    (answer, thread_wrote().saturating_sub(before))
}

fn thread_wrote() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap_or_default();
    let wrote = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    wrote.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

/// Whether trying again is all that is needed.
pub(super) fn retry(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | DiskFull))
}
