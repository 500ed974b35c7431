//! The IMAP core, from outside: transcripts, round trips, torture.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod differential;
mod driver;
mod printer;
mod random;
mod round_trips;
mod torture;
mod transcripts;
