//! Summaries that are missing, damaged, or were cut for want of room: the message itself is read
//! instead, and clients see no difference.

use bytes::Bytes;
use mail::summary::{SUMMARY_BYTES_MAX, Summary};
use mail::{Address, FlagSet, Timestamp};
use store::change::{Change, MailboxId};
use store::{LogError, names};

use super::fetching::NESTED;
use super::{Client, Office};

/// What clients list and read, but for what sets flags.
const ITEMS: [&str; 19] = [
    "ENVELOPE",
    "BODY",
    "BODYSTRUCTURE",
    "RFC822.SIZE",
    "RFC822.HEADER",
    "BODY.PEEK[]",
    "BODY.PEEK[HEADER]",
    "BODY.PEEK[TEXT]",
    "BODY.PEEK[HEADER.FIELDS (SUBJECT TO)]",
    "BODY.PEEK[HEADER.FIELDS (X-ODD TO)]",
    "BODY.PEEK[HEADER.FIELDS.NOT (TO)]",
    "BODY.PEEK[1]",
    "BODY.PEEK[2.MIME]",
    "BODY.PEEK[3.HEADER]",
    "BODY.PEEK[3.HEADER.FIELDS (SUBJECT)]",
    "BODY.PEEK[3.TEXT]",
    "BODY.PEEK[9]",
    "BINARY.PEEK[2]",
    "BINARY.SIZE[2]",
];

const KEYS: [&str; 9] = [
    "SUBJECT gr",
    "FROM ana",
    "TO d@example",
    "HEADER Message-ID n@",
    "HEADER X-Odd odd",
    "SENTON 24-Nov-2026",
    "BODY inner",
    "TEXT caf",
    "SUBJECT nowhere",
];

impl Office {
    /// Files a message in ana's INBOX with the summary that `change` makes of its own.
    async fn file(&self, message: &str, change: impl FnOnce(Bytes) -> Bytes) {
        let log = self.log().await;
        let mut body = log.append_body();
        body.write(message.replace('\n', "\r\n").as_bytes()).await.unwrap();
        let appended = body.end().await.unwrap();
        let mut arrival =
            appended.arrival(MailboxId::INBOX, FlagSet::default(), Timestamp::default());
        arrival.summary = change(arrival.summary);
        let arrivals = vec![arrival];
        log.change(|_| Ok::<_, ()>(Change::Append(arrivals.clone()))).await.unwrap();
    }

    async fn log(&self) -> std::sync::Arc<store::AccountLog> {
        let address = Address::parse("ana@example.test").unwrap();
        let entry = self.store.directory().login(&address).await.unwrap().unwrap();
        self.store.account(entry.account()).await.unwrap()
    }
}

/// Every message says the same as the first, to every question.
async fn check(client: &mut Client, messages: usize) {
    client.ok("SELECT INBOX").await;
    for items in ITEMS {
        let said = client.ok(&format!("FETCH 1:* {items}")).await;
        assert_eq!(said.len(), messages + 1, "{items}: {said:?}");
        let without_number = |response: &String| response.replacen(char::is_numeric, "", 1);
        let first = without_number(&said[0]);
        for response in &said[..messages] {
            assert_eq!(without_number(response), first, "{items}");
        }
    }
    let all: String = (1..=messages).map(|number| format!(" {number}")).collect();
    for keys in KEYS {
        let expected = if keys.contains("nowhere") { "" } else { &all };
        let found = client.ok(&format!("SEARCH {keys}")).await;
        assert_eq!(found[0], format!("* SEARCH{expected}"), "{keys}");
    }
}

/// As summaries are cut when nothing else helps, keeping what is right in any case.
fn cut(encoded: &Bytes) -> Bytes {
    let mut summary = Summary::decode(encoded).unwrap();
    let structure =
        mail::part::Part::plain(summary.structure.header.clone(), summary.structure.body.clone());
    summary.fields.clear();
    summary.preview.clear();
    summary.structure = structure;
    summary.cut = true;
    summary.encode().into()
}

#[tokio::test(start_paused = true)]
async fn a_summary_that_is_no_use_is_made_again_from_the_message() {
    let office = Office::start().await;
    office.file(NESTED, |good| good).await;
    office.file(NESTED, |good| cut(&good)).await;
    office.file(NESTED, |_| Bytes::new()).await;
    office.file(NESTED, |_| Bytes::from_static(b"no summary")).await;
    office.file(NESTED, |good| good.slice(..good.len() / 2)).await;
    office.file(NESTED, |good| [&good[..], b"x"].concat().into()).await;
    let mut client = office.login().await;
    check(&mut client, 6).await;
    // And when they come from a checkpoint, in a process that has nothing in memory.
    office.log().await.checkpoint().await.unwrap();
    let mut other = office.another("other").login().await;
    check(&mut other, 6).await;
}

#[tokio::test(start_paused = true)]
async fn summaries_whose_chunk_is_damaged_are_made_again() {
    let office = Office::start().await;
    for _ in 0..2 {
        office.file(NESTED, |good| good).await;
    }
    let log = office.log().await;
    log.checkpoint().await.unwrap();
    let prefix = names::chunk_prefix(log.account());
    let mut keys = office.world.object_keys();
    keys.retain(|key| key.as_str().starts_with(&prefix));
    let objects = office.store.engines().objects.clone();
    // Other things lie in these objects, too: the byte is found by who misses it.
    for key in keys {
        let good = objects.get(&key).await.unwrap().unwrap();
        for at in (0..good.len()).step_by(16) {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1;
            objects.delete(&key).await.unwrap();
            objects.put(&key, &[bytes.into()]).await.unwrap();
            let other = office.another(&format!("{key} {at}"));
            let Ok(log) = other.store.account(log.account()).await else { continue };
            if let Err(LogError::Damaged(_)) = log.encoded_summaries(&[0, 1]).await {
                return check(&mut other.login().await, 2).await;
            }
        }
        objects.delete(&key).await.unwrap();
        objects.put(&key, &[good]).await.unwrap();
    }
    panic!("no summary is in a chunk");
}

/// More addresses and parts than a summary has room for.
#[tokio::test(start_paused = true)]
async fn what_a_summary_has_no_room_for_is_read_from_the_message() {
    let office = Office::start().await;
    let noise = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let people: Vec<String> =
        (0..900).map(|number| format!("p{:x}@example.test", noise(number))).collect();
    let parts: String = (0..600)
        .map(|number| {
            let name = noise(number + 5_000);
            format!("--b\nContent-Type: text/plain; name=f{name:x}\n\npart {number}\n")
        })
        .collect();
    let to = format!("To: {}\n", people.join(",\n "));
    let message = format!(
        "From: ana@example.test\n{to}Subject: many\nContent-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"
    );
    let mut encoded = Bytes::new();
    office
        .file(&message, |summary| {
            encoded = summary.clone();
            summary
        })
        .await;
    assert!(encoded.len() <= SUMMARY_BYTES_MAX && Summary::decode(&encoded).unwrap().cut);
    let mut client = office.login().await;
    client.ok("SELECT INBOX").await;
    let envelope = client.ok("FETCH 1 ENVELOPE").await;
    let last = people.last().unwrap().split('@').next().unwrap();
    assert!(envelope[0].contains(&format!("(NIL NIL \"{last}\" \"example.test\"))")), "addresses");
    let structure = client.ok("FETCH 1 BODYSTRUCTURE").await;
    let name = format!("\"f{:x}\"", noise(5_599));
    assert!(structure[0].contains(&name), "parts");
    let fields = client.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS (TO SUBJECT)]").await;
    let shown = format!("{to}Subject: many\n\n").replace('\n', "⏎");
    assert!(fields[0].contains(&shown), "{}", fields[0]);
    let part = client.ok("FETCH 1 BODY.PEEK[600]").await;
    assert!(part[0].contains("⏎part 599)"), "{}", part[0]);
    for keys in [format!("TO {last}@"), format!("HEADER To {last}"), "BODY \"part 599\"".to_owned()]
    {
        assert_eq!(client.ok(&format!("SEARCH {keys}")).await[0], "* SEARCH 1", "{keys}");
    }
}
