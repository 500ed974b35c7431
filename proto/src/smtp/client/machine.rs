//! The client's state machine.

use std::collections::VecDeque;

use mail::{BodyType, Reply};

use super::commands;
use super::content::{Encoder, Unsendable};
use super::login::LoginExchange;
use super::replies::{NoReply, Received, Replies};
use super::{Fault, Features, Offer, Offered, Options, Stage, StartTls, Step, Timer};
use crate::Tls;

/// The client's side of one connection; see the module's documentation.
///
/// Memory: the commands of one offer, one reply of at most 64 KiB while it comes, and at most 2
/// KiB for each reply that is awaited.
#[derive(Debug)]
pub struct Client {
    pub(super) options: Options,
    pub(super) state: State,
    pub(super) out: Vec<u8>,
    lent: bool,
    replies: Replies,
    /// Whole replies seen so far.
    turns: u64,
    fault: Option<Fault>,
    pub(super) banner: Option<Reply>,
    pub(super) features: Features,
    pub(super) tls: Option<Tls>,
    starttls_failure: Option<String>,
    /// A transaction was begun and neither finished nor reset.
    open: bool,
    /// This transaction's content goes in chunks; whether any byte may be in them.
    chunked: Option<bool>,
}

#[derive(Debug)]
pub(super) enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// 220 to STARTTLS has come.
    Handshake,
    Login(LoginExchange),
    Ready,
    Offering(Box<Offering>),
    Data,
    Content(Encoder),
    /// The reply to a chunk that is not the last is awaited.
    Chunk(Encoder),
    Ending,
    Refused(Reply),
    Quit,
    Over,
}

/// MAIL and RCPT on their way.
#[derive(Debug)]
pub(super) struct Offering {
    unsaid: VecDeque<(What, Vec<u8>)>,
    said: VecDeque<What>,
    sender: Option<Reply>,
    recipients: Vec<Option<Reply>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Reset,
    Sender,
    Recipient(usize),
}

impl Client {
    /// A client that has just been connected. With TLS from the first byte, `tls` is what is known
    /// of it.
    #[must_use]
    pub fn new(options: Options, tls: Option<Tls>) -> Self {
        let mut options = options;
        let fits = (1..=255).contains(&options.hello.len())
            && options.hello.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            options.hello = "localhost".to_owned();
        }
        Self {
            options,
            state: State::Greeting,
            out: Vec::new(),
            lent: false,
            replies: Replies::default(),
            turns: 0,
            fault: None,
            banner: None,
            features: Features::default(),
            tls,
            starttls_failure: None,
            open: false,
            chunked: None,
        }
    }

    /// The greeting, once it has come.
    #[must_use]
    pub const fn banner(&self) -> Option<&Reply> {
        self.banner.as_ref()
    }

    /// What the other side offers, as of its last answer to EHLO.
    #[must_use]
    pub const fn features(&self) -> &Features {
        &self.features
    }

    /// Why STARTTLS, though offered, was not taken.
    #[must_use]
    pub fn starttls_failure(&self) -> Option<&str> {
        self.starttls_failure.as_deref()
    }

    /// Whole replies received so far: a deadline counts from the last one, not from the last byte.
    #[must_use]
    pub const fn turns(&self) -> u64 {
        self.turns
    }

    /// Whether the next step is [`Step::Failed`]: what is being written need not be.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.fault.is_some()
    }

    /// Takes received bytes, all of them.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.fault.is_none() && !self.is_before_tls() {
            match self.replies.take(bytes) {
                Ok((taken, received)) => {
                    bytes = bytes.get(taken..).unwrap_or_default();
                    if let Some(received) = received {
                        self.turns += 1;
                        self.replied(received);
                    }
                }
                Err(NoReply(why)) => self.fail(why),
            }
        }
        // A3: whatever came with the 220 was not protected, and would be taken for the answer to
        // what is said under TLS.
        let early = !bytes.is_empty() || !self.replies.is_empty();
        if self.is_before_tls() && early && self.fault.is_none() {
            self.fault = Some(Fault::new(Stage::StartTls, "bytes after the answer to STARTTLS"));
        }
    }

    /// The other side closed the connection, it broke, or a deadline passed. The next step fails.
    pub fn broken(&mut self, why: &str) {
        match self.state {
            // The other side may hang up without an answer to QUIT.
            State::Quit => self.state = State::Over,
            _ => self.fail(why),
        }
    }

    /// TLS is up: everything learnt before is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self, tls: Tls) {
        self.tls = Some(tls);
        self.features = Features::default();
        self.replies = Replies::default();
        self.hello(State::Ehlo);
    }

    /// The next step. Bytes lent by the step before are gone.
    pub fn step(&mut self) -> Step<'_> {
        if std::mem::take(&mut self.lent) {
            self.out.clear();
        }
        if let Some(fault) = self.fault.take() {
            self.state = State::Over;
            self.out = Vec::new();
            return Step::Failed(fault);
        }
        if matches!(&self.state, State::Offering(_)) {
            self.say_more();
        }
        if !self.out.is_empty() {
            self.lent = true;
            return Step::Send(&self.out);
        }
        match &self.state {
            State::Greeting => Step::Wait(Timer::Greeting),
            State::Ehlo | State::Helo | State::StartTls | State::Login(_) => {
                Step::Wait(Timer::Command)
            }
            State::Handshake => Step::StartTls,
            State::Ready => Step::Ready,
            State::Offering(offering) if !offering.said.is_empty() => Step::Wait(Timer::Command),
            State::Offering(_) => self.offered(),
            State::Data => Step::Wait(Timer::Data),
            State::Content(_) => Step::GoAhead,
            State::Chunk(_) | State::Ending => Step::Wait(Timer::End),
            State::Refused(_) => self.refused(),
            State::Quit => Step::Wait(Timer::Quit),
            State::Over => Step::Closed,
        }
    }

    /// Begins a transaction; only after [`Step::Ready`], [`Step::Offered`] or [`Step::Done`].
    pub fn offer(&mut self, offer: &Offer) {
        if !matches!(self.state, State::Ready) {
            return self.fail("offered out of turn");
        }
        let mut recipients = vec![None; offer.recipients.len()];
        let mut unsaid = VecDeque::new();
        let mut sender = None;
        // RFC 5321 §4.1.1.5: what is left of an earlier transaction goes.
        if self.open {
            unsaid.push_back((What::Reset, b"RSET\r\n".to_vec()));
        }
        match commands::mail(offer, &self.features) {
            Ok(line) => unsaid.push_back((What::Sender, line)),
            Err(reply) => {
                recipients.fill(Some(reply.clone()));
                sender = Some(reply);
            }
        }
        // RFC 9422 §4: the rest has to wait for another transaction.
        let max = self.features.recipients_max.map_or(usize::MAX, |max| max as usize);
        for (n, recipient) in offer.recipients.iter().enumerate().filter(|_| sender.is_none()) {
            let line = if n < max {
                commands::recipient(recipient, &self.features)
            } else {
                Err(commands::ours(452, (5, 3), "This host takes no more recipients at once"))
            };
            match line {
                Ok(line) => unsaid.push_back((What::Recipient(n), line)),
                Err(reply) => recipients.iter_mut().skip(n).take(1).for_each(|slot| {
                    *slot = Some(reply.clone());
                }),
            }
        }
        // MAIL for nobody would be of no use.
        if !unsaid.iter().any(|(what, _)| matches!(what, What::Recipient(_))) {
            unsaid.clear();
            let reply = || commands::ours(554, (5, 1), "No recipient can be asked for");
            let first = recipients.first().cloned().flatten();
            sender.get_or_insert_with(|| first.unwrap_or_else(reply));
        }
        let binary = offer.body == BodyType::BinaryMime;
        let chunked = binary || self.options.chunking && self.features.chunking;
        self.chunked = chunked.then_some(binary);
        let said = VecDeque::new();
        let offering = Offering { unsaid, said, sender, recipients };
        self.state = State::Offering(Box::new(offering));
    }

    /// Content follows for what was just offered and accepted ([`Offered::is_accepted`]).
    pub fn begin(&mut self) {
        if !matches!(self.state, State::Ready) || !self.open {
            return self.fail("content out of turn");
        }
        match self.chunked {
            // RFC 3030 §2: no DATA, chunks at once.
            Some(binary) => self.state = State::Content(Encoder::chunks(binary)),
            None => {
                self.out.extend_from_slice(b"DATA\r\n");
                self.state = State::Data;
            }
        }
    }

    /// A piece of the content, at most 64 KiB or so; only after [`Step::GoAhead`].
    pub fn content(&mut self, piece: &[u8]) {
        let State::Content(mut encoder) = std::mem::replace(&mut self.state, State::Over) else {
            return self.fail("content out of turn");
        };
        if piece.is_empty() {
            self.state = State::Content(encoder);
            return;
        }
        if encoder.is_chunked() {
            self.out.extend_from_slice(format!("BDAT {}\r\n", piece.len()).as_bytes());
        }
        let encoded = encoder.encode(piece, &mut self.out);
        self.state =
            if encoder.is_chunked() { State::Chunk(encoder) } else { State::Content(encoder) };
        if let Err(Unsendable(why)) = encoded {
            self.fail(why);
        }
    }

    /// The content is complete: from here on its fate is decided by the reply, and unknown without
    /// one. Only after [`Step::GoAhead`].
    pub fn end(&mut self) {
        let State::Content(encoder) = &self.state else {
            return self.fail("the end out of turn");
        };
        match encoder.end() {
            Ok(end) => {
                let end = if encoder.is_chunked() { b"BDAT 0 LAST\r\n" } else { end };
                self.out.extend_from_slice(end);
                self.state = State::Ending;
            }
            Err(Unsendable(why)) => self.fail(why),
        }
    }

    /// Says good-bye.
    pub fn quit(&mut self) {
        self.out.clear();
        self.out.extend_from_slice(b"QUIT\r\n");
        self.lent = false;
        self.state = State::Quit;
    }

    const fn is_before_tls(&self) -> bool {
        matches!(self.state, State::Handshake)
    }

    /// Where it stands, for faults.
    const fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting => Stage::Greeting,
            State::Ehlo | State::Helo => Stage::Hello,
            State::StartTls | State::Handshake => Stage::StartTls,
            State::Login(_) => Stage::Login,
            State::Offering(offering) if offering.sender.is_some() => Stage::Recipient,
            State::Ready | State::Offering(_) | State::Quit => Stage::Sender,
            State::Data => Stage::Data,
            State::Content(_) | State::Chunk(_) | State::Refused(_) => Stage::Content,
            State::Ending | State::Over => Stage::End,
        }
    }

    pub(super) fn fail(&mut self, why: &str) {
        if self.fault.is_none() {
            let unknown = matches!(self.state, State::Ending);
            self.fault = Some(Fault { unknown, ..Fault::new(self.stage(), why) });
        }
    }

    pub(super) fn set_fault(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    pub(super) fn refuse(&mut self, reply: Reply) {
        if self.fault.is_none() {
            self.fault = Some(Fault::refused(self.stage(), reply));
        }
    }

    fn replied(&mut self, received: Received) {
        let Received { reply, lines } = received;
        // What it answers was not even said: it must not be taken for the answer.
        if !self.out.is_empty() && !self.lent && !matches!(self.state, State::Quit) {
            return match reply.code {
                400.. => self.refuse(reply),
                _ => self.fail(&format!("an answer to nothing: {reply}")),
            };
        }
        match &mut self.state {
            State::Greeting => self.greeted(reply),
            State::Ehlo => self.ehlo_answered(reply, &lines),
            State::Helo if reply.code == 250 => self.helloed(),
            State::StartTls => self.starttls_answered(reply),
            State::Login(_) => self.login_answered(reply, lines),
            State::Offering(_) => self.offer_answered(reply),
            State::Data if reply.code == 354 => self.state = State::Content(Encoder::data()),
            State::Data if reply.is_permanent() || reply.is_transient() && reply.code != 421 => {
                self.state = State::Refused(reply);
            }
            State::Chunk(encoder) => match reply.code {
                200..=299 => {
                    let encoder = std::mem::replace(encoder, Encoder::data());
                    self.state = State::Content(encoder);
                }
                421 => self.refuse(reply),
                _ => self.state = State::Refused(reply),
            },
            // Any reply decides, also 421: the content was refused then.
            State::Ending if reply.code / 100 != 3 => {
                self.open = reply.code >= 300;
                self.state = State::Refused(reply);
            }
            State::Quit => self.state = State::Over,
            State::Over | State::Refused(_) => {}
            // A refusal that nobody asked for (421, or the content refused before its end) ends
            // the connection; any other answer to nothing is not to be trusted with the next.
            _ if reply.code >= 400 => self.refuse(reply),
            State::Helo | State::Data | State::Ending => {
                self.fail(&format!("an answer that makes no sense: {reply}"));
            }
            State::Handshake | State::Ready | State::Content(_) => {
                self.fail(&format!("an answer to nothing: {reply}"));
            }
        }
    }

    fn greeted(&mut self, reply: Reply) {
        // RFC 5321 §3.1: nothing is said to a server that does not greet with 220.
        if reply.code != 220 {
            return self.refuse(reply);
        }
        self.banner = Some(reply);
        self.hello(State::Ehlo);
    }

    fn hello(&mut self, state: State) {
        let verb = if matches!(state, State::Helo) { "HELO" } else { "EHLO" };
        self.out.extend_from_slice(format!("{verb} {}\r\n", self.options.hello).as_bytes());
        self.state = state;
    }

    fn ehlo_answered(&mut self, reply: Reply, lines: &[String]) {
        let needs = self.options.login.is_some()
            || self.options.starttls == StartTls::Required && self.tls.is_none();
        match reply.code {
            250 => {
                lines.iter().skip(1).for_each(|line| self.features.take(line));
                self.helloed();
            }
            // RFC 5321 §3.2: a server without extensions. Nothing that needs one goes there.
            500..=599 if !needs => self.hello(State::Helo),
            _ => self.refuse(reply),
        }
    }

    fn helloed(&mut self) {
        let offered = self.features.starttls;
        match self.options.starttls {
            _ if self.tls.is_some() => self.login(),
            StartTls::Offered | StartTls::Required if offered => {
                self.out.extend_from_slice(b"STARTTLS\r\n");
                self.state = State::StartTls;
            }
            // F4: taken off the list by somebody, or not offered: never in clear.
            StartTls::Required => {
                self.fault = Some(Fault::new(Stage::StartTls, "STARTTLS is not offered"));
            }
            StartTls::Never | StartTls::Offered => self.login(),
        }
    }

    fn starttls_answered(&mut self, reply: Reply) {
        match (reply.code, self.options.starttls) {
            (220, _) => self.state = State::Handshake,
            (421, _) | (_, StartTls::Required) => self.refuse(reply),
            // RFC 3207 §4.1: the client decides whether to go on.
            _ => {
                self.starttls_failure = Some(reply.to_string());
                self.login();
            }
        }
    }

    /// Puts as many commands out as may be.
    fn say_more(&mut self) {
        let State::Offering(offering) = &mut self.state else { return };
        // RFC 2920 §3.1: in one go; without it one at a time.
        while self.features.pipelining || offering.said.is_empty() {
            let Some((what, line)) = offering.unsaid.pop_front() else { return };
            // Where the sender was refused, nobody is asked.
            if let (What::Recipient(n), Some(reply)) = (what, &offering.sender)
                && !reply.is_positive()
            {
                let reply = reply.clone();
                offering.recipients.iter_mut().skip(n).take(1).for_each(|slot| {
                    *slot = Some(reply.clone());
                });
                continue;
            }
            self.open |= what == What::Sender;
            offering.said.push_back(what);
            self.out.extend_from_slice(&line);
        }
    }

    fn offer_answered(&mut self, reply: Reply) {
        // RFC 5321 §3.8: the server goes away, whatever was asked.
        if reply.code == 421 || reply.code / 100 == 3 {
            return self.refuse(reply);
        }
        let State::Offering(offering) = &mut self.state else { return };
        match offering.said.pop_front() {
            Some(What::Reset) if reply.code >= 300 => self.refuse(reply),
            Some(What::Reset) => {}
            Some(What::Sender) => {
                // RFC 5321 §4.1.4: a MAIL that was refused begins nothing.
                self.open = reply.is_positive();
                offering.sender = Some(reply);
            }
            Some(What::Recipient(n)) => {
                offering.recipients.iter_mut().skip(n).take(1).for_each(|slot| {
                    *slot = Some(reply.clone());
                });
            }
            None => self.fail(&format!("an answer to nothing: {reply}")),
        }
    }

    fn offered(&mut self) -> Step<'_> {
        let State::Offering(offering) = std::mem::replace(&mut self.state, State::Ready) else {
            return Step::Ready;
        };
        let Offering { sender, recipients, .. } = *offering;
        let Some(sender) = sender else { return Step::Ready };
        // Where the sender is refused, what was pipelined behind it says nothing of recipients.
        let of = |reply: Option<Reply>| reply.filter(|_| sender.is_positive());
        let recipients = recipients.into_iter().map(|r| of(r).unwrap_or_else(|| sender.clone()));
        let recipients = recipients.collect();
        Step::Offered(Offered { sender, recipients })
    }

    /// The transaction is over, by this reply.
    fn refused(&mut self) -> Step<'_> {
        let State::Refused(reply) = std::mem::replace(&mut self.state, State::Ready) else {
            return Step::Ready;
        };
        if reply.code == 421 {
            self.state = State::Over;
        }
        Step::Done(reply)
    }
}
