//! Best-effort wake-ups. Anything here may be lost, doubled, late or out of order (H6): sweeps
//! and range queries make every one of them optional.

use std::sync::Arc;

use async_trait::async_trait;
use mail::AccountId;
use tokio::sync::broadcast;

/// Something happened that somebody may be waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An object was put under this key.
    Object(crate::ObjectKey),
    /// These accounts' logs have grown.
    Accounts(Arc<[AccountId]>),
    /// The directory's change log has grown.
    Directory,
    /// Outbound items became due.
    Items,
}

/// Wake-ups between the processes of a region, and within one.
#[async_trait]
pub trait Events: Send + Sync {
    /// Tells every subscriber of every process of the region, itself included. Never blocks and
    /// never fails: who cannot be told now is not told.
    fn publish(&self, event: Event);

    /// Starts to listen.
    fn subscribe(&self) -> Box<dyn Subscription>;
}

/// One listener's bounded queue of events.
#[async_trait]
pub trait Subscription: Send {
    /// The next event. `None`: some were lost because this listener was too slow; look at
    /// everything.
    async fn next(&mut self) -> Option<Event>;
}

/// What a process's queue holds: an event, or that some were lost on the way.
pub(crate) type Told = Option<Event>;

/// A subscription to a process's own bounded queue of events, whatever brings them there.
pub(crate) fn listen(events: &broadcast::Sender<Told>) -> Box<dyn Subscription> {
    Box::new(Listener(events.subscribe()))
}

struct Listener(broadcast::Receiver<Told>);

#[async_trait]
impl Subscription for Listener {
    async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(told) => told,
            Err(broadcast::error::RecvError::Lagged(_)) => None,
            // The process's engines are gone: nothing will ever come.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
