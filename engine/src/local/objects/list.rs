//! Listing: the folders walked in the order of the keys.

use std::io;
use std::os::unix::fs::DirEntryExt;

use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;

use super::folder::{Folder, Folders};
use crate::{Listed, ObjectKey, ReadError};

/// At most `limit` objects under `prefix` after `after`, in the order of their keys, each durable
/// when this returns. Reads every folder that may hold some to its end, and sorts what is needed.
pub(super) fn list(
    folders: &Folders,
    prefix: &str,
    after: Option<&ObjectKey>,
    limit: usize,
) -> Result<Vec<Listed>, ReadError> {
    let after = after.map_or("", ObjectKey::as_str);
    let mut walk = Walk { folders, limit, listed: Vec::new() };
    // The deepest folder that holds everything with this prefix.
    let (top, prefix) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    if limit == 0 || !(top.is_empty() || ObjectKey::new(top).is_some()) {
        return Ok(Vec::new());
    }
    let below = if top.is_empty() { String::new() } else { format!("{top}/") };
    match after.strip_prefix(&below) {
        Some(after) => walk.folder(top, prefix, after)?,
        // All of it sorts before, or all after, that key.
        None if after > below.as_str() => {}
        None => walk.folder(top, prefix, "")?,
    }
    Ok(walk.listed)
}

/// Something in a folder: a folder's name has a slash at its end, so that names sort as the keys
/// that begin with them.
struct Entry {
    name: String,
    inode: u64,
}

struct Walk<'a> {
    folders: &'a Folders,
    limit: usize,
    listed: Vec<Listed>,
}

impl Walk<'_> {
    /// Lists what in the folder at `path` begins with `prefix` and sorts after `after`, both
    /// taken from the folder on. Keys are at most 512 bytes, so folders are 256 deep at most.
    fn folder(&mut self, path: &str, prefix: &str, after: &str) -> Result<(), ReadError> {
        let Some(folder) = self.folders.enter(path, false).map_err(failed)? else { return Ok(()) };
        let mut rest = self.entries(path, prefix, after).map_err(failed)?;
        let mut synced = false;
        while !rest.is_empty() && self.listed.len() < self.limit {
            // Only as many as may be wanted are sorted; more only if some of them were empty.
            let wanted = self.limit - self.listed.len();
            let mut some = std::mem::take(&mut rest);
            if some.len() > wanted {
                some.select_nth_unstable_by(wanted, |a, b| a.name.cmp(&b.name));
                rest = some.split_off(wanted);
            }
            some.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            for entry in some {
                if self.listed.len() < self.limit {
                    self.entry(path, &folder, &entry, after, &mut synced)?;
                }
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: &str,
        folder: &Folder,
        entry: &Entry,
        after: &str,
        synced: &mut bool,
    ) -> Result<(), ReadError> {
        if let Some(name) = entry.name.strip_suffix('/') {
            return self.folder(
                &join(path, name),
                "",
                after.strip_prefix(&entry.name).unwrap_or(""),
            );
        }
        let Some(key) = ObjectKey::new(join(path, &entry.name)) else { return Ok(()) };
        durable(folder, entry, synced)?;
        match statat(folder.fd(), &entry.name, AtFlags::empty()) {
            Ok(about) => {
                let size = u64::try_from(about.st_size).unwrap_or(0);
                self.listed.push(Listed { key, size });
                Ok(())
            }
            // Deleted since the folder was read.
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// What of a folder may be wanted, in no order.
    fn entries(&self, path: &str, prefix: &str, after: &str) -> io::Result<Vec<Entry>> {
        let directory = match std::fs::read_dir(self.folders.path().join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            directory => directory?,
        };
        let mut entries = Vec::new();
        for entry in directory {
            let entry = entry?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if !name.starts_with(prefix) {
                continue;
            }
            let folder = entry.file_type()?.is_dir();
            if folder {
                name.push('/');
            }
            // A folder that begins as the key does may hold some after it.
            if name.as_str() > after || (folder && after.starts_with(&name)) {
                entries.push(Entry { name, inode: entry.ino() });
            }
        }
        Ok(entries)
    }
}

/// Makes a name durable that has not been returned before [t]: one sync covers all of a folder,
/// for it begins after the folder was read.
fn durable(folder: &Folder, entry: &Entry, synced: &mut bool) -> Result<(), ReadError> {
    if !folder.knows(&entry.name, entry.inode) {
        if !*synced {
            folder.sync().map_err(|poisoned| ReadError::Unavailable(poisoned.into()))?;
            *synced = true;
        }
        folder.know(&entry.name, entry.inode);
    }
    Ok(())
}

fn failed(error: io::Error) -> ReadError {
    ReadError::Unavailable(error.into())
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}
