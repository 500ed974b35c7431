//! Paths and parameters of MAIL FROM and RCPT TO.

use mail::address::AddressSyntax;
use mail::envelope::{ENVID_BYTES_MAX, ORCPT_BYTES_MAX};
use mail::{BodyType, Notify, Path, Recipient, Ret};

use super::command::Arguments;
use super::{Config, Reply, Sender};

const UNKNOWN: Reply = Reply::of(555, 5, 4, "Parameter not recognised");
const TWICE: Reply = Reply::of(501, 5, 4, "A parameter was given twice");
const VALUE: Reply = Reply::of(501, 5, 4, "Syntax error in a parameter");
const TOO_LARGE: Reply = Reply::of(552, 3, 4, "Message too large");
const NEEDS_UTF8: Reply = Reply::of(553, 6, 7, "This address needs SMTPUTF8");
/// Longest mailbox of MAIL's AUTH= (RFC 4954 §5).
const AUTH_BYTES_MAX: usize = 500;

/// MAIL FROM. Errors are replies.
pub(super) fn sender(arguments: &Arguments<'_>, config: &Config) -> Result<Sender, Reply> {
    let mut sender = Sender {
        path: None,
        size: None,
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
    };
    let mut seen = Seen(0);
    for (keyword, value) in arguments.parameters() {
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => {
                seen.once(0)?;
                sender.size = Some(size(value, config.limits.message_bytes_max)?);
            }
            "BODY" => {
                seen.once(1)?;
                sender.body = body(value)?;
            }
            "SMTPUTF8" => {
                seen.once(2)?;
                // RFC 6531 §3.4: it has no value.
                sender.smtputf8 = if value.is_none() { true } else { return Err(VALUE) };
            }
            // RFC 4954 §5: only from who is trusted to tell, and we trust nobody: it is checked
            // and forgotten, as if it were AUTH=<>.
            "AUTH" if !config.auth.is_empty() => {
                seen.once(3)?;
                value.filter(|text| is_xtext(text, AUTH_BYTES_MAX)).ok_or(VALUE)?;
            }
            "RET" if config.dsn => {
                seen.once(4)?;
                sender.ret = Some(ret(value)?);
            }
            "ENVID" if config.dsn => {
                seen.once(5)?;
                let text = value.filter(|text| is_xtext(text, ENVID_BYTES_MAX)).ok_or(VALUE)?;
                sender.envid = Some(text.to_owned());
            }
            _ => return Err(UNKNOWN),
        }
    }
    if !arguments.path.is_empty() {
        let path = path(arguments.path).map_err(|why| match why {
            BadPath::Route => Reply::of(553, 1, 7, "Source routes are not taken"),
            BadPath::Syntax => Reply::of(553, 1, 7, "Bad sender address syntax"),
        })?;
        // RFC 6531 §3.7.4.1: an address that is not ASCII comes with SMTPUTF8 only.
        if path.needs_smtputf8() && !sender.smtputf8 {
            return Err(NEEDS_UTF8);
        }
        sender.path = Some(path);
    }
    Ok(sender)
}

/// RCPT TO. Errors are replies.
pub(super) fn recipient(
    arguments: &Arguments<'_>,
    smtputf8: bool,
    config: &Config,
) -> Result<Recipient, Reply> {
    // RFC 5321 §4.1.1.3: "postmaster" without a domain, in any case.
    let path = if arguments.path.eq_ignore_ascii_case("postmaster") {
        Path::postmaster(&config.postmaster)
    } else {
        path(arguments.path).map_err(|why| match why {
            // C3: a route asks us to relay.
            BadPath::Route => Reply::of(550, 7, 1, "Source routes are not taken"),
            BadPath::Syntax => Reply::of(553, 1, 3, "Bad recipient address syntax"),
        })?
    };
    if path.needs_smtputf8() && !smtputf8 {
        return Err(NEEDS_UTF8);
    }
    let mut recipient = Recipient::new(path);
    let mut seen = Seen(0);
    for (keyword, value) in arguments.parameters() {
        match keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" if config.dsn => {
                seen.once(0)?;
                recipient.notify = notify(value)?;
            }
            "ORCPT" if config.dsn => {
                seen.once(1)?;
                recipient.orcpt = Some(orcpt(value, smtputf8)?);
            }
            _ => return Err(UNKNOWN),
        }
    }
    Ok(recipient)
}

enum BadPath {
    Route,
    Syntax,
}

fn path(text: &str) -> Result<Path, BadPath> {
    if text.starts_with('@') {
        return Err(BadPath::Route);
    }
    Path::parse(text).map_err(|_: AddressSyntax| BadPath::Syntax)
}

/// Which parameters were given, by number.
struct Seen(u8);

impl Seen {
    const fn once(&mut self, number: u8) -> Result<(), Reply> {
        let bit = 1 << number;
        if self.0 & bit != 0 {
            return Err(TWICE);
        }
        self.0 |= bit;
        Ok(())
    }
}

/// RFC 1870 §6.1: refused now rather than after all of it has come.
fn size(value: Option<&str>, max: u64) -> Result<u64, Reply> {
    let digits =
        value.filter(|v| (1..=20).contains(&v.len()) && v.bytes().all(|b| b.is_ascii_digit()));
    // 20 digits may be too many for 64 bits, and are too large in any case.
    let size = digits.ok_or(VALUE)?.parse().unwrap_or(u64::MAX);
    if size > max { Err(TOO_LARGE) } else { Ok(size) }
}

/// RFC 6152 §3: what the content holds; RFC 3030 §3: BINARYMIME too.
fn body(value: Option<&str>) -> Result<BodyType, Reply> {
    match value.unwrap_or_default().to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        "BINARYMIME" => Ok(BodyType::BinaryMime),
        _ => Err(VALUE),
    }
}

/// RFC 3461 §4.3
fn ret(value: Option<&str>) -> Result<Ret, Reply> {
    match value.unwrap_or_default().to_ascii_uppercase().as_str() {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Headers),
        _ => Err(VALUE),
    }
}

/// RFC 3461 §4.1: NEVER, or a list without it.
fn notify(value: Option<&str>) -> Result<Notify, Reply> {
    let mut notify = Notify::UNSAID;
    for word in value.ok_or(VALUE)?.split(',') {
        let bit = match word.to_ascii_uppercase().as_str() {
            "NEVER" => Notify::NEVER,
            "SUCCESS" => Notify::SUCCESS,
            "FAILURE" => Notify::FAILURE,
            "DELAY" => Notify::DELAY,
            _ => return Err(VALUE),
        };
        notify = notify.with(bit);
    }
    if notify.is_valid() { Ok(notify) } else { Err(VALUE) }
}

/// RFC 3461 §4.2: `type;xtext`. RFC 6533 §3: with SMTPUTF8 an address of type utf-8 may come as it is;
/// it is kept in the form that any server may be told, each other character as `\x{HEX}`.
fn orcpt(value: Option<&str>, smtputf8: bool) -> Result<String, Reply> {
    let value = value.filter(|value| value.len() <= ORCPT_BYTES_MAX).ok_or(VALUE)?;
    let (kind, address) = value.split_once(';').ok_or(VALUE)?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if kind.is_empty() || !kind.bytes().all(word) || address.is_empty() {
        return Err(VALUE);
    }
    let mut kept = format!("{kind};");
    let unicode = smtputf8 && kind.eq_ignore_ascii_case("utf-8");
    for letter in address.chars() {
        if letter.is_ascii() {
            kept.push(letter);
        } else if unicode && !letter.is_control() {
            kept.push_str(&format!("\\x{{{:X}}}", u32::from(letter)));
        } else {
            return Err(VALUE);
        }
    }
    let address = kept.split_once(';').map_or("", |(_, address)| address);
    if is_xtext(address, ORCPT_BYTES_MAX) { Ok(kept) } else { Err(VALUE) }
}

/// RFC 3461 §4: printable ASCII without "=", and "+" only before two upper-case hex digits. What
/// it stands for is text without control characters, so that it can end no line when it is shown (D3);
/// Postfix writes an original recipient's UTF-8 so, with type rfc822.
fn is_xtext(text: &str, max: usize) -> bool {
    let mut said = Vec::with_capacity(text.len().min(max));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let mut hex = || bytes.next().filter(|b| !b.is_ascii_lowercase());
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit(hex()), digit(hex()));
                match high.zip(low).and_then(|(h, l)| u8::try_from(h * 16 + l).ok()) {
                    Some(byte) => said.push(byte),
                    None => return false,
                }
            }
            b'=' => return false,
            0x21..=0x7e => said.push(byte),
            _ => return false,
        }
    }
    let shown = std::str::from_utf8(&said).is_ok_and(|said| !said.chars().any(char::is_control));
    shown && !text.is_empty() && text.len() <= max
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6533 §3.
    #[test]
    fn an_original_recipient_may_be_written_as_it_is_with_smtputf8() {
        let kept = |text, utf8| orcpt(Some(text), utf8);
        let embedded = Ok("utf-8;gr\\x{F6}\\x{DF}e@example.net".to_owned());
        assert_eq!(kept("utf-8;größe@example.net", true), embedded);
        assert_eq!(kept("utf-8;gr\\x{F6}\\x{DF}e@example.net", false), embedded);
        for bad in ["rfc822;größe@example.net", "utf-8;a\u{85}b", "utf-8;ä=b", "utf-8;", "ä;a"]
        {
            assert!(kept(bad, true).is_err(), "{bad}");
        }
        assert!(kept("utf-8;größe@example.net", false).is_err());
        assert!(kept(&format!("utf-8;{}", "ä".repeat(200)), true).is_err());
    }

    #[test]
    fn xtext_is_what_the_rfc_says_and_hides_no_control_characters() {
        for good in ["abc", "a+2Bb", "QQ+3D314159", "+20", "gr+C3+B6+C3+9Fe"] {
            assert!(is_xtext(good, 100), "{good}");
        }
        for bad in
            ["", "a=b", "a+", "a+2", "a+2b", "a+GG", "a+0Ab", "a+00", "a b", "ä", "+FF", "+C2+85"]
        {
            assert!(!is_xtext(bad, 100), "{bad}");
        }
        assert!(!is_xtext("abc", 2));
    }
}
