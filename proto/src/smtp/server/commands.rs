//! Commands, and the answers to what they asked.

use mail::{BodyType, Envelope, Recipient};

use super::content::Chunking;
use super::{Asked, Beginning, Next, RECIPIENTS_ASKED_MAX, Server, State, Transaction, UNFIT};
use crate::smtp::command::{Arguments, Command, NoCommand};
use crate::smtp::input::Line;
use crate::smtp::{Answer, Ask, Reply, Role, Sender, params};

const HELLO_FIRST: Reply = Reply::of(503, 5, 1, "Say EHLO first");
const AUTH_FIRST: Reply = Reply::of(530, 7, 0, "Authentication required");
const MAIL_FIRST: Reply = Reply::of(503, 5, 1, "Say MAIL FROM first");
const RCPT_FIRST: Reply = Reply::of(503, 5, 1, "Say RCPT TO first");
const NESTED: Reply = Reply::of(503, 5, 1, "A message is under way already");
const NO_RECIPIENTS: Reply = Reply::of(554, 5, 1, "No valid recipients");
const TOO_MANY_RECIPIENTS: Reply = Reply::of(452, 5, 3, "Too many recipients");
const OK: Reply = Reply::of(250, 0, 0, "OK");
const LATER: Reply = Reply::of(451, 3, 0, "Internal error, try again");

impl<Receipt: std::fmt::Display> Server<Receipt> {
    /// The line of `bytes` bytes in front of the input.
    pub(super) fn command(&mut self, transaction: Transaction, bytes: usize) -> Next {
        let range = self.input.consume(bytes + 2);
        let line = self.input.lend(range.start..range.start + bytes);
        // A copy of a bounded line: commands borrow from it while the state changes.
        let line = line.to_vec();
        match Command::parse(&line) {
            Ok(command) => self.carry_out(command, transaction),
            Err(NoCommand::Reply(reply)) => {
                self.reply(&reply);
                self.again(State::Ready(transaction))
            }
            Err(NoCommand::NotSmtp) => {
                let close = self.close(&Reply::of(554, 5, 0, "This is a mail server"));
                self.again(close)
            }
            Err(NoCommand::NoBoundary) => {
                let close = self.close(&Reply::of(501, 5, 4, "Syntax: BDAT size [LAST]"));
                self.again(close)
            }
        }
    }

    fn carry_out(&mut self, command: Command<'_>, transaction: Transaction) -> Next {
        let mail = matches!(
            command,
            Command::Mail(_) | Command::Rcpt(_) | Command::Data | Command::Bdat { .. }
        );
        if !mail {
            self.idle_commands = self.idle_commands.saturating_add(1);
        }
        match command {
            Command::Ehlo(name) => self.hello(name, true, transaction),
            Command::Helo(name) => self.hello(name, false, transaction),
            Command::Mail(arguments) => self.mail(&arguments, transaction),
            Command::Rcpt(arguments) => self.rcpt(&arguments, transaction),
            Command::Data => self.data_command(transaction),
            Command::Bdat { bytes, last } => self.bdat_command(bytes, last, transaction),
            Command::Rset => {
                self.reply(&OK);
                self.forget(transaction)
            }
            Command::Noop => self.say(&OK, transaction),
            Command::Help => {
                let text = "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH QUIT";
                self.say(&Reply::of(214, 0, 0, text), transaction)
            }
            // I9: who exists is told to who sends it mail only.
            Command::Vrfy => {
                let text = "Cannot verify, but will take messages";
                self.say(&Reply::of(252, 5, 0, text), transaction)
            }
            Command::Quit => {
                let close = self.close(&Reply::of(221, 0, 0, "Bye"));
                self.again(close)
            }
            Command::StartTls => self.start_tls(transaction),
            Command::Auth { mechanism, initial } => {
                self.auth_command(mechanism, initial, transaction)
            }
        }
    }

    fn say(&mut self, reply: &Reply, transaction: Transaction) -> Next {
        self.reply(reply);
        self.again(State::Ready(transaction))
    }

    /// Ends a transaction without a message; the edge is told if it has some of its content.
    pub(super) fn forget(&mut self, transaction: Transaction) -> Next {
        self.state = State::Ready(Transaction::None);
        match transaction {
            Transaction::Chunks(_) => Next::Ask(Ask::Abort),
            _ => Next::Again,
        }
    }

    /// RFC 5321 §4.1.4: EHLO in the middle of a transaction ends it.
    fn hello(&mut self, name: &str, extended: bool, transaction: Transaction) -> Next {
        self.session.hello = Some((name.to_owned(), extended));
        let mut lines = vec![self.config.host.to_string()];
        if extended {
            self.extensions(&mut lines);
        }
        let last = lines.len() - 1;
        for (number, line) in lines.iter().enumerate() {
            let separator = if number == last { ' ' } else { '-' };
            self.out.extend_from_slice(format!("250{separator}{line}\r\n").as_bytes());
        }
        self.forget(transaction)
    }

    fn extensions(&self, lines: &mut Vec<String>) {
        let (config, limits) = (&self.config, &self.config.limits);
        lines.extend(
            ["PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "HELP"]
                .map(String::from),
        );
        lines.push("ENHANCEDSTATUSCODES".into());
        lines.push(format!("SIZE {}", limits.message_bytes_max));
        // RFC 9422 §4
        let (messages, recipients) = (limits.messages_max, limits.recipients_max);
        lines.push(format!("LIMITS MAILMAX={messages} RCPTMAX={recipients}"));
        if config.dsn {
            lines.push("DSN".into());
        }
        if config.starttls && self.session.tls.is_none() {
            lines.push("STARTTLS".into());
        }
        let names: Vec<_> = self.mechanisms().map(crate::sasl::Mechanism::name).collect();
        if !names.is_empty() {
            lines.push(format!("AUTH {}", names.join(" ")));
        }
    }

    fn start_tls(&mut self, transaction: Transaction) -> Next {
        if self.session.tls.is_some() {
            return self.say(&Reply::of(503, 5, 1, "TLS is up already"), transaction);
        }
        if !self.config.starttls {
            return self.say(&Reply::of(502, 5, 1, "TLS is not offered here"), transaction);
        }
        // Content of a transaction that BDAT began is thrown away first.
        if matches!(transaction, Transaction::Chunks(_)) {
            return self.say(&NESTED, transaction);
        }
        self.reply(&Reply::of(220, 0, 0, "Go ahead"));
        self.again(State::StartTls)
    }

    fn mail(&mut self, arguments: &Arguments<'_>, transaction: Transaction) -> Next {
        if self.session.hello.is_none() {
            return self.say(&HELLO_FIRST, transaction);
        }
        if !matches!(transaction, Transaction::None) {
            return self.say(&NESTED, transaction);
        }
        if self.config.role == Role::Submission && !self.session.authenticated {
            return self.say(&AUTH_FIRST, transaction);
        }
        if self.messages >= self.config.limits.messages_max {
            let close = self.close(&Reply::of(421, 7, 0, "Too many messages, connect again"));
            return self.again(close);
        }
        match params::sender(arguments, &self.config) {
            Ok(sender) => {
                let sender = Box::new(sender);
                self.ask(Asked::Sender(sender.clone()), Ask::Sender(sender))
            }
            Err(reply) => self.say(&reply, transaction),
        }
    }

    pub(super) fn sender_answered(&mut self, sender: Sender, answer: Answer<Receipt>) -> State {
        State::Ready(match answer {
            Answer::Accepted => {
                self.reply(&Reply::of(250, 1, 0, "Sender OK"));
                let Sender { path, body, smtputf8, ret, envid, size: _ } = sender;
                let envelope =
                    Envelope { sender: path, recipients: vec![], body, smtputf8, ret, envid };
                Transaction::Mail { envelope: Box::new(envelope), refused: false }
            }
            Answer::Refused(reply) => {
                self.reply(&reply);
                Transaction::None
            }
            _ => {
                self.reply(&LATER);
                Transaction::None
            }
        })
    }

    fn rcpt(&mut self, arguments: &Arguments<'_>, transaction: Transaction) -> Next {
        let envelope = match transaction {
            Transaction::None => return self.say(&MAIL_FIRST, transaction),
            Transaction::Chunks(_) => return self.say(&NESTED, transaction),
            Transaction::Mail { ref envelope, .. } | Transaction::Rcpt(ref envelope) => envelope,
        };
        let mut room = self.config.limits.recipients_max.saturating_sub(envelope.recipients.len());
        if room == 0 {
            // RFC 5321 §4.5.3.1.10: 452 for those beyond the limit, and those before it stay.
            return self.say(&TOO_MANY_RECIPIENTS, transaction);
        }
        let smtputf8 = envelope.smtputf8;
        let first = match params::recipient(arguments, smtputf8, &self.config) {
            Ok(recipient) => recipient,
            Err(reply) => return self.say(&reply, transaction),
        };
        let (Transaction::Mail { envelope, .. } | Transaction::Rcpt(envelope)) = transaction else {
            return self.again(State::Close);
        };
        room = room.min(RECIPIENTS_ASKED_MAX) - 1;
        let mut asked = vec![first];
        // Pipelined RCPTs are one question.
        while let Some(next) = self.next_recipient(smtputf8).filter(|_| room > 0) {
            asked.push(next.0);
            self.input.consume(next.1);
            room -= 1;
        }
        let ask = Ask::Recipients(asked.clone());
        self.ask(Asked::Recipients { envelope, asked }, ask)
    }

    /// The recipient of the line in front, if it is a good RCPT, and the bytes it takes.
    fn next_recipient(&mut self, smtputf8: bool) -> Option<(Recipient, usize)> {
        let Line::Whole(bytes) = self.input.line(self.config.limits.line_bytes_max) else {
            return None;
        };
        let Ok(Command::Rcpt(arguments)) = Command::parse(self.input.waiting().get(..bytes)?)
        else {
            return None;
        };
        let recipient = params::recipient(&arguments, smtputf8, &self.config).ok()?;
        Some((recipient, bytes + 2))
    }

    pub(super) fn recipients_answered(
        &mut self,
        mut envelope: Box<Envelope>,
        asked: Vec<Recipient>,
        answer: Answer<Receipt>,
    ) -> State {
        let mut answers = match answer {
            Answer::Recipients(answers) => answers.into_iter(),
            Answer::Refused(reply) => vec![Err(reply); asked.len()].into_iter(),
            _ => vec![].into_iter(),
        };
        for recipient in asked {
            match answers.next() {
                Some(Ok(())) => {
                    self.reply(&Reply::of(250, 1, 5, "Recipient OK"));
                    envelope.recipients.push(recipient);
                }
                Some(Err(reply)) => self.reply(&reply),
                None => self.reply(&LATER),
            }
        }
        State::Ready(if envelope.recipients.is_empty() {
            Transaction::Mail { envelope, refused: true }
        } else {
            Transaction::Rcpt(envelope)
        })
    }

    fn data_command(&mut self, transaction: Transaction) -> Next {
        let refusal = match transaction {
            Transaction::Rcpt(envelope) if envelope.body == BodyType::BinaryMime => {
                // RFC 3030 §3: binary content has no end that DATA could find.
                self.reply(&Reply::of(503, 5, 1, "BINARYMIME needs BDAT"));
                return self.again(State::Ready(Transaction::Rcpt(envelope)));
            }
            Transaction::Rcpt(_) if !self.input.waiting().is_empty() => return self.talked_early(),
            Transaction::Rcpt(envelope) => {
                return self.ask(Asked::Begin(Beginning::Data), Ask::Begin(envelope));
            }
            // RFC 3030 §2: DATA after BDAT fails, and so does the transaction (A4).
            Transaction::Chunks(_) => {
                self.reply(&Reply::of(503, 5, 1, "DATA after BDAT"));
                return self.forget(transaction);
            }
            Transaction::None => MAIL_FIRST,
            // RFC 5321 §3.3: DATA needs a recipient that was taken.
            Transaction::Mail { refused: true, .. } => NO_RECIPIENTS,
            Transaction::Mail { refused: false, .. } => RCPT_FIRST,
        };
        self.say(&refusal, transaction)
    }

    /// A5, RFC 2920 §3.1: nothing may follow DATA before our 354. What does is either no mail
    /// client or somebody who tries to have content taken for commands.
    pub(super) fn talked_early(&mut self) -> Next {
        let close = self.close(&Reply::of(554, 5, 0, "Talking before the reply to DATA"));
        self.again(close)
    }

    /// RFC 3030 §2: whatever the reply, the chunk's bytes follow.
    fn bdat_command(&mut self, bytes: u64, last: bool, transaction: Transaction) -> Next {
        let refusal = match transaction {
            Transaction::Chunks(chunking) => return self.next_chunk(chunking, bytes, last),
            Transaction::Rcpt(envelope) => {
                let binary = envelope.body == BodyType::BinaryMime;
                if bytes > self.config.limits.message_bytes_max {
                    return self.refuse_chunk(bytes, Chunking::TOO_LARGE);
                }
                let beginning = Beginning::Bdat { binary, bytes, last };
                return self.ask(Asked::Begin(beginning), Ask::Begin(envelope));
            }
            Transaction::None => MAIL_FIRST,
            Transaction::Mail { refused: true, .. } => NO_RECIPIENTS,
            Transaction::Mail { refused: false, .. } => RCPT_FIRST,
        };
        // A4: a BDAT that fails ends the transaction.
        self.refuse_chunk(bytes, refusal)
    }

    pub(super) fn login_answered(&mut self, answer: Answer<Receipt>) -> State {
        match answer {
            Answer::Accepted => {
                self.session.authenticated = true;
                self.reply(&Reply::of(235, 7, 0, "Welcome"));
            }
            Answer::Refused(reply) => self.reply(&reply),
            _ => return self.close(&UNFIT),
        }
        State::Ready(Transaction::None)
    }
}
