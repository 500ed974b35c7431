//! Which faults there are, and the seeded dice that choose them.

use std::time::Duration;

/// How a write ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Answered,
    /// `Unavailable`, without effect.
    Failed,
    /// `Unknown`; it was done.
    LostDone,
    /// `Unknown`; it was not done and never will be.
    LostDropped,
    /// `Unknown`; it is done this much later.
    LostLate(Duration),
    /// Done twice, as by a client library that lost the first answer: the second is told [M].
    Repeated,
}

/// Probabilities in thousandths, and bounds of the delays. The default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Of writes: [`Ending::Failed`].
    pub failed: u16,
    /// Of writes: [`Ending::LostDone`].
    pub lost_done: u16,
    /// Of writes: [`Ending::LostDropped`].
    pub lost_dropped: u16,
    /// Of writes: [`Ending::LostLate`].
    pub lost_late: u16,
    /// At most so late does a lost write land.
    pub late_max: Duration,
    /// Of writes: [`Ending::Repeated`].
    pub repeated: u16,
    /// Of reads: `Unavailable`.
    pub read_failed: u16,
    /// Of eventual reads: what was there before the last write.
    pub read_stale: u16,
    /// Of calls: slow, before the effect, after it, or both. This is what reorders them.
    pub slow: u16,
    /// At most so slow, each way.
    pub slow_max: Duration,
    /// Of (event, process): lost.
    pub event_lost: u16,
    /// Of (event, process): told twice.
    pub event_doubled: u16,
    /// Of (event, process): late, and so out of order.
    pub event_late: u16,
    /// At most so late.
    pub event_late_max: Duration,
}

impl Faults {
    /// A thoroughly bad day: about every sixth write does not end well, every third call is slow.
    #[must_use]
    pub fn hostile() -> Self {
        Self {
            failed: 50,
            lost_done: 40,
            lost_dropped: 40,
            lost_late: 30,
            late_max: Duration::from_secs(90),
            repeated: 20,
            read_failed: 50,
            read_stale: 200,
            slow: 300,
            slow_max: Duration::from_millis(1_500),
            event_lost: 200,
            event_doubled: 100,
            event_late: 300,
            event_late_max: Duration::from_secs(20),
        }
    }

    /// No failures, but every call takes its own time: all orders of concurrent calls occur.
    #[must_use]
    pub fn slow() -> Self {
        Self { slow: 1_000, slow_max: Duration::from_millis(20), ..Self::default() }
    }

    pub(crate) fn write(&self, dice: &mut Dice) -> Ending {
        let mut left = dice.below(1_000);
        let mut takes = |chance: u16| match left.checked_sub(u64::from(chance)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        };
        if takes(self.failed) {
            Ending::Failed
        } else if takes(self.lost_done) {
            Ending::LostDone
        } else if takes(self.lost_dropped) {
            Ending::LostDropped
        } else if takes(self.lost_late) {
            Ending::LostLate(dice.up_to(self.late_max))
        } else if takes(self.repeated) {
            Ending::Repeated
        } else {
            Ending::Answered
        }
    }

    /// A delay each way, mostly none.
    pub(crate) fn delays(&self, dice: &mut Dice) -> (Duration, Duration) {
        if !dice.chance(self.slow) {
            return (Duration::ZERO, Duration::ZERO);
        }
        match dice.below(3) {
            0 => (dice.up_to(self.slow_max), Duration::ZERO),
            1 => (Duration::ZERO, dice.up_to(self.slow_max)),
            _ => (dice.up_to(self.slow_max), dice.up_to(self.slow_max)),
        }
    }
}

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

    /// A whole number of milliseconds, 1 to `max`.
    pub(crate) fn up_to(&mut self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(1 + self.below(max))
    }
}
