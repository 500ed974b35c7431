//! A clock that only a test moves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use engine::Clock;
use mail::Instant;

/// Time stands still until [`ManualClock::advance`].
#[derive(Default)]
pub(crate) struct ManualClock {
    state: std::sync::Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    now: Instant,
    wakers: Vec<(Instant, Waker)>,
}

impl ManualClock {
    pub(crate) fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap();
        state.now = state.now.after(by);
        let now = state.now;
        let due: Vec<_> = state.wakers.extract_if(.., |(until, _)| *until <= now).collect();
        drop(state);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

struct Sleep {
    state: std::sync::Arc<Mutex<State>>,
    until: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock().unwrap();
        if state.now >= self.until {
            return Poll::Ready(());
        }
        state.wakers.push((self.until, cx.waker().clone()));
        Poll::Pending
    }
}

impl Clock for ManualClock {
    fn instant(&self) -> Instant {
        self.state.lock().unwrap().now
    }

    fn sleep_until(&self, until: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Sleep { state: self.state.clone(), until })
    }
}
