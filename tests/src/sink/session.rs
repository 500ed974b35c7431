//! One connection of the sink.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Act, At, Received, Seen, Shared, lock};
use crate::wait;

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(socket) => socket.read(buffer),
            Self::Gone => Ok(0),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buffer),
            Self::Tls(socket) => socket.write(buffer),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(socket) => socket.flush(),
            Self::Gone => Ok(()),
        }
    }
}

struct Session<'a> {
    shared: &'a Shared,
    socket: BufReader<Socket>,
    client: IpAddr,
    number: usize,
    secured: bool,
    hello: String,
    mail: Option<Received>,
}

/// What a rule left to be done.
enum Next {
    /// It was said; whether it accepts.
    Said(bool),
    /// No rule fits.
    AsUsual,
    /// The connection is over.
    Over,
    /// After the content only: keep it, then hang up, or stay silent.
    Keep { stall: bool },
}

pub(super) fn run(
    shared: &Shared,
    socket: TcpStream,
    client: IpAddr,
    number: usize,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = BufReader::new(Socket::Plain(socket));
    let hello = String::new();
    let mut session = Session { shared, socket, client, number, secured: false, hello, mail: None };
    match session.obey(At::Greeting, "")? {
        Next::AsUsual => session.say(At::Greeting, "", "220 sink.test ESMTP")?,
        Next::Said(true) => {}
        Next::Said(false) | Next::Over | Next::Keep { .. } => return Ok(()),
    }
    while let Some(line) = session.line()? {
        if !session.command(&line)? {
            return Ok(());
        }
    }
    Ok(())
}

impl Session<'_> {
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.socket.read_until(b'\n', &mut line)?;
        let text = String::from_utf8_lossy(&line);
        Ok((!line.is_empty()).then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn say(&mut self, at: At, command: &str, reply: &str) -> io::Result<()> {
        self.note(at, command, reply);
        let lines: Vec<&str> = reply.split('\n').collect();
        let mut text = String::new();
        for (n, line) in lines.iter().enumerate() {
            let (code, rest) = line.split_at_checked(3).unwrap_or((line, ""));
            let rest = rest.get(1..).unwrap_or_default();
            let separator = if n + 1 < lines.len() { '-' } else { ' ' };
            text += &format!("{code}{separator}{rest}\r\n");
        }
        let socket = self.socket.get_mut();
        socket.write_all(text.as_bytes())?;
        socket.flush()
    }

    fn note(&self, step: At, command: &str, reply: &str) {
        lock(&self.shared.seen).push(Seen {
            client: self.client,
            at: wait::now(),
            connection: self.number,
            step,
            command: command.to_owned(),
            reply: reply.to_owned(),
        });
    }

    /// Does what the table says for this step.
    fn obey(&mut self, at: At, said: &str) -> io::Result<Next> {
        let command = if at == At::End { "." } else { said };
        let Some(act) = self.shared.rule(self.client, at, said) else {
            return Ok(Next::AsUsual);
        };
        match act {
            Act::Say(reply) => {
                self.say(at, command, &reply)?;
                Ok(Next::Said(reply.starts_with(['2', '3'])))
            }
            Act::SayAndClose(reply) => {
                self.say(at, command, &reply)?;
                self.close();
                Ok(Next::Over)
            }
            Act::Close => {
                self.note(at, command, "");
                self.close();
                Ok(Next::Over)
            }
            Act::Stall => {
                self.note(at, command, "");
                self.stall();
                Ok(Next::Over)
            }
            Act::KeepAndClose => Ok(Next::Keep { stall: false }),
            Act::KeepAndStall => Ok(Next::Keep { stall: true }),
        }
    }

    fn close(&mut self) {
        *self.socket.get_mut() = Socket::Gone;
    }

    /// Until the client leaves.
    fn stall(&mut self) {
        let mut bytes = [0; 4096];
        while self.socket.get_mut().read(&mut bytes).is_ok_and(|count| count > 0) {}
    }

    /// Obeys the table, or says `usual`. Whether the step was accepted; `None`: it is over.
    fn step(&mut self, at: At, line: &str, usual: &str) -> io::Result<Option<bool>> {
        match self.obey(at, line)? {
            Next::Said(accepted) => Ok(Some(accepted)),
            Next::AsUsual => {
                self.say(at, line, usual)?;
                Ok(Some(true))
            }
            Next::Over | Next::Keep { .. } => Ok(None),
        }
    }

    /// False: the connection is over.
    fn command(&mut self, line: &str) -> io::Result<bool> {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let accepted = match verb.as_str() {
            "EHLO" | "HELO" => self.greet(line, verb == "EHLO")?,
            "STARTTLS" => return self.starttls(line),
            "MAIL" => self.sender(line)?,
            "RCPT" => self.recipient(line)?,
            "DATA" => return self.data(line),
            "RSET" | "NOOP" => {
                self.mail = self.mail.take().filter(|_| verb == "NOOP");
                self.raw("250 2.0.0 ok")?;
                Some(true)
            }
            "QUIT" => {
                self.raw("221 2.0.0 bye")?;
                None
            }
            _ => {
                self.raw("502 5.5.1 not here")?;
                Some(false)
            }
        };
        Ok(accepted.is_some())
    }

    fn raw(&mut self, reply: &str) -> io::Result<()> {
        let socket = self.socket.get_mut();
        socket.write_all(format!("{reply}\r\n").as_bytes())?;
        socket.flush()
    }

    fn greet(&mut self, line: &str, extended: bool) -> io::Result<Option<bool>> {
        line.split_once(' ').map_or("", |(_, name)| name).clone_into(&mut self.hello);
        let mut usual = "250 sink.test".to_owned();
        if extended {
            for feature in lock(&self.shared.features).iter() {
                usual += &format!("\n250 {feature}");
            }
            if lock(&self.shared.tls).is_some() && !self.secured {
                usual += "\n250 STARTTLS";
            }
        }
        self.step(At::Hello, line, &usual)
    }

    fn starttls(&mut self, line: &str) -> io::Result<bool> {
        let config: Option<Arc<ServerConfig>> = lock(&self.shared.tls).clone();
        let Some(config) = config else {
            self.raw("502 5.5.1 not here")?;
            return Ok(true);
        };
        match self.step(At::StartTls, line, "220 2.0.0 go")? {
            Some(true) => {}
            Some(false) => return Ok(true),
            None => return Ok(false),
        }
        let Socket::Plain(tcp) = std::mem::replace(self.socket.get_mut(), Socket::Gone) else {
            return Ok(false);
        };
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, tcp);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        self.socket = BufReader::new(Socket::Tls(Box::new(tls)));
        self.secured = true;
        Ok(true)
    }

    fn sender(&mut self, line: &str) -> io::Result<Option<bool>> {
        let (sender, parameters) = path(line);
        let accepted = self.step(At::Sender, line, "250 2.1.0 ok")?;
        self.mail = accepted.filter(|accepted| *accepted).map(|_| Received {
            client: self.client,
            at: wait::now(),
            connection: self.number,
            hello: self.hello.clone(),
            sender,
            parameters,
            recipients: vec![],
            recipient_parameters: vec![],
            content: vec![],
            tls: self.secured,
            acknowledged: false,
        });
        Ok(accepted)
    }

    fn recipient(&mut self, line: &str) -> io::Result<Option<bool>> {
        if self.mail.is_none() {
            self.raw("503 5.5.1 MAIL first")?;
            return Ok(Some(false));
        }
        let (recipient, parameters) = path(line);
        let accepted = self.step(At::Recipient, line, "250 2.1.5 ok")?;
        if let (Some(true), Some(mail)) = (accepted, &mut self.mail) {
            mail.recipients.push(recipient);
            mail.recipient_parameters.push(parameters);
        }
        Ok(accepted)
    }

    fn data(&mut self, line: &str) -> io::Result<bool> {
        let Some(mut mail) = self.mail.take().filter(|mail| !mail.recipients.is_empty()) else {
            self.raw("554 5.5.1 no valid recipients")?;
            return Ok(true);
        };
        match self.step(At::Data, line, "354 go")? {
            Some(true) => {}
            Some(false) => return Ok(true),
            None => return Ok(false),
        }
        let Some(content) = self.content()? else { return Ok(false) };
        mail.content = content;
        mail.at = wait::now();
        let text = String::from_utf8_lossy(&mail.content).into_owned();
        let keep = |mail: Received| lock(&self.shared.received).push(mail);
        match self.shared_end(&text)? {
            // Kept before it is said: who sees the answer finds the message.
            Next::AsUsual => {
                keep(Received { acknowledged: true, ..mail });
                self.say(At::End, ".", "250 2.0.0 taken")?;
                Ok(true)
            }
            Next::Said(accepted) => {
                if accepted {
                    keep(Received { acknowledged: true, ..mail });
                }
                Ok(true)
            }
            Next::Over => Ok(false),
            Next::Keep { stall } => {
                keep(mail);
                self.note(At::End, ".", "");
                if stall {
                    self.stall();
                }
                Ok(false)
            }
        }
    }

    fn shared_end(&mut self, text: &str) -> io::Result<Next> {
        self.obey(At::End, text)
    }

    /// Up to the final dot; `None` if the client left before it.
    fn content(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        loop {
            let start = content.len();
            if self.socket.read_until(b'\n', &mut content)? == 0 {
                return Ok(None);
            }
            match content.get(start..) {
                Some(b".\r\n") => {
                    content.truncate(start);
                    return Ok(Some(content));
                }
                Some([b'.', ..]) => {
                    content.remove(start);
                }
                _ => {}
            }
        }
    }
}

/// `MAIL FROM:<a@b> X=Y` → `a@b`, `X=Y`.
fn path(line: &str) -> (String, String) {
    let rest = line.split_once('<').map_or("", |(_, rest)| rest);
    let (path, parameters) = rest.split_once('>').unwrap_or((rest, ""));
    (path.to_owned(), parameters.trim().to_owned())
}
