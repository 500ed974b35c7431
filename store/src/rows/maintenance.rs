//! Maintenance due rows: which account `maintain` should look at, when and why.

use engine::Key;
use mail::Timestamp;
use mail::codec::{Malformed, Reader};

use super::due::timed;
use super::{RowValue, shard_of};

/// Partitions of maintenance due rows.
pub const MAINTENANCE_SHARDS: u16 = 16;

/// Partition of maintenance due rows.
#[must_use]
pub fn maintenance_partition(shard: u8) -> Vec<u8> {
    vec![b'd', b'm', shard]
}

/// Key of a maintenance due row. Written and deleted unconditionally.
#[must_use]
pub fn maintenance_key(due: Timestamp, account: mail::Account) -> Key {
    let bytes = account.to_bytes();
    Key::new(maintenance_partition(shard_of(&bytes, MAINTENANCE_SHARDS)), timed(due, &bytes))
}

/// Why `maintain` should look at an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaintenanceWhy {
    /// Its tail is long.
    Checkpoint,
    /// Records lie in ingest segments.
    Compact,
    /// Objects are to be deleted.
    Clean,
    /// It was to be removed; if it was, it is erased now.
    Removed,
}

/// A maintenance due row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Why.
    pub why: MaintenanceWhy,
}

impl Maintenance {
    /// Reads the sort key of a maintenance due row.
    #[must_use]
    pub fn parse_sort(sort: &[u8]) -> Option<(Timestamp, mail::Account)> {
        let (due, account) = sort.split_at_checked(8)?;
        let due = Timestamp(u64::from_be_bytes(due.try_into().ok()?));
        Some((due, mail::Account::from_bytes(account)?))
    }
}

impl RowValue for Maintenance {
    const NAME: &'static str = "maintenance row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.push(match self.why {
            MaintenanceWhy::Checkpoint => 0,
            MaintenanceWhy::Compact => 1,
            MaintenanceWhy::Clean => 2,
            MaintenanceWhy::Removed => 3,
        });
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let why = match reader.byte()? {
            0 => MaintenanceWhy::Checkpoint,
            1 => MaintenanceWhy::Compact,
            2 => MaintenanceWhy::Clean,
            3 => MaintenanceWhy::Removed,
            _ => return Err(Malformed(Self::NAME)),
        };
        Ok(Self { why })
    }
}

#[cfg(test)]
mod tests {
    use mail::{Account, AccountId, Epoch};

    use super::*;
    use crate::rows::tests::survives;

    #[test]
    fn maintenance_rows_name_their_accounts() {
        let account = Account { id: AccountId([5; 16]), epoch: Epoch(1) };
        let row = maintenance_key(Timestamp(3), account);
        assert_eq!(Maintenance::parse_sort(&row.sort), Some((Timestamp(3), account)));
        assert!(row.partition[2] < 16);
        survives(&Maintenance { why: MaintenanceWhy::Compact });
        survives(&Maintenance { why: MaintenanceWhy::Removed });
    }
}
