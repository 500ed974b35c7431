//! ARC sets (RFC 8617): what was found of a message when it came, sealed before it is forwarded.

#[cfg(test)]
mod tests;

use crate::dkim::{KeyFault, Signer, relaxed_field, signed_fields, signed_names};
use crate::header::fields;
use crate::time::Timestamp;
use crate::verdicts::Found;

/// Sets beyond which a chain has failed (RFC 8617 §5.1.1).
const SETS_MAX: u32 = 50;

/// The three fields of a set, in the order in which they are sealed.
const FIELDS: [&str; 3] = ["ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"];

/// What is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Seal<'a> {
    /// Who seals.
    pub signer: &'a Signer,
    /// Our name.
    pub host: &'a str,
    /// What was found when the message came, as Authentication-Results says it:
    /// `AuthenticationResults::results`.
    pub results: &'a [String],
    /// What the chain that it came with was worth: `Verdicts::arc`. Not looked at: `None`.
    pub chain: Found,
    /// Now.
    pub at: Timestamp,
}

impl Seal<'_> {
    /// The three fields that go on top of the message, with their line ends. `header` is all of
    /// the message's header as it leaves, `body` the hash of its body. `None`: a chain that failed
    /// before, or is too long, is not sealed again (RFC 8617 §5.1).
    /// # Errors
    /// [`KeyFault`]: the key cannot sign.
    pub fn fields(&self, header: &[u8], body: &[u8; 32]) -> Result<Option<String>, KeyFault> {
        let chain = Chain::of(header);
        let number = chain.highest + 1;
        if number > SETS_MAX || chain.failed {
            return Ok(None);
        }
        let validity = match (chain.highest, self.chain) {
            (0, _) => "none",
            (_, Found::Pass) => "pass",
            _ => "fail",
        };
        let results = match self.results {
            [] => "none".to_owned(),
            some => some.join(";\r\n\t"),
        };
        let results = format!("{}: i={number}; {};\r\n\t{results}\r\n", FIELDS[0], self.host);
        let names = signed_names(header, false);
        let mut tags = self.signer.tags(&format!("i={number}; "), body, self.at);
        tags.push(format!("h={};", names.join(":")));
        let signature = self.signer.finish(FIELDS[1], tags, |field| {
            let mut input = signed_fields(header, &names);
            input.extend_from_slice(&relaxed_field(field.as_bytes()));
            input
        })?;
        let tags = vec![
            format!("i={number};"),
            format!("a={};", self.signer.key.algorithm()),
            format!("cv={validity};"),
            format!("d={};", self.signer.domain),
            format!("s={};", self.signer.selector),
            format!("t={};", self.at.seconds()),
        ];
        let seal = self.signer.finish(FIELDS[2], tags, |field| {
            // RFC 8617 §5.1.2: the seal of a broken chain covers its own set only.
            let mut input = if validity == "fail" { Vec::new() } else { chain.sealed };
            for one in [&results, &signature, field] {
                input.extend_from_slice(&relaxed_field(one.as_bytes()));
            }
            input
        })?;
        Ok(Some(format!("{seal}{signature}{results}")))
    }
}

/// The sets that a message has.
struct Chain {
    highest: u32,
    /// The last seal says so.
    failed: bool,
    /// All of them as the next seal covers them.
    sealed: Vec<u8>,
}

impl Chain {
    fn of(header: &[u8]) -> Self {
        let mut all: Vec<(u32, usize, &[u8])> = Vec::new();
        for field in fields(header) {
            let Some(kind) = FIELDS.iter().position(|name| field.is(name)) else { continue };
            let raw = header.get(field.range.clone()).unwrap_or_default();
            let number = tag(field.value, "i").and_then(|text| text.parse().ok());
            all.push((number.unwrap_or(SETS_MAX), kind, raw));
        }
        all.sort_by_key(|(number, kind, _)| (*number, *kind));
        let highest = all.iter().map(|(number, _, _)| *number).max().unwrap_or(0);
        let last = all.iter().rev().find(|(number, kind, _)| *number == highest && *kind == 2);
        let failed = last.is_some_and(|(_, _, raw)| {
            tag(crate::header::split(raw).1, "cv").is_some_and(|cv| cv.eq_ignore_ascii_case("fail"))
        });
        let sealed = all.iter().flat_map(|(_, _, raw)| relaxed_field(raw)).collect();
        Self { highest, failed, sealed }
    }
}

/// The value of a tag in a tag list.
fn tag(value: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    text.split(';').find_map(|tag| {
        let (key, value) = tag.split_once('=')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}
