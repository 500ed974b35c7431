//! Keys of objects (docs/formats.md). Numbers are 16 hex digits, so keys sort as numbers.

use engine::ObjectKey;
use mail::{Account, RecordId, Seq, WriterId};

use crate::place::{ObjectNonce, SegmentRef};

/// Keys made here consist of hex digits and fixed words, so the name rules always hold.
fn key(name: String) -> ObjectKey {
    ObjectKey::new(name).expect("made of hex digits and fixed words, well under 512 bytes")
}

fn account_prefix(account: Account) -> String {
    // Two hex digits of a hash spread accounts over key prefixes; any fixed hash does.
    let hash = crc32fast::hash(&account.to_bytes()) >> 24;
    format!("acct/{hash:02x}/{}.{:08x}", account.id, account.epoch.0)
}

/// Prefix of all ingest segments of a writer, for listing.
#[must_use]
pub fn ingest_prefix(writer: WriterId) -> String {
    format!("ingest/{writer}/")
}

/// An ingest segment or its tombstone.
#[must_use]
pub fn ingest(writer: WriterId, number: u64) -> ObjectKey {
    key(format!("ingest/{writer}/{number:016x}"))
}

/// Reads a key made by [`ingest`]: the writer and the number.
#[must_use]
pub fn parse_ingest(key: &ObjectKey) -> Option<(WriterId, u64)> {
    let (writer, number) = key.as_str().strip_prefix("ingest/")?.split_once('/')?;
    Some((writer.parse().ok()?, parse_number(number)?))
}

fn parse_number(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Prefix of all large messages of a writer, for listing.
#[must_use]
pub fn big_prefix(writer: WriterId) -> String {
    format!("big/{writer}/")
}

/// A message of more than 1 MiB, by its record id.
#[must_use]
pub fn big(record: RecordId) -> ObjectKey {
    key(format!("big/{}/{:016x}", record.writer, record.counter))
}

/// Reads a key made by [`big`].
#[must_use]
pub fn parse_big(key: &ObjectKey) -> Option<RecordId> {
    let (writer, counter) = key.as_str().strip_prefix("big/")?.split_once('/')?;
    Some(RecordId { writer: writer.parse().ok()?, counter: parse_number(counter)? })
}

/// Who a large body of an account's own is named after, where others are after their writer.
fn account_as_writer(account: Account) -> WriterId {
    let mut bytes = account.id.0;
    for (byte, epoch) in bytes.iter_mut().rev().zip(account.epoch.0.to_le_bytes()) {
        *byte ^= epoch;
    }
    WriterId(bytes)
}

/// Name of a large body that came by APPEND: it belongs to the account segment of that nonce, and
/// goes with it.
#[must_use]
pub fn account_big(account: Account, segment: ObjectNonce) -> RecordId {
    RecordId { writer: account_as_writer(account), counter: u64::from_be_bytes(segment.0) }
}

/// Prefix of all large bodies of an account's own segments, for listing.
#[must_use]
pub fn account_big_prefix(account: Account) -> String {
    big_prefix(account_as_writer(account))
}

/// Prefix of all messages made by functions, for listing.
pub const MADE_PREFIX: &str = "made/";

/// Reads a key made by [`made`].
#[must_use]
pub fn parse_made(key: &ObjectKey) -> Option<RecordId> {
    key.as_str().strip_prefix(MADE_PREFIX)?.parse().ok()
}

/// A message made by a function; the id derives from what caused it [j].
#[must_use]
pub fn made(id: RecordId) -> ObjectKey {
    key(format!("{MADE_PREFIX}{id}"))
}

/// The second, passive copy of another region's segment [l]. `None` if `region` is not a name of
/// `[a-z0-9-]`, 1 to 63 bytes.
#[must_use]
pub fn mirror(region: &str, writer: WriterId, number: u64) -> Option<ObjectKey> {
    let ok = (1..=63).contains(&region.len())
        && region.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    ok.then(|| key(format!("mirror/{region}/{writer}/{number:016x}")))
}

/// Prefix of all segments of an account, for listing.
#[must_use]
pub fn account_segment_prefix(account: Account) -> String {
    format!("{}/s/", account_prefix(account))
}

/// An account segment.
#[must_use]
pub fn account_segment(account: Account, nonce: ObjectNonce) -> ObjectKey {
    key(format!("{}/s/{nonce}", account_prefix(account)))
}

/// Prefix of all checkpoint roots of an account, for listing.
#[must_use]
pub fn checkpoint_prefix(account: Account) -> String {
    format!("{}/c/", account_prefix(account))
}

/// A checkpoint root.
#[must_use]
pub fn checkpoint(account: Account, seq: Seq, nonce: ObjectNonce) -> ObjectKey {
    key(format!("{}/c/{:016x}-{nonce}", account_prefix(account), seq.0))
}

/// Prefix of all checkpoint chunks of an account, for listing.
#[must_use]
pub fn chunk_prefix(account: Account) -> String {
    format!("{}/k/", account_prefix(account))
}

/// A checkpoint chunk: object `i` put with the root of that seq and nonce.
#[must_use]
pub fn chunk(account: Account, seq: Seq, nonce: ObjectNonce, i: u8) -> ObjectKey {
    key(format!("{}/k/{:016x}-{nonce}-{i:02x}", account_prefix(account), seq.0))
}

/// Prefix of all entry bodies of an account, for listing.
#[must_use]
pub fn entry_prefix(account: Account) -> String {
    format!("{}/e/", account_prefix(account))
}

/// The body of a large entry.
#[must_use]
pub fn entry(account: Account, nonce: ObjectNonce) -> ObjectKey {
    key(format!("{}/e/{nonce}", account_prefix(account)))
}

/// The last part of an account object's key: what `s/` and `e/` objects are named by.
#[must_use]
pub fn parse_nonce(key: &ObjectKey) -> Option<ObjectNonce> {
    let (_, last) = key.as_str().rsplit_once('/')?;
    Some(ObjectNonce(parse_number(last)?.to_be_bytes()))
}

/// A directory snapshot.
#[must_use]
pub fn directory_snapshot(epoch: u32, n: u64) -> ObjectKey {
    key(format!("dir/{epoch:08x}-{n:016x}"))
}

/// The object that a segment reference names, for this account.
#[must_use]
pub fn segment(account: Account, segment: SegmentRef) -> ObjectKey {
    match segment {
        SegmentRef::Ingest { writer, number } => ingest(writer, number),
        SegmentRef::Made { id } => made(id),
        SegmentRef::Account { nonce } => account_segment(account, nonce),
    }
}

#[cfg(test)]
mod tests {
    use mail::{AccountId, Epoch};

    use super::*;

    #[test]
    fn keys_sort_as_numbers_and_can_be_read_back() {
        let writer = WriterId([0xab; 16]);
        assert!(ingest(writer, 0x9f) < ingest(writer, 0x100));
        assert_eq!(parse_ingest(&ingest(writer, 77)), Some((writer, 77)));
        let record = RecordId { writer, counter: 5 };
        assert_eq!(parse_big(&big(record)), Some(record));
        assert_eq!(parse_big(&ingest(writer, 1)), None);
        let account = Account { id: AccountId([1; 16]), epoch: Epoch(2) };
        let big_of_append = big(account_big(account, ObjectNonce([9; 8])));
        assert!(big_of_append.as_str().starts_with(&account_big_prefix(account)));
        assert_eq!(parse_nonce(&big_of_append), Some(ObjectNonce([9; 8])));
        assert!(!big_of_append.as_str().starts_with(&big_prefix(WriterId(account.id.0))));
        let account = Account { id: AccountId([1; 16]), epoch: Epoch(2) };
        let nonce = ObjectNonce([9; 8]);
        assert_eq!(parse_nonce(&account_segment(account, nonce)), Some(nonce));
        assert!(checkpoint(account, Seq(9), nonce) < checkpoint(account, Seq(16), nonce));
        assert!(
            account_segment(account, nonce).as_str().starts_with(&account_segment_prefix(account))
        );
        assert_eq!(
            checkpoint(account, Seq(64), nonce).as_str(),
            "acct/52/01010101010101010101010101010101.00000002/c/0000000000000040-0909090909090909"
        );
        assert_eq!(mirror("Riga", writer, 1), None);
    }
}
