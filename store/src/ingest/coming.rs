//! Who is about to ask for a place in the next segment.

use std::sync::{Arc, Mutex, PoisonError};

/// Counts the messages that were begun since the last put began, and are neither queued nor given
/// up. One begun before that is not waited for again: whoever is slow holds nobody up twice.
#[derive(Default)]
pub(super) struct Coming {
    /// One more reference for each of them.
    round: Mutex<Arc<Round>>,
}

#[derive(Default)]
struct Round;

/// One message on its way, as long as this lives.
pub(super) struct OnItsWay {
    _round: Arc<Round>,
}

impl Coming {
    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Round>> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more is on its way.
    pub(super) fn begin(&self) -> OnItsWay {
        OnItsWay { _round: self.lock().clone() }
    }

    /// A put begins: only who begins after it counts from now on.
    pub(super) fn next_round(&self) {
        *self.lock() = Arc::default();
    }

    /// How many are on their way.
    pub(super) fn count(&self) -> usize {
        Arc::strong_count(&self.lock()).saturating_sub(1)
    }
}
