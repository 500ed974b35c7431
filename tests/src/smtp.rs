//! A raw SMTP client: says exactly what a test wants said.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::stream::Stream;

/// A reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Text of each line, without code and separator.
    pub lines: Vec<String>,
}

impl Reply {
    /// All lines' text, joined by one space.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.text())
    }
}

/// A connection to an SMTP server.
#[derive(Debug)]
pub struct Smtp {
    /// The connection, for tests that speak raw bytes.
    pub stream: Stream,
}

impl Smtp {
    /// Connects, reads the greeting, says EHLO.
    /// # Errors
    /// As the operating system says, or if the server does not greet.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        let mut smtp = Self { stream: Stream::connect(to)? };
        smtp.expect(220)?;
        smtp.ehlo()?;
        Ok(smtp)
    }

    /// The same under implicit TLS.
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_tls(to: SocketAddr) -> io::Result<Self> {
        let mut smtp = Self { stream: Stream::connect_tls(to)? };
        smtp.expect(220)?;
        smtp.ehlo()?;
        Ok(smtp)
    }

    /// EHLO; returns the extensions offered.
    /// # Errors
    /// As the operating system says.
    pub fn ehlo(&mut self) -> io::Result<Vec<String>> {
        let reply = self.command("EHLO client.test")?;
        Ok(reply.lines.into_iter().skip(1).collect())
    }

    /// STARTTLS, then EHLO again.
    /// # Errors
    /// As the operating system or the handshake says.
    pub fn starttls(&mut self) -> io::Result<()> {
        self.command("STARTTLS")?.expect(220)?;
        self.stream.start_tls()?;
        self.ehlo().map(|_| ())
    }

    /// AUTH PLAIN.
    /// # Errors
    /// If the server does not take them.
    pub fn login(&mut self, user: &str, password: &str) -> io::Result<()> {
        let secret = BASE64.encode(format!("\0{user}\0{password}"));
        self.command(&format!("AUTH PLAIN {secret}"))?.expect(235).map(|_| ())
    }

    /// Reads one reply.
    /// # Errors
    /// `UnexpectedEof` if the server closed instead.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.stream.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let line = String::from_utf8(line).map_err(io::Error::other)?;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code: u16 = code.ok_or_else(|| io::Error::other(format!("no reply: {line:?}")))?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// Sends one line and reads one reply.
    /// # Errors
    /// As the operating system says.
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.stream.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    fn expect(&mut self, code: u16) -> io::Result<Reply> {
        self.reply()?.expect(code)
    }

    /// One transaction by DATA; `message` has CRLF line ends and is dot-stuffed here. Returns the
    /// reply that ended it: to the first command that failed, or to the final dot.
    /// # Errors
    /// As the operating system says: then the outcome is unknown to the sender.
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Reply> {
        let reply = self.command(&format!("MAIL FROM:<{from}>"))?;
        if reply.code != 250 {
            return Ok(reply);
        }
        for to in to {
            let reply = self.command(&format!("RCPT TO:<{to}>"))?;
            if reply.code != 250 {
                self.command("RSET")?;
                return Ok(reply);
            }
        }
        let reply = self.command("DATA")?;
        if reply.code != 354 {
            return Ok(reply);
        }
        self.stream.send(&dot_stuffed(message))?;
        self.reply()
    }

    /// One transaction by a single BDAT.
    /// # Errors
    /// As [`Self::send`].
    pub fn send_bdat(
        &mut self,
        from: &str,
        parameters: &str,
        to: &str,
        message: &[u8],
    ) -> io::Result<Reply> {
        let reply = self.command(&format!("MAIL FROM:<{from}>{parameters}"))?;
        if reply.code != 250 {
            return Ok(reply);
        }
        let reply = self.command(&format!("RCPT TO:<{to}>"))?;
        if reply.code != 250 {
            return Ok(reply);
        }
        self.stream.send(format!("BDAT {} LAST\r\n", message.len()).as_bytes())?;
        self.stream.send(message)?;
        self.reply()
    }
}

impl Reply {
    /// This reply, if it has that code.
    /// # Errors
    /// What the server said instead.
    pub fn expect(self, code: u16) -> io::Result<Self> {
        if self.code == code {
            Ok(self)
        } else {
            Err(io::Error::other(format!("{code} expected: {self}")))
        }
    }
}

/// A message as DATA wants it: dots doubled at line starts, ended by CRLF.CRLF.
#[must_use]
pub fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut start = true;
    for &byte in message {
        if start && byte == b'.' {
            out.push(b'.');
        }
        out.push(byte);
        start = byte == b'\n';
    }
    if !message.is_empty() && !message.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
