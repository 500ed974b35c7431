//! The conformance suite on every engine that needs nothing else.

use std::time::Duration;

use engine::conformance::Region;
use engine::memory::{Faults, Options, World};
use engine::{Config, Engines, conformance};

/// The embedded engines in a temporary directory.
struct Local(tempfile::TempDir, bool);

impl Local {
    fn new(unnamed_drafts: bool) -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"), unnamed_drafts)
    }
}

impl Region for Local {
    fn process(&self) -> Engines {
        let mut config = Config::new(self.0.path().join("store"));
        config.ballast_bytes = 64 << 10;
        config.unnamed_drafts = self.1;
        engine::open(&config).expect("the store opens")
    }
}

/// The in-memory engines, with these faults.
struct Memory(World);

impl Memory {
    fn new(seed: u64, faults: Faults) -> Self {
        let world = World::new(Options { seed, ..Options::default() });
        world.set_faults(faults);
        Self(world)
    }
}

#[async_trait::async_trait]
impl Region for Memory {
    fn process(&self) -> Engines {
        self.0.process("process")
    }

    async fn calm(&self) {
        self.0.set_faults(Faults::default());
        self.process().clock.sleep(Duration::from_secs(300)).await;
    }
}

mod memory {
    use super::*;
    conformance!(
        #[tokio::test(start_paused = true)]
        Memory::new(1, Faults::default())
    );
}

mod memory_slow {
    use super::*;
    conformance!(
        #[tokio::test(start_paused = true)]
        Memory::new(2, Faults::slow())
    );
}

mod local {
    use super::*;
    conformance!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        Local::new(true)
    );
}

/// As on file systems that have no unnamed files.
mod local_with_named_drafts {
    use super::*;
    conformance!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        Local::new(false)
    );
}

/// With every fault there is, fifty seeds.
mod memory_with_faults {
    use super::*;

    macro_rules! seeds {
        ($($promise:ident)+) => {
            $(#[tokio::test(start_paused = true)]
            async fn $promise() {
                for seed in 0..50 {
                    let region = Memory::new(seed, Faults::hostile());
                    conformance::hostile::$promise(&region).await;
                }
            })+
        };
    }

    seeds!(p01_a_put_settles_to_one_content_for_all p02_unavailable_is_not_stored
           p03_each_version_has_one_writer p04_answered_rows_are_read_back);
}
