//! Rows of what functions make: which accounts a message of theirs may have been appended to.

use engine::Key;
use mail::codec::{Malformed, Reader};
use mail::{Account, RecordId};

use super::{RowValue, shard_of};

/// Partitions of these rows.
const MADE_SHARDS: u16 = 16;

/// Partition of the rows of a message that a function made.
#[must_use]
pub fn made_partition(id: RecordId) -> Vec<u8> {
    vec![b'm', shard_of(&id.to_bytes(), MADE_SHARDS)]
}

/// Key of the row that says that a made message may be appended to an account. Put unconditionally,
/// before anything is appended; deleted after the message.
#[must_use]
pub fn made_for_key(id: RecordId, account: Account) -> Key {
    let sort = [&id.to_bytes()[..], &account.to_bytes()[..]].concat();
    Key::new(made_partition(id), sort)
}

/// Reads the sort key made by [`made_for_key`].
#[must_use]
pub fn parse_made_for(sort: &[u8]) -> Option<(RecordId, Account)> {
    let (id, account) = sort.split_at_checked(24)?;
    Some((RecordId::from_bytes(id)?, Account::from_bytes(account)?))
}

/// A made message may be in this account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeFor;

impl RowValue for MadeFor {
    const NAME: &'static str = "made-for row";

    fn put(&self, _out: &mut Vec<u8>) -> Option<()> {
        Some(())
    }

    fn take(_reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use mail::{AccountId, Epoch, WriterId};

    use super::*;
    use crate::rows::tests::survives;

    #[test]
    fn keys_come_back() {
        let id = RecordId { writer: WriterId([3; 16]), counter: 9 };
        let account = Account { id: AccountId([5; 16]), epoch: Epoch(2) };
        let key = made_for_key(id, account);
        assert_eq!(parse_made_for(&key.sort), Some((id, account)));
        assert_eq!(parse_made_for(&key.sort[1..]), None);
        survives(&MadeFor);
    }
}
