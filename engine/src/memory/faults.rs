//! Which faults there are, and the seeded dice that choose them.

use std::time::Duration;

use crate::dice::Dice;

/// How a write ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Answered,
    /// `Unavailable`, without effect.
    Failed,
    /// `Full`, without effect.
    Full,
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
    /// Of writes: [`Ending::Full`].
    pub full: u16,
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
            full: 0,
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
        } else if takes(self.full) {
            Ending::Full
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
