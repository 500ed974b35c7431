//! APPEND: its message is never held, it streams to the edge (RFC 9051 §6.3.12, RFC 7889).

use super::{Asked, CHUNK_MAX, Reply, Server, State};
use crate::imap::command::{Body, Command, Tag};
use crate::imap::frame::{Event, Literal};
use crate::imap::response::{Code, Text, status};
use crate::imap::{Answer, Ask};

/// A message being received.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) tag: Tag,
    /// Octets still to come.
    pub(super) left: u64,
    /// NUL is allowed.
    pub(super) binary: bool,
}

/// Whether these bytes begin an APPEND.
pub(super) fn is_append(bytes: &[u8]) -> bool {
    let mut words = bytes.splitn(3, |byte| *byte == b' ');
    words.next();
    words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"APPEND"))
}

impl Server {
    /// A command that is whole but for `literal`, its message.
    pub(super) fn append(&mut self, command: Command, literal: Literal) {
        let Command { tag, body } = command;
        if let Some(why) = self.not_now(&body) {
            let reply = self.reply(Some(&tag), "BAD", None, why);
            return self.refuse(literal, reply);
        }
        let Body::Append(append) = body else {
            let reply = self.reply(Some(&tag), "BAD", None, "no literal here");
            return self.refuse(literal, reply);
        };
        self.literals = 0;
        self.touched = true;
        self.frame.take();
        if literal.size > self.config.append_limit {
            // RFC 7889 §4: TOOBIG.
            let text = format!("messages have at most {} octets", self.config.append_limit);
            return self.append_refused(&tag, literal, Some(&Code::TooBig), &text.into());
        }
        if literal.size == 0 {
            return self.append_refused(&tag, literal, None, &"an empty message".into());
        }
        self.bad = 0;
        let message = Message { tag, left: append.size, binary: append.binary };
        self.ask(Ask::AppendBegin(Box::new(append)), Asked::AppendBegin(message, literal));
    }

    pub(super) fn append_begun(&mut self, message: Message, literal: Literal, answer: Answer) {
        match answer {
            Answer::Go => {
                if literal.synchronizing {
                    self.out.extend_from_slice(b"+ go on\r\n");
                }
                self.state = State::Append(message);
            }
            Answer::No(code, text) => {
                self.append_refused(&message.tag, literal, code.as_ref(), &text);
            }
            _ => {
                let text = "internal error".into();
                self.append_refused(&message.tag, literal, Some(&Code::ServerBug), &text);
            }
        }
    }

    /// Says NO: at once to a client that waits; to one that does not, when the message is passed
    /// over, in bounded memory (RFC 7888 §4). One much too large ends the connection.
    fn append_refused(&mut self, tag: &Tag, literal: Literal, code: Option<&Code>, text: &Text) {
        let mut bytes = Vec::new();
        status(&format!("{tag} NO "), code, text, self.style(), &mut bytes);
        let reply = Reply { bytes, bad: false };
        if literal.synchronizing {
            self.say(reply);
        } else if literal.size <= self.config.append_limit.saturating_mul(2) {
            self.skip_literal(literal.size, reply);
        } else {
            self.bye(Some(Code::TooBig), "message too big");
        }
    }

    /// Octets of the message, at most [`CHUNK_MAX`] at once.
    pub(super) fn receive_message(&mut self, bytes: &[u8]) -> usize {
        let State::Append(message) = &mut self.state else { return 0 };
        let size = usize::try_from(message.left).unwrap_or(CHUNK_MAX).min(CHUNK_MAX);
        let content = bytes.get(..size.min(bytes.len())).unwrap_or_default();
        message.left -= content.len() as u64;
        self.touched = true;
        // RFC 9051 §4.3: NUL only in a literal8.
        if !message.binary && memchr::memchr(0, content).is_some() {
            let (tag, left) = (message.tag.clone(), message.left);
            let reply = self.reply(Some(&tag), "BAD", None, "a NUL: use a literal8");
            self.skip_literal(left, reply);
            self.abort(None);
            return content.len();
        }
        if message.left == 0 {
            self.state = State::AppendEnd(message.tag.clone());
        }
        self.chunk.extend_from_slice(content);
        content.len()
    }

    /// Tells the edge to forget the message, and then goes on from the present state.
    fn abort(&mut self, reply: Option<Reply>) {
        let next = std::mem::replace(&mut self.state, State::Command);
        self.ask(Ask::AppendAbort, Asked::AppendAbort(Box::new(next), reply));
    }

    /// What comes after the message: nothing but the end of the line.
    pub(super) fn receive_append_end(&mut self, bytes: &[u8]) -> usize {
        // A second message (MULTIAPPEND) or other arguments are refused however long they are.
        let (taken, event) = self.frame.receive(bytes, 4_096, true);
        let Some(event) = event else { return taken };
        let State::AppendEnd(tag) = std::mem::replace(&mut self.state, State::Command) else {
            return taken;
        };
        self.touched = true;
        let reply = self.reply(Some(&tag), "BAD", None, "expected one message and no more");
        match event {
            Event::Complete if self.frame.take().is_empty() => {
                self.ask(Ask::AppendEnd, Asked::AppendEnd(tag));
            }
            Event::Complete => self.abort(Some(reply)),
            Event::Literal(literal) if literal.synchronizing => {
                self.frame.take();
                self.abort(Some(reply));
            }
            Event::Literal(literal) => {
                if literal.size <= self.config.append_limit {
                    self.skip_literal(literal.size, reply);
                } else {
                    self.bye(Some(Code::TooBig), "expected one message and no more");
                }
                self.abort_unless_closing();
            }
            Event::TooLong => {
                self.skip(0, reply);
                self.abort_unless_closing();
            }
        }
        taken
    }

    fn abort_unless_closing(&mut self) {
        if !matches!(self.state, State::Closing) {
            self.abort(None);
        }
    }
}
