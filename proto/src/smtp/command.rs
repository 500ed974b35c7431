//! Command lines (RFC 5321 §4.1), parsed totally: a command, or the reply that refuses the line.

use super::Reply;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Ehlo(&'a str),
    Helo(&'a str),
    Mail(Arguments<'a>),
    Rcpt(Arguments<'a>),
    Data,
    Bdat { bytes: u64, last: bool },
    Rset,
    Noop,
    Quit,
    Help,
    Vrfy,
    StartTls,
    Auth { mechanism: &'a str, initial: Option<&'a str> },
}

/// Path and parameters of MAIL and RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arguments<'a> {
    /// Without `<>`; empty for the null path.
    pub(super) path: &'a str,
    parameters: &'a str,
}

impl<'a> Arguments<'a> {
    /// Parameters: keyword and value.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        let words = self.parameters.split(' ').filter(|word| !word.is_empty());
        words.map(|word| word.split_once('=').map_or((word, None), |(k, v)| (k, Some(v))))
    }
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoCommand {
    /// To be told so.
    Reply(Reply),
    /// It is not a mail client that talks (A5): close.
    NotSmtp,
    /// BDAT whose size cannot be read: what follows cannot be told from commands; close.
    NoBoundary,
}

const UNKNOWN: Reply = Reply::of(500, 5, 1, "Command not recognised");
const SYNTAX: Reply = Reply::of(501, 5, 4, "Syntax error in arguments");
const ENCODING: Reply = Reply::of(500, 5, 2, "Commands are UTF-8 without control characters");
const NOT_IMPLEMENTED: Reply = Reply::of(502, 5, 1, "Command not implemented");
/// Longest name in HELO and EHLO.
const HELLO_BYTES_MAX: usize = 255;

impl<'a> Command<'a> {
    /// Parses a line without its CRLF.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, NoCommand> {
        let line = std::str::from_utf8(line).map_err(|_| NoCommand::Reply(ENCODING))?;
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(NoCommand::Reply(ENCODING));
        }
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let none = |command| if rest.is_empty() { Ok(command) } else { Err(syntax()) };
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => Ok(Self::Ehlo(hello(rest)?)),
            "HELO" => Ok(Self::Helo(hello(rest)?)),
            "MAIL" => Ok(Self::Mail(arguments("FROM:", rest)?)),
            "RCPT" => Ok(Self::Rcpt(arguments("TO:", rest)?)),
            "DATA" => none(Self::Data),
            "BDAT" => bdat(rest),
            "RSET" => none(Self::Rset),
            // RFC 5321 §4.1.1.9: its argument means nothing; RFC 5321 §4.1.1.8: any argument.
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "QUIT" => none(Self::Quit),
            "VRFY" if rest.is_empty() => Err(syntax()),
            "VRFY" => Ok(Self::Vrfy),
            "STARTTLS" => none(Self::StartTls),
            "AUTH" => auth(rest),
            "EXPN" | "ETRN" | "TURN" | "ATRN" | "SEND" | "SOML" | "SAML" | "BURL" => {
                Err(NoCommand::Reply(NOT_IMPLEMENTED))
            }
            "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "CONNECT" | "PATCH"
            | "TRACE" | "PRI" => Err(NoCommand::NotSmtp),
            _ => Err(NoCommand::Reply(UNKNOWN)),
        }
    }
}

/// Whether a line, perhaps only its beginning, is AUTH's, which may be longer than others.
pub(super) fn is_auth(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "))
}

const fn syntax() -> NoCommand {
    NoCommand::Reply(SYNTAX)
}

/// RFC 5321 §4.1.4: what the client calls itself is not verified; but it goes into trace headers,
/// so it is one bounded word of printable ASCII.
fn hello(name: &str) -> Result<&str, NoCommand> {
    let name = name.trim_matches(' ');
    let word = |byte: u8| matches!(byte, 0x21..=0x7e) && !b"()<>\"\\;,".contains(&byte);
    let fits = (1..=HELLO_BYTES_MAX).contains(&name.len()) && name.bytes().all(word);
    if fits { Ok(name) } else { Err(syntax()) }
}

/// `FROM:<path> parameters`. Spaces before the path are taken, as everybody does; a path without
/// `<>` is not.
fn arguments<'a>(label: &str, rest: &'a str) -> Result<Arguments<'a>, NoCommand> {
    let head = rest.get(..label.len()).filter(|head| head.eq_ignore_ascii_case(label));
    let path = head.and_then(|_| rest.get(label.len()..)).ok_or_else(syntax)?;
    let path = path.trim_start_matches(' ').strip_prefix('<').ok_or_else(syntax)?;
    let end = path_end(path).ok_or_else(syntax)?;
    let (path, rest) = path.split_at_checked(end).ok_or_else(syntax)?;
    let parameters = rest.strip_prefix('>').ok_or_else(syntax)?;
    if parameters.is_empty() || parameters.starts_with(' ') {
        Ok(Arguments { path, parameters })
    } else {
        Err(syntax())
    }
}

/// Where the path's `>` is: not within a quoted string.
fn path_end(path: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// RFC 3030 §2: `BDAT size [LAST]`.
fn bdat(rest: &str) -> Result<Command<'_>, NoCommand> {
    let (size, last) = match rest.split_once(' ') {
        Some((size, last)) if last.trim_start().eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return Err(NoCommand::NoBoundary),
        None => (rest, false),
    };
    let digits = (1..=20).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_digit());
    let bytes = size.parse().ok().filter(|_| digits).ok_or(NoCommand::NoBoundary)?;
    Ok(Command::Bdat { bytes, last })
}

/// RFC 4954 §4: `AUTH mechanism [initial-response]`.
fn auth(rest: &str) -> Result<Command<'_>, NoCommand> {
    let (mechanism, initial) = match rest.split_once(' ') {
        Some((mechanism, initial)) => (mechanism, Some(initial)),
        None => (rest, None),
    };
    if mechanism.is_empty() { Err(syntax()) } else { Ok(Command::Auth { mechanism, initial }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn mail(line: &str) -> (&str, Vec<(&str, Option<&str>)>) {
        match Command::parse(line.as_bytes()) {
            Ok(Command::Mail(arguments) | Command::Rcpt(arguments)) => {
                (arguments.path, arguments.parameters().collect())
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[track_caller]
    fn refused(line: &str) -> u16 {
        match Command::parse(line.as_bytes()) {
            Err(NoCommand::Reply(reply)) => reply.code(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn paths_end_where_they_end() {
        assert_eq!(mail("MAIL FROM:<a@b>"), ("a@b", vec![]));
        assert_eq!(mail("mail from:<>"), ("", vec![]));
        assert_eq!(mail("RCPT TO: <a@b>  "), ("a@b", vec![]));
        assert_eq!(mail("RCPT TO:<\"a>\\\"b\"@c> X"), ("\"a>\\\"b\"@c", vec![("X", None)]));
        assert_eq!(
            mail("MAIL FROM:<a@b> SIZE=1 BODY=8BITMIME  SMTPUTF8"),
            ("a@b", vec![("SIZE", Some("1")), ("BODY", Some("8BITMIME")), ("SMTPUTF8", None)])
        );
        for line in [
            "MAIL",
            "MAIL FROM",
            "MAIL FROM:",
            "MAIL FROM:a@b",
            "MAIL FROM:<a@b",
            "MAIL TO:<a@b>",
            "MAIL FROM:<a@b>SIZE=1",
            "RCPT TO:<\"a@b>",
            "MAILFROM:<a>",
            "RCPT FROM:<a@b>",
        ] {
            assert!(matches!(refused(line), 500 | 501), "{line}");
        }
    }

    // RFC 5321 §4.1.1.8, §4.1.1.9, §4.1.4.
    #[test]
    fn other_commands() {
        let parse = |line: &'static str| Command::parse(line.as_bytes());
        assert_eq!(parse("ehlo [127.0.0.1]"), Ok(Command::Ehlo("[127.0.0.1]")));
        assert_eq!(parse("HELO my_host"), Ok(Command::Helo("my_host")));
        assert_eq!(parse("NOOP ignored"), Ok(Command::Noop));
        assert_eq!(parse("BDAT 86 LAST"), Ok(Command::Bdat { bytes: 86, last: true }));
        assert_eq!(parse("bdat 0"), Ok(Command::Bdat { bytes: 0, last: false }));
        assert_eq!(
            parse("AUTH PLAIN ="),
            Ok(Command::Auth { mechanism: "PLAIN", initial: Some("=") })
        );
        for line in
            ["BDAT", "BDAT x", "BDAT -1", "BDAT +1", "BDAT 1 FIRST", "BDAT 99999999999999999999"]
        {
            assert_eq!(parse(line), Err(NoCommand::NoBoundary), "{line}");
        }
        assert_eq!(parse("GET / HTTP/1.1"), Err(NoCommand::NotSmtp));
        for (line, code) in [
            ("", 500),
            ("FROB", 500),
            ("EHLO", 501),
            ("EHLO a b", 501),
            ("EHLO a;b", 501),
            ("DATA now", 501),
            ("QUIT x", 501),
            ("VRFY", 501),
            ("EXPN list", 502),
            ("AUTH", 501),
            ("NOOP \u{1}", 500),
            ("EHLO ä", 501),
        ] {
            assert_eq!(refused(line), code, "{line}");
        }
        assert!(matches!(Command::parse(b"NOOP \xff"), Err(NoCommand::Reply(_))));
    }
}
