//! MTA-STS policies of other domains, kept over the processes that fetched them (RFC 8461 §5.1).

use std::sync::Arc;
use std::time::Duration;

use engine::{Consistency, Expect, ReadError, Row, Version, WriteError};
use mail::Domain;

use crate::context::{Context, damaged, too_large};
use crate::rows::{self, RowValue, StsPolicyRow};

/// MTA-STS policies of this store.
pub struct Policies {
    cx: Arc<Context>,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").finish_non_exhaustive()
    }
}

impl Policies {
    pub(crate) const fn new(cx: Arc<Context>) -> Self {
        Self { cx }
    }

    /// The MTA-STS policy of another domain, as any process of the region fetched it, and how long
    /// it still holds.
    /// # Errors
    /// [`ReadError`]: nothing is known of it.
    pub async fn recall(
        &self,
        domain: &Domain,
    ) -> Result<Option<(StsPolicyRow, Duration)>, ReadError> {
        let key = rows::sts_policy_key(domain);
        let Some(row) = self.cx.engines.index.get(&key, Consistency::Strong).await? else {
            return Ok(None);
        };
        let row = StsPolicyRow::decode(&row.value).map_err(damaged)?;
        let left = row.until.since(self.cx.engines.index.now());
        Ok((!left.is_zero()).then_some((row, left)))
    }

    /// Keeps the MTA-STS policy of another domain for as long as it holds.
    /// # Errors
    /// [`WriteError`]: it is fetched again after a restart; also one that no row can hold.
    pub async fn remember(
        &self,
        domain: &Domain,
        id: &str,
        text: &str,
        left: Duration,
    ) -> Result<(), WriteError> {
        let until = self.cx.engines.index.now().after(left);
        let policy = StsPolicyRow { id: id.to_owned(), text: text.to_owned(), until };
        let row = Row {
            value: policy.encode().map_err(too_large)?,
            version: Version(1),
            nonce: self.cx.nonce(),
            expiry: Some(until),
        };
        self.cx.engines.index.put_if(&rows::sts_policy_key(domain), row, Expect::Any).await
    }
}
