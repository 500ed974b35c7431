//! Due rows, which announce items, and the rows of what is parked.

use bytes::Bytes;
use engine::Key;
use mail::codec::{Malformed, Reader, put_bytes, put_varint};
use mail::{RecordId, Timestamp};

use super::items::{ItemKey, ItemKind, ItemState};
use super::{RowValue, shard_of};

/// Shards of due rows by hash of their destination; a busy destination gets one of its own from
/// this number on.
pub const DUE_SHARDS: u16 = 64;

/// Partitions of the due rows of items whose sender is to be told something.
pub const REPORT_SHARDS: u8 = 4;

/// Where a due row lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DuePlace {
    /// With those of other destinations, by hash: below [`DUE_SHARDS`].
    Shard(u16),
    /// A busy or dead destination's own: one *marker* in its shard stands for all of them, so that
    /// others do not wait behind them.
    Own(String),
    /// Of items whose senders are to be told something: below [`REPORT_SHARDS`].
    Reports(u8),
}

impl DuePlace {
    /// Where the due row of an item is put, unless its destination has a place of its own.
    #[must_use]
    pub fn of(key: &ItemKey, state: ItemState) -> Self {
        match state {
            ItemState::Bouncing => Self::Reports(shard_of(&key.to_sort(), REPORT_SHARDS.into())),
            _ => Self::Shard(due_shard(&key.destination)),
        }
    }

    /// The own place of a destination; `None` if its name is too long for one.
    #[must_use]
    pub fn own(destination: &str) -> Option<Self> {
        // Destination twice in a key, and all else in it.
        let fits = 2 * destination.len() + 64 <= engine::KEY_BYTES_MAX;
        fits.then(|| Self::Own(destination.to_owned()))
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> Vec<u8> {
        match self {
            Self::Shard(shard) => due_partition(*shard),
            Self::Own(destination) => [b"do", destination.as_bytes()].concat(),
            Self::Reports(shard) => vec![b'd', b'r', *shard],
        }
    }

    /// Key of a due row in it: when, which item. Written and deleted unconditionally, before the
    /// item [a].
    #[must_use]
    pub fn key(&self, due: Timestamp, item: &ItemKey) -> Key {
        Key::new(self.partition(), timed(due, &item.to_sort()))
    }
}

/// The writer that the name of a marker has instead of an item's.
const MARKS: mail::WriterId = mail::WriterId([0; 16]);

/// The item that a marker names instead of one: the destination has due rows of its own place.
/// `name` is fresh each time: a delete that lands late meets no other marker than its own.
#[must_use]
pub fn marker(destination: &str, name: u64) -> ItemKey {
    let id = RecordId { writer: MARKS, counter: name };
    ItemKey { id, kind: ItemKind::Remote, destination: destination.to_owned(), k: u16::MAX }
}

/// Whether this is the name of a marker.
#[must_use]
pub fn is_marker(item: &ItemKey) -> bool {
    item.id.writer == MARKS && item.kind == ItemKind::Remote && item.k == u16::MAX
}

/// The due shard of a destination.
#[must_use]
pub fn due_shard(destination: &str) -> u16 {
    u16::from(shard_of(destination.as_bytes(), DUE_SHARDS))
}

/// Partition of the due rows of a shard: a zero follows the `d`, where other kinds have a letter.
#[must_use]
pub fn due_partition(shard: u16) -> Vec<u8> {
    let mut partition = vec![b'd'];
    partition.extend_from_slice(&shard.to_be_bytes());
    partition
}

/// A sort key that begins with a time.
pub(super) fn timed(at: Timestamp, rest: &[u8]) -> Vec<u8> {
    let mut sort = at.0.to_be_bytes().to_vec();
    sort.extend_from_slice(rest);
    sort
}

/// Upper end (exclusive) of the sort keys of what is due at `now` or before: due rows, maintenance
/// due rows and parked rows alike.
#[must_use]
pub fn due_sort_until(now: Timestamp) -> Bytes {
    Bytes::copy_from_slice(&now.0.saturating_add(1).to_be_bytes())
}

/// A due row: announces a version of an item. Only a hint; deleted by whoever sees that the item
/// has reached that version and is due elsewhere, or is finished [a].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The item's version that is due then.
    pub version: u64,
}

impl Due {
    /// Reads the sort key of a due row.
    #[must_use]
    pub fn parse_sort(sort: &[u8]) -> Option<(Timestamp, ItemKey)> {
        let (due, item) = sort.split_at_checked(8)?;
        Some((Timestamp(u64::from_be_bytes(due.try_into().ok()?)), ItemKey::from_sort(item)?))
    }
}

impl RowValue for Due {
    const NAME: &'static str = "due row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_varint(out, self.version);
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { version: reader.varint()? })
    }
}

/// Partition of parked rows.
#[must_use]
pub fn parked_partition() -> Vec<u8> {
    vec![b'd', b'p']
}

/// Key of a parked row: since when, which item. Written and deleted unconditionally; its sort key
/// is read by [`Due::parse_sort`].
#[must_use]
pub fn parked_key(since: Timestamp, item: &ItemKey) -> Key {
    Key::new(parked_partition(), timed(since, &item.to_sort()))
}

/// A parked row: shown to admins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// One line of reason, at most 1,000 bytes.
    pub why: String,
}

impl RowValue for Parked {
    const NAME: &'static str = "parked row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_bytes(out, self.why.as_bytes());
        (self.why.len() <= 1_000).then_some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { why: reader.str(1_000)?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use mail::WriterId;

    use super::*;
    use crate::rows::tests::survives;

    fn key(counter: u64, destination: &str) -> ItemKey {
        let id = RecordId { writer: WriterId([1; 16]), counter };
        ItemKey { id, kind: ItemKind::Local, destination: destination.into(), k: 3 }
    }

    #[test]
    fn due_rows_name_their_items_and_sort_by_time() {
        let item = key(7, "example.test");
        let place = DuePlace::of(&item, ItemState::Waiting);
        let at = place.key(Timestamp(500), &item);
        assert_eq!(Due::parse_sort(&at.sort), Some((Timestamp(500), item)));
        assert!(at.sort < place.key(Timestamp(501), &key(1, "a")).sort);
        assert!(at.sort < due_sort_until(Timestamp(500)));
        assert!(at.sort > due_sort_until(Timestamp(499)));
        let bytes = |key: Key| key.partition.len() + key.sort.len();
        for destination in ["d".repeat(253), "d".repeat(224)].iter() {
            let places = [DuePlace::Shard(1), DuePlace::Reports(1)];
            for place in places.into_iter().chain(DuePlace::own(destination)) {
                let longest = place.key(Timestamp(0), &key(1, destination));
                assert!(bytes(longest) <= engine::KEY_BYTES_MAX, "{place:?}");
            }
        }
        assert!(DuePlace::own(&"d".repeat(224)).is_some());
        assert_eq!(DuePlace::own(&"d".repeat(253)), None);
    }

    #[test]
    fn partitions_of_due_rows_are_apart() {
        for shard in 0..DUE_SHARDS {
            assert_eq!(due_partition(shard)[1], 0);
        }
        let places = [DuePlace::Own("m".into()), DuePlace::Own("p".into()), DuePlace::Reports(0)];
        let kinds: Vec<u8> = places.iter().map(|place| place.partition()[1]).collect();
        assert_eq!(kinds, [b'o', b'o', b'r']);
        survives(&Due { version: 300 });
        survives(&Parked { why: "poison".into() });
    }
}
