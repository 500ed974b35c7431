//! FETCH (RFC 9051 §6.4.5, RFC 7162 §3.1.4 and §3.2.6).

use std::num::NonZeroU32;

use super::cursor::{Cursor, Stop};
use crate::imap::command::{Fetch, FetchItem, Partial, Section, SectionText};

/// Items that one FETCH may name.
const ITEMS_MAX: usize = 1_000;
/// Numbers of a part: as deep as a structure may be.
const PART_MAX: usize = 100;
/// Header fields that one FETCH may name, in all its sections (I8).
const FIELDS_MAX: usize = 1_000;

pub(super) fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Result<Fetch, Stop> {
    let set = cursor.set()?;
    cursor.space()?;
    let items = items(cursor)?;
    let mut fetch = Fetch { uid, set, items, changed_since: None, vanished: false };
    if cursor.eat(b' ') {
        cursor.expect(b'(', "expected ( and modifiers")?;
        loop {
            match cursor.word()?.as_str() {
                "CHANGEDSINCE" if fetch.changed_since.is_none() => {
                    cursor.space()?;
                    fetch.changed_since = Some(cursor.number64()?);
                }
                "VANISHED" => fetch.vanished = true,
                _ => return Err(Stop::Bad("unknown modifier")),
            }
            if cursor.eat(b')') {
                break;
            }
            cursor.space()?;
        }
    }
    // RFC 7162 §3.2.6: VANISHED only with UID FETCH and CHANGEDSINCE.
    if fetch.vanished && (!uid || fetch.changed_since.is_none()) {
        return Err(Stop::Bad("VANISHED is for UID FETCH with CHANGEDSINCE"));
    }
    Ok(fetch)
}

fn items(cursor: &mut Cursor<'_>) -> Result<Vec<FetchItem>, Stop> {
    let mut fields_left = FIELDS_MAX;
    if !cursor.eat(b'(') {
        let word = cursor.word()?;
        let fast = vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size];
        return Ok(match word.as_str() {
            "FAST" => fast,
            "ALL" => [fast, vec![FetchItem::Envelope]].concat(),
            "FULL" => [fast, vec![FetchItem::Envelope, FetchItem::Body]].concat(),
            word => vec![item(cursor, word, &mut fields_left)?],
        });
    }
    let mut items = Vec::new();
    loop {
        let word = cursor.word()?;
        items.push(item(cursor, &word, &mut fields_left)?);
        if items.len() > ITEMS_MAX {
            return Err(Stop::Bad("too many items"));
        }
        if cursor.eat(b')') {
            return Ok(items);
        }
        cursor.space()?;
    }
}

fn item(cursor: &mut Cursor<'_>, word: &str, fields_left: &mut usize) -> Result<FetchItem, Stop> {
    let bracket = cursor.peek() == Some(b'[');
    Ok(match word {
        "ENVELOPE" => FetchItem::Envelope,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822.SIZE" => FetchItem::Size,
        "UID" => FetchItem::Uid,
        "MODSEQ" => FetchItem::ModSeq,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "RFC822" => FetchItem::Rfc822,
        "RFC822.HEADER" => FetchItem::Rfc822Header,
        "RFC822.TEXT" => FetchItem::Rfc822Text,
        "BODY" if !bracket => FetchItem::Body,
        "BODY" | "BODY.PEEK" => {
            let section = section(cursor, fields_left)?;
            let peek = word != "BODY";
            FetchItem::Section { section, partial: partial(cursor)?, peek }
        }
        "BINARY" | "BINARY.PEEK" => {
            let part = only_part(cursor)?;
            let peek = word != "BINARY";
            FetchItem::Binary { part, partial: partial(cursor)?, peek }
        }
        "BINARY.SIZE" => FetchItem::BinarySize { part: only_part(cursor)? },
        _ => return Err(Stop::Bad("unknown item to fetch")),
    })
}

/// `[1.2.3]` of BINARY.
fn only_part(cursor: &mut Cursor<'_>) -> Result<Vec<NonZeroU32>, Stop> {
    cursor.expect(b'[', "expected [")?;
    if cursor.eat(b']') {
        return Ok(Vec::new());
    }
    let (part, dot) = numbers(cursor)?;
    if dot {
        return Err(Stop::Bad("expected a part's number"));
    }
    cursor.expect(b']', "expected ]")?;
    Ok(part)
}

/// Numbers with dots between them; whether a dot is behind the last.
fn numbers(cursor: &mut Cursor<'_>) -> Result<(Vec<NonZeroU32>, bool), Stop> {
    let mut part = Vec::new();
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        if part.len() == PART_MAX {
            return Err(Stop::Bad("a part too deep"));
        }
        part.push(cursor.nonzero()?);
        if !cursor.eat(b'.') {
            return Ok((part, false));
        }
    }
    Ok((part, true))
}

/// RFC 9051 §9 `section`.
fn section(cursor: &mut Cursor<'_>, fields_left: &mut usize) -> Result<Section, Stop> {
    cursor.expect(b'[', "expected [")?;
    if cursor.eat(b']') {
        return Ok(Section::default());
    }
    let (part, more) = numbers(cursor)?;
    let text = if more {
        match cursor.word()?.as_str() {
            "HEADER" => SectionText::Header,
            "HEADER.FIELDS" => SectionText::HeaderFields(fields(cursor, fields_left)?),
            "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(fields(cursor, fields_left)?),
            "TEXT" => SectionText::Text,
            "MIME" if !part.is_empty() => SectionText::Mime,
            _ => return Err(Stop::Bad("unknown section")),
        }
    } else {
        SectionText::Whole
    };
    cursor.expect(b']', "expected ]")?;
    Ok(Section { part, text })
}

fn fields(cursor: &mut Cursor<'_>, left: &mut usize) -> Result<Vec<Vec<u8>>, Stop> {
    cursor.space()?;
    cursor.expect(b'(', "expected ( and names of header fields")?;
    let mut fields = Vec::new();
    loop {
        *left = left.checked_sub(1).ok_or(Stop::Bad("too many header fields"))?;
        fields.push(cursor.astring()?.into_owned());
        if cursor.eat(b')') {
            return Ok(fields);
        }
        cursor.space()?;
    }
}

fn partial(cursor: &mut Cursor<'_>) -> Result<Option<Partial>, Stop> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let start = cursor.number64()?;
    cursor.expect(b'.', "expected . and how many octets")?;
    let count = cursor.number64()?;
    cursor.expect(b'>', "expected >")?;
    if count == 0 {
        return Err(Stop::Bad("at least one octet"));
    }
    Ok(Some(Partial { start, count }))
}
