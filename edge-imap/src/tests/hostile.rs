//! Sessions on a store that fails, forgets its answers and is late: what was answered OK is there
//! exactly once, what was answered NO is not there, and the rest is one or the other (R2, R3).

use std::collections::BTreeMap;

use engine::memory::Faults;

use super::model::Dice;
use super::{Client, Office, PASSWORD, message};

/// What was said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Ok,
    No,
    /// The connection ended without an answer.
    Nothing,
}

/// Logs in, however often that takes, and selects INBOX.
async fn enter(office: &Office) -> Client {
    loop {
        let mut client = office.connect().await;
        let login = format!("LOGIN ana@example.test \"{PASSWORD}\"");
        if !matches!(ask(&mut client, &login).await, (Said::Ok, _)) {
            continue;
        }
        if matches!(ask(&mut client, "SELECT INBOX").await, (Said::Ok, _)) {
            return client;
        }
    }
}

/// Sends a command; the untagged responses, and how it ended.
async fn ask(client: &mut Client, command: &str) -> (Said, Vec<String>) {
    client.send(&format!("x {command}")).await;
    let mut responses = Vec::new();
    loop {
        match client.response().await {
            None => return (Said::Nothing, responses),
            Some(response) if response.starts_with("x OK") => return (Said::Ok, responses),
            Some(response) if response.starts_with("x ") => return (Said::No, responses),
            Some(response) if response.starts_with("* BYE") => return (Said::Nothing, responses),
            Some(response) => responses.push(response),
        }
    }
}

/// How often each subject is in INBOX and Trash.
async fn found(office: &Office) -> BTreeMap<String, usize> {
    let mut client = office.login().await;
    let mut found = BTreeMap::new();
    for mailbox in ["INBOX", "Trash"] {
        client.ok(&format!("SELECT {mailbox}")).await;
        for line in client.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").await {
            if let Some((_, rest)) = line.split_once("Subject: ") {
                *found.entry(rest.split('⏎').next().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    found
}

async fn play(seed: u64) {
    let mut dice = Dice(seed);
    let here = Office::start().await;
    let there = here.another("there");
    here.world.set_faults(Faults { full: 0, ..Faults::hostile() });
    let offices = [&here, &there];
    let mut clients = [enter(&here).await, enter(&there).await];
    let mut said: BTreeMap<String, Said> = BTreeMap::new();
    let mut gone = Vec::new();
    for number in 0..80 {
        let which = usize::try_from(dice.below(2)).unwrap();
        let client = &mut clients[which];
        let (ended, _) = match dice.below(8) {
            0..=3 => {
                let subject = format!("m{number}");
                let text = message(&subject).replace('\n', "\r\n");
                let command = format!("APPEND INBOX {{{}+}}\r\n{text}", text.len());
                let ended = ask(client, &command).await;
                said.insert(subject, ended.0);
                ended
            }
            4 => ask(client, "UID MOVE 1:3 Trash").await,
            5 => {
                let uid = dice.below(20) + 1;
                let command = format!("UID FETCH {uid} (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
                let (_, told) = ask(client, &command).await;
                let subject = told.iter().find_map(|line| line.split_once("Subject: "));
                let subject = subject.map(|(_, rest)| rest.split('⏎').next().unwrap().to_owned());
                match subject {
                    Some(subject) => {
                        // From here on it may be expunged by anybody.
                        gone.push(subject);
                        ask(client, &format!("UID STORE {uid} +FLAGS (\\Deleted)")).await
                    }
                    None => ask(client, "NOOP").await,
                }
            }
            6 => ask(client, "EXPUNGE").await,
            _ => ask(client, "NOOP").await,
        };
        if ended == Said::Nothing {
            clients[which] = enter(offices[which]).await;
        }
    }
    here.world.set_faults(Faults::default());
    let found = found(&here).await;
    for (subject, said) in said {
        let count = found.get(&subject).copied().unwrap_or(0);
        let may_be_gone = gone.contains(&subject);
        match said {
            Said::Ok if may_be_gone => assert!(count <= 1, "seed {seed}: {subject} twice"),
            Said::Ok => assert_eq!(count, 1, "seed {seed}: {subject} was answered OK"),
            Said::No => assert_eq!(count, 0, "seed {seed}: {subject} was answered NO"),
            Said::Nothing => assert!(count <= 1, "seed {seed}: {subject} twice"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_true_on_a_hostile_store() {
    for seed in 0..12 {
        play(seed).await;
    }
}
