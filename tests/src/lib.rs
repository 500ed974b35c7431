//! Black-box tests: the harness that starts the real binary, small raw clients, and the ledger
//! that judges what became of every message.
//!
//! Nothing here links the product: it runs `postroad` as its users do, and talks to its sockets.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness of tests fails by panicking, with what it saw"
)]

pub mod certificate;
pub mod cluster;
pub mod corpus;
pub mod disk;
pub mod imap;
pub mod ledger;
pub mod message;
pub mod office;
pub mod peer;
pub mod policies;
pub mod scram;
pub mod seeded;
pub mod sink;
pub mod smtp;
pub mod stream;
pub mod wait;
pub mod zone;
pub mod zones;
