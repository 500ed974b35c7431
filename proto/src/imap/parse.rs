//! From bytes to a [`Command`]: total, linear, and bounded by the bytes it is given.
//!
//! Lines and literals are put together before (`frame`), so this parser sees a command as one
//! slice in which literals stand after their `{n}`. It may also be shown the beginning of a command
//! that ends with a literal's `{n}`: then it tells whether all before it is good, so that a wrong
//! command gets BAD and not a continuation, and finds an APPEND before its message.

mod cursor;
mod fetch;
mod list;
mod search;
mod value;

use super::command::{Body, Command, Copy, Qresync, Select, Store, StoreHow, Tag};
use super::response::Style;
use crate::sasl;
use cursor::{Cursor, Stop};

/// Fields of ID that are taken (RFC 2971 §3.3).
const ID_FIELDS_MAX: usize = 30;
/// Capabilities that one ENABLE may name.
const ENABLE_MAX: usize = 64;

/// What bytes were.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A whole command, or an APPEND whose message is next.
    Command(Command),
    /// A good beginning: a literal's octets are next.
    Incomplete,
}

/// Bytes that are no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct SyntaxError {
    /// For the tagged response; `None`: there was no tag, the response is untagged.
    pub(crate) tag: Option<Tag>,
    /// How to answer.
    pub(crate) kind: ErrorKind,
    /// What was expected.
    pub(crate) what: &'static str,
}

/// How a bad command is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// BAD
    Syntax,
    /// NO [CANNOT]: a name that cannot be a mailbox's.
    Name,
    /// NO [USEATTR]: a special use that we do not have (RFC 6154 §3).
    Use,
}

/// Parses a command without its last line end; or, if it is not `whole`, its beginning up to and
/// with the line end after a literal's `{n}`.
pub(crate) fn parse(bytes: &[u8], whole: bool, style: Style) -> Result<Parsed, SyntaxError> {
    let mut cursor = Cursor::new(bytes, whole, style);
    let tag = cursor.tag().map_err(|_| SyntaxError {
        tag: None,
        kind: ErrorKind::Syntax,
        what: "expected a tag, a space and a command",
    })?;
    let fail = |kind, what| Err(SyntaxError { tag: Some(tag.clone()), kind, what });
    // Syntax comes first: BAD, where there is a reason for both.
    let body = body(&mut cursor, &tag).and_then(|body| cursor.refused.map_or(Ok(body), Err));
    match body {
        Ok(body) => Ok(Parsed::Command(Command { tag, body })),
        Err(Stop::Need) => Ok(Parsed::Incomplete),
        Err(Stop::Bad(what)) => fail(ErrorKind::Syntax, what),
        Err(Stop::Name) => fail(ErrorKind::Name, "not a mailbox name"),
        Err(Stop::Use) => fail(ErrorKind::Use, "no such special use"),
    }
}

/// The tag of whatever this is the beginning of.
pub(crate) fn tag_of(bytes: &[u8]) -> Option<Tag> {
    Cursor::new(bytes, true, Style::default()).tag().ok()
}

fn body(cursor: &mut Cursor<'_>, tag: &Tag) -> Result<Body, Stop> {
    let word = cursor.word()?;
    let simple = |cursor: &mut Cursor<'_>, body| cursor.end().map(|()| body);
    match word.as_str() {
        "CAPABILITY" => simple(cursor, Body::Capability),
        "NOOP" => simple(cursor, Body::Noop),
        "LOGOUT" => simple(cursor, Body::Logout),
        "STARTTLS" => simple(cursor, Body::StartTls),
        "IDLE" => simple(cursor, Body::Idle),
        "NAMESPACE" => simple(cursor, Body::Namespace),
        "CHECK" => simple(cursor, Body::Check),
        "CLOSE" => simple(cursor, Body::Close),
        "UNSELECT" => simple(cursor, Body::Unselect),
        "EXPUNGE" => simple(cursor, Body::Expunge { uids: None }),
        _ => {
            cursor.space()?;
            let body = with_arguments(cursor, &word, tag)?;
            // An APPEND ends at its literal.
            if !matches!(body, Body::Append(_)) {
                cursor.end()?;
            }
            Ok(body)
        }
    }
}

fn with_arguments(cursor: &mut Cursor<'_>, word: &str, tag: &Tag) -> Result<Body, Stop> {
    Ok(match word {
        "ID" => id(cursor)?,
        "ENABLE" => enable(cursor)?,
        "LOGIN" => login(cursor)?,
        "AUTHENTICATE" => authenticate(cursor)?,
        "SELECT" => Body::Select(select(cursor, false)?),
        "EXAMINE" => Body::Select(select(cursor, true)?),
        "CREATE" => list::create(cursor)?,
        "DELETE" => Body::Delete(cursor.mailbox()?),
        "RENAME" => {
            let from = cursor.mailbox()?;
            cursor.space()?;
            Body::Rename { from, to: cursor.mailbox()? }
        }
        "SUBSCRIBE" => Body::Subscribe(cursor.mailbox()?),
        "UNSUBSCRIBE" => Body::Unsubscribe(cursor.mailbox()?),
        "LIST" => Body::List(list::list(cursor)?),
        "LSUB" => list::lsub(cursor)?,
        "STATUS" => {
            let mailbox = cursor.mailbox()?;
            cursor.space()?;
            Body::Status { mailbox, items: list::status_items(cursor)? }
        }
        "APPEND" => Body::Append(value::append(cursor, tag)?),
        "GETQUOTA" => Body::GetQuota(cursor.utf8_astring()?),
        "GETQUOTAROOT" => Body::GetQuotaRoot(cursor.mailbox()?),
        "UID" => {
            let word = cursor.word()?;
            cursor.space()?;
            match word.as_str() {
                "EXPUNGE" => Body::Expunge { uids: Some(cursor.set()?) },
                word => on_messages(cursor, word, true)?,
            }
        }
        word => on_messages(cursor, word, false)?,
    })
}

fn on_messages(cursor: &mut Cursor<'_>, word: &str, uid: bool) -> Result<Body, Stop> {
    Ok(match word {
        "SEARCH" => Body::Search(search::search(cursor, uid)?),
        "FETCH" => Body::Fetch(fetch::fetch(cursor, uid)?),
        "STORE" => Body::Store(store(cursor, uid)?),
        "COPY" => Body::Copy(copy(cursor, uid, false)?),
        "MOVE" => Body::Copy(copy(cursor, uid, true)?),
        _ => return Err(Stop::Bad("unknown command")),
    })
}

/// RFC 2971 §3.1: `NIL` or a list of field and value.
fn id(cursor: &mut Cursor<'_>) -> Result<Body, Stop> {
    let mut fields = Vec::new();
    if cursor.nil() {
        return Ok(Body::Id(fields));
    }
    cursor.expect(b'(', "expected NIL or a list")?;
    while !cursor.eat(b')') {
        if !fields.is_empty() {
            cursor.space()?;
        }
        if fields.len() == ID_FIELDS_MAX {
            return Err(Stop::Bad("at most 30 fields"));
        }
        let name = String::from_utf8_lossy(&cursor.string()?).into_owned();
        cursor.space()?;
        fields.push((name, cursor.nstring()?));
    }
    Ok(Body::Id(fields))
}

/// RFC 5161 §3.1.
fn enable(cursor: &mut Cursor<'_>) -> Result<Body, Stop> {
    let mut names = vec![cursor.atom()?.to_ascii_uppercase()];
    while cursor.eat(b' ') {
        if names.len() == ENABLE_MAX {
            return Err(Stop::Bad("too many capabilities"));
        }
        names.push(cursor.atom()?.to_ascii_uppercase());
    }
    Ok(Body::Enable(names))
}

fn login(cursor: &mut Cursor<'_>) -> Result<Body, Stop> {
    let user = cursor.utf8_astring()?;
    if user.len() > sasl::NAME_BYTES_MAX {
        return Err(Stop::Bad("user name too long"));
    }
    cursor.space()?;
    let password = sasl::Password::new(cursor.utf8_astring()?);
    Ok(Body::Login { user, password })
}

/// RFC 4959 §3: the initial response is base64, or `=` for an empty one.
fn authenticate(cursor: &mut Cursor<'_>) -> Result<Body, Stop> {
    let mechanism = cursor.atom()?.to_ascii_uppercase();
    let initial = if cursor.eat(b' ') {
        match sasl::Response::parse_initial(cursor.rest()) {
            sasl::Response::Data(data) => Some(data),
            sasl::Response::Abort | sasl::Response::Malformed => {
                return Err(Stop::Bad("initial response is not base64"));
            }
        }
    } else {
        None
    };
    Ok(Body::Authenticate { mechanism, initial })
}

/// RFC 9051 §6.3.2 with the parameters of RFC 7162 §3.1.8 and §3.2.5.
fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Result<Select, Stop> {
    let mut select =
        Select { mailbox: cursor.mailbox()?, read_only, condstore: false, qresync: None };
    if !cursor.eat(b' ') {
        return Ok(select);
    }
    cursor.expect(b'(', "expected ( and parameters")?;
    loop {
        match cursor.word()?.as_str() {
            "CONDSTORE" => select.condstore = true,
            "QRESYNC" if select.qresync.is_none() => {
                cursor.space()?;
                select.qresync = Some(qresync(cursor)?);
            }
            _ => return Err(Stop::Bad("unknown parameter")),
        }
        if cursor.eat(b')') {
            return Ok(select);
        }
        cursor.space()?;
    }
}

/// RFC 7162 §7 `select-param`: `(uidvalidity modseq [known-uids] [(msns uids)])`.
fn qresync(cursor: &mut Cursor<'_>) -> Result<Qresync, Stop> {
    cursor.expect(b'(', "expected ( after QRESYNC")?;
    let uid_validity = cursor.nonzero()?;
    cursor.space()?;
    let modseq = cursor.number64()?;
    if modseq == 0 {
        return Err(Stop::Bad("a modseq of QRESYNC is at least 1"));
    }
    let mut qresync = Qresync { uid_validity, modseq, known_uids: None, known_pairs: None };
    let mut more = cursor.eat(b' ');
    if more && cursor.peek() != Some(b'(') {
        qresync.known_uids = Some(cursor.known_set()?);
        more = cursor.eat(b' ');
    }
    if more {
        cursor.expect(b'(', "expected ( and two sets")?;
        let numbers = cursor.known_set()?;
        cursor.space()?;
        let uids = cursor.known_set()?;
        // RFC 7162 §3.2.5.2: they belong together one by one.
        if numbers.count() != uids.count() {
            return Err(Stop::Bad("as many sequence numbers as UIDs"));
        }
        qresync.known_pairs = Some((numbers, uids));
        cursor.expect(b')', "expected ) after two sets")?;
    }
    cursor.expect(b')', "expected ) after QRESYNC")?;
    Ok(qresync)
}

/// RFC 9051 §6.4.6, RFC 7162 §3.1.3.
fn store(cursor: &mut Cursor<'_>, uid: bool) -> Result<Store, Stop> {
    let set = cursor.set()?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.eat(b'(') {
        if cursor.word()? != "UNCHANGEDSINCE" {
            return Err(Stop::Bad("unknown modifier"));
        }
        cursor.space()?;
        unchanged_since = Some(cursor.number64()?);
        cursor.expect(b')', "expected ) after the modifier")?;
        cursor.space()?;
    }
    let how = match cursor.peek() {
        Some(b'+') => StoreHow::Add,
        Some(b'-') => StoreHow::Remove,
        _ => StoreHow::Replace,
    };
    if how != StoreHow::Replace {
        cursor.skip();
    }
    let silent = match cursor.word()?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(Stop::Bad("expected FLAGS")),
    };
    cursor.space()?;
    let flags = if cursor.peek() == Some(b'(') { cursor.flag_list()? } else { cursor.flags()? };
    Ok(Store { uid, set, unchanged_since, how, silent, flags })
}

fn copy(cursor: &mut Cursor<'_>, uid: bool, and_expunge: bool) -> Result<Copy, Stop> {
    let set = cursor.set()?;
    cursor.space()?;
    Ok(Copy { uid, and_expunge, set, mailbox: cursor.mailbox()? })
}
