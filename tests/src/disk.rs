//! A small ext4 of its own on a loop device: it can lose its power and run full. Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system; unmounted on drop.
#[derive(Debug)]
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// Makes and mounts one of this many MiB, none of them kept back for root.
    ///
    /// # Panics
    /// Without root, or if the system refuses.
    #[must_use]
    pub fn new(mebibytes: u32) -> Self {
        let root = Path::new("/proc/self").exists() && rustix::process::geteuid().is_root();
        assert!(root, "this test mounts a file system: run it as root");
        let disk = Self { dir: tempfile::Builder::new().prefix("disk-").tempdir().unwrap() };
        std::fs::create_dir(disk.mount_point()).unwrap();
        run(Command::new("truncate").args(["-s", &format!("{mebibytes}M")]).arg(disk.image()));
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(disk.image()));
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// Where an office on it keeps its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.mount_point().join("data")
    }

    /// Mounts it.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.mount_point()));
    }

    /// Unmounts it.
    ///
    /// # Panics
    /// If somebody still uses it.
    pub fn unmount(&self) {
        run(Command::new("umount").arg(self.mount_point()));
    }

    /// Everything that was not synced is gone: the file system stops without flushing its journal.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn cut(&self) {
        let script = "import fcntl,os,struct,sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        run(Command::new("python3").args(["-c", script]).arg(self.mount_point()));
    }

    /// Bytes free, and bytes in all.
    ///
    /// # Panics
    /// If it is not mounted.
    #[must_use]
    pub fn space(&self) -> (u64, u64) {
        let about = rustix::fs::statvfs(self.mount_point()).unwrap();
        (about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize)
    }

    fn filler(&self) -> PathBuf {
        self.mount_point().join("filler")
    }

    /// Somebody else's file grows until only so many bytes are free; 0 is really none.
    ///
    /// # Panics
    /// If that does not come about.
    pub fn fill(&self, leave: u64) {
        use std::io::Write as _;
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        let block = vec![0x55; 1 << 20];
        let mut size = block.len() as u64;
        loop {
            // What the file system keeps back for itself can still be written: up to its refusal.
            let wanted = self.space().0.saturating_sub(leave).max(u64::from(leave == 0));
            let chunk = usize::try_from(wanted.min(size)).unwrap_or_default();
            let written = file.write_all(&block[..chunk]).and_then(|()| match chunk {
                0 => Ok(()),
                _ => file.sync_all(),
            });
            match (written, size) {
                (Ok(()), _) if chunk == 0 => break,
                (Ok(()), _) => {}
                (Err(_), 1) => break,
                (Err(_), _) => size = (size / 16).max(1),
            }
        }
        assert!(self.space().0 <= leave + (1 << 20), "{:?} free", self.space());
    }

    /// That file is gone.
    ///
    /// # Panics
    /// If it was not there.
    pub fn clear(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.mount_point()).status().ok();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
