//! The dialogue: a state machine over bytes, answers and the time (RFC 9051 §3, §6).
//!
//! What it holds is bounded: before login one command of at most [`LOGIN_BYTES_MAX`], after it one
//! of at most [`COMMAND_BYTES_MAX`] with literals of at most [`LITERAL_BYTES_MAX`] (B1), its tree
//! (at most eight times that), what is being sent, and 64 KiB of an APPEND. While it waits for a
//! command it holds no buffer. Why these bounds: docs/decisions/0022. Pipelined commands stay with
//! the driver: one at a time, in order.

mod append;
mod capability;
mod dispatch;
mod login;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mail::Instant;

use super::command::Tag;
use super::frame::{Event, Frame, Literal, Skip, Skipped};
use super::parse::{ErrorKind, Parsed, SyntaxError, parse, tag_of};
use super::response::{Code, Style, Text, status};
use super::{Answer, Ask};
use crate::sasl::{self, Mechanism};
use crate::{Core, Step, Tls};

/// Most bytes of a command before login, literals included.
pub const LOGIN_BYTES_MAX: usize = 32 << 10;
/// Most bytes of a command after login, literals included, but for APPEND's message.
pub const COMMAND_BYTES_MAX: usize = 256 << 10;
/// Most octets of a literal after login, but for APPEND's message.
pub const LITERAL_BYTES_MAX: usize = 64 << 10;
/// Most octets of a literal before login; of a non-synchronizing one LITERAL- lets no more
/// (RFC 7888 §5).
pub const LOGIN_LITERAL_BYTES_MAX: usize = 4 << 10;
/// Longest line within IDLE.
const DONE_BYTES_MAX: usize = 1 << 10;
/// Longest line of a SASL exchange (RFC 4954 §4 has the figure).
const SASL_BYTES_MAX: usize = 12 << 10;
/// Bytes of a refused command that are passed over, before and after login; beyond: BYE.
const SKIP_MAX: [u64; 2] = [64 << 10, 1 << 20];
/// Bad commands in a row, before and after login; then BYE.
const BAD_MAX: [u32; 2] = [5, 20];
/// Failed logins on one connection; then BYE.
const FAILURES_MAX: u32 = 5;
/// Bytes of an APPEND that are handed on at once.
const CHUNK_MAX: usize = 64 << 10;

/// What a listener lets its connections do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name, for the greeting.
    pub host: String,
    /// STARTTLS can be done.
    pub starttls: bool,
    /// Mechanisms that may be offered; those that a connection cannot do are left out.
    pub mechanisms: Vec<Mechanism>,
    /// Largest message that APPEND takes, in octets (RFC 7889).
    pub append_limit: u64,
    /// Answer to ID: fields and values (RFC 2971), at most 30.
    pub id: Vec<(String, String)>,
    /// How long a client may take to log in, in all.
    pub login_time: Duration,
    /// How long a client that is logged in may say nothing: 30 minutes or more (RFC 9051 §5.4).
    pub autologout_time: Duration,
}

/// What this client has enabled (RFC 5161). Grows only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// CONDSTORE: by ENABLE, or by any command that uses it (RFC 7162 §3.1). It is set before the
    /// command is asked; when it comes to be set while a mailbox is selected, its HIGHESTMODSEQ is
    /// to be told.
    pub condstore: bool,
    /// QRESYNC: VANISHED instead of EXPUNGE. Sets `condstore` too.
    pub qresync: bool,
    /// IMAP4rev2.
    pub rev2: bool,
}

/// The server's side of one connection.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    loopback: bool,
    /// Boxed: few idle connections know of TLS by themselves, and all would keep its space.
    tls: Option<Box<Tls>>,
    session: Session,
    enabled: Enabled,
    state: State,
    frame: Frame,
    literals: u32,
    out: Vec<u8>,
    ask: Option<Ask>,
    chunk: Vec<u8>,
    /// What the last step lent.
    lent: Vec<u8>,
    bad: u32,
    failures: u32,
    login_by: Option<Instant>,
    deadline: Instant,
    /// The client got something done since the last step.
    touched: bool,
    draining: bool,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    NotAuthenticated,
    Authenticated,
    Selected,
}

#[derive(Debug)]
enum State {
    Greeting,
    /// A command is being received, or none yet.
    Command,
    /// The client's next line of a SASL exchange is being received.
    Sasl(Tag, Box<sasl::Exchange>),
    /// A message is being received.
    Append(append::Message),
    /// The message is whole: the end of the command is next.
    AppendEnd(Tag),
    /// The rest of a refused command is being passed over; then this is said.
    Skip(Skip, Reply),
    Idle(Tag),
    Asked(Asked),
    /// STARTTLS was answered.
    Secure,
    Closing,
}

/// What is asked, and so what its answer does.
#[derive(Debug)]
enum Asked {
    Login(Tag),
    Verifiers(Tag, Box<sasl::Exchange>),
    Refused(Tag),
    Command(Tag, Effect),
    AppendBegin(append::Message, Literal),
    AppendEnd(Tag),
    /// Nothing of the message is kept: this is next.
    AppendAbort(Box<State>, Option<Reply>),
    IdleStart(Tag),
    /// `false`: what ended it was not DONE.
    IdleEnd(Tag, bool),
}

/// The answer to a refused command, said when it has been passed over.
#[derive(Debug)]
struct Reply {
    bytes: Vec<u8>,
    /// It is one of the bad commands that a client may not have many of.
    bad: bool,
}

/// What a command does to the selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    None,
    Selects,
    Deselects,
}

impl Server {
    /// A connection from `peer` that has just been accepted. If TLS is already up, call
    /// [`Core::secured`] before the first step.
    #[must_use]
    pub fn new(config: Arc<Config>, peer: IpAddr) -> Self {
        Self {
            config,
            loopback: peer.to_canonical().is_loopback(),
            tls: None,
            session: Session::NotAuthenticated,
            enabled: Enabled::default(),
            state: State::Greeting,
            frame: Frame::default(),
            literals: 0,
            out: Vec::new(),
            ask: None,
            chunk: Vec::new(),
            lent: Vec::new(),
            bad: 0,
            failures: 0,
            login_by: None,
            deadline: Instant::NEVER,
            touched: false,
            draining: false,
            ended: false,
        }
    }

    /// How responses to this client are written.
    #[must_use]
    pub fn style(&self) -> Style {
        Style { rev2: self.enabled.rev2 }
    }

    /// What this client has enabled.
    #[must_use]
    pub fn enabled(&self) -> Enabled {
        self.enabled
    }

    /// Whether changes may be written at any time (IDLE).
    #[must_use]
    pub fn is_idling(&self) -> bool {
        matches!(self.state, State::Idle(_))
    }

    /// Says BYE and closes: the edge has a reason of its own (the account was moved or closed). Not
    /// while a question waits for its answer: answer `Bye` then.
    pub fn bye(&mut self, code: Option<Code>, text: impl Into<Text>) {
        status("* BYE ", code.as_ref(), &text.into(), self.style(), &mut self.out);
        self.close();
    }

    /// Answers the question asked last. Without one it does nothing.
    pub fn answer(&mut self, answer: Answer) {
        let asked = match std::mem::replace(&mut self.state, State::Command) {
            State::Asked(asked) => asked,
            other => {
                self.state = other;
                return;
            }
        };
        self.touched = true;
        if let Answer::Bye(code, text) = answer {
            return self.bye(code, text);
        }
        match asked {
            Asked::Login(tag) => self.login_answered(&tag, answer),
            Asked::Verifiers(tag, exchange) => self.verifiers_answered(tag, exchange, answer),
            Asked::Refused(tag) => self.refused_answered(&tag, answer),
            Asked::Command(tag, effect) => self.command_answered(&tag, effect, answer),
            Asked::AppendBegin(message, literal) => self.append_begun(message, literal, answer),
            Asked::AppendEnd(tag) => self.tagged_answer(&tag, answer),
            Asked::AppendAbort(next, reply) => {
                self.state = *next;
                self.say(reply);
            }
            Asked::IdleStart(tag) => match answer {
                Answer::Go => {
                    self.out.extend_from_slice(b"+ idling\r\n");
                    self.state = State::Idle(tag);
                }
                answer => self.tagged_answer(&tag, answer),
            },
            Asked::IdleEnd(tag, true) => self.tagged_answer(&tag, answer),
            Asked::IdleEnd(tag, false) => self.bad(Some(&tag), "expected DONE"),
        }
    }

    fn command_answered(&mut self, tag: &Tag, effect: Effect, answer: Answer) {
        match (&answer, effect) {
            (Answer::Ok(..), Effect::Selects) => self.session = Session::Selected,
            // RFC 9051 §6.3.2: when SELECT fails, no mailbox is selected.
            (Answer::No(..), Effect::Selects) | (Answer::Ok(..), Effect::Deselects) => {
                self.session = Session::Authenticated;
            }
            _ => {}
        }
        self.tagged_answer(tag, answer);
    }

    fn tagged_answer(&mut self, tag: &Tag, answer: Answer) {
        match answer {
            Answer::Ok(code, text) => self.tagged(tag, "OK", code.as_ref(), &text),
            Answer::No(code, text) => self.tagged(tag, "NO", code.as_ref(), &text),
            Answer::Bad(code, text) => self.tagged(tag, "BAD", code.as_ref(), &text),
            Answer::Bye(code, text) => self.bye(code, text),
            // An answer to another question: the client must not take it for success.
            Answer::Go | Answer::Verifiers(..) => {
                self.tagged(tag, "NO", Some(&Code::ServerBug), &"internal error".into());
            }
        }
    }

    fn tagged(&mut self, tag: &Tag, word: &str, code: Option<&Code>, text: &Text) {
        status(&format!("{tag} {word} "), code, text, self.style(), &mut self.out);
    }

    /// BAD, and BYE after too many of them.
    fn bad(&mut self, tag: Option<&Tag>, what: &'static str) {
        let reply = self.reply(tag, "BAD", None, what);
        self.say(reply);
    }

    fn count_bad(&mut self) {
        self.bad += 1;
        let [before, after] = BAD_MAX;
        if self.bad >= if self.is_logged_in() { after } else { before } {
            self.bye(None, "too many bad commands");
        }
    }

    fn say(&mut self, reply: impl Into<Option<Reply>>) {
        if let Some(reply) = reply.into() {
            self.out.extend_from_slice(&reply.bytes);
            if reply.bad {
                self.count_bad();
            }
        }
    }

    fn is_logged_in(&self) -> bool {
        self.session != Session::NotAuthenticated
    }

    fn close(&mut self) {
        self.state = State::Closing;
        self.frame = Frame::default();
        self.chunk = Vec::new();
        self.ask = None;
    }

    fn ask(&mut self, ask: Ask, asked: Asked) {
        self.ask = Some(ask);
        self.state = State::Asked(asked);
    }

    /// Passes over what is left of a refused command, `literal` octets first, and then says
    /// `reply`.
    fn skip(&mut self, literal: u64, reply: Reply) {
        let [before, after] = SKIP_MAX;
        let budget = if self.is_logged_in() { after } else { before };
        let skip = Skip::new(if literal == 0 { self.frame.line() } else { &[] }, literal, budget);
        self.frame = Frame::default();
        self.state = State::Skip(skip, reply);
    }

    /// A line of the current command came to something.
    fn framed(&mut self, event: Event) {
        match event {
            Event::Complete => {
                self.touched = true;
                self.literals = 0;
                let bytes = self.frame.take();
                match parse(&bytes, true, self.style()) {
                    Ok(Parsed::Command(command)) => self.dispatch(command),
                    Ok(Parsed::Incomplete) => self.bad(tag_of(&bytes).as_ref(), "incomplete"),
                    // A5: another protocol is not to be talked into something.
                    Err(_) if !self.is_logged_in() && is_http(&bytes) => {
                        self.bye(None, "this is IMAP");
                    }
                    Err(error) => {
                        let reply = self.error_reply(&error);
                        self.say(reply);
                    }
                }
            }
            Event::Literal(literal) => self.announced(literal),
            Event::TooLong => {
                let tag = tag_of(self.frame.bytes());
                let reply = self.too_big_reply(tag.as_ref(), "command too long");
                self.literals = 0;
                self.skip(0, reply);
            }
        }
    }

    /// A literal is announced: is the command good so far, and the literal small enough?
    fn announced(&mut self, literal: Literal) {
        self.literals += 1;
        // Looking at the beginning once keeps this linear; an APPEND has two literals at most.
        if self.literals == 1 || append::is_append(self.frame.bytes()) {
            match parse(self.frame.bytes(), false, self.style()) {
                Ok(Parsed::Incomplete) => {}
                Ok(Parsed::Command(command)) => return self.append(command, literal),
                Err(error) => {
                    let reply = self.error_reply(&error);
                    return self.refuse(literal, reply);
                }
            }
        }
        // I8: no literal is accepted that could take the command over its bound.
        let (total, each) = if self.is_logged_in() {
            (COMMAND_BYTES_MAX, LITERAL_BYTES_MAX)
        } else {
            (LOGIN_BYTES_MAX, LOGIN_LITERAL_BYTES_MAX)
        };
        let room = total.saturating_sub(self.frame.bytes().len());
        match usize::try_from(literal.size) {
            Ok(size) if size <= each && size < room => {
                self.frame.accept(size);
                if literal.synchronizing {
                    self.out.extend_from_slice(b"+ go on\r\n");
                }
            }
            _ => {
                let tag = tag_of(self.frame.bytes());
                let reply = self.too_big_reply(tag.as_ref(), "literal too big");
                self.refuse(literal, reply);
            }
        }
    }

    /// Refuses the command that has just announced a literal. A client that waits for a
    /// continuation sends no more of it; else it is passed over, or BYE is said to what is too
    /// large for that (RFC 7888 §4, §5; B1).
    fn refuse(&mut self, literal: Literal, reply: Reply) {
        self.literals = 0;
        self.touched = true;
        let most = if self.is_logged_in() { SKIP_MAX[1] } else { LOGIN_LITERAL_BYTES_MAX as u64 };
        if literal.synchronizing {
            self.frame = Frame::default();
            self.say(reply);
        } else if literal.size <= most {
            self.skip_literal(literal.size, reply);
        } else {
            self.bye(Some(Code::TooBig), "literal too big");
        }
    }

    fn skip_literal(&mut self, size: u64, reply: Reply) {
        self.frame = Frame::default();
        self.skip(size, reply);
    }

    fn error_reply(&self, error: &SyntaxError) -> Reply {
        let (word, code) = match error.kind {
            ErrorKind::Syntax => ("BAD", None),
            ErrorKind::Name => ("NO", Some(Code::Cannot)),
            ErrorKind::Use => ("NO", Some(Code::UseAttr)),
        };
        self.reply(error.tag.as_ref(), word, code.as_ref(), error.what)
    }

    fn too_big_reply(&self, tag: Option<&Tag>, what: &'static str) -> Reply {
        self.reply(tag, "BAD", Some(&Code::TooBig), what)
    }

    fn reply(
        &self,
        tag: Option<&Tag>,
        word: &str,
        code: Option<&Code>,
        what: &'static str,
    ) -> Reply {
        let start = format!("{} {word} ", tag.map_or("*", Tag::as_str));
        let mut bytes = Vec::new();
        status(&start, code, &what.into(), self.style(), &mut bytes);
        Reply { bytes, bad: word == "BAD" }
    }

    /// Says BYE where the process drains and nothing is half-done.
    fn leave_if_draining(&mut self) {
        let safe = match &self.state {
            State::Greeting | State::Sasl(..) | State::Idle(_) | State::Skip(..) => true,
            // What was answered is sent first.
            State::Command => self.out.is_empty(),
            _ => false,
        };
        if self.draining && safe {
            self.bye(Some(Code::Unavailable), "going down, come back soon");
        }
    }

    fn move_deadline(&mut self, now: Instant) {
        let login_by = *self.login_by.get_or_insert_with(|| now.after(self.config.login_time));
        if !self.is_logged_in() {
            // B3: absolute, whatever is said meanwhile.
            self.deadline = login_by;
        } else if std::mem::take(&mut self.touched) {
            self.deadline = now.after(self.config.autologout_time);
        }
    }

    fn receive_some(&mut self, bytes: &[u8]) -> usize {
        // What is to be done first is done by steps.
        if !self.out.is_empty() || self.ask.is_some() || !self.chunk.is_empty() {
            return 0;
        }
        match &self.state {
            State::Command => {
                let bound = if self.is_logged_in() { COMMAND_BYTES_MAX } else { LOGIN_BYTES_MAX };
                let (taken, event) = self.frame.receive(bytes, bound, true);
                if let Some(event) = event {
                    self.framed(event);
                }
                taken
            }
            State::Sasl(..) => self.receive_sasl(bytes),
            State::Append(_) => self.receive_message(bytes),
            State::AppendEnd(_) => self.receive_append_end(bytes),
            State::Skip(..) => self.receive_skipped(bytes),
            State::Idle(_) => self.receive_in_idle(bytes),
            // A2: what comes after STARTTLS in the clear is never taken.
            State::Greeting | State::Asked(_) | State::Secure | State::Closing => 0,
        }
    }

    fn receive_line(&mut self, bytes: &[u8], bound: usize) -> (usize, Option<Event>) {
        self.frame.receive(bytes, bound, false)
    }

    /// A line of IDLE: DONE or not, it ends it (RFC 2177 §3).
    fn receive_in_idle(&mut self, bytes: &[u8]) -> usize {
        let (taken, event) = self.receive_line(bytes, DONE_BYTES_MAX);
        if let (Some(event), State::Idle(tag)) = (event, &self.state) {
            let tag = tag.clone();
            let done = event == Event::Complete && self.frame.take().eq_ignore_ascii_case(b"DONE");
            if event == Event::TooLong {
                self.bye(None, "expected DONE");
            } else {
                self.touched = true;
                self.ask(Ask::IdleEnd, Asked::IdleEnd(tag, done));
            }
        }
        taken
    }

    fn receive_skipped(&mut self, bytes: &[u8]) -> usize {
        let State::Skip(skip, reply) = &mut self.state else { return 0 };
        let (taken, skipped) = skip.receive(bytes);
        match skipped {
            None => {}
            Some(Skipped::Ended) => {
                let reply = Reply { bytes: std::mem::take(&mut reply.bytes), bad: reply.bad };
                self.state = State::Command;
                self.touched = true;
                self.say(reply);
            }
            Some(Skipped::TooMuch) => self.bye(Some(Code::TooBig), "command too long"),
        }
        taken
    }
}

/// Whether this is the first line of an HTTP request.
fn is_http(line: &[u8]) -> bool {
    memchr::memmem::find(line, b" HTTP/1.").is_some()
}

impl Core for Server {
    type Ask = Ask;

    fn receive(&mut self, bytes: &[u8]) -> usize {
        let taken = self.receive_some(bytes);
        // A line that has just become too long is passed over from here on.
        if taken == 0 && self.ask.is_none() { self.receive_skipped(bytes) } else { taken }
    }

    fn step(&mut self, now: Instant) -> Step<'_, Ask> {
        self.lent = Vec::new();
        self.move_deadline(now);
        self.leave_if_draining();
        if matches!(self.state, State::Greeting) {
            self.greet();
        }
        if !self.out.is_empty() {
            self.lent = std::mem::take(&mut self.out);
            return Step::Send(&self.lent);
        }
        if let Some(ask) = self.ask.take() {
            return Step::Ask(ask);
        }
        if !self.chunk.is_empty() {
            self.lent = std::mem::take(&mut self.chunk);
            return Step::Take(&self.lent);
        }
        match self.state {
            State::Secure => Step::StartTls,
            State::Closing => Step::Close,
            _ if self.ended => Step::Close,
            _ => Step::Wait,
        }
    }

    fn secured(&mut self, tls: Tls) {
        // RFC 9051 §6.2.1: nothing learnt in the clear is believed.
        if matches!(self.state, State::Secure) {
            self.state = State::Command;
        }
        self.tls = Some(Box::new(tls));
        self.session = Session::NotAuthenticated;
        self.enabled = Enabled::default();
        self.frame = Frame::default();
        self.literals = 0;
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn late(&mut self) {
        if matches!(self.state, State::Closing) {
            return;
        }
        self.out.clear();
        let text = if self.is_logged_in() {
            "autologout: nothing was said for too long"
        } else {
            "too long without a login"
        };
        // RFC 9051 §5.4.
        self.bye(None, text);
    }

    fn drain(&mut self) {
        self.draining = true;
    }

    fn ended(&mut self) {
        self.ended = true;
    }
}
