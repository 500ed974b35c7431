//! Sets of sequence numbers or UIDs (RFC 9051 §9 `sequence-set`).

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

/// Which messages a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// `$`: the result that SEARCH saved (RFC 5182).
    Saved,
    /// Ranges in the client's order, at least one.
    Ranges(Vec<SetRange>),
}

/// One number, or two in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetRange {
    /// One end.
    pub from: SetNumber,
    /// The other end; the same for a single number.
    pub to: SetNumber,
}

/// A number of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetNumber {
    /// This number.
    Value(NonZeroU32),
    /// `*`: the largest in use.
    Last,
}

impl SetNumber {
    fn value(self, last: u32) -> u32 {
        match self {
            Self::Value(number) => number.get(),
            Self::Last => last,
        }
    }
}

impl Set {
    /// The ranges with `*` as `last`, sorted and merged; none of them holds 0. `None` for
    /// [`Self::Saved`]. Costs n log n in the number of ranges, whatever they span.
    ///
    /// RFC 9051 §9: `*` is the largest number in use, and `559:*` holds it even if it is below 559.
    /// In an empty mailbox (`last` = 0) a range with `*` holds nothing.
    #[must_use]
    pub fn resolve(&self, last: u32) -> Option<Vec<RangeInclusive<u32>>> {
        let Self::Ranges(ranges) = self else { return None };
        let mut pairs: Vec<(u32, u32)> = ranges
            .iter()
            .map(|range| (range.from.value(last), range.to.value(last)))
            .map(|(one, other)| (one.min(other), one.max(other)))
            .filter(|(low, _)| *low > 0)
            .collect();
        pairs.sort_unstable();
        let mut merged: Vec<RangeInclusive<u32>> = Vec::with_capacity(pairs.len());
        for (low, high) in pairs {
            match merged.last_mut() {
                Some(before) if low <= before.end().saturating_add(1) => {
                    *before = *before.start()..=high.max(*before.end());
                }
                _ => merged.push(low..=high),
            }
        }
        Some(merged)
    }

    /// How many numbers it names, those named twice counted twice; a range with `*` counts as one.
    #[must_use]
    pub fn count(&self) -> u64 {
        let Self::Ranges(ranges) = self else { return 0 };
        let size = |range: &SetRange| match (range.from, range.to) {
            (SetNumber::Value(from), SetNumber::Value(to)) => {
                u64::from(from.get().abs_diff(to.get())) + 1
            }
            _ => 1,
        };
        ranges.iter().map(size).sum()
    }

    /// Whether a number in it is above `last`, `*` aside: RFC 9051 §6.4.9 makes that an error for
    /// sequence numbers, not for UIDs. `false` for [`Self::Saved`].
    #[must_use]
    pub fn exceeds(&self, last: u32) -> bool {
        let Self::Ranges(ranges) = self else { return false };
        let above = |number| matches!(number, SetNumber::Value(value) if value.get() > last);
        ranges.iter().any(|range| above(range.from) || above(range.to) || last == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u32, u32)]) -> Set {
        let number = |n| NonZeroU32::new(n).map_or(SetNumber::Last, SetNumber::Value);
        Set::Ranges(
            ranges.iter().map(|&(a, b)| SetRange { from: number(a), to: number(b) }).collect(),
        )
    }

    #[test]
    fn ranges_are_sorted_merged_and_never_hold_zero() {
        assert_eq!(set(&[(7, 5), (1, 1), (2, 3), (6, 9)]).resolve(9), Some(vec![1..=3, 5..=9]));
        // RFC 9051 §9: 559:* holds the last message even where it is below 559.
        assert_eq!(set(&[(559, 0)]).resolve(12), Some(vec![12..=559]));
        assert_eq!(set(&[(0, 0), (3, 0)]).resolve(0), Some(vec![]));
        assert_eq!(
            set(&[(u32::MAX, u32::MAX), (1, 0)]).resolve(u32::MAX),
            Some(vec![1..=u32::MAX])
        );
        assert_eq!(Set::Saved.resolve(3), None);
        assert_eq!(set(&[(5, 3), (9, 9), (1, u32::MAX)]).count(), 4 + u64::from(u32::MAX));
        assert!(set(&[(1, 4)]).exceeds(3));
        assert!(!set(&[(1, 3), (2, 0)]).exceeds(3));
        assert!(set(&[(0, 0)]).exceeds(0));
    }
}
