//! Object storage: whole, immutable objects under keys.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use aws_lc_rs::digest;
use bytes::Bytes;

use crate::{ReadError, WriteError};

/// Longest part of an object's name between slashes: it is a file's name in the embedded engine.
const SEGMENT_BYTES_MAX: usize = 200;

/// Name of an object: 1 to 512 bytes of `[a-z0-9./_-]`; no empty, `.` or `..` segment between
/// slashes, none over 200 bytes. Keys sort by their bytes. An engine may refuse to keep an object
/// `a` beside an object `a/b`: no key is the folder of another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Checks a name; `None` if it is not one.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let ok = (1..=512).contains(&name.len())
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'/' | b'_' | b'-'))
            && name.split('/').all(|part| {
                (1..=SEGMENT_BYTES_MAX).contains(&part.len()) && part != "." && part != ".."
            });
        ok.then_some(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of an object's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(pub [u8; 32]);

impl Checksum {
    /// The checksum of these parts, one after the other: what [`Put::Exists`] is compared with.
    #[must_use]
    pub fn of(parts: &[Bytes]) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        parts.iter().for_each(|part| digest.update(part));
        Self::finish(digest)
    }

    /// The checksum of all that `digest` was given; it must be a SHA-256.
    pub(crate) fn finish(digest: digest::Context) -> Self {
        let mut bytes = [0; 32];
        let finished = digest.finish();
        bytes.iter_mut().zip(finished.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }
}

/// How a put that got an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is durable under its key, written by this call.
    Stored,
    /// Something durable was already under the key, with this checksum. Ours if the checksum says
    /// so (an earlier try that landed), somebody else's otherwise [L].
    Exists(Checksum),
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
}

/// Room left in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written, but for the ballast's share.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Object storage of one region.
///
/// Promises, each a test of the conformance suite:
/// 1. After `Ok(Put::Stored)` the object survives any crash and power cut, whole, with its name.
/// 2. A put never changes an existing object: the second of two puts of a key gets
///    [`Put::Exists`] with the checksum of what is there, and that is durable too.
/// 3. A reader sees a whole object or none, never a part.
/// 4. `Unknown` is answered where the outcome is not certain; a repeated put under the same key
///    settles it. `Unavailable`, `Full` and `Refused` mean certainly not stored.
/// 5. After a put was answered every `get`, `list` and range read sees it (strong).
/// 6. `list` returns keys in byte order, strictly after `after`, at most `limit`, each durable
///    before it is returned for the first time [t].
/// 7. Deleting is idempotent; deleting what is not there succeeds. There is no conditional delete.
/// 8. A range read returns exactly the bytes asked for, clipped at the end of the object.
/// 9. A streamed put becomes visible only by `finish`, whole; dropped before, it leaves nothing
///    that is listed, and what it leaves on the medium is cleaned after its process is gone [u].
#[async_trait]
pub trait Objects: Send + Sync {
    /// Puts a whole object, only if its key is free. The parts are written one after the other.
    /// # Errors
    /// Never [`WriteError::Conflict`]: an occupied key is [`Put::Exists`].
    async fn put(&self, key: &ObjectKey, parts: &[Bytes]) -> Result<Put, WriteError>;

    /// Starts an object that is too large to be held in memory.
    /// # Errors
    /// As [`Self::put`].
    async fn put_streaming(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, WriteError>;

    /// The whole object, `None` if there is none.
    /// # Errors
    /// [`ReadError`].
    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, ReadError>;

    /// Several ranges of one object in one request where the engine can; `None` if there is no
    /// such object. A range that starts beyond the end gives empty bytes.
    /// # Errors
    /// [`ReadError`].
    async fn get_ranges(
        &self,
        key: &ObjectKey,
        ranges: &[Range<u64>],
    ) -> Result<Option<Vec<Bytes>>, ReadError>;

    /// At most `limit` objects whose key starts with `prefix` and sorts after `after`, in order.
    /// # Errors
    /// [`ReadError`].
    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, ReadError>;

    /// Deletes an object; nothing there is success.
    /// # Errors
    /// Never [`WriteError::Conflict`].
    async fn delete(&self, key: &ObjectKey) -> Result<(), WriteError>;

    /// How many puts of ingest segments are best in flight at once (1 to 8): one on a local
    /// directory, where batches pay, four on S3.
    fn puts_in_flight(&self) -> usize;

    /// Room left for mail, `None` where it has no bound. The ballast's share is never part of it,
    /// also while it is given up: else accepting would take the room that was made for deleting [α].
    /// # Errors
    /// [`ReadError`].
    async fn space(&self) -> Result<Option<Space>, ReadError>;

    /// Gives up (`true`) or makes again (`false`) the ballast that lets a full disk delete [α];
    /// nothing on engines without a bound.
    /// # Errors
    /// As [`Self::put`].
    async fn release_ballast(&self, released: bool) -> Result<(), WriteError>;

    /// Whether the engine has closed itself, because of a failed sync or damage: nothing that it
    /// would say can be believed until it is opened again, so the process has to end (H3).
    fn is_closed(&self) -> bool {
        false
    }
}

/// An object being written in pieces.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Adds bytes at the end.
    /// # Errors
    /// After an error the object can only be dropped.
    async fn write(&mut self, bytes: Bytes) -> Result<(), WriteError>;

    /// Makes the whole durable under its key, only if that is free.
    /// # Errors
    /// As [`Objects::put`].
    async fn finish(self: Box<Self>) -> Result<Put, WriteError>;
}
