//! Trace headers: what we put before a message (RFC 5321 §4.4), and how loops are seen (§6.3).
//!
//! What is known only at the end of acceptance forms the *prefix* of a record: a message reads
//! prefix + body, the same for all its recipients (docs/formats.md).

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::address::{Address, Path};
use crate::date::DateTime;
use crate::header::{RawField, fields, unfold};

/// Received fields beyond which a message is in a loop: 554 5.4.6 (RFC 5321 §6.3: at least 100).
pub const RECEIVED_MAX: usize = 100;

/// Longest prefix of a record.
pub const PREFIX_BYTES_MAX: usize = 64 * 1024;

/// Where a line of a trace field is folded, if it can be.
const LINE_BYTES: usize = 76;

/// What a Received field says (RFC 5321 §4.4).
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What the client said in HELO or EHLO.
    pub helo: &'a str,
    /// The client's address; `None`: nothing of the client is told, for where people are when
    /// they send is nobody's business.
    pub peer: Option<IpAddr>,
    /// Its verified name, if one was found.
    pub peer_name: Option<&'a str>,
    /// Our own host name.
    pub by: &'a str,
    /// How it was spoken.
    pub with: With,
    /// TLS version and cipher suite, such as `TLSv1.3 TLS_AES_256_GCM_SHA384`.
    pub tls: Option<&'a str>,
    /// The text of the record id.
    pub id: &'a str,
    /// The recipient, only if there is one: others must not learn of Bcc (RFC 5321 §7.2).
    pub recipient: Option<&'a Path>,
    /// When.
    pub when: DateTime,
}

/// How a message came: makes the keyword of the `with` clause (RFC 3848, RFC 6531 §4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct With {
    /// EHLO was said, not HELO.
    pub extended: bool,
    /// SMTPUTF8 was used.
    pub utf8: bool,
    /// Over TLS.
    pub tls: bool,
    /// After AUTH.
    pub auth: bool,
}

impl With {
    /// `SMTP`, `ESMTPSA`, `UTF8SMTPS` …
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match (self.extended || self.tls || self.auth, self.utf8, self.tls, self.auth) {
            (_, true, false, false) => "UTF8SMTP",
            (_, true, true, false) => "UTF8SMTPS",
            (_, true, false, true) => "UTF8SMTPA",
            (_, true, true, true) => "UTF8SMTPSA",
            (false, ..) => "SMTP",
            (true, _, false, false) => "ESMTP",
            (true, _, true, false) => "ESMTPS",
            (true, _, false, true) => "ESMTPA",
            (true, _, true, true) => "ESMTPSA",
        }
    }
}

impl Received<'_> {
    /// The field with its line end. Whatever the client said, it is one well-formed field: bytes
    /// that could end a clause, a comment or the line are replaced (D3).
    #[must_use]
    pub fn field(&self) -> String {
        let mut folded = Folded::new("Received:");
        if let Some(peer) = self.peer {
            folded.push(&format!("from {}", clean(self.helo)));
            let literal = match peer {
                IpAddr::V4(v4) => format!("[{v4}]"),
                IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
            };
            folded.push(&match self.peer_name {
                Some(name) => format!("({} {literal})", clean(name)),
                None => format!("({literal})"),
            });
        }
        folded.push(&format!("by {}", clean(self.by)));
        folded.push(&format!("with {}", self.with.keyword()));
        if let Some(tls) = self.tls {
            let words: Vec<_> = tls.split_ascii_whitespace().map(clean).collect();
            folded.push(&format!("({})", words.join(" ")));
        }
        folded.push(&format!("id {}", clean(self.id)));
        if let Some(recipient) = self.recipient {
            folded.push(&format!("for <{}>", recipient.text()));
        }
        folded.end_clause(';');
        folded.push(&self.when.to_string());
        folded.finish()
    }
}

/// The Return-Path field with its line end (RFC 5321 §4.4). Left off when the message leaves.
#[must_use]
pub fn return_path(sender: Option<&Path>) -> String {
    format!("Return-Path: <{}>\r\n", sender.map_or("", Path::text))
}

/// The Delivered-To field with its line end: marks what was forwarded by this address, so that
/// its coming back is seen.
#[must_use]
pub fn delivered_to(address: &Address) -> String {
    format!("Delivered-To: {address}\r\n")
}

/// How many Received fields a header has; more than [`RECEIVED_MAX`] is a loop.
#[must_use]
pub fn received_count(header: &[u8]) -> usize {
    fields(header).filter(|field| field.is("Received")).count()
}

/// Whether a header says that the message was already forwarded by `address`: a loop.
#[must_use]
pub fn was_delivered_to(header: &[u8], address: &Address) -> bool {
    let is_same = |field: RawField<'_>| {
        let value = unfold(field.value);
        let text = std::str::from_utf8(&value).ok();
        text.and_then(|text| Address::parse(text).ok()).as_ref() == Some(address)
    };
    fields(header).filter(|field| field.is("Delivered-To")).any(is_same)
}

/// Collects the prefix of a record; it always is a run of whole header fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    bytes: Vec<u8>,
}

/// What was to be added is not one whole header field, or the prefix would be too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one header field of CRLF lines within 64 KiB")]
pub struct NotAField;

impl Prefix {
    /// An empty prefix.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds one field with its line end, at the end.
    /// # Errors
    /// [`NotAField`] if it is anything else: then it would end the header, or become part of the
    /// field before it.
    pub fn push(&mut self, field: &str) -> Result<(), NotAField> {
        check_field(field)?;
        if self.bytes.len() + field.len() > PREFIX_BYTES_MAX {
            return Err(NotAField);
        }
        self.bytes.extend_from_slice(field.as_bytes());
        Ok(())
    }

    /// The bytes to put before the message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes to put before the message.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A stored prefix as it goes with a message that leaves: without the Return-Path it begins with
/// (RFC 5321 §4.4: only final delivery adds one).
#[must_use]
pub fn without_return_path(prefix: &[u8]) -> &[u8] {
    match fields(prefix).next() {
        Some(first) if first.is("Return-Path") => prefix.get(first.range.end..).unwrap_or_default(),
        _ => prefix,
    }
}

/// That `field` is one whole header field of CRLF lines.
pub(crate) fn check_field(field: &str) -> Result<(), NotAField> {
    let mut found = fields(field.as_bytes());
    let is_field = found.next().is_some_and(|first| {
        !first.name.is_empty() && first.range.end == field.len() && has_only_crlf(field)
    });
    if is_field { Ok(()) } else { Err(NotAField) }
}

/// Every line ends with CRLF, and there is no CR, LF or NUL else.
fn has_only_crlf(field: &str) -> bool {
    field.ends_with("\r\n") && field.split("\r\n").all(|line| !line.contains(['\r', '\n', '\0']))
}

/// One word for a trace field: what could be taken for its syntax becomes "?". At most 255 bytes.
fn clean(word: &str) -> String {
    let bad = |letter: char| {
        letter.is_control() || letter.is_whitespace() || "()<>;,\\\"".contains(letter)
    };
    let mut out = String::new();
    for letter in word.chars() {
        if out.len() + letter.len_utf8() > 255 {
            break;
        }
        out.push(if bad(letter) { '?' } else { letter });
    }
    if out.is_empty() {
        out.push('?');
    }
    out
}

/// A field that is folded between its clauses.
struct Folded {
    text: String,
    line_start: usize,
}

impl Folded {
    fn new(name: &str) -> Self {
        Self { text: name.to_owned(), line_start: 0 }
    }

    fn push(&mut self, clause: &str) {
        if self.text.len() - self.line_start + 1 + clause.len() > LINE_BYTES {
            self.text.push_str("\r\n");
            self.line_start = self.text.len();
        }
        let separator = if self.text.ends_with('\n') { "\t" } else { " " };
        self.text.push_str(separator);
        self.text.push_str(clause);
    }

    fn end_clause(&mut self, mark: char) {
        self.text.push(mark);
    }

    fn finish(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }
}
