//! SMTP and submission: answers what [`proto::smtp`] asks, from the directory and by the store.
//!
//! [`Smtp`] is a `net::Service`: one listener's connections, for mail exchange or for submission by
//! its options. Who gets mail is the directory's to say, what is durable the store's; an edge keeps
//! nothing itself. Promises: "250" after content is said for a receipt of the store only (promise
//! 1); an outcome that is not known closes the connection without a reply [N]; nothing is relayed
//! for strangers and nothing is told about who exists but by taking mail for them (I9); nothing is
//! written before a message is accepted (I12).

mod address;
mod login;
mod message;
mod options;
mod policy;
mod replies;
mod service;
mod session;
mod trace;

#[cfg(test)]
mod tests;

pub use options::{Daily, Leaving, Options};
pub use policy::{
    Action, Blocklist, Blocklists, Greylist, GreylistOptions, Judge, ListAction, MilterFilter,
    MilterOptions, NoVerifier, OnFailure, OwnSpf, PolicyOptions, SpamFilter, SpamOptions, spf_of,
};
pub use service::Smtp;
pub use session::{Session, Stored};
