//! FETCH: every item and section, what is read for it, and what happens where it cannot be.

use super::{Client, Office, message};

/// A message with a text, an HTML alternative, an attachment and a message inside.
pub(super) const NESTED: &str = "From: \"Ana \\\"A\\\" B\" <ana@example.test>\nSender: s@example.test\n\
    To: Team: bob@example.test, c@example.test;, d@example.test\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\
    Date: Tue, 24 Nov 2026 12:00:00 +0000\nMessage-ID: <n@example.test>\nX-Odd: odd\n\
    MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
    preamble\n--b\nContent-Type: text/plain; charset=iso-8859-1\n\
    Content-Transfer-Encoding: quoted-printable\n\ncaf=E9\n\
    --b\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\
    Content-Disposition: attachment; filename=a.pdf\n\nAAECAw==\n\
    --b\nContent-Type: message/rfc822\n\nSubject: inner\nFrom: e@example.test\n\n\
    Inner text\n--b\nContent-Type: text/x-odd\nContent-Transfer-Encoding: x-uuencode\n\nodd\n--b--\n";

async fn with_nested(office: &Office) -> Client {
    let mut client = office.login().await;
    let appended = client.append("INBOX", NESTED).await;
    assert!(appended.contains("APPENDUID"), "{appended}");
    client.ok("SELECT INBOX").await;
    client
}

async fn check(client: &mut Client, items: &str, expected: &str) {
    let responses = client.ok(&format!("FETCH 1 {items}")).await;
    assert_eq!(responses[0], format!("* 1 FETCH ({expected})"), "{items}");
    assert_eq!(responses.len(), 2, "{responses:?}");
}

// RFC 9051 §7.5.2.
#[tokio::test(start_paused = true)]
async fn what_is_listed_comes_from_the_summary() {
    let office = Office::start().await;
    let mut client = with_nested(&office).await;
    check(
        &mut client,
        "ENVELOPE",
        r#"ENVELOPE ("Tue, 24 Nov 2026 12:00:00 +0000" "=?utf-8?q?Gr=C3=BC=C3=9Fe?=" (("Ana \"A\" B" NIL "ana" "example.test")) ((NIL NIL "s" "example.test")) (("Ana \"A\" B" NIL "ana" "example.test")) ((NIL NIL "Team" NIL)(NIL NIL "bob" "example.test")(NIL NIL "c" "example.test")(NIL NIL NIL NIL)(NIL NIL "d" "example.test")) NIL NIL NIL "<n@example.test>")"#,
    )
    .await;
    let inner = r#"NIL "inner" ((NIL NIL "e" "example.test")) ((NIL NIL "e" "example.test")) ((NIL NIL "e" "example.test")) NIL NIL NIL NIL NIL"#;
    check(
        &mut client,
        "BODY",
        &format!(
            r#"BODY (("TEXT" "plain" ("charset" "iso-8859-1") NIL NIL "quoted-printable" 6 1)("application" "pdf" ("name" "a.pdf") NIL NIL "base64" 8)("MESSAGE" "rfc822" NIL NIL NIL "7bit" 50 ({inner}) ("TEXT" "plain" NIL NIL NIL "7bit" 10 1) 4)("TEXT" "x-odd" NIL NIL NIL "x-uuencode" 3 1) "mixed")"#
        ),
    )
    .await;
    let full = client.ok("FETCH 1 BODYSTRUCTURE").await;
    assert!(
        full[0].contains(r#"8 NIL ("attachment" ("filename" "a.pdf")) NIL NIL)"#),
        "{}",
        full[0]
    );
    assert!(full[0].ends_with(r#""mixed" ("boundary" "b") NIL NIL NIL))"#), "{}", full[0]);
    let fields = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=⏎Date: Tue, 24 Nov 2026 12:00:00 +0000⏎⏎";
    let length = fields.replace('⏎', "\r\n").len();
    check(
        &mut client,
        "BODY.PEEK[HEADER.FIELDS (DATE Subject)]",
        &format!("BODY[HEADER.FIELDS (DATE Subject)] {{{length}}}⏎{fields}"),
    )
    .await;
    let size = NESTED.replace('\n', "\r\n").len();
    check(&mut client, "(UID RFC822.SIZE FLAGS)", &format!("UID 1 RFC822.SIZE {size} FLAGS ()"))
        .await;
}

// RFC 5322 §3.6: each field of an envelope is there once; where it is not, all recipients are shown.
#[tokio::test(start_paused = true)]
async fn fields_that_are_there_twice_hide_no_recipient() {
    let office = Office::start().await;
    let mut client = office.login().await;
    client.append("INBOX", "To: a@b.test\nSubject: 1\nTo: c@d.test\nSubject: 2\n\nx\n").await;
    client.ok("SELECT INBOX").await;
    let told = client.ok("FETCH 1 ENVELOPE").await;
    assert!(told[0].contains(r#"((NIL NIL "a" "b.test")(NIL NIL "c" "d.test"))"#), "{told:?}");
    assert!(told[0].contains(r#"(NIL "1" "#), "{told:?}");
}

// RFC 9051 §6.4.5.1.
#[tokio::test(start_paused = true)]
async fn sections_are_cut_from_the_message() {
    let office = Office::start().await;
    let mut client = with_nested(&office).await;
    let whole = NESTED.replace('\n', "⏎");
    let size = NESTED.replace('\n', "\r\n").len();
    check(&mut client, "BODY.PEEK[]", &format!("BODY[] {{{size}}}⏎{whole}")).await;
    for (section, expected) in [
        ("1", "caf=E9"),
        ("2", "AAECAw=="),
        (
            "1.MIME",
            "Content-Type: text/plain; charset=iso-8859-1⏎\
            Content-Transfer-Encoding: quoted-printable⏎⏎",
        ),
        ("3.HEADER", "Subject: inner⏎From: e@example.test⏎⏎"),
        ("3.TEXT", "Inner text"),
        ("3.1", "Inner text"),
        ("3.HEADER.FIELDS (SUBJECT)", "Subject: inner⏎⏎"),
        ("3.HEADER.FIELDS.NOT (SUBJECT)", "From: e@example.test⏎⏎"),
        ("HEADER.FIELDS (X-ODD)", "X-Odd: odd⏎⏎"),
        ("HEADER.FIELDS (NONE)", "⏎"),
    ] {
        let length = expected.replace('⏎', "\r\n").len();
        let shown = format!("BODY[{section}] {{{length}}}⏎{expected}");
        check(&mut client, &format!("BODY.PEEK[{section}]"), &shown).await;
    }
    check(&mut client, "BODY.PEEK[9]", "BODY[9] NIL").await;
    check(&mut client, "BODY.PEEK[1]<1.3>", "BODY[1]<1> {3}⏎af=").await;
    check(&mut client, "BODY.PEEK[1]<100.3>", "BODY[1]<100> {0}⏎").await;
    check(
        &mut client,
        "BODY.PEEK[HEADER.FIELDS (X-ODD)]<2.3>",
        "BODY[HEADER.FIELDS (X-ODD)]<2> {3}⏎Odd",
    )
    .await;
    check(&mut client, "BINARY.PEEK[1]<3.10>", "BINARY[1]<3> {1}⏎\u{fffd}").await;
    check(&mut client, "BINARY.PEEK[2]", "BINARY[2] ~{4}⏎\0\u{1}\u{2}\u{3}").await;
    check(&mut client, "(BINARY.SIZE[1] BINARY.SIZE[2])", "BINARY.SIZE[1] 4 BINARY.SIZE[2] 4")
        .await;
    let odd = client.command("FETCH 1 BINARY.PEEK[4]").await;
    assert!(odd[0].starts_with("t") && odd[0].contains("NO [UNKNOWN-CTE]"), "{odd:?}");
}

// RFC 9051 §6.4.9, §7.1.
#[tokio::test(start_paused = true)]
async fn reading_marks_as_seen_unless_examined_or_peeked() {
    Office::start()
        .await
        .transcript(
            r#"
        C: a APPEND INBOX (\Flagged) "24-Nov-2026 10:00:00 +0200" {12+}⏎a: b⏎⏎hell
        S: a OK …
        C: b EXAMINE INBOX
        S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
        S: * OK [PERMANENTFLAGS ()] …
        S: * 1 EXISTS
        S: * 0 RECENT
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 2] …
        S: * OK [HIGHESTMODSEQ 1] …
        S: * OK [UNSEEN 1] …
        S: b OK [READ-ONLY] …
        C: c FETCH 1 (BODY[TEXT] INTERNALDATE)
        S: * 1 FETCH (BODY[TEXT] {4}⏎hell INTERNALDATE "24-Nov-2026 08:00:00 +0000")
        S: c OK …
        C: d STORE 1 +FLAGS (\Seen)
        S: d NO …
        C: e SELECT INBOX
        S: * OK [CLOSED] …
        S: * FLAGS …
        S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] …
        S: * 1 EXISTS
        S: * 0 RECENT
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 2] …
        S: * OK [HIGHESTMODSEQ 1] …
        S: * OK [UNSEEN 1] …
        S: e OK [READ-WRITE] …
        C: f FETCH 1 BODY.PEEK[TEXT]
        S: * 1 FETCH (BODY[TEXT] {4}⏎hell)
        S: f OK …
        C: g FETCH 1 RFC822.TEXT
        S: * 1 FETCH (RFC822.TEXT {4}⏎hell FLAGS (\Flagged \Seen))
        S: g OK …
        C: h UID FETCH 1:* (FLAGS)
        S: * 1 FETCH (UID 1 FLAGS (\Flagged \Seen))
        S: h OK …
        C: i UID FETCH 7 FLAGS
        S: i OK …
        C: j FETCH 2 FLAGS
        S: j BAD …
        C: k FETCH 1 RFC822.HEADER
        S: * 1 FETCH (RFC822.HEADER {8}⏎a: b⏎⏎)
        S: k OK …
        "#,
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_fetch_of_many_comes_in_order_and_whole() {
    let office = Office::start().await;
    let mut client = office.login().await;
    for number in 0..300 {
        client.append("Sent", &message(&format!("m{number}"))).await;
    }
    client.ok("SELECT Sent").await;
    client.ok("COPY 1:* Sent").await;
    let responses = client.ok("FETCH 1:* (UID ENVELOPE)").await;
    assert_eq!(responses.len(), 601);
    for (number, response) in responses.iter().take(600).enumerate() {
        let expected = format!("* {} FETCH (UID {} ENVELOPE", number + 1, number + 1);
        assert!(response.starts_with(&expected), "{response}");
        assert!(response.contains(&format!("\"m{}\"", number % 300)), "{response}");
    }
    let bodies = client.ok("FETCH 1:* BODY.PEEK[TEXT]").await;
    assert!(bodies[599].contains("This is m299."), "{}", bodies[599]);
}
