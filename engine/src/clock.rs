//! Time and chance, injected so that a simulation owns both.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use mail::Instant;

/// The time given was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// The process's monotonic clock.
pub trait Clock: Send + Sync {
    /// Now.
    fn instant(&self) -> Instant;

    /// Ready at `until`; at once if that is past; never for [`Instant::NEVER`].
    fn sleep_until(&self, until: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl dyn Clock {
    /// Ready after `time`.
    pub fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.sleep_until(self.instant().after(time))
    }

    /// `future`'s answer, if it comes by `deadline`; the future is dropped otherwise.
    /// # Errors
    /// [`Elapsed`] at the deadline.
    pub async fn by<F: Future>(&self, deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
        let mut late = self.sleep_until(deadline);
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            if let std::task::Poll::Ready(answer) = future.as_mut().poll(cx) {
                return std::task::Poll::Ready(Ok(answer));
            }
            late.as_mut().poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }

    /// `future`'s answer, if it comes within `time`.
    /// # Errors
    /// [`Elapsed`] when the time is up.
    pub async fn timeout<F: Future>(
        &self,
        time: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        self.by(self.instant().after(time), future).await
    }
}

/// Source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Random {
    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random number below `bound`, or 0 if `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        u64::from_be_bytes(self.bytes()).checked_rem(bound).unwrap_or(0)
    }

    /// A fresh nonce for a row.
    pub fn nonce(&self) -> crate::Nonce {
        crate::Nonce(self.bytes())
    }
}
