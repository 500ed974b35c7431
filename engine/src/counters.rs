//! Counts of what the engines did: as metrics, and as numbers a benchmark reads (docs/rules.md,
//! *Budgets*: counted, not timed).

use std::sync::atomic::{AtomicU64, Ordering};

/// What a count is of. The label `call` of `postroad_engine_calls_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    ObjectPut,
    ObjectGet,
    ObjectList,
    ObjectDelete,
    IndexRead,
    IndexWrite,
    EventPublish,
}

impl Call {
    /// Labels `seam` (objects, index, events) and `call` (put, get, list, delete, read, write,
    /// publish).
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::ObjectPut => ("objects", "put"),
            Self::ObjectGet => ("objects", "get"),
            Self::ObjectList => ("objects", "list"),
            Self::ObjectDelete => ("objects", "delete"),
            Self::IndexRead => ("index", "read"),
            Self::IndexWrite => ("index", "write"),
            Self::EventPublish => ("events", "publish"),
        }
    }
}

/// Counters of one process's engines.
#[derive(Debug, Default)]
pub struct Counters {
    object_puts: AtomicU64,
    object_gets: AtomicU64,
    object_lists: AtomicU64,
    object_deletes: AtomicU64,
    object_bytes: AtomicU64,
    index_reads: AtomicU64,
    index_writes: AtomicU64,
    index_transactions: AtomicU64,
    index_bytes: AtomicU64,
    fsyncs: AtomicU64,
    events: AtomicU64,
}

/// A [`Counters`] as it stood at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects put, streamed ones included, each once.
    pub object_puts: u64,
    /// Object reads: whole, or several ranges of one object.
    pub object_gets: u64,
    /// Listings.
    pub object_lists: u64,
    /// Deletes of objects.
    pub object_deletes: u64,
    /// Bytes of the objects put.
    pub object_bytes: u64,
    /// Gets and range queries.
    pub index_reads: u64,
    /// Operations that write, each of a batch counted.
    pub index_writes: u64,
    /// Transactions that changed something (embedded engine only).
    pub index_transactions: u64,
    /// Bytes written to the embedded index's files: log, and pages copied back.
    pub index_bytes: u64,
    /// Syncs of files and directories (embedded engines only; those that `SQLite` makes are
    /// counted as its documentation says).
    pub fsyncs: u64,
    /// Events published.
    pub events: u64,
}

impl Counters {
    /// One more call.
    pub(crate) fn call(&self, call: Call) {
        self.calls(call, 1);
    }

    /// `n` more calls.
    pub(crate) fn calls(&self, call: Call, n: u64) {
        let counter = match call {
            Call::ObjectPut => &self.object_puts,
            Call::ObjectGet => &self.object_gets,
            Call::ObjectList => &self.object_lists,
            Call::ObjectDelete => &self.object_deletes,
            Call::IndexRead => &self.index_reads,
            Call::IndexWrite => &self.index_writes,
            Call::EventPublish => &self.events,
        };
        counter.fetch_add(n, Ordering::Relaxed);
        let (seam, call) = call.labels();
        metrics::counter!("postroad_engine_calls_total", "seam" => seam, "call" => call)
            .increment(n);
    }

    /// Bytes of objects written.
    pub(crate) fn object_bytes(&self, bytes: u64) {
        self.object_bytes.fetch_add(bytes, Ordering::Relaxed);
        metrics::counter!("postroad_engine_bytes_total", "seam" => "objects").increment(bytes);
    }

    /// Files or directories synced.
    pub(crate) fn fsyncs(&self, n: u64) {
        self.fsyncs.fetch_add(n, Ordering::Relaxed);
        metrics::counter!("postroad_engine_fsyncs_total").increment(n);
    }

    /// A transaction that changed something.
    pub(crate) fn transaction(&self) {
        self.index_transactions.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes written to the index's files.
    pub(crate) fn index_bytes(&self, bytes: u64) {
        self.index_bytes.fetch_add(bytes, Ordering::Relaxed);
        metrics::counter!("postroad_engine_bytes_total", "seam" => "index").increment(bytes);
    }

    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            object_puts: read(&self.object_puts),
            object_gets: read(&self.object_gets),
            object_lists: read(&self.object_lists),
            object_deletes: read(&self.object_deletes),
            object_bytes: read(&self.object_bytes),
            index_reads: read(&self.index_reads),
            index_writes: read(&self.index_writes),
            index_transactions: read(&self.index_transactions),
            index_bytes: read(&self.index_bytes),
            fsyncs: read(&self.fsyncs),
            events: read(&self.events),
        }
    }
}

impl Counts {
    /// What was counted after `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            object_puts: self.object_puts - earlier.object_puts,
            object_gets: self.object_gets - earlier.object_gets,
            object_lists: self.object_lists - earlier.object_lists,
            object_deletes: self.object_deletes - earlier.object_deletes,
            object_bytes: self.object_bytes - earlier.object_bytes,
            index_reads: self.index_reads - earlier.index_reads,
            index_writes: self.index_writes - earlier.index_writes,
            index_transactions: self.index_transactions - earlier.index_transactions,
            index_bytes: self.index_bytes - earlier.index_bytes,
            fsyncs: self.fsyncs - earlier.fsyncs,
            events: self.events - earlier.events,
        }
    }
}
