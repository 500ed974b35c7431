//! Folders of the objects' directory: kept open, synced together, and which names in them are
//! known to be durable.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::Counters;

/// Folders kept open at most, besides those in use.
const OPEN_MAX: usize = 256;

/// Durable names remembered for each folder, at most; forgetting costs one more sync.
const KNOWN_MAX: usize = 4_096;

/// A folder's sync failed, now or before.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a sync of the store's directory failed; open the store again")]
pub(super) struct Poisoned;

/// All folders below one root.
pub(super) struct Folders {
    path: PathBuf,
    root: Arc<Folder>,
    open: Mutex<BTreeMap<String, Arc<Folder>>>,
    health: Arc<Health>,
}

/// What all folders share: whether any sync has failed, and the counters.
struct Health {
    poisoned: AtomicBool,
    counters: Arc<Counters>,
}

/// One folder, open.
pub(super) struct Folder {
    fd: OwnedFd,
    parent: Option<Arc<Self>>,
    /// Its own name, and those above, are known to be on the medium.
    durable: AtomicBool,
    syncs: Mutex<Syncs>,
    synced: Condvar,
    /// Names known to be on the medium, and of which file (inode) each is.
    known: Mutex<BTreeMap<String, u64>>,
    health: Arc<Health>,
}

/// Syncs asked for and done: those that wait for one share the next.
#[derive(Default)]
struct Syncs {
    asked: u64,
    done: u64,
    running: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Folders {
    pub(super) fn open(path: &Path, counters: Arc<Counters>) -> io::Result<Self> {
        let health = Arc::new(Health { poisoned: AtomicBool::new(false), counters });
        let fd = rustix::fs::open(path, FOLDER, Mode::empty())?;
        let root = Arc::new(Folder::new(fd, None, health.clone()));
        // The root was made durable when the store was opened.
        root.durable.store(true, Ordering::Relaxed);
        Ok(Self { path: path.to_path_buf(), root, open: Mutex::default(), health })
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root.fd
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a sync has failed: nothing new may be called durable.
    pub(super) fn poisoned(&self) -> bool {
        self.health.poisoned.load(Ordering::Acquire)
    }

    /// The folder at `path` (no slash at its end; empty: the root). With `make` it is made, and
    /// its name is durable when this returns. `None`: there is none.
    pub(super) fn enter(&self, path: &str, make: bool) -> io::Result<Option<Arc<Folder>>> {
        if path.is_empty() {
            return Ok(Some(self.root.clone()));
        }
        let known = lock(&self.open).get(path).cloned();
        if let Some(folder) = known.filter(|folder| !folder.removed()) {
            if make {
                folder.settle()?;
            }
            return Ok(Some(folder));
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(parent) = self.enter(above, make)? else { return Ok(None) };
        if make {
            match rustix::fs::mkdirat(&parent.fd, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let fd = match rustix::fs::openat(&parent.fd, name, FOLDER, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) if !make => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let folder = Arc::new(Folder::new(fd, Some(parent), self.health.clone()));
        if make {
            folder.settle()?;
        }
        let mut open = lock(&self.open);
        if open.len() >= OPEN_MAX {
            open.retain(|_, folder| Arc::strong_count(folder) > 1);
        }
        let kept = open.entry(path.into()).or_insert_with(|| folder.clone());
        if kept.removed() {
            *kept = folder;
        }
        Ok(Some(kept.clone()))
    }

    /// Makes the syncs of this folder fail: a path-only descriptor can be put into, not synced.
    #[cfg(test)]
    pub(super) fn break_syncs_of(&self, path: &str) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.root(), path, flags, Mode::empty()).unwrap();
        let broken = Folder::new(fd, Some(self.root.clone()), self.health.clone());
        lock(&self.open).insert(path.into(), Arc::new(broken));
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    fn new(fd: OwnedFd, parent: Option<Arc<Self>>, health: Arc<Health>) -> Self {
        Self {
            fd,
            parent,
            durable: AtomicBool::new(false),
            syncs: Mutex::default(),
            synced: Condvar::new(),
            known: Mutex::default(),
            health,
        }
    }

    pub(super) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether somebody has removed it: what is put into it now is nowhere.
    fn removed(&self) -> bool {
        rustix::fs::fstat(&self.fd).is_ok_and(|about| about.st_nlink == 0)
    }

    /// Makes this folder's name, and those above, durable. It may have been made by another
    /// process that has not come to that yet, so who puts into it makes sure once itself.
    fn settle(&self) -> io::Result<()> {
        if !self.durable.load(Ordering::Acquire) {
            if let Some(parent) = &self.parent {
                parent.settle()?;
                parent.sync().map_err(io::Error::other)?;
            }
            self.durable.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Makes all names that are in the folder now durable. Callers at the same time share one
    /// sync that begins after the last of them asked.
    pub(super) fn sync(&self) -> Result<(), Poisoned> {
        let mut syncs = lock(&self.syncs);
        syncs.asked += 1;
        let mine = syncs.asked;
        loop {
            if self.health.poisoned.load(Ordering::Acquire) {
                return Err(Poisoned);
            }
            if syncs.done >= mine {
                return Ok(());
            }
            if syncs.running {
                syncs = self.synced.wait(syncs).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            syncs.running = true;
            let covers = syncs.asked;
            drop(syncs);
            let result = rustix::fs::fsync(&self.fd);
            self.health.counters.fsyncs(1);
            if let Err(error) = result {
                // A second sync would succeed without having written anything: the kernel drops
                // what it could not write.
                self.health.poisoned.store(true, Ordering::Release);
                tracing::error!(%error, "sync of an object folder failed: nothing more is accepted");
            }
            syncs = lock(&self.syncs);
            syncs.running = false;
            if result.is_ok() {
                syncs.done = syncs.done.max(covers);
            }
            self.synced.notify_all();
        }
    }

    /// Remembers that this name, of this inode, is durable.
    pub(super) fn know(&self, name: &str, inode: u64) {
        let mut known = lock(&self.known);
        known.insert(name.into(), inode);
        if known.len() > KNOWN_MAX {
            known.pop_first();
        }
    }

    /// Whether this name, of this inode, is known to be durable.
    pub(super) fn knows(&self, name: &str, inode: u64) -> bool {
        lock(&self.known).get(name) == Some(&inode)
    }
}
