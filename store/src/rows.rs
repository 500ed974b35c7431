//! Every row of the index: keys, and values with a version byte in front (docs/formats.md, *Index
//! rows*; docs/formats.md). Numbers in keys are big-endian and of fixed width, so that keys sort
//! as the numbers in them.
//!
//! How each kind may be written (absent, version, any) is told at its key function; a kind of row
//! is always or never written conditionally [w].

mod directory;
mod due;
mod hints;
mod ingest;
mod items;
mod log;
mod made;
mod maintenance;
mod relay;
mod reports;
#[cfg(test)]
pub(crate) mod tests;
mod unmatched;

use bytes::Bytes;
use engine::VALUE_BYTES_MAX;
use mail::codec::{Malformed, Reader};

pub use directory::{
    AccountRow, AddressRow, Applied, ChangeRow, Credentials, DIRECTORY_CHANGES_MAX, DKIM_KEYS_MAX,
    DirectoryChange, DirectoryNumber, DkimKey, DomainRow, KeyUse, MEMBER_SHARDS, MemberRow, Role,
    Roles, Verifier, account_key, address_key, applied_key, change_key, changes_partition,
    domain_key, domains_partition, group_member_key, group_members_partition, listing_key,
    listing_partition,
};
pub use due::{
    DUE_SHARDS, Due, DuePlace, Parked, REPORT_SHARDS, due_partition, due_shard, due_sort_until,
    is_marker, marker, parked_key, parked_partition,
};
pub use hints::{
    BUDGET_BYTES_MAX, Budget, BudgetKind, BudgetOwner, HINT_ACCOUNTS_MAX, Hint, account_hash,
    budget_key, hint_key, hint_partition, hint_sort_from,
};
pub use ingest::{
    Claim, ClaimState, FanPage, Lease, PLAN_BYTES_MAX, PLAN_MEMBERS_MAX, Plan, PlanAccount,
    PlanItem, WriterRow, WriterState, claim_key, claims_partition, fan_page_key,
    fan_pages_partition, writer_key, writers_partition,
};
pub use items::{
    Attempt, DELIVERED, Delay, EXPANDED, HISTORY_MAX, ITEM_SHARDS, Item, ItemKey, ItemKind,
    ItemRecipient, ItemState, PATHS_BYTES_MAX, RECIPIENTS_MAX, RecipientState, item_key,
    items_partition,
};
pub use log::{
    CheckpointRef, Phase, Pointer, RING, entry_key, entry_slot, log_partition, pointer_key,
};
pub use made::{MadeFor, made_for_key, made_partition, parse_made_for};
pub use maintenance::{
    MAINTENANCE_SHARDS, Maintenance, MaintenanceWhy, maintenance_key, maintenance_partition,
};
pub use relay::{
    HealthRow, ShardRow, destination_key, destination_partition, parse_destination_sort, shard_key,
    shards_partition,
};
pub use reports::{
    RECEIVED_SLOTS, ReceivedRow, RefusedRow, ReportSentRow, ReportWorkRow, StsPolicyRow,
    TALLY_BUCKETS, TALLY_BYTES_MAX, Tally, TallyRow, parse_received_sort, received_partition,
    received_slot, received_sort, refused_key, report_sent_key, report_sent_partition,
    report_work_key, sts_policy_key, tallies_partition, tally_bucket, tally_key,
};
pub use unmatched::{
    UNMATCHED_MAX, UNMATCHED_SLOTS, Unmatched, UnmatchedRow, unmatched_key, unmatched_partition,
};

/// A row's value would be over the limit of every engine [Q]. Split what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not fit a row")]
pub struct RowTooLarge(pub &'static str);

/// The value of one kind of row.
pub trait RowValue: Sized {
    /// What it is called in errors.
    const NAME: &'static str;
    /// The first format version.
    const VERSION: u8 = 1;
    /// The last one that is read.
    const VERSION_MAX: u8 = Self::VERSION;

    /// The format version that this value is written in: the first that can hold it.
    fn version(&self) -> u8 {
        Self::VERSION
    }

    /// Appends the fields. `None` if one of them is over its limit.
    fn put(&self, out: &mut Vec<u8>) -> Option<()>;

    /// Reads the fields.
    /// # Errors
    /// [`Malformed`] if they are not what [`Self::put`] writes.
    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Reads what a later version than the first adds at the end.
    /// # Errors
    /// [`Malformed`] if it is not what [`Self::put`] writes.
    fn take_more(self, _reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(self)
    }

    /// The value as stored.
    /// # Errors
    /// [`RowTooLarge`]: nothing may be written; split what is in it.
    fn encode(&self) -> Result<Bytes, RowTooLarge> {
        let mut out = vec![self.version()];
        self.put(&mut out).ok_or(RowTooLarge(Self::NAME))?;
        if out.len() > VALUE_BYTES_MAX {
            return Err(RowTooLarge(Self::NAME));
        }
        Ok(Bytes::from(out))
    }

    /// Reads a stored value.
    /// # Errors
    /// [`Malformed`]: damaged, or of a version this code does not know. Never guess: stop and tell.
    fn decode(value: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(value);
        let version = reader.byte()?;
        if !(Self::VERSION..=Self::VERSION_MAX).contains(&version) {
            return Err(Malformed(Self::NAME));
        }
        let mut decoded = Self::take(&mut reader)?;
        if version > Self::VERSION {
            decoded = decoded.take_more(&mut reader)?;
        }
        reader.end()?;
        Ok(decoded)
    }
}

/// A string that may have at most `most` bytes.
fn put_text(out: &mut Vec<u8>, text: &str, most: usize) -> Option<()> {
    mail::codec::put_str(out, text);
    (text.len() <= most).then_some(())
}

/// A list that may have at most `most` elements.
fn put_list<T>(
    out: &mut Vec<u8>,
    list: &[T],
    most: usize,
    mut put: impl FnMut(&mut Vec<u8>, &T) -> Option<()>,
) -> Option<()> {
    mail::codec::put_varint(out, list.len() as u64);
    list.iter().try_for_each(|element| put(out, element))?;
    (list.len() <= most).then_some(())
}

fn take_list<T>(
    reader: &mut Reader<'_>,
    most: usize,
    mut take: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.count(most)?;
    (0..count).map(|_| take(reader)).collect()
}

/// Fixed hash by which ids, accounts and destinations are spread over shards.
fn hash(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A shard number: `hash(bytes) mod shards`, where `shards` is at most 256.
fn shard_of(bytes: &[u8], shards: u16) -> u8 {
    u8::try_from(hash(bytes) % u32::from(shards.clamp(1, 256))).unwrap_or_default()
}
