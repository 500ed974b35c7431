//! ENVELOPE, BODY and BODYSTRUCTURE (RFC 9051 §7.5.2).
//!
//! Values are the raw octets of the header, as RFC 9051 wants them: encoded words stay encoded.

use super::{Style, put, string};

/// ENVELOPE. Every string is unfolded and otherwise as in the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Date
    pub date: Option<Vec<u8>>,
    /// Subject
    pub subject: Option<Vec<u8>>,
    /// From
    pub from: Vec<Address>,
    /// Sender; written as From if empty (RFC 9051 §7.5.2).
    pub sender: Vec<Address>,
    /// Reply-To; written as From if empty.
    pub reply_to: Vec<Address>,
    /// To
    pub to: Vec<Address>,
    /// Cc
    pub cc: Vec<Address>,
    /// Bcc
    pub bcc: Vec<Address>,
    /// In-Reply-To
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID
    pub message_id: Option<Vec<u8>>,
}

/// An address of ENVELOPE. A group is an entry with only `mailbox` (its name), its members, and
/// an entry with nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Display name
    pub name: Option<Vec<u8>>,
    /// Source route
    pub route: Option<Vec<u8>>,
    /// Local part, or the group's name
    pub mailbox: Option<Vec<u8>>,
    /// Domain
    pub host: Option<Vec<u8>>,
}

/// Parameters: name and value.
pub type Params = Vec<(Vec<u8>, Vec<u8>)>;

/// Content-Disposition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// `attachment` or the like
    pub kind: Vec<u8>,
    /// Its parameters
    pub params: Params,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Parameters of Content-Type
    pub params: Params,
    /// Content-ID
    pub id: Option<Vec<u8>>,
    /// Content-Description
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding; `7BIT` if empty
    pub encoding: Vec<u8>,
    /// Octets of the body, encoded as it is
    pub octets: u64,
    /// Content-MD5
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition
    pub disposition: Option<Disposition>,
    /// Content-Language
    pub language: Vec<Vec<u8>>,
    /// Content-Location
    pub location: Option<Vec<u8>>,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// multipart/…
    Multipart {
        /// Subtype
        subtype: Vec<u8>,
        /// The parts; where there is none, an empty text part is written, for the syntax wants one.
        parts: Vec<Part>,
    },
    /// message/rfc822 or message/global
    Message {
        /// Subtype
        subtype: Vec<u8>,
        /// Its envelope
        envelope: Box<Envelope>,
        /// Its structure
        part: Box<Part>,
        /// Lines of it
        lines: u64,
    },
    /// text/…
    Text {
        /// Subtype
        subtype: Vec<u8>,
        /// Lines of it
        lines: u64,
    },
    /// Anything else
    Other {
        /// Type
        kind: Vec<u8>,
        /// Subtype
        subtype: Vec<u8>,
    },
}

pub(super) fn envelope(envelope: &Envelope, style: Style, out: &mut Vec<u8>) {
    out.push(b'(');
    string::nstring(envelope.date.as_deref(), style, out);
    out.push(b' ');
    string::nstring(envelope.subject.as_deref(), style, out);
    // RFC 9051 §7.5.2: sender and reply-to default to from.
    let or_from = |list: &'_ Vec<Address>| list.is_empty();
    let sender = if or_from(&envelope.sender) { &envelope.from } else { &envelope.sender };
    let reply_to = if or_from(&envelope.reply_to) { &envelope.from } else { &envelope.reply_to };
    for list in [&envelope.from, sender, reply_to, &envelope.to, &envelope.cc, &envelope.bcc] {
        out.push(b' ');
        addresses(list, style, out);
    }
    out.push(b' ');
    string::nstring(envelope.in_reply_to.as_deref(), style, out);
    out.push(b' ');
    string::nstring(envelope.message_id.as_deref(), style, out);
    out.push(b')');
}

fn addresses(list: &[Address], style: Style, out: &mut Vec<u8>) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    for address in list {
        out.push(b'(');
        string::nstring(address.name.as_deref(), style, out);
        for field in [&address.route, &address.mailbox, &address.host] {
            out.push(b' ');
            string::nstring(field.as_deref(), style, out);
        }
        out.push(b')');
    }
    out.push(b')');
}

pub(super) fn part(it: &Part, extended: bool, style: Style, out: &mut Vec<u8>) {
    out.push(b'(');
    if let Kind::Multipart { subtype, parts } = &it.kind {
        for each in parts {
            part(each, extended, style, out);
        }
        if parts.is_empty() {
            out.extend_from_slice(b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)");
        }
        out.push(b' ');
        string::string(subtype, style, out);
        if extended {
            out.push(b' ');
            params(&it.params, style, out);
            extension(it, style, out);
        }
        return out.push(b')');
    }
    let (kind, subtype) = match &it.kind {
        Kind::Text { subtype, .. } => (b"TEXT".as_slice(), subtype),
        Kind::Message { subtype, .. } => (b"MESSAGE".as_slice(), subtype),
        Kind::Other { kind, subtype } => (kind.as_slice(), subtype),
        Kind::Multipart { subtype, .. } => (b"MULTIPART".as_slice(), subtype),
    };
    string::string(kind, style, out);
    out.push(b' ');
    string::string(subtype, style, out);
    out.push(b' ');
    params(&it.params, style, out);
    out.push(b' ');
    string::nstring(it.id.as_deref(), style, out);
    out.push(b' ');
    string::nstring(it.description.as_deref(), style, out);
    out.push(b' ');
    let encoding = if it.encoding.is_empty() { b"7BIT" } else { it.encoding.as_slice() };
    string::string(encoding, style, out);
    put(out, format_args!(" {}", it.octets));
    match &it.kind {
        Kind::Text { lines, .. } => put(out, format_args!(" {lines}")),
        Kind::Message { envelope: inner, part: inside, lines, .. } => {
            out.push(b' ');
            envelope(inner, style, out);
            out.push(b' ');
            part(inside, extended, style, out);
            put(out, format_args!(" {lines}"));
        }
        _ => {}
    }
    if extended {
        out.push(b' ');
        string::nstring(it.md5.as_deref(), style, out);
        extension(it, style, out);
    }
    out.push(b')');
}

/// Disposition, language and location: the extension data that all parts have.
fn extension(it: &Part, style: Style, out: &mut Vec<u8>) {
    out.push(b' ');
    match &it.disposition {
        None => out.extend_from_slice(b"NIL"),
        Some(disposition) => {
            out.push(b'(');
            string::string(&disposition.kind, style, out);
            out.push(b' ');
            params(&disposition.params, style, out);
            out.push(b')');
        }
    }
    out.push(b' ');
    match it.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [one] => string::string(one, style, out),
        many => {
            for (index, each) in many.iter().enumerate() {
                out.push(if index == 0 { b'(' } else { b' ' });
                string::string(each, style, out);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    string::nstring(it.location.as_deref(), style, out);
}

fn params(params: &Params, style: Style, out: &mut Vec<u8>) {
    if params.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (index, (name, value)) in params.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        string::string(name, style, out);
        out.push(b' ');
        string::string(value, style, out);
    }
    out.push(b')');
}
