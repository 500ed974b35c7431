use mail::flags::{FlagSet, Keyword, SystemFlags};
use mail::uidset::UidSet;
use mail::{RecordId, WriterId};

use super::*;
use crate::change::{
    AccountObject, Arrival, ArrivalPlace, Effect, FlagOp, MailboxChange, MailboxId, Move,
    SpecialUse,
};
use crate::inline::Inline;
use crate::place::{SegmentRef, Slot};
use crate::testing::noise;

fn record(counter: u64) -> RecordId {
    RecordId { writer: WriterId([0xa1; 16]), counter }
}

fn ingest(number: u64) -> SegmentRef {
    SegmentRef::Ingest { writer: WriterId([0xa1; 16]), number }
}

fn arrival(counter: u64, summary: usize) -> Arrival {
    Arrival {
        record: record(counter),
        again: false,
        mailbox: MailboxId::INBOX,
        flags: FlagSet::default(),
        date: Timestamp::from_seconds(1_800_000_000),
        size: 20_480,
        place: ArrivalPlace::Slot(Slot { segment: ingest(300), index: 12 }),
        summary: Bytes::from(vec![0x5a; summary]),
    }
}

fn entry(change: Change) -> Entry {
    Entry {
        seq: Seq(0x0102),
        nonce: Nonce([7; 8]),
        time: Timestamp(1_800_000_000_123),
        totals: Totals { messages: 9, bytes: 1 << 33 },
        change,
    }
}

/// One change of every kind and form.
pub(crate) fn changes() -> Vec<Change> {
    let keyword = Keyword::parse("$Forwarded").unwrap();
    let uids = UidSet::from_ranges([(1, 3), (7, 7), (100, 4000)]);
    let inline = Inline::pack(b"Subject: hi\r\n\r\nhello\r\n").unwrap();
    let place = ArrivalPlace::Inline(inline);
    let account =
        Slot { segment: SegmentRef::Account { nonce: ObjectNonce([3; 8]) }, index: 70_000 };
    let again =
        Arrival { again: true, mailbox: MailboxId(9), summary: Bytes::new(), ..arrival(5, 40) };
    let made = SegmentRef::Made { id: RecordId { writer: WriterId([0xb2; 16]), counter: 1 } };
    let made_place = ArrivalPlace::Slot(Slot { segment: made, index: 0 });
    let flags = FlagSet::new(SystemFlags::SEEN, [keyword]);
    let append = Arrival { place, flags: flags.clone(), ..arrival(8, 30) };
    let name = |text: &str| text.to_owned();
    vec![
        Change::Deliver(vec![
            arrival(5, 40),
            again,
            Arrival { place: made_place, ..arrival(6, 0) },
        ]),
        Change::Append(vec![
            append.clone(),
            Arrival { place: ArrivalPlace::Slot(account), ..append },
        ]),
        Change::Flags { mailbox: MailboxId(3), uids: uids.clone(), op: FlagOp::Remove, flags },
        Change::Expunge { mailbox: MailboxId(3), uids: uids.clone() },
        Change::Copy { from: MailboxId(1), to: MailboxId(300), uids, is_move: true },
        Change::Mailbox(MailboxChange::Create {
            name: name("Büro/2027"),
            special_use: Some(SpecialUse::Archive),
        }),
        Change::Mailbox(MailboxChange::Create { name: name("x"), special_use: None }),
        Change::Mailbox(MailboxChange::Rename { from: name("INBOX"), to: name("old") }),
        Change::Mailbox(MailboxChange::Delete { name: name("old") }),
        Change::Mailbox(MailboxChange::Subscribe { name: name("a/b"), on: true }),
        Change::Mailbox(MailboxChange::Subscribe { name: name("a/b"), on: false }),
        Change::Reloc {
            moves: vec![Move { arrival: 4, record: record(5), to: account }],
            released: vec![ingest(300), made],
        },
        Change::Release { segments: vec![ingest(1)] },
        Change::Drop {
            objects: vec![
                AccountObject::Segment(ObjectNonce([3; 8])),
                AccountObject::EntryBody(ObjectNonce([4; 8])),
            ],
        },
        Change::Effect(Effect { kind: 1, key: Bytes::from_static(b"bob@x"), until: Timestamp(5) }),
        Change::Fence { region: name("lima"), epoch: 2 },
        Change::Open { waiting: true },
        Change::Void { seq: Seq(0x0101), reason: name("ana: poison") },
    ]
}

fn decode(encoded: &Encoded) -> Result<Entry, Malformed> {
    match Entry::decode(&encoded.row)? {
        Decoded::Whole(entry) => Ok(entry),
        Decoded::Pending(pending) => {
            let (nonce, body) = encoded.object.as_ref().ok_or(Malformed("no object"))?;
            assert_eq!(pending.object(), *nonce);
            pending.finish(body)
        }
    }
}

#[test]
fn every_kind_survives_and_its_header_is_readable_alone() {
    for change in changes() {
        let entry = entry(change);
        let encoded = entry.encode(ObjectNonce([1; 8])).unwrap();
        assert_eq!(encoded.object, None);
        assert_eq!(decode(&encoded).unwrap(), entry);
        let header = Header::decode(&encoded.row).unwrap();
        assert_eq!((header.seq, header.kind), (entry.seq, entry.change.kind()));
        assert_eq!((header.nonce, header.totals), (entry.nonce, entry.totals));
    }
}

#[test]
fn any_changed_or_missing_byte_is_seen() {
    for change in changes() {
        let row = entry(change).encode(ObjectNonce([1; 8])).unwrap().row;
        for at in 0..row.len() {
            let mut damaged = row.to_vec();
            damaged[at] ^= 0x10;
            assert!(Entry::decode(&Bytes::from(damaged)).is_err(), "byte {at}");
            assert!(Entry::decode(&row.slice(..at)).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn a_usual_delivery_is_one_write_unit() {
    // The 95th percentile of summaries is 536 bytes.
    let encoded = entry(Change::Deliver(vec![arrival(1_000_000, 536)])).encode(ObjectNonce([0; 8]));
    assert!(encoded.unwrap().row.len() <= 680);
}

#[test]
fn large_bodies_go_to_an_object_and_inline_messages_stay_in_the_row() {
    let mut first = arrival(1, 0);
    first.place = ArrivalPlace::Inline(Inline::pack(&noise(1, 4_000)).unwrap());
    first.summary = Bytes::from(noise(2, 7_000));
    let second = Arrival { summary: Bytes::from(noise(3, 7_000)), ..arrival(2, 0) };
    let entry = entry(Change::Append(vec![first, second]));
    let encoded = entry.encode(ObjectNonce([9; 8])).unwrap();
    assert!(encoded.row.len() > 4_000 && encoded.row.len() < 4_200);
    assert_eq!(decode(&encoded).unwrap(), entry);
    let mut damaged = encoded;
    let (nonce, body) = damaged.object.take().unwrap();
    let mut body = body.to_vec();
    body[100] ^= 1;
    damaged.object = Some((nonce, Bytes::from(body)));
    assert!(decode(&damaged).is_err());
}

#[test]
fn what_is_over_a_limit_is_refused_before_it_is_written() {
    let too_large = |change| entry(change).encode(ObjectNonce([0; 8])).is_err();
    assert!(too_large(Change::Deliver(vec![])));
    assert!(too_large(Change::Deliver(vec![arrival(1, 0); 4097])));
    assert!(too_large(Change::Deliver(vec![arrival(1, 8 * 1024 + 1)])));
    assert!(too_large(Change::Deliver(vec![Arrival { size: 1 << 32, ..arrival(1, 1) }])));
    assert!(too_large(Change::Deliver(vec![Arrival { again: true, ..arrival(1, 0) }])));
    let inline = ArrivalPlace::Inline(Inline::pack(&noise(4, 6_000)).unwrap());
    let three = vec![Arrival { place: inline, ..arrival(1, 0) }; 3];
    assert!(too_large(Change::Append(three)));
    let odd = (0..70_000).map(|i| 2 * i + 1).collect::<UidSet>();
    assert!(too_large(Change::Expunge { mailbox: MailboxId(1), uids: odd }));
}

#[test]
fn stored_entries_are_read_for_ever() {
    use crate::golden::{Section, check};
    let sections: Vec<_> = changes()
        .into_iter()
        .map(|change| {
            let entry = entry(change);
            let row = entry.encode(ObjectNonce([1; 8])).unwrap().row;
            Section::new(format!("{:?}", entry.change.kind()), &row, &entry)
        })
        .collect();
    check("entries.txt", &sections, |_, row| {
        let row = Bytes::copy_from_slice(row);
        match Entry::decode(&row).unwrap() {
            Decoded::Whole(entry) => format!("{entry:?}"),
            Decoded::Pending(pending) => format!("{pending:?}"),
        }
    });
}

#[test]
fn no_bytes_whatever_make_the_decoder_panic() {
    let mut dice = crate::testing::Dice(11);
    for change in changes() {
        let row = entry(change).encode(ObjectNonce([1; 8])).unwrap().row;
        for _ in 0..300 {
            let mut damaged = row.to_vec();
            for _ in 0..1 + dice.below(4) {
                let at = dice.below(damaged.len());
                damaged[at] = dice.next().to_be_bytes()[0];
            }
            damaged.truncate(row.len() - dice.below(3));
            // As if the checksum had been made of these very bytes.
            let crc = row_crc(&damaged);
            damaged.splice(CRC_AT..HEADER_BYTES, crc.to_be_bytes());
            if let Ok(Decoded::Whole(entry)) = Entry::decode(&Bytes::from(damaged)) {
                // What was read can be written, or is over a limit.
                drop(entry.encode(ObjectNonce([1; 8])));
            }
        }
    }
}
