//! The store of one process in one region: all of its parts behind one handle.

use std::sync::Arc;

use engine::Engines;

use crate::claims::Claims;
use crate::context::Context;
use crate::directory::Directory;
use crate::items::Items;
use crate::options::Options;
use crate::space::Space;
use crate::writers::Writers;

/// What edges and functions are given. Cloning shares it.
#[derive(Clone)]
pub struct Store(Arc<Parts>);

struct Parts {
    cx: Arc<Context>,
    claims: Claims,
    writers: Writers,
    items: Items,
    directory: Directory,
    space: Arc<Space>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("region", &self.options().region).finish_non_exhaustive()
    }
}

impl Store {
    /// The store on these engines.
    #[must_use]
    pub fn new(engines: Engines, options: Options) -> Self {
        let cx = Arc::new(Context::new(engines, options));
        let space = Arc::new(Space::new(cx.clone()));
        Self(Arc::new(Parts {
            claims: Claims::new(cx.clone()),
            writers: Writers::new(cx.clone()),
            items: Items::new(cx.clone()),
            directory: Directory::new(cx.clone()),
            space,
            cx,
        }))
    }

    /// The engines below: clock, randomness, wake-ups and tasks for those above.
    #[must_use]
    pub fn engines(&self) -> &Engines {
        &self.0.cx.engines
    }

    /// What was set.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.cx.options
    }

    /// Who delivers which segment.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// Who puts ingest segments.
    #[must_use]
    pub fn writers(&self) -> &Writers {
        &self.0.writers
    }

    /// Outbound, delayed and parked work.
    #[must_use]
    pub fn items(&self) -> &Items {
        &self.0.items
    }

    /// Domains, addresses, accounts.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Room on the medium.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.0.space
    }
}
