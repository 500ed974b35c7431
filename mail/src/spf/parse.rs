//! The grammar of a record (RFC 7208 §12).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    Directive, MacroString, Mechanism, Prefixes, Qualifier, RECORD_BYTES_MAX, SpfRecord, SpfSyntax,
};

pub(super) fn record(text: &[u8]) -> Result<SpfRecord, SpfSyntax> {
    if !SpfRecord::is_one(text) {
        return Err(SpfSyntax("version"));
    }
    if text.len() > RECORD_BYTES_MAX {
        return Err(SpfSyntax("length"));
    }
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii());
    let text = text.ok_or(SpfSyntax("not ASCII"))?;
    let mut record = SpfRecord::default();
    let terms = text.get(6..).unwrap_or_default().split(' ').filter(|term| !term.is_empty());
    for term in terms {
        match modifier(term) {
            Some((name, value)) => {
                // RFC 7208 §6: these two at most once, others are ignored, but well-formed.
                let slot = if name.eq_ignore_ascii_case("redirect") {
                    &mut record.redirect
                } else if name.eq_ignore_ascii_case("exp") {
                    &mut record.explanation
                } else {
                    MacroString::parse_any(value)?;
                    continue;
                };
                if slot.is_some() {
                    return Err(SpfSyntax("modifier twice"));
                }
                *slot = Some(MacroString::parse_domain(value)?);
            }
            None => record.directives.push(directive(term)?),
        }
    }
    Ok(record)
}

/// `name=value`, where the name is one.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut letters = name.chars();
    let first = letters.next()?;
    let rest = letters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    (first.is_ascii_alphabetic() && rest).then_some((name, value))
}

fn directive(term: &str) -> Result<Directive, SpfSyntax> {
    let (qualifier, rest) = match term.split_at_checked(1) {
        Some(("+", rest)) => (Qualifier::Pass, rest),
        Some(("-", rest)) => (Qualifier::Fail, rest),
        Some(("~", rest)) => (Qualifier::SoftFail, rest),
        Some(("?", rest)) => (Qualifier::Neutral, rest),
        _ => (Qualifier::Pass, term),
    };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, argument) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if argument.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(required(argument)?),
        "exists" => Mechanism::Exists(required(argument)?),
        "a" => {
            let (domain, prefixes) = domain_and_prefixes(argument)?;
            Mechanism::A(domain, prefixes)
        }
        "mx" => {
            let (domain, prefixes) = domain_and_prefixes(argument)?;
            Mechanism::Mx(domain, prefixes)
        }
        "ptr" if argument.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(required(argument)?)),
        "ip4" => {
            let (address, prefix) = network(argument, 32)?;
            let address: Ipv4Addr = address.parse().map_err(|_| SpfSyntax("ip4"))?;
            Mechanism::Ip4(address, prefix)
        }
        "ip6" => {
            let (address, prefix) = network(argument, 128)?;
            let address: Ipv6Addr = address.parse().map_err(|_| SpfSyntax("ip6"))?;
            Mechanism::Ip6(address, prefix)
        }
        _ => return Err(SpfSyntax("mechanism")),
    };
    Ok(Directive { qualifier, mechanism })
}

/// `:domain-spec`, and nothing else.
fn required(argument: &str) -> Result<MacroString, SpfSyntax> {
    MacroString::parse_domain(argument.strip_prefix(':').ok_or(SpfSyntax("domain"))?)
}

/// `:address[/prefix]`
fn network(argument: &str, most: u8) -> Result<(&str, u8), SpfSyntax> {
    let argument = argument.strip_prefix(':').ok_or(SpfSyntax("address"))?;
    match argument.split_once('/') {
        Some((address, digits)) => Ok((address, prefix(digits, most)?)),
        None => Ok((argument, most)),
    }
}

/// `[:domain-spec][/v4][//v6]`
fn domain_and_prefixes(argument: &str) -> Result<(Option<MacroString>, Prefixes), SpfSyntax> {
    let mut prefixes = Prefixes { v4: 32, v6: 128 };
    let mut rest = argument;
    // A "/" may stand in the macro string too, so lengths are read from the end.
    if let Some((before, digits)) = rest.rsplit_once("//")
        && is_number(digits)
    {
        prefixes.v6 = prefix(digits, 128)?;
        rest = before;
    }
    if let Some((before, digits)) = rest.rsplit_once('/')
        && is_number(digits)
    {
        prefixes.v4 = prefix(digits, 32)?;
        rest = before;
    }
    let domain = match rest {
        "" => None,
        some => Some(required(some)?),
    };
    Ok((domain, prefixes))
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn prefix(digits: &str, most: u8) -> Result<u8, SpfSyntax> {
    let wrong = SpfSyntax("prefix length");
    if !is_number(digits) || (digits.len() > 1 && digits.starts_with('0')) {
        return Err(wrong);
    }
    digits.parse().ok().filter(|length| *length <= most).ok_or(wrong)
}
