//! Work that costs CPU for long, beside the tasks that serve everybody: checking a password.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Pieces of work that wait for a turn; one more is turned away (I8). At about 10 ms each and two
/// cores, the last one waits for little more than a second.
const WAITING_MAX: usize = 256;

/// Most pieces of work done at once, however many cores there are.
const RUNNING_MAX: usize = 16;

/// So much work waits already that more would come too late: ask again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much waits to be computed")]
pub struct Busy;

/// Does work on threads of its own, at most as many at once as there are cores: whoever waits for
/// it keeps no thread of the runtime.
#[derive(Clone, Debug)]
pub struct Work {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    threads: bool,
}

impl Default for Work {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores.min(RUNNING_MAX), WAITING_MAX)
    }
}

impl Work {
    /// At most `running` pieces of work at once and `waiting` behind them.
    #[must_use]
    pub fn new(running: usize, waiting: usize) -> Self {
        let places = Arc::new(Semaphore::new(running + waiting));
        Self { places, turns: Arc::new(Semaphore::new(running)), threads: true }
    }

    /// Does it where it is asked for, one piece at a time: the same every time, for simulation.
    #[must_use]
    pub fn inline() -> Self {
        Self { threads: false, ..Self::new(1, WAITING_MAX) }
    }

    /// Does `work` when its turn comes, and returns what it returns. Who does not wait any longer
    /// before that gives up its place; what has begun is done to its end.
    /// # Errors
    /// [`Busy`]; nothing was done.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Busy>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Busy)?;
        if !self.threads {
            return Ok(work());
        }
        // The bound is on what is done, not on who waits for it: both are kept until it ends.
        let done = tokio::task::spawn_blocking(move || {
            let _kept = (place, turn);
            work()
        });
        done.await.map_err(|error| {
            // A panic ends one piece of work; the runtime stopping ends all.
            tracing::error!(%error, "work was not done");
            Busy
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn more_than_may_wait_is_turned_away_and_the_rest_is_done() {
        let work = Work::new(1, 1);
        let (go, held) = mpsc::channel::<()>();
        let first = work.run(move || held.recv().is_err());
        let second = work.run(|| 2);
        tokio::pin!(first, second);
        // The first runs, the second waits, there is no place for a third.
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(work.run(|| 3).await, Err(Busy));
        drop(go);
        assert_eq!((first.await, second.await), (Ok(true), Ok(2)));
        assert_eq!(work.run(|| 3).await, Ok(3));
    }

    #[tokio::test]
    async fn who_leaves_while_waiting_gives_up_its_place() {
        let work = Work::new(1, 1);
        let (go, held) = mpsc::channel::<()>();
        let first = work.run(move || held.recv().is_err());
        tokio::pin!(first);
        assert!(first.as_mut().now_or_never().is_none());
        {
            let second = work.run(|| 2);
            tokio::pin!(second);
            assert!(second.as_mut().now_or_never().is_none());
        }
        drop(go);
        let third = work.run(|| 3);
        assert_eq!((first.await, third.await), (Ok(true), Ok(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn in_simulation_it_is_done_at_once() {
        assert_eq!(Work::inline().run(|| 1).await, Ok(1));
    }
}
