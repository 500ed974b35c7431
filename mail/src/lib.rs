//! The vocabulary of mail: ids, times, addresses, message structure and summary, trace headers.
//!
//! Pure: no I/O, no async, no clock, no randomness. Everything here is total on any input: it
//! returns a typed error or a bounded result, it never panics.
#![warn(clippy::indexing_slicing, clippy::string_slice)]

pub mod address;
pub mod arc;
pub mod codec;
pub mod date;
pub mod dkim;
pub mod dmarc;
pub mod dsn;
pub mod envelope;
pub mod flags;
pub mod header;
pub mod ids;
pub mod mailbox;
pub mod part;
pub mod reply;
pub mod report;
pub mod spf;
pub mod srs;
pub mod structure;
pub mod sts;
pub mod summary;
pub mod text;
pub mod time;
#[cfg(test)]
mod torture;
pub mod trace;
pub mod transfer;
pub mod uidset;
pub mod verdicts;

pub use address::{Address, Domain, Path};
pub use codec::Malformed;
pub use date::{Date, DateTime};
pub use envelope::{BodyType, Envelope, Notify, Recipient, Ret};
pub use flags::{FlagSet, Keyword, SystemFlags};
pub use ids::{Account, AccountId, Epoch, RecordId, Seq, Uid, UidValidity, WriterId};
pub use mailbox::{ListPattern, MailboxName};
pub use part::Part;
pub use reply::Reply;
pub use structure::{Limits, Scanned, Scanner};
pub use summary::{Field, FieldName, Summary};
pub use time::{Instant, Timestamp};
pub use uidset::UidSet;
pub use verdicts::Verdicts;
