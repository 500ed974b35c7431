//! The vocabulary of mail: ids, times, addresses, message structure and summary, trace headers.
//!
//! Pure: no I/O, no async, no clock, no randomness. Everything here is total on any input: it
//! returns a typed error or a bounded result, it never panics.
#![warn(clippy::indexing_slicing, clippy::string_slice)]

pub mod ids;
pub mod time;

pub use ids::{Account, AccountId, Epoch, RecordId, Seq, Uid, UidValidity, WriterId};
pub use time::{Instant, Timestamp};
