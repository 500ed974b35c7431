//! An independent implementation (imap-codec, IMAP4rev1 and some extensions) takes our commands for
//! commands and our responses for responses.

use std::num::NonZeroU32;

use imap_codec::decode::Decoder as _;
use imap_codec::{CommandCodec, ResponseCodec};
use mail::Timestamp;
use proto::imap::command::{
    Command, DateTime, FetchItem, Flag, Section, SectionText, SpecialUse, StatusItem, Tag,
};
use proto::imap::response::{
    Address, Attribute, Code, Disposition, Envelope, FetchData, FetchLine, Kind, Listed, Part,
    Resource, Response, Style,
};

use crate::driver::{Cuts, Driver, config};
use crate::printer;
use crate::random::Random;
use crate::round_trips::body;

/// What it does not know: SEARCHRES, ESEARCH, LIST-EXTENDED, SPECIAL-USE, APPENDLIMIT, BINARY.SIZE,
/// numbers of 63 bits where RFC 3501 has 32.
fn is_known(text: &str) -> bool {
    let unknown = [
        " $ ",
        "UID $",
        " $\r",
        "($",
        "RETURN",
        "(USE ",
        "LIST (",
        "APPENDLIMIT",
        "BINARY",
        "9223372036854775",
        "90060115194",
        "SAVE",
        "VANISHED",
    ];
    text.is_ascii() && !unknown.iter().any(|word| text.contains(word))
}

#[test]
fn commands_that_we_read_are_commands_to_others() {
    let mut random = Random(3);
    let mut compared = 0;
    for _ in 0..6_000 {
        let command = Command { tag: Tag::new("a1").unwrap(), body: body(&mut random, false) };
        let text = format!("{}\r\n", printer::command(&command));
        if is_known(&text) {
            let read = CommandCodec::new().decode(text.as_bytes());
            assert!(matches!(read, Ok((b"", _))), "{text}: {read:?}");
            compared += 1;
        }
    }
    assert!(compared > 2_000, "{compared}");
}

/// Flags that no standard has (we refuse them) and numbers of more than 32 bits (RFC 9051 has
/// them) are where we differ on purpose; and QRESYNC's pairs must be of one length.
fn is_disputed(text: &str) -> bool {
    let long = |word: &str| word.len() > 10;
    text.contains('$')
        || text.contains("QRESYNC")
        || (text.contains("STORE") && text.contains('\\'))
        || text.split(|char: char| !char.is_ascii_digit()).any(long)
}

/// One edit away from a command, it is a command to both or to none.
#[test]
fn what_is_no_command_to_others_is_none_to_us() {
    const HARD: &[u8] = b" ()\"\\}*%]:,.<>[0Aa+-~";
    let mut random = Random(77);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..10_000 {
        let command = Command { tag: Tag::new("a1").unwrap(), body: body(&mut random, false) };
        let mut text = printer::command(&command);
        let at = 3 + random.below(text.len() - 3);
        let hard = char::from(*random.pick(HARD));
        if text.len() > 120 || !text.is_ascii() || text.contains(['\n', '{']) {
            continue;
        }
        if random.chance(2) {
            text.remove(at);
        }
        if random.chance(2) {
            text.insert(at, hard);
        }
        text.push_str("\r\n");
        if !is_known(&text) || is_disputed(&text) {
            continue;
        }
        let theirs = matches!(CommandCodec::new().decode(text.as_bytes()), Ok((b"", _)));
        let mut driver = Driver::selected(config(), Cuts::Whole, false);
        driver.pending.extend_from_slice(text.as_bytes());
        driver.run();
        // A name that is no modified UTF-7 is good syntax.
        let ours = driver.ask.is_some() || driver.sent.starts_with(b"a1 NO [CANNOT]");
        assert_eq!(ours, theirs, "{text}");
        good += usize::from(ours);
        bad += usize::from(!ours);
    }
    assert!(good > 500 && bad > 500, "{good} {bad}");
}

fn text(random: &mut Random) -> Vec<u8> {
    let parts = ["a", "\"", "\\", "\r\n", "\0", "ü", "{3}", ")", "(", "NIL", " ", "]"];
    random.some(0, 4, |random| random.pick::<&str>(&parts).as_bytes().to_vec()).concat()
}

fn name(random: &mut Random) -> String {
    let parts = ["a", "Entwürfe", "/", "\"", "&", "%", " ", "INBOX"];
    random.some(1, 4, |random| *random.pick(&parts)).concat()
}

fn address(random: &mut Random) -> Address {
    Address {
        name: random.maybe(text),
        route: None,
        mailbox: random.maybe(text),
        host: random.maybe(text),
    }
}

fn envelope(random: &mut Random) -> Envelope {
    Envelope {
        date: random.maybe(text),
        subject: random.maybe(text),
        from: random.some(0, 2, address),
        sender: random.some(0, 2, address),
        reply_to: random.some(0, 2, address),
        to: random.some(0, 2, address),
        cc: random.some(0, 2, address),
        bcc: random.some(0, 2, address),
        in_reply_to: random.maybe(text),
        message_id: random.maybe(text),
    }
}

fn params(random: &mut Random) -> Vec<(Vec<u8>, Vec<u8>)> {
    random.some(0, 3, |random| (text(random), text(random)))
}

fn part(random: &mut Random, depth: usize) -> Part {
    let subtype = b"plain".to_vec();
    let kind = match random.below(if depth > 3 { 2 } else { 4 }) {
        0 => Kind::Text { subtype, lines: 7 },
        1 => Kind::Other { kind: b"image".to_vec(), subtype },
        2 => Kind::Message {
            subtype: b"rfc822".to_vec(),
            envelope: Box::new(envelope(random)),
            part: Box::new(part(random, depth + 1)),
            lines: 9,
        },
        _ => {
            Kind::Multipart { subtype, parts: random.some(1, 3, |random| part(random, depth + 1)) }
        }
    };
    Part {
        kind,
        params: params(random),
        id: random.maybe(text),
        description: random.maybe(text),
        encoding: text(random),
        octets: 4_294_967_295,
        md5: random.maybe(text),
        disposition: random
            .maybe(|random| Disposition { kind: text(random), params: params(random) }),
        language: random.some(0, 3, text),
        location: random.maybe(text),
    }
}

fn fetch(random: &mut Random, out: &mut Vec<u8>) {
    let one = NonZeroU32::MIN;
    let date = DateTime { at: Timestamp::from_seconds(random.next() >> 30), offset_minutes: -90 };
    let flags = [Flag::Seen, Flag::Keyword("$Sent".into())];
    let (envelope, part) = (envelope(random), part(random, 0));
    let mut line = FetchLine::begin(one, Style::default(), out);
    line.item(&FetchData::Uid(one), out);
    line.item(&FetchData::Flags(&flags), out);
    line.item(&FetchData::InternalDate(date), out);
    line.item(&FetchData::Size(4_294_967_295), out);
    line.item(&FetchData::ModSeq(random.next() >> 1 | 1), out);
    line.item(&FetchData::Envelope(&envelope), out);
    line.item(&FetchData::BodyStructure(&part), out);
    line.item(&FetchData::Body(&part), out);
    // It wants a part's number and header names as it writes them.
    let text = SectionText::HeaderFields(vec![b"From".to_vec(), b"X Y".to_vec()]);
    let section = FetchItem::Section {
        section: Section { part: vec![one, one], text },
        partial: None,
        peek: true,
    };
    for item in [&section, &FetchItem::Rfc822, &FetchItem::Rfc822Header] {
        line.literal(item.literal_name().unwrap(), 4, false, out);
        out.extend_from_slice(b"a\r\n)");
    }
    line.end(out);
}

fn others(random: &mut Random, out: &mut Vec<u8>) {
    let (name, one) = (name(random), NonZeroU32::MIN);
    let attributes = [Attribute::HasNoChildren, Attribute::Use(SpecialUse::Sent)];
    let listed = || Listed { attributes: &attributes, name: &name, child_subscribed: false };
    let items = [(StatusItem::Messages, 3), (StatusItem::UidNext, 4), (StatusItem::Size, 5)];
    let flags = vec![Flag::Draft, Flag::Keyword("a.b".into())];
    let validity = one;
    let codes = [
        None,
        Some(Code::Alert),
        Some(Code::AppendUid(validity, one)),
        Some(Code::CopyUid { validity, from: vec![1..=2, 9..=9], to: vec![3..=5] }),
        Some(Code::PermanentFlags { flags: flags.clone(), any: true }),
        Some(Code::UidNext(one)),
        Some(Code::UidValidity(validity)),
        Some(Code::HighestModSeq(7)),
        Some(Code::BadCharset(vec!["UTF-8".into()])),
        Some(Code::ReadOnly),
        Some(Code::TryCreate),
        Some(Code::OverQuota),
    ];
    let text = String::from_utf8_lossy(&text(random)).into_owned();
    let response = match random.below(11) {
        0 => Response::List(listed()),
        1 => Response::Lsub(listed()),
        2 => Response::Status { mailbox: &name, items: &items },
        3 => Response::Flags(&flags),
        4 => Response::Search { found: &[2, 5], modseq: random.maybe(|_| 7) },
        5 => Response::Exists(7),
        6 => Response::Expunge(one),
        7 => Response::Vanished { earlier: random.chance(2), uids: &[1..=1, 4..=9] },
        8 => Response::Quota { root: &name, resources: &[Resource::Storage { used: 1, limit: 2 }] },
        9 => Response::QuotaRoot { mailbox: &name, roots: &["", "a b"] },
        _ => Response::Ok(random.pick(&codes).clone(), text.into()),
    };
    response.encode(Style::default(), out);
}

#[test]
fn responses_that_we_write_are_responses_to_others() {
    let mut random = Random(5);
    for _ in 0..3_000 {
        let mut out = Vec::new();
        if random.chance(3) {
            fetch(&mut random, &mut out)
        } else {
            others(&mut random, &mut out)
        }
        let read = ResponseCodec::new().decode(&out);
        assert!(matches!(read, Ok((b"", _))), "{}: {read:?}", String::from_utf8_lossy(&out));
    }
}
