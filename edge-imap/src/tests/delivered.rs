//! Mail that came by SMTP: what we put before it, and bodies that lie in segments.

use bytes::Bytes;
use mail::envelope::{BodyType, Envelope, Recipient};
use mail::{Address, FlagSet, Path};
use store::Accept;
use store::change::{Arrival, ArrivalPlace, Change, MailboxId};
use store::names;
use store::place::{SegmentRef, Slot};

use super::Office;

const PREFIX: &str = "Return-Path: <s@sender.test>\r\nReceived: from sender.test\r\n\tby us\r\n";

impl Office {
    /// Accepts a message and files it in ana's INBOX, as `deliver` does.
    async fn deliver(&self, message: &str) {
        let mut incoming = self.store.ingest().begin().await.unwrap();
        incoming.write(message.as_bytes()).await.unwrap();
        let path = Path::parse("ana@example.test").unwrap();
        let envelope = Envelope {
            sender: Some(Path::parse("s@sender.test").unwrap()),
            recipients: vec![Recipient::new(path)],
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        };
        let (prefix, verdicts) = (Bytes::from_static(PREFIX.as_bytes()), Bytes::new());
        incoming.commit(Accept { envelope, prefix, verdicts }).await.unwrap();
        let keys = self.world.object_keys();
        let key = keys.iter().rfind(|key| key.as_str().starts_with("ingest/")).unwrap();
        let (writer, number) = names::parse_ingest(key).unwrap();
        let index = self.store.segment_index(key).await.unwrap().unwrap();
        let segment = SegmentRef::Ingest { writer, number };
        let arrivals = (0_u32..).zip(&index.records).map(|(at, record)| Arrival {
            record: record.location.id,
            again: false,
            mailbox: MailboxId::INBOX,
            flags: FlagSet::default(),
            date: record.received,
            size: record.location.size(),
            place: ArrivalPlace::Slot(Slot { segment, index: at }),
            summary: record.summary.clone(),
        });
        let arrivals: Vec<Arrival> = arrivals.collect();
        let address = Address::parse("ana@example.test").unwrap();
        let entry = self.store.directory().login(&address).await.unwrap().unwrap();
        let log = self.store.account(entry.account()).await.unwrap();
        log.change(|_| Ok::<_, ()>(Change::Deliver(arrivals.clone()))).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_we_put_before_a_message_is_part_of_it() {
    let office = Office::start().await;
    let mut client = office.login().await;
    let body = "--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>two\r\n--b--\r\n";
    let header = "Subject: hi\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    office.deliver(&format!("{header}{body}")).await;
    client.ok("SELECT INBOX").await;
    for (section, expected) in [
        ("", format!("{PREFIX}{header}{body}")),
        ("HEADER", format!("{PREFIX}{header}")),
        ("TEXT", body.to_owned()),
        ("1", "one".to_owned()),
        ("2", "<p>two".to_owned()),
        ("2.MIME", "Content-Type: text/html\r\n\r\n".to_owned()),
        ("HEADER.FIELDS (SUBJECT)", "Subject: hi\r\n\r\n".to_owned()),
        (
            "HEADER.FIELDS (RECEIVED SUBJECT)",
            "Received: from sender.test\r\n\tby us\r\nSubject: hi\r\n\r\n".to_owned(),
        ),
    ] {
        let responses = client.ok(&format!("FETCH 1 BODY.PEEK[{section}]")).await;
        let shown = expected.replace("\r\n", "⏎");
        let expected = format!("* 1 FETCH (BODY[{section}] {{{}}}⏎{shown})", expected.len());
        assert_eq!(responses[0], expected);
    }
    for (keys, expected) in [
        ("HEADER Received sender.test", " 1"),
        ("HEADER Return-Path s@", " 1"),
        ("BODY sender.test", ""),
        ("TEXT sender.test", " 1"),
        ("BODY two", " 1"),
    ] {
        let found = client.ok(&format!("SEARCH {keys}")).await;
        assert_eq!(found[0], format!("* SEARCH{expected}"), "{keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn large_messages_come_back_byte_for_byte() {
    let office = Office::start().await;
    let mut client = office.login().await;
    let line = |number: u32| format!("{number:08x} {:08x}\r\n", number.wrapping_mul(2_654_435_761));
    let lines = |count: u32| (0..count).map(line).collect::<String>();
    let delivered = format!("Subject: large\r\n\r\n{}needle in the end\r\n", lines(100_000));
    office.deliver(&delivered).await;
    let appended = format!("Subject: mine\r\n\r\n{}", lines(60_000));
    client.ok(&format!("APPEND INBOX {{{}+}}\r\n{appended}", appended.len())).await;
    client.ok("SELECT INBOX").await;
    for (number, expected) in [(1, format!("{PREFIX}{delivered}")), (2, appended)] {
        let fetched = client.ok(&format!("FETCH {number} BODY.PEEK[]")).await;
        let shown = expected.replace("\r\n", "⏎");
        assert!(fetched[0].contains(&shown), "message {number} differs");
        let start = expected.len() - 300_000;
        let part = client.ok(&format!("FETCH {number} BODY.PEEK[]<{start}.280000>")).await;
        let shown = expected[start..start + 280_000].replace("\r\n", "⏎");
        assert!(part[0].contains(&shown), "part of message {number} differs");
    }
    assert_eq!(client.ok("SEARCH BODY \"Needle in\"").await[0], "* SEARCH 1");
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_reads_no_body() {
    let office = Office::start().await;
    let mut client = office.login().await;
    for number in 0..5 {
        office.deliver(&format!("Subject: m{number}\r\nFrom: a@b.test\r\n\r\ntext\r\n")).await;
    }
    client.ok("SELECT INBOX").await;
    // Another process, which has nothing of it in memory.
    let other = office.another("other");
    let mut reader = other.login().await;
    reader.ok("SELECT INBOX").await;
    let gets = || other.store.engines().counters.counts().object_gets;
    let before = gets();
    for command in [
        "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE)",
        "FETCH 1:* BODY.PEEK[HEADER.FIELDS (FROM TO CC SUBJECT DATE MESSAGE-ID REFERENCES)]",
        "SEARCH SUBJECT m3 FROM a@ SENTSINCE 1-Jan-1970",
        "SEARCH HEADER LIST-ID x NOT SEEN",
        "STATUS INBOX (MESSAGES SIZE)",
    ] {
        reader.ok(command).await;
        assert_eq!(gets(), before, "{command}");
    }
    reader.ok("FETCH 3 BODY.PEEK[]").await;
    assert!(gets() > before);
}
