//! Waiting on conditions, with a deadline; the only place of the harness that knows time.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous: machines are noisy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `condition` until it answers, at most [`PATIENCE`]; fails with `what` then.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        pause(Duration::from_millis(5));
    }
}

/// Lets others run for a moment between two looks at a condition.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Now, for measuring.
#[expect(clippy::disallowed_methods, reason = "the harness measures real processes")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}
