//! Writes a command back as a client would: the other direction of the parser.

use std::fmt::Write as _;

use proto::imap::command::{
    Body, Command, DateTime, Fetch, FetchItem, Flag, List, MailboxName, Partial, Qresync, Search,
    SearchKey, SearchReturn, Section, SectionText, Select, Set, SetNumber, SpecialUse, StatusItem,
    Store, StoreHow,
};
use proto::imap::{Append, command::Date};

/// The canonical text of a command, without its line end.
pub(crate) fn command(command: &Command) -> String {
    format!("{} {}", command.tag, body(&command.body))
}

pub(crate) fn body(body: &Body) -> String {
    match body {
        Body::Capability => "CAPABILITY".into(),
        Body::Logout => "LOGOUT".into(),
        Body::StartTls => "STARTTLS".into(),
        Body::Noop => "NOOP".into(),
        Body::Idle => "IDLE".into(),
        Body::Namespace => "NAMESPACE".into(),
        Body::Check => "CHECK".into(),
        Body::Close => "CLOSE".into(),
        Body::Unselect => "UNSELECT".into(),
        Body::Id(_) => "ID NIL".into(),
        Body::Enable(names) => format!("ENABLE {}", names.join(" ")),
        Body::Authenticate { mechanism, .. } => format!("AUTHENTICATE {mechanism}"),
        Body::Login { user, password } => {
            format!("LOGIN {} {}", string(user.as_bytes()), string(password.reveal().as_bytes()))
        }
        Body::Append(it) => append(it),
        Body::Select(it) => select(it),
        Body::Create { mailbox, special_use } if special_use.is_empty() => {
            format!("CREATE {}", name(mailbox))
        }
        Body::Create { mailbox, special_use } => {
            let uses: Vec<_> = special_use.iter().map(|which| attribute(*which)).collect();
            format!("CREATE {} (USE ({}))", name(mailbox), uses.join(" "))
        }
        Body::Delete(mailbox) => format!("DELETE {}", name(mailbox)),
        Body::Rename { from, to } => format!("RENAME {} {}", name(from), name(to)),
        Body::Subscribe(mailbox) => format!("SUBSCRIBE {}", name(mailbox)),
        Body::Unsubscribe(mailbox) => format!("UNSUBSCRIBE {}", name(mailbox)),
        Body::List(it) => list(it),
        Body::Lsub { reference, pattern } => {
            format!("LSUB {} {}", string(reference.as_bytes()), string(pattern.as_bytes()))
        }
        Body::Status { mailbox, items } => format!("STATUS {} {}", name(mailbox), status(items)),
        Body::GetQuota(root) => format!("GETQUOTA {}", string(root.as_bytes())),
        Body::GetQuotaRoot(mailbox) => format!("GETQUOTAROOT {}", name(mailbox)),
        Body::Expunge { uids: None } => "EXPUNGE".into(),
        Body::Expunge { uids: Some(uids) } => format!("UID EXPUNGE {}", set(uids)),
        Body::Search(it) => search(it),
        Body::Fetch(it) => fetch(it),
        Body::Store(it) => store(it),
        Body::Copy(it) => {
            let word = if it.and_expunge { "MOVE" } else { "COPY" };
            format!("{}{word} {} {}", uid(it.uid), set(&it.set), name(&it.mailbox))
        }
    }
}

fn uid(uid: bool) -> &'static str {
    if uid { "UID " } else { "" }
}

fn name(name: &MailboxName) -> String {
    string(name.as_str().as_bytes())
}

/// Quoted where that is possible, else a non-synchronizing literal.
fn string(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return format!("{{{}+}}\r\n{text}", bytes.len());
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn attribute(which: SpecialUse) -> &'static str {
    SpecialUse::EACH.iter().find(|(each, _)| *each == which).unwrap().1
}

fn set(set: &Set) -> String {
    let Set::Ranges(ranges) = set else { return "$".into() };
    let number = |number| match number {
        SetNumber::Value(value) => value.to_string(),
        SetNumber::Last => "*".into(),
    };
    let range = |range: &proto::imap::command::SetRange| {
        if range.from == range.to {
            number(range.from)
        } else {
            format!("{}:{}", number(range.from), number(range.to))
        }
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

fn flag(flag: &Flag) -> String {
    match flag {
        Flag::Keyword(name) => name.clone(),
        system => format!("\\{system:?}"),
    }
}

fn flags(flags: &[Flag]) -> String {
    format!("({})", flags.iter().map(flag).collect::<Vec<_>>().join(" "))
}

pub(crate) fn append(it: &Append) -> String {
    let mut text = format!("APPEND {}", name(&it.mailbox));
    if !it.flags.is_empty() {
        write!(text, " {}", flags(&it.flags)).unwrap();
    }
    if let Some(DateTime { at, offset_minutes }) = it.date {
        write!(text, " <{} {offset_minutes:+}>", at.seconds()).unwrap();
    }
    let tilde = if it.binary { "~" } else { "" };
    write!(text, " {tilde}{{{}}}", it.size).unwrap();
    text
}

fn select(it: &Select) -> String {
    let word = if it.read_only { "EXAMINE" } else { "SELECT" };
    let mut params = Vec::new();
    if it.condstore {
        params.push("CONDSTORE".to_owned());
    }
    if let Some(Qresync { uid_validity, modseq, known_uids, known_pairs }) = &it.qresync {
        let mut text = format!("QRESYNC ({uid_validity} {modseq}");
        if let Some(uids) = known_uids {
            write!(text, " {}", set(uids)).unwrap();
        }
        if let Some((numbers, uids)) = known_pairs {
            write!(text, " ({} {})", set(numbers), set(uids)).unwrap();
        }
        params.push(text + ")");
    }
    let params = if params.is_empty() { String::new() } else { format!(" ({})", params.join(" ")) };
    format!("{word} {}{params}", name(&it.mailbox))
}

fn status(items: &[StatusItem]) -> String {
    let name =
        |item: &StatusItem| StatusItem::EACH.iter().find(|(each, _)| each == item).unwrap().1;
    format!("({})", items.iter().map(name).collect::<Vec<_>>().join(" "))
}

/// The words whose flag is set.
fn words(words: &[(bool, &'static str)]) -> Vec<String> {
    words.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect()
}

fn list(it: &List) -> String {
    let mut text = "LIST ".to_owned();
    let select = words(&[
        (it.select.subscribed, "SUBSCRIBED"),
        (it.select.remote, "REMOTE"),
        (it.select.recursive_match, "RECURSIVEMATCH"),
        (it.select.special_use, "SPECIAL-USE"),
    ]);
    if it.extended {
        write!(text, "({}) ", select.join(" ")).unwrap();
    }
    write!(text, "{} ", string(it.reference.as_bytes())).unwrap();
    let patterns: Vec<_> = it.patterns.iter().map(|it| string(it.as_bytes())).collect();
    let patterns = patterns.join(" ");
    text += &if it.extended { format!("({patterns})") } else { patterns };
    let mut told = words(&[
        (it.told.subscribed, "SUBSCRIBED"),
        (it.told.children, "CHILDREN"),
        (it.told.special_use, "SPECIAL-USE"),
    ]);
    if !it.told.status.is_empty() {
        told.push(format!("STATUS {}", status(&it.told.status)));
    }
    if it.extended && !told.is_empty() {
        write!(text, " RETURN ({})", told.join(" ")).unwrap();
    }
    text
}

fn date(date: Date) -> String {
    let month =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            [usize::from(date.month) - 1];
    format!("{}-{month}-{:04}", date.day, date.year)
}

fn search(it: &Search) -> String {
    let mut text = format!("{}SEARCH", uid(it.uid));
    if let Some(SearchReturn { min, max, all, count, save }) = it.told {
        let told =
            words(&[(min, "MIN"), (max, "MAX"), (all, "ALL"), (count, "COUNT"), (save, "SAVE")]);
        write!(text, " RETURN ({})", told.join(" ")).unwrap();
    }
    if let Some(charset) = &it.charset {
        write!(text, " CHARSET {}", string(charset.as_bytes())).unwrap();
    }
    for it in &it.keys {
        write!(text, " {}", key(it)).unwrap();
    }
    text
}

fn key(it: &SearchKey) -> String {
    let quoted = |word: &str, value: &[u8]| format!("{word} {}", string(value));
    match it {
        SearchKey::All => "ALL".into(),
        SearchKey::And(keys) => {
            format!("({})", keys.iter().map(key).collect::<Vec<_>>().join(" "))
        }
        SearchKey::Or(pair) => format!("OR {} {}", key(&pair.0), key(&pair.1)),
        SearchKey::Not(inner) => format!("NOT {}", key(inner)),
        SearchKey::Msn(numbers) => set(numbers),
        SearchKey::Uid(uids) => format!("UID {}", set(uids)),
        SearchKey::Has(Flag::Keyword(word)) => format!("KEYWORD {word}"),
        SearchKey::HasNot(Flag::Keyword(word)) => format!("UNKEYWORD {word}"),
        SearchKey::Has(flag) => format!("{flag:?}").to_uppercase(),
        SearchKey::HasNot(flag) => format!("UN{flag:?}").to_uppercase(),
        SearchKey::New => "NEW".into(),
        SearchKey::Old => "OLD".into(),
        SearchKey::Recent => "RECENT".into(),
        SearchKey::Before(day) => format!("BEFORE {}", date(*day)),
        SearchKey::On(day) => format!("ON {}", date(*day)),
        SearchKey::Since(day) => format!("SINCE {}", date(*day)),
        SearchKey::SentBefore(day) => format!("SENTBEFORE {}", date(*day)),
        SearchKey::SentOn(day) => format!("SENTON {}", date(*day)),
        SearchKey::SentSince(day) => format!("SENTSINCE {}", date(*day)),
        SearchKey::Header { name, value } => {
            format!("HEADER {} {}", string(name), string(value))
        }
        SearchKey::Body(value) => quoted("BODY", value),
        SearchKey::Text(value) => quoted("TEXT", value),
        SearchKey::Larger(size) => format!("LARGER {size}"),
        SearchKey::Smaller(size) => format!("SMALLER {size}"),
        SearchKey::ModSeq(modseq) => format!("MODSEQ {modseq}"),
    }
}

fn part(numbers: &[std::num::NonZeroU32]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

fn partial(it: &Option<Partial>) -> String {
    it.map_or_else(String::new, |Partial { start, count }| format!("<{start}.{count}>"))
}

fn section(it: &Section) -> String {
    let fields = |word: &str, fields: &[Vec<u8>]| {
        let fields: Vec<_> = fields.iter().map(|field| string(field)).collect();
        format!("{word} ({})", fields.join(" "))
    };
    let text = match &it.text {
        SectionText::Whole => String::new(),
        SectionText::Header => "HEADER".into(),
        SectionText::HeaderFields(names) => fields("HEADER.FIELDS", names),
        SectionText::HeaderFieldsNot(names) => fields("HEADER.FIELDS.NOT", names),
        SectionText::Text => "TEXT".into(),
        SectionText::Mime => "MIME".into(),
    };
    let dot = if it.part.is_empty() || text.is_empty() { "" } else { "." };
    format!("[{}{dot}{text}]", part(&it.part))
}

fn fetch_item(it: &FetchItem) -> String {
    let dot_peek = |peek: bool| if peek { ".PEEK" } else { "" };
    match it {
        FetchItem::Envelope => "ENVELOPE".into(),
        FetchItem::Flags => "FLAGS".into(),
        FetchItem::InternalDate => "INTERNALDATE".into(),
        FetchItem::Size => "RFC822.SIZE".into(),
        FetchItem::Uid => "UID".into(),
        FetchItem::ModSeq => "MODSEQ".into(),
        FetchItem::Body => "BODY".into(),
        FetchItem::BodyStructure => "BODYSTRUCTURE".into(),
        FetchItem::Rfc822 => "RFC822".into(),
        FetchItem::Rfc822Header => "RFC822.HEADER".into(),
        FetchItem::Rfc822Text => "RFC822.TEXT".into(),
        FetchItem::Section { section: which, partial: some, peek } => {
            format!("BODY{}{}{}", dot_peek(*peek), section(which), partial(some))
        }
        FetchItem::Binary { part: numbers, partial: some, peek } => {
            format!("BINARY{}[{}]{}", dot_peek(*peek), part(numbers), partial(some))
        }
        FetchItem::BinarySize { part: numbers } => format!("BINARY.SIZE[{}]", part(numbers)),
    }
}

fn fetch(it: &Fetch) -> String {
    let items: Vec<_> = it.items.iter().map(fetch_item).collect();
    let mut modifiers = Vec::new();
    if let Some(modseq) = it.changed_since {
        modifiers.push(format!("CHANGEDSINCE {modseq}"));
    }
    if it.vanished {
        modifiers.push("VANISHED".into());
    }
    let modifiers =
        if modifiers.is_empty() { String::new() } else { format!(" ({})", modifiers.join(" ")) };
    format!("{}FETCH {} ({}){modifiers}", uid(it.uid), set(&it.set), items.join(" "))
}

fn store(it: &Store) -> String {
    let since =
        it.unchanged_since.map_or_else(String::new, |since| format!(" (UNCHANGEDSINCE {since})"));
    let sign = match it.how {
        StoreHow::Replace => "",
        StoreHow::Add => "+",
        StoreHow::Remove => "-",
    };
    let silent = if it.silent { ".SILENT" } else { "" };
    format!("{}STORE {}{since} {sign}FLAGS{silent} {}", uid(it.uid), set(&it.set), flags(&it.flags))
}
