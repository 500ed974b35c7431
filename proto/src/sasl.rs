//! SASL (RFC 4422): PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and -PLUS (RFC 7677).
//!
//! Sans-io and without a clock, a directory or randomness: an [`Exchange`] takes decoded
//! responses, tells the next challenge, and *asks* for the user's [`Verifiers`] or for a password
//! to be checked. A response that makes no sense fails that exchange and nothing else (C2).
//! Unknown users cost and look the same as known ones (C1): answer with [`Verifiers::fake`].
//!
//! SMTP (RFC 4954) and IMAP (RFC 9051 §6.2.2) wrap it in base64 lines: [`Response`], [`encode`].

mod client;
mod prep;
mod scram;
mod verifier;

#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use client::{Client, ClientError};
pub use prep::{PASSWORD_BYTES_MAX, PasswordSyntax, saslprep};
pub use verifier::{
    DeriveError, ITERATIONS, ITERATIONS_MAX, ITERATIONS_MIN, NotOneAccount, SALT_BYTES,
    VERIFIERS_MAX, Verifier, VerifierSyntax, Verifiers,
};

use crate::Tls;
use scram::{Binding, Challenged, ClientFirst, Proved};

/// Longest decoded response taken, in bytes; RFC 4954 §4 lets a line have 12,288 octets.
pub const RESPONSE_BYTES_MAX: usize = 9_216;
/// Longest user name or authorization identity, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// A mechanism that we have. Which are offered is the listener's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// RFC 7677, bound to the TLS connection.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 4616.
    Plain,
    /// User name and password one after the other; Outlook needs it. Never in an RFC.
    Login,
}

impl Mechanism {
    /// All, best first.
    pub const ALL: [Self; 4] = [Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// By its name, in any case; `None` for those that we do not have.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether it can be offered on this connection: -PLUS needs TLS with something to bind to.
    #[must_use]
    pub fn possible(self, tls: Option<&Tls>) -> bool {
        let bindable = |tls: &Tls| tls.exporter.is_some() || tls.server_end_point.is_some();
        self != Self::ScramSha256Plus || tls.is_some_and(bindable)
    }

    /// Whether the password itself crosses the wire.
    #[must_use]
    pub const fn reveals_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A password on its way to be checked; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password from elsewhere (IMAP's LOGIN).
    #[must_use]
    pub const fn new(password: String) -> Self {
        Self(password)
    }

    /// To be given to [`Verifiers::check`].
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

/// Server nonce: 18 random bytes, fresh for each exchange.
#[derive(Clone, Debug)]
pub struct Nonce(pub [u8; 18]);

/// What comes next in an exchange.
#[derive(Debug)]
pub enum Step {
    /// Send this to the client (base64), and give its response to [`Exchange::step`].
    Challenge(Vec<u8>),
    /// SCRAM: look up the user's verifiers and go on with [`Exchange::verifiers`]. Unknown user:
    /// [`Verifiers::fake`].
    NeedVerifiers {
        /// As the client wrote it; canonicalise before look-up.
        user: String,
    },
    /// PLAIN, LOGIN: check this password, by [`Verifiers::check`]; the exchange is over.
    Check {
        /// As the client wrote it; canonicalise before look-up.
        user: String,
        /// Whom it wants to act as, if not itself; refuse unless that is the same account.
        authzid: Option<String>,
        /// What to check.
        password: Password,
    },
    /// SCRAM: the client has proved that it knows a password; the exchange is over. Whether this
    /// account may log in, and as `authzid`, is still to be decided.
    Done {
        /// As the client wrote it.
        user: String,
        /// Whom it wants to act as, if not itself; refuse unless that is the same account.
        authzid: Option<String>,
        /// Which of the verifiers it was (app passwords).
        verifier: usize,
    },
    /// The exchange failed; the connection goes on (C2).
    Failed(Failure),
}

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A response that makes no sense: a syntax error, 501 or BAD. Not a guess at a password.
    #[error("malformed SASL response: {0}")]
    Malformed(&'static str),
    /// The proof fits none of the user's verifiers: refuse, and count it (C1).
    #[error("wrong password or unknown user")]
    Refused {
        /// As the client wrote it.
        user: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed(&'static str);

impl From<Malformed> for Step {
    fn from(Malformed(why): Malformed) -> Self {
        Self::Failed(Failure::Malformed(why))
    }
}

/// One exchange, from the client's choice of a mechanism to its outcome. Holds at most a few KiB.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginUser,
    LoginPassword(String),
    ScramFirst(Binding),
    ScramVerifiers(ClientFirst),
    ScramFinal(Challenged),
    ScramAcknowledge(Proved),
    Over,
}

impl Exchange {
    /// Begins an exchange. `initial` is the initial response, if the client sent one (an empty one
    /// is `Some(b"")`). `tls` is what -PLUS binds to; `plus_offered`: whether -PLUS was in the
    /// list that this client saw.
    #[must_use]
    pub fn start(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        tls: Option<&Tls>,
        plus_offered: bool,
    ) -> (Self, Step) {
        let scram = |plus| State::ScramFirst(Binding { plus, plus_offered, tls: tls.cloned() });
        let mut exchange = Self(match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::ScramSha256 => scram(false),
            Mechanism::ScramSha256Plus => scram(true),
        });
        let step = match (initial, mechanism) {
            (Some(initial), _) => exchange.step(initial),
            (None, Mechanism::Login) => Step::Challenge(b"Username:".to_vec()),
            // RFC 4422 §3: mechanisms where the client speaks first get an empty challenge.
            (None, _) => Step::Challenge(Vec::new()),
        };
        (exchange, step)
    }

    /// Takes the client's response to the last challenge. After an end ([`Step::Check`],
    /// [`Step::Done`], [`Step::Failed`]) it only fails.
    pub fn step(&mut self, response: &[u8]) -> Step {
        if response.len() > RESPONSE_BYTES_MAX {
            self.0 = State::Over;
            return Malformed("too long").into();
        }
        let (state, step) = match std::mem::replace(&mut self.0, State::Over) {
            State::Plain => (State::Over, plain(response).unwrap_or_else(Step::from)),
            State::LoginUser => match text(response).and_then(name) {
                Ok(user) => (State::LoginPassword(user), Step::Challenge(b"Password:".to_vec())),
                Err(error) => (State::Over, error.into()),
            },
            State::LoginPassword(user) => match text(response) {
                Ok(password) => (State::Over, check(None, user, password)),
                Err(error) => (State::Over, error.into()),
            },
            State::ScramFirst(binding) => match ClientFirst::parse(response, &binding) {
                Ok(first) => {
                    let user = first.user.clone();
                    (State::ScramVerifiers(first), Step::NeedVerifiers { user })
                }
                Err(error) => (State::Over, error.into()),
            },
            State::ScramFinal(challenged) => match challenged.check(response) {
                // RFC 4954 §4, RFC 9051 §6.2.2: success carries no data there, so the server's
                // proof is a challenge, and the client's response to it is empty.
                Ok(Ok(proved)) => {
                    let message = proved.server_final.clone().into_bytes();
                    (State::ScramAcknowledge(proved), Step::Challenge(message))
                }
                Ok(Err(user)) => (State::Over, Step::Failed(Failure::Refused { user })),
                Err(error) => (State::Over, error.into()),
            },
            State::ScramAcknowledge(Proved { user, authzid, verifier, .. }) => {
                let done = Step::Done { user, authzid, verifier };
                let empty = response.is_empty();
                (State::Over, if empty { done } else { Malformed("expected nothing").into() })
            }
            State::ScramVerifiers(_) | State::Over => {
                (State::Over, Malformed("not expected now").into())
            }
        };
        self.0 = state;
        step
    }

    /// Answers [`Step::NeedVerifiers`]; returns the challenge. `nonce` is fresh randomness.
    pub fn verifiers(&mut self, verifiers: Verifiers, nonce: &Nonce) -> Step {
        let State::ScramVerifiers(first) = std::mem::replace(&mut self.0, State::Over) else {
            return Malformed("not expected now").into();
        };
        let challenged = first.challenge(verifiers, nonce);
        let message = challenged.message().to_owned().into_bytes();
        self.0 = State::ScramFinal(challenged);
        Step::Challenge(message)
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(response: &[u8]) -> Result<Step, Malformed> {
    let response = text(response)?;
    let mut parts = response.split('\0');
    let (Some(authzid), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed("expected authzid NUL user NUL password"));
    };
    let authzid = if authzid.is_empty() { None } else { Some(name(authzid.to_owned())?) };
    Ok(check(authzid, name(user.to_owned())?, password.to_owned()))
}

fn check(authzid: Option<String>, user: String, password: String) -> Step {
    Step::Check { user, authzid, password: Password(password) }
}

fn text(response: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(response).map_err(|_| Malformed("not UTF-8"))?;
    Ok(text.to_owned())
}

/// A user name or authorization identity: not empty, bounded, without control characters.
fn name(name: String) -> Result<String, Malformed> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Malformed("name too long"));
    }
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Malformed("empty name, or a control character in it"));
    }
    Ok(name)
}

/// A client's line within an exchange, its base64 undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// For [`Exchange::step`].
    Data(Vec<u8>),
    /// `*`: the client gives up (RFC 4954 §4, RFC 9051 §6.2.2).
    Abort,
    /// Not base64: only this exchange fails (C2).
    Malformed,
}

impl Response {
    /// Parses a line without its CRLF.
    #[must_use]
    pub fn parse(line: &[u8]) -> Self {
        if line == b"*" {
            return Self::Abort;
        }
        STANDARD.decode(line).map_or(Self::Malformed, Self::Data)
    }

    /// Parses an initial response on the command's line, where `=` is an empty one (RFC 4954 §4,
    /// RFC 4959).
    #[must_use]
    pub fn parse_initial(word: &[u8]) -> Self {
        if word == b"=" { Self::Data(Vec::new()) } else { Self::parse(word) }
    }
}

/// A challenge in base64, without CRLF.
#[must_use]
pub fn encode(challenge: &[u8]) -> String {
    STANDARD.encode(challenge)
}
