//! SEARCH (RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 7162 §3.1.5).

use super::cursor::{Cursor, Stop};
use crate::imap::command::search::DEPTH_MAX;
use crate::imap::command::{Flag, Search, SearchKey, SearchReturn};

/// Keys that one SEARCH may have, so that its tree stays under 1 MiB.
const KEYS_MAX: usize = 4_096;

pub(super) fn search(cursor: &mut Cursor<'_>, uid: bool) -> Result<Search, Stop> {
    let mut search = Search { uid, told: None, charset: None, keys: Vec::new() };
    let mut keys = Keys { left: KEYS_MAX };
    // RETURN and CHARSET come first, in this order; neither is a key.
    let mut word = Keys::word(cursor)?;
    if word == "RETURN" {
        cursor.space()?;
        search.told = Some(return_options(cursor)?);
        cursor.space()?;
        word = Keys::word(cursor)?;
    }
    if word == "CHARSET" {
        cursor.space()?;
        search.charset = Some(cursor.utf8_astring()?);
        cursor.space()?;
        word = Keys::word(cursor)?;
    }
    search.keys.push(keys.key(cursor, &word, 0)?);
    while cursor.eat(b' ') {
        // A space at the end is forgiven.
        if cursor.is_at_end() {
            break;
        }
        let word = Keys::word(cursor)?;
        search.keys.push(keys.key(cursor, &word, 0)?);
    }
    Ok(search)
}

fn return_options(cursor: &mut Cursor<'_>) -> Result<SearchReturn, Stop> {
    cursor.expect(b'(', "expected ( and return options")?;
    let mut told = SearchReturn::default();
    while !cursor.eat(b')') {
        match cursor.word()?.as_str() {
            "MIN" => told.min = true,
            "MAX" => told.max = true,
            "ALL" => told.all = true,
            "COUNT" => told.count = true,
            "SAVE" => told.save = true,
            _ => return Err(Stop::Bad("unknown return option")),
        }
        if cursor.peek() != Some(b')') {
            cursor.space()?;
        }
    }
    // RFC 4731 §3.1: an empty list is ALL.
    if told == SearchReturn::default() {
        told.all = true;
    }
    Ok(told)
}

struct Keys {
    left: usize,
}

impl Keys {
    /// The word that a key begins with; empty where it begins with a set or a parenthesis.
    fn word(cursor: &mut Cursor<'_>) -> Result<String, Stop> {
        match cursor.peek() {
            Some(b'(' | b'*' | b'$' | b'0'..=b'9') => Ok(String::new()),
            _ => cursor.word(),
        }
    }

    fn next(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<SearchKey, Stop> {
        let word = Self::word(cursor)?;
        self.key(cursor, &word, depth)
    }

    fn key(
        &mut self,
        cursor: &mut Cursor<'_>,
        word: &str,
        depth: usize,
    ) -> Result<SearchKey, Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Bad("too many search keys"))?;
        if depth > DEPTH_MAX {
            return Err(Stop::Bad("search keys nested too deep"));
        }
        match word {
            "" if cursor.eat(b'(') => {
                let mut keys = Vec::new();
                loop {
                    keys.push(self.next(cursor, depth + 1)?);
                    if cursor.eat(b')') {
                        return Ok(SearchKey::And(keys));
                    }
                    cursor.space()?;
                }
            }
            "" => cursor.set().map(SearchKey::Msn),
            "NOT" => {
                cursor.space()?;
                Ok(SearchKey::Not(Box::new(self.next(cursor, depth + 1)?)))
            }
            "OR" => {
                cursor.space()?;
                let one = self.next(cursor, depth + 1)?;
                cursor.space()?;
                Ok(SearchKey::Or(Box::new((one, self.next(cursor, depth + 1)?))))
            }
            word => match without_argument(word) {
                Some(key) => Ok(key),
                None => with_argument(cursor, word),
            },
        }
    }
}

fn without_argument(word: &str) -> Option<SearchKey> {
    Some(match word {
        "ALL" => SearchKey::All,
        "ANSWERED" => SearchKey::Has(Flag::Answered),
        "DELETED" => SearchKey::Has(Flag::Deleted),
        "DRAFT" => SearchKey::Has(Flag::Draft),
        "FLAGGED" => SearchKey::Has(Flag::Flagged),
        "SEEN" => SearchKey::Has(Flag::Seen),
        "UNANSWERED" => SearchKey::HasNot(Flag::Answered),
        "UNDELETED" => SearchKey::HasNot(Flag::Deleted),
        "UNDRAFT" => SearchKey::HasNot(Flag::Draft),
        "UNFLAGGED" => SearchKey::HasNot(Flag::Flagged),
        "UNSEEN" => SearchKey::HasNot(Flag::Seen),
        "NEW" => SearchKey::New,
        "OLD" => SearchKey::Old,
        "RECENT" => SearchKey::Recent,
        _ => return None,
    })
}

fn with_argument(cursor: &mut Cursor<'_>, word: &str) -> Result<SearchKey, Stop> {
    match word {
        "BCC" | "BEFORE" | "BODY" | "CC" | "FROM" | "HEADER" | "KEYWORD" | "LARGER" | "MODSEQ"
        | "ON" | "SENTBEFORE" | "SENTON" | "SENTSINCE" | "SINCE" | "SMALLER" | "SUBJECT"
        | "TEXT" | "TO" | "UID" | "UNKEYWORD" => cursor.space()?,
        _ => return Err(Stop::Bad("unknown search key")),
    }
    Ok(match word {
        "KEYWORD" => SearchKey::Has(Flag::Keyword(cursor.atom()?)),
        "UNKEYWORD" => SearchKey::HasNot(Flag::Keyword(cursor.atom()?)),
        "BEFORE" => SearchKey::Before(cursor.date()?),
        "ON" => SearchKey::On(cursor.date()?),
        "SINCE" => SearchKey::Since(cursor.date()?),
        "SENTBEFORE" => SearchKey::SentBefore(cursor.date()?),
        "SENTON" => SearchKey::SentOn(cursor.date()?),
        "SENTSINCE" => SearchKey::SentSince(cursor.date()?),
        "LARGER" => SearchKey::Larger(cursor.number64()?),
        "SMALLER" => SearchKey::Smaller(cursor.number64()?),
        "UID" => SearchKey::Uid(cursor.set()?),
        "MODSEQ" => modseq(cursor)?,
        "BODY" => SearchKey::Body(cursor.astring()?.into_owned()),
        "TEXT" => SearchKey::Text(cursor.astring()?.into_owned()),
        "HEADER" => {
            let name = cursor.astring()?.into_owned();
            cursor.space()?;
            SearchKey::Header { name, value: cursor.astring()?.into_owned() }
        }
        field => {
            let name = field.as_bytes().to_vec();
            SearchKey::Header { name, value: cursor.astring()?.into_owned() }
        }
    })
}

/// RFC 7162 §7: `MODSEQ ["/flags/…" SP ("priv" / "shared" / "all") SP] n`.
fn modseq(cursor: &mut Cursor<'_>) -> Result<SearchKey, Stop> {
    if cursor.peek() == Some(b'"') {
        let entry = cursor.string()?;
        if !entry.starts_with(b"/flags/") {
            return Err(Stop::Bad("expected an entry name like \"/flags/\\\\seen\""));
        }
        cursor.space()?;
        if !matches!(cursor.word()?.as_str(), "PRIV" | "SHARED" | "ALL") {
            return Err(Stop::Bad("expected priv, shared or all"));
        }
        cursor.space()?;
    }
    cursor.number64().map(SearchKey::ModSeq)
}
