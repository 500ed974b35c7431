//! Delivery status notifications: the message that tells a sender what became of a message
//! (RFC 3461, RFC 3464; RFC 6522 for its form, RFC 6533 where addresses are not ASCII).
//!
//! Pure: given the same [`Report`] it writes the same bytes. Whatever the other side said becomes
//! one line of one field and nothing else (D3).

#[cfg(test)]
mod tests;

use crate::address::Path;
use crate::date::DateTime;

/// Longest line of words of others in the report.
const WORDS_BYTES_MAX: usize = 900;

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not yet delivered, still being tried.
    Delayed,
    /// Delivered to a mailbox here.
    Delivered,
    /// Handed on to a server that tells of nothing itself.
    Relayed,
    /// Handed on to several addresses.
    Expanded,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

/// What is reported of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The address that the sender knows.
    pub recipient: Path,
    /// ORCPT as it came: `type;xtext`.
    pub orcpt: Option<String>,
    /// What became of it.
    pub action: Action,
    /// Enhanced status code (RFC 3463).
    pub status: (u8, u16, u16),
    /// The server that said so, by name; `None`: we did.
    pub server: Option<String>,
    /// What it said, in its words: a reply in normal form; or our own.
    pub words: String,
    /// What the sender can do about it: one sentence or two.
    pub advice: String,
    /// Other answers that were had, one line each ("egress-2: 550 …").
    pub attempts: Vec<String>,
    /// When it was last tried.
    pub tried: Option<DateTime>,
    /// Until when it is tried on ([`Action::Delayed`]).
    pub until: Option<DateTime>,
}

/// What is returned of the message (RFC 3461 §4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// All of it, CRLF lines.
    Full(Vec<u8>),
    /// Its header, CRLF lines.
    Headers(Vec<u8>),
}

/// Everything that a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Our host name: the reporting MTA.
    pub host: String,
    /// Whose postmaster is asked (`MAILER-DAEMON@…`, `postmaster@…`).
    pub domain: String,
    /// The sender, who gets it.
    pub to: Path,
    /// Names this report: the left side of its Message-ID; hex digits.
    pub id: String,
    /// When it is written.
    pub now: DateTime,
    /// When the message was accepted.
    pub arrived: DateTime,
    /// ENVID as it came (xtext).
    pub envid: Option<String>,
    /// At least one.
    pub recipients: Vec<Reported>,
    /// What is returned.
    pub returned: Returned,
}

impl Report {
    /// Whether it can only be sent with SMTPUTF8 (RFC 6533).
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        self.to.needs_smtputf8() || self.recipients.iter().any(|one| one.recipient.needs_smtputf8())
    }

    /// The message: header and body, CRLF lines.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let global = self.needs_smtputf8();
        let returned = match &self.returned {
            Returned::Full(bytes) | Returned::Headers(bytes) => bytes.as_slice(),
        };
        let boundary = boundary(&self.id, returned);
        let mut out = Vec::with_capacity(returned.len() + 4_096);
        self.write_header(&mut out, &boundary);
        let mut part = |kind: &str, text: &[u8]| {
            out.extend_from_slice(format!("--{boundary}\r\n{kind}\r\n\r\n").as_bytes());
            out.extend_from_slice(text);
            if !text.ends_with(b"\r\n") {
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
        };
        let people = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit";
        part(people, self.for_people().as_bytes());
        let status = match global {
            true => {
                "Content-Type: message/global-delivery-status; charset=utf-8\r\n\
                 Content-Transfer-Encoding: 8bit"
            }
            false => "Content-Type: message/delivery-status",
        };
        part(status, self.for_programs(global).as_bytes());
        let bits = if returned.is_ascii() { "7bit" } else { "8bit" };
        let kind = match (&self.returned, global) {
            (Returned::Full(_), false) => "message/rfc822",
            (Returned::Full(_), true) => "message/global",
            (Returned::Headers(_), false) => "text/rfc822-headers",
            (Returned::Headers(_), true) => "message/global-headers",
        };
        let kind = format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {bits}");
        part(&kind, returned);
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out
    }

    fn write_header(&self, out: &mut Vec<u8>, boundary: &str) {
        let Self { host, domain, to, id, now, .. } = self;
        // RFC 3834 §5: nobody answers it by machine.
        let header = format!(
            "From: Mail Delivery System <MAILER-DAEMON@{domain}>\r\n\
             To: {to}\r\n\
             Subject: {}\r\n\
             Date: {now}\r\n\
             Message-ID: <{id}@{host}>\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type={};\r\n\
             \tboundary=\"{boundary}\"\r\n\r\n\
             This is a report in parts that mail programs understand (RFC 3464).\r\n",
            self.subject(),
            if self.needs_smtputf8() { "global-delivery-status" } else { "delivery-status" },
        );
        out.extend_from_slice(header.as_bytes());
    }

    fn has(&self, action: Action) -> bool {
        self.recipients.iter().any(|one| one.action == action)
    }

    fn subject(&self) -> &'static str {
        if self.has(Action::Failed) {
            "Undelivered mail returned to sender"
        } else if self.has(Action::Delayed) {
            "Your message is delayed, and still being tried"
        } else {
            "Your message was delivered"
        }
    }

    /// The part for people.
    fn for_people(&self) -> String {
        let mut text = format!("This is the mail server {}.\r\n\r\n", self.host);
        let groups = [
            (Action::Failed, "Your message was NOT delivered to:"),
            (
                Action::Delayed,
                "Your message was not delivered yet to the following; it is still being tried, and\r\n\
                 you need not send it again:",
            ),
            (Action::Delivered, "Your message was delivered to:"),
            (
                Action::Relayed,
                "Your message was handed on for the following, to a server that sends no such\r\n\
                 reports:",
            ),
            (Action::Expanded, "Your message was handed on to all that these stand for:"),
        ];
        for (action, intro) in groups {
            let mut of_it = self.recipients.iter().filter(|one| one.action == action).peekable();
            if of_it.peek().is_none() {
                continue;
            }
            text.push_str(intro);
            text.push_str("\r\n\r\n");
            for one in of_it {
                one.write_for_people(&mut text);
            }
        }
        if self.has(Action::Failed) || self.has(Action::Delayed) {
            text.push_str(&format!(
                "If this does not help you, show this whole message to postmaster@{}.\r\n",
                self.domain
            ));
        }
        text
    }

    /// The part for programs: RFC 3464 §2.
    fn for_programs(&self, global: bool) -> String {
        let mut text = format!("Reporting-MTA: dns; {}\r\n", field_text(&self.host, global));
        if let Some(envid) = self.envid.as_deref().and_then(from_xtext) {
            text.push_str(&format!("Original-Envelope-Id: {}\r\n", field_text(&envid, global)));
        }
        text.push_str(&format!("Arrival-Date: {}\r\n", self.arrived));
        for one in &self.recipients {
            text.push_str("\r\n");
            one.write_for_programs(&mut text, global);
        }
        text
    }
}

impl Reported {
    fn write_for_people(&self, text: &mut String) {
        text.push_str(&format!("  <{}>\r\n", self.recipient));
        let words = field_text(&self.words, true);
        match &self.server {
            _ if words.is_empty() => {}
            Some(server) => {
                text.push_str(&format!("    The server {} said:\r\n", field_text(server, true)));
                text.push_str(&format!("      {words}\r\n"));
            }
            None => text.push_str(&format!("    {words}\r\n")),
        }
        for attempt in &self.attempts {
            text.push_str(&format!("      {}\r\n", field_text(attempt, true)));
        }
        if let Some(until) = self.until {
            text.push_str(&format!("    It is tried until {until}.\r\n"));
        }
        if !self.advice.is_empty() {
            text.push_str(&format!("    {}\r\n", field_text(&self.advice, true)));
        }
        text.push_str("\r\n");
    }

    fn write_for_programs(&self, text: &mut String, global: bool) {
        let kind = |address: &str| if address.is_ascii() { "rfc822" } else { "utf-8" };
        // RFC 3464 §2.3.1: only if the sender gave one.
        if let Some((of, address)) = self.orcpt.as_deref().and_then(|text| text.split_once(';'))
            && let Some(address) = from_xtext(address)
        {
            let of = field_text(of, global);
            let address = field_text(&address, global);
            text.push_str(&format!("Original-Recipient: {of}; {address}\r\n"));
        }
        let recipient = self.recipient.text();
        let address = field_text(recipient, global);
        text.push_str(&format!("Final-Recipient: {}; {address}\r\n", kind(recipient)));
        let (class, subject, detail) = self.status;
        text.push_str(&format!("Action: {}\r\n", self.action.name()));
        text.push_str(&format!("Status: {class}.{subject}.{detail}\r\n"));
        if let Some(server) = &self.server {
            text.push_str(&format!("Remote-MTA: dns; {}\r\n", field_text(server, global)));
            if !self.words.is_empty() {
                let words = field_text(&self.words, global);
                text.push_str(&format!("Diagnostic-Code: smtp; {words}\r\n"));
            }
        } else if !self.words.is_empty() {
            let words = field_text(&self.words, global);
            text.push_str(&format!("Diagnostic-Code: x-postroad; {words}\r\n"));
        }
        if let Some(tried) = self.tried {
            text.push_str(&format!("Last-Attempt-Date: {tried}\r\n"));
        }
        if let Some(until) = self.until {
            text.push_str(&format!("Will-Retry-Until: {until}\r\n"));
        }
    }
}

/// Text that ends no line and hides nothing; ASCII unless `global`.
fn field_text(text: &str, global: bool) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if out.len() + letter.len_utf8() > WORDS_BYTES_MAX {
            break;
        }
        let bad = letter.is_control() || (!global && !letter.is_ascii());
        out.push(if bad { '?' } else { letter });
    }
    out
}

/// RFC 3461 §4: `+XX` is a byte. `None` if it is none.
#[must_use]
pub fn from_xtext(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'+' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// RFC 3461 §4: what is not printable ASCII, "+" and "=" become `+XX`.
#[must_use]
pub fn to_xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'=' => out.push_str(&format!("+{byte:02X}")),
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("+{byte:02X}")),
        }
    }
    out
}

/// A boundary that is not in what is returned (RFC 2046 §5.1.1).
fn boundary(id: &str, returned: &[u8]) -> String {
    let mut number = 0_u64;
    loop {
        let boundary = format!("report-{id}-{number}");
        if memchr::memmem::find(returned, boundary.as_bytes()).is_none() {
            return boundary;
        }
        number += 1;
    }
}
