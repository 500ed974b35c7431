//! LIST patterns (RFC 9051 §6.3.9): `*` stands for anything, `%` for anything without separator.
//!
//! All ways to match are followed at once, as bits, so that no pattern can make it slow
//! (B2): each byte of a name costs one step per 64 bytes of the pattern.

use unicode_normalization::UnicodeNormalization;

use crate::mailbox::{MailboxName, SEPARATOR};

/// Longest pattern with its reference; twice what a name may be.
pub const PATTERN_BYTES_MAX: usize = 2_000;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct ListPattern {
    /// For each byte that occurs in the pattern: where it does. Position n: after n literal bytes.
    literals: Vec<(u8, Bits)>,
    /// Positions at which `*` stands.
    any: Bits,
    /// Positions at which `%` stands.
    level: Bits,
    /// How many literal bytes there are.
    length: usize,
}

type Bits = Vec<u64>;

/// A pattern over [`PATTERN_BYTES_MAX`]: no name matches it; answer BAD or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a list pattern is at most 2,000 bytes")]
pub struct PatternTooLong;

impl ListPattern {
    /// Compiles `reference` and `pattern`, both in UTF-8, put together.
    /// # Errors
    /// [`PatternTooLong`].
    pub fn new(reference: &str, pattern: &str) -> Result<Self, PatternTooLong> {
        if reference.len().saturating_add(pattern.len()) > PATTERN_BYTES_MAX {
            return Err(PatternTooLong);
        }
        let text: String = reference.nfc().chain(pattern.nfc()).collect();
        let words = text.len() / 64 + 1;
        let empty = vec![0; words];
        let mut compiled =
            Self { literals: Vec::new(), any: empty.clone(), level: empty.clone(), length: 0 };
        for byte in text.bytes() {
            let at = compiled.length;
            match byte {
                b'*' => set(&mut compiled.any, at),
                b'%' => set(&mut compiled.level, at),
                _ => {
                    let found = compiled.literals.iter().position(|(known, _)| *known == byte);
                    let index = found.unwrap_or_else(|| {
                        compiled.literals.push((byte, empty.clone()));
                        compiled.literals.len() - 1
                    });
                    if let Some((_, bits)) = compiled.literals.get_mut(index) {
                        set(bits, at);
                    }
                    compiled.length += 1;
                }
            }
        }
        Ok(compiled)
    }

    /// Whether the name matches. INBOX, also with names below it, is compared without case.
    #[must_use]
    pub fn matches(&self, name: &MailboxName) -> bool {
        let text = name.as_str();
        let inbox = text.strip_prefix("INBOX");
        let any_case = inbox.is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR));
        let mut state = vec![0; self.any.len()];
        set(&mut state, 0);
        for (index, byte) in text.bytes().enumerate() {
            let lower = (any_case && index < 5).then(|| byte.to_ascii_lowercase());
            let upper = self.literal(byte);
            let lower = lower.and_then(|lower| self.literal(lower));
            let same_level = byte != b'/';
            let mut carry = 0;
            for (word, now) in state.iter_mut().enumerate() {
                let bits = |of: Option<&Bits>| of.and_then(|of| of.get(word)).copied().unwrap_or(0);
                let stay =
                    bits(Some(&self.any)) | if same_level { bits(Some(&self.level)) } else { 0 };
                let step = *now & (bits(upper) | bits(lower));
                *now = (*now & stay) | (step << 1) | carry;
                carry = step >> 63;
            }
        }
        state.get(self.length / 64).is_some_and(|word| word >> (self.length % 64) & 1 == 1)
    }

    fn literal(&self, byte: u8) -> Option<&Bits> {
        self.literals.iter().find(|(known, _)| *known == byte).map(|(_, bits)| bits)
    }
}

fn set(bits: &mut Bits, at: usize) {
    if let Some(word) = bits.get_mut(at / 64) {
        *word |= 1 << (at % 64);
    }
}
