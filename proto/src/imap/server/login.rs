//! LOGIN and AUTHENTICATE (RFC 9051 §6.2.2, §6.2.3).

use super::{Asked, FAILURES_MAX, SASL_BYTES_MAX, Server, Session, State};
use crate::imap::command::Tag;
use crate::imap::frame::{Event, Frame};
use crate::imap::response::Code;
use crate::imap::{Answer, Ask};
use crate::sasl::{self, Exchange, Failure, Mechanism, Password};

impl Server {
    pub(super) fn login(&mut self, tag: Tag, user: String, password: Password) {
        if !self.may_log_in() {
            return self.private(&tag);
        }
        self.ask(Ask::Password { user, authzid: None, password }, Asked::Login(tag));
    }

    /// RFC 5530 §3: not without TLS.
    fn private(&mut self, tag: &Tag) {
        self.tagged(tag, "NO", Some(&Code::PrivacyRequired), &"use TLS first".into());
        self.count_bad();
    }

    pub(super) fn authenticate(&mut self, tag: Tag, mechanism: &str, initial: Option<&[u8]>) {
        if !self.may_log_in() {
            return self.private(&tag);
        }
        let offered = self.offered();
        let named = Mechanism::parse(mechanism.as_bytes());
        let Some(mechanism) = named.filter(|mechanism| offered.contains(mechanism)) else {
            self.tagged(&tag, "NO", Some(&Code::Cannot), &"no such mechanism".into());
            return self.count_bad();
        };
        let plus_offered = offered.contains(&Mechanism::ScramSha256Plus);
        let (exchange, step) =
            Exchange::start(mechanism, initial, self.tls.as_deref(), plus_offered);
        self.sasl_step(tag, Box::new(exchange), step);
    }

    fn sasl_step(&mut self, tag: Tag, exchange: Box<Exchange>, step: sasl::Step) {
        match step {
            sasl::Step::Challenge(challenge) => {
                let line = format!("+ {}\r\n", sasl::encode(&challenge));
                self.out.extend_from_slice(line.as_bytes());
                self.state = State::Sasl(tag, exchange);
            }
            sasl::Step::NeedVerifiers { user } => {
                self.ask(Ask::Verifiers { user }, Asked::Verifiers(tag, exchange));
            }
            sasl::Step::Check { user, authzid, password } => {
                self.ask(Ask::Password { user, authzid, password }, Asked::Login(tag));
            }
            sasl::Step::Done { user, authzid, verifier } => {
                self.ask(Ask::Proved { user, authzid, verifier }, Asked::Login(tag));
            }
            sasl::Step::Failed(Failure::Malformed(why)) => self.bad(Some(&tag), why),
            sasl::Step::Failed(Failure::Refused { user }) => {
                self.ask(Ask::Refused { user }, Asked::Refused(tag));
            }
        }
    }

    /// The client's line within an exchange; whatever is wrong with it fails only that (C2).
    pub(super) fn receive_sasl(&mut self, bytes: &[u8]) -> usize {
        let (taken, event) = self.frame.receive(bytes, SASL_BYTES_MAX, false);
        let Some(event) = event else { return taken };
        let State::Sasl(tag, mut exchange) = std::mem::replace(&mut self.state, State::Command)
        else {
            return taken;
        };
        self.touched = true;
        if event != Event::Complete {
            let reply = self.too_big_reply(Some(&tag), "response too long");
            self.skip(0, reply);
            return taken;
        }
        let line = self.frame.take();
        match sasl::Response::parse(&line) {
            sasl::Response::Data(data) => {
                let step = exchange.step(&data);
                self.sasl_step(tag, exchange, step);
            }
            // RFC 9051 §6.2.2: `*` gives up, and the answer is BAD.
            sasl::Response::Abort => self.bad(Some(&tag), "AUTHENTICATE given up"),
            sasl::Response::Malformed => self.bad(Some(&tag), "expected base64"),
        }
        taken
    }

    pub(super) fn verifiers_answered(
        &mut self,
        tag: Tag,
        mut exchange: Box<Exchange>,
        answer: Answer,
    ) {
        match answer {
            Answer::Verifiers(verifiers, nonce) => {
                let step = exchange.verifiers(verifiers, &nonce);
                self.sasl_step(tag, exchange, step);
            }
            // Without a proof nobody is logged in.
            Answer::Ok(..) => self.tagged_answer(&tag, Answer::Go),
            answer => self.tagged_answer(&tag, answer),
        }
    }

    pub(super) fn login_answered(&mut self, tag: &Tag, answer: Answer) {
        match answer {
            Answer::Ok(_, text) => {
                self.session = Session::Authenticated;
                self.bad = 0;
                self.frame = Frame::default();
                // RFC 9051 §6.2.2: capabilities change with the login, so they are told at once.
                let code = Code::Capability(self.capabilities());
                self.tagged(tag, "OK", Some(&code), &text);
            }
            answer => self.not_logged_in(tag, answer),
        }
    }

    /// The answer to a proof that failed; there is none that logs in.
    pub(super) fn refused_answered(&mut self, tag: &Tag, answer: Answer) {
        let answer = match answer {
            Answer::No(code, text) => Answer::No(code, text),
            _ => Answer::No(Some(Code::AuthenticationFailed), "wrong user or password".into()),
        };
        self.not_logged_in(tag, answer);
    }

    fn not_logged_in(&mut self, tag: &Tag, answer: Answer) {
        let failed = matches!(answer, Answer::No(Some(Code::AuthenticationFailed), _));
        self.tagged_answer(tag, answer);
        self.failures += u32::from(failed);
        if self.failures >= FAILURES_MAX {
            self.bye(None, "too many failed logins");
        }
    }
}
