//! What happens to mail after it was accepted: event handlers that may run anywhere, any number at
//! once, again and again.
//!
//! Each handler tells in its first lines what wakes it, what it reads and writes, and why a second
//! run is harmless. None keeps anything that is not in rows and objects, knows its host, or counts
//! on an event. [`host`] runs them.

pub mod bounce;
pub mod deliver;
pub mod egress;
#[cfg(test)]
mod embedded_tests;
mod handler;
pub mod host;
mod local_items;
pub mod maintain;
pub mod refusals;
pub mod relay;
mod replicate;
pub mod reports;
pub mod routes;
mod signing;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use bounce::Bounce;
pub use deliver::Deliver;
pub use handler::{Error, Handler, Outcome};
pub use local_items::LocalItems;
pub use maintain::Maintain;
pub use replicate::Replicate;
