//! DKIM signatures (RFC 6376, RFC 8463) of what leaves in a domain's name.
//!
//! Pure: keys, bytes and a time come in, header fields go out. Whatever is signed is canonicalised
//! as relaxed/relaxed, never with `l=`, and every field that readers look at is signed once more
//! than it is there, so that nobody can add another one (F2).

mod canonical;
mod key;
#[cfg(test)]
mod tests;

use crate::header::{RawField, fields};
use crate::time::Timestamp;

pub use canonical::BodyHasher;
pub(crate) use canonical::relaxed_field;
pub use key::{KeyFault, SigningKey};

/// Fields that are signed, and signed once more than they are there.
const SIGNED: [&str; 15] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

/// Most fields of one name that are signed; a message with more is signed by so many.
const EACH_MAX: usize = 20;

/// Where a line of our fields is folded.
const LINE_BYTES: usize = 76;

/// A key, and where its public half is published: `<selector>._domainkey.<domain>`.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The domain that signs.
    pub domain: String,
    /// Names the key.
    pub selector: String,
    /// The key.
    pub key: SigningKey,
}

impl Signer {
    /// The DKIM-Signature field of a message, with its line end. `header` is all of the message's
    /// header, `body` the hash of its body.
    /// # Errors
    /// [`KeyFault`]: the key cannot sign.
    pub fn sign(&self, header: &[u8], body: &[u8; 32], at: Timestamp) -> Result<String, KeyFault> {
        let names = signed_names(header, true);
        let mut tags = self.tags("v=1; ", body, at);
        tags.push(format!("h={};", names.join(":")));
        self.finish("DKIM-Signature", tags, |field| {
            let mut input = signed_fields(header, &names);
            input.extend_from_slice(&relaxed_field(field.as_bytes()));
            input
        })
    }

    /// The tags that DKIM and ARC have in common.
    pub(crate) fn tags(&self, first: &str, body: &[u8; 32], at: Timestamp) -> Vec<String> {
        vec![
            format!("{first}a={};", self.key.algorithm()),
            "c=relaxed/relaxed;".to_owned(),
            format!("d={};", self.domain),
            format!("s={};", self.selector),
            format!("t={};", at.seconds()),
            format!("bh={};", key::base64(body)),
        ]
    }

    /// Writes a field of these tags, signs what `input` makes of it (without the last line end),
    /// and puts the signature at its end.
    pub(crate) fn finish(
        &self,
        name: &str,
        tags: Vec<String>,
        input: impl FnOnce(&str) -> Vec<u8>,
    ) -> Result<String, KeyFault> {
        let mut field = folded(name, tags);
        field.push_str("\r\n\tb=");
        let mut input = input(&field);
        // RFC 6376 §3.7: the signature's own field has no line end.
        if input.ends_with(b"\r\n") {
            input.truncate(input.len() - 2);
        }
        let signature = self.key.sign(&input)?;
        let mut rest = signature.as_str();
        while let Some((line, more)) = rest.split_at_checked(LINE_BYTES - 4)
            && !more.is_empty()
        {
            field.push_str(line);
            field.push_str("\r\n\t");
            rest = more;
        }
        field.push_str(rest);
        field.push_str("\r\n");
        Ok(field)
    }
}

/// `name: tag tag …`, folded between tags, and within long lists after a colon.
fn folded(name: &str, tags: Vec<String>) -> String {
    let mut field = format!("{name}:");
    let mut line = field.len();
    for tag in tags {
        let mut first = true;
        for piece in tag.split_inclusive(':') {
            if line + 1 + piece.len() > LINE_BYTES {
                field.push_str("\r\n\t");
                line = 1;
            } else if first {
                field.push(' ');
                line += 1;
            }
            first = false;
            field.push_str(piece);
            line += piece.len();
        }
    }
    field
}

/// The names for `h=`: each as often as it is there, and once more if `over`.
pub(crate) fn signed_names(header: &[u8], over: bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    for name in SIGNED {
        let there = fields(header).filter(|field| field.is(name)).take(EACH_MAX).count();
        names.extend(std::iter::repeat_n(name, there + usize::from(over)));
    }
    names
}

/// RFC 6376 §5.4.2: of fields with the same name the last is signed first.
pub(crate) fn signed_fields(header: &[u8], names: &[&str]) -> Vec<u8> {
    let all: Vec<RawField<'_>> = fields(header).collect();
    let mut used = vec![false; all.len()];
    let mut out = Vec::new();
    for name in names {
        let found =
            all.iter().zip(used.iter_mut()).rev().find(|(field, used)| !**used && field.is(name));
        if let Some((field, used)) = found {
            *used = true;
            let raw = header.get(field.range.clone()).unwrap_or_default();
            out.extend_from_slice(&relaxed_field(raw));
        }
    }
    out
}

/// The hash of a whole message's body.
#[must_use]
pub fn body_hash(message: &[u8]) -> [u8; 32] {
    let mut hasher = BodyHasher::new();
    hasher.write(message.get(crate::header::header_length(message)..).unwrap_or_default());
    hasher.finish()
}
