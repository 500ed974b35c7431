//! Who gets in, and that all who do not look alike (C1).

use store::rows::{AccountRow, DirectoryChange};

use super::{Office, PASSWORD, credentials};

#[tokio::test(start_paused = true)]
async fn wrong_passwords_and_unknown_users_get_the_same_reply() {
    let office = Office::start().await;
    let mut replies = Vec::new();
    for user in ["ana@example.test", "nobody@example.test", "not an address", "ana"] {
        let mut client = office.connect().await;
        replies.push(client.command(&format!("LOGIN \"{user}\" wrong")).await);
    }
    replies.dedup();
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert!(replies[0][0].contains("NO [AUTHENTICATIONFAILED]"), "{replies:?}");
}

#[tokio::test(start_paused = true)]
async fn users_log_in_by_password_and_by_plain() {
    let office = Office::start().await;
    let mut client = office.connect().await;
    let answer = client.ok(&format!("LOGIN ANA@Example.Test \"{PASSWORD}\"")).await;
    assert!(answer[0].contains("[CAPABILITY"), "{answer:?}");
    let mut client = office.connect().await;
    // NUL ana@example.test NUL correct horse
    client.ok("AUTHENTICATE PLAIN AGFuYUBleGFtcGxlLnRlc3QAY29ycmVjdCBob3JzZQ==").await;
    client.ok("STATUS INBOX (MESSAGES)").await;
    let mut client = office.connect().await;
    // bob@example.test NUL ana@example.test NUL correct horse: acting as somebody else.
    let refused = client
        .command(
            "AUTHENTICATE PLAIN Ym9iQGV4YW1wbGUudGVzdABhbmFAZXhhbXBsZS50ZXN0AGNvcnJlY3QgaG9yc2U=",
        )
        .await;
    assert!(refused[0].contains("NO [AUTHENTICATIONFAILED]"), "{refused:?}");
}

// RFC 5530 §3: UNAVAILABLE is temporary. C1: whoever it is.
#[tokio::test(start_paused = true)]
async fn when_too_many_passwords_wait_to_be_checked_more_are_told_to_come_again() {
    let office = Office::start().await.busy();
    for user in ["ana@example.test", "nobody@example.test"] {
        let mut client = office.connect().await;
        let refused = client.command(&format!("LOGIN {user} \"{PASSWORD}\"")).await;
        assert!(refused[0].contains("NO [UNAVAILABLE]"), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn disabled_accounts_do_not_get_in() {
    let office = Office::with(|_| {}, |row| row.disabled = true).await;
    let mut client = office.connect().await;
    let refused = client.command(&format!("LOGIN ana@example.test \"{PASSWORD}\"")).await;
    assert!(refused[0].contains("NO [AUTHENTICATIONFAILED]"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn guessing_becomes_slow_and_is_cut_off() {
    let office = Office::start().await;
    let clock = office.store.engines().clock.clone();
    let before = clock.instant();
    for _ in 0..4 {
        let mut client = office.connect().await;
        for _ in 0..4 {
            client.command("LOGIN ana@example.test wrong").await;
        }
    }
    let taken = clock.instant().since(before);
    assert!(taken > std::time::Duration::from_secs(30), "{taken:?}");
}

// C1: nor does time tell who exists. Attempts take turns, so that a busy machine slows all alike.
#[tokio::test]
async fn a_wrong_password_takes_as_long_whoever_it_is_for() {
    let iterations = 20_000;
    let costly = |row: &mut AccountRow| row.credentials = credentials(iterations);
    let office = Office::with(|options| options.iterations = iterations, costly).await;
    let office = office.unthrottled();
    let users = ["ana@example.test", "nobody@example.test"];
    let mut times = [const { Vec::new() }; 2];
    let clock = office.store.engines().clock.clone();
    for _ in 0..15 {
        for (user, times) in users.iter().zip(&mut times) {
            let mut client = office.connect().await;
            let began = clock.instant();
            client.command(&format!("LOGIN {user} wrong")).await;
            times.push(clock.instant().since(began));
        }
    }
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*most < *least * 3, "{users:?} take {medians:?}");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_closed_ends_its_sessions() {
    let office = Office::start().await;
    let (mut busy, mut idle) = (office.login().await, office.login().await);
    busy.ok("SELECT INBOX").await;
    idle.ok("SELECT INBOX").await;
    idle.send("i IDLE").await;
    assert_eq!(idle.response().await.unwrap(), "+ idling");
    let directory = office.store.directory();
    let address = mail::Address::parse("ana@example.test").unwrap();
    let entry = directory.login(&address).await.unwrap().unwrap();
    let row = AccountRow { disabled: true, ..(*entry.row).clone() };
    directory.change(vec![DirectoryChange::Account(entry.id, Box::new(row))]).await.unwrap();
    busy.send("n NOOP").await;
    assert!(busy.response().await.unwrap().starts_with("* BYE [UNAVAILABLE]"));
    assert_eq!(busy.response().await, None);
    // Within the time after which an idle account is looked at anyhow.
    assert!(idle.response().await.unwrap().starts_with("* BYE [UNAVAILABLE]"));
    assert_eq!(idle.response().await, None);
}
