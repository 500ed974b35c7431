//! Small file operations that are durable when they return, and what the system's errors mean.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::io::Errno;

use crate::WriteError;

/// Makes a directory (and those above it), readable by its owner only, with a durable name.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(parent)?;
            return make_directory(path);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error),
    }
    // Also where it was there: whoever made it may not have come to this.
    match File::open(parent) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        parent => parent?.sync_all(),
    }
}

/// Puts a small file under a name, whole or not at all, durable.
pub(super) fn replace_file(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    // The process's number keeps two starting processes apart; both write the same.
    let temporary = directory.join(format!("{name}.{}", std::process::id()));
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// Whether this says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

/// What an error means that came before the operation could have taken effect.
pub(super) fn not_done(error: io::Error) -> WriteError {
    if is_full(&error) {
        return WriteError::Full(error.into());
    }
    match Errno::from_io_error(&error) {
        Some(
            Errno::ACCESS
            | Errno::PERM
            | Errno::ROFS
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::NAMETOOLONG
            | Errno::FBIG,
        ) => WriteError::Refused(error.into()),
        _ => WriteError::Unavailable(error.into()),
    }
}
