//! The tasks of a process: what it spawns ends with it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tracing::Instrument as _;

/// A set of tasks that belongs to one process (real or simulated). Cloning shares it. When
/// [`Tasks::abort`] is called, or the last clone is dropped, all of them are dropped where they
/// stand: that is what a crash looks like to the simulation.
#[derive(Clone)]
pub struct Tasks(Arc<Inner>);

struct Inner {
    handles: std::sync::Mutex<Vec<AbortHandle>>,
    aborted: AtomicBool,
    room: Arc<Semaphore>,
}

/// Tells whether a set of tasks has ended, without keeping it.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Weak<Inner>);

impl Pulse {
    pub(crate) fn is_over(&self) -> bool {
        self.0.upgrade().is_none_or(|inner| inner.aborted.load(Ordering::SeqCst))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Ok(handles) = self.handles.get_mut() {
            handles.drain(..).for_each(|handle| handle.abort());
        }
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new(65_536)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

impl Tasks {
    /// A set that runs at most `running_max` tasks at once (I8); more wait for their turn.
    #[must_use]
    pub fn new(running_max: usize) -> Self {
        Self(Arc::new(Inner {
            handles: std::sync::Mutex::default(),
            aborted: AtomicBool::new(false),
            room: Arc::new(Semaphore::new(running_max)),
        }))
    }

    /// Runs `future` until it ends or this set does. `name` is for diagnostics. Dropping the
    /// handle does not stop the task. A task must not keep a clone of the set it runs in, or the
    /// set never drops; [`Tasks::abort`] still ends it.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let room = self.0.room.clone();
        // Boxed once: what an async block is given, and awaits, it would hold twice.
        let future = Box::pin(future);
        let task = async move {
            // The semaphore is never closed, so this never fails.
            let _turn = room.acquire_owned().await;
            tracing::trace!(task = name, "started");
            future.await
        };
        // Events of a task carry the fields of who spawned it (region, edge, conn).
        let task = tokio::spawn(task.instrument(tracing::Span::current()));
        if let Ok(mut handles) = self.0.handles.lock() {
            if handles.len() >= 64 && handles.len().is_power_of_two() {
                handles.retain(|handle| !handle.is_finished());
            }
            handles.push(task.abort_handle());
        }
        task
    }

    pub(crate) fn pulse(&self) -> Pulse {
        Pulse(Arc::downgrade(&self.0))
    }

    /// Ends all tasks where they stand.
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::SeqCst);
        if let Ok(mut handles) = self.0.handles.lock() {
            handles.drain(..).for_each(|handle| handle.abort());
        }
    }
}
