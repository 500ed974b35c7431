//! What may be set about the store: times and bounds, in one place, so that tests and simulation
//! shrink them and configuration names them.

use std::time::Duration;

/// Bounds and times of one process's store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the region in rows, `applied` among them.
    pub region: String,
    /// Name of this edge in its writer rows; for people.
    pub edge: String,
    /// Largest message taken, in bytes (RFC 1870; docs/rules.md: 50 MiB).
    pub message_bytes_max: u64,
    /// Up to so many bytes of a message are kept in memory; a longer one streams into `big/`.
    pub spool_bytes_max: usize,
    /// Bytes of all messages being received that may be in memory at once; beyond it senders are
    /// asked to come again (I8).
    pub spooling_bytes_max: usize,
    /// Bytes of messages that are held whole for checks (mail-auth), for the whole process.
    pub whole_bytes_max: usize,
    /// Bytes of open accounts' states kept in memory (estimate).
    pub accounts_bytes_max: usize,
    /// Bytes of message bodies and segment indexes kept in memory.
    pub bodies_bytes_max: usize,
    /// Directory rows kept in memory.
    pub directory_rows_max: usize,
    /// How often this process writes and reads hint rows; `None` where the engines' wake-ups reach
    /// every process of the region by themselves [y].
    pub hint_rows: Option<Duration>,
    /// Share of the medium, in percent, below which nothing is accepted any more [α].
    pub free_percent_min: u64,
    /// Times.
    pub timing: Timing,
    /// Limits of compaction and checkpoints.
    pub upkeep: Upkeep,
    /// What is counted for reports to other domains.
    pub reporting: Reporting,
}

/// What is counted for reports to other domains, and over which time.
#[derive(Clone, Copy, Debug)]
pub struct Reporting {
    /// Messages in their name (DMARC).
    pub dmarc: bool,
    /// Calls to their servers (TLS-RPT).
    pub tls: bool,
    /// One report is about so long; a day, but for tests. At least a second.
    pub interval: Duration,
}

impl Default for Reporting {
    fn default() -> Self {
        Self { dmarc: false, tls: false, interval: Duration::from_secs(24 * 60 * 60) }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            region: "home".to_owned(),
            edge: "edge".to_owned(),
            message_bytes_max: 50 << 20,
            spool_bytes_max: 1 << 20,
            spooling_bytes_max: 256 << 20,
            whole_bytes_max: 128 << 20,
            accounts_bytes_max: 64 << 20,
            bodies_bytes_max: 32 << 20,
            directory_rows_max: 4096,
            hint_rows: None,
            free_percent_min: 5,
            timing: Timing::default(),
            upkeep: Upkeep::default(),
            reporting: Reporting::default(),
        }
    }
}

/// All times the store goes by.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Shortest wait before a call to an engine is repeated.
    pub retry_min: Duration,
    /// Longest such wait; waits double in between.
    pub retry_max: Duration,
    /// How long a session waits for its message to become durable before it is closed without a
    /// reply [N].
    pub commit_patience: Duration,
    /// How long a put that certainly did not happen is tried again before the sender is asked to
    /// come back.
    pub unavailable_patience: Duration,
    /// Life of a writer; then the next one begins [γ].
    pub writer_life: Duration,
    /// How long a writer that was ended stays known, with its tombstones [C].
    pub writer_kept: Duration,
    /// How long a claim is left to its holder. Economy only: any number of holders is harmless.
    pub claim_lease: Duration,
    /// How often `maintain` looks for accounts that ask for it.
    pub maintain_poll: Duration,
    /// How often all claims are looked at for segments that can be deleted, or are so old that
    /// their accounts are compacted.
    pub audit: Duration,
    /// Time between two sweeps.
    pub sweep: Duration,
    /// How old a directory row in memory may be.
    pub directory_fresh: Duration,
    /// How often free space is looked at.
    pub space_check: Duration,
    /// After this long what lies in ingest segments is compacted, however little it is.
    pub compact_after: Duration,
    /// How long deleted messages can be brought back, and objects of the past are kept.
    pub restore_window: Duration,
    /// Extra time that released ingest segments stay, so that a backup gets them.
    pub backup_interval: Duration,
    /// How long a finished item stays [b].
    pub item_kept: Duration,
    /// How soon a local item is tried again.
    pub item_retry: Duration,
    /// How long a hint row stays [y].
    pub hint_kept: Duration,
    /// How soon a segment that could not be delivered is begun again.
    pub deliver_retry: Duration,
    /// Time beyond its life that a writer is given before a sweep ends it.
    pub writer_grace: Duration,
    /// How often the logs that somebody watches are read again without a wake-up [y].
    pub reread: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            commit_patience: Duration::from_secs(120),
            unavailable_patience: Duration::from_secs(10),
            writer_life: DAY,
            writer_kept: DAY * 30,
            claim_lease: Duration::from_secs(10),
            maintain_poll: Duration::from_secs(5),
            audit: Duration::from_secs(3600),
            sweep: Duration::from_secs(60),
            directory_fresh: Duration::from_secs(1),
            space_check: Duration::from_secs(5),
            compact_after: DAY * 30,
            restore_window: DAY * 30,
            backup_interval: DAY * 7,
            item_kept: DAY * 15,
            item_retry: Duration::from_secs(60),
            hint_kept: Duration::from_secs(3600),
            deliver_retry: Duration::from_secs(1),
            writer_grace: Duration::from_secs(3600),
            reread: Duration::from_secs(300),
        }
    }
}

/// When the background work of `maintain` is worth doing.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// Entries of tail after which a checkpoint is made.
    pub checkpoint_entries: u64,
    /// Bytes of tail after which a checkpoint is made.
    pub checkpoint_bytes: u64,
    /// Records of an account in ingest segments after which they are compacted.
    pub compact_records: u64,
    /// Bytes of an account in ingest segments after which they are compacted.
    pub compact_bytes: u64,
    /// Largest account segment.
    pub account_segment_bytes: u64,
    /// Account segments below this size count as small.
    pub small_segment_bytes: u64,
    /// So many small account segments become one.
    pub small_segments: usize,
    /// Numbers a writer may use.
    pub writer_numbers: u64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            checkpoint_entries: 64,
            checkpoint_bytes: 256 << 10,
            compact_records: 64,
            compact_bytes: 4 << 20,
            account_segment_bytes: 16 << 20,
            small_segment_bytes: 4 << 20,
            small_segments: 8,
            writer_numbers: 1_000_000,
        }
    }
}
