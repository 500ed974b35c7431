//! The index: small rows under two-part keys, written one at a time, conditionally.

use async_trait::async_trait;
use bytes::Bytes;
use mail::Timestamp;

use crate::{ReadError, WriteError};

/// Longest value of a row, in every engine [Q].
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Longest partition plus sort key, in every engine.
pub const KEY_BYTES_MAX: usize = 512;

/// Name of a row. Rows of one partition sort by the bytes of `sort`. Neither part is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key.
    pub partition: Bytes,
    /// Sort key.
    pub sort: Bytes,
}

impl Key {
    /// A key of these two parts.
    pub fn new(partition: impl Into<Bytes>, sort: impl Into<Bytes>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }
}

/// Version of a row, given by whoever writes it. Below 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// Names one write: random, fresh for each write that is not a repetition. Tells our own row from
/// another's [M].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub [u8; 8]);

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// At most [`VALUE_BYTES_MAX`] bytes.
    pub value: Bytes,
    /// Given by the writer.
    pub version: Version,
    /// Given by the writer, fresh for each write.
    pub nonce: Nonce,
    /// From when on the engine may delete the row by itself. Only on rows that nothing waits for [x].
    pub expiry: Option<Timestamp>,
}

/// Condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is no such row.
    Absent,
    /// The row there has this version.
    Version(Version),
    /// Unconditional. A kind of row is always or never written so [w].
    Any,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Sees every write answered before the read began [X].
    Strong,
    /// May be a little old.
    Eventual,
}

/// Direction of a range query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest sort key first.
    Forward,
    /// Largest sort key first.
    Backward,
}

/// A range query within one partition.
#[derive(Clone, Debug)]
pub struct Range {
    /// The partition.
    pub partition: Bytes,
    /// Smallest sort key, inclusive; `None`: from the first.
    pub from: Option<Bytes>,
    /// Largest sort key, *exclusive*; `None`: to the last.
    pub to: Option<Bytes>,
    /// Direction.
    pub order: Order,
    /// Most rows to return.
    pub limit: usize,
    /// Freshness.
    pub consistency: Consistency,
}

/// One operation of a batch.
#[derive(Clone, Debug)]
pub enum Op {
    /// [`Index::put_if`].
    Put {
        /// Where.
        key: Key,
        /// What.
        row: Row,
        /// On which condition.
        expect: Expect,
    },
    /// [`Index::delete_if`].
    Delete {
        /// Where.
        key: Key,
        /// On which condition.
        expect: Expect,
    },
    /// Succeeds if the condition holds; changes nothing. A strong read, not a lock.
    Check {
        /// Where.
        key: Key,
        /// The condition.
        expect: Expect,
    },
}

/// Rows of one region.
///
/// Promises, each a test of the conformance suite:
/// 1. After `Ok` a write survives any crash and power cut.
/// 2. A conditional write takes effect only if its condition held at that instant; of many
///    concurrent ones on one row with the same condition at most one succeeds.
/// 3. A put whose condition fails although the row there has *its* nonce and version is `Ok`: it
///    was our own write [M].
/// 4. `Unknown` wherever the effect is not certain; it may also land later.
/// 5. A strong read sees every write answered before it began.
/// 6. A range query returns rows of one partition in byte order of the sort key, in the direction
///    and within the bounds asked for, at most `limit`.
/// 7. Limits ([`VALUE_BYTES_MAX`], [`KEY_BYTES_MAX`], empty key parts) are `Refused` by all engines
///    alike.
/// 8. A batch is independent operations with an answer each. An ordered batch stops at the first
///    that fails; what came before stays, what comes after is not tried (no answer). Only after
///    `Unknown` what comes after may have been carried out too.
/// 9. A row past its expiry may be gone at any time, but is never gone before.
/// 10. A conditional delete removes only the row of that version; deleting an absent row with
///     `Expect::Any` or `Expect::Absent` is `Ok`, with `Expect::Version` a conflict.
#[async_trait]
pub trait Index: Send + Sync {
    /// The row, if there is one.
    /// # Errors
    /// [`ReadError`].
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Row>, ReadError>;

    /// Writes a row if the condition holds.
    /// # Errors
    /// [`WriteError`].
    async fn put_if(&self, key: &Key, row: Row, expect: Expect) -> Result<(), WriteError>;

    /// Deletes a row if the condition holds.
    /// # Errors
    /// [`WriteError`].
    async fn delete_if(&self, key: &Key, expect: Expect) -> Result<(), WriteError>;

    /// Rows of one partition in order, as (sort key, row).
    /// # Errors
    /// [`ReadError`].
    async fn range(&self, range: &Range) -> Result<Vec<(Bytes, Row)>, ReadError>;

    /// Independent operations; answers in their order. Nothing is said about the order in which
    /// they are carried out: two on one row do not belong into one batch.
    async fn batch(&self, ops: Vec<Op>) -> Vec<Result<(), WriteError>>;

    /// Operations one after the other, each only if the one before succeeded. Not atomic. The
    /// answers end with the first failure.
    async fn ordered(&self, ops: Vec<Op>) -> Vec<Result<(), WriteError>>;

    /// The store's time: of its last answer, carried on by the monotonic clock [h]. Never goes
    /// back within a process.
    fn now(&self) -> Timestamp;

    /// Whether the engine has closed itself, because of a failed sync or damage: nothing that it
    /// would say can be believed until it is opened again, so the process has to end (H3).
    fn is_closed(&self) -> bool {
        false
    }
}
