//! Chance of the simulation's own actors, from the seed and the actor's name.

use tests::seeded::Seeded;

/// An actor's dice.
pub(crate) struct Dice(Seeded);

impl Dice {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(Seeded::new(name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, mix)))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// True in so many of a hundred.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> std::time::Duration {
        let span = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        std::time::Duration::from_millis(from + u64::try_from(self.below(span)).unwrap_or(0))
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        self.0.one_of(all)
    }
}
