//! SEARCH: every key, charsets, results saved and told in all forms.

use super::{Client, Office};

/// Three messages that differ in everything that can be searched for.
async fn filled(office: &Office) -> Client {
    let mut client = office.login().await;
    let plain = "From: Ana <ana@example.test>\nTo: bob@example.test\nCc: cc@example.test\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Riga\nDate: Tue, 24 Nov 2026 23:00:00 -0800\n\
        Message-ID: <one@example.test>\nX-Odd: Special\n\nHello Text\n";
    client.append("INBOX (\\Seen $Work) \"24-Nov-2026 10:00:00 +0000\"", plain).await;
    let encoded = "From: Carl <carl@example.test>\nTo: ana@example.test\nBcc: hidden@example.test\n\
        Subject: report\nDate: Wed, 25 Nov 2026 01:00:00 +0900\nContent-Type: multipart/mixed; boundary=b\n\n\
        --b\nContent-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: base64\n\n8NLJ18XU\n\
        --b\nContent-Type: message/rfc822\n\nSubject: inner subject\n\ninner body\n\
        --b\nContent-Type: application/pdf; name=\"unique-name.pdf\"\n\nnot text secret\n--b--\n";
    client.append("INBOX (\\Flagged \\Deleted) \"25-Nov-2026 10:00:00 +0000\"", encoded).await;
    let html = format!(
        "From: d@example.test\nContent-Type: text/html\n\n<p>Price: <b>5&nbsp;EUR</b></p>{}\n",
        "x".repeat(3000)
    );
    client.append("INBOX (\\Answered \\Draft) \"26-Nov-2026 10:00:00 +0000\"", &html).await;
    client.ok("SELECT INBOX").await;
    client
}

#[tokio::test(start_paused = true)]
async fn every_key_finds_what_it_says() {
    let office = Office::start().await;
    let mut client = filled(&office).await;
    for (keys, expected) in [
        ("ALL", "1 2 3"),
        ("2:3", "2 3"),
        ("UID 1,3", "1 3"),
        ("9", ""),
        ("*", "3"),
        ("SEEN", "1"),
        ("UNSEEN", "2 3"),
        ("FLAGGED", "2"),
        ("UNFLAGGED", "1 3"),
        ("DELETED", "2"),
        ("UNDELETED", "1 3"),
        ("ANSWERED", "3"),
        ("UNANSWERED", "1 2"),
        ("DRAFT", "3"),
        ("UNDRAFT", "1 2"),
        ("KEYWORD $work", "1"),
        ("UNKEYWORD $Work", "2 3"),
        ("KEYWORD unknown", ""),
        ("NEW", ""),
        ("OLD", "1 2 3"),
        ("RECENT", ""),
        ("ON 25-Nov-2026", "2"),
        ("BEFORE 25-Nov-2026", "1"),
        ("SINCE 25-Nov-2026", "2 3"),
        ("SENTON 24-Nov-2026", "1"),
        ("SENTON 25-Nov-2026", "2"),
        ("SENTSINCE 25-Nov-2026", "2"),
        ("SENTBEFORE 25-Nov-2026", "1"),
        ("LARGER 2000", "3"),
        ("SMALLER 2000", "1 2"),
        ("FROM ana", "1"),
        ("TO ANA@", "2"),
        ("CC cc@", "1"),
        ("BCC hidden", "2"),
        ("SUBJECT \"aus RIGA\"", "1"),
        ("HEADER Message-ID one@", "1"),
        ("HEADER X-Odd special", "1"),
        ("HEADER X-Odd \"\"", "1"),
        ("HEADER X-None \"\"", ""),
        ("BODY \"hello text\"", "1"),
        ("BODY riga", ""),
        ("TEXT riga", "1"),
        ("BODY \"inner body\"", "2"),
        ("BODY \"inner subject\"", "2"),
        ("BODY unique-name", "2"),
        ("BODY secret", ""),
        ("BODY \"price: 5\"", "3"),
        ("TEXT \"<b>5\"", "3"),
        ("NOT SEEN", "2 3"),
        ("OR SEEN DRAFT", "1 3"),
        ("OR (FROM ana SEEN) NOT 1:2", "1 3"),
        ("NOT (BODY hello)", "2 3"),
        ("FROM example TO bob", "1"),
        ("FUZZYNOTHING", "BAD"),
    ] {
        let responses = client.command(&format!("SEARCH {keys}")).await;
        if expected == "BAD" {
            assert!(responses[0].contains("BAD"), "{responses:?}");
            continue;
        }
        let expected = if expected.is_empty() { String::new() } else { format!(" {expected}") };
        assert_eq!(responses[0], format!("* SEARCH{expected}"), "{keys}: {responses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn charsets_of_the_question_and_of_the_mail_meet() {
    let office = Office::start().await;
    let mut client = filled(&office).await;
    let found = client.ok("SEARCH CHARSET UTF-8 SUBJECT {7+}⏎grüße").await;
    assert_eq!(found[0], "* SEARCH 1");
    let found = client.ok("SEARCH CHARSET UTF-8 BODY {12+}⏎ПРИВЕТ").await;
    assert_eq!(found[0], "* SEARCH 2");
    client.send_bytes(b"k SEARCH CHARSET KOI8-R BODY {6+}\r\n\xf0\xd2\xc9\xd7\xc5\xd4\r\n").await;
    assert_eq!(client.response().await.unwrap(), "* SEARCH 2");
    assert!(client.response().await.unwrap().starts_with("k OK"));
    let refused = client.command("SEARCH CHARSET X-UNKNOWN TEXT a").await;
    assert!(refused[0].contains("NO [BADCHARSET"), "{refused:?}");
    client.send_bytes(b"l SEARCH CHARSET UTF-8 BODY {1+}\r\n\xff\r\n").await;
    assert!(client.response().await.unwrap().starts_with("l NO [BADCHARSET"));
}

// RFC 9051 §7.3.4; RFC 3501 §7.2.5; RFC 5182 §2.1, §2.4.
// RFC 4731 §3.1; RFC 7162 §3.1.10.
#[tokio::test(start_paused = true)]
async fn results_are_told_and_saved_as_asked() {
    let office = Office::start().await;
    let mut client = filled(&office).await;
    for (command, expected) in [
        (
            "SEARCH RETURN (MIN MAX COUNT ALL) ALL",
            "* ESEARCH (TAG \"…\") MIN 1 MAX 3 COUNT 3 ALL 1:3",
        ),
        ("UID SEARCH RETURN () UNSEEN", "* ESEARCH (TAG \"…\") UID ALL 2:3"),
        ("SEARCH RETURN (COUNT) NEW", "* ESEARCH (TAG \"…\") COUNT 0"),
        ("SEARCH RETURN (ALL) NEW", "* ESEARCH (TAG \"…\")"),
        ("SEARCH RETURN (COUNT) MODSEQ 1", "* ESEARCH (TAG \"…\") COUNT 3 MODSEQ 3"),
        ("SEARCH RETURN (SAVE COUNT) UNSEEN", "* ESEARCH (TAG \"…\") COUNT 2"),
        ("FETCH $ UID", "* 2 FETCH (UID 2)"),
        ("SEARCH $ FLAGGED", "* SEARCH 2"),
    ] {
        let responses = client.ok(command).await;

        let found = responses.iter().any(|line| super::matches(expected, line));
        assert!(found, "{command}: {responses:?}");
    }
    let saved = client.ok("SEARCH RETURN (SAVE) SEEN").await;
    assert_eq!(saved.len(), 1, "{saved:?}");
    assert_eq!(client.ok("UID FETCH $ UID").await[0], "* 1 FETCH (UID 1)");
    client.command("SEARCH RETURN (SAVE) CHARSET X-UNKNOWN TEXT a").await;
    assert_eq!(client.ok("UID FETCH $ UID").await.len(), 1, "a failed SAVE leaves nothing");
}

#[tokio::test(start_paused = true)]
async fn a_search_that_takes_too_long_is_stopped() {
    let office =
        Office::with(|options| options.search_time = std::time::Duration::ZERO, |_| {}).await;
    let mut client = filled(&office).await;
    let stopped = client.command("SEARCH TEXT anything").await;
    assert!(stopped[0].contains("NO [LIMIT]"), "{stopped:?}");
    client.ok("NOOP").await;
}

// I8: a long result is one line all the same.
#[tokio::test(start_paused = true)]
async fn a_result_of_thousands_is_one_line_in_each_form() {
    let office = Office::start().await;
    let mut client = filled(&office).await;
    for _ in 0..12 {
        client.ok("COPY 1:* INBOX").await;
    }
    let all = 3 << 12;
    let numbers = |line: &str, from: &str| -> usize {
        line.split_once(from).unwrap().1.split([' ', ',']).filter(|it| !it.is_empty()).count()
    };
    let told = client.ok("SEARCH ALL").await;
    let line = told.iter().find(|line| line.starts_with("* SEARCH")).unwrap();
    assert_eq!(numbers(line.trim_end(), "* SEARCH"), all);
    let told = client.ok("SEARCH RETURN (ALL) SEEN").await;
    let line = told.iter().find(|line| line.starts_with("* ESEARCH")).unwrap();
    assert_eq!(numbers(line.trim_end(), " ALL "), all / 3);
    assert!(line.ends_with(&format!(",{}", all - 2)), "{}", &line[line.len() - 40..]);
    let told = client.ok("SEARCH RETURN (ALL) SUBJECT nowhere").await;
    assert!(!told.iter().any(|line| line.contains(" ALL")), "{told:?}");
}
