use bytes::Bytes;
use engine::Nonce;
use mail::{Envelope, Path, Recipient, RecordId, Timestamp, WriterId};

use super::*;
use crate::testing::{Dice, noise};

fn record_id(counter: u64) -> RecordId {
    RecordId { writer: WriterId([0x5e; 16]), counter }
}

fn envelope(recipients: usize) -> Envelope {
    let path = |n: usize| Path::parse(&format!("u{n}@example.test")).unwrap();
    Envelope::new(Some(path(0)), (0..recipients).map(|n| Recipient::new(path(n))).collect())
}

fn new_record(prefix: &[u8], body: NewBody) -> NewRecord {
    let summary = Bytes::from_static(b"summary");
    let verdicts = Bytes::from_static(b"spf=pass");
    NewRecord::new(Timestamp(1_800_000_000_000), Some(envelope(2)), verdicts, summary, prefix, body)
        .unwrap()
}

fn object(parts: &[Bytes]) -> Bytes {
    Bytes::from(parts.concat())
}

fn index(object: &Bytes) -> Index {
    match Index::read(object).unwrap() {
        Read::Whole(index) => index,
        Read::Short(bytes) => panic!("short of {bytes}"),
    }
}

/// Reads a part as a store would: by ranges only.
fn read(location: &Location, object: &Bytes, big: &Bytes, range: std::ops::Range<u64>) -> Bytes {
    let get = |object: &Bytes, range: std::ops::Range<u64>| {
        object.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
    };
    let reading = location.reading(range);
    let own = reading.own().map(|range| get(object, range)).unwrap_or_default();
    let big = reading.big().map(|(_, range)| get(big, range)).unwrap_or_default();
    reading.finish(&own, &big).unwrap()
}

#[test]
fn any_part_of_any_record_comes_back() {
    let bodies: Vec<Vec<u8>> = vec![
        b"Subject: hi\r\n\r\nhello\r\n".to_vec(),
        Vec::new(),
        b"abcdefgh".repeat(100_000),
        noise(5, FRAME_BYTES * 2 + 77),
        noise(6, FRAME_BYTES),
    ];
    let mut builder = Builder::new(Nonce([1; 8]));
    for (counter, body) in (1..).zip(&bodies) {
        let number =
            builder.add(record_id(counter), &new_record(b"Received: x\r\n", NewBody::of(body)));
        assert_eq!(u64::from(number) + 1, counter);
    }
    let object = object(&builder.finish());
    let index = index(&object);
    let mut dice = Dice(3);
    for (record, body) in index.records.iter().zip(&bodies) {
        let whole = [b"Received: x\r\n", &body[..]].concat();
        let location = &record.location;
        assert_eq!(location.size(), whole.len() as u64);
        let none = Bytes::new();
        assert_eq!(read(location, &object, &none, 0..u64::MAX), whole);
        for _ in 0..200 {
            let from = dice.below(whole.len() + 2);
            let to = from + dice.below(whole.len() + 2 - from.min(whole.len() + 1));
            let expected = &whole[from.min(whole.len())..to.min(whole.len())];
            assert_eq!(read(location, &object, &none, from as u64..to as u64), expected);
        }
    }
    assert_eq!(index.records[0].envelope, Some(envelope(2)));
    assert_eq!(index.records[0].verdicts, "spf=pass");
}

#[test]
fn a_partial_read_gets_only_the_frames_it_needs() {
    let mut builder = Builder::new(Nonce([1; 8]));
    builder.add(record_id(1), &new_record(b"", NewBody::of(&noise(1, FRAME_BYTES * 4))));
    let object = object(&builder.finish());
    let location = index(&object).records[0].location.clone();
    let frame = FRAME_BYTES as u64;
    let range = location.reading(frame + 5..frame + 6).own().unwrap();
    assert_eq!(range.end - range.start, frame);
    let range = location.reading(frame - 1..frame + 1).own().unwrap();
    assert_eq!(range.end - range.start, 2 * frame);
    assert_eq!(location.reading(7..7).own(), None);
}

#[test]
fn a_big_message_is_framed_while_it_streams_and_read_from_its_own_object() {
    let body = noise(9, 3 * FRAME_BYTES + 1000);
    let mut framer = Framer::new();
    let mut big = big_head().to_vec();
    for piece in body.chunks(10_007) {
        framer.push(piece);
        framer.take_stored().iter().for_each(|stored| big.extend_from_slice(stored));
    }
    let (last, new_body) = framer.finish_big();
    last.iter().for_each(|stored| big.extend_from_slice(stored));
    let big = Bytes::from(big);
    assert!(big.starts_with(b"PBIG\x01"));
    let new = new_record(b"Return-Path: <>\r\n", new_body.in_big(record_id(77)));
    let mut builder = Builder::new(Nonce([1; 8]));
    builder.add(record_id(1), &new);
    let object = object(&builder.finish());
    assert!(object.len() < 1_000);
    let record = &index(&object).records[0];
    assert_eq!(record.location.big(), Some(record_id(77)));
    let whole = [b"Return-Path: <>\r\n", &body[..]].concat();
    assert_eq!(read(&record.location, &object, &big, 0..u64::MAX), whole);
    assert_eq!(read(&record.location, &object, &big, 3..9), whole[3..9]);
    let at = FRAME_BYTES + 20;
    assert_eq!(read(&record.location, &object, &big, at as u64..at as u64 + 4), whole[at..at + 4]);
    // Compaction moves it into an account segment, frames as they are.
    let own = record.location.stored_range();
    let own = object.slice(usize::try_from(own.start).unwrap()..usize::try_from(own.end).unwrap());
    let (_, range) = record.location.big_range().unwrap();
    let frames = big.slice(usize::try_from(range.start).unwrap()..);
    let copied = NewRecord::copied(record, &own, Some(&frames)).unwrap();
    let mut builder = Builder::account(Nonce([2; 8]));
    builder.add(record_id(1), &copied);
    let moved = self::object(&builder.finish());
    let moved_index = index(&moved);
    assert_eq!((moved_index.kind, &moved_index.records[0].envelope), (Kind::Account, &None));
    let location = &moved_index.records[0].location;
    assert_eq!(read(location, &moved, &Bytes::new(), 0..u64::MAX), whole);
    let mut damaged = frames.to_vec();
    damaged[9] ^= 1;
    assert!(NewRecord::copied(record, &own, Some(&Bytes::from(damaged))).is_none());
}

#[test]
fn locations_come_first_and_tell_how_much_is_missing() {
    let mut builder = Builder::new(Nonce([1; 8]));
    for counter in 1..=200 {
        builder.add(record_id(counter), &new_record(b"P: 1\r\n", NewBody::of(b"body\r\n")));
    }
    let object = object(&builder.finish());
    let Read::Short(locations) = Locations::read(&object.slice(..HEAD_BYTES)).unwrap() else {
        panic!("40 bytes hold no location");
    };
    let Read::Short(all) = Index::read(&object.slice(..HEAD_BYTES)).unwrap() else {
        panic!("40 bytes hold no index");
    };
    assert!(locations < all);
    let start = object.slice(..usize::try_from(locations).unwrap());
    let Read::Whole(read) = Locations::read(&start).unwrap() else { panic!("enough") };
    let whole = index(&object.slice(..usize::try_from(all).unwrap()));
    assert_eq!(read, whole.locations());
    assert_eq!(read.records.len(), 200);
    assert!(locations < 200 * 70);
}

#[test]
fn every_changed_byte_is_seen() {
    let mut builder = Builder::new(Nonce([1; 8]));
    let body = b"hello hello hello hello hello hello hello hello hello".repeat(3);
    builder.add(record_id(1), &new_record(b"Received: by us\r\n", NewBody::of(&body)));
    builder.add(record_id(2), &new_record(b"", NewBody::of(&noise(1, 100))));
    let object = object(&builder.finish());
    for at in 0..object.len() {
        let mut damaged = object.to_vec();
        damaged[at] ^= 0x40;
        let damaged = Bytes::from(damaged);
        let Ok(Read::Whole(index)) = Index::read(&damaged) else { continue };
        let seen = index.records.iter().any(|record| {
            let reading = record.location.reading(0..u64::MAX);
            let own = reading.own().unwrap();
            let range = usize::try_from(own.start).unwrap()..usize::try_from(own.end).unwrap();
            reading.finish(&damaged.slice(range), &Bytes::new()).is_err()
        });
        assert!(seen, "byte {at}");
    }
    for cut in 0..HEAD_BYTES {
        assert!(Index::read(&object.slice(..cut)).is_err());
    }
}

#[test]
fn tombstones_are_told_from_segments() {
    for kind in [Tombstone::Closed, Tombstone::End] {
        let object = tombstone_object(kind, Nonce([3; 8]));
        assert_eq!(tombstone(&object), Some(kind));
        let index = index(&object);
        assert_eq!((index.kind, index.records.len()), (Kind::Tombstone(kind), 0));
    }
    let mut builder = Builder::new(Nonce([1; 8]));
    builder.add(record_id(1), &new_record(b"", NewBody::of(b"x")));
    assert_eq!(tombstone(&object(&builder.finish())), None);
    assert_eq!(tombstone(b""), None);
}

#[test]
fn a_segment_is_full_by_bytes_records_or_recipients() {
    let large = new_record(b"", NewBody::of(&noise(1, 1024 * 1024)));
    let mut builder = Builder::new(Nonce([0; 8]));
    let mut counter = 0;
    while builder.has_room(&large) {
        counter += 1;
        builder.add(record_id(counter), &large);
    }
    assert_eq!(counter, 7);
    let small = new_record(b"", NewBody::of(b"x"));
    let mut builder = Builder::new(Nonce([0; 8]));
    while builder.has_room(&small) {
        builder.add(record_id(1), &small);
    }
    assert_eq!(builder.len(), 200); // two recipients each
    assert!(
        NewRecord::new(
            Timestamp(0),
            None,
            Bytes::from(vec![0; VERDICTS_BYTES_MAX + 1]),
            Bytes::new(),
            b"",
            NewBody::of(b""),
        )
        .is_none()
    );
}

#[test]
fn stored_segments_are_read_for_ever() {
    use crate::golden::{Section, check};
    let small = new_record(b"Received: x\r\n", NewBody::of(b"Subject: hi\r\n\r\nhello\r\n"));
    let repeated = new_record(b"", NewBody::of(&[b'a'; 300]));
    let mut framer = Framer::new();
    framer.push(&noise(3, FRAME_BYTES + 1));
    let (_, big) = framer.finish_big();
    let big = new_record(b"", big.in_big(record_id(9)));
    let mut builder = Builder::new(Nonce(*b"NONCE-01"));
    for (counter, record) in (1..).zip([&small, &big]) {
        builder.add(record_id(counter), record);
    }
    let ingest = object(&builder.finish());
    let mut builder = Builder::account(Nonce(*b"NONCE-02"));
    builder.add(
        record_id(5),
        &NewRecord::new(
            Timestamp(1),
            None,
            Bytes::new(),
            Bytes::from_static(b"summary"),
            b"",
            NewBody::of(b"x"),
        )
        .unwrap(),
    );
    let account = object(&builder.finish());
    let mut builder = Builder::made(Nonce(*b"NONCE-03"));
    builder.add(record_id(6), &new_record(b"P: 1\r\n", NewBody::of(b"y")));
    let made = object(&builder.finish());
    let closed = tombstone_object(Tombstone::Closed, Nonce(*b"NONCE-04"));
    let end = tombstone_object(Tombstone::End, Nonce(*b"NONCE-05"));
    let all = [
        ("ingest", ingest),
        ("account", account),
        ("made", made),
        ("closed", closed),
        ("end", end),
    ];
    let mut sections: Vec<_> =
        all.iter().map(|(title, object)| Section::new(*title, object, &index(object))).collect();
    sections.push(Section::new("start of a big object", &big_head(), &"PBIG 1"));
    check("segments.txt", &sections, |title, bytes| {
        if title == "start of a big object" {
            return format!("{:?}", "PBIG 1");
        }
        format!("{:?}", index(&Bytes::copy_from_slice(bytes)))
    });
    // A compressed frame is read for ever too; what zstd writes may change.
    let mut builder = Builder::new(Nonce([0; 8]));
    builder.add(record_id(1), &repeated);
    let object = object(&builder.finish());
    assert!(object.len() < 300);
    let location = &index(&object).records[0].location;
    assert_eq!(read(location, &object, &Bytes::new(), 0..u64::MAX), vec![b'a'; 300]);
}

#[test]
fn no_bytes_whatever_make_the_reader_of_indexes_panic() {
    let mut builder = Builder::new(Nonce([1; 8]));
    builder.add(record_id(1), &new_record(b"Received: x\r\n", NewBody::of(&noise(1, 600))));
    builder.add(record_id(2), &new_record(b"", NewBody::of(b"x").in_big(record_id(9))));
    let object = object(&builder.finish());
    let number = |at: usize| u32::from_be_bytes(object[at..at + 4].try_into().unwrap()) as usize;
    let (locations, details) = (number(20), number(28));
    let mut dice = Dice(12);
    for _ in 0..4_000 {
        let mut damaged = object.to_vec();
        for _ in 0..1 + dice.below(3) {
            let at = HEAD_BYTES + dice.below(locations + details);
            damaged[at] = dice.next().to_be_bytes()[0];
        }
        // As if the checksums had been made of these very bytes.
        let split = HEAD_BYTES + locations;
        let crc = crc32fast::hash(&damaged[HEAD_BYTES..split]).to_be_bytes();
        damaged.splice(24..28, crc);
        let crc = crc32fast::hash(&damaged[split..split + details]).to_be_bytes();
        damaged.splice(32..36, crc);
        let crc = crc32fast::hash(&damaged[..36]).to_be_bytes();
        damaged.splice(36..40, crc);
        let Ok(Read::Whole(index)) = Index::read(&Bytes::from(damaged)) else { continue };
        for record in &index.records {
            let reading = record.location.reading(0..dice.next());
            drop(reading.finish(&Bytes::new(), &Bytes::new()));
        }
    }
}
