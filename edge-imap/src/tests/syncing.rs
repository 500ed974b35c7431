//! What a session hears of others, and what one that comes back is told.

use super::{Office, message};

const SELECTED: &str = "SELECT INBOX";

// RFC 9051 §5.2, §5.5, §6.1.2; RFC 2180 §4.1, §4.3.
#[tokio::test(start_paused = true)]
async fn what_others_do_is_told_when_it_may_be() {
    let office = Office::start().await;
    let (mut ana, mut other) = (office.login().await, office.login().await);
    for subject in ["one", "two", "three"] {
        ana.append("INBOX", &message(subject)).await;
    }
    ana.ok(SELECTED).await;
    other.ok(SELECTED).await;
    other.ok("STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    other.append("INBOX", &message("four")).await;
    // RFC 9051 §7.5.1: no EXPUNGE while messages are counted by number.
    let told = ana.ok("FETCH 3 UID").await;
    assert_eq!(
        told[..3],
        ["* 3 FETCH (UID 3)", "* 4 EXISTS", "* 2 FETCH (UID 2 FLAGS (\\Flagged))"]
    );
    let gone = ana.command("FETCH 1 FLAGS").await;
    assert!(gone.last().unwrap().contains("NO [EXPUNGEISSUED]"), "{gone:?}");
    let stored = ana.command("STORE 1 +FLAGS (\\Seen)").await;
    assert!(stored.last().unwrap().contains("NO [EXPUNGEISSUED]"), "{stored:?}");
    let found = ana.ok("SEARCH ALL").await;
    assert_eq!(found[0], "* SEARCH 2 3 4");
    let told = ana.ok("NOOP").await;
    assert_eq!(told[0], "* 1 EXPUNGE");
    assert_eq!(ana.ok("SEARCH ALL").await[0], "* SEARCH 1 2 3");
    assert_eq!(ana.ok("FETCH 1 UID").await[0], "* 1 FETCH (UID 2)");
}

// RFC 9051 §7.4.1.
#[tokio::test(start_paused = true)]
async fn an_idle_session_is_told_at_once() {
    let office = Office::start().await;
    let (mut ana, mut other) = (office.login().await, office.login().await);
    ana.append("INBOX", &message("one")).await;
    ana.ok(SELECTED).await;
    other.ok(SELECTED).await;
    ana.send("i IDLE").await;
    assert_eq!(ana.response().await.unwrap(), "+ idling");
    other.append("INBOX", &message("two")).await;
    assert_eq!(ana.response().await.unwrap(), "* 2 EXISTS");
    other.ok("STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(ana.response().await.unwrap(), "* 1 FETCH (UID 1 FLAGS (\\Seen))");
    other.ok("UID MOVE 1 Trash").await;
    assert_eq!(ana.response().await.unwrap(), "* 1 EXPUNGE");
    ana.send("DONE").await;
    assert!(ana.response().await.unwrap().starts_with("i OK"));
}

// RFC 7162 §3.2.4, §3.2.6, §3.2.7.
#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_is_told_only_what_changed() {
    let office = Office::start().await;
    let (mut ana, mut other) = (office.login().await, office.login().await);
    for subject in ["one", "two", "three", "four"] {
        other.append("INBOX", &message(subject)).await;
    }
    let first = other.ok(SELECTED).await;
    let validity = code(&first, "UIDVALIDITY");
    let modseq = code(&first, "HIGHESTMODSEQ");
    assert_eq!(modseq, "4");
    other.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("UID EXPUNGE 2").await;
    other.ok("STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    ana.ok("ENABLE QRESYNC").await;
    let told = ana.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq}))")).await;
    assert!(told.contains(&"* VANISHED (EARLIER) 2".to_owned()), "{told:?}");
    let changes: Vec<_> = told.iter().filter(|line| line.contains("FETCH")).collect();
    assert_eq!(
        changes,
        [
            "* 1 FETCH (UID 1 FLAGS (\\Deleted) MODSEQ (5))",
            "* 2 FETCH (UID 3 FLAGS (\\Flagged) MODSEQ (7))"
        ]
    );
    // Only what the client knows is told of.
    let told = ana.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq} 3:4))")).await;
    assert!(!told.iter().any(|line| line.contains("VANISHED") || line.contains("UID 1 ")));
    // Another UIDVALIDITY voids it all.
    let told = ana.ok(&format!("SELECT INBOX (QRESYNC (99 {modseq}))")).await;
    assert!(!told.iter().any(|line| line.contains("VANISHED") || line.contains("FETCH")));
    // With QRESYNC expunges are told by UID, and how far the client has come.
    let told = ana.ok("EXPUNGE").await;
    assert_eq!(told[0], "* VANISHED 1");
    assert!(told[1].contains("OK [HIGHESTMODSEQ 8]"), "{told:?}");
    let told = ana.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 4 VANISHED)").await;
    assert_eq!(told[0], "* VANISHED (EARLIER) 1:2");
    assert_eq!(told[1], "* 1 FETCH (UID 3 FLAGS (\\Flagged) MODSEQ (7))");
}

fn code(responses: &[String], name: &str) -> String {
    let line = responses.iter().find(|line| line.contains(name)).unwrap();
    line.split([' ', ']']).skip_while(|word| !word.ends_with(name)).nth(1).unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_deleted_under_a_session_is_empty_to_it() {
    let office = Office::start().await;
    let (mut ana, mut other) = (office.login().await, office.login().await);
    ana.ok("CREATE Work").await;
    ana.append("Work", &message("one")).await;
    ana.ok("SELECT Work").await;
    other.ok("DELETE Work").await;
    assert_eq!(ana.ok("NOOP").await[0], "* 1 EXPUNGE");
    let stored = ana.command("UID STORE 1 +FLAGS (\\Seen)").await;
    assert!(stored[0].contains("NO [NONEXISTENT]"), "{stored:?}");
    let gone = ana.command("SELECT Work").await;
    assert!(gone[0].starts_with("* OK [CLOSED]") && gone[1].contains("NO [NONEXISTENT]"));
    assert!(ana.command("FETCH 1 FLAGS").await[0].contains("BAD"));
}
