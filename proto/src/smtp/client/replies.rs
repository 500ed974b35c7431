//! Reads replies out of bytes, however they come, in bounded memory.

use mail::Reply;

/// Most bytes of one reply, all its lines together; RFC 5321 §4.5.3.1.5 gives a line 512.
const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Longest line kept; the rest of it is dropped.
const LINE_BYTES_MAX: usize = 2_048;

/// A whole reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) reply: Reply,
    /// Its lines without the codes, for EHLO and AUTH; what is not UTF-8 is replaced.
    pub(super) lines: Vec<String>,
}

/// What another server sent is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoReply(pub(super) &'static str);

/// The reply that is being received.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// The line in progress, without its end.
    line: Vec<u8>,
    lines: Vec<Vec<u8>>,
    /// Bytes of this reply so far.
    bytes: usize,
}

impl Replies {
    /// Takes bytes up to the end of one reply; how many, and the reply if it is whole. A line
    /// ends with CRLF or, for the sake of old servers, LF: no more can be read into it, for where
    /// replies end decides nothing but which command they answer.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Received>), NoReply> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr(b'\n', rest);
            let (part, used) = match end {
                Some(at) => (rest.get(..at).unwrap_or_default(), at + 1),
                None => (rest, rest.len()),
            };
            taken += used;
            self.bytes += used;
            if self.bytes > REPLY_BYTES_MAX {
                return Err(NoReply("a reply without end"));
            }
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len()).min(part.len());
            self.line.extend_from_slice(part.get(..room).unwrap_or_default());
            if end.is_some() {
                if let Some(received) = self.end_line()? {
                    return Ok((taken, Some(received)));
                }
            } else if self.line.len() >= 3 {
                // Not SMTP at all is seen before its line ends.
                code(&self.line)?;
            }
        }
        Ok((taken, None))
    }

    /// Nothing of a reply has come.
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn end_line(&mut self) -> Result<Option<Received>, NoReply> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let code = code(&line)?;
        let more = match line.get(3) {
            Some(b'-') => true,
            None | Some(b' ') => false,
            Some(_) => return Err(NoReply("no SMTP reply")),
        };
        line.drain(..line.len().min(4));
        self.lines.push(line);
        if more {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        // RFC 5321 §4.2.1: the code is the same on each line; where it is not, the last one counts.
        let mut reply: Option<Reply> = None;
        for line in &lines {
            match &mut reply {
                None => reply = Some(Reply::first(code, line)),
                Some(reply) => reply.extend(line),
            }
        }
        let text = |line: &Vec<u8>| String::from_utf8_lossy(line).into_owned();
        let lines = lines.iter().map(text).collect();
        Ok(reply.map(|reply| Received { reply, lines }))
    }
}

fn code(line: &[u8]) -> Result<u16, NoReply> {
    match line {
        [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Ok(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => Err(NoReply("no SMTP reply")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[&str]) {
        for split in 0..=bytes.len() {
            let mut replies = Replies::default();
            let mut found = vec![];
            for part in [&bytes[..split], &bytes[split..]] {
                let mut rest = part;
                while !rest.is_empty() {
                    let (taken, received) = replies.take(rest).unwrap();
                    rest = &rest[taken..];
                    found.extend(received.map(|received| received.reply.to_string()));
                }
            }
            assert_eq!(found, expected, "split at {split}");
            assert!(replies.is_empty());
        }
    }

    // RFC 5321 §4.2, §4.2.1.
    #[test]
    fn replies_come_out_as_written_however_the_bytes_come() {
        check(b"220 hello\r\n", &["220 hello"]);
        check(b"220\r\n250 \r\n", &["220", "250"]);
        check(b"250-a\r\n250-\r\n250 b\r\n550 5.1.1 no\r\n", &["250 a b", "550 5.1.1 no"]);
        check(b"550-5.7.1 a\n550 5.7.1 b\n", &["550 5.7.1 a b"]);
        check(b"250-a\r\n550 b\r\n", &["550 a b"]);
    }

    #[test]
    fn what_is_no_reply_is_seen_at_once() {
        for bad in ["HTTP/1.1 400\r\n", "\r\n", "22\r\n", "220x\r\n", "620 a\r\n", "120 a\r\n"] {
            let mut replies = Replies::default();
            assert!(replies.take(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Replies::default().take(b"SSH").is_err());
    }

    // RFC 5321 §4.5.3.1.5.
    #[test]
    fn endless_lines_and_replies_end_in_bounded_memory() {
        let mut replies = Replies::default();
        replies.take(b"220 ").unwrap();
        let ended = (0..100).any(|_| replies.take(&[b'x'; 1_000]).is_err());
        assert!(ended && replies.line.len() <= LINE_BYTES_MAX);
        let mut replies = Replies::default();
        let ended = (0..100_000).any(|_| replies.take(b"250-\r\n").is_err());
        assert!(ended && replies.lines.len() <= REPLY_BYTES_MAX / 6);
    }
}
