//! Rows of the directory: addresses, accounts, listings, domains, and the change log they are all
//! made from by `replicate` [q].
//!
//! The version of each is the directory number of the change that made it: only newer goes over
//! older, and what is deleted leaves a tombstone [p].

mod account;
mod changes;

use engine::{Key, Version};
use mail::codec::{Malformed, Reader, put_varint};
use mail::{AccountId, Address, Domain, Timestamp};

use super::{RowValue, put_list, put_text, shard_of, take_list};

pub use account::{AccountRow, Credentials, Role, Roles, Verifier, account_key};
pub use changes::{
    Applied, ChangeRow, DIRECTORY_CHANGES_MAX, DirectoryChange, applied_key, change_key,
    changes_partition,
};

/// Partitions of a domain's listing and of a group's members.
pub const MEMBER_SHARDS: u16 = 64;

/// Most targets of an alias.
const TARGETS_MAX: usize = 100;
/// Longest text of an address.
const ADDRESS_BYTES_MAX: usize = 511;

/// Number of a change of the directory: the epoch of the region that takes changes, and a count
/// within it [r].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryNumber {
    /// Epoch; below 2^20.
    pub epoch: u32,
    /// From 1; below 2^40.
    pub n: u64,
}

impl DirectoryNumber {
    /// The version of the rows that this change makes: versions order as the numbers do.
    #[must_use]
    pub fn version(self) -> Version {
        Version(u64::from(self.epoch & 0xf_ffff) << 40 | (self.n & 0xff_ffff_ffff))
    }

    /// The number whose [`Self::version`] this is.
    #[must_use]
    pub fn from_version(version: Version) -> Self {
        let epoch = u32::try_from(version.0 >> 40).unwrap_or(u32::MAX);
        Self { epoch, n: version.0 & 0xff_ffff_ffff }
    }

    fn put(self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.epoch));
        put_varint(out, self.n);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { epoch: reader.varint32()?, n: reader.varint()? })
    }
}

fn put_address(out: &mut Vec<u8>, address: &Address) -> Option<()> {
    put_text(out, &address.to_string(), ADDRESS_BYTES_MAX)
}

fn take_address(reader: &mut Reader<'_>) -> Result<Address, Malformed> {
    Address::parse(reader.str(ADDRESS_BYTES_MAX)?).map_err(|_| Malformed("address"))
}

fn take_domain(reader: &mut Reader<'_>) -> Result<Domain, Malformed> {
    Domain::parse(reader.str(255)?).map_err(|_| Malformed("domain"))
}

/// Key of an address's row. Written by version, absent at first.
#[must_use]
pub fn address_key(address: &Address) -> Key {
    let mut partition = vec![b'a'];
    partition.extend_from_slice(address.to_string().as_bytes());
    Key::new(partition, vec![0])
}

/// Where mail for an address goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRow {
    /// To an account.
    Account(AccountId),
    /// To other addresses; 1 to 100.
    Alias(Vec<Address>),
    /// To the members of a group.
    Group(AccountId),
    /// Nowhere: it was deleted.
    Tombstone,
}

impl RowValue for AddressRow {
    const NAME: &'static str = "address row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Tombstone => out.push(0),
            Self::Account(id) => {
                out.push(1);
                out.extend_from_slice(&id.0);
            }
            Self::Alias(targets) => {
                out.push(2);
                put_list(out, targets, TARGETS_MAX, put_address)?;
            }
            Self::Group(id) => {
                out.push(3);
                out.extend_from_slice(&id.0);
            }
        }
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.byte()? {
            0 => Self::Tombstone,
            1 => Self::Account(AccountId(reader.array()?)),
            2 => Self::Alias(take_list(reader, TARGETS_MAX, take_address)?),
            3 => Self::Group(AccountId(reader.array()?)),
            _ => return Err(Malformed(Self::NAME)),
        })
    }
}

/// Partition of one shard (below [`MEMBER_SHARDS`]) of the addresses of a domain, for listing.
#[must_use]
pub fn listing_partition(domain: &Domain, shard: u8) -> Vec<u8> {
    let mut partition = vec![b'n'];
    partition.extend_from_slice(domain.as_str().as_bytes());
    partition.extend_from_slice(&[0, shard]);
    partition
}

/// Key of an address in its domain's listing. Written by version, absent at first.
#[must_use]
pub fn listing_key(address: &Address) -> Key {
    let text = address.to_string();
    let shard = shard_of(text.as_bytes(), MEMBER_SHARDS);
    // A catch-all's text begins with "@": sort keys are never empty.
    Key::new(listing_partition(address.domain(), shard), text.into_bytes())
}

/// Partition of one shard (below [`MEMBER_SHARDS`]) of the members of a group.
#[must_use]
pub fn group_members_partition(group: AccountId, shard: u8) -> Vec<u8> {
    let mut partition = vec![b'n', 1];
    partition.extend_from_slice(&group.0);
    partition.push(shard);
    partition
}

/// Key of a member of a group. Written by version, absent at first.
#[must_use]
pub fn group_member_key(group: AccountId, member: &Address) -> Key {
    let text = member.to_string();
    let shard = shard_of(text.as_bytes(), MEMBER_SHARDS);
    Key::new(group_members_partition(group, shard), text.into_bytes())
}

/// An address in a listing or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberRow {
    /// It is there. The account, if it is one's.
    Present(Option<AccountId>),
    /// It was taken out; expires after 90 days.
    Tombstone,
}

impl RowValue for MemberRow {
    const NAME: &'static str = "member row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Tombstone => out.push(0),
            Self::Present(None) => out.push(1),
            Self::Present(Some(id)) => {
                out.push(2);
                out.extend_from_slice(&id.0);
            }
        }
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.byte()? {
            0 => Self::Tombstone,
            1 => Self::Present(None),
            2 => Self::Present(Some(AccountId(reader.array()?))),
            _ => return Err(Malformed(Self::NAME)),
        })
    }
}

/// Partition of all domains.
#[must_use]
pub fn domains_partition() -> Vec<u8> {
    vec![b'n', 0]
}

/// Key of a domain's row. Written by version, absent at first.
#[must_use]
pub fn domain_key(domain: &Domain) -> Key {
    Key::new(domains_partition(), domain.as_str().as_bytes().to_vec())
}

/// Most signing keys of a domain: two kinds, each waiting, signing and retired.
pub const DKIM_KEYS_MAX: usize = 6;

/// What a signing key is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyUse {
    /// It signs, until a newer key of its kind does.
    #[default]
    Signing,
    /// It is to be published, and signs from then on, or when somebody says so.
    Waiting(Option<Timestamp>),
    /// It signs no more, and is still published for mail that is under way.
    Retired,
}

/// A DKIM signing key of a domain.
#[derive(Clone, PartialEq, Eq)]
pub struct DkimKey {
    /// Selector, at most 63 bytes.
    pub selector: String,
    /// PKCS #8, at most 4 KiB.
    pub private_key: Vec<u8>,
    /// What it is for.
    pub used: KeyUse,
}

impl KeyUse {
    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Signing => out.push(0),
            Self::Waiting(None) => out.push(1),
            Self::Waiting(Some(from)) => {
                out.push(2);
                put_varint(out, from.millis());
            }
            Self::Retired => out.push(3),
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.byte()? {
            0 => Self::Signing,
            1 => Self::Waiting(None),
            2 => Self::Waiting(Some(Timestamp(reader.varint()?))),
            3 => Self::Retired,
            _ => return Err(Malformed("use of a key")),
        })
    }

    /// Whether such a key may sign now.
    #[must_use]
    pub fn signs(self, now: Timestamp) -> bool {
        match self {
            Self::Signing => true,
            Self::Waiting(from) => from.is_some_and(|from| from <= now),
            Self::Retired => false,
        }
    }
}

/// Never shows the key.
impl std::fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DkimKey")
            .field("selector", &self.selector)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

/// A domain of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRow {
    /// It was removed.
    pub tombstone: bool,
    /// Signing keys, the newest last; at most [`DKIM_KEYS_MAX`].
    pub dkim: Vec<DkimKey>,
    /// Pools of egress addresses by name, at most 32 of 63 bytes.
    pub egress_pools: Vec<String>,
    /// Policies by name and value, at most 32 of 63 and 255 bytes.
    pub policies: Vec<(String, String)>,
}

impl DomainRow {
    /// A domain without keys and policies.
    #[must_use]
    pub const fn new() -> Self {
        Self { tombstone: false, dkim: Vec::new(), egress_pools: Vec::new(), policies: Vec::new() }
    }

    /// The row of a removed domain.
    #[must_use]
    pub fn tombstone() -> Self {
        Self { tombstone: true, ..Self::new() }
    }

    /// The value of a policy that was set.
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<&str> {
        self.policies.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Default for DomainRow {
    fn default() -> Self {
        Self::new()
    }
}

impl RowValue for DomainRow {
    const NAME: &'static str = "domain row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        // 2: what each key is for is told too.
        let uses = self.dkim.iter().any(|key| key.used != KeyUse::Signing);
        out.push(if uses && !self.tombstone { 2 } else { u8::from(self.tombstone) });
        put_list(out, &self.dkim, DKIM_KEYS_MAX, |out, key| {
            put_text(out, &key.selector, 63)?;
            mail::codec::put_bytes(out, &key.private_key);
            if uses && !self.tombstone {
                key.used.put(out);
            }
            (key.private_key.len() <= 4096).then_some(())
        })?;
        put_list(out, &self.egress_pools, 32, |out, pool| put_text(out, pool, 63))?;
        put_list(out, &self.policies, 32, |out, (name, value)| {
            put_text(out, name, 63)?;
            put_text(out, value, 255)
        })
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (tombstone, uses) = match reader.byte()? {
            0 => (false, false),
            1 => (true, false),
            2 => (false, true),
            _ => return Err(Malformed(Self::NAME)),
        };
        let dkim = take_list(reader, DKIM_KEYS_MAX, |r| {
            let selector = r.str(63)?.to_owned();
            let private_key = r.bytes(4096)?.to_vec();
            let used = if uses { KeyUse::take(r)? } else { KeyUse::Signing };
            Ok(DkimKey { selector, private_key, used })
        })?;
        let egress_pools = take_list(reader, 32, |r| Ok(r.str(63)?.to_owned()))?;
        let policies =
            take_list(reader, 32, |r| Ok((r.str(63)?.to_owned(), r.str(255)?.to_owned())))?;
        Ok(Self { tombstone, dkim, egress_pools, policies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::survives;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn numbers_order_as_their_versions() {
        let number = |epoch, n| DirectoryNumber { epoch, n };
        assert!(number(1, u64::from(u32::MAX)).version() < number(2, 1).version());
        assert!(number(2, 1).version() < number(2, 2).version());
        assert_eq!(DirectoryNumber::from_version(number(3, 9).version()), number(3, 9));
    }

    fn key(used: KeyUse) -> DkimKey {
        DkimKey { selector: "s1".into(), private_key: vec![1; 48], used }
    }

    #[test]
    fn rows_survive() {
        survives(&AddressRow::Tombstone);
        survives(&AddressRow::Account(AccountId([1; 16])));
        survives(&AddressRow::Group(AccountId([2; 16])));
        survives(&AddressRow::Alias(vec![address("a@b.test"), address("\"c d\"@e.test")]));
        survives(&MemberRow::Tombstone);
        survives(&MemberRow::Present(None));
        survives(&MemberRow::Present(Some(AccountId([3; 16]))));
        survives(&DomainRow::tombstone());
        survives(&DomainRow {
            dkim: vec![key(KeyUse::Signing)],
            egress_pools: vec!["west".into()],
            policies: vec![("mta-sts".into(), "enforce".into())],
            ..DomainRow::new()
        });
        let uses = [
            KeyUse::Signing,
            KeyUse::Waiting(None),
            KeyUse::Waiting(Some(Timestamp(7))),
            KeyUse::Retired,
        ];
        survives(&DomainRow { dkim: uses.map(key).to_vec(), ..DomainRow::new() });
        assert!(AddressRow::Alias(vec![address("a@b.test"); 101]).encode().is_err());
    }

    #[test]
    fn partitions_never_meet() {
        let domain = Domain::parse("b.test").unwrap();
        let listing = listing_key(&address("a@b.test"));
        assert!(listing.partition.starts_with(b"nb.test\0"));
        assert_eq!(domain_key(&domain).partition, domains_partition());
        let members = group_member_key(AccountId([b'b'; 16]), &address("a@b.test"));
        assert_ne!(members.partition[1], listing.partition[1]);
        assert_eq!(listing_key(&address("@b.test")).sort, "@b.test");
        assert_eq!(address_key(&address("A@B.test")), address_key(&address("a@b.test")));
    }
}
