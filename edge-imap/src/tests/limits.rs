//! Limits are named, and what is listed costs no body.

use super::{Office, message};

#[tokio::test(start_paused = true)]
async fn an_account_has_at_most_10_000_mailboxes() {
    let office = Office::start().await;
    let mut client = office.login().await;
    // Parents are made along: each name makes 450 mailboxes.
    for number in 0..22 {
        client.ok(&format!("CREATE {number:02}{}", "/x".repeat(449))).await;
    }
    let refused = client.command(&format!("CREATE last{}", "/x".repeat(449))).await;
    assert!(refused[0].contains("NO [LIMIT]") && refused[0].contains("10,000"), "{refused:?}");
    client.ok("CREATE last/x/x").await;
    let long = client.command(&format!("CREATE {}", "y".repeat(256))).await;
    assert!(long[0].contains("NO [LIMIT]") && long[0].contains("255"), "{long:?}");
    let renamed = client.command(&format!("RENAME 00 {}", "z".repeat(200))).await;
    assert!(renamed[0].contains("NO [LIMIT]") && renamed[0].contains("1,000"), "{renamed:?}");
    // B2: every name is held against every pattern, in linear time.
    let listed = client.ok(&format!("LIST \"\" \"{}y\"", "%*".repeat(200))).await;
    assert_eq!(listed.len(), 1);
    let patterns = vec![format!("\"{}\"", "%*".repeat(50)); 90].join(" ");
    let refused = client.command(&format!("LIST \"\" ({patterns})")).await;
    assert!(refused[0].contains("NO [LIMIT]"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_has_at_most_1_000_keywords() {
    let office = Office::start().await;
    let mut client = office.login().await;
    client.append("INBOX", &message("one")).await;
    client.ok("SELECT INBOX").await;
    let keywords: Vec<String> = (0..1000).map(|number| format!("k{number}")).collect();
    client.ok(&format!("STORE 1 +FLAGS.SILENT ({})", keywords.join(" "))).await;
    let refused = client.command("STORE 1 +FLAGS (one-more)").await;
    assert!(refused[0].contains("NO [LIMIT]") && refused[0].contains("1,000"), "{refused:?}");
    client.ok("STORE 1 FLAGS.SILENT (K7)").await;
    let appended = client.append("INBOX (another)", &message("two")).await;
    assert!(appended.contains("NO [LIMIT]"), "{appended}");
    let long = client.command(&format!("STORE 1 +FLAGS ({})", "x".repeat(101))).await;
    assert!(long[0].contains("NO [LIMIT]"), "{long:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_has_a_largest_size() {
    let office = Office::with(|options| options.core.append_limit = 1000, |_| {}).await;
    let mut client = office.login().await;
    let refused = client.append("INBOX", &"x".repeat(1001)).await;
    assert!(refused.contains("NO [TOOBIG]"), "{refused}");
    assert!(client.append("INBOX", &"x".repeat(1000)).await.contains(" OK "));
}
