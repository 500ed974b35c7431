//! Seeded random numbers, the same in every run.

use std::time::Duration;

/// `SplitMix64` (Steele, Lea, Flood 2014): the same numbers for a seed in every version of every
/// library, so that a seed once found keeps its meaning.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// Whether something of this probability in thousandths happens. Draws nothing where it
    /// cannot, so that a world without faults takes no numbers.
    pub(crate) fn chance(&mut self, thousandths: u16) -> bool {
        thousandths > 0 && self.below(1_000) < u64::from(thousandths)
    }

    #[cfg(feature = "conformance")]
    /// One of these, if there are any.
    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let n = self.below(from.len() as u64);
        usize::try_from(n).ok().and_then(|n| from.get(n))
    }

    /// A whole number of milliseconds, 1 to `max`.
    pub(crate) fn up_to(&mut self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(1 + self.below(max))
    }
}
