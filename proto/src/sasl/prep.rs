//! SASLprep (RFC 4013) of passwords, so that one password has one verifier however it was typed.
//!
//! Mapping, NFKC and the prohibited characters are carried out. The bidirectional check and the
//! table of code points unassigned in Unicode 3.2 are not: they refuse passwords that later
//! profiles (RFC 8265) allow, and both sides of a check pass through this same function.

use unicode_normalization::UnicodeNormalization;

/// Longest password before and after preparation, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// The password cannot be used: the caller asks for another one, or refuses the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordSyntax {
    /// Nothing is left of it.
    #[error("the password is empty")]
    Empty,
    /// Over [`PASSWORD_BYTES_MAX`].
    #[error("the password is longer than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// It has a control character, a private-use one, or one that has no place in text.
    #[error("the password has a character that passwords cannot have (U+{0:04X})")]
    Prohibited(u32),
}

/// The prepared form of `password` (RFC 4013 §2), 1..=[`PASSWORD_BYTES_MAX`] bytes.
///
/// # Errors
/// [`PasswordSyntax`]: it can be nobody's password.
pub fn saslprep(password: &str) -> Result<String, PasswordSyntax> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordSyntax::TooLong);
    }
    // RFC 4013 §2.1 (mapping), §2.2 (NFKC).
    let mapped = password
        .chars()
        .map(|c| if is_other_space(c) { ' ' } else { c })
        .filter(|c| !maps_to_nothing(*c));
    let prepared: String = mapped.nfkc().collect();
    // RFC 4013 §2.3: prohibited characters are in no password.
    if let Some(c) = prepared.chars().find(|c| is_prohibited(*c)) {
        return Err(PasswordSyntax::Prohibited(u32::from(c)));
    }
    match prepared.len() {
        0 => Err(PasswordSyntax::Empty),
        1..=PASSWORD_BYTES_MAX => Ok(prepared),
        _ => Err(PasswordSyntax::TooLong),
    }
}

/// RFC 3454 table C.1.2: spaces other than U+0020.
const fn is_other_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// RFC 3454 table B.1: commonly mapped to nothing.
const fn maps_to_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200c}' | '\u{200d}'
            | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// RFC 3454 tables C.1.2, C.2 to C.9.
const fn is_prohibited(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{340}' | '\u{341}' | '\u{6dd}' | '\u{70f}'
            | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{2063}' | '\u{206a}'..='\u{206f}' | '\u{2ff0}'..='\u{2ffb}'
            | '\u{3000}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffd}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}' | '\u{f0000}'..='\u{10ffff}'
    ) || (c as u32) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(password: &str, expected: Result<&str, PasswordSyntax>) {
        assert_eq!(saslprep(password), expected.map(str::to_owned), "{password:?}");
    }

    // RFC 4013 §3: the examples.
    // RFC 4013 §2, §2.1, §2.3; RFC 3454.
    #[test]
    fn the_rfc_s_examples_come_out_as_it_says() {
        check("I\u{ad}X", Ok("IX"));
        check("user", Ok("user"));
        check("USER", Ok("USER"));
        check("\u{aa}", Ok("a"));
        check("\u{2168}", Ok("IX"));
        check("\u{7}", Err(PasswordSyntax::Prohibited(7)));
    }

    #[test]
    fn twins_meet_and_what_is_not_text_is_refused() {
        check("caf\u{65}\u{301}", Ok("caf\u{e9}"));
        check("a\u{a0}b", Ok("a b"));
        check("", Err(PasswordSyntax::Empty));
        check("\u{ad}", Err(PasswordSyntax::Empty));
        check("a\0b", Err(PasswordSyntax::Prohibited(0)));
        check("\u{e000}", Err(PasswordSyntax::Prohibited(0xe000)));
        check("\u{1fffe}", Err(PasswordSyntax::Prohibited(0x1_fffe)));
        check("🐚 shell", Ok("🐚 shell"));
        check(&"x".repeat(1025), Err(PasswordSyntax::TooLong));
        // NFKC can grow: U+FDFA is 18 characters.
        check(&"\u{fdfa}".repeat(300), Err(PasswordSyntax::TooLong));
    }
}
