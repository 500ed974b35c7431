//! What kind of time a run has, by its seed: some holes open only where a log is busy, others only
//! where nobody keeps it.

/// A run's kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mood {
    /// Accounts change so often that the ring goes round several times while somebody hangs.
    pub(crate) busy: bool,
    /// Nobody makes checkpoints in advance: only a full ring does [A].
    pub(crate) lazy: bool,
    /// Processes hang for longer than anything lives, and what was lost lands as late.
    pub(crate) hangs: bool,
}

impl Mood {
    /// Two seeds of each kind, one after the other: one with one put in flight, one with more.
    pub(crate) fn of(seed: u64) -> Self {
        match seed / 2 % 4 {
            0 => Self::default(),
            1 | 2 => Self { busy: true, hangs: true, ..Self::default() },
            _ => Self { busy: true, lazy: true, ..Self::default() },
        }
    }
}
