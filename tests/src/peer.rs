//! Mail servers of others, as Debian ships them: what they send we take, what we send they take.

mod exim;
mod postfix;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use crate::wait;
use crate::zones::{free_port, open_to_all};

pub use exim::Exim;
pub use postfix::Postfix;

/// Where a peer listens, what it takes, and where everything else goes.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Its domain: it keeps what comes for any user of it; Postfix knows none that begins with
    /// `no-such`.
    pub domain: &'a str,
    /// Where it listens; `None` takes a free port of 127.0.0.1.
    pub at: Option<SocketAddr>,
    /// Where mail for all other domains goes: to this address, over STARTTLS or not at all.
    pub next: Option<SocketAddr>,
    /// Its certificate.
    pub certificate: &'a crate::certificate::Certificate,
}

/// One that runs in a folder of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Peer {
    name: &'static str,
    child: Child,
    // Goes after the process.
    dir: TempDir,
    address: SocketAddr,
    /// Its Maildir, and what it writes of itself, in its folder.
    maildir: &'static str,
    logs: &'static [&'static str],
}

/// Where one is to run, before it does.
struct Place {
    name: &'static str,
    dir: TempDir,
    address: SocketAddr,
}

impl Place {
    /// A folder with these in it, which others may enter, and an address.
    fn new(name: &'static str, setup: &Setup<'_>, folders: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir().unwrap();
        open_to_all(dir.path());
        for folder in folders {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        Self { name, dir, address: setup.at.unwrap_or_else(free_port) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Gives these to a user.
    fn give(&self, owner: &str, paths: &[&str]) {
        let mut chown = Command::new("chown");
        let status = chown.arg(owner).args(paths).current_dir(self.dir.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot give {paths:?} to {owner}");
    }

    /// Starts it, and waits until it listens.
    fn start(
        self,
        command: &mut Command,
        maildir: &'static str,
        logs: &'static [&'static str],
    ) -> Peer {
        let stderr = std::fs::File::create(self.path("stderr")).unwrap();
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let Self { name, dir, address } = self;
        let mut peer = Peer { name, child: command.spawn().unwrap(), dir, address, maildir, logs };
        wait::until(&format!("{name} to listen"), || {
            let ended: Option<ExitStatus> = peer.child.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended: {ended:?}\n{}", peer.said("stderr"));
            TcpStream::connect(address).ok()
        });
        peer
    }
}

impl Peer {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has delivered, with CRLF line ends.
    #[must_use]
    pub fn mail(&self) -> Vec<Vec<u8>> {
        maildir(&self.dir.path().join(self.maildir))
    }

    /// The files that it has delivered, one a recipient.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.dir.path().join(self.maildir).join("new"));
        folder.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    /// Waits until it has delivered so many messages.
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Vec<u8>> {
        wait::until(&format!("{count} messages at {}; it says:\n{}", self.name, self.log()), || {
            Some(self.mail()).filter(|all| all.len() >= count)
        })
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        self.logs.iter().map(|name| self.said(name)).collect()
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&self.log());
        }
        crate::zones::stop(&mut self.child);
    }
}

/// The messages of a Maildir, with CRLF line ends, in the order of their arrival.
fn maildir(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder.join("new")) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    files.iter().filter_map(|(_, path)| std::fs::read(path).ok()).map(|text| crlf(&text)).collect()
}

/// Unix line ends to those of mail.
fn crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 128);
    for &byte in text {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

/// What a peer said, for whoever reads why a test failed.
#[expect(clippy::print_stdout, reason = "cargo shows it where the test failed")]
fn tell(log: &str) {
    println!("the peer said:\n{log}");
}
