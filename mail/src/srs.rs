//! Sender rewriting for mail that is forwarded outside: the envelope sender becomes an address of
//! ours, so that SPF passes, and a bounce to it finds its way back.
//!
//! ```text
//! ana@far.test             →  SRS0=<mac>=<day>=far.test=ana@ours.test
//! SRS0=…@first.test        →  SRS1=<mac>=first.test==…@ours.test
//! ```
//! The address is keyed, so that nobody else makes one that we would relay to (I9), and expires
//! after [`DAYS_MAX`]. Letters of either case mean the same: some servers change them.

use crate::address::{Address, Domain, LOCAL_BYTES_MAX};
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// For so many days a bounce is taken.
pub const DAYS_MAX: u64 = 21;

/// Days are told apart within this many.
const DAYS: u64 = 1024;

/// Letters of a day and of a MAC.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Letters of a MAC: 50 bits.
const MAC_LETTERS: usize = 10;

/// A keyed hash of 32 bytes (HMAC-SHA-256 with a secret of the region).
pub type Mac<'a> = &'a dyn Fn(&[u8]) -> [u8; 32];

/// A [`Mac`] that is kept.
pub type Key = std::sync::Arc<dyn Fn(&[u8]) -> [u8; 32] + Send + Sync>;

/// Days since 1970, as [`forward`] and [`reverse`] count them.
#[must_use]
pub const fn day(now: Timestamp) -> u64 {
    now.seconds() / 86_400
}

/// Why an address is not rewritten back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReversed {
    /// It is no rewritten address at all: an ordinary one.
    #[error("not a rewritten address")]
    Ordinary,
    /// It is written like one, but not by us: no such user.
    #[error("not rewritten here")]
    Forged,
    /// It was ours, and is too old: no such user.
    #[error("rewritten too long ago")]
    Expired,
}

/// The address of ours at `domain` that stands for `sender`; `day` is days since 1970. `None` if it
/// would be longer than a local part may be.
#[must_use]
pub fn forward(sender: &Address, domain: &Domain, day: u64, mac: Mac<'_>) -> Option<Address> {
    let local = sender.local();
    let written = match kind(local) {
        // Rewritten twice already: the first rewriter stays the one to go back to.
        Some((Kind::Again, rest)) => {
            let (_, rest) = rest.split_once('=')?;
            let (first, inner) = rest.split_once("==")?;
            again(first, inner, mac)
        }
        Some((Kind::First, inner)) => again(sender.domain().as_str(), inner, mac),
        None => {
            let day = day_text(day);
            let said = format!("{day}={}={local}", sender.domain());
            format!("srs0={}={said}", code(&said, mac))
        }
    };
    let fits = written.len() <= LOCAL_BYTES_MAX;
    fits.then(|| Address::new(&written, domain.clone()).ok()).flatten()
}

/// Whom a rewritten address stands for.
/// # Errors
/// [`NotReversed`]: an ordinary address is looked up as any other; the others are nobody's.
pub fn reverse(address: &Address, day: u64, mac: Mac<'_>) -> Result<Address, NotReversed> {
    let (kind, rest) = kind(address.local()).ok_or(NotReversed::Ordinary)?;
    let (code_said, said) = rest.split_once('=').ok_or(NotReversed::Forged)?;
    if !code_said.eq_ignore_ascii_case(&code(said, mac)) {
        return Err(NotReversed::Forged);
    }
    let (domain, local) = match kind {
        Kind::First => {
            let (made, rest) = said.split_once('=').ok_or(NotReversed::Forged)?;
            let made = day_of(made).ok_or(NotReversed::Forged)?;
            let age = (day % DAYS + DAYS - made) % DAYS;
            if age > DAYS_MAX {
                return Err(NotReversed::Expired);
            }
            let (domain, local) = rest.split_once('=').ok_or(NotReversed::Forged)?;
            (domain, local.to_owned())
        }
        Kind::Again => {
            let (domain, inner) = said.split_once("==").ok_or(NotReversed::Forged)?;
            (domain, format!("srs0={inner}"))
        }
    };
    let domain = Domain::parse(domain).map_err(|_| NotReversed::Forged)?;
    Address::new(&local, domain).map_err(|_| NotReversed::Forged)
}

enum Kind {
    First,
    Again,
}

/// Other rewriters separate with "+" or "-" too.
fn kind(local: &str) -> Option<(Kind, &str)> {
    let (tag, rest) = local.split_at_checked(4)?;
    let rest = rest.strip_prefix(['=', '+', '-'])?;
    match tag.to_ascii_lowercase().as_str() {
        "srs0" => Some((Kind::First, rest)),
        "srs1" => Some((Kind::Again, rest)),
        _ => None,
    }
}

fn again(first: &str, inner: &str, mac: Mac<'_>) -> String {
    let said = format!("{first}=={inner}");
    format!("srs1={}={said}", code(&said, mac))
}

/// Over lower-case text, so that a server which changes the case changes nothing.
fn code(said: &str, mac: Mac<'_>) -> String {
    let sum = mac(said.to_lowercase().as_bytes());
    sum.iter().take(MAC_LETTERS).map(|byte| letter(u64::from(*byte))).collect()
}

fn letter(number: u64) -> char {
    let at = usize::try_from(number % 32).unwrap_or_default();
    char::from(LETTERS.get(at).copied().unwrap_or(b'a'))
}

fn day_text(day: u64) -> String {
    [letter(day % DAYS / 32), letter(day)].iter().collect()
}

fn day_of(text: &str) -> Option<u64> {
    let number = |letter: u8| {
        let at = LETTERS.iter().position(|known| *known == letter.to_ascii_lowercase())?;
        u64::try_from(at).ok()
    };
    match text.as_bytes() {
        [high, low] => Some(number(*high)? * 32 + number(*low)?),
        _ => None,
    }
}
