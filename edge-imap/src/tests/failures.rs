//! A store that does not answer, answers lost, and other processes that come first.

use engine::memory::Ending;

use super::{Office, message};

#[tokio::test(start_paused = true)]
async fn two_edges_agree_on_what_they_do_at_once() {
    let here = Office::start().await;
    let there = here.another("there");
    let (mut ana, mut other) = (here.login().await, there.login().await);
    for number in 0..10 {
        assert!(ana.append("INBOX", &message(&format!("a{number}"))).await.contains(" OK "));
        assert!(other.append("INBOX", &message(&format!("b{number}"))).await.contains(" OK "));
    }
    ana.ok("SELECT INBOX").await;
    other.ok("SELECT INBOX").await;
    other.ok("STORE 1:10 +FLAGS.SILENT (\\Deleted)").await;
    // [X]: NOOP and SELECT see at once what another process was told is done.
    let told = ana.ok("NOOP").await;
    assert_eq!(told.len(), 11, "{told:?}");
    // Decided again on the newest state: what the other expunged is not copied.
    other.ok("EXPUNGE").await;
    let copied = ana.command("UID COPY 5:12 Archive").await;
    assert!(copied.last().unwrap().contains("OK [COPYUID"), "{copied:?}");
    assert!(copied.last().unwrap().contains(" 11:12 1:2]"), "{copied:?}");
    assert_eq!(other.ok("STATUS Archive (MESSAGES)").await[0], "* STATUS \"Archive\" (MESSAGES 2)");
    assert_eq!(ana.ok("SEARCH ALL").await[0], "* SEARCH 1 2 3 4 5 6 7 8 9 10");
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_hears_of_another_process() {
    let here = Office::start().await;
    let there = here.another("there");
    let (mut ana, mut other) = (here.login().await, there.login().await);
    ana.ok("SELECT INBOX").await;
    ana.send("i IDLE").await;
    assert_eq!(ana.response().await.unwrap(), "+ idling");
    other.append("INBOX", &message("one")).await;
    assert_eq!(ana.response().await.unwrap(), "* 1 EXISTS");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_costs_commands_and_no_session() {
    let office = Office::start().await;
    let mut client = office.login().await;
    client.append("INBOX", &message("one")).await;
    client.ok("SELECT INBOX").await;
    office.world.cut("edge", true);
    for command in ["NOOP", "SELECT Sent", "STATUS INBOX (MESSAGES)", "CREATE Work"] {
        let refused = client.command(command).await;
        assert!(refused.last().unwrap().contains("NO [UNAVAILABLE]"), "{command}: {refused:?}");
    }
    let refused = client.append("INBOX", &message("two")).await;
    assert!(refused.contains("NO [UNAVAILABLE]"), "{refused}");
    office.world.cut("edge", false);
    client.ok("NOOP").await;
    let selected = client.ok("SELECT INBOX").await;
    assert!(selected.contains(&"* 1 EXISTS".to_owned()), "{selected:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_found_again() {
    let office = Office::start().await;
    let mut client = office.login().await;
    // The write was done, its answer lost: the entry is ours, and there once [M].
    office.world.next_writes([Ending::LostDone]);
    assert!(client.append("INBOX", &message("one")).await.contains("OK [APPENDUID"));
    let selected = client.ok("SELECT INBOX").await;
    assert!(selected.contains(&"* 1 EXISTS".to_owned()), "{selected:?}");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_happened_gets_no_reply() {
    let office = Office::start().await;
    let mut client = office.login().await;
    client.append("INBOX", &message("one")).await;
    client.ok("SELECT INBOX").await;
    office.world.next_writes(std::iter::repeat_n(Ending::LostDropped, 64));
    client.send("a STORE 1 +FLAGS (\\Seen)").await;
    // Neither OK nor NO: the connection ends, or it is found out that it was done.
    match client.response().await {
        None => {}
        Some(response) => assert_eq!(response, "* 1 FETCH (UID 1 FLAGS (\\Seen))"),
    }
}
