//! The server's state machine. A state is consumed and the next one put in its place; where that
//! is forgotten, the connection closes, which loses nothing that was acknowledged.

mod auth;
mod commands;
mod content;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use mail::trace::With;
use mail::{Envelope, Instant, Recipient};

use super::input::{Input, Line};
use super::{Answer, Ask, Config, Reply, Sender};
use crate::sasl::{Exchange, Mechanism};
use crate::{Core, Step, Tls};
use content::{Chunking, DataContent};

/// Replies are sent when this much of them has come together, or when more input is needed.
const OUT_BYTES: usize = 4 * 1024;
/// RFC 4954 §4: longest line of AUTH and of the exchange after it, without CRLF.
const AUTH_LINE_BYTES_MAX: usize = 12_288;
/// Recipients that are asked about at once.
const RECIPIENTS_ASKED_MAX: usize = 100;

/// What is known of the client. Forgotten when TLS comes up (A2).
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// What the client called itself in HELO or EHLO, and whether it was EHLO.
    hello: Option<(String, bool)>,
    tls: Option<Tls>,
    authenticated: bool,
}

impl Session {
    /// What the client called itself: 1..=255 printable bytes; nothing of it is verified.
    #[must_use]
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|(name, _)| name.as_str())
    }

    /// TLS under the connection.
    #[must_use]
    pub const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Whether AUTH has succeeded.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// How it is spoken, for "with" in Received.
    #[must_use]
    pub fn with(&self, smtputf8: bool) -> With {
        With {
            extended: self.hello.as_ref().is_some_and(|(_, extended)| *extended),
            utf8: smtputf8,
            tls: self.tls.is_some(),
            auth: self.authenticated,
        }
    }
}

/// What has been said of the message to come.
#[derive(Debug)]
enum Transaction {
    /// Nothing.
    None,
    /// MAIL was accepted. `refused`: recipients were named, none was accepted.
    Mail { envelope: Box<Envelope>, refused: bool },
    /// One recipient at least was accepted.
    Rcpt(Box<Envelope>),
    /// BDAT: the edge has the envelope and some of the content.
    Chunks(Box<Chunking>),
}

/// What the edge was asked and has not answered yet.
#[derive(Debug)]
enum Asked {
    Connect,
    Sender(Box<Sender>),
    Recipients { envelope: Box<Envelope>, asked: Vec<Recipient> },
    Begin(Beginning),
    Commit,
    Verifiers(Box<Exchange>),
    Login,
}

/// How the content comes.
#[derive(Clone, Copy, Debug)]
enum Beginning {
    Data,
    Bdat { binary: bool, bytes: u64, last: bool },
}

#[derive(Debug)]
enum State {
    New,
    /// Waiting for somebody who talks before the greeting; `looked`: at least what was there
    /// already has been read.
    Pausing {
        looked: bool,
    },
    Greeting,
    Asked(Asked),
    Ready(Transaction),
    Auth(Box<Exchange>),
    Data(Box<DataContent>),
    Chunk(Box<Chunking>),
    /// The bytes of a BDAT that is refused.
    Skipping {
        bytes: u64,
        reply: Reply,
    },
    StartTls,
    Close,
}

/// What the state machine wants next; `Step` without what it lends.
#[derive(Debug)]
enum Next {
    Again,
    Ask(Ask),
    Take(Range<usize>),
    TakeCrLf,
    Wait,
    StartTls,
    Close,
}

/// Times of the client's. Only our waiting counts, not our own slowness.
#[derive(Debug)]
struct Times {
    session: Instant,
    deadline: Instant,
    /// When we began to wait for the command that is to come.
    command: Option<Instant>,
    /// When the wait that is under way began.
    waiting: Option<Instant>,
}

/// Server's side of one connection. `Receipt` is the proof that a message is durable; its text
/// follows "stored as" in the reply.
#[derive(Debug)]
pub struct Server<Receipt> {
    config: Arc<Config>,
    /// AUTH may be used in the clear (loopback).
    clear_auth: bool,
    session: Session,
    state: State,
    input: Input,
    out: Vec<u8>,
    /// `out` was lent by the step before.
    lent: bool,
    /// `out` is to be sent without waiting for more replies.
    flush: bool,
    times: Times,
    errors: u32,
    idle_commands: u32,
    messages: u32,
    draining: bool,
    ended: bool,
    receipt: PhantomData<fn(Receipt)>,
}

impl<Receipt: std::fmt::Display> Server<Receipt> {
    /// A connection that was just accepted. `tls`: what is up already (implicit TLS).
    /// `clear_auth`: AUTH may be used without TLS (the client is on this machine).
    #[must_use]
    pub fn new(config: Arc<Config>, tls: Option<Tls>, clear_auth: bool, now: Instant) -> Self {
        let session = now.after(config.times.session);
        Self {
            times: Times {
                session,
                deadline: now.after(config.times.greeting_pause),
                command: None,
                waiting: None,
            },
            config,
            clear_auth,
            session: Session { tls, ..Session::default() },
            state: State::New,
            input: Input::default(),
            out: Vec::new(),
            lent: false,
            flush: false,
            errors: 0,
            idle_commands: 0,
            messages: 0,
            draining: false,
            ended: false,
            receipt: PhantomData,
        }
    }

    /// What is known of the client.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Mechanisms offered on this connection as it is now.
    fn mechanisms(&self) -> impl Iterator<Item = Mechanism> + '_ {
        let tls = self.session.tls.as_ref();
        let safe = tls.is_some() || self.clear_auth;
        let offered = self.config.auth.iter().copied();
        offered.filter(move |mechanism| safe && mechanism.possible(tls))
    }

    /// Answers the last [`Ask`]; what does not fit it is a temporary failure. Nothing but
    /// [`Answer::Stored`] to [`Ask::Commit`] makes a message acknowledged.
    pub fn answer(&mut self, answer: Answer<Receipt>) {
        let state = std::mem::replace(&mut self.state, State::Close);
        let State::Asked(asked) = state else {
            // An answer to Abort, or to nothing.
            self.state = state;
            return;
        };
        self.state = match asked {
            Asked::Connect => self.connected(answer),
            Asked::Sender(sender) => self.sender_answered(*sender, answer),
            Asked::Recipients { envelope, asked } => {
                self.recipients_answered(envelope, asked, answer)
            }
            Asked::Begin(beginning) => self.begun(beginning, answer),
            Asked::Commit => self.committed(answer),
            Asked::Verifiers(exchange) => self.verifiers_answered(exchange, answer),
            Asked::Login => self.login_answered(answer),
        };
    }

    fn connected(&mut self, answer: Answer<Receipt>) -> State {
        match answer {
            Answer::Accepted => State::Pausing { looked: false },
            Answer::Refused(reply) => self.close(&reply),
            _ => self.close(&UNFIT),
        }
    }

    /// Appends a reply, and counts it if it refuses.
    fn reply(&mut self, reply: &Reply) {
        if reply.is_permanent() {
            self.errors = self.errors.saturating_add(1);
        }
        reply.write(&mut self.out);
    }

    /// The last reply.
    fn close(&mut self, reply: &Reply) -> State {
        reply.write(&mut self.out);
        State::Close
    }

    fn advance(&mut self, now: Instant) -> Next {
        match std::mem::replace(&mut self.state, State::Close) {
            State::New => self.ask(Asked::Connect, Ask::Connect),
            State::Asked(asked) => self.wait(State::Asked(asked), Instant::NEVER),
            State::Pausing { looked } => self.pause(looked, now),
            State::Greeting => {
                let greeting = format!("220 {} ESMTP Postroad\r\n", self.config.host);
                self.out.extend_from_slice(greeting.as_bytes());
                self.again(State::Ready(Transaction::None))
            }
            State::Ready(transaction) => self.ready(transaction, now),
            State::Auth(exchange) => self.auth_line(exchange, now),
            State::Data(data) => self.data(data, now),
            State::Chunk(chunking) => self.chunk(chunking, now),
            State::Skipping { bytes, reply } => self.skip(bytes, reply, now),
            State::StartTls => {
                self.state = State::StartTls;
                Next::StartTls
            }
            State::Close => Next::Close,
        }
    }

    /// A5: who talks before it is greeted does not speak SMTP. Even without a pause what has come
    /// by now is looked at: the driver reads before it sees that the deadline is now.
    fn pause(&mut self, looked: bool, now: Instant) -> Next {
        if !self.input.waiting().is_empty() {
            let reply = Reply::of(554, 5, 1, "Talking before the greeting");
            let close = self.close(&reply);
            return self.again(close);
        }
        if self.draining || self.ended {
            return self.stop();
        }
        if looked && self.times.deadline <= now {
            return self.again(State::Greeting);
        }
        let until = self.times.deadline;
        self.wait(State::Pausing { looked: true }, until)
    }

    /// Between two commands.
    fn ready(&mut self, transaction: Transaction, now: Instant) -> Next {
        if self.draining {
            return self.stop();
        }
        let limits = &self.config.limits;
        let too_many = if self.errors > limits.errors_max {
            Some("Too many errors")
        } else if self.idle_commands > limits.idle_commands_max {
            Some("Too many commands without mail")
        } else {
            None
        };
        if let Some(text) = too_many {
            let close = self.close(&Reply::of(421, 7, 0, text));
            return self.again(close);
        }
        if self.input.skipping() && !self.input.skip_line() {
            return self.wait_for_command(State::Ready(transaction), now);
        }
        let max = self.line_bytes_max();
        match self.input.line(max) {
            Line::Whole(bytes) => {
                self.times.command = None;
                self.command(transaction, bytes)
            }
            Line::Incomplete => self.wait_for_command(State::Ready(transaction), now),
            Line::TooLong => {
                self.reply(&LINE_TOO_LONG);
                self.input.skip_line();
                self.again(State::Ready(transaction))
            }
            Line::Broken => self.broken_line(),
        }
    }

    fn line_bytes_max(&self) -> usize {
        let auth = super::command::is_auth(self.input.waiting());
        if auth { AUTH_LINE_BYTES_MAX } else { self.config.limits.line_bytes_max }
    }

    /// RFC 5321 §2.3.8: a line ends with CRLF, or the client is none of ours (A1).
    fn broken_line(&mut self) -> Next {
        let reply = Reply::of(500, 5, 2, "Lines end with CRLF and have no other CR, LF or NUL");
        let close = self.close(&reply);
        self.again(close)
    }

    /// Drains or stops: the peer has gone, or shall.
    fn stop(&mut self) -> Next {
        if !self.ended {
            let reply = Reply::of(421, 3, 2, "Service is shutting down, try again");
            let close = self.close(&reply);
            return self.again(close);
        }
        self.again(State::Close)
    }

    fn again(&mut self, state: State) -> Next {
        self.state = state;
        Next::Again
    }

    fn ask(&mut self, asked: Asked, ask: Ask) -> Next {
        self.state = State::Asked(asked);
        Next::Ask(ask)
    }

    fn wait(&mut self, state: State, until: Instant) -> Next {
        self.state = state;
        self.times.deadline = until.min(self.times.session);
        Next::Wait
    }

    fn wait_for_command(&mut self, state: State, now: Instant) -> Next {
        if self.ended {
            return self.again(State::Close);
        }
        self.input.release();
        let since = *self.times.command.get_or_insert(now);
        self.wait(state, since.after(self.config.times.command))
    }
}

const UNFIT: Reply = Reply::of(421, 3, 0, "Internal error, try again");
const LINE_TOO_LONG: Reply = Reply::of(500, 5, 2, "Line too long");

impl<Receipt: std::fmt::Display + Send> Core for Server<Receipt> {
    type Ask = Ask;

    fn receive(&mut self, bytes: &[u8]) -> usize {
        self.input.receive(bytes)
    }

    fn step(&mut self, now: Instant) -> Step<'_, Ask> {
        if self.lent {
            self.lent = false;
            // An idle connection keeps no buffer.
            self.out = Vec::new();
        }
        if let Some(since) = self.times.waiting.take() {
            self.waited(now.since(since));
        }
        loop {
            if (self.flush && !self.out.is_empty()) || self.out.len() >= OUT_BYTES {
                return self.send();
            }
            match self.advance(now) {
                Next::Again => {}
                Next::Ask(ask) => return Step::Ask(ask),
                Next::Take(range) => return Step::Take(self.input.lend(range)),
                Next::TakeCrLf => return Step::Take(b"\r\n"),
                _ if !self.out.is_empty() => return self.send(),
                Next::Wait => {
                    self.times.waiting = Some(now);
                    return Step::Wait;
                }
                Next::StartTls => {
                    // A2: what came in the clear after the command is nobody's.
                    self.input.clear();
                    return Step::StartTls;
                }
                Next::Close => return Step::Close,
            }
        }
    }

    /// RFC 3207 §4.2: all that was learnt before is forgotten, HELO and AUTH too (A2).
    fn secured(&mut self, tls: Tls) {
        self.input.clear();
        self.session = Session { tls: Some(tls), ..Session::default() };
        self.times.command = None;
        self.state = State::Ready(Transaction::None);
    }

    fn deadline(&self) -> Instant {
        self.times.deadline
    }

    fn late(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Close) {
            State::Pausing { .. } => State::Greeting,
            // The edge is at work: the answer comes first.
            State::Asked(asked) => State::Asked(asked),
            State::Close => State::Close,
            // Content that is not complete is not acknowledged; closing throws it away.
            _ => self.close(&Reply::of(421, 4, 2, "Too slow, closing")),
        };
    }

    fn drain(&mut self) {
        self.draining = true;
    }

    fn ended(&mut self) {
        self.ended = true;
    }
}

impl<Receipt> Server<Receipt> {
    fn send(&mut self) -> Step<'_, Ask> {
        self.lent = true;
        self.flush = false;
        Step::Send(&self.out)
    }

    /// We waited so long for the client.
    fn waited(&mut self, time: std::time::Duration) {
        match &mut self.state {
            State::Data(data) => data.pace.waited += time,
            State::Chunk(chunking) => chunking.pace.waited += time,
            _ => {}
        }
    }
}
