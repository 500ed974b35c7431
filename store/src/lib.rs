//! The heart of Postroad: segments, account logs, replay, checkpoints, the directory, outbound
//! items and hints. Knows [`engine`] and [`mail`] only.
//!
//! The formats ([`segment`], [`entry`], [`checkpoint`], [`rows`]) and the account's [`state`] are
//! pure: no I/O, no async, no clock. docs/formats.md describes every stored byte.

pub mod change;
pub mod entry;
pub mod inline;
pub mod names;
pub mod place;
pub mod rows;
#[cfg(test)]
mod testing;
