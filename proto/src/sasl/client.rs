//! Client side of SASL: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and -PLUS (RFC 7677), for
//! smarthosts. Sans-io; the nonce is given.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::verifier::{Hash, equal, mac, sha256};
use super::{ITERATIONS_MAX, Mechanism, Nonce, Password, saslprep};
use crate::Tls;

/// The client's side of one exchange. Messages are decoded; [`super::encode`] makes lines of them.
pub struct Client {
    user: String,
    password: Password,
    state: State,
}

enum State {
    /// PLAIN: everything is in the first message. LOGIN: user name, then password.
    Plain,
    LoginUser,
    LoginPassword,
    First(Scram),
    Final(Scram),
    /// The server's proof that it knows the verifier is awaited.
    Proof(Hash),
    /// Proved, or not needed.
    Over,
}

struct Scram {
    gs2: String,
    binding: Vec<u8>,
    nonce: String,
}

/// The server said something that makes no sense, or could not prove that it knows us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("login failed: {0}")]
pub struct ClientError(&'static str);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Client {
    /// The best of the `offered` mechanisms that is possible on this connection, best first in
    /// the list. PLAIN and LOGIN, which reveal the password, are taken only if `reveal`.
    #[must_use]
    pub fn choose(offered: &[Mechanism], tls: Option<&Tls>, reveal: bool) -> Option<Mechanism> {
        let possible = |m: &Mechanism| m.possible(tls) && (reveal || !m.reveals_password());
        offered.iter().copied().find(possible)
    }

    /// Begins an exchange. `nonce` is fresh randomness; `plus_offered`: whether the server offers
    /// -PLUS.
    #[must_use]
    pub fn start(
        mechanism: Mechanism,
        (user, password): (&str, Password),
        tls: Option<&Tls>,
        plus_offered: bool,
        nonce: &Nonce,
    ) -> Self {
        let scram = |gs2: String, binding: &[u8]| {
            let nonce = STANDARD.encode(nonce.0);
            State::First(Scram { gs2, binding: binding.to_vec(), nonce })
        };
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::ScramSha256 => {
                // RFC 5802 §6: "y": we could bind, and believe that the server cannot.
                let could = Mechanism::ScramSha256Plus.possible(tls) && !plus_offered;
                scram(if could { "y,,".into() } else { "n,,".into() }, &[])
            }
            Mechanism::ScramSha256Plus => {
                let exporter = tls.and_then(|tls| tls.exporter.as_ref());
                let end_point = tls.and_then(|tls| tls.server_end_point.as_deref());
                match (exporter, end_point) {
                    (Some(data), _) => scram("p=tls-exporter,,".into(), data),
                    (None, data) => {
                        scram("p=tls-server-end-point,,".into(), data.unwrap_or_default())
                    }
                }
            }
        };
        Self { user: user.to_owned(), password, state }
    }

    /// The initial response, for the command itself; `None` for LOGIN, where the server asks first.
    #[must_use]
    pub fn initial(&mut self) -> Option<Vec<u8>> {
        match &self.state {
            State::Plain => {
                let text = format!("\0{}\0{}", self.user, self.password.reveal());
                self.state = State::Over;
                Some(text.into_bytes())
            }
            State::First(scram) => {
                let text = format!("{}{}", scram.gs2, bare(&self.user, &scram.nonce));
                let State::First(scram) = std::mem::replace(&mut self.state, State::Over) else {
                    return None;
                };
                self.state = State::Final(scram);
                Some(text.into_bytes())
            }
            _ => None,
        }
    }

    /// Answers a challenge.
    /// # Errors
    /// [`ClientError`]: abort the exchange; do not log in to this server.
    pub fn step(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::LoginUser => {
                self.state = State::LoginPassword;
                Ok(self.user.clone().into_bytes())
            }
            State::LoginPassword => Ok(self.password.reveal().to_owned().into_bytes()),
            State::Final(scram) => self.prove(&scram, challenge),
            State::Proof(expected) => {
                check(&expected, challenge)?;
                Ok(Vec::new())
            }
            State::Plain | State::First(_) | State::Over => {
                Err(ClientError("a challenge that the mechanism does not have"))
            }
        }
    }

    /// The server says that we are logged in; `data` is what it said with it, if anything.
    /// # Errors
    /// [`ClientError`] if it has not proved that it knows our password's verifier.
    pub fn done(self, data: &[u8]) -> Result<(), ClientError> {
        match self.state {
            State::Over => Ok(()),
            State::Proof(expected) => check(&expected, data),
            _ => Err(ClientError("success before the exchange was over")),
        }
    }

    /// RFC 5802 §3, from server-first-message to client-final-message.
    fn prove(&mut self, scram: &Scram, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        let first = std::str::from_utf8(challenge).map_err(|_| ClientError("not UTF-8"))?;
        let mut parts = first.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let nonce = part("r=").filter(|n| n.starts_with(&scram.nonce) && *n != scram.nonce);
        let salt = part("s=").and_then(|text| STANDARD.decode(text).ok());
        let iterations = part("i=").and_then(|text| text.parse::<NonZeroU32>().ok());
        let nonce = nonce.ok_or(ClientError("another nonce"))?;
        let salt = salt.ok_or(ClientError("no salt"))?;
        // RFC 7677 §4: at least 4,096; a bound, for it is our time.
        let iterations = iterations
            .filter(|i| (4_096..=ITERATIONS_MAX).contains(&i.get()))
            .ok_or(ClientError("iterations out of bounds"))?;
        let password = saslprep(self.password.reveal())
            .map_err(|_| ClientError("the password is not text that SCRAM can use"))?;
        let mut salted: Hash = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, iterations, &salt, password.as_bytes(), &mut salted);
        let client_key = mac(&salted, &[b"Client Key"]);
        let bound = [scram.gs2.as_bytes(), &scram.binding].concat();
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(bound));
        let bare = bare(&self.user, &scram.nonce);
        let signed = [&*bare, ",", first, ",", &without_proof].map(str::as_bytes);
        let mut proof = mac(&sha256(&client_key), &signed);
        proof.iter_mut().zip(client_key).for_each(|(byte, key)| *byte ^= key);
        self.state = State::Proof(mac(&mac(&salted, &[b"Server Key"]), &signed));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }
}

/// client-first-message-bare; RFC 5802 §5.1 for the escapes.
fn bare(user: &str, nonce: &str) -> String {
    format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"))
}

fn check(expected: &Hash, message: &[u8]) -> Result<(), ClientError> {
    let said = message.strip_prefix(b"v=").and_then(|text| STANDARD.decode(text).ok());
    let said = said.and_then(|bytes| Hash::try_from(bytes).ok());
    said.filter(|said| equal(said, expected))
        .map(|_| ())
        .ok_or(ClientError("the server does not know our password"))
}

#[cfg(test)]
mod tests {
    use super::super::{Exchange, Step, Verifier, Verifiers};
    use super::*;

    const SALT: &[u8] = b"salt for a tests";

    fn tls() -> Tls {
        Tls { exporter: Some([7; 32]), server_end_point: Some(vec![9; 32]), ..Tls::default() }
    }

    /// Client against server; whether both are content.
    fn run(mechanism: Mechanism, tls: Option<&Tls>, right: &str, tried: &str) -> bool {
        let password = Password::new(tried.into());
        let nonce = Nonce([1; 18]);
        let mut client = Client::start(mechanism, ("an=a,b", password), tls, false, &nonce);
        let initial = client.initial();
        let (mut server, mut step) = Exchange::start(mechanism, initial.as_deref(), tls, false);
        loop {
            step = match step {
                Step::Challenge(challenge) => match client.step(&challenge) {
                    Ok(response) => server.step(&response),
                    Err(_) => return false,
                },
                Step::NeedVerifiers { user } => {
                    assert_eq!(user, "an=a,b");
                    let verifier = Verifier::derive(right, SALT, 4_096).unwrap();
                    let verifiers = Verifiers::new(vec![verifier]).unwrap();
                    server.verifiers(verifiers, &Nonce([2; 18]))
                }
                Step::Check { user, authzid, password } => {
                    assert_eq!((user.as_str(), authzid), ("an=a,b", None));
                    return password.reveal() == right && client.done(b"").is_ok();
                }
                Step::Done { user, .. } => {
                    assert_eq!(user, "an=a,b");
                    return client.done(b"").is_ok();
                }
                Step::Failed(_) => return false,
            }
        }
    }

    // RFC 5802 §5.1.
    #[test]
    fn each_mechanism_logs_in_with_the_right_password_only() {
        let tls = tls();
        for mechanism in Mechanism::ALL {
            assert!(run(mechanism, Some(&tls), "secret\u{ad}é", "secret\u{ad}é"), "{mechanism}");
            assert!(!run(mechanism, Some(&tls), "secret", "Secret"), "{mechanism}");
        }
        assert!(run(Mechanism::ScramSha256, None, "secret", "secret"));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let start = || {
            let password = Password::new("secret".into());
            let nonce = Nonce([1; 18]);
            let offered = (Mechanism::ScramSha256, ("ana", password));
            let mut client = Client::start(offered.0, offered.1, None, false, &nonce);
            client.initial().unwrap();
            client
        };
        let nonce = STANDARD.encode([1; 18]);
        let good = format!("r={nonce}more,s={},i=4096", STANDARD.encode(SALT));
        assert!(start().step(good.as_bytes()).is_ok());
        for bad in [
            String::new(),
            format!("r={nonce},s=c2FsdA==,i=4096"),
            "r=other,s=c2FsdA==,i=4096".into(),
            format!("r={nonce}more,s=c2FsdA==,i=1"),
            format!("r={nonce}more,s=c2FsdA==,i=4000000000"),
            format!("r={nonce}more,s=?,i=4096"),
        ] {
            assert!(start().step(bad.as_bytes()).is_err(), "{bad}");
        }
        // Success before, or without, its proof.
        assert!(start().done(b"").is_err());
        let mut client = start();
        client.step(good.as_bytes()).unwrap();
        assert!(client.done(b"").is_err());
        let mut client = start();
        client.step(good.as_bytes()).unwrap();
        assert!(client.step(format!("v={}", STANDARD.encode([0; 32])).as_bytes()).is_err());
    }

    #[test]
    fn a_password_is_revealed_only_where_it_may_be() {
        let all = Mechanism::ALL;
        assert_eq!(Client::choose(&all, None, false), Some(Mechanism::ScramSha256));
        assert_eq!(Client::choose(&all, Some(&tls()), true), Some(Mechanism::ScramSha256Plus));
        assert_eq!(Client::choose(&[Mechanism::Plain], None, false), None);
        assert_eq!(Client::choose(&[Mechanism::Plain], None, true), Some(Mechanism::Plain));
        assert_eq!(Client::choose(&[], Some(&tls()), true), None);
    }
}
