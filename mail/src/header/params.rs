//! Content-Type, Content-Disposition and their parameters (RFC 2045 §5.1, RFC 2183), as they are
//! met: missing semicolons, spaces and specials in unquoted values, comments, empty parameters.
//!
//! RFC 2231 pieces stay as they came, for BODYSTRUCTURE shows them raw; [`decoded_param`] joins and
//! decodes them for people.

use std::collections::BTreeMap;

use crate::header::words::decode_text;
use crate::header::{Lexer, is_space};
use crate::part::{Disposition, Param};
use crate::text::charset_to_text;

/// Most parameters of a field that are kept; further ones are left out.
pub const PARAMS_MAX: usize = 1_000;

/// Longest media type, subtype, disposition or parameter name (RFC 6838 allows 127).
const NAME_BYTES_MAX: usize = 127;

/// Media type, subtype (both lower case) and parameters of a Content-Type value. `None` if it has
/// no `type/subtype`; what holds then is the default (RFC 2045 §5.2).
#[must_use]
pub fn content_type(value: &[u8]) -> Option<(String, String, Vec<Param>)> {
    let mut lexer = Lexer::new(value);
    lexer.skip_comments();
    let media = name(&mut lexer)?;
    lexer.skip_comments();
    if !lexer.eat(b'/') {
        return None;
    }
    lexer.skip_comments();
    let subtype = name(&mut lexer)?;
    Some((media, subtype, params(&mut lexer)))
}

/// Kind (lower case) and parameters of a Content-Disposition value; `None` if it says nothing.
#[must_use]
pub fn disposition(value: &[u8]) -> Option<Disposition> {
    let mut lexer = Lexer::new(value);
    lexer.skip_comments();
    let kind = name(&mut lexer)?;
    Some(Disposition { kind, params: params(&mut lexer) })
}

/// The elements of a comma-separated list of tokens, such as Content-Language (RFC 3282).
#[must_use]
pub fn token_list(value: &[u8]) -> Vec<Vec<u8>> {
    let mut lexer = Lexer::new(value);
    let mut list = Vec::new();
    while list.len() < PARAMS_MAX {
        lexer.skip_comments();
        let token = lexer.take_while(|byte| !is_space(byte) && byte != b',' && byte != b'(');
        if !token.is_empty() {
            list.push(token.to_vec());
        }
        if token.is_empty() && lexer.next().is_none() {
            break;
        }
    }
    list
}

/// The first token of a value, quoted or not, such as Content-Transfer-Encoding has.
#[must_use]
pub fn first_token(value: &[u8]) -> String {
    let mut lexer = Lexer::new(value);
    lexer.skip_comments();
    lexer.eat(b'"');
    name(&mut lexer).unwrap_or_default()
}

/// A token (RFC 2045 §5.1), lower case.
fn name(lexer: &mut Lexer<'_>) -> Option<String> {
    let token = lexer.take_while(is_token);
    let good = !token.is_empty() && token.len() <= NAME_BYTES_MAX;
    good.then(|| token.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

fn params(lexer: &mut Lexer<'_>) -> Vec<Param> {
    let mut params = Vec::new();
    while params.len() < PARAMS_MAX {
        lexer.skip_comments();
        let Some(next) = lexer.peek() else { break };
        if !is_token(next) {
            // A semicolon, or something that has no place here.
            lexer.next();
            continue;
        }
        let name = name(lexer);
        lexer.skip_comments();
        if lexer.eat(b'=') {
            lexer.skip_space();
            let value = value(lexer);
            if let Some(name) = name {
                params.push(Param { name, value });
            }
        }
    }
    params
}

/// A quoted string, or everything up to the semicolon, with what is plainly a comment left out.
fn value(lexer: &mut Lexer<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    if lexer.eat(b'"') {
        lexer.quoted(&mut value);
        return value;
    }
    loop {
        let word = lexer.take_while(|byte| !is_space(byte) && byte != b';');
        value.extend_from_slice(word);
        let mut ahead = lexer.clone();
        ahead.skip_comments();
        // "name=a b.pdf" goes on; "charset=x format=y" and "charset=x (comment)" do not.
        let starts_param = {
            let mut probe = ahead.clone();
            probe.take_while(is_token);
            probe.peek() == Some(b'=')
        };
        *lexer = ahead;
        if word.is_empty() || starts_param || matches!(lexer.peek(), None | Some(b';')) {
            return value;
        }
        value.push(b' ');
    }
}

/// The value of the parameter `name` (lower case) for people: RFC 2231 pieces joined and decoded,
/// else RFC 2047 words decoded, which many write though RFC 2047 §5 forbids it.
#[must_use]
pub fn decoded_param(params: &[Param], name: &str) -> Option<String> {
    let mut pieces = BTreeMap::new();
    for param in params {
        let Some(rest) = param.name.strip_prefix(name) else { continue };
        let (number, extended) = match rest.strip_suffix('*') {
            Some(number) => (number, true),
            None => (rest, false),
        };
        let number = match number.strip_prefix('*') {
            None if number.is_empty() && extended => 0,
            None => continue,
            Some(number) => match number.parse::<u32>() {
                Ok(number) => number,
                Err(_) => continue,
            },
        };
        pieces.entry(number).or_insert((extended, &*param.value));
    }
    if !matches!(pieces.first_key_value(), Some((0, _))) {
        let plain = params.iter().find(|param| param.name == name)?;
        return Some(decode_text(&plain.value));
    }
    let mut charset: &[u8] = b"";
    let mut bytes = Vec::new();
    for (expected, (number, (extended, value))) in (0..).zip(pieces) {
        if number != expected {
            break;
        }
        if !extended {
            bytes.extend_from_slice(value);
            continue;
        }
        let mut text = value;
        // RFC 2231 §4: charset'language'text, in the first piece only.
        if number == 0 {
            let mut split = value.splitn(3, |byte| *byte == b'\'');
            if let (Some(label), Some(_), Some(rest)) = (split.next(), split.next(), split.next()) {
                (charset, text) = (label, rest);
            }
        }
        percent_decode(text, &mut bytes);
    }
    Some(charset_to_text(charset, &bytes))
}

fn percent_decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            out.extend(u8::try_from(high * 16 + low));
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = after;
        }
    }
}
