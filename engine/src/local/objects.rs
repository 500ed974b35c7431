//! Objects as files of a directory.
//!
//! A put writes an unnamed file, syncs it, links it under its name and syncs the folder, in this
//! order: a power cut leaves the whole object or nothing, and no answer is given before both are
//! on the medium. A folder's sync that failed is never repeated to claim success: the engine is
//! *poisoned* until it is opened again, because the kernel reports such a failure only once.

mod folder;
mod list;
mod write;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use tokio::sync::Semaphore;

use self::folder::Folders;
use self::write::{Draft, Maker};
use super::Config;
use super::ballast::Ballast;
use super::disk::not_done;
use super::presence::Presence;
use crate::counters::Call;
use crate::{
    Counters, Listed, ObjectKey, ObjectWriter, Objects, Put, ReadError, Space, WriteError,
};

/// With less room than this a store is opened without its ballast.
const OPENING_BYTES: u64 = 16 << 20;

/// The engine.
pub(super) struct LocalObjects {
    inner: Arc<Inner>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// What the blocking threads work on.
struct Inner {
    folders: Folders,
    maker: Maker,
    ballast: Ballast,
}

impl LocalObjects {
    pub(super) fn open(
        config: &Config,
        presence: Arc<Presence>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let folders = Folders::open(&config.directory.join("objects"), counters.clone())?;
        let maker = Maker::open(&folders, config, presence, counters.clone())?;
        let ballast = Ballast::new(config.directory.join("ballast"), config.ballast_bytes);
        let free = space(folders.root())?.free;
        if free < OPENING_BYTES {
            // The index cannot even be opened for reading without some room.
            ballast.release()?;
        } else if free / 4 > config.ballast_bytes
            // Made only where it leaves room to work in: a full disk keeps what was given up.
            && let Err(error) = ballast.make()
        {
            tracing::warn!(%error, "no ballast: a full disk may not be able to delete");
        }
        let at_once = config.files_at_once.clamp(1, 256);
        Ok(Self {
            inner: Arc::new(Inner { folders, maker, ballast }),
            reads: Arc::new(Semaphore::new(at_once)),
            writes: Arc::new(Semaphore::new(at_once)),
            counters,
        })
    }

    /// Makes the syncs of this folder fail, as a failing disk does.
    #[cfg(test)]
    pub(super) fn break_syncs_of(&self, folder: &str) {
        self.inner.folders.break_syncs_of(folder);
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let inner = self.inner.clone();
        blocking(&self.reads, move || work(&inner))
            .await
            .unwrap_or_else(|lost| Err(ReadError::Unavailable(lost.into())))
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let inner = self.inner.clone();
        blocking(&self.writes, move || work(&inner))
            .await
            .unwrap_or_else(|lost| Err(WriteError::Unknown(lost.into())))
    }
}

/// Runs `work` on a blocking thread when it is its turn. Work that has begun is finished, whether
/// or not its caller still waits.
async fn blocking<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    // The semaphore is never closed, so this never fails.
    let turn = turns.clone().acquire_owned().await;
    tokio::task::spawn_blocking(move || {
        let answer = work();
        drop(turn);
        answer
    })
    .await
}

fn cannot_read(error: Errno) -> ReadError {
    match error {
        Errno::ACCESS | Errno::PERM => ReadError::Refused(io::Error::from(error).into()),
        _ => ReadError::Unavailable(io::Error::from(error).into()),
    }
}

fn failed_read(error: io::Error) -> ReadError {
    ReadError::Unavailable(error.into())
}

impl Inner {
    /// The object's file, if there is one, and its length.
    fn file(&self, key: &ObjectKey) -> Result<Option<(File, u64)>, ReadError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(self.folders.root(), key.as_str(), flags, Mode::empty())
        {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(cannot_read(error)),
        };
        let about = file.metadata().map_err(failed_read)?;
        // A folder of that name is no object.
        Ok(about.is_file().then_some((file, about.len())))
    }

    fn get_ranges(
        &self,
        key: &ObjectKey,
        ranges: &[Range<u64>],
    ) -> Result<Option<Vec<Bytes>>, ReadError> {
        let Some((file, length)) = self.file(key)? else { return Ok(None) };
        let read = |range: &Range<u64>| {
            let end = range.end.min(length);
            let wanted = usize::try_from(end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let mut bytes = vec![0; wanted];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        };
        ranges.iter().map(read).collect::<io::Result<_>>().map(Some).map_err(failed_read)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), WriteError> {
        // Not synced: an object that comes back in a power cut is one that nothing names.
        match rustix::fs::unlinkat(self.folders.root(), key.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR) => Ok(()),
            Err(Errno::IO) => Err(WriteError::Unknown(io::Error::from(Errno::IO).into())),
            Err(error) => Err(not_done(error.into())),
        }
    }
}

/// Room on the file system of `directory`.
fn space(directory: &OwnedFd) -> io::Result<Space> {
    let about = rustix::fs::fstatvfs(directory)?;
    Ok(Space {
        free: about.f_bavail.saturating_mul(about.f_frsize),
        total: about.f_blocks.saturating_mul(about.f_frsize),
    })
}

#[async_trait]
impl Objects for LocalObjects {
    async fn put(&self, key: &ObjectKey, parts: &[Bytes]) -> Result<Put, WriteError> {
        self.counters.call(Call::ObjectPut);
        let (key, parts) = (key.clone(), parts.to_vec());
        self.write(move |inner| {
            let mut draft = inner.maker.draft(&inner.folders, &key)?;
            draft.write_all(&parts)?;
            inner.maker.finish(draft)
        })
        .await
    }

    async fn put_streaming(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, WriteError> {
        let key = key.clone();
        let draft = self.write(move |inner| inner.maker.draft(&inner.folders, &key)).await?;
        self.counters.call(Call::ObjectPut);
        let (inner, writes) = (self.inner.clone(), self.writes.clone());
        Ok(Box::new(Streaming { inner, writes, draft: Some(draft) }))
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, ReadError> {
        let whole = self.get_ranges(key, std::slice::from_ref(&(0..u64::MAX))).await?;
        Ok(whole.and_then(|ranges| ranges.into_iter().next()))
    }

    async fn get_ranges(
        &self,
        key: &ObjectKey,
        ranges: &[Range<u64>],
    ) -> Result<Option<Vec<Bytes>>, ReadError> {
        self.counters.call(Call::ObjectGet);
        let (key, ranges) = (key.clone(), ranges.to_vec());
        self.read(move |inner| inner.get_ranges(&key, &ranges)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, ReadError> {
        self.counters.call(Call::ObjectList);
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.read(move |inner| list::list(&inner.folders, &prefix, after.as_ref(), limit)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), WriteError> {
        self.counters.call(Call::ObjectDelete);
        let key = key.clone();
        self.write(move |inner| inner.delete(&key)).await
    }

    fn puts_in_flight(&self) -> usize {
        // One: what waits for it becomes the next, larger segment (36 messages a put at 100
        // senders where eight in flight gave 7).
        1
    }

    async fn space(&self) -> Result<Option<Space>, ReadError> {
        self.read(|inner| {
            let Space { free, total } = space(inner.folders.root()).map_err(failed_read)?;
            let free = free.saturating_sub(inner.ballast.given_up_bytes());
            Ok(Some(Space { free, total }))
        })
        .await
    }

    async fn release_ballast(&self, released: bool) -> Result<(), WriteError> {
        self.write(move |inner| {
            let done = if released { inner.ballast.release() } else { inner.ballast.make() };
            done.map_err(not_done)
        })
        .await
    }

    fn is_closed(&self) -> bool {
        self.inner.folders.poisoned()
    }
}

/// An object being streamed to its file.
struct Streaming {
    inner: Arc<Inner>,
    writes: Arc<Semaphore>,
    /// Gone after an error: what is not known to be whole is never finished.
    draft: Option<Draft>,
}

/// A write of this object failed before.
#[derive(Debug, thiserror::Error)]
#[error("an earlier piece of this object could not be written")]
struct Broken;

#[async_trait]
impl ObjectWriter for Streaming {
    async fn write(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        let Some(mut draft) = self.draft.take() else {
            return Err(WriteError::Refused(Broken.into()));
        };
        let written =
            blocking(&self.writes, move || draft.write_all(&[bytes]).map(|()| draft)).await;
        // Whatever went wrong, the object has no name yet: certainly not stored.
        let written = written.unwrap_or_else(|lost| Err(WriteError::Unavailable(lost.into())));
        self.draft = Some(written?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Put, WriteError> {
        let Some(draft) = self.draft.take() else {
            return Err(WriteError::Refused(Broken.into()));
        };
        let inner = self.inner.clone();
        blocking(&self.writes, move || inner.maker.finish(draft))
            .await
            .unwrap_or_else(|lost| Err(WriteError::Unknown(lost.into())))
    }
}
