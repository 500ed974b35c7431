//! LIST, LSUB, STATUS's items and CREATE (RFC 9051 §6.3, RFC 5258, RFC 5819, RFC 6154).

use super::cursor::{Cursor, Stop};
use crate::imap::command::{
    Body, List, ListReturn, ListSelect, MailboxName, SpecialUse, StatusItem, decode_name,
};

/// Patterns that one LIST may have.
const PATTERNS_MAX: usize = 100;

pub(super) fn list(cursor: &mut Cursor<'_>) -> Result<List, Stop> {
    let mut extended = false;
    let mut select = ListSelect::default();
    if cursor.eat(b'(') {
        extended = true;
        select = selection(cursor)?;
        cursor.space()?;
    }
    let reference = name(cursor)?;
    cursor.space()?;
    let patterns = if cursor.eat(b'(') {
        extended = true;
        patterns(cursor)?
    } else {
        vec![pattern(cursor)?]
    };
    let mut told = ListReturn::default();
    if cursor.eat(b' ') {
        extended = true;
        if cursor.word()? != "RETURN" {
            return Err(Stop::Bad("expected RETURN"));
        }
        cursor.space()?;
        told = return_options(cursor)?;
    }
    Ok(List { reference, patterns, select, told, extended })
}

pub(super) fn lsub(cursor: &mut Cursor<'_>) -> Result<Body, Stop> {
    let reference = name(cursor)?;
    cursor.space()?;
    Ok(Body::Lsub { reference, pattern: pattern(cursor)? })
}

/// A reference: like a mailbox name, but may be empty.
fn name(cursor: &mut Cursor<'_>) -> Result<String, Stop> {
    let text = cursor.astring()?;
    Ok(bounded(cursor, &text))
}

fn pattern(cursor: &mut Cursor<'_>) -> Result<String, Stop> {
    let text = cursor.pattern()?;
    Ok(bounded(cursor, &text))
}

fn bounded(cursor: &mut Cursor<'_>, text: &[u8]) -> String {
    let good =
        |name: &String| name.len() <= MailboxName::BYTES_MAX && !name.chars().any(char::is_control);
    decode_name(text, cursor.style).filter(good).unwrap_or_else(|| {
        cursor.refused.get_or_insert(Stop::Name);
        String::new()
    })
}

fn patterns(cursor: &mut Cursor<'_>) -> Result<Vec<String>, Stop> {
    let mut patterns = Vec::new();
    loop {
        patterns.push(pattern(cursor)?);
        if patterns.len() > PATTERNS_MAX {
            return Err(Stop::Bad("too many patterns"));
        }
        if cursor.eat(b')') {
            return Ok(patterns);
        }
        cursor.space()?;
    }
}

fn selection(cursor: &mut Cursor<'_>) -> Result<ListSelect, Stop> {
    let mut select = ListSelect::default();
    while !cursor.eat(b')') {
        match cursor.word()?.as_str() {
            "SUBSCRIBED" => select.subscribed = true,
            "REMOTE" => select.remote = true,
            "RECURSIVEMATCH" => select.recursive_match = true,
            "SPECIAL-USE" => select.special_use = true,
            _ => return Err(Stop::Bad("unknown selection option")),
        }
        if cursor.peek() != Some(b')') {
            cursor.space()?;
        }
    }
    // RFC 5258 §3.1: not alone, nor with REMOTE only.
    if select.recursive_match && !select.subscribed && !select.special_use {
        return Err(Stop::Bad("RECURSIVEMATCH needs another selection option"));
    }
    Ok(select)
}

fn return_options(cursor: &mut Cursor<'_>) -> Result<ListReturn, Stop> {
    cursor.expect(b'(', "expected ( and return options")?;
    let mut told = ListReturn::default();
    while !cursor.eat(b')') {
        match cursor.word()?.as_str() {
            "SUBSCRIBED" => told.subscribed = true,
            "CHILDREN" => told.children = true,
            "SPECIAL-USE" => told.special_use = true,
            "STATUS" => {
                cursor.space()?;
                told.status = status_items(cursor)?;
            }
            _ => return Err(Stop::Bad("unknown return option")),
        }
        if cursor.peek() != Some(b')') {
            cursor.space()?;
        }
    }
    Ok(told)
}

/// `(MESSAGES …)`, each once.
pub(super) fn status_items(cursor: &mut Cursor<'_>) -> Result<Vec<StatusItem>, Stop> {
    cursor.expect(b'(', "expected ( and status items")?;
    let mut items = Vec::new();
    loop {
        let word = cursor.word()?;
        let item = StatusItem::EACH.iter().find(|(_, name)| *name == word);
        let (item, _) = item.ok_or(Stop::Bad("unknown status item"))?;
        if !items.contains(item) {
            items.push(*item);
        }
        if cursor.eat(b')') {
            return Ok(items);
        }
        cursor.space()?;
    }
}

/// CREATE with `(USE (\Sent …))` (RFC 6154 §3).
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Body, Stop> {
    let name = cursor.astring()?;
    // RFC 9051 §6.3.4: a separator at the end only says that there will be names below it.
    let name = name.strip_suffix(b"/").unwrap_or(&name);
    let mailbox = cursor.mailbox_of(name);
    let mut special_use = Vec::new();
    if cursor.eat(b' ') {
        cursor.expect(b'(', "expected ( and parameters")?;
        if cursor.word()? != "USE" {
            return Err(Stop::Bad("unknown parameter"));
        }
        cursor.space()?;
        cursor.expect(b'(', "expected ( and special uses")?;
        while !cursor.eat(b')') {
            match special(cursor)? {
                Some(which) if special_use.contains(&which) => {}
                Some(which) => special_use.push(which),
                None => {
                    cursor.refused.get_or_insert(Stop::Use);
                }
            }
            if cursor.peek() != Some(b')') {
                cursor.space()?;
            }
        }
        cursor.expect(b')', "expected )")?;
    }
    Ok(Body::Create { mailbox, special_use })
}

/// A special use; `None`: one that we do not have.
fn special(cursor: &mut Cursor<'_>) -> Result<Option<SpecialUse>, Stop> {
    cursor.expect(b'\\', "expected a special use")?;
    let word = cursor.atom()?;
    let named = |(_, name): &&(SpecialUse, &str)| {
        name.strip_prefix('\\').is_some_and(|name| name.eq_ignore_ascii_case(&word))
    };
    Ok(SpecialUse::EACH.iter().find(named).map(|(which, _)| *which))
}
