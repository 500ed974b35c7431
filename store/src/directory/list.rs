//! Listing: domains, and the addresses of a domain, paged over hashed partitions.

use engine::{Consistency, Order, Range};
use mail::{AccountId, Address, Domain};

use super::{Directory, DirectoryError};
use crate::context::damaged;
use crate::rows::{self, DomainRow, MEMBER_SHARDS, MemberRow, RowValue};

/// Domains read at once.
const DOMAINS_PAGE: usize = 256;

/// Where a listing goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListCursor {
    shard: u8,
    after: Option<Vec<u8>>,
}

impl Directory {
    /// Domains of ours, in the order of their names, after `after`; at most 256 rows are looked
    /// at. The second value is where to go on.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn domains(
        &self,
        after: Option<&Domain>,
    ) -> Result<(Vec<(Domain, DomainRow)>, Option<Domain>), DirectoryError> {
        let range = Range {
            partition: rows::domains_partition().into(),
            from: after.map(|d| d.as_str().bytes().chain([0]).collect()),
            to: None,
            order: Order::Forward,
            limit: DOMAINS_PAGE,
            consistency: Consistency::Strong,
        };
        let found = self.cx.engines.index.range(&range).await?;
        let full = found.len() >= DOMAINS_PAGE;
        let mut domains = Vec::new();
        for (sort, row) in found {
            let name = std::str::from_utf8(&sort).map_err(damaged)?;
            let domain = Domain::parse(name).map_err(damaged)?;
            domains.push((domain, DomainRow::decode(&row.value).map_err(damaged)?));
        }
        let next = domains.last().map(|(domain, _)| domain.clone()).filter(|_| full);
        domains.retain(|(_, row)| !row.tombstone);
        Ok((domains, next))
    }

    /// Addresses of a domain in no particular order: the account of each, if it is one's. At most
    /// `limit` (1 to 1,000) rows are looked at; the second value is where to go on.
    /// # Errors
    /// [`DirectoryError`].
    pub async fn list(
        &self,
        domain: &Domain,
        cursor: ListCursor,
        limit: usize,
    ) -> Result<(Vec<(Address, Option<AccountId>)>, Option<ListCursor>), DirectoryError> {
        self.list_shards(limit, cursor, |shard| rows::listing_partition(domain, shard)).await
    }

    /// Members of a group, as [`Self::list`].
    /// # Errors
    /// [`DirectoryError`].
    pub async fn members(
        &self,
        group: AccountId,
        cursor: ListCursor,
        limit: usize,
    ) -> Result<(Vec<(Address, Option<AccountId>)>, Option<ListCursor>), DirectoryError> {
        self.list_shards(limit, cursor, |shard| rows::group_members_partition(group, shard)).await
    }

    async fn list_shards(
        &self,
        limit: usize,
        mut cursor: ListCursor,
        partition: impl Fn(u8) -> Vec<u8> + Send,
    ) -> Result<(Vec<(Address, Option<AccountId>)>, Option<ListCursor>), DirectoryError> {
        let limit = limit.clamp(1, 1_000);
        let (mut all, mut looked) = (Vec::new(), 0);
        while looked < limit {
            let range = Range {
                partition: partition(cursor.shard).into(),
                from: cursor.after.as_ref().map(|a| a.iter().copied().chain([0]).collect()),
                to: None,
                order: Order::Forward,
                limit: limit - looked,
                consistency: Consistency::Eventual,
            };
            let found = self.cx.engines.index.range(&range).await?;
            let exhausted = found.len() < limit - looked;
            looked += found.len();
            for (sort, row) in found {
                cursor.after = Some(sort.to_vec());
                let text = std::str::from_utf8(&sort).map_err(damaged)?;
                if let MemberRow::Present(account) =
                    MemberRow::decode(&row.value).map_err(damaged)?
                {
                    all.push((Address::parse(text).map_err(damaged)?, account));
                }
            }
            if exhausted {
                if u16::from(cursor.shard) + 1 >= MEMBER_SHARDS {
                    return Ok((all, None));
                }
                cursor = ListCursor { shard: cursor.shard + 1, after: None };
            }
        }
        Ok((all, Some(cursor)))
    }
}
