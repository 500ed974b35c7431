//! Macro strings (RFC 7208 §7).

use std::net::IpAddr;

use super::SpfSyntax;

/// Longest domain name as text.
const DOMAIN_BYTES_MAX: usize = 253;

/// Longest expansion of an explanation.
const EXPLANATION_BYTES_MAX: usize = 1024;

/// A string with macros in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacroString(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Macro(Macro),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Macro {
    letter: char,
    /// Upper case: what it becomes is escaped as in URLs.
    escaped: bool,
    /// Labels that are kept, from the right.
    keep: usize,
    reversed: bool,
    delimiters: String,
}

/// What macros stand for.
#[derive(Clone, Debug)]
pub struct Variables<'a> {
    /// The client.
    pub ip: IpAddr,
    /// `local@domain`, `postmaster` for no local part.
    pub sender: (&'a str, &'a str),
    /// The current domain.
    pub domain: &'a str,
    /// What the client said in HELO.
    pub helo: &'a str,
    /// The client's verified name; `unknown` without one.
    pub name: &'a str,
    /// Our name, for explanations.
    pub receiver: &'a str,
    /// Seconds since 1970, for explanations.
    pub seconds: u64,
}

impl MacroString {
    /// Whether the client's name is asked for: `%{p}`.
    #[must_use]
    pub fn needs_name(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Macro(one) if one.letter == 'p'))
    }

    /// A domain-spec: ends with a label or a macro.
    pub(super) fn parse_domain(text: &str) -> Result<Self, SpfSyntax> {
        let parsed = Self::parse(text, "slodiphv")?;
        match parsed.0.last() {
            Some(Piece::Macro(_)) => Ok(parsed),
            Some(Piece::Literal(_)) if ends_with_label(text) => Ok(parsed),
            _ => Err(SpfSyntax("domain")),
        }
    }

    /// The value of a modifier that is not known.
    pub(super) fn parse_any(text: &str) -> Result<Self, SpfSyntax> {
        Self::parse(text, "slodiphv")
    }

    /// An explanation (RFC 7208 §6.2): several macro strings with spaces.
    /// # Errors
    /// [`SpfSyntax`]: there is no explanation then.
    pub fn parse_explanation(text: &str) -> Result<Self, SpfSyntax> {
        Self::parse_with(text, "slodiphvcrt", |byte| matches!(byte, b' '..=b'~'))
    }

    fn parse(text: &str, letters: &str) -> Result<Self, SpfSyntax> {
        Self::parse_with(text, letters, |byte| byte.is_ascii_graphic())
    }

    fn parse_with(
        text: &str,
        letters: &str,
        literal: impl Fn(u8) -> bool,
    ) -> Result<Self, SpfSyntax> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            rest = match after.split_at_checked(1) {
                Some(("%", after)) => {
                    plain.push('%');
                    after
                }
                Some(("_", after)) => {
                    plain.push(' ');
                    after
                }
                Some(("-", after)) => {
                    plain.push_str("%20");
                    after
                }
                Some(("{", after)) => {
                    let (inner, after) = after.split_once('}').ok_or(SpfSyntax("macro"))?;
                    if !plain.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Macro(Macro::parse(inner, letters)?));
                    after
                }
                _ => return Err(SpfSyntax("macro")),
            };
        }
        plain.push_str(rest);
        if !text.bytes().all(literal) {
            return Err(SpfSyntax("character"));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Literal(plain));
        }
        Ok(Self(pieces))
    }

    /// The domain that it becomes: at most 253 bytes, labels go from the left (RFC 7208 §7.3).
    #[must_use]
    pub fn domain(&self, variables: &Variables<'_>) -> String {
        let whole = self.expand(variables, usize::MAX);
        let mut name = whole.strip_suffix('.').unwrap_or(&whole);
        while name.len() > DOMAIN_BYTES_MAX {
            let Some((_, rest)) = name.split_once('.') else { break };
            name = rest;
        }
        name.to_owned()
    }

    /// The explanation that it becomes: at most 1,024 bytes.
    #[must_use]
    pub fn explanation(&self, variables: &Variables<'_>) -> String {
        self.expand(variables, EXPLANATION_BYTES_MAX)
    }

    fn expand(&self, variables: &Variables<'_>, most: usize) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Macro(one) => out.push_str(&one.expand(variables)),
            }
            if out.len() > most {
                out.truncate(out.floor_char_boundary(most));
                break;
            }
        }
        out
    }
}

impl Macro {
    fn parse(inner: &str, letters: &str) -> Result<Self, SpfSyntax> {
        let wrong = SpfSyntax("macro");
        let mut rest = inner.chars();
        let first = rest.next().ok_or(wrong)?;
        let letter = first.to_ascii_lowercase();
        if !letters.contains(letter) {
            return Err(wrong);
        }
        let rest = rest.as_str();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at_checked(end).ok_or(wrong)?;
        let keep = match digits {
            "" => usize::MAX,
            some => match some.parse::<u32>() {
                Ok(0) => return Err(wrong),
                Ok(number) => usize::try_from(number).unwrap_or(usize::MAX),
                Err(_) => usize::MAX,
            },
        };
        let reversed = rest.starts_with(['r', 'R']);
        let delimiters = rest.get(usize::from(reversed)..).unwrap_or_default();
        if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
            return Err(wrong);
        }
        let escaped = first.is_ascii_uppercase();
        Ok(Self { letter, escaped, keep, reversed, delimiters: delimiters.to_owned() })
    }

    fn expand(&self, variables: &Variables<'_>) -> String {
        let value = self.value(variables);
        let delimiters = if self.delimiters.is_empty() { "." } else { &self.delimiters };
        let mut labels: Vec<&str> = value.split(|c| delimiters.contains(c)).collect();
        if self.reversed {
            labels.reverse();
        }
        let skip = labels.len().saturating_sub(self.keep);
        let text = labels.get(skip..).unwrap_or_default().join(".");
        if self.escaped { escape(&text) } else { text }
    }

    fn value(&self, variables: &Variables<'_>) -> String {
        let (local, domain) = variables.sender;
        match self.letter {
            's' => format!("{local}@{domain}"),
            'l' => local.to_owned(),
            'o' => domain.to_owned(),
            'd' => variables.domain.to_owned(),
            'i' => dotted(variables.ip),
            'p' => variables.name.to_owned(),
            'v' if variables.ip.is_ipv4() => "in-addr".to_owned(),
            'v' => "ip6".to_owned(),
            'h' => variables.helo.to_owned(),
            'c' => variables.ip.to_string(),
            'r' => variables.receiver.to_owned(),
            't' => variables.seconds.to_string(),
            _ => String::new(),
        }
    }
}

/// IPv4 as usual; IPv6 as 32 nibbles with dots (RFC 7208 §7.3).
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().map(|byte| format!("{:x}.{:x}", byte >> 4, byte & 0xf));
            nibbles.join(".")
        }
    }
}

/// RFC 3986 §2.3: all but unreserved characters.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// RFC 7208 §12: `"." toplabel [ "." ]`
fn ends_with_label(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let Some((_, label)) = text.rsplit_once('.') else { return false };
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let edges = !label.starts_with('-') && !label.ends_with('-');
    let all_digits = label.chars().all(|c| c.is_ascii_digit());
    !label.is_empty() && label.chars().all(inner) && edges && !all_digits
}
