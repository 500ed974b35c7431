//! Refusals that no rule knows: what other servers said lately that somebody should write a rule
//! for.

use engine::Key;
use mail::Timestamp;
use mail::codec::{Malformed, Reader, put_varint};

use super::{RowValue, put_list, put_text, shard_of, take_list};

/// Rows that operators are spread over.
pub const UNMATCHED_SLOTS: u16 = 64;

/// Most refusals of one row; the one that was met longest ago goes.
pub const UNMATCHED_MAX: usize = 20;

const NAME_BYTES_MAX: usize = 128;
const STAGE_BYTES_MAX: usize = 20;
const WORDS_BYTES_MAX: usize = 400;

/// One refusal in its normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// Who runs the server: the end of its name.
    pub operator: String,
    /// The server that said it last.
    pub host: String,
    /// Where in the dialogue.
    pub stage: String,
    /// What it said: codes and text in one line.
    pub words: String,
    /// When it was first met.
    pub first: Timestamp,
    /// When it was last met, to a day.
    pub last: Timestamp,
}

impl Unmatched {
    /// The same with its texts cut to what a row takes.
    #[must_use]
    pub fn within_limits(mut self) -> Self {
        let cut = |text: &mut String, most| text.truncate(text.floor_char_boundary(most));
        cut(&mut self.operator, NAME_BYTES_MAX);
        cut(&mut self.host, NAME_BYTES_MAX);
        cut(&mut self.stage, STAGE_BYTES_MAX);
        cut(&mut self.words, WORDS_BYTES_MAX);
        self
    }
}

/// Partition of all unmatched refusals.
#[must_use]
pub fn unmatched_partition() -> Vec<u8> {
    vec![b'y']
}

/// Key of the row that an operator's refusals are in. Written by version by any relay; only economy
/// is lost with it.
#[must_use]
pub fn unmatched_key(operator: &str) -> Key {
    let slot = shard_of(operator.as_bytes(), UNMATCHED_SLOTS);
    Key::new(unmatched_partition(), vec![slot])
}

/// Refusals of the operators of one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnmatchedRow {
    /// At most [`UNMATCHED_MAX`].
    pub refusals: Vec<Unmatched>,
}

impl UnmatchedRow {
    /// Adds one; whether the row is another one now. `same`: whether it is one that is there; that
    /// one is told again once a day only.
    pub fn add(&mut self, new: Unmatched, same: impl Fn(&Unmatched) -> bool) -> bool {
        const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
        if let Some(known) = self.refusals.iter_mut().find(|known| same(known)) {
            if new.last.since(known.last) < DAY {
                return false;
            }
            known.last = new.last;
            return true;
        }
        if self.refusals.len() >= UNMATCHED_MAX
            && let Some(oldest) = (0..self.refusals.len()).min_by_key(|at| self.refusals[*at].last)
        {
            self.refusals.remove(oldest);
        }
        self.refusals.push(new.within_limits());
        true
    }
}

impl RowValue for UnmatchedRow {
    const NAME: &'static str = "unmatched row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_list(out, &self.refusals, UNMATCHED_MAX, |out, one| {
            put_text(out, &one.operator, NAME_BYTES_MAX)?;
            put_text(out, &one.host, NAME_BYTES_MAX)?;
            put_text(out, &one.stage, STAGE_BYTES_MAX)?;
            put_text(out, &one.words, WORDS_BYTES_MAX)?;
            put_varint(out, one.first.0);
            put_varint(out, one.last.0);
            Some(())
        })
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let refusals = take_list(reader, UNMATCHED_MAX, |r| {
            Ok(Unmatched {
                operator: r.str(NAME_BYTES_MAX)?.to_owned(),
                host: r.str(NAME_BYTES_MAX)?.to_owned(),
                stage: r.str(STAGE_BYTES_MAX)?.to_owned(),
                words: r.str(WORDS_BYTES_MAX)?.to_owned(),
                first: Timestamp(r.varint()?),
                last: Timestamp(r.varint()?),
            })
        })?;
        Ok(Self { refusals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::survives;

    #[test]
    fn refusals_survive_and_the_oldest_go() {
        let one = |n: u64| Unmatched {
            operator: "x".repeat(300),
            host: "y".repeat(300),
            stage: "z".repeat(300),
            words: format!("550 {n} {}", "\u{e9}".repeat(300)),
            first: Timestamp(n),
            last: Timestamp(n),
        };
        let mut row = UnmatchedRow::default();
        for n in 0..50 {
            assert!(row.add(one(n), |_| false));
        }
        assert_eq!(row.refusals.len(), UNMATCHED_MAX);
        assert_eq!(row.refusals[0].first, Timestamp(30));
        survives(&row);
        assert!(!row.add(one(60), |known| known.first == Timestamp(40)));
        assert!(row.add(one(90_000_000), |known| known.first == Timestamp(40)));
        assert_eq!(row.refusals[10].last, Timestamp(90_000_000));
    }
}
