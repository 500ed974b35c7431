//! Relaxed canonicalisation (RFC 6376 §3.4.2, §3.4.4).

use aws_lc_rs::digest::{Context, SHA256};

use crate::header::split;

/// Bytes that are hashed at once.
const BATCH_BYTES: usize = 4 * 1024;

/// A header field as it is hashed, with CRLF.
pub(crate) fn relaxed_field(raw: &[u8]) -> Vec<u8> {
    let (name, value) = split(raw);
    let mut out = name.to_ascii_lowercase();
    out.push(b':');
    let start = out.len();
    for &byte in value {
        match byte {
            b'\r' | b'\n' => {}
            b' ' | b'\t' => {
                if out.len() > start && out.last() != Some(&b' ') {
                    out.push(b' ');
                }
            }
            other => out.push(other),
        }
    }
    if out.len() > start && out.last() == Some(&b' ') {
        out.pop();
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Hashes a body as it streams by. Holds 4 KiB.
pub struct BodyHasher {
    digest: Context,
    batch: Vec<u8>,
    /// Line ends that count only if something follows.
    lines: u64,
    space: bool,
    cr: bool,
    some: bool,
}

impl std::fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyHasher").finish_non_exhaustive()
    }
}

impl Default for BodyHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl BodyHasher {
    /// A hasher at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        let digest = Context::new(&SHA256);
        let batch = Vec::with_capacity(BATCH_BYTES);
        Self { digest, batch, lines: 0, space: false, cr: false, some: false }
    }

    /// Takes the next bytes of the body.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if std::mem::take(&mut self.cr) {
                if byte == b'\n' {
                    self.lines += 1;
                    self.space = false;
                    continue;
                }
                self.put(b'\r');
            }
            match byte {
                b'\r' => self.cr = true,
                b' ' | b'\t' => self.space = true,
                other => self.put(other),
            }
        }
    }

    fn put(&mut self, byte: u8) {
        while self.lines > 0 {
            self.lines -= 1;
            self.out(b"\r\n");
        }
        if std::mem::take(&mut self.space) {
            self.out(b" ");
        }
        self.some = true;
        self.out(&[byte]);
    }

    fn out(&mut self, bytes: &[u8]) {
        if self.batch.len() + bytes.len() > BATCH_BYTES {
            self.digest.update(&self.batch);
            self.batch.clear();
        }
        self.batch.extend_from_slice(bytes);
    }

    /// The hash of the whole body.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        if std::mem::take(&mut self.cr) {
            self.put(b'\r');
        }
        if self.some {
            self.out(b"\r\n");
        }
        self.digest.update(&self.batch);
        let mut hash = [0; 32];
        hash.copy_from_slice(self.digest.finish().as_ref());
        hash
    }
}
