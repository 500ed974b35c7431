//! The tree of mailboxes, STATUS, quota and the small commands.

use super::Office;

// RFC 9051 §6.3.5; RFC 3348 §3; RFC 6154 §2.
// RFC 9051 §7.3.1; RFC 5258 §4.
#[tokio::test(start_paused = true)]
async fn mailboxes_are_made_listed_renamed_and_removed() {
    Office::start()
        .await
        .transcript(
            r#"
        C: a LIST "" *
        S: * LIST (\HasNoChildren) "/" "INBOX"
        S: * LIST (\HasNoChildren \Archive) "/" "Archive"
        S: * LIST (\HasNoChildren \Drafts) "/" "Drafts"
        S: * LIST (\HasNoChildren \Junk) "/" "Junk"
        S: * LIST (\HasNoChildren \Sent) "/" "Sent"
        S: * LIST (\HasNoChildren \Trash) "/" "Trash"
        S: a OK …
        C: b CREATE Work/2026/Riga
        S: b OK …
        C: c CREATE Work
        S: c NO [ALREADYEXISTS] …
        C: d LIST "" Work%
        S: * LIST (\HasChildren) "/" "Work"
        S: d OK …
        C: e RENAME Work Done
        S: e OK …
        C: f LIST Done/ *
        S: * LIST (\HasChildren) "/" "Done/2026"
        S: * LIST (\HasNoChildren) "/" "Done/2026/Riga"
        S: f OK …
        C: g DELETE Done
        S: g OK …
        C: h LIST "" "%"
        S: * LIST (\HasNoChildren) "/" "INBOX"
        S: …Archive"
        S: * LIST (\NonExistent \Noselect \HasChildren) "/" "Done"
        S: …Drafts"
        S: …Junk"
        S: …Sent"
        S: …Trash"
        S: h OK …
        C: i DELETE INBOX
        S: i NO [CANNOT] …
        C: j DELETE Nowhere
        S: j NO [NONEXISTENT] …
        C: k RENAME Nowhere There
        S: k NO [NONEXISTENT] …
        C: l RENAME Trash Done/2026/Trash
        S: l OK …
        C: m LIST "" ""
        S: * LIST (\Noselect) "/" ""
        S: m OK …
        C: n CREATE a//b
        S: n NO [CANNOT] …
        C: o CREATE (USE
        S: o BAD …
        C: p CREATE Old (USE (\Archive))
        S: p NO [USEATTR] …
        C: q CREATE Everything (USE (\All))
        S: q NO [USEATTR] …
        C: r NAMESPACE
        S: * NAMESPACE (("" "/")) NIL NIL
        S: r OK …
        "#,
        )
        .await;
}

// RFC 3501 §6.3.9; RFC 5258 §3.5.
#[tokio::test(start_paused = true)]
async fn subscriptions_are_listed_in_both_ways() {
    Office::start()
        .await
        .transcript(
            r#"
        C: a CREATE Work/Riga
        S: a OK …
        C: b SUBSCRIBE Work/Riga
        S: b OK …
        C: c SUBSCRIBE Work/Riga
        S: c OK …
        C: d SUBSCRIBE Nowhere
        S: d NO [NONEXISTENT] …
        C: e LSUB "" W%
        S: * LSUB (\Noselect) "/" "Work"
        S: e OK …
        C: f LSUB "" W*
        S: * LSUB () "/" "Work/Riga"
        S: f OK …
        C: g LIST (SUBSCRIBED RECURSIVEMATCH) "" W% RETURN (SUBSCRIBED)
        S: * LIST (\HasChildren) "/" "Work" ("CHILDINFO" ("SUBSCRIBED"))
        S: g OK …
        C: h DELETE Work/Riga
        S: h OK …
        C: i LIST (SUBSCRIBED) "" W*
        S: * LIST (\NonExistent \Noselect \HasNoChildren \Subscribed) "/" "Work/Riga"
        S: i OK …
        C: j UNSUBSCRIBE Work/Riga
        S: j OK …
        C: k LSUB "" W*
        S: k OK …
        C: l LIST (SPECIAL-USE) "" (Sent Trash)
        S: * LIST (\HasNoChildren \Sent) "/" "Sent"
        S: * LIST (\HasNoChildren \Trash) "/" "Trash"
        S: l OK …
        "#,
        )
        .await;
}

// RFC 9051 §6.3.11; RFC 5819 §2; RFC 8438.
#[tokio::test(start_paused = true)]
async fn status_counts_and_list_brings_it_along() {
    Office::start().await.transcript(
        r#"
        C: a APPEND Work {3+}⏎a⏎
        S: a NO [TRYCREATE] …
        C: b APPEND Sent (\Seen \Deleted) {5+}⏎abc⏎
        S: b OK [APPENDUID … 1] …
        C: c APPEND Sent {3+}⏎a⏎
        S: c OK [APPENDUID … 2] …
        C: d STATUS Sent (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ APPENDLIMIT)
        S: * STATUS "Sent" (MESSAGES 2 RECENT 0 UIDNEXT 3 UIDVALIDITY … UNSEEN 1 DELETED 1 SIZE 8 HIGHESTMODSEQ 2 APPENDLIMIT 52428800)
        S: d OK …
        C: e LIST "" S% RETURN (STATUS (MESSAGES UNSEEN))
        S: * LIST (\HasNoChildren \Sent) "/" "Sent"
        S: * STATUS "Sent" (MESSAGES 2 UNSEEN 1)
        S: e OK …
        C: f STATUS Nowhere (MESSAGES)
        S: f NO [NONEXISTENT] …
        "#,
    ).await;
}

// RFC 9208 §5.1, §4.1.1, §4.1.2.
// RFC 9208 §4.2.1, §4.2.2.
#[tokio::test(start_paused = true)]
async fn quota_is_told_and_kept() {
    let office = Office::with(|_| {}, |row| row.quota_bytes = Some(10)).await;
    office
        .transcript(
            r#"
        C: a APPEND INBOX {6+}⏎abcd⏎
        S: a OK …
        C: b APPEND INBOX {6+}⏎abcd⏎
        S: b NO [OVERQUOTA] …
        C: c GETQUOTAROOT INBOX
        S: * QUOTAROOT "INBOX" account
        S: * QUOTA account (STORAGE 1 1)
        S: c OK …
        C: d GETQUOTA other
        S: d NO [NOPERM] …
        C: e GETQUOTA account
        S: * QUOTA account (STORAGE 1 1)
        S: e OK …
        C: f SELECT INBOX
        S: …
        S: …
        S: …
        S: …
        S: …
        S: …
        S: …
        S: …
        S: f OK [READ-WRITE] …
        C: g COPY 1 Sent
        S: g NO [OVERQUOTA] …
        C: h MOVE 1 Sent
        S: * OK [COPYUID … 1 1] …
        S: * 1 EXPUNGE
        S: h OK …
        "#,
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn names_have_one_form_in_utf7_and_utf8() {
    Office::start()
        .await
        .transcript(
            r#"
        C: a CREATE "Gr&APw-n"
        S: a OK …
        C: b CREATE "&AC8-etc"
        S: b NO [CANNOT] …
        C: c LIST "" Gr*
        S: * LIST (\HasNoChildren) "/" "Gr&APw-n"
        S: c OK …
        C: d ENABLE IMAP4rev2
        S: * ENABLED IMAP4rev2
        S: d OK …
        C: e CREATE "Grün"
        S: e NO [ALREADYEXISTS] …
        C: f LIST "" inbo%
        S: * LIST (\HasNoChildren) "/" "INBOX"
        S: f OK …
        C: g SELECT "Grün"
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS …\*)] …
        S: * 0 EXISTS
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 1] …
        S: * OK [HIGHESTMODSEQ 1] …
        S: * LIST () "/" "Grün"
        S: g OK [READ-WRITE] …
        "#,
        )
        .await;
}

// RFC 9051 §6.3.6.
#[tokio::test(start_paused = true)]
async fn renaming_inbox_moves_what_is_in_it() {
    Office::start()
        .await
        .transcript(
            r#"
        C: a APPEND INBOX {1+}⏎a
        S: a OK …
        C: b CREATE INBOX/Kept/
        S: b OK …
        C: c SELECT INBOX
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS …
        S: * 1 EXISTS
        S: * 0 RECENT
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 2] …
        S: * OK [HIGHESTMODSEQ 1] …
        S: * OK [UNSEEN 1] …
        S: c OK …
        C: d RENAME inbox Old/Mail
        S: * 1 EXPUNGE
        S: d OK …
        C: e LIST "" (INBOX* Old*)
        S: * LIST (\HasChildren) "/" "INBOX"
        S: * LIST (\HasNoChildren) "/" "INBOX/Kept"
        S: * LIST (\HasChildren) "/" "Old"
        S: * LIST (\HasNoChildren) "/" "Old/Mail"
        S: e OK …
        C: f STATUS Old/Mail (MESSAGES UIDNEXT)
        S: * STATUS "Old/Mail" (MESSAGES 1 UIDNEXT 2)
        S: f OK …
        C: g APPEND INBOX {1+}⏎b
        S: * 1 EXISTS
        S: g OK [APPENDUID … 2] …
        C: h RENAME Old Old/Below
        S: h NO [CANNOT] …
        C: i RENAME Old/Mail Sent
        S: i NO [ALREADYEXISTS] …
        "#,
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_renamed_mailbox_stays_selected() {
    let office = Office::start().await;
    let mut client = office.login().await;
    client.ok("CREATE Work").await;
    client.append("Work", "a: b\n\nc").await;
    client.ok("SELECT Work").await;
    client.ok("RENAME Work Done").await;
    assert_eq!(client.ok("FETCH 1 (UID)").await[0], "* 1 FETCH (UID 1)");
    client.ok("STORE 1 +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(client.ok("STATUS Done (UNSEEN)").await[0], "* STATUS \"Done\" (UNSEEN 0)");
}
