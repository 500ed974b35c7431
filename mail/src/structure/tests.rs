mod reference;

use super::*;
use crate::part::{Inside, Part};
use crate::summary::FieldName;
use crate::torture::Numbers;

fn scan(message: &[u8]) -> Scanned {
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(message);
    scanner.finish()
}

/// The structure in lines: number, type, octets, lines.
fn shown(part: &Part) -> String {
    fn walk(part: &Part, number: &str, out: &mut String) {
        use std::fmt::Write;
        writeln!(out, "{number} {}/{} {} {}", part.media, part.subtype, part.octets(), part.lines)
            .unwrap();
        let dot = if number.is_empty() { "" } else { "." };
        match &part.inside {
            Inside::Leaf => {}
            Inside::Multipart(parts) => {
                for (index, part) in (1..).zip(parts) {
                    walk(part, &format!("{number}{dot}{index}"), out);
                }
            }
            Inside::Message(embedded) => walk(&embedded.part, &format!("{number}{dot}m"), out),
        }
    }
    let mut out = String::new();
    walk(part, "", &mut out);
    out
}

#[track_caller]
fn check(message: &str, expected: &str) -> Scanned {
    let scanned = scan(message.as_bytes());
    let trimmed: String =
        expected.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    let shown = shown(&scanned.summary.structure);
    assert_eq!(
        shown.lines().map(str::trim).collect::<Vec<_>>(),
        trimmed.lines().collect::<Vec<_>>()
    );
    every_cut_gives(message.as_bytes(), &scanned);
    scanned
}

fn every_cut_gives(message: &[u8], expected: &Scanned) {
    let mut scanner = Scanner::new(Limits::default());
    message.iter().for_each(|byte| scanner.feed(&[*byte]));
    assert_eq!(&scanner.finish(), expected, "byte by byte");
    for cut in 0..message.len() {
        let mut scanner = Scanner::new(Limits::default());
        scanner.feed(&message[..cut]);
        scanner.feed(&message[cut..]);
        assert_eq!(&scanner.finish(), expected, "cut at {cut}");
    }
}

#[test]
fn a_plain_message() {
    let message =
        "From: a@b\r\nsubject: x\r\n y\r\nReceived: 1\r\n\r\nHello  w\u{f6}rld.\r\n\r\n-- \r\nme";
    let scanned = check(message, "text/plain 25 4");
    let summary = &scanned.summary;
    assert_eq!(summary.header_len, 42);
    assert_eq!((summary.size, summary.lines), (67, 9));
    assert_eq!(summary.field(FieldName::Subject).unwrap().raw, b"subject: x\r\n y\r\n");
    assert_eq!(summary.preview, "Hello wörld. -- me");
    assert_eq!((scanned.counts.fields, scanned.counts.received, scanned.counts.from), (3, 1, 1));
    assert!(scanned.odd_bytes.eight_bit && !scanned.odd_bytes.bare_lf && !scanned.odd_bytes.nul);
}

const MIXED: &str = "From: a\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=\"out er\"\r
\r
preamble\r
--out er\r
Content-Type: multipart/alternative; boundary=in\r
\r
--in\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: quoted-printable\r
\r
B=C3=BCcher\r
\r
--in \t\r
Content-Type: text/html\r
\r
<p>x\r
--in--\r
epilogue of in\r
--out er\r
Content-Type: message/rfc822\r
Content-Disposition: attachment; filename=x.eml\r
Content-Description: folded\r
 text\r
\r
Subject: inner\r
Content-Type: multipart/digest; boundary=dig\r
\r
--dig\r
\r
Subject: deep\r
\r
deep text\r
--dig--\r
--out er\r
Content-Type: image/png; name*0*=x\r
Content-ID: <1@2>\r
Content-Transfer-Encoding: base64\r
\r
QUJD\r
--out er--\r
epilogue\r
";

// RFC 2045 §2.4; RFC 2046 §5.1.5.
// RFC 2046 §5.1.1.
#[test]
fn a_nested_message_has_every_part_with_its_bytes() {
    let scanned = check(
        MIXED,
        "
        multipart/mixed 613 39
        1 multipart/alternative 172 12
        1.1 text/plain 13 1
        1.2 text/html 4 1
        2 message/rfc822 108 9
        2.m multipart/digest 44 6
        2.m.1 message/rfc822 26 3
        2.m.1.m text/plain 9 1
        3 image/png 4 1
        ",
    );
    let summary = &scanned.summary;
    assert_eq!(summary.preview, "Bücher");
    let cut = |range: &std::ops::Range<u64>| {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        MIXED.get(range).unwrap()
    };
    let root = &summary.structure;
    assert_eq!(cut(&root.section(&[1, 1]).unwrap().body), "B=C3=BCcher\r\n");
    assert_eq!(cut(&root.section(&[1, 2]).unwrap().header), "Content-Type: text/html\r\n\r\n");
    let attached = root.section(&[2]).unwrap();
    assert!(attached.is_attachment());
    assert_eq!(attached.description.as_deref(), Some(&b"folded text"[..]));
    let embedded = attached.embedded().unwrap();
    assert_eq!(embedded.fields[0].raw, b"Subject: inner\r\n");
    assert!(cut(&embedded.part.header).ends_with("boundary=dig\r\n\r\n"));
    assert_eq!(cut(&root.section(&[2, 1]).unwrap().body), "Subject: deep\r\n\r\ndeep text");
    assert_eq!(cut(&root.section(&[2, 1, 1]).unwrap().body), "deep text");
    assert_eq!(cut(&root.section(&[3]).unwrap().body), "QUJD");
    for none in [&[0][..], &[4], &[1, 3], &[3, 1], &[2, 2], &[2, 1, 2], &[2, 1, 1, 1]] {
        assert_eq!(root.section(none), None, "{none:?}");
    }
    assert_eq!(root.section(&[]), Some(root));
    assert_eq!(root.walk().count(), 9);
    assert_eq!(Summary::decode(&summary.encode()).as_ref(), Ok(summary));
}

#[test]
fn broken_messages_have_a_structure_too() {
    check("", "text/plain 0 0");
    check("\r\n", "text/plain 0 0");
    check("\n", "text/plain 0 0");
    check("x", "text/plain 0 0");
    check("Subject: no end", "text/plain 0 0");
    check("\r\nbody", "text/plain 4 1");
    check("Content-Type: text\r\n\r\nx", "text/plain 1 1");
    check("Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\n", "text/plain 7 2");
    check("Content-Type: multipart/mixed; boundary=x\r\n\r\nnone\r\n", "text/plain 6 1");
    check("Content-Type: multipart/mixed; boundary=x", "text/plain 0 0");
    check("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x--\r\nrest", "text/plain 11 2");
    check(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n--x\n\n\n--x\n\na\nb",
        "multipart/mixed 18 8
        1 text/plain 0 0
        2 text/plain 0 0
        3 text/plain 3 2",
    );
    // A header that a delimiter cuts off keeps its line end, and the part has no body.
    check(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: image/gif\n--x--",
        "multipart/mixed 33 3
        1 image/gif 0 0",
    );
    check("Content-Type: message/rfc822", "message/rfc822 0 0\nm text/plain 0 0");
    // RFC 2046 §5.2.1 forbids it; what it holds is not looked into, and no lines of base64 become
    // an envelope.
    for encoding in ["base64", "quoted-printable", "x-unknown"] {
        check(
            &format!(
                "Content-Type: message/rfc822\nContent-Transfer-Encoding: {encoding}\n\nU3ViamVjdDogeA==\n"
            ),
            "application/octet-stream 17 1",
        );
    }
    check(
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: x\n\nhi\n",
        "message/rfc822 15 3\nm text/plain 3 1",
    );
    check(
        "Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\n",
        "message/rfc822 30 2\nm message/rfc822 0 0\nm.m text/plain 0 0",
    );
    check(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\n--x--\n",
        "multipart/mixed 40 4
        1 message/rfc822 0 0
        1.m text/plain 0 0",
    );
    // The inner boundary begins with the outer one.
    check(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=xy\n\n--xy\n\nb\n--x--\n",
        "multipart/mixed 62 7
        1 multipart/mixed 7 3
        1.1 text/plain 1 1",
    );
    // The same boundary twice: the inner one takes the delimiters.
    check(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nb\n--x--\n--x--\n",
        "multipart/mixed 66 8
        1 multipart/mixed 12 4
        1.1 text/plain 1 1",
    );
    // An unfinished last delimiter, and one with a tail that makes it none.
    check(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n--x-\n--x--y\n--x--",
        "multipart/mixed 22 5
        1 text/plain 11 2",
    );
}

// RFC 2045 §3.
#[test]
fn the_first_field_of_a_name_describes_the_part() {
    let scanned = check(
        "Content-Type: text/html\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: BASE64 \r\ncontent-transfer-encoding: 7bit\r\n\r\nPGI+eA==",
        "text/html 8 1",
    );
    assert_eq!(scanned.summary.structure.encoding, crate::part::Encoding::Base64);
    assert_eq!(scanned.summary.preview, "x");
    assert_eq!(scanned.summary.fields.len(), 2);
}

#[test]
fn previews_come_from_what_a_person_would_read_first() {
    let preview = |message: &str| scan(message.as_bytes()).summary.preview;
    let parts = |first: &str, second: &str| {
        format!("Content-Type: multipart/mixed; boundary=x\n\n--x\n{first}\n--x\n{second}\n--x--\n")
    };
    assert_eq!(preview(&parts("Content-Disposition: attachment\n\nfile", "\ntext")), "text");
    assert_eq!(preview(&parts("\n \n", "Content-Type: text/html\n\n<b>x</b>")), "x");
    assert_eq!(preview(&parts("Content-Type: image/png\n\nx", "\n--y")), "--y");
    assert_eq!(preview(&parts("Content-Type: message/rfc822\n\n\ninner", "\nouter")), "outer");
    assert_eq!(preview("Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B%O\x1b(B"), "ハ");
}

#[test]
fn odd_bytes_are_seen_wherever_the_message_is_cut() {
    for (message, bare_lf, nul) in [
        ("a: b\r\n\r\nx\r\n", false, false),
        ("a: b\n\r\nx", true, false),
        ("\n", true, false),
        ("a: b\r\n\r\nx\r\n\n", true, false),
        ("a: b\r\n\r\n\0\r\n", false, true),
    ] {
        let scanned = scan(message.as_bytes());
        assert_eq!(
            (scanned.odd_bytes.bare_lf, scanned.odd_bytes.nul),
            (bare_lf, nul),
            "{message:?}"
        );
        every_cut_gives(message.as_bytes(), &scanned);
    }
}

/// A message of random lines: all that a scanner reacts to, in any order.
pub(crate) fn random_message(numbers: &mut Numbers) -> Vec<u8> {
    const LINES: [&str; 24] = [
        "",
        "",
        "",
        "--a",
        "--a",
        "--b",
        "--a--",
        "--b--",
        "--c",
        "--c--",
        "--ab ",
        "--",
        "-",
        "text",
        " folded",
        "Subject: x",
        "Content-Type: text/html",
        "Content-Type: message/rfc822",
        "Content-Type: multipart/mixed; boundary=a",
        "Content-Type: multipart/mixed; boundary=b",
        "Content-Type: multipart/digest; boundary=c",
        "Content-Type: multipart/mixed; boundary=ab",
        "Content-Type: multipart/mixed",
        "Content-Transfer-Encoding: base64",
    ];
    let mut message = Vec::new();
    if numbers.below(3) > 0 {
        message.extend_from_slice(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n");
    }
    for _ in 0..numbers.below(30) {
        message.extend_from_slice(LINES[numbers.below(LINES.len())].as_bytes());
        message.extend_from_slice([&b"\r\n"[..], b"\n"][usize::from(numbers.below(4) == 0)]);
    }
    if numbers.below(3) == 0 {
        message.pop();
    }
    message
}

#[test]
fn agrees_with_the_reference_and_with_itself_for_every_cut() {
    let mut numbers = Numbers::new(11);
    for round in 0..6_000 {
        let message = random_message(&mut numbers);
        let scanned = scan(&message);
        let expected = reference::structure(&message);
        let found = reference::simplify(&scanned.summary.structure);
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(&message));
        if round % 20 == 0 {
            every_cut_gives(&message, &scanned);
        }
        let mut scanner = Scanner::new(Limits::default());
        let mut rest = &message[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(numbers.below(9).min(rest.len()));
            scanner.feed(piece);
            rest = after;
        }
        assert_eq!(scanner.finish(), scanned);
        let summary = scanned.summary;
        assert_eq!(Summary::decode(&summary.encode()), Ok(summary));
    }
}

/// What is true of every structure, however broken the message.
pub(crate) fn assert_sound(scanned: &Scanned, size: u64) {
    let summary = &scanned.summary;
    let root = &summary.structure;
    assert_eq!((root.header.start, root.header.end, root.body.end), (0, summary.header_len, size));
    assert_eq!(summary.size, size);
    assert!(root.walk().count() <= PARTS_MAX + DEPTH_MAX + 1);
    assert!(summary.preview.len() <= crate::summary::PREVIEW_BYTES_MAX);
    for part in root.walk() {
        assert!(part.header.start <= part.header.end && part.body.start <= part.body.end);
        assert_eq!(part.header.end, part.body.start);
        assert!(!part.media.is_empty() && !part.subtype.is_empty());
        let mut from = part.body.start;
        let embedded = part.embedded().map(|embedded| &embedded.part);
        for inner in part.children().iter().chain(embedded) {
            assert!(inner.header.start >= from && inner.body.end <= part.body.end);
            from = inner.body.end;
        }
        match &part.inside {
            Inside::Multipart(parts) => assert!(!parts.is_empty() && part.media == "multipart"),
            Inside::Message(_) => assert!(part.media == "message"),
            Inside::Leaf => assert!(part.media != "multipart" && !part.is("message", "rfc822")),
        }
    }
    let encoded = summary.encode();
    assert!(encoded.len() <= crate::summary::SUMMARY_BYTES_MAX);
    let decoded = Summary::decode(&encoded).unwrap();
    assert_eq!((decoded.size, decoded.header_len), (summary.size, summary.header_len));
    assert!(decoded.cut || &decoded == summary);
}

#[test]
fn hostile_messages_stay_within_bounds() {
    // A7: deep nesting, and many of everything (A6).
    let big = 10_000;
    let nested: String = (0..big)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n"))
        .collect();
    let embedded = "Content-Type: message/rfc822\n\n".repeat(big);
    let many =
        format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n\ntext\n".repeat(big));
    let headers: String = (0..10 * big).map(|n| format!("X-{n}: y\n")).collect();
    let listed = format!("{}\n", "To: a@b\n".repeat(10 * big));
    let addresses = format!("To: {}\n\n", "a@b,\n ".repeat(10 * big));
    let params: String = (0..big).map(|n| format!(";\n name*{n}*=x")).collect();
    let params = format!("Content-Type: a/b{params}\n\n");
    let delimiters = format!("{nested}{}", "\n--b\n--\n-\n--b9".repeat(big));
    let folded = format!("Subject:{}\n\n", "\n ".repeat(100 * big));
    for message in [nested, embedded, many, headers, listed, addresses, params, delimiters, folded]
    {
        let scanned = scan(message.as_bytes());
        assert_sound(&scanned, message.len() as u64);
        let mut scanner = Scanner::new(Limits::default());
        message.as_bytes().chunks(777).for_each(|piece| scanner.feed(piece));
        assert!(scanner.finish() == scanned);
    }
}

#[test]
fn a_header_over_its_limit_is_reported_and_memory_stays_bounded() {
    let long_line = format!("Subject: {}", "x".repeat(3 * HELD_BYTES_MAX));
    let many_lines = "To: someone@example.org\r\n".repeat(HELD_BYTES_MAX / 8);
    let folded = format!("To: x{}", "\r\n someone@example.org,".repeat(HELD_BYTES_MAX / 8));
    for header in [long_line, many_lines, folded] {
        let message = format!("{header}\r\n\r\nbody\r\n");
        let mut scanner = Scanner::new(Limits::default());
        for piece in message.as_bytes().chunks(4096) {
            scanner.feed(piece);
            let head = scanner.head.as_ref().map_or(0, Head::bytes);
            assert!(scanner.held.len() + head + scanner.levels.kept_bytes() <= HELD_BYTES_MAX);
        }
        assert!(scanner.header_too_large());
        let scanned = scanner.finish();
        assert!(scanned.header_too_large && scanned.summary.cut);
        assert_sound(&scanned, message.len() as u64);
        assert!(scan(message.as_bytes()) == scanned);
    }
    let message = format!("To: {}\r\n\r\nx", "a".repeat(400_000));
    let scanned = scan(message.as_bytes());
    assert!(!scanned.header_too_large && !scanned.summary.cut);
}
