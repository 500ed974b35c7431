//! AUTH (RFC 4954), the client's side.

use mail::Reply;

use super::machine::{Client, State};
use super::{Fault, Stage};
use crate::sasl::{self, Mechanism, Response};

/// An exchange on its way.
#[derive(Debug)]
pub(super) struct LoginExchange {
    sasl: sasl::Client,
    /// Sent after the command, where the mechanism lets the server speak first.
    initial: Option<Vec<u8>>,
}

impl Client {
    /// Logs in, if that is asked; then it is ready.
    pub(super) fn login(&mut self) {
        let Some(login) = &self.options.login else {
            self.state = State::Ready;
            return;
        };
        let offered = &self.features.auth;
        let tls = self.tls.as_ref();
        let reveal = tls.is_some() || self.options.clear_login;
        // Without TLS somebody in between could take the connection over after the login.
        let mechanism = sasl::Client::choose(offered, tls, reveal).filter(|_| reveal);
        let Some(mechanism) = mechanism else {
            let why = if reveal && offered.is_empty() {
                "AUTH is not offered"
            } else {
                "no mechanism of AUTH that may be used on this connection"
            };
            self.fault_at_login(why);
            return;
        };
        let credentials = (login.user.as_str(), login.password.clone());
        let plus = offered.contains(&Mechanism::ScramSha256Plus);
        let mut sasl = sasl::Client::start(mechanism, credentials, tls, plus, &login.nonce);
        let initial = sasl.initial();
        let mut line = format!("AUTH {mechanism}");
        let mut later = None;
        if let Some(initial) = initial {
            let encoded = sasl::encode(&initial);
            // RFC 4954 §4: a line that would be too long waits for the empty challenge.
            if line.len() + encoded.len() < 500 {
                line = format!("{line} {encoded}");
            } else {
                later = Some(initial);
            }
        }
        self.out.extend_from_slice(format!("{line}\r\n").as_bytes());
        self.state = State::Login(LoginExchange { sasl, initial: later });
    }

    pub(super) fn login_answered(&mut self, reply: Reply, lines: Vec<String>) {
        let State::Login(mut exchange) = std::mem::replace(&mut self.state, State::Ready) else {
            return;
        };
        let text = lines.into_iter().next().unwrap_or_default();
        let data = match Response::parse(text.trim().as_bytes()) {
            Response::Data(data) => data,
            Response::Abort | Response::Malformed => Vec::new(),
        };
        match reply.code {
            334 => {
                let response = match exchange.initial.take() {
                    Some(initial) => Ok(initial),
                    None => exchange.sasl.step(&data),
                };
                self.state = State::Login(exchange);
                match response {
                    Ok(response) => {
                        let line = format!("{}\r\n", sasl::encode(&response));
                        self.out.extend_from_slice(line.as_bytes());
                    }
                    Err(error) => self.fault_at_login(&error.to_string()),
                }
            }
            235 => {
                if let Err(error) = exchange.sasl.done(&data) {
                    self.fault_at_login(&error.to_string());
                }
            }
            _ => {
                self.state = State::Login(exchange);
                self.refuse(reply);
            }
        }
    }

    fn fault_at_login(&mut self, why: &str) {
        self.set_fault(Fault::new(Stage::Login, why));
    }
}
