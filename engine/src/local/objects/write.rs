//! Putting one object: a draft without a name, then the name, then the folder's sync.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::folder::{Folder, Folders, Poisoned};
use crate::local::Config;
use crate::local::disk::{is_full, not_done};
use crate::local::presence::Presence;
use crate::{Checksum, Counters, ObjectKey, Put, WriteError};

/// Pieces smaller than this are written together.
const BUFFER_BYTES: usize = 256 << 10;

/// Makes drafts, in the way that this file system can.
pub(super) struct Maker {
    /// Unnamed files can be had, and given a name.
    unnamed: bool,
    temporary: OwnedFd,
    presence: Arc<Presence>,
    made: AtomicU64,
    counters: Arc<Counters>,
}

/// An object that has no name yet. Dropped, it is gone.
pub(super) struct Draft {
    file: BufWriter<File>,
    folder: Arc<Folder>,
    name: String,
    bytes: u64,
    temporary: Option<Temporary>,
}

/// A named temporary file, for as long as it is needed.
struct Temporary {
    directory: OwnedFd,
    name: String,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // One that stays is cleaned away when its writer's process is gone [u].
        if let Err(error) = rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty()) {
            tracing::debug!(%error, name = self.name, "temporary file stays for now");
        }
    }
}

/// What became of the attempt to give a draft its name.
enum Linked {
    Stored,
    Occupied,
}

impl Maker {
    /// Finds out what this file system can do.
    pub(super) fn open(
        folders: &Folders,
        config: &Config,
        presence: Arc<Presence>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let temporary = rustix::fs::open(presence.temporary_directory(), flags, Mode::empty())?;
        let probe = format!("{}.probe", presence.name());
        let unnamed = config.unnamed_drafts
            && unnamed_file(folders.root())
                .and_then(|file| link_unnamed(&file, &temporary, &probe))
                .and_then(|()| rustix::fs::unlinkat(&temporary, &probe, AtFlags::empty()))
                .is_ok();
        if !unnamed {
            tracing::info!(
                "this file system has no unnamed files: objects are drafted as named ones"
            );
        }
        Ok(Self { unnamed, temporary, presence, made: AtomicU64::new(0), counters })
    }

    /// An empty draft of the object `key`, in its folder, which is durable by then.
    pub(super) fn draft(&self, folders: &Folders, key: &ObjectKey) -> Result<Draft, WriteError> {
        let (folder_path, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
        if folders.poisoned() {
            return Err(self.refusal(folders, key));
        }
        let folder = folders.enter(folder_path, true).map_err(not_done)?;
        let folder = folder.ok_or_else(|| not_done(Errno::NOENT.into()))?;
        let (file, temporary) = match self.unnamed {
            true => (unnamed_file(folder.fd()), None),
            false => {
                let n = self.made.fetch_add(1, Ordering::Relaxed);
                let temporary = Temporary {
                    directory: self.temporary.try_clone().map_err(not_done)?,
                    name: format!("{}.{n}", self.presence.name()),
                };
                (named_file(&temporary), Some(temporary))
            }
        };
        let file = file.map_err(|error| not_done(error.into()))?;
        Ok(Draft {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            folder,
            name: name.into(),
            bytes: 0,
            temporary,
        })
    }

    /// A put that is not tried, because no answer could be believed: an object that is not there
    /// is certainly not stored; one that is there may or may not be durable.
    fn refusal(&self, folders: &Folders, key: &ObjectKey) -> WriteError {
        match rustix::fs::statat(folders.root(), key.as_str(), AtFlags::empty()) {
            Err(Errno::NOENT) => WriteError::Unavailable(Poisoned.into()),
            _ => WriteError::Unknown(Poisoned.into()),
        }
    }

    /// Makes the draft durable under its name, if that is free.
    pub(super) fn finish(&self, draft: Draft) -> Result<Put, WriteError> {
        let Draft { file, folder, name, bytes, temporary } = draft;
        let file = file.into_inner().map_err(|error| not_done(error.into_error()))?;
        // The content first: whoever sees the name must see the whole.
        self.counters.fsyncs(1);
        file.sync_all().map_err(|error| match is_full(&error) {
            true => WriteError::Full(error.into()),
            // Certainly not stored: it has no name, and a new try is a new file.
            false => WriteError::Unavailable(error.into()),
        })?;
        let inode = file.metadata().map_err(not_done)?.ino();
        for _ in 0..TRIES {
            match self.link(&file, &folder, &name, temporary.as_ref())? {
                Linked::Stored => {
                    // I1: the name too, before anybody is told.
                    folder.sync().map_err(|poisoned| WriteError::Unknown(poisoned.into()))?;
                    folder.know(&name, inode);
                    self.counters.object_bytes(bytes);
                    return Ok(Put::Stored);
                }
                Linked::Occupied => {
                    if let Some(checksum) = self.existing(&folder, &name)? {
                        return Ok(Put::Exists(checksum));
                    }
                }
            }
        }
        Err(WriteError::Unavailable(Changing.into()))
    }

    fn link(
        &self,
        file: &File,
        folder: &Folder,
        name: &str,
        temporary: Option<&Temporary>,
    ) -> Result<Linked, WriteError> {
        let linked = match temporary {
            None => link_unnamed(file, folder.fd(), name),
            Some(named) => {
                let flags = AtFlags::empty();
                rustix::fs::linkat(&named.directory, &named.name, folder.fd(), name, flags)
            }
        };
        match linked {
            Ok(()) => Ok(Linked::Stored),
            Err(Errno::EXIST) => Ok(Linked::Occupied),
            Err(Errno::IO) => Err(WriteError::Unknown(io::Error::from(Errno::IO).into())),
            Err(error) => Err(not_done(error.into())),
        }
    }

    /// The checksum of the object that is there, itself made durable before it is told. `None`:
    /// it has been deleted meanwhile.
    fn existing(&self, folder: &Folder, name: &str) -> Result<Option<Checksum>, WriteError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut file = match rustix::fs::openat(folder.fd(), name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(WriteError::Unknown(io::Error::from(error).into())),
        };
        let unknown = |error: io::Error| WriteError::Unknown(error.into());
        if !file.metadata().map_err(unknown)?.is_file() {
            return Err(not_done(Errno::ISDIR.into()));
        }
        // Whoever linked it had synced its content; the name may not have been yet.
        folder.sync().map_err(|poisoned| WriteError::Unknown(poisoned.into()))?;
        let mut digest = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match file.read(&mut buffer).map_err(unknown)? {
                0 => return Ok(Some(Checksum::finish(digest))),
                n => digest.update(buffer.get(..n).unwrap_or(&buffer)),
            }
        }
    }
}

/// How often a put meets an object that is gone when it looks, before it gives up.
const TRIES: usize = 4;

/// Somebody puts and deletes the same object again and again.
#[derive(Debug, thiserror::Error)]
#[error("the object is being put and deleted by others")]
struct Changing;

impl Draft {
    /// Adds bytes at the end.
    pub(super) fn write_all(&mut self, parts: &[Bytes]) -> Result<(), WriteError> {
        for part in parts {
            self.file.write_all(part).map_err(not_done)?;
            self.bytes += part.len() as u64;
        }
        Ok(())
    }
}

fn unnamed_file(folder: &OwnedFd) -> Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, ".", flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

fn named_file(temporary: &Temporary) -> Result<File, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::openat(&temporary.directory, &temporary.name, flags, mode).map(File::from)
}

/// Gives an unnamed file a name; fails if that is taken.
fn link_unnamed(file: &File, folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, unnamed, folder, name, AtFlags::SYMLINK_FOLLOW)
}
