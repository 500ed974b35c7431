use std::num::NonZeroU32;

use mail::Timestamp;

use super::*;
use crate::imap::command::{DateTime, FetchItem, Partial, Section, SectionText};

const REV1: Style = Style { rev2: false };
const REV2: Style = Style { rev2: true };

fn encode(response: &Response<'_>, style: Style) -> String {
    let mut out = Vec::new();
    response.encode(style, &mut out);
    String::from_utf8(out).unwrap()
}

/// One response in both styles.
fn check(response: &Response<'_>, rev1: &str, rev2: &str) {
    assert_eq!(encode(response, REV1), rev1);
    assert_eq!(encode(response, REV2), rev2);
}

/// One response that looks the same in both styles.
fn same(response: &Response<'_>, expected: &str) {
    check(response, expected, expected);
}

fn msn(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn responses_are_written_as_rfc_9051_shows_them() {
    same(&Response::Exists(23), "* 23 EXISTS\r\n");
    check(&Response::Recent(0), "* 0 RECENT\r\n", "");
    same(&Response::Expunge(msn(44)), "* 44 EXPUNGE\r\n");
    // RFC 7162 §3.2.10.
    let uids = [300..=310, 405..=405, 411..=411];
    let vanished = Response::Vanished { earlier: true, uids: &uids };
    same(&vanished, "* VANISHED (EARLIER) 300:310,405,411\r\n");
    same(&Response::Vanished { earlier: false, uids: &[] }, "");
    let flags = [Flag::Answered, Flag::Keyword("$Sent".into()), Flag::Keyword("no atom".into())];
    same(&Response::Flags(&flags), "* FLAGS (\\Answered $Sent)\r\n");
    same(&Response::Namespace, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    same(&Response::Search { found: &[], modseq: Some(9) }, "* SEARCH\r\n");
    let found = Response::Search { found: &[2, 3, 6], modseq: Some(917_162_500) };
    same(&found, "* SEARCH 2 3 6 (MODSEQ 917162500)\r\n");
}

// RFC 4731 §3.1; RFC 7162 §3.1.6, §3.1.10.
#[test]
fn esearch_tells_what_was_asked() {
    let tag = Tag::new("A282").unwrap();
    let none = Esearch { uid: true, count: Some(0), all: Some(&[]), ..Esearch::default() };
    let empty = Response::Esearch(&tag, none);
    same(&empty, "* ESEARCH (TAG \"A282\") UID COUNT 0\r\n");
    let found = Esearch {
        min: Some(2),
        max: Some(47),
        all: Some(&[2..=3, 47..=47]),
        modseq: Some(5),
        ..Esearch::default()
    };
    let full = Response::Esearch(&tag, found);
    same(&full, "* ESEARCH (TAG \"A282\") MIN 2 MAX 47 ALL 2:3,47 MODSEQ 5\r\n");
}

#[test]
fn names_are_modified_utf_7_until_rev2_is_enabled() {
    let listed = Listed {
        attributes: &[Attribute::HasChildren, Attribute::Use(SpecialUse::Drafts)],
        name: "Entwürfe",
        child_subscribed: true,
    };
    let child = "(\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n";
    check(
        &Response::List(listed),
        &format!("* LIST (\\HasChildren \\Drafts) \"/\" \"Entw&APw-rfe\" {child}"),
        &format!("* LIST (\\HasChildren \\Drafts) \"/\" \"Entwürfe\" {child}"),
    );
    let root = Listed { attributes: &[Attribute::NoSelect], name: "", child_subscribed: false };
    same(&Response::List(root), "* LIST (\\Noselect) \"/\" \"\"\r\n");
    let items = [(StatusItem::Messages, 231), (StatusItem::HighestModSeq, 7)];
    check(
        &Response::Status { mailbox: "a\"b&c", items: &items },
        "* STATUS \"a\\\"b&-c\" (MESSAGES 231 HIGHESTMODSEQ 7)\r\n",
        "* STATUS \"a\\\"b&c\" (MESSAGES 231 HIGHESTMODSEQ 7)\r\n",
    );
    let resources = [Resource::Storage { used: 10, limit: 512 }];
    same(&Response::Quota { root: "", resources: &resources }, "* QUOTA \"\" (STORAGE 10 512)\r\n");
    let roots = Response::QuotaRoot { mailbox: "INBOX", roots: &["", "a b"] };
    same(&roots, "* QUOTAROOT \"INBOX\" \"\" \"a b\"\r\n");
}

// RFC 9051 §4; RFC 3501 §9.
#[test]
fn text_is_one_line_whatever_is_in_it() {
    let hostile = "a\r\nb OK \0 [ALERT] ü".to_owned();
    check(
        &Response::Ok(None, hostile.into()),
        "* OK a  b OK   [ALERT] ?\r\n",
        "* OK a  b OK   [ALERT] ü\r\n",
    );
    // RFC 9051 §7: text that looks like a code is none.
    same(&Response::No(None, "[ALERT] x".into()), "* NO -[ALERT] x\r\n");
    same(&Response::Bad(Some(Code::TooBig), "".into()), "* BAD [TOOBIG] -\r\n");
    let long = encode(&Response::Bye(None, "ü".repeat(5_000).into()), REV2);
    assert!(long.len() < 1_020, "{}", long.len());
}

// RFC 9051 §7.1; RFC 7162 §3.1.3, §3.2.11.
#[test]
fn codes_are_written_as_their_rfcs_show_them() {
    let code = |code: Code| encode(&Response::Ok(Some(code), "x".into()), REV1);
    let validity = msn(38_505);
    assert_eq!(code(Code::AppendUid(validity, msn(3_955))), "* OK [APPENDUID 38505 3955] x\r\n");
    let copied =
        Code::CopyUid { validity, from: vec![304..=304, 319..=320], to: vec![3956..=3958] };
    assert_eq!(code(copied), "* OK [COPYUID 38505 304,319:320 3956:3958] x\r\n");
    assert_eq!(code(Code::Modified(vec![7..=7, 9..=9])), "* OK [MODIFIED 7,9] x\r\n");
    let permanent = Code::PermanentFlags { flags: vec![Flag::Deleted, Flag::Seen], any: true };
    assert_eq!(code(permanent), "* OK [PERMANENTFLAGS (\\Deleted \\Seen \\*)] x\r\n");
    let charsets = Code::BadCharset(vec!["UTF-8".into(), "a]\"".into()]);
    assert_eq!(code(charsets), "* OK [BADCHARSET (\"UTF-8\" \"a]\\\"\")] x\r\n");
    assert_eq!(
        code(Code::HighestModSeq(715_194_045_007)),
        "* OK [HIGHESTMODSEQ 715194045007] x\r\n"
    );
}

#[test]
fn internal_dates_keep_their_zone() {
    let date = |at, offset_minutes| {
        let mut out = Vec::new();
        let date = DateTime { at: Timestamp::from_seconds(at), offset_minutes };
        string::date_time(date, &mut out);
        String::from_utf8(out).unwrap()
    };
    // RFC 9051 §6.4.5's example, and the day of a leap year.
    assert_eq!(date(837_596_665, -420), "\"17-Jul-1996 02:44:25 -0700\"");
    assert_eq!(date(1_709_164_800, 90), "\"29-Feb-2024 01:30:00 +0130\"");
    assert_eq!(date(0, -60), "\"31-Dec-1969 23:00:00 -0100\"");
    assert_eq!(date(u64::MAX, 0).len(), 28);
}

fn envelope() -> Envelope {
    let address = |name: &str, mailbox: &str| Address {
        name: Some(bytes(name)),
        route: None,
        mailbox: Some(bytes(mailbox)),
        host: Some(bytes("example.org")),
    };
    Envelope {
        date: Some(bytes("Wed, 17 Jul 1996 02:23:25 -0700")),
        subject: Some(bytes("a \"quoted\" \\ thing")),
        from: vec![address("Terry", "gray")],
        to: vec![address("Zoë", "zoe")],
        message_id: Some(bytes("<B27397@x>")),
        ..Envelope::default()
    }
}

// RFC 9051 §7.5.2.
#[test]
fn envelopes_fill_sender_and_reply_to() {
    let write = |style| {
        let mut out = Vec::new();
        let mut line = FetchLine::begin(msn(12), style, &mut out);
        line.item(&FetchData::Envelope(&envelope()), &mut out);
        line.end(&mut out);
        String::from_utf8(out).unwrap()
    };
    let from = "((\"Terry\" NIL \"gray\" \"example.org\"))";
    let start = format!(
        "* 12 FETCH (ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700\" \
         \"a \\\"quoted\\\" \\\\ thing\" {from} {from} {from} ((",
    );
    let end = " NIL \"zoe\" \"example.org\")) NIL NIL NIL \"<B27397@x>\"))\r\n";
    // Raw octets above 127 are a literal in rev1, and may be quoted in rev2.
    assert_eq!(write(REV1), format!("{start}{{4}}\r\nZoë{end}"));
    assert_eq!(write(REV2), format!("{start}\"Zoë\"{end}"));
}

fn text_part(subtype: &str) -> Part {
    Part {
        kind: Kind::Text { subtype: bytes(subtype), lines: 36 },
        params: vec![(bytes("CHARSET"), bytes("US-ASCII"))],
        id: None,
        description: None,
        encoding: Vec::new(),
        octets: 2_279,
        md5: None,
        disposition: None,
        language: Vec::new(),
        location: None,
    }
}

fn structures() -> Part {
    let inner = Part {
        kind: Kind::Message {
            subtype: bytes("RFC822"),
            envelope: Box::default(),
            part: Box::new(text_part("HTML")),
            lines: 40,
        },
        disposition: Some(Disposition {
            kind: bytes("attachment"),
            params: vec![(bytes("filename"), bytes("a\r\nb"))],
        }),
        language: vec![bytes("en"), bytes("fr")],
        params: Vec::new(),
        ..text_part("")
    };
    let parts = vec![text_part("PLAIN"), inner];
    let kind = Kind::Multipart { subtype: bytes("MIXED"), parts };
    Part { kind, params: vec![(bytes("BOUNDARY"), bytes("x"))], ..text_part("") }
}

// RFC 9051 §7.5.2.
#[test]
fn structures_are_written_as_rfc_9051_shows_them() {
    let write = |data: &FetchData<'_>| {
        let mut out = Vec::new();
        let mut line = FetchLine::begin(msn(1), REV1, &mut out);
        line.item(data, &mut out);
        line.end(&mut out);
        String::from_utf8(out).unwrap()
    };
    let text = |subtype: &str| {
        format!("\"TEXT\" \"{subtype}\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 2279 36")
    };
    let none = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";
    let (plain, html) = (text("PLAIN"), text("HTML"));
    let message = "\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 2279";
    let parts = structures();
    assert_eq!(
        write(&FetchData::Body(&parts)),
        format!("* 1 FETCH (BODY (({plain})({message} {none} ({html}) 40) \"MIXED\"))\r\n"),
    );
    assert_eq!(
        write(&FetchData::BodyStructure(&parts)),
        format!(
            "* 1 FETCH (BODYSTRUCTURE (({plain} NIL NIL NIL NIL)\
             ({message} {none} ({html} NIL NIL NIL NIL) 40 NIL \
             (\"attachment\" (\"filename\" {{4}}\r\na\r\nb)) (\"en\" \"fr\") NIL) \
             \"MIXED\" (\"BOUNDARY\" \"x\") NIL NIL NIL))\r\n"
        ),
    );
    let empty = Kind::Multipart { subtype: bytes("MIXED"), parts: Vec::new() };
    let empty = Part { kind: empty, ..text_part("") };
    assert_eq!(
        write(&FetchData::Body(&empty)),
        "* 1 FETCH (BODY ((\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0) \"MIXED\"))\r\n",
    );
}

// RFC 9051 §4.3.
#[test]
fn octets_follow_their_name_and_length() {
    let section = |text, part: &[u32]| FetchItem::Section {
        section: Section { part: part.iter().map(|it| msn(*it)).collect(), text },
        partial: Some(Partial { start: 4, count: 9 }),
        peek: true,
    };
    let fields = SectionText::HeaderFields(vec![bytes("From"), bytes("X Y"), bytes("NIL")]);
    let items = [
        section(fields, &[1, 2]),
        section(SectionText::Whole, &[]),
        section(SectionText::Mime, &[3]),
        FetchItem::Rfc822Text,
        FetchItem::Binary { part: vec![msn(2)], partial: None, peek: false },
    ];
    let mut out = Vec::new();
    let mut line = FetchLine::begin(msn(1), REV2, &mut out);
    line.item(&FetchData::Uid(msn(9)), &mut out);
    for item in &items {
        line.literal(item.literal_name().unwrap(), 3, true, &mut out);
        out.extend_from_slice(b"a\0b");
    }
    line.item(&FetchData::Missing(items[4].literal_name().unwrap()), &mut out);
    line.item(&FetchData::BinarySize(&[msn(2)], 3), &mut out);
    line.end(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "* 1 FETCH (UID 9 BODY[1.2.HEADER.FIELDS (From \"X Y\" \"NIL\")]<4> {3}\r\na\0b \
         BODY[]<4> {3}\r\na\0b BODY[3.MIME]<4> {3}\r\na\0b RFC822.TEXT {3}\r\na\0b \
         BINARY[2] ~{3}\r\na\0b BINARY[2] NIL BINARY.SIZE[2] 3)\r\n",
    );
    assert_eq!(FetchItem::Flags.literal_name(), None);
}

/// Reads one response as a client does and returns what is behind it; `None` if it is none. Strict:
/// a NUL, a bare CR or LF, an unbalanced parenthesis or a literal longer than the rest is an error.
fn one_response(mut rest: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    loop {
        match rest {
            [b'\r', b'\n', rest @ ..] => return (depth == 0).then_some(rest),
            [b'"', quoted @ ..] => {
                let mut at = 0;
                loop {
                    match quoted.get(at)? {
                        b'"' => break,
                        b'\\' if matches!(quoted.get(at + 1)?, b'"' | b'\\') => at += 2,
                        0 | b'\r' | b'\n' | b'\\' => return None,
                        _ => at += 1,
                    }
                }
                rest = &quoted[at + 1..];
            }
            [b'{', literal @ ..] => {
                let end = memchr::memmem::find(literal, b"}\r\n")?;
                let size: usize = std::str::from_utf8(&literal[..end]).ok()?.parse().ok()?;
                let (octets, after) = literal[end + 3..].split_at_checked(size)?;
                if octets.contains(&0) {
                    return None;
                }
                rest = after;
            }
            [b'(', after @ ..] => {
                depth += 1;
                rest = after;
            }
            [b')', after @ ..] => {
                depth = depth.checked_sub(1)?;
                rest = after;
            }
            [0 | b'\r' | b'\n', ..] | [] => return None,
            [_, after @ ..] => rest = after,
        }
    }
}

/// D3: whatever names, headers and flags hold, one response is written, and no more.
#[test]
fn hostile_values_cannot_break_the_stream() {
    let hostile = [
        "",
        "\r\n",
        "\0",
        "\"",
        "\\",
        "a\r\n* 1 EXPUNGE\r\n",
        "{5}\r\n",
        "(",
        ")",
        "NIL",
        "&",
        "ü\0",
        "\u{2028}",
        "a]b",
        "[x",
        "~{3}",
        "\u{7f}\u{1b}[2J",
    ];
    for one in hostile {
        for other in hostile {
            for style in [REV1, REV2] {
                let both = format!("{one}{other}");
                let raw = bytes(&both);
                let mut out = Vec::new();
                let listed = Listed {
                    attributes: &[Attribute::Marked],
                    name: &both,
                    child_subscribed: true,
                };
                Response::Lsub(listed).encode(style, &mut out);
                Response::Quota { root: &both, resources: &[] }.encode(style, &mut out);
                let roots = Response::QuotaRoot { mailbox: one, roots: &[other, &both] };
                roots.encode(style, &mut out);
                Response::Flags(&[Flag::Keyword(both.clone())]).encode(style, &mut out);
                let mut line = FetchLine::begin(msn(1), style, &mut out);
                let subject = Some(raw.clone());
                let envelope = Envelope { subject, from: vec![Address::default()], ..envelope() };
                line.item(&FetchData::Envelope(&envelope), &mut out);
                let params = vec![(raw.clone(), raw.clone())];
                let disposition = Some(Disposition { kind: raw.clone(), params: params.clone() });
                let kind = Kind::Other { kind: raw.clone(), subtype: raw.clone() };
                let language = vec![raw.clone()];
                let part = Part { kind, params, disposition, language, ..text_part("") };
                line.item(&FetchData::BodyStructure(&part), &mut out);
                let text = SectionText::HeaderFieldsNot(vec![raw.clone()]);
                let section = Section { part: Vec::new(), text };
                line.item(&FetchData::Missing(LiteralName::Section(&section, None)), &mut out);
                line.end(&mut out);
                let mut rest = out.as_slice();
                for _ in 0..5 {
                    rest = one_response(rest).unwrap_or_else(|| panic!("{both:?} {style:?}"));
                }
                assert_eq!(rest, b"", "{both:?}");
            }
        }
    }
}
