//! `replicate`: the directory's change log becomes rows.
//!
//! **Wakes it:** an event that the log has grown; the clock. **Reads:** the change log after what
//! is applied. **Writes:** directory rows, and how far it is. **A second run is harmless:** only
//! newer goes over older, and deletes leave tombstones [p].

use store::Store;

use crate::handler::{Handler, Outcome};

/// The handler.
#[derive(Debug)]
pub struct Replicate {
    store: Store,
}

impl Replicate {
    /// A replicator on this store.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Handler for Replicate {
    /// Look.
    type Event = ();

    async fn handle(&self, (): ()) -> Vec<Outcome> {
        let applied = self.store.directory().apply_new().await;
        let done = applied.map(|_| Outcome::Done).map_err(Into::into);
        vec![Outcome::of(done, &self.store, self.store.options().timing.sweep)]
    }
}
