//! A raw IMAP client: sends lines, reads responses with their literals whole.

use std::io;
use std::net::SocketAddr;

use crate::stream::Stream;

/// One response line, literals put in their places as `{n}` CRLF bytes, as on the wire.
pub type Response = Vec<u8>;

/// Answer to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `OK`, `NO` or `BAD`.
    pub status: String,
    /// What followed the status.
    pub text: String,
    /// Untagged responses before it, without "* " and CRLF.
    pub untagged: Vec<Response>,
}

impl Answer {
    /// This answer, if it is OK.
    /// # Errors
    /// What the server said instead.
    pub fn ok(self) -> io::Result<Self> {
        if self.status == "OK" {
            return Ok(self);
        }
        Err(io::Error::other(format!("OK expected: {} {}", self.status, self.text)))
    }

    /// Untagged responses as text, bytes outside ASCII replaced.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// The first untagged response with this text in it.
    #[must_use]
    pub fn line_with(&self, part: &str) -> Option<String> {
        self.lines().into_iter().find(|line| line.contains(part))
    }

    /// Value of a bracketed response code, e.g. `code("UIDVALIDITY")`, tagged or untagged.
    #[must_use]
    pub fn code(&self, name: &str) -> Option<String> {
        let open = format!("[{name}");
        let mut lines = self.lines();
        lines.push(self.text.clone());
        lines.iter().find_map(|line| {
            let (_, rest) = line.split_once(&open)?;
            let (value, _) = rest.split_once(']')?;
            Some(value.trim_start().to_owned())
        })
    }
}

/// A connection to an IMAP server.
#[derive(Debug)]
pub struct Imap {
    /// The connection, for tests that speak raw bytes.
    pub stream: Stream,
    tags: u32,
}

impl Imap {
    /// Connects and reads the greeting.
    /// # Errors
    /// As the operating system says.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        Self::greeted(Stream::connect(to)?)
    }

    /// The same under implicit TLS.
    /// # Errors
    /// As the operating system or the handshake says.
    pub fn connect_tls(to: SocketAddr) -> io::Result<Self> {
        Self::greeted(Stream::connect_tls(to)?)
    }

    fn greeted(stream: Stream) -> io::Result<Self> {
        let mut imap = Self { stream, tags: 0 };
        let greeting = imap.response()?;
        if greeting.starts_with(b"* OK") {
            return Ok(imap);
        }
        Err(io::Error::other(format!("no greeting: {}", String::from_utf8_lossy(&greeting))))
    }

    /// Connects and logs in.
    /// # Errors
    /// As the operating system or the server says.
    pub fn login(to: SocketAddr, user: &str, password: &str) -> io::Result<Self> {
        let mut imap = Self::connect(to)?;
        imap.command(&format!("LOGIN {user} {password}"))?.ok()?;
        Ok(imap)
    }

    /// Reads one response: a line, with the literals that it announces.
    /// # Errors
    /// `UnexpectedEof` if the server closed instead.
    pub fn response(&mut self) -> io::Result<Response> {
        let mut response = Vec::new();
        loop {
            let line = self.stream.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            response.extend_from_slice(&line);
            let Some(count) = literal(&line) else { return Ok(response) };
            response.extend_from_slice(b"\r\n");
            response.extend(self.stream.exactly(count)?);
        }
    }

    /// Sends a command and reads up to its tagged answer.
    /// # Errors
    /// As the operating system says: then the outcome is unknown to the client.
    pub fn command(&mut self, line: &str) -> io::Result<Answer> {
        let tag = self.tag();
        self.stream.send(format!("{tag} {line}\r\n").as_bytes())?;
        self.answer(&tag)
    }

    /// A fresh tag.
    pub fn tag(&mut self) -> String {
        self.tags += 1;
        format!("t{}", self.tags)
    }

    /// Reads up to the tagged answer.
    /// # Errors
    /// As the operating system says.
    pub fn answer(&mut self, tag: &str) -> io::Result<Answer> {
        let mut untagged = Vec::new();
        loop {
            let response = self.response()?;
            if let Some(rest) = response.strip_prefix(b"* ") {
                untagged.push(rest.to_vec());
                continue;
            }
            let text = String::from_utf8_lossy(&response).into_owned();
            if let Some(rest) = text.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
                return Ok(Answer { status: status.to_owned(), text: text.to_owned(), untagged });
            }
            if !text.starts_with('+') {
                return Err(io::Error::other(format!("neither tagged nor untagged: {text}")));
            }
        }
    }

    /// APPEND with a synchronising literal.
    /// # Errors
    /// As the operating system says.
    pub fn append(&mut self, mailbox: &str, options: &str, message: &[u8]) -> io::Result<Answer> {
        let tag = self.tag();
        let line = format!("{tag} APPEND {mailbox} {options}{{{}}}\r\n", message.len());
        self.stream.send(line.as_bytes())?;
        let response = self.response()?;
        if !response.starts_with(b"+") {
            let text = String::from_utf8_lossy(&response).into_owned();
            let rest = text.strip_prefix(&format!("{tag} ")).unwrap_or(&text);
            let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
            return Ok(Answer {
                status: status.to_owned(),
                text: text.to_owned(),
                untagged: Vec::new(),
            });
        }
        self.stream.send(message)?;
        self.stream.send(b"\r\n")?;
        self.answer(&tag)
    }

    /// SELECT; returns how many messages there are.
    /// # Errors
    /// As the operating system or the server says.
    pub fn select(&mut self, mailbox: &str) -> io::Result<usize> {
        let answer = self.command(&format!("SELECT {mailbox}"))?.ok()?;
        let exists = answer.line_with(" EXISTS").unwrap_or_default();
        Ok(exists.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default())
    }

    /// UID and whole content of every message of the selected mailbox, in order.
    /// # Errors
    /// As the operating system or the server says.
    pub fn messages(&mut self) -> io::Result<Vec<(u32, Vec<u8>)>> {
        let answer = self.command("UID FETCH 1:* (UID BODY.PEEK[])")?.ok()?;
        answer
            .untagged
            .iter()
            .filter(|line| contains(line, b" FETCH ("))
            .map(|line| {
                let text = String::from_utf8_lossy(line);
                let uid = text
                    .split_once("UID ")
                    .and_then(|(_, rest)| {
                        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
                    })
                    .ok_or_else(|| io::Error::other(format!("no UID in {text}")))?;
                Ok((uid, literal_of(line).unwrap_or_default().to_vec()))
            })
            .collect()
    }
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

/// The first literal of a response.
#[must_use]
pub fn literal_of(response: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while let Some(end) = response.get(at..)?.windows(2).position(|pair| pair == b"\r\n") {
        let line = response.get(at..at + end)?;
        let body = at + end + 2;
        if let Some(count) = literal(line) {
            return response.get(body..body + count);
        }
        at = body;
    }
    None
}

/// Length of the literal that a line announces at its end.
fn literal(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(inner.get(open + 1..)?).ok()?.parse().ok()
}
