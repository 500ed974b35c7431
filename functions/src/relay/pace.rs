//! How fast messages may go to one destination: so many a minute, a tenth of them at once. Pure.

use std::time::Duration;

use mail::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

/// No pace makes anybody wait for longer: what says so is a clock that jumped (I10).
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// From one message to the next.
    interval: Duration,
    /// How much sooner than that some may go.
    ahead: Duration,
}

impl Pace {
    /// `None`: as fast as it goes.
    pub(super) fn of(per_minute: u32) -> Option<Self> {
        let interval = MINUTE.checked_div(per_minute)?;
        let at_once = (per_minute / 10).max(1);
        Some(Self { interval, ahead: interval * (at_once - 1) })
    }
}

/// Where one destination stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Paced {
    /// When the next message is neither early nor late.
    on_time: Timestamp,
    /// Before this none goes.
    not_before: Timestamp,
}

impl Paced {
    /// Until when none may go; `None`: one may now.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = self.not_before > now && self.not_before.since(now) <= WAIT_MAX;
        waits.then_some(self.not_before)
    }

    /// One goes.
    pub(super) fn spend(&mut self, pace: Pace, now: Timestamp) {
        let known = Some(self.on_time).filter(|at| *at > now && at.since(now) <= WAIT_MAX);
        self.set(known.unwrap_or(now).after(pace.interval), pace);
    }

    /// One did not go after all.
    pub(super) fn refund(&mut self, pace: Pace) {
        let ms = u64::try_from(pace.interval.as_millis()).unwrap_or(0);
        self.set(Timestamp(self.on_time.0.saturating_sub(ms)), pace);
    }

    fn set(&mut self, on_time: Timestamp, pace: Pace) {
        let ahead = u64::try_from(pace.ahead.as_millis()).unwrap_or(0);
        self.on_time = on_time;
        self.not_before = Timestamp(on_time.0.saturating_sub(ahead));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_goes_at_once_and_the_rest_in_time() {
        assert_eq!(Pace::of(0), None);
        let pace = Pace::of(60).unwrap();
        let begin = Timestamp(1_000_000);
        let mut paced = Paced::default();
        let (mut now, mut gone) = (begin, Vec::new());
        while gone.len() < 10 {
            match paced.wait(now) {
                None => {
                    paced.spend(pace, now);
                    gone.push(now.since(begin).as_secs());
                }
                Some(until) => now = until,
            }
        }
        assert_eq!(gone, [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        assert!(paced.wait(now).is_some());
        paced.refund(pace);
        assert_eq!(paced.wait(now), None);
        paced.spend(pace, now);
        // A clock that went back by an hour makes nobody wait for it.
        assert_eq!(paced.wait(Timestamp(1)), None);
        let slow = Pace::of(1).unwrap();
        let mut paced = Paced::default();
        paced.spend(slow, begin);
        assert_eq!(paced.wait(begin), Some(begin.after(MINUTE)));
    }
}
