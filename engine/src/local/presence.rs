//! A process's presence in a store: a lock file that is held as long as the process lives, so
//! that others know whose leavings may be cleaned away [u], and whose leases taken over.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::system::SystemRandom;
use crate::{Peers, Random};

/// This process in this store, until dropped.
#[derive(Debug)]
pub(super) struct Presence {
    root: PathBuf,
    name: String,
    /// Held, never read.
    _lock: File,
}

impl Presence {
    /// Takes a fresh name, holds its lock file, and cleans up after those who died.
    pub(super) fn announce(root: &Path) -> io::Result<Self> {
        let presence = loop {
            let random: &dyn Random = &SystemRandom;
            let name = format!("{:016x}", u64::from_be_bytes(random.bytes()));
            let path = lock_path(root, &name);
            let lock = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            // Between these two a cleaner may have taken the lock and removed the file: then the
            // name is not ours.
            if try_lock(&lock)? && same_file(&lock, &path)? {
                break Self { root: root.to_path_buf(), name, _lock: lock };
            }
        };
        presence.clean()?;
        Ok(presence)
    }

    /// This process's name: 16 hex digits.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where the wake-up sockets of all processes are.
    pub(super) fn run_directory(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Where this process's named temporary files are; each begins with its name and a dot.
    pub(super) fn temporary_directory(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Removes what dead processes left: temporary files first, the lock that names them last.
    fn clean(&self) -> io::Result<()> {
        // A temporary file is made after its writer's lock file. So, for one that was listed, a
        // lock that is free or missing means that its writer is dead.
        for entry in std::fs::read_dir(self.temporary_directory())? {
            let entry = entry?;
            let file_name = entry.file_name();
            let owner = file_name.to_str().and_then(|name| name.split_once('.')).map(|(o, _)| o);
            if owner.is_some_and(|owner| self.dead(owner).is_some()) {
                remove(&entry.path())?;
            }
        }
        for entry in std::fs::read_dir(self.run_directory())? {
            let file_name = entry?.file_name();
            let Some(owner) = file_name.to_str().and_then(|name| name.strip_suffix(".lock")) else {
                continue;
            };
            if let Some(held) = self.dead(owner) {
                remove(&socket_path(&self.root, owner))?;
                remove(&lock_path(&self.root, owner))?;
                drop(held);
            }
        }
        Ok(())
    }

    /// Proof that the process of this name is dead: its lock, now held by us (or the lack of one).
    fn dead(&self, name: &str) -> Option<Option<File>> {
        if name == self.name {
            return None;
        }
        match File::open(lock_path(&self.root, name)) {
            Ok(lock) => try_lock(&lock).ok()?.then_some(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(None),
            Err(_) => None,
        }
    }
}

impl Peers for Presence {
    fn own(&self) -> Option<[u8; 8]> {
        u64::from_str_radix(&self.name, 16).ok().map(u64::to_be_bytes)
    }

    fn is_dead(&self, process: [u8; 8]) -> bool {
        // The lock, if it was free, is given back at once.
        self.dead(&format!("{:016x}", u64::from_be_bytes(process))).is_some()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // What cannot be removed now is removed by whoever starts next.
        drop(remove(&socket_path(&self.root, &self.name)));
        drop(remove(&lock_path(&self.root, &self.name)));
        // Closing the file gives the lock back.
    }
}

fn lock_path(root: &Path, name: &str) -> PathBuf {
    root.join("run").join(format!("{name}.lock"))
}

fn socket_path(root: &Path, name: &str) -> PathBuf {
    root.join("run").join(format!("{name}.sock"))
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(there) => Ok(there.ino() == file.metadata()?.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_leavings_of_the_dead_are_cleaned() {
        let store = tempfile::tempdir().unwrap();
        for part in ["run", "tmp"] {
            std::fs::create_dir(store.path().join(part)).unwrap();
        }
        let living = Presence::announce(store.path()).unwrap();
        let tmp = living.temporary_directory();
        let of_the_living = tmp.join(format!("{}.1", living.name()));
        let of_the_dead = tmp.join("00000000000000aa.1");
        let of_the_unlocked = tmp.join("00000000000000bb.7");
        for path in [&of_the_living, &of_the_dead, &of_the_unlocked] {
            std::fs::write(path, b"half").unwrap();
        }
        std::fs::write(lock_path(store.path(), "00000000000000aa"), b"").unwrap();
        std::fs::write(socket_path(store.path(), "00000000000000aa"), b"").unwrap();

        let dead =
            |name: &str| living.is_dead(u64::from_str_radix(name, 16).unwrap().to_be_bytes());
        assert!(dead("00000000000000aa") && dead("00000000000000bb") && !dead(living.name()));
        let second = Presence::announce(store.path()).unwrap();
        let name = second.own().unwrap();
        assert!(!living.is_dead(name) && !second.is_dead(living.own().unwrap()));

        assert!(of_the_living.exists());
        assert!(!of_the_dead.exists() && !of_the_unlocked.exists());
        assert!(!lock_path(store.path(), "00000000000000aa").exists());
        assert!(!socket_path(store.path(), "00000000000000aa").exists());
        assert!(lock_path(store.path(), living.name()).exists());
        drop(second);
        assert!(living.is_dead(name));
        assert_eq!(std::fs::read_dir(store.path().join("run")).unwrap().count(), 1);
    }
}
