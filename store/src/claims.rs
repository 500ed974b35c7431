//! Claim rows: who delivers a segment, and what it becomes [D, E, H].

mod pages;

use std::sync::Arc;

use engine::{Consistency, Expect, Op, Order, Range, ReadError, Row, Version, WriteError};
use mail::WriterId;

use crate::context::{Context, damaged, too_large};
use crate::rows::{self, Claim, RowValue};

pub use pages::FAN_PAGES_MAX;

/// The claims of this store.
pub struct Claims {
    cx: Arc<Context>,
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

impl Claims {
    pub(crate) const fn new(cx: Arc<Context>) -> Self {
        Self { cx }
    }

    /// The claim of a segment, read strongly.
    /// # Errors
    /// [`ReadError`].
    pub async fn get(
        &self,
        writer: WriterId,
        number: u64,
    ) -> Result<Option<(Claim, Version)>, ReadError> {
        let key = rows::claim_key(writer, number);
        let row = self.cx.engines.index.get(&key, Consistency::Strong).await?;
        row.map(|row| Ok((Claim::decode(&row.value).map_err(damaged)?, row.version))).transpose()
    }

    /// The claims of a writer's segments from number `from` on, at most `limit`.
    /// # Errors
    /// [`ReadError`].
    pub async fn of_writer(
        &self,
        writer: WriterId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Claim, Version)>, ReadError> {
        let range = Range {
            partition: rows::claims_partition(writer).into(),
            from: Some(from.to_be_bytes().to_vec().into()),
            to: None,
            order: Order::Forward,
            limit,
            consistency: Consistency::Strong,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found
            .into_iter()
            .map(|(sort, row)| {
                let number = u64::from_be_bytes(<[u8; 8]>::try_from(&sort[..]).map_err(damaged)?);
                Ok((number, Claim::decode(&row.value).map_err(damaged)?, row.version))
            })
            .collect()
    }

    /// The operation that puts a claim over `before` (`None`: where there is none). Its version,
    /// the fence, is one up.
    /// # Errors
    /// [`WriteError::Refused`]: the plan does not fit a row.
    pub fn put_op(
        &self,
        writer: WriterId,
        number: u64,
        claim: &Claim,
        before: Option<Version>,
    ) -> Result<Op, WriteError> {
        let row = Row {
            value: claim.encode().map_err(too_large)?,
            version: Version(before.map_or(1, |version| version.0 + 1)),
            nonce: self.cx.nonce(),
            expiry: None,
        };
        let expect = before.map_or(Expect::Absent, Expect::Version);
        Ok(Op::Put { key: rows::claim_key(writer, number), row, expect })
    }

    /// Puts a claim, see [`Self::put_op`]; returns its version.
    /// # Errors
    /// [`WriteError`]; unknown is not success: read the claim again.
    pub async fn put(
        &self,
        writer: WriterId,
        number: u64,
        claim: &Claim,
        before: Option<Version>,
    ) -> Result<Version, WriteError> {
        let Op::Put { key, row, expect } = self.put_op(writer, number, claim, before)? else {
            return Err(WriteError::Refused("not a put".into()));
        };
        let version = row.version;
        self.cx.engines.index.put_if(&key, row, expect).await.map(|()| version)
    }

    /// Removes a claim that still has `version`: one taken too late, or one whose segment is gone.
    /// Never unconditional: somebody's finished claim may be there (3 of 20,000 seeds lost mail
    /// so).
    /// # Errors
    /// [`WriteError`].
    pub async fn remove(
        &self,
        writer: WriterId,
        number: u64,
        version: Version,
    ) -> Result<(), WriteError> {
        let key = rows::claim_key(writer, number);
        self.cx.engines.index.delete_if(&key, Expect::Version(version)).await
    }
}
