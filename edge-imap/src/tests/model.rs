//! Random sessions at two edges, against clients that believe only what they are told: what such
//! a client knows must be what is there (I4), with plain, CONDSTORE and QRESYNC sessions alike.

use std::collections::BTreeMap;

use super::{Client, Office, message};

/// A small, seeded source of choices.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What a client knows of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    uid: Option<u32>,
    flags: Option<String>,
}

/// A client and what it has been told.
struct Reader {
    client: Client,
    qresync: bool,
    known: Vec<Known>,
    validity: String,
    modseq: u64,
}

impl Reader {
    async fn start(office: &Office, qresync: bool) -> Self {
        let client = office.login().await;
        let (validity, modseq) = (String::new(), 0);
        let mut reader = Self { client, qresync, known: Vec::new(), validity, modseq };
        if qresync {
            reader.client.ok("ENABLE QRESYNC").await;
        }
        reader.run("SELECT INBOX").await;
        reader.learn().await;
        reader
    }

    /// Sends a command and believes the answers. Returns the tagged one.
    async fn run(&mut self, command: &str) -> String {
        let mut responses = self.client.command(command).await;
        let last = responses.pop().unwrap();
        let mut highest = self.modseq;
        for response in &responses {
            highest = highest.max(self.hear(response));
        }
        if let Some(told) = code(&last, "HIGHESTMODSEQ ") {
            highest = highest.max(told);
        }
        // Expunges wait while messages are counted by number (RFC 7162 §3.2.10), and so must the
        // client with what it takes as known.
        let waits = ["FETCH", "STORE", "SEARCH"].iter().any(|word| command.starts_with(word));
        if !waits {
            self.modseq = highest;
        }
        last
    }

    /// Believes one response; returns the modseq that it tells.
    fn hear(&mut self, response: &str) -> u64 {
        let words: Vec<&str> = response.split(' ').collect();
        match words.as_slice() {
            ["*", count, "EXISTS"] => {
                let count: usize = count.parse().unwrap();
                assert!(count >= self.known.len(), "EXISTS never takes away: {response}");
                self.known.resize_with(count, Known::default);
            }
            ["*", number, "EXPUNGE"] => {
                assert!(!self.qresync, "VANISHED is told instead");
                self.known.remove(number.parse::<usize>().unwrap() - 1);
            }
            ["*", "VANISHED", rest @ ..] => {
                let uids = mail::UidSet::parse(rest.last().unwrap(), 0).unwrap();
                uids.iter().for_each(|uid| self.vanish(uid));
            }
            ["*", number, "FETCH", ..] => {
                let number: usize = number.parse().unwrap();
                let known = self.known.get_mut(number - 1).expect("a number that was told");
                if let Some(uid) = code(response, "UID ") {
                    let uid = u32::try_from(uid).unwrap();
                    assert!(known.uid.is_none_or(|known| known == uid), "numbers are stable");
                    known.uid = Some(uid);
                }
                if let Some((_, flags)) = response.split_once("FLAGS (") {
                    known.flags = flags.split_once(')').map(|(flags, _)| flags.to_owned());
                }
                return code(response, "MODSEQ (").unwrap_or(0);
            }
            ["*", "OK", "[HIGHESTMODSEQ", ..] => return code(response, "HIGHESTMODSEQ ").unwrap(),
            ["*", "OK", "[UIDVALIDITY", validity, ..] => {
                self.validity = validity.trim_end_matches(']').to_owned();
            }
            _ => {}
        }
        0
    }

    /// Takes out a message that it knows, or whose UID it was not told yet: then the one whose
    /// neighbours say that it could have it.
    fn vanish(&mut self, gone: u32) {
        let after = self.known.iter().position(|known| known.uid.is_some_and(|uid| uid >= gone));
        let after = after.unwrap_or(self.known.len());
        if self.known.get(after).is_some_and(|known| known.uid == Some(gone)) {
            self.known.remove(after);
        } else {
            let before = self.known[..after].iter().rposition(|known| known.uid.is_none());
            self.known.remove(before.expect("a message that was told of vanishes"));
        }
    }

    /// Asks for what it has only heard the number of.
    async fn learn(&mut self) {
        while let Some(first) = self.known.iter().position(|known| known.uid.is_none()) {
            let all = self.known.len();
            self.run(&format!("FETCH {}:{all} (UID FLAGS)", first + 1)).await;
            if self.known.len() == all {
                break;
            }
        }
    }

    /// Comes back with what it knows, and is told the rest (RFC 7162 §3.2.5).
    async fn come_back(&mut self, office: &Office) {
        self.client = office.login().await;
        self.client.ok("ENABLE QRESYNC").await;
        let modseq = self.modseq.max(1);
        let command = format!("SELECT INBOX (QRESYNC ({} {modseq}))", self.validity);
        let responses = self.client.command(&command).await;
        // A client keeps what it knows without gaps; behind the first gap it asks again.
        let gap = self.known.iter().position(|known| known.uid.is_none());
        self.known.truncate(gap.unwrap_or(self.known.len()));
        let mut before: BTreeMap<u32, Known> =
            self.known.drain(..).filter_map(|known| Some((known.uid?, known))).collect();
        let vanished = responses.iter().filter_map(|r| r.strip_prefix("* VANISHED (EARLIER) "));
        for uids in vanished {
            let uids = mail::UidSet::parse(uids, 0).unwrap();
            before.retain(|uid, _| !uids.contains(*uid));
        }
        // What is left stands in the order of UIDs; what is new stands behind.
        self.known = before.into_values().collect();
        for response in &responses {
            if !response.contains("VANISHED") {
                let modseq = self.hear(response);
                self.modseq = self.modseq.max(modseq);
            }
        }
        self.learn().await;
    }
}

/// The number behind `name`.
fn code(response: &str, name: &str) -> Option<u64> {
    let (_, rest) = response.split_once(name)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The set of one to three messages, by UID.
fn some_uids(dice: &mut Dice, most: u64) -> String {
    let first = dice.below(most) + 1;
    format!("{first}:{}", first + dice.below(3))
}

async fn step(dice: &mut Dice, reader: &mut Reader, office: &Office, number: u64) {
    let uids = some_uids(dice, number / 3 + 2);
    let flag =
        ["\\Seen", "\\Flagged", "$Work", "\\Answered"][usize::try_from(dice.below(4)).unwrap()];
    let sign = if dice.below(2) == 0 { "+" } else { "-" };
    let silent = if dice.below(2) == 0 { ".SILENT" } else { "" };
    let messages = reader.known.len() as u64;
    match dice.below(12) {
        0 | 1 => {
            let message = message(&format!("m{number}")).replace('\n', "\r\n");
            reader.run(&format!("APPEND INBOX {{{}+}}\r\n{message}", message.len())).await;
        }
        2 => {
            reader.run(&format!("UID STORE {uids} {sign}FLAGS{silent} ({flag})")).await;
            // After `.SILENT` a client takes its own change for done; a careful one asks what was
            // really there.
            if !silent.is_empty() {
                reader.run(&format!("UID FETCH {uids} (FLAGS)")).await;
            }
        }
        3 if messages > 0 => {
            let msn = dice.below(messages) + 1;
            reader.run(&format!("STORE {msn} {sign}FLAGS ({flag})")).await;
        }
        4 => drop(reader.run(&format!("UID STORE {uids} +FLAGS (\\Deleted)")).await),
        5 => drop(reader.run("EXPUNGE").await),
        6 => drop(reader.run(&format!("UID MOVE {uids} Trash")).await),
        7 => drop(reader.run(&format!("UID COPY {uids} INBOX")).await),
        8 if messages > 0 => {
            let msn = dice.below(messages) + 1;
            reader.run(&format!("FETCH {msn} (UID FLAGS BODY[])")).await;
        }
        9 => drop(reader.run("NOOP").await),
        10 if reader.qresync => reader.come_back(office).await,
        _ => reader.learn().await,
    }
}

async fn play(seed: u64) {
    let mut dice = Dice(seed);
    let here = Office::start().await;
    let there = here.another("there");
    let mut readers = Vec::new();
    for number in 0..4_u64 {
        let office = if number % 2 == 0 { &here } else { &there };
        readers.push((Reader::start(office, number >= 2).await, office));
    }
    for number in 0..120 {
        let which = usize::try_from(dice.below(4)).unwrap();
        let (reader, office) = &mut readers[which];
        step(&mut dice, reader, office, number).await;
    }
    let mut fresh = Reader::start(&here, false).await;
    fresh.run("FETCH 1:* (UID FLAGS)").await;
    for (number, (reader, office)) in readers.iter_mut().enumerate() {
        reader.run("NOOP").await;
        reader.learn().await;
        assert_eq!(reader.known, fresh.known, "seed {seed}, session {number}");
        if reader.qresync {
            reader.come_back(office).await;
            assert_eq!(reader.known, fresh.known, "seed {seed}, session {number} come back");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_believe_what_they_are_told_know_what_is_there() {
    for seed in 0..10 {
        play(seed).await;
    }
}
