//! SMTP (RFC 5321), without I/O: the server, for mail exchange and for submission (RFC 6409), and the
//! [`client`].
//!
//! PIPELINING, 8BITMIME, SMTPUTF8, SIZE, CHUNKING and BINARYMIME (RFC 3030), ENHANCEDSTATUSCODES,
//! STARTTLS, LIMITS (RFC 9422), AUTH (RFC 4954), and DSN (RFC 3461) where it is switched on.
//!
//! [`Server`] asks ([`Ask`]) and its edge answers ([`Answer`]). Its promises: content is asked to be
//! stored ([`Ask::Commit`]) only when all of it has come; "250" after it is said only for
//! [`Answer::Stored`]; only CRLF.CRLF ends a message (A1); nothing said before TLS is remembered
//! after it (A2); every way out of a transaction clears its envelope (A4); memory is bounded by
//! some 40 KiB and the envelope, whatever a client sends.

mod ask;
pub mod client;
mod command;
mod config;
mod content;
mod input;
mod params;
mod reply;
mod server;

#[cfg(test)]
mod tests;

pub use ask::{Answer, Ask, Login, Sender};
pub use config::{Config, Limits, Role, Times};
pub use reply::Reply;
pub use server::{Server, Session};
