//! Listing: the folders walked in the order of the keys.

use std::io;
use std::os::unix::fs::DirEntryExt;

use super::folder::{Folder, Folders};
use crate::{Listed, ObjectKey, ReadError};

/// What a folder holds, as far as a listing is interested.
struct Entry {
    name: String,
    folder: bool,
    inode: u64,
}

/// At most `limit` objects under `prefix` after `after`, in the order of their keys, each durable
/// when this returns.
pub(super) fn list(
    folders: &Folders,
    prefix: &str,
    after: Option<&ObjectKey>,
    limit: usize,
) -> Result<Vec<Listed>, ReadError> {
    let after = after.map_or("", ObjectKey::as_str);
    let mut walk = Walk { folders, prefix, after, limit, listed: Vec::new() };
    // The deepest folder that holds everything with this prefix.
    let top = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    if limit > 0 && (top.is_empty() || ObjectKey::new(top).is_some()) {
        walk.folder(top)?;
    }
    Ok(walk.listed)
}

struct Walk<'a> {
    folders: &'a Folders,
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    listed: Vec<Listed>,
}

impl Walk<'_> {
    /// Lists one folder and those in it. Keys are at most 512 bytes, so this is 256 deep at most.
    fn folder(&mut self, path: &str) -> Result<(), ReadError> {
        let failed = |error: io::Error| ReadError::Unavailable(error.into());
        let Some(folder) = self.folders.enter(path, false).map_err(failed)? else { return Ok(()) };
        let entries = self.entries(path).map_err(failed)?;
        let mut synced = false;
        for entry in entries {
            if self.listed.len() >= self.limit {
                break;
            }
            let key = join(path, &entry.name);
            if entry.folder {
                self.folder(&key)?;
                continue;
            }
            let Some(key) = ObjectKey::new(key) else { continue };
            durable(&folder, &entry, &mut synced)?;
            match rustix::fs::statat(folder.fd(), &entry.name, rustix::fs::AtFlags::empty()) {
                Ok(about) => {
                    let size = u64::try_from(about.st_size).unwrap_or(0);
                    self.listed.push(Listed { key, size });
                }
                // Deleted since the folder was read.
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
        Ok(())
    }

    /// The interesting entries of a folder, in the order of the keys below them.
    fn entries(&self, path: &str) -> io::Result<Vec<Entry>> {
        let directory = match std::fs::read_dir(self.folders.path().join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            directory => directory?,
        };
        let mut entries = Vec::new();
        for entry in directory {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let folder = entry.file_type()?.is_dir();
            if self.wanted(&join(path, &name), folder) {
                entries.push(Entry { name, folder, inode: entry.ino() });
            }
        }
        // All keys in a folder begin with its name and a slash.
        entries.sort_by(|a, b| sort_key(a).cmp(sort_key(b)));
        Ok(entries)
    }

    fn wanted(&self, key: &str, folder: bool) -> bool {
        if folder {
            let below = format!("{key}/");
            let prefixed = below.starts_with(self.prefix) || self.prefix.starts_with(&below);
            return prefixed && (self.after < below.as_str() || self.after.starts_with(&below));
        }
        key.starts_with(self.prefix) && key > self.after
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

fn sort_key(entry: &Entry) -> impl Iterator<Item = u8> + use<'_> {
    entry.name.bytes().chain(entry.folder.then_some(b'/'))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}
