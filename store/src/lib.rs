//! The heart of Postroad: segments, account logs, replay, checkpoints, the directory, outbound
//! items and hints. Knows [`engine`] and [`mail`] only.
//!
//! The formats ([`segment`], [`entry`], [`checkpoint`], [`rows`]) and the account's [`state`] are
//! pure: no I/O, no async, no clock. docs/formats.md describes every stored byte.

mod account;
mod accounts;
mod bodies;
mod budgets;
pub mod change;
pub mod checkpoint;
mod claims;
mod context;
pub mod directory;
pub mod entry;
mod follow;
#[cfg(test)]
mod golden;
mod hints;
mod ingest;
pub mod inline;
mod items;
mod made;
pub mod names;
mod office;
mod options;
mod origin;
mod packing;
pub mod place;
mod policies;
mod reports;
pub mod rows;
pub mod segment;
mod space;
pub mod state;
#[cfg(test)]
mod testing;
mod writers;

pub use account::{
    AccountLog, AppendBody, Appended, ChangeError, Changed, Copied, DeliverError, Delivered,
    Delivery, LogError, Told,
};
pub use budgets::Budgets;
pub use claims::{Claims, FAN_PAGES_MAX};
pub use directory::Directory;
pub use hints::Hints;
pub use ingest::{Accept, AcceptError, Incoming, Ingest, Receipt, Taken, Whole};
pub use items::{Announced, Hand, Items};
pub use made::{Made, cause_of, derived_id, told_by};
pub use office::Store;
pub use options::{Options, Reporting, Timing, Upkeep};
pub use origin::{bare_message_id, origin, origin_of};
pub use policies::Policies;
pub use reports::{Filed, Reports};
pub use space::Space;
pub use writers::Writers;
