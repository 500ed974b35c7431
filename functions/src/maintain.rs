//! `maintain`: what makes events optional, and what keeps the store small.
//!
//! **Wakes it:** the clock, a start, a gap in the events. **Reads:** writer rows, listings, claims.
//! **Writes:** tombstones, watermarks. **A second run is harmless:** a hole is closed by a put that
//! fails if anything is there, a watermark moves by compare-and-set, and only over what is done.

mod sweep;

use std::collections::BTreeSet;

use mail::WriterId;
use store::Store;
use tokio::sync::Mutex;

use crate::handler::{Handler, Outcome};

/// The handler. One per process, so that it knows the holes it saw.
#[derive(Debug)]
pub struct Maintain {
    store: Store,
    holes: Mutex<BTreeSet<(WriterId, u64)>>,
}

/// What `maintain` is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Look at every writer.
    Sweep,
}

impl Maintain {
    /// A maintainer of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, holes: Mutex::default() }
    }

    async fn sweep(&self) -> Outcome {
        let mut holes = self.holes.lock().await;
        match sweep::sweep(&self.store, &mut holes).await {
            Ok(swept) => {
                for key in swept.open {
                    self.store.engines().events.publish(engine::Event::Object(key));
                }
                Outcome::Done
            }
            Err(error) => {
                let now = self.store.engines().index.now();
                let at = now.after(self.store.options().timing.sweep);
                Outcome::Later { at, why: Box::new(error) }
            }
        }
    }
}

impl Handler for Maintain {
    type Event = Vec<Task>;

    async fn handle(&self, tasks: Vec<Task>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(tasks.len());
        for task in tasks {
            outcomes.push(match task {
                Task::Sweep => self.sweep().await,
            });
        }
        outcomes
    }
}
