//! The embedded engines: one directory is the whole store of a region, shared safely by any
//! number of processes of one machine.
//!
//! ```text
//! DIR/format        which layout this is
//! DIR/objects/…     one file per object, at its key
//! DIR/index/        the rows: a SQLite database, and the file that its writers queue for
//! DIR/run/          per process: a lock file, held while it lives, and a socket for wake-ups
//! DIR/tmp/          files being written, named by their writer, where no unnamed ones can be had
//! DIR/ballast       room to delete in when the disk is full [α]
//! ```

mod ballast;
mod disk;
mod events;
mod objects;
mod presence;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::events::LocalEvents;
use self::objects::LocalObjects;
use self::presence::Presence;
use crate::sqlite::{self, Sqlite};
use crate::system::{RuntimeClock, SystemRandom};
use crate::{Cause, Counters, Engines, Tasks};

/// What is written in DIR/format.
const FORMAT: &str = "postroad store 1\n";

/// Which engines, and how large.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The store directory; made if it is not there.
    pub directory: PathBuf,
    /// Size of the file that is given up for deleting when the disk is full [α]. 64 MiB.
    pub ballast_bytes: u64,
    /// Threads that read rows, 1 to 64. 2.
    pub index_readers: usize,
    /// Files read, and files written, at the same time, each at most. 8.
    pub files_at_once: usize,
    /// Objects are drafted as files without a name, where the file system has such. On.
    pub unnamed_drafts: bool,
}

impl Config {
    /// The embedded engines in this directory, with usual sizes.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            ballast_bytes: 64 << 20,
            index_readers: 2,
            files_at_once: 8,
            unnamed_drafts: true,
        }
    }
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory or a file in it cannot be made, read or locked.
    #[error("cannot use store directory {}: {cause}", path.display())]
    Directory {
        /// What could not be used.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It is not a store, or one of another version.
    #[error("{} is not a store of a version this program reads", path.display())]
    Format {
        /// The file that says so.
        path: PathBuf,
    },
    /// The index cannot be opened or is damaged.
    #[error("cannot open the index {}: {cause}", path.display())]
    Index {
        /// The database.
        path: PathBuf,
        /// What it said.
        cause: Cause,
    },
}

impl OpenError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Directory { .. } => {
                "check that the directory exists, is writable by this user and not full"
            }
            Self::Format { .. } => "use a newer program, or name another directory",
            Self::Index { .. } => {
                "stop all processes of this store, then restore from a backup if it stays"
            }
        }
    }
}

/// Opens the engines. Blocks for some file operations and, after a crash, for the recovery of the
/// index. Call it once per process and store; other processes may have it open.
/// # Errors
/// [`OpenError`]; nothing stays open.
pub fn open(config: &Config) -> Result<Engines, OpenError> {
    let counters = Arc::new(Counters::default());
    let root = config.directory.as_path();
    let wrong = |path: &Path| {
        let path = path.to_path_buf();
        move |cause| OpenError::Directory { path, cause }
    };
    disk::make_directory(root).map_err(wrong(root))?;
    check_format(root)?;
    for part in ["objects", "index", "run", "tmp"] {
        let path = root.join(part);
        disk::make_directory(&path).map_err(wrong(&path))?;
    }
    let presence = Arc::new(Presence::announce(root).map_err(wrong(&root.join("run")))?);
    let objects =
        LocalObjects::open(config, presence.clone(), counters.clone()).map_err(wrong(root))?;
    let index = Sqlite::open(&root.join("index"), config.index_readers, counters.clone()).map_err(
        |error| match error {
            sqlite::OpenError::File { path, cause } => OpenError::Directory { path, cause },
            sqlite::OpenError::Format(path) => OpenError::Format { path },
            sqlite::OpenError::Database { path, cause } => OpenError::Index { path, cause },
        },
    )?;
    let peers = presence.clone();
    let events = LocalEvents::open(presence, counters.clone()).map_err(wrong(&root.join("run")))?;
    Ok(Engines {
        objects: Arc::new(objects),
        index: Arc::new(index),
        events: Arc::new(events),
        peers,
        clock: Arc::new(RuntimeClock::new()),
        random: Arc::new(SystemRandom),
        tasks: Tasks::default(),
        work: crate::Work::default(),
        counters,
    })
}

/// Writes the format file of a new store, or checks that of an old one.
fn check_format(root: &Path) -> Result<(), OpenError> {
    let path = root.join("format");
    let wrong = |cause| OpenError::Directory { path: path.clone(), cause };
    match std::fs::read_to_string(&path) {
        Ok(found) if found == FORMAT => Ok(()),
        Ok(_) => Err(OpenError::Format { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            disk::replace_file(root, "format", FORMAT.as_bytes()).map_err(wrong)
        }
        Err(error) => Err(wrong(error)),
    }
}

#[cfg(test)]
mod tests;
