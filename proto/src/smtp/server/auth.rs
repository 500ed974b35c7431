//! AUTH (RFC 4954).

use mail::Instant;

use super::{AUTH_LINE_BYTES_MAX, Asked, Next, Server, State, Transaction};
use crate::sasl::{Exchange, Failure, Mechanism, Response, Step, encode};
use crate::smtp::input::Line;
use crate::smtp::{Answer, Ask, Login, Reply};

const ABORTED: Reply = Reply::of(501, 7, 0, "Authentication aborted");
const BAD_BASE64: Reply = Reply::of(501, 5, 2, "Not base64");
const TEMPORARY: Reply = Reply::of(454, 7, 0, "Temporary authentication failure");

impl<Receipt: std::fmt::Display> Server<Receipt> {
    pub(super) fn auth_command(
        &mut self,
        mechanism: &str,
        initial: Option<&str>,
        transaction: Transaction,
    ) -> Next {
        let safe = self.session.tls.is_some() || self.clear_auth;
        let mechanism = Mechanism::parse(mechanism.as_bytes())
            .filter(|mechanism| self.mechanisms().any(|offered| offered == *mechanism));
        let refusal = if self.config.auth.is_empty() {
            Some(Reply::of(502, 5, 1, "AUTH is not offered here"))
        } else if self.session.hello.is_none() {
            Some(Reply::of(503, 5, 1, "Say EHLO first"))
        } else if self.session.authenticated {
            Some(Reply::of(503, 5, 1, "Authenticated already"))
        } else if !matches!(transaction, Transaction::None) {
            // RFC 4954 §4
            Some(Reply::of(503, 5, 1, "Not during a mail transaction"))
        } else if !safe {
            Some(Reply::of(538, 7, 11, "Encryption required, say STARTTLS first"))
        } else {
            None
        };
        if let Some(reply) = refusal {
            self.reply(&reply);
            return self.again(State::Ready(transaction));
        }
        let Some(mechanism) = mechanism else {
            return self.auth_failed(&Reply::of(504, 5, 4, "Mechanism is not offered"));
        };
        let initial = match initial.map(|word| Response::parse_initial(word.as_bytes())) {
            None => None,
            Some(Response::Data(bytes)) => Some(bytes),
            Some(Response::Abort) => return self.auth_failed(&ABORTED),
            Some(Response::Malformed) => return self.auth_failed(&BAD_BASE64),
        };
        let plus_offered = self.mechanisms().any(|m| m == Mechanism::ScramSha256Plus);
        let tls = self.session.tls.as_ref();
        let (exchange, step) = Exchange::start(mechanism, initial.as_deref(), tls, plus_offered);
        self.exchange(Box::new(exchange), step)
    }

    /// A line of the exchange.
    pub(super) fn auth_line(&mut self, mut exchange: Box<Exchange>, now: Instant) -> Next {
        if self.draining {
            return self.stop();
        }
        match self.input.line(AUTH_LINE_BYTES_MAX) {
            Line::Whole(bytes) => {
                self.times.command = None;
                let range = self.input.consume(bytes + 2);
                let line = self.input.lend(range.start..range.start + bytes);
                // C2: whatever it says, only the exchange fails.
                match Response::parse(line) {
                    Response::Data(response) => {
                        let step = exchange.step(&response);
                        self.exchange(exchange, step)
                    }
                    Response::Abort => self.auth_failed(&ABORTED),
                    Response::Malformed => self.auth_failed(&BAD_BASE64),
                }
            }
            Line::Incomplete => self.wait_for_command(State::Auth(exchange), now),
            Line::TooLong => {
                self.input.skip_line();
                // RFC 4954 §4: 500 5.5.6
                self.auth_failed(&Reply::of(500, 5, 6, "Authentication line too long"))
            }
            Line::Broken => self.broken_line(),
        }
    }

    fn exchange(&mut self, exchange: Box<Exchange>, step: Step) -> Next {
        let login = match step {
            Step::Challenge(challenge) => {
                return self.challenge(exchange, &challenge);
            }
            Step::NeedVerifiers { user } => {
                return self.ask(Asked::Verifiers(exchange), Ask::Verifiers { user });
            }
            Step::Failed(Failure::Malformed(why)) => {
                return self.auth_failed(&Reply::new(501, (5, 2), why));
            }
            Step::Failed(Failure::Refused { user }) => Login::Disproved { user },
            Step::Check { user, authzid, password } => Login::Check { user, authzid, password },
            Step::Done { user, authzid, verifier } => Login::Proved { user, authzid, verifier },
        };
        self.ask(Asked::Login, Ask::Login(login))
    }

    fn challenge(&mut self, exchange: Box<Exchange>, challenge: &[u8]) -> Next {
        let line = format!("334 {}\r\n", encode(challenge));
        self.out.extend_from_slice(line.as_bytes());
        self.again(State::Auth(exchange))
    }

    pub(super) fn verifiers_answered(
        &mut self,
        mut exchange: Box<Exchange>,
        answer: Answer<Receipt>,
    ) -> State {
        match answer {
            Answer::Verifiers(verifiers, nonce) => {
                if let Step::Challenge(challenge) = exchange.verifiers(*verifiers, &nonce) {
                    let line = format!("334 {}\r\n", encode(&challenge));
                    self.out.extend_from_slice(line.as_bytes());
                    return State::Auth(exchange);
                }
                self.reply(&TEMPORARY);
            }
            Answer::Refused(reply) => self.reply(&reply),
            _ => self.reply(&TEMPORARY),
        }
        State::Ready(Transaction::None)
    }

    fn auth_failed(&mut self, reply: &Reply) -> Next {
        self.reply(reply);
        self.again(State::Ready(Transaction::None))
    }
}
