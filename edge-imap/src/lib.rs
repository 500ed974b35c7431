//! Mailbox access by IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051) with the extensions that
//! `proto::imap` names, on the store.
//!
//! A session answers what the protocol core asks. It reads the account's state and summaries, and
//! bodies only by the ranges that are asked for; it changes an account only through its log, each
//! change decided on the newest state. It never holds a whole message or a whole mailbox, knows
//! no socket and no engine, and while its client is idle it keeps no buffer.

mod alter;
mod announce;
mod append;
mod copy;
mod counts;
mod fetch;
mod flags;
mod idle;
mod list;
mod login;
mod mailboxes;
mod names;
mod quota;
mod replies;
mod search;
mod select;
mod selection;
mod service;
mod session;
mod teach;

#[cfg(test)]
mod tests;

pub use service::{Imap, Options, Taught};
pub use session::Session;
