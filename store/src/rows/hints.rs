//! Rows that are economy only: hints of what changed, and budgets.

use bytes::Bytes;
use engine::Key;
use mail::codec::{Malformed, Reader, put_varint};
use mail::{Account, AccountId, Domain, Timestamp, WriterId};

use super::ingest::Lease;
use super::{RowValue, hash, put_list, take_list};

/// Most accounts one hint row names; more go into the next.
pub const HINT_ACCOUNTS_MAX: usize = 4_000;

/// Most bytes of a budget row.
pub const BUDGET_BYTES_MAX: usize = 4 * 1024;

/// How hints name an account.
#[must_use]
pub fn account_hash(account: Account) -> u32 {
    hash(&account.to_bytes())
}

/// Partition of a shard of hints; one shard at first, up to 8.
#[must_use]
pub fn hint_partition(shard: u8) -> Vec<u8> {
    vec![b'h', shard]
}

/// Key of a hint. Written unconditionally, by each writer at most once a millisecond; expires
/// after an hour.
#[must_use]
pub fn hint_key(shard: u8, at: Timestamp, writer: WriterId) -> Key {
    let mut sort = at.0.to_be_bytes().to_vec();
    sort.extend_from_slice(&writer.0);
    Key::new(hint_partition(shard), sort)
}

/// Lower end (inclusive) of the sort keys of hints from `at` on. Readers go back 30 seconds [y].
#[must_use]
pub fn hint_sort_from(at: Timestamp) -> Bytes {
    Bytes::copy_from_slice(&at.0.to_be_bytes())
}

/// Accounts that were changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// [`account_hash`] of each, at most [`HINT_ACCOUNTS_MAX`].
    pub accounts: Vec<u32>,
}

impl Hint {
    /// Reads the sort key of a hint: when, by whom.
    #[must_use]
    pub fn parse_sort(sort: &[u8]) -> Option<(Timestamp, WriterId)> {
        let (at, writer) = sort.split_at_checked(8)?;
        let at = Timestamp(u64::from_be_bytes(at.try_into().ok()?));
        Some((at, WriterId(writer.try_into().ok()?)))
    }
}

impl RowValue for Hint {
    const NAME: &'static str = "hint row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_list(out, &self.accounts, HINT_ACCOUNTS_MAX, |out, account| {
            out.extend_from_slice(&account.to_be_bytes());
            Some(())
        })
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let accounts =
            take_list(reader, HINT_ACCOUNTS_MAX, |r| Ok(u32::from_be_bytes(r.array()?)))?;
        Ok(Self { accounts })
    }
}

/// Whose budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetOwner {
    /// An account's.
    Account(AccountId),
    /// A domain's.
    Domain(Domain),
}

/// Which budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetKind {
    /// The POP3 maildrop lock (RFC 1939 §4), by lease.
    Pop3Lock,
    /// Recipients sent to, per day.
    Sends,
    /// Reports counted, per day.
    Reports,
    /// Messages sent, per day.
    Messages,
}

/// Key of a budget row. Written by version; expires after two days.
#[must_use]
pub fn budget_key(owner: &BudgetOwner, kind: BudgetKind) -> Key {
    let mut partition = vec![b'b'];
    match owner {
        BudgetOwner::Account(id) => {
            partition.push(b'a');
            partition.extend_from_slice(&id.0);
        }
        BudgetOwner::Domain(domain) => {
            partition.push(b'd');
            partition.extend_from_slice(domain.as_str().as_bytes());
        }
    }
    let kind = match kind {
        BudgetKind::Pop3Lock => 1,
        BudgetKind::Sends => 2,
        BudgetKind::Reports => 3,
        BudgetKind::Messages => 4,
    };
    Key::new(partition, vec![kind])
}

/// What a budget row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Somebody has the lock.
    Lock(Lease),
    /// A count of one day.
    Daily {
        /// Days since 1970-01-01 of the store's time.
        day: u64,
        /// How many.
        count: u64,
    },
}

impl RowValue for Budget {
    const NAME: &'static str = "budget row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Lock(lease) => {
                out.push(0);
                lease.put(out);
            }
            Self::Daily { day, count } => {
                out.push(1);
                put_varint(out, *day);
                put_varint(out, *count);
            }
        }
        (out.len() <= BUDGET_BYTES_MAX).then_some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.byte()? {
            0 => Self::Lock(Lease::take(reader)?),
            1 => Self::Daily { day: reader.varint()?, count: reader.varint()? },
            _ => return Err(Malformed(Self::NAME)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::survives;

    #[test]
    fn hints_sort_by_time_and_the_largest_fits() {
        let writer = WriterId([1; 16]);
        let key = hint_key(0, Timestamp(1000), writer);
        assert_eq!(Hint::parse_sort(&key.sort), Some((Timestamp(1000), writer)));
        assert!(key.sort > hint_sort_from(Timestamp(1000)));
        assert!(key.sort < hint_sort_from(Timestamp(1001)));
        survives(&Hint { accounts: vec![1, u32::MAX] });
        assert!(Hint { accounts: vec![7; HINT_ACCOUNTS_MAX] }.encode().is_ok());
        assert!(Hint { accounts: vec![7; HINT_ACCOUNTS_MAX + 1] }.encode().is_err());
    }

    // RFC 1939 §4.
    #[test]
    fn budgets_survive_and_owners_are_apart() {
        survives(&Budget::Lock(Lease { holder: WriterId([2; 16]), until: Timestamp(5) }));
        survives(&Budget::Daily { day: 20_000, count: 17 });
        let account = BudgetOwner::Account(AccountId(*b"abcdef.example.x"));
        let domain = BudgetOwner::Domain(Domain::parse("abcdef.example.x").unwrap());
        let key = |owner| budget_key(owner, BudgetKind::Sends);
        assert_ne!(key(&account).partition, key(&domain).partition);
    }
}
