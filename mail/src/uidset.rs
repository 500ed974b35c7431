//! Sets of UIDs (or sequence numbers): sorted ranges that neither touch nor overlap.
//!
//! Every operation costs at most the number of ranges; building from many numbers in any order
//! costs one sort. A set of all UIDs of a mailbox is one range.

use std::fmt;
use std::ops::RangeInclusive;

use crate::codec::{Malformed, Reader, put_varint};

/// Most ranges a stored or parsed set may have: 65,536 vanished UIDs, none adjacent [W], fit.
pub const RANGES_MAX: usize = 65_536;

/// A set of non-zero 32-bit numbers as sorted, merged, inclusive ranges.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UidSet {
    ranges: Vec<(u32, u32)>,
}

/// Text that is not an IMAP `sequence-set`. Answer the command with BAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sequence set")]
pub struct SetSyntax;

impl UidSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// The numbers of these ranges; reversed ones are turned round (RFC 9051 §9 `seq-range`), and
    /// zero is left out.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut ranges: Vec<_> = ranges
            .into_iter()
            .map(|(a, b)| (a.min(b).max(1), a.max(b)))
            .filter(|(first, last)| first <= last)
            .collect();
        ranges.sort_unstable();
        Self { ranges: merged(ranges) }
    }

    /// Adds one number. Cheap at the end; else it costs the number of ranges.
    pub fn insert(&mut self, number: u32) {
        self.insert_range(number..=number);
    }

    /// Adds all numbers of a range. Cheap at the end; else it costs the number of ranges.
    pub fn insert_range(&mut self, range: RangeInclusive<u32>) {
        let (mut first, mut last) = ((*range.start()).max(1), *range.end());
        if first > last {
            return;
        }
        // Ranges before `from` end before `first` without touching it; those after `to` begin
        // after `last` without touching it.
        let from = self.ranges.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.ranges.partition_point(|(start, _)| *start <= last.saturating_add(1));
        if let Some((start, _)) = self.ranges.get(from)
            && from < to
        {
            first = first.min(*start);
        }
        if let Some((_, end)) = to.checked_sub(1).and_then(|at| self.ranges.get(at))
            && from < to
        {
            last = last.max(*end);
        }
        self.ranges.splice(from..to.max(from), [(first, last)]);
    }

    /// Whether `number` is in the set; a binary search.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        let at = self.ranges.partition_point(|(_, last)| *last < number);
        self.ranges.get(at).is_some_and(|(first, _)| *first <= number)
    }

    /// Whether it has no number.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// The smallest number.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.ranges.first().map(|(first, _)| *first)
    }

    /// The greatest number.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.ranges.last().map(|(_, last)| *last)
    }

    /// The ranges, ascending, neither touching nor overlapping.
    pub fn ranges(
        &self,
    ) -> impl ExactSizeIterator<Item = RangeInclusive<u32>> + DoubleEndedIterator {
        self.ranges.iter().map(|(first, last)| *first..=*last)
    }

    /// The numbers, ascending. A set may hold 2³² of them: bound the walk by what exists.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.ranges().flatten()
    }

    /// All numbers of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = Vec::with_capacity(self.ranges.len() + other.ranges.len());
        all.extend_from_slice(&self.ranges);
        all.extend_from_slice(&other.ranges);
        all.sort();
        Self { ranges: merged(all) }
    }

    /// The numbers that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut ours, mut theirs) =
            (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut ranges = Vec::new();
        while let (Some((a, b)), Some((c, d))) = (ours.peek(), theirs.peek()) {
            let (first, last) = (*a.max(c), *b.min(d));
            if first <= last {
                ranges.push((first, last));
            }
            if b < d {
                ours.next();
            } else {
                theirs.next();
            }
        }
        Self { ranges }
    }

    /// The numbers of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut holes = other.ranges.iter().peekable();
        let mut ranges = Vec::new();
        for (first, last) in &self.ranges {
            let mut next = Some(*first);
            while let (Some(at), Some((start, end))) = (next, holes.peek()) {
                if *end < at {
                    holes.next();
                } else if *start > *last {
                    break;
                } else {
                    if *start > at {
                        ranges.push((at, start - 1));
                    }
                    next = end.checked_add(1).filter(|after| after <= last);
                }
            }
            if let Some(at) = next {
                ranges.push((at, *last));
            }
        }
        Self { ranges }
    }

    /// Reads an IMAP `sequence-set` (RFC 9051 §9), where `*` is `star`: the greatest number in
    /// use, or 0 if there is none (then `*` names nothing). At most [`RANGES_MAX`] elements.
    /// # Errors
    /// [`SetSyntax`] if it is not one.
    pub fn parse(text: &str, star: u32) -> Result<Self, SetSyntax> {
        let mut ranges = Vec::new();
        for element in text.split(',') {
            if ranges.len() >= RANGES_MAX {
                return Err(SetSyntax);
            }
            ranges.push(match element.split_once(':') {
                None => {
                    let number = parse_number(element, star)?;
                    (number, number)
                }
                Some((a, b)) => (parse_number(a, star)?, parse_number(b, star)?),
            });
        }
        // RFC 9051 §9: in an empty mailbox "*" and ranges with it name no message.
        if star == 0 {
            ranges.retain(|(a, b)| *a != 0 && *b != 0);
        }
        Ok(Self::from_ranges(ranges))
    }

    /// Appends the set: the count of ranges, then each as gap and length (varints).
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.ranges.len() as u64);
        let mut after = 0;
        for (first, last) in &self.ranges {
            put_varint(out, u64::from(first - after));
            put_varint(out, u64::from(last - first));
            after = *last;
        }
    }

    /// Reads what [`Self::encode`] wrote.
    /// # Errors
    /// [`Malformed`] if it is not that, or over [`RANGES_MAX`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(RANGES_MAX)?;
        let mut ranges = Vec::with_capacity(count);
        let mut after = 0_u32;
        for index in 0..count {
            let gap = reader.varint32()?;
            let length = reader.varint32()?;
            // Only merged sets are written: a gap of 1 would have been part of the range before.
            if gap == 0 || (gap == 1 && index > 0) {
                return Err(Malformed("uid set"));
            }
            let first = after.checked_add(gap).ok_or(Malformed("uid set"))?;
            let last = first.checked_add(length).ok_or(Malformed("uid set"))?;
            ranges.push((first, last));
            after = last;
        }
        Ok(Self { ranges })
    }
}

/// Sorted ranges, joined where they touch or overlap.
fn merged(sorted: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match ranges.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => ranges.push((first, last)),
        }
    }
    ranges
}

fn parse_number(text: &str, star: u32) -> Result<u32, SetSyntax> {
    if text == "*" {
        return Ok(star);
    }
    // RFC 9051 §9 nz-number: no leading zero, no sign.
    if text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SetSyntax);
    }
    text.parse().map_err(|_| SetSyntax)
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        Self::from_ranges(numbers.into_iter().map(|number| (number, number)))
    }
}

/// As IMAP writes it: `1:3,7`. Empty for the empty set, which IMAP cannot write.
impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}:{last}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UidSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn parse(text: &str) -> UidSet {
        UidSet::parse(text, 10).unwrap()
    }

    #[test]
    fn text_is_read_merged_and_written() {
        assert_eq!(parse("3,1:2,7").to_string(), "1:3,7");
        assert_eq!(parse("5:2,*").to_string(), "2:5,10");
        assert_eq!(parse("12:*").to_string(), "10:12"); // RFC 9051 §6.4.8: includes the last.
        assert_eq!(UidSet::parse("*,1:*,4", 0).unwrap().to_string(), "4");
        assert_eq!(UidSet::parse("4294967295:1", 1).unwrap().len(), 4_294_967_295);
        for bad in
            ["", "0", "1,", ",1", "1:", ":1", "01", "+1", "-1", "a", "1:2:3", "4294967296", "1 "]
        {
            assert_eq!(UidSet::parse(bad, 9), Err(SetSyntax), "{bad:?}");
        }
    }

    #[test]
    fn ends_of_the_range_do_not_overflow() {
        let mut set = UidSet::new();
        set.insert(u32::MAX);
        set.insert(u32::MAX - 1);
        set.insert(0);
        set.insert(1);
        assert_eq!(set.to_string(), "1,4294967294:4294967295");
        assert!(set.contains(u32::MAX) && !set.contains(0));
        assert_eq!(set.difference(&parse("1")).iter().count(), 2);
        let all = UidSet::from_ranges([(0, u32::MAX)]);
        assert!(set.difference(&all).is_empty());
        assert_eq!(all.difference(&set).to_string(), "2:4294967293");
    }

    #[test]
    fn agrees_with_a_set_of_numbers_under_random_operations() {
        let mut state = 42_u64;
        let mut random = |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(state >> 33).unwrap() % below
        };
        let mut other = (UidSet::new(), BTreeSet::new());
        for _ in 0..300 {
            let (mut set, mut naive) = (UidSet::new(), BTreeSet::new());
            for _ in 0..random(20) {
                let first = random(60);
                let last = first + random(6);
                set.insert_range(first..=last);
                naive.extend((first..=last).filter(|number| *number > 0));
                assert_eq!(
                    set.iter().collect::<Vec<_>>(),
                    naive.iter().copied().collect::<Vec<_>>()
                );
            }
            assert_eq!(set, naive.iter().copied().collect::<UidSet>());
            assert_eq!(set.len(), naive.len() as u64);
            assert!((0..70).all(|number| set.contains(number) == naive.contains(&number)));
            let same =
                |left: UidSet, right: Vec<u32>| assert_eq!(left.iter().collect::<Vec<_>>(), right);
            same(set.union(&other.0), naive.union(&other.1).copied().collect());
            same(set.intersection(&other.0), naive.intersection(&other.1).copied().collect());
            same(set.difference(&other.0), naive.difference(&other.1).copied().collect());
            let mut out = Vec::new();
            set.encode(&mut out);
            assert_eq!(UidSet::decode(&mut Reader::new(&out)), Ok(set.clone()));
            if !set.is_empty() {
                assert_eq!(UidSet::parse(&set.to_string(), 0), Ok(set.clone()));
            }
            other = (set, naive);
        }
    }

    #[test]
    fn damaged_encodings_are_seen() {
        for bad in
            [&[1, 0, 0][..], &[2, 1, 0, 1, 0], &[1, 1], &[9, 1, 1], &[1, 1, 255, 255, 255, 255, 15]]
        {
            assert!(UidSet::decode(&mut Reader::new(bad)).is_err(), "{bad:?}");
        }
    }
}
