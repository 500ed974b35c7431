//! Checks against a zone in memory.

mod judging;
mod suite;
mod zone;

use std::sync::Arc;

use engine::memory::World;

use super::{Judge, PolicyOptions};
use zone::Zone;

fn judge(options: PolicyOptions, zone: Zone) -> Judge {
    let clock = World::default().process("edge").clock;
    Judge::new(options, Arc::new(zone), clock).unwrap()
}
