//! Public mail to test with, fetched by `cargo xtask test` into `.corpus/`.

use std::path::{Path, PathBuf};

/// Whether it has been fetched here.
#[must_use]
pub fn is_there() -> bool {
    root().join(".corpus/package/data/spam-2").is_dir()
}

/// Every message of the SpamAssassin corpus in a fixed order: mbox "From " lines taken off, line
/// ends made CRLF, as an SMTP client would send it.
#[must_use]
pub fn spamassassin() -> Vec<Vec<u8>> {
    let data = root().join(".corpus/package/data");
    let mut paths: Vec<PathBuf> = ["easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"]
        .iter()
        .flat_map(|part| std::fs::read_dir(data.join(part)).into_iter().flatten())
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 6_046, "the corpus is not there: cargo xtask test fetches it");
    paths.iter().filter_map(|path| std::fs::read(path).ok()).map(|raw| as_sent(&raw)).collect()
}

fn as_sent(raw: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = raw.split(|&byte| byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    if lines.first().is_some_and(|line| line.starts_with(b"From ")) {
        lines.remove(0);
    }
    let mut out = Vec::with_capacity(raw.len() + lines.len());
    for line in lines {
        // A bare CR is no text that SMTP carries.
        out.extend(line.iter().filter(|&&byte| byte != b'\r' && byte != 0));
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
