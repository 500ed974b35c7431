//! IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051), the server's side: commands, responses, and the
//! dialogue as a state machine.
//!
//! - [`command`]: what a client can say, typed. The parser makes it from bytes and is total.
//! - [`response`]: what a server can say, typed; its encoder cannot write what a parser refuses.
//! - [`Server`]: the dialogue: greeting, login, STARTTLS, literals, APPEND's stream, IDLE, limits.
//!   It answers itself what needs no mailbox and asks ([`Ask`]) the rest, one command at a time.
//!
//! Extensions: LITERAL- before and LITERAL+ after login (RFC 7888), SASL-IR (RFC 4959), ID
//! (RFC 2971), ENABLE (RFC 5161), IDLE (RFC 2177), NAMESPACE (RFC 2342), UIDPLUS (RFC 4315),
//! UNSELECT (RFC 3691), MOVE (RFC 6851), CHILDREN (RFC 3348), SPECIAL-USE and CREATE-SPECIAL-USE
//! (RFC 6154), LIST-EXTENDED (RFC 5258), LIST-STATUS (RFC 5819), STATUS=SIZE (RFC 8438), ESEARCH
//! (RFC 4731), SEARCHRES (RFC 5182), BINARY of FETCH (RFC 3516 as in RFC 9051), CONDSTORE and
//! QRESYNC (RFC 7162), APPENDLIMIT (RFC 7889), QUOTA (RFC 9208).

//!
//! How it is driven (`net::serve` does it for all protocols):
//! ```
//! use std::{net::IpAddr, sync::Arc, time::Duration};
//! use mail::Instant;
//! use proto::imap::{Answer, Ask, Config, Server};
//! use proto::{Core as _, Step, sasl::Mechanism};
//!
//! let config = Config {
//!     host: "mail.example".into(),
//!     starttls: false,
//!     mechanisms: Mechanism::ALL.to_vec(),
//!     append_limit: 50 << 20,
//!     id: vec![],
//!     login_time: Duration::from_secs(120),
//!     autologout_time: Duration::from_secs(1_800),
//! };
//! let mut core = Server::new(Arc::new(config), IpAddr::from([127, 0, 0, 1]));
//! let mut input: &[u8] = b"a LOGIN ana secret\r\nb LOGOUT\r\n";
//! let mut output = Vec::new();
//! loop {
//!     match core.step(Instant(1)) {
//!         Step::Send(bytes) => output.extend_from_slice(bytes),
//!         Step::Ask(Ask::Password { user, password, .. }) => {
//!             assert_eq!((user.as_str(), password.reveal()), ("ana", "secret"));
//!             core.answer(Answer::Ok(None, "welcome".into()));
//!         }
//!         Step::Wait => input = &input[core.receive(input)..],
//!         Step::Close => break,
//!         other => unreachable!("{other:?}"),
//!     }
//! }
//! assert!(output.ends_with(b"* BYE logging out\r\nb OK LOGOUT completed\r\n"));
//! ```

pub mod command;
pub mod response;

mod ask;
mod frame;
mod parse;
pub mod server;

pub use ask::{Answer, Append, Ask};
pub use server::{Config, Enabled, Server};
