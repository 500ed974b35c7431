//! The directory's change log: first the change, then the rows [q].

use engine::Key;
use mail::codec::{Malformed, Reader};
use mail::{AccountId, Address, Domain};

use super::{
    AccountRow, AddressRow, DirectoryNumber, DomainRow, MemberRow, put_address, take_address,
    take_domain,
};
use crate::rows::{RowValue, put_list, put_text, take_list};

/// Most changes in one row of the log.
pub const DIRECTORY_CHANGES_MAX: usize = 100;

/// Partition of the changes of an epoch.
#[must_use]
pub fn changes_partition(epoch: u32) -> Vec<u8> {
    let mut partition = vec![b'g'];
    partition.extend_from_slice(&epoch.to_be_bytes());
    partition
}

/// Key of a change. Written where absent only, by one who has applied all before it; version 1.
#[must_use]
pub fn change_key(number: DirectoryNumber) -> Key {
    Key::new(changes_partition(number.epoch), number.n.to_be_bytes().to_vec())
}

/// Key of how far a region has applied the log. Written by version.
#[must_use]
pub fn applied_key(region: &str) -> Key {
    Key::new(vec![b'g', 0], region.as_bytes().to_vec())
}

/// One row that is to be as said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryChange {
    /// An address's row, and its place in the listing of its domain.
    Address(Address, AddressRow),
    /// An account's row.
    Account(AccountId, Box<AccountRow>),
    /// A domain's row.
    Domain(Domain, DomainRow),
    /// A member of a group.
    Member(AccountId, Address, MemberRow),
}

impl DirectoryChange {
    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Address(address, row) => {
                out.push(0);
                put_address(out, address)?;
                row.put(out)
            }
            Self::Account(id, row) => {
                out.push(1);
                out.extend_from_slice(&id.0);
                row.put(out)
            }
            Self::Domain(domain, row) => {
                out.push(2);
                put_text(out, domain.as_str(), 255)?;
                row.put(out)
            }
            Self::Member(group, address, row) => {
                out.push(3);
                out.extend_from_slice(&group.0);
                put_address(out, address)?;
                row.put(out)
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.byte()? {
            0 => Self::Address(take_address(reader)?, AddressRow::take(reader)?),
            1 => Self::Account(AccountId(reader.array()?), Box::new(AccountRow::take(reader)?)),
            2 => Self::Domain(take_domain(reader)?, DomainRow::take(reader)?),
            3 => Self::Member(
                AccountId(reader.array()?),
                take_address(reader)?,
                MemberRow::take(reader)?,
            ),
            _ => return Err(Malformed("directory change")),
        })
    }
}

/// A row of the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// 1 to [`DIRECTORY_CHANGES_MAX`], as many as fit 16 KiB; applied in order.
    pub changes: Vec<DirectoryChange>,
}

impl RowValue for ChangeRow {
    const NAME: &'static str = "directory change";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_list(out, &self.changes, DIRECTORY_CHANGES_MAX, |out, change| change.put(out))
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { changes: take_list(reader, DIRECTORY_CHANGES_MAX, DirectoryChange::take)? })
    }
}

/// How far a region is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last change applied.
    pub number: DirectoryNumber,
    /// The newest snapshot.
    pub snapshot: Option<DirectoryNumber>,
    /// Changes of an old epoch that were never applied [r]; at most 100, the newest.
    pub set_aside: Vec<DirectoryNumber>,
}

impl RowValue for Applied {
    const NAME: &'static str = "applied row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        self.number.put(out);
        out.push(u8::from(self.snapshot.is_some()));
        self.snapshot.iter().for_each(|number| number.put(out));
        put_list(out, &self.set_aside, 100, |out, number| {
            number.put(out);
            Some(())
        })
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = DirectoryNumber::take(reader)?;
        let snapshot = match reader.byte()? {
            0 => None,
            1 => Some(DirectoryNumber::take(reader)?),
            _ => return Err(Malformed(Self::NAME)),
        };
        Ok(Self { number, snapshot, set_aside: take_list(reader, 100, DirectoryNumber::take)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::survives;

    #[test]
    fn changes_survive_and_sort_by_number() {
        let address = Address::parse("ana@example.test").unwrap();
        let id = AccountId([4; 16]);
        let account = super::super::account::tests::account();
        survives(&ChangeRow {
            changes: vec![
                DirectoryChange::Domain(address.domain().clone(), DomainRow::new()),
                DirectoryChange::Account(id, Box::new(account)),
                DirectoryChange::Address(address.clone(), AddressRow::Account(id)),
                DirectoryChange::Member(id, address, MemberRow::Tombstone),
            ],
        });
        let number = |n| DirectoryNumber { epoch: 1, n };
        survives(&Applied::default());
        survives(&Applied {
            number: number(9),
            snapshot: Some(number(5)),
            set_aside: vec![number(1)],
        });
        assert!(change_key(number(255)).sort < change_key(number(256)).sort);
        assert_ne!(applied_key("riga").partition, change_key(number(1)).partition);
    }
}
