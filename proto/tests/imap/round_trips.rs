//! Random trees, written as a client would and read back, are the same trees.

use std::num::NonZeroU32;

use proto::imap::command::{
    Body, Command, Copy, Date, Fetch, FetchItem, Flag, List, ListReturn, ListSelect, MailboxName,
    Partial, Qresync, Search, SearchKey, SearchReturn, Section, SectionText, Select, Set,
    SetNumber, SetRange, SpecialUse, StatusItem, Store, StoreHow, Tag,
};
use proto::imap::response::Style;
use proto::imap::{Answer, Ask};

use crate::driver::{Cuts, Driver, config};
use crate::printer;
use crate::random::Random;

/// Characters that strings like to break on.
const HARD: [&str; 12] = ["\"", "\\", "{3}", "{3+}", "]", "(", "\r\n", "%", "*", "ü", "NIL", " "];

fn text(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..random.below(4) {
        if random.chance(2) {
            text.push_str(random.pick::<&str>(&HARD));
        } else {
            text.push_str(random.pick::<&str>(&["a", "Bc", "x-y"]));
        }
    }
    text.into_bytes()
}

fn name(random: &mut Random, rev2: bool) -> MailboxName {
    let parts = if rev2 {
        &["a", "Entwürfe", "/", "\"", "\\", "&", "{2+}", "%", "日本"][..]
    } else {
        &["a", "b c", "/", "\"", "\\", "{2}", "]", "INBOX"][..]
    };
    let text: String = random.some(1, 4, |random| *random.pick(parts)).concat();
    MailboxName::decode(text.as_bytes(), Style { rev2 }).unwrap()
}

fn pattern(random: &mut Random, rev2: bool) -> String {
    format!("{}{}", random.pick(&["", "*", "%", "a%*"]), name(random, rev2))
}

fn number(random: &mut Random) -> NonZeroU32 {
    let number = *random.pick(&[1, 2, 7, 4_711, u32::MAX - 1, u32::MAX]);
    NonZeroU32::new(number).unwrap()
}

fn set(random: &mut Random) -> Set {
    if random.chance(8) {
        return Set::Saved;
    }
    known(random, true)
}

fn known(random: &mut Random, star: bool) -> Set {
    let one = |random: &mut Random| {
        if star && random.chance(5) { SetNumber::Last } else { SetNumber::Value(number(random)) }
    };
    Set::Ranges(random.some(1, 5, |random| {
        let from = one(random);
        SetRange { from, to: if random.chance(2) { from } else { one(random) } }
    }))
}

fn modseq(random: &mut Random) -> u64 {
    *random.pick(&[1, 5, 90_060_115_194_045_000, u64::MAX >> 1])
}

fn keyword(random: &mut Random) -> String {
    (*random.pick(&["$Sent", "NonJunk", "a.b", "x+y", "NIL"])).to_owned()
}

fn flag(random: &mut Random) -> Flag {
    match random.below(6) {
        0 => Flag::Seen,
        1 => Flag::Answered,
        2 => Flag::Flagged,
        3 => Flag::Deleted,
        4 => Flag::Draft,
        _ => Flag::Keyword(keyword(random)),
    }
}

fn flags(random: &mut Random) -> Vec<Flag> {
    let mut flags = random.some(0, 4, flag);
    flags.sort();
    flags.dedup();
    flags
}

fn statuses(random: &mut Random) -> Vec<StatusItem> {
    let mut items = StatusItem::EACH.map(|(item, _)| item).to_vec();
    items.truncate(1 + random.below(9));
    items
}

fn date(random: &mut Random) -> Date {
    let year = *random.pick(&[1_994, 1_970, 2_024, 9_999]);
    Date { year, month: *random.pick(&[1, 2, 12]), day: *random.pick(&[1, 9, 28]) }
}

fn key(random: &mut Random, depth: usize) -> SearchKey {
    let leaf = depth > 4;
    match random.below(if leaf { 20 } else { 24 }) {
        0 => SearchKey::All,
        1 => SearchKey::Msn(set(random)),
        2 => SearchKey::Uid(set(random)),
        3 | 4 => SearchKey::Has(flag(random)),
        5 | 6 => SearchKey::HasNot(flag(random)),
        7 => SearchKey::New,
        8 => SearchKey::Old,
        9 => SearchKey::Recent,
        10 => SearchKey::Before(date(random)),
        11 => SearchKey::On(date(random)),
        12 => SearchKey::Since(date(random)),
        13 => SearchKey::SentBefore(date(random)),
        14 => SearchKey::SentSince(date(random)),
        15 => SearchKey::Header { name: b"X-Y".to_vec(), value: text(random) },
        16 => SearchKey::Body(text(random)),
        17 => SearchKey::Text(text(random)),
        18 => SearchKey::Larger(modseq(random)),
        19 => SearchKey::ModSeq(modseq(random)),
        20 => SearchKey::Not(Box::new(key(random, depth + 1))),
        21 => SearchKey::Or(Box::new((key(random, depth + 1), key(random, depth + 1)))),
        _ => SearchKey::And(random.some(1, 3, |random| key(random, depth + 1))),
    }
}

fn partial(random: &mut Random) -> Option<Partial> {
    random.maybe(|random| Partial { start: modseq(random) - 1, count: modseq(random) })
}

fn part(random: &mut Random) -> Vec<NonZeroU32> {
    random.some(0, 3, number)
}

fn fetch_item(random: &mut Random) -> FetchItem {
    match random.below(14) {
        0 => FetchItem::Envelope,
        1 => FetchItem::Flags,
        2 => FetchItem::InternalDate,
        3 => FetchItem::Size,
        4 => FetchItem::Uid,
        5 => FetchItem::ModSeq,
        6 => FetchItem::Body,
        7 => FetchItem::BodyStructure,
        8 => FetchItem::Rfc822Header,
        9 => {
            let part = part(random);
            FetchItem::Binary { part, partial: partial(random), peek: random.chance(2) }
        }
        10 => FetchItem::BinarySize { part: part(random) },
        _ => {
            let part = part(random);
            let fields = |random: &mut Random| {
                random.some(1, 3, |random| [b"X".to_vec(), text(random)].concat())
            };
            let text = match random.below(6) {
                0 => SectionText::Header,
                1 => SectionText::HeaderFields(fields(random)),
                2 => SectionText::HeaderFieldsNot(fields(random)),
                3 => SectionText::Text,
                4 if !part.is_empty() => SectionText::Mime,
                _ => SectionText::Whole,
            };
            let section = Section { part, text };
            FetchItem::Section { section, partial: partial(random), peek: random.chance(2) }
        }
    }
}

fn list(random: &mut Random, rev2: bool) -> List {
    let extended = random.chance(2);
    let mut select = ListSelect::default();
    let mut told = ListReturn::default();
    let mut patterns = vec![pattern(random, rev2)];
    if extended {
        patterns = random.some(1, 3, |random| pattern(random, rev2));
        let subscribed = random.chance(2);
        let recursive_match = subscribed && random.chance(2);
        select = ListSelect {
            subscribed,
            recursive_match,
            remote: random.chance(2),
            special_use: random.chance(2),
        };
        told = ListReturn {
            subscribed: random.chance(2),
            children: random.chance(2),
            special_use: random.chance(2),
            status: random.maybe(statuses).unwrap_or_default(),
        };
    }
    List { reference: String::new(), patterns, select, told, extended }
}

fn qresync(random: &mut Random) -> Qresync {
    Qresync {
        uid_validity: number(random),
        modseq: modseq(random),
        known_uids: random.maybe(|random| known(random, false)),
        known_pairs: random.maybe(|random| {
            let numbers = known(random, false);
            (numbers.clone(), numbers)
        }),
    }
}

pub(crate) fn body(random: &mut Random, rev2: bool) -> Body {
    let uid = random.chance(2);
    match random.below(16) {
        0 => Body::Noop,
        1 => Body::Select(Select {
            mailbox: name(random, rev2),
            read_only: random.chance(2),
            condstore: random.chance(2),
            qresync: random.maybe(qresync),
        }),
        2 => Body::Create {
            mailbox: MailboxName::decode(b"a/b", Style { rev2 }).unwrap(),
            special_use: SpecialUse::EACH.map(|(each, _)| each)[..random.below(8)].to_vec(),
        },
        3 => Body::Delete(name(random, rev2)),
        4 => Body::Rename { from: name(random, rev2), to: name(random, rev2) },
        5 => Body::List(list(random, rev2)),
        6 => Body::Lsub { reference: pattern(random, rev2), pattern: pattern(random, rev2) },
        7 => Body::Status { mailbox: name(random, rev2), items: statuses(random) },
        8 => Body::GetQuotaRoot(name(random, rev2)),
        9 => Body::Expunge { uids: random.maybe(set) },
        10 | 11 => Body::Search(Search {
            uid,
            told: random.maybe(|random| SearchReturn {
                all: true,
                min: random.chance(2),
                save: random.chance(2),
                ..SearchReturn::default()
            }),
            charset: random.maybe(|_| "UTF-8".to_owned()),
            keys: random.some(1, 4, |random| key(random, 0)),
        }),
        12 | 13 => {
            let changed_since = random.maybe(modseq);
            let vanished = uid && changed_since.is_some();
            let items = random.some(1, 5, fetch_item);
            Body::Fetch(Fetch { uid, set: set(random), items, changed_since, vanished })
        }
        14 => Body::Store(Store {
            uid,
            set: set(random),
            unchanged_since: random.maybe(modseq),
            how: *random.pick(&[StoreHow::Replace, StoreHow::Add, StoreHow::Remove]),
            silent: random.chance(2),
            flags: flags(random),
        }),
        _ => Body::Copy(Copy {
            uid,
            and_expunge: random.chance(2),
            set: set(random),
            mailbox: name(random, rev2),
        }),
    }
}

fn round_trips(seed: u64, rev2: bool) {
    let mut random = Random(seed);
    let mut driver = Driver::selected(config(), Cuts::Whole, rev2);
    for _ in 0..3_000 {
        let tag = Tag::new(random.pick::<&str>(&["a", "A0001", "]", "x.y-z", "9"])).unwrap();
        let command = Command { tag, body: body(&mut random, rev2) };
        let text = printer::command(&command);
        driver.pending.extend_from_slice(format!("{text}\r\n").as_bytes());
        driver.run();
        let Some(Ask::Command(read)) = driver.ask.take() else {
            panic!("{text:?}: {:?}", String::from_utf8_lossy(&driver.sent));
        };
        assert_eq!(*read, command, "{text}");
        // NO to SELECT would leave nothing selected.
        driver.answer(Answer::Ok(None, "done".into()));
        driver.run();
        driver.sent.clear();
        if matches!(command.body, Body::Noop) && random.chance(3) {
            driver = Driver::selected(config(), Cuts::Whole, rev2);
        }
    }
}

#[test]
fn commands_survive_writing_and_reading() {
    round_trips(1, false);
    round_trips(2, true);
}
