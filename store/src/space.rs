//! Room on the medium: accepting stops while less than a twentieth is free, and what deletes may
//! use the ballast [α].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::{ReadError, WriteError};

use crate::context::Context;

/// What an admin is told.
const GOES: &str = "the medium is nearly full: nothing is accepted, the ballast goes";

/// What is known about the room left.
pub struct Space {
    cx: Arc<Context>,
    full: AtomicBool,
    /// When it was last looked at, in nanoseconds of the process's clock; 0 is never.
    looked: AtomicU64,
    /// Whether this process gave up the ballast.
    given_up: AtomicBool,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").field("full", &self.full).finish_non_exhaustive()
    }
}

impl Space {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        Self {
            cx,
            full: AtomicBool::new(false),
            looked: AtomicU64::new(0),
            // Unknown at start: a ballast that an earlier process gave up is made again.
            given_up: AtomicBool::new(true),
        }
    }

    /// Whether accepting has to stop: less than `free_percent_min` of the medium is free. Asks the
    /// engine at most once in `space_check`, and answers from memory otherwise; an engine that
    /// cannot tell changes nothing.
    pub async fn is_full(&self) -> bool {
        let now = self.cx.engines.clock.instant();
        let last = self.looked.load(Ordering::Relaxed);
        let due = last == 0 || now.since(mail::Instant(last)) >= self.cx.options.timing.space_check;
        if due && self.looked.swap(now.0.max(1), Ordering::Relaxed) == last {
            match self.look().await {
                Ok(full) => self.full.store(full, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "cannot tell how much room is left"),
            }
        }
        self.full.load(Ordering::Relaxed)
    }

    /// A put was refused for want of room: nothing is accepted until the next look says otherwise.
    pub(crate) fn seen_full(&self) {
        self.full.store(true, Ordering::Relaxed);
        self.looked.store(self.cx.engines.clock.instant().0.max(1), Ordering::Relaxed);
    }

    /// What deletes was refused for want of room: the ballast goes now, not with the next sweep [α].
    pub(crate) async fn give_up_ballast(&self) {
        self.seen_full();
        // Also if it is not known to be there: an earlier process, or another, may have made it.
        match self.cx.engines.objects.release_ballast(true).await {
            Ok(()) if self.given_up.swap(true, Ordering::Relaxed) => {}
            Ok(()) => tracing::error!("{GOES}"),
            Err(error) => tracing::error!(%error, "the medium is full, and the ballast stays"),
        }
    }

    async fn look(&self) -> Result<bool, ReadError> {
        let Some(space) = self.cx.engines.objects.space().await? else { return Ok(false) };
        let percent = self.cx.options.free_percent_min;
        Ok(space.free < space.total / 100 * percent)
    }

    /// Gives up the ballast while the medium is full, so that `maintain` can delete, and makes it
    /// again when it is not. Harmless when nothing has changed.
    /// # Errors
    /// As the engine's; try again with the next sweep.
    pub async fn tend_ballast(&self) -> Result<(), WriteError> {
        let full = self.is_full().await;
        if full != self.given_up.load(Ordering::Relaxed) {
            self.cx.engines.objects.release_ballast(full).await?;
            self.given_up.store(full, Ordering::Relaxed);
            if full {
                tracing::error!("{GOES}");
            }
        }
        Ok(())
    }
}
