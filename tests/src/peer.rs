//! Mail servers of others, as Debian ships them: what they send we take, what we send they take.

mod exim;
mod postfix;

use std::path::Path;

pub use exim::Exim;
pub use postfix::Postfix;

/// Where a peer listens, what it takes, and where everything else goes.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Its domain: it keeps what comes for any user of it; Postfix knows none that begins with
    /// `no-such`.
    pub domain: &'a str,
    /// Where it listens; `None` takes a free port of 127.0.0.1.
    pub at: Option<std::net::SocketAddr>,
    /// Where mail for all other domains goes: to this address, over STARTTLS or not at all.
    pub next: Option<std::net::SocketAddr>,
    /// Its certificate.
    pub certificate: &'a crate::certificate::Certificate,
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
