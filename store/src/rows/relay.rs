//! Rows of the relay: who works on which destinations, and what is remembered of them.

use std::time::Duration;

use engine::Key;
use mail::Timestamp;
use mail::codec::{Malformed, Reader, put_varint};

use super::ingest::Lease;
use super::{RowValue, put_text};

/// Longest short word of a row here: a class, a scope, a rule.
const WORD_BYTES_MAX: usize = 80;

/// Longest domain, and longest words of the other side.
const TEXT_BYTES_MAX: usize = 255;

/// Sort key of what is remembered of a destination whatever the egress.
const ALL: &str = "00";

/// Key of a shard of destinations. Put where absent, or taken by version: its version is the
/// fence.
#[must_use]
pub fn shard_key(shard: u16) -> Key {
    Key::new(shards_partition(), shard.to_be_bytes().to_vec())
}

/// Partition of all shards.
#[must_use]
pub fn shards_partition() -> Vec<u8> {
    vec![b's']
}

/// A shard of destinations: one relay at a time works on them, so that it alone keeps their limits
/// [g].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRow {
    /// Who, and until when; free if that is past.
    pub lease: Lease,
}

impl RowValue for ShardRow {
    const NAME: &'static str = "shard row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        self.lease.put(out);
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { lease: Lease::take(reader)? })
    }
}

/// Partition of what is remembered of a destination.
#[must_use]
pub fn destination_partition(destination: &str) -> Vec<u8> {
    [b"t", destination.as_bytes()].concat()
}

/// Key of what is remembered of an egress at a destination, or of the destination itself (`None`).
/// Written by version by whoever holds the destination's shard, and only when it changes [g′].
#[must_use]
pub fn destination_key(destination: &str, egress: Option<&str>) -> Key {
    let sort = egress.map_or_else(|| ALL.to_owned(), |name| format!("e{name}"));
    Key::new(destination_partition(destination), sort.into_bytes())
}

/// Reads the sort key made by [`destination_key`]: the egress, or `None` for the destination.
#[must_use]
pub fn parse_destination_sort(sort: &[u8]) -> Option<Option<&str>> {
    let text = std::str::from_utf8(sort).ok()?;
    if text == ALL { Some(None) } else { text.strip_prefix('e').map(Some) }
}

/// What is remembered of an egress at a destination, or of the destination itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthRow {
    /// What was refused: a class of `functions::refusals`; `down` for the destination itself.
    pub class: String,
    /// What the refusal is attached to.
    pub scope: String,
    /// Which rule said so.
    pub rule: String,
    /// Domain of the sender that was refused.
    pub sender: String,
    /// Held until then.
    pub until: Timestamp,
    /// Length of the hold.
    pub hold: Duration,
    /// Since when.
    pub since: Timestamp,
    /// The last words of the other side, or ours.
    pub words: String,
}

impl RowValue for HealthRow {
    const NAME: &'static str = "destination row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        for word in [&self.class, &self.scope, &self.rule] {
            put_text(out, word, WORD_BYTES_MAX)?;
        }
        put_text(out, &self.sender, TEXT_BYTES_MAX)?;
        put_varint(out, self.until.0);
        put_varint(out, u64::try_from(self.hold.as_millis()).ok()?);
        put_varint(out, self.since.0);
        put_text(out, &self.words, TEXT_BYTES_MAX)
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut word = || reader.str(WORD_BYTES_MAX).map(str::to_owned);
        let (class, scope, rule) = (word()?, word()?, word()?);
        let sender = reader.str(TEXT_BYTES_MAX)?.to_owned();
        let until = Timestamp(reader.varint()?);
        let hold = Duration::from_millis(reader.varint()?);
        let since = Timestamp(reader.varint()?);
        let words = reader.str(TEXT_BYTES_MAX)?.to_owned();
        Ok(Self { class, scope, rule, sender, until, hold, since, words })
    }
}

impl HealthRow {
    /// The same with its texts cut to what a row takes.
    #[must_use]
    pub fn within_limits(mut self) -> Self {
        let cut = |text: &mut String, most| text.truncate(text.floor_char_boundary(most));
        for word in [&mut self.class, &mut self.scope, &mut self.rule] {
            cut(word, WORD_BYTES_MAX);
        }
        cut(&mut self.sender, TEXT_BYTES_MAX);
        cut(&mut self.words, TEXT_BYTES_MAX);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::survives;

    #[test]
    fn what_is_remembered_survives_and_lies_together() {
        let long = HealthRow {
            class: "c".repeat(300),
            words: "\u{e9}".repeat(300),
            hold: Duration::from_millis(1_500),
            ..HealthRow::default()
        };
        assert!(long.encode().is_err());
        survives(&long.within_limits());
        let key = destination_key("far.test", Some("00"));
        assert_eq!(parse_destination_sort(&key.sort), Some(Some("00")));
        let all = destination_key("far.test", None);
        assert_eq!(parse_destination_sort(&all.sort), Some(None));
        assert_eq!(all.partition, key.partition);
        assert_eq!(parse_destination_sort(b"x"), None);
    }
}
