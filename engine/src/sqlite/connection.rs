//! Connections to the database, its schema, and the queue of its writers.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::OpenError;
use super::transact::to_sql;

/// Size of a page.
pub(super) const PAGE_BYTES: u64 = 4_096;

/// Size of a page in the log, with its header.
pub(super) const FRAME_BYTES: u64 = PAGE_BYTES + 24;

/// How long opening waits for a process that is writing; they write for milliseconds.
const OPENING_MAX: Duration = Duration::from_secs(30);

/// Time between two looks whether it still is.
const STEP: Duration = Duration::from_millis(5);

/// The version of the schema.
const FORMAT: i64 = 1;

/// A rowid table with a unique index writes less than half of what a WITHOUT ROWID table does:
/// there, cells over 1,002 bytes spill.
const SCHEMA: &str = "
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY,
        p BLOB NOT NULL, s BLOB NOT NULL,
        v BLOB NOT NULL, n INTEGER NOT NULL, o BLOB NOT NULL, x INTEGER
    );
    CREATE UNIQUE INDEX rows_key ON rows (p, s);
    CREATE INDEX rows_expiry ON rows (x) WHERE x IS NOT NULL;
";

/// The queue of all processes' writers: an exclusive lock on a file of its own.
pub(super) struct Turn(File);

impl Turn {
    fn open(directory: &Path) -> std::io::Result<Self> {
        let path = directory.join("writer.lock");
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(path).map(Self)
    }

    /// As [`Self::take`], but not for longer than this.
    fn take_within(&self, patience: Duration) -> std::io::Result<()> {
        for _ in 0..patience.as_millis() / STEP.as_millis() {
            match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => std::thread::sleep(STEP),
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
        let who = self.holder().map_or_else(|| "a process".into(), |pid| format!("process {pid}"));
        Err(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("{who} is writing to the index and does not come to an end"),
        ))
    }

    /// The process whose turn it is, as the system knows it.
    fn holder(&self) -> Option<u32> {
        let inode = format!(":{}", self.0.metadata().ok()?.ino());
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| {
            // "1: FLOCK  ADVISORY  WRITE 4711 fe:00:123456 0 EOF"; who waits has "->" before FLOCK.
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [_, "FLOCK", _, "WRITE", pid, file, ..] if file.ends_with(&inode) => {
                    pid.parse().ok()
                }
                _ => None,
            }
        })
    }

    /// Waits for this process's turn to write. A process that died gave its turn back.
    pub(super) fn take(&self) -> std::io::Result<()> {
        loop {
            match flock(&self.0, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }

    /// Ends the turn.
    pub(super) fn give_back(&self) {
        if let Err(error) = flock(&self.0, FlockOperation::Unlock) {
            tracing::error!(%error, "cannot unlock the index");
        }
    }
}

/// A connection with the settings of all of them.
pub(super) fn connect(path: &Path, cache_kib: u32) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Only recovery and the making of the file are ever waited for: writers queue elsewhere [v].
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "page_size", to_sql(PAGE_BYTES))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the database for writing, made if it is new. What a crash had left in the log is on the
/// medium when this returns.
pub(super) fn create(directory: &Path, path: &Path) -> Result<(Connection, Turn), OpenError> {
    let file = |cause| OpenError::File { path: directory.to_path_buf(), cause };
    let database = |cause| OpenError::database(path, cause);
    let turn = Turn::open(directory).map_err(file)?;
    turn.take_within(OPENING_MAX).map_err(file)?;
    let made = !path.exists();
    let connection = connect(path, 8_192).map_err(database)?;
    let version = connection
        .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        .map_err(database)?;
    match version {
        FORMAT => {}
        0 => {
            let schema = format!("BEGIN; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT");
            connection.execute_batch(&schema).map_err(database)?;
        }
        _ => return Err(OpenError::Format(path.into())),
    }
    if made {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(file)?;
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(file)?;
    // What was recovered from the log may never have been synced. Nobody has seen it yet: copied
    // back (and synced) now, before anybody can act on it.
    copy_back(&connection).map_err(database)?;
    turn.give_back();
    Ok((connection, turn))
}

/// Copies as much of the log back into the database as is possible without waiting for anybody.
/// Returns how many pages the log has, and how many of them are copied.
pub(super) fn copy_back(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    checkpoint(connection, "PASSIVE")
}

/// Copies all of the log back, waiting (up to the busy timeout) for readers.
pub(super) fn copy_all_back(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    checkpoint(connection, "RESTART")
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(u64, u64)> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let pages = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok((pages(row.get(1)?), pages(row.get(2)?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_in_vain_is_told_for_whom() {
        let kept = tempfile::tempdir().unwrap();
        let (one, two) = (Turn::open(kept.path()).unwrap(), Turn::open(kept.path()).unwrap());
        one.take().unwrap();
        let refused = two.take_within(Duration::from_millis(20)).unwrap_err();
        let own = format!("process {} is writing", std::process::id());
        assert!(refused.to_string().starts_with(&own), "{refused}");
        one.give_back();
        two.take_within(Duration::from_millis(20)).unwrap();
    }
}
