//! The process's real clock and random bytes.

use std::future::Future;
use std::pin::Pin;

use mail::Instant;

use crate::{Clock, Random};

/// The runtime's monotonic clock and timers (milliseconds fine). Where a test or a simulation has
/// paused the runtime's time, this clock is the paused one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuntimeClock {
    start: tokio::time::Instant,
}

impl RuntimeClock {
    /// What it shows when it is made: far from zero, so that "an hour ago" is a number too.
    pub(crate) const FIRST: Instant = Instant(100_000 * 1_000_000_000);

    pub(crate) fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Clock for RuntimeClock {
    fn instant(&self) -> Instant {
        Self::FIRST.after(self.start.elapsed())
    }

    fn sleep_until(&self, until: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if until == Instant::NEVER {
            return Box::pin(std::future::pending());
        }
        let from_start = until.since(Self::FIRST);
        match self.start.checked_add(from_start) {
            Some(at) => Box::pin(tokio::time::sleep_until(at)),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// Random bytes of the operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system gives random bytes");
    }
}
