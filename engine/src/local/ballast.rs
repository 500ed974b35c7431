//! A file of no content whose room can be given up, so that a full disk can delete [α].

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    pub(super) const fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// Makes the file if it is not there; one made by half is removed again.
    pub(super) fn make(&self) -> io::Result<()> {
        if self.bytes == 0 || self.path.exists() {
            return Ok(());
        }
        let opened = File::options().write(true).create_new(true).mode(0o600).open(&self.path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            opened => opened?,
        };
        self.fill(&mut file).inspect_err(|_| drop(std::fs::remove_file(&self.path)))
    }

    fn fill(&self, file: &mut File) -> io::Result<()> {
        match fallocate(&*file, FallocateFlags::empty(), 0, self.bytes) {
            Err(Errno::OPNOTSUPP) => {
                let zeros = vec![0; 64 << 10];
                let mut left = self.bytes;
                while left > 0 {
                    let some = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
                    let chunk = zeros.get(..some).unwrap_or(&zeros);
                    file.write_all(chunk)?;
                    left -= chunk.len() as u64;
                }
            }
            done => done?,
        }
        file.sync_all()
    }

    /// How much of the free room is its own, to be taken back.
    pub(super) fn given_up_bytes(&self) -> u64 {
        if self.path.exists() { 0 } else { self.bytes }
    }

    /// Gives up its room.
    pub(super) fn release(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
