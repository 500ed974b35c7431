//! What IMAP extensions promise beyond their commands' names: each that is advertised, through the
//! real binary.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tests::imap::{Answer, Imap, literal_of};
use tests::message::message;
use tests::office::{Office, PASSWORD};
use tests::stream::Stream;

fn ok(imap: &mut Imap, command: &str) -> Answer {
    imap.command(command).unwrap().ok().unwrap_or_else(|error| panic!("{command}: {error}"))
}

fn refused(imap: &mut Imap, command: &str, told: &str) {
    let answer = imap.command(command).unwrap();
    assert!(answer.status == "NO" && answer.text.starts_with(told), "{command}: {answer:?}");
}

/// Appends so many small messages to a mailbox.
fn fill(imap: &mut Imap, mailbox: &str, count: usize) {
    for number in 0..count {
        imap.append(mailbox, "", &message(&format!("m{number}"))).unwrap().ok().unwrap();
    }
}

/// RFC 4959, RFC 3501: every way to log in, with the first words at once or when asked for.
// Covers: CAPABILITY AUTH=PLAIN, CAPABILITY AUTH=LOGIN, CAPABILITY SASL-IR.
#[test]
fn every_way_to_log_in_works() {
    let office = Office::start();
    let plain = BASE64.encode(format!("\0alice@example.test\0{PASSWORD}"));
    let connect = || Imap::connect(office.listener("imap")).unwrap();
    let mut imap = connect();
    ok(&mut imap, &format!("AUTHENTICATE PLAIN {plain}"));
    assert_eq!(imap.command("LOGIN a b").unwrap().status, "BAD");
    for words in [
        vec!["PLAIN", &plain],
        vec!["LOGIN", &BASE64.encode("alice@example.test"), &BASE64.encode(PASSWORD)],
    ] {
        let mut imap = connect();
        imap.stream.send(format!("a AUTHENTICATE {}\r\n", words[0]).as_bytes()).unwrap();
        for word in &words[1..] {
            assert!(imap.response().unwrap().starts_with(b"+"));
            imap.stream.send(format!("{word}\r\n").as_bytes()).unwrap();
        }
        imap.answer("a").unwrap().ok().unwrap();
        ok(&mut imap, "SELECT INBOX");
    }
    // C2: given up, broken, wrong, unknown: only this attempt fails.
    let mut imap = connect();
    imap.stream.send(b"a AUTHENTICATE PLAIN\r\n").unwrap();
    assert!(imap.response().unwrap().starts_with(b"+"));
    imap.stream.send(b"*\r\n").unwrap();
    assert_eq!(imap.answer("a").unwrap().status, "BAD");
    assert_eq!(imap.command("AUTHENTICATE PLAIN ====").unwrap().status, "BAD");
    refused(&mut imap, "LOGIN alice@example.test wrong", "[AUTHENTICATIONFAILED]");
    refused(&mut imap, "LOGIN nobody@example.test wrong", "[AUTHENTICATIONFAILED]");
    assert_ne!(imap.command("AUTHENTICATE CRAM-MD5").unwrap().status, "OK");
    // The user name as a literal.
    let tag = imap.tag();
    imap.stream
        .send(format!("{tag} LOGIN {{18+}}\r\nalice@example.test {{15}}\r\n").as_bytes())
        .unwrap();
    assert!(imap.response().unwrap().starts_with(b"+"));
    imap.stream.send(format!("{PASSWORD}\r\n").as_bytes()).unwrap();
    imap.answer(&tag).unwrap().ok().unwrap();
}

/// Passwords in the clear are not taken from elsewhere: a proxy tells that the client is.
// Covers: CAPABILITY LOGINDISABLED.
#[test]
fn nobody_logs_in_in_the_clear_from_elsewhere() {
    let mut office = Office::start();
    office.configure(&[
        ("[listeners.imap]", "proxies = \"127.0.0.1\""),
        ("[listeners.submission]", "proxies = \"127.0.0.1\""),
    ]);
    // From 2001:db8::7 and from 203.0.113.7.
    let six =
        [&b"\x21\x21\x00\x24\x20\x01\x0d\xb8"[..], &[0; 11], &[7], &[0x20, 1, 0xd, 0xb8]].concat();
    let six = [&six[..], &[0; 11], &[1, 4, 1, 0, 143]].concat();
    let four = b"\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x04\x01\x00\x8f".to_vec();
    let begin = |listener: &str, address: &[u8]| {
        let mut stream = Stream::connect(office.listener(listener)).unwrap();
        stream.send(b"\r\n\r\n\0\r\nQUIT\n").unwrap();
        stream.send(address).unwrap();
        stream
    };
    for address in [six, four] {
        let mut stream = begin("imap", &address);
        let greeting = String::from_utf8(stream.line().unwrap().unwrap()).unwrap();
        assert!(greeting.contains(" LOGINDISABLED") && !greeting.contains("AUTH="), "{greeting}");
        stream.send(format!("a LOGIN alice@example.test {PASSWORD}\r\n").as_bytes()).unwrap();
        let said = String::from_utf8(stream.line().unwrap().unwrap()).unwrap();
        assert!(said.starts_with("a NO [PRIVACYREQUIRED]"), "{said}");
        stream.send(b"b STARTTLS\r\n").unwrap();
        assert!(stream.line().unwrap().unwrap().starts_with(b"b OK"));
        stream.start_tls().unwrap();
        stream.send(format!("c LOGIN alice@example.test {PASSWORD}\r\n").as_bytes()).unwrap();
        assert!(stream.line().unwrap().unwrap().starts_with(b"c OK"));

        let mut smtp = tests::smtp::Smtp { stream: begin("submission", &address) };
        smtp.reply().unwrap().expect(220).unwrap();
        let offered = smtp.ehlo().unwrap();
        assert!(!offered.iter().any(|line| line.starts_with("AUTH")), "{offered:?}");
        assert!(smtp.login("alice@example.test", PASSWORD).is_err());
        smtp.starttls().unwrap();
        smtp.login("alice@example.test", PASSWORD).unwrap();
    }
    // LOCAL: the proxy itself looks whether we live.
    let mut stream = begin("imap", b"\x20\x00\x00\x00");
    assert!(stream.line().unwrap().unwrap().starts_with(b"* OK"));
}

/// RFC 7888: literals without asking, and only small ones before the login.
// Covers: CAPABILITY LITERAL+, CAPABILITY LITERAL-.
#[test]
fn literals_need_not_be_asked_for() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    let text = message("plus");
    let mut all = format!("a APPEND {{5+}}\r\nINBOX (\\Seen) {{{}+}}\r\n", text.len()).into_bytes();
    all.extend(&text);
    all.extend(b"\r\nb NOOP\r\n");
    imap.stream.send(&all).unwrap();
    assert!(imap.answer("a").unwrap().ok().unwrap().code("APPENDUID").is_some());
    imap.answer("b").unwrap().ok().unwrap();
    // RFC 3516: what has NUL only as literal8.
    let binary = b"Subject: nul\r\nContent-Transfer-Encoding: binary\r\n\r\na\0b\r\n";
    let mut all = format!("c APPEND INBOX ~{{{}+}}\r\n", binary.len()).into_bytes();
    all.extend(binary);
    all.extend(b"\r\n");
    imap.stream.send(&all).unwrap();
    let answer = imap.answer("c").unwrap();
    if answer.status == "OK" {
        assert_eq!(office.wait_for("alice", "INBOX", 2)[1].1, binary);
    } else {
        assert!(answer.text.starts_with("[UNKNOWN-CTE]"), "{answer:?}");
    }
}

/// RFC 7889: the limit that is told is the limit.
// Covers: CAPABILITY APPENDLIMIT.
#[test]
fn appends_are_limited_as_told() {
    let mut office = Office::start();
    office.configure(&[("[limits]", "message_size_max = \"100KiB\"")]);
    let mut imap = office.imap("alice");
    let told = ok(&mut imap, "CAPABILITY").line_with("CAPABILITY").unwrap();
    assert!(told.contains(" APPENDLIMIT=102400"), "{told}");
    let status = ok(&mut imap, "STATUS INBOX (APPENDLIMIT)").line_with("STATUS").unwrap();
    assert!(status.ends_with("(APPENDLIMIT 102400)"), "{status}");
    refused(&mut imap, "APPEND INBOX {102401}", "[TOOBIG]");
    // The large literal comes all the same; it is passed over and the session goes on.
    let mut imap = office.imap("alice");
    imap.stream.send(b"a APPEND INBOX {102401+}\r\n").unwrap();
    imap.stream.send(&vec![b'x'; 102_401]).unwrap();
    imap.stream.send(b"\r\nb NOOP\r\n").unwrap();
    let answer = imap.answer("a").unwrap();
    assert!(answer.status != "OK" && answer.text.contains("TOOBIG"), "{answer:?}");
    imap.answer("b").unwrap().ok().unwrap();
    assert_eq!(imap.select("INBOX").unwrap(), 0);
}

/// RFC 9208.
// Covers: CAPABILITY QUOTA, CAPABILITY QUOTA=RES-STORAGE, CAPABILITY QUOTA=RES-MESSAGE.
#[test]
fn quotas_are_told_by_resource() {
    let office = Office::start();
    office.admin(&["account", "quota", "alice@example.test", "1MiB", "--messages", "3"], "");
    let mut imap = office.imap("alice");
    fill(&mut imap, "INBOX", 2);
    let size = 2 * message("m0").len() / 1024;
    let told = ok(&mut imap, "GETQUOTAROOT Sent");
    let root = told.line_with("QUOTAROOT").unwrap();
    let name = root.rsplit(' ').next().unwrap().to_owned();
    let line = ok(&mut imap, &format!("GETQUOTA {name}")).line_with("QUOTA ").unwrap();
    assert_eq!(told.line_with("QUOTA "), Some(line.clone()));
    assert!(line.contains("MESSAGE 2 3"), "{line}");
    assert!((size..=size + 1).any(|kib| line.contains(&format!("STORAGE {kib} 1024"))), "{line}");
    refused(&mut imap, "GETQUOTA others", "[NOPERM]");
    fill(&mut imap, "Drafts", 1);
    let full = imap.append("INBOX", "", &message("over")).unwrap();
    assert!(full.text.starts_with("[OVERQUOTA]"), "{full:?}");
    imap.select("INBOX").unwrap();
    refused(&mut imap, "COPY 1 Sent", "[OVERQUOTA]");
    // A move takes no more room; an expunge gives some back.
    ok(&mut imap, "MOVE 1 Sent");
    ok(&mut imap, "STORE 1 +FLAGS (\\Deleted)");
    ok(&mut imap, "EXPUNGE");
    fill(&mut imap, "INBOX", 1);
    office.admin(&["account", "quota", "alice@example.test", "none"], "");
}

/// RFC 5258, RFC 5819, RFC 8438, RFC 6154.
// Covers: CAPABILITY LIST-EXTENDED, CAPABILITY LIST-STATUS, CAPABILITY STATUS=SIZE.
// Covers: CAPABILITY SPECIAL-USE, CAPABILITY CREATE-SPECIAL-USE, CAPABILITY CHILDREN.
#[test]
fn extended_lists_select_and_return() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    for name in ["Work/2026/Riga", "Work/2025", "Play"] {
        ok(&mut imap, &format!("CREATE {name}"));
    }
    fill(&mut imap, "Work/2025", 2);
    for name in ["Work/2026", "Work/2026/Riga", "Play"] {
        ok(&mut imap, &format!("UNSUBSCRIBE {name}"));
    }
    ok(&mut imap, "SUBSCRIBE Work/2026/Riga");
    let names = |answer: &Answer| -> Vec<String> {
        let lines = answer.lines();
        let lists = lines.iter().filter(|line| line.starts_with("LIST"));
        lists.map(|line| line.split("\"/\" ").nth(1).unwrap_or_default().replace('"', "")).collect()
    };
    let answer = ok(&mut imap, "LIST \"\" (\"Work/%\" Play)");
    let mut found = names(&answer);
    found.sort();
    assert_eq!(found, ["Play", "Work/2025", "Work/2026"], "{answer:?}");
    let answer = ok(&mut imap, "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"Work/%\"");
    let line = answer.line_with("Work/2026").unwrap();
    assert!(line.contains("CHILDINFO") && line.contains("SUBSCRIBED"), "{answer:?}");
    let answer = ok(&mut imap, "LIST \"\" \"Work/*\" RETURN (SUBSCRIBED CHILDREN)");
    let line = answer.line_with("\"Work/2026\"").unwrap_or_else(|| {
        answer.lines().into_iter().find(|line| line.ends_with("Work/2026")).unwrap()
    });
    assert!(line.contains("\\HasChildren") && !line.contains("\\Subscribed"), "{line}");
    let answer =
        ok(&mut imap, "LIST \"\" \"Work/20%\" RETURN (STATUS (MESSAGES SIZE UNSEEN UIDNEXT))");
    let status =
        answer.lines().into_iter().find(|line| line.starts_with("STATUS") && line.contains("2025"));
    let size = 2 * message("m0").len();
    let status = status.unwrap();
    for item in
        ["MESSAGES 2".to_owned(), format!("SIZE {size}"), "UNSEEN 2".into(), "UIDNEXT 3".into()]
    {
        assert!(status.contains(&item), "{item}: {status}");
    }
    let answer = ok(&mut imap, "LIST (SPECIAL-USE) \"\" % RETURN (SPECIAL-USE)");
    assert_eq!(names(&answer).len(), 5);
    assert!(imap.command("LIST (RECURSIVEMATCH) \"\" *").unwrap().status == "BAD");
    // The separator, and nothing else.
    assert_eq!(names(&ok(&mut imap, "LIST \"\" \"\"")), [""]);
    // INBOX moves its messages out when renamed, and stays.
    fill(&mut imap, "INBOX", 1);
    ok(&mut imap, "RENAME INBOX Old");
    assert_eq!((imap.select("Old").unwrap(), imap.select("INBOX").unwrap()), (1, 0));
    refused(&mut imap, "CREATE Again (USE (\\Sent))", "[USEATTR]");
    refused(&mut imap, "RENAME Old Play", "[ALREADYEXISTS]");
    refused(&mut imap, "DELETE Nowhere", "[NONEXISTENT]");
}

/// RFC 4731, RFC 5182: what is searched is told shortly, saved, and used.
// Covers: CAPABILITY ESEARCH, CAPABILITY SEARCHRES.
#[test]
fn searches_return_what_is_asked_and_are_saved() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    fill(&mut imap, "INBOX", 5);
    imap.select("INBOX").unwrap();
    let told = |imap: &mut Imap, command: &str| ok(imap, command).line_with("ESEARCH").unwrap();
    assert!(told(&mut imap, "SEARCH RETURN () 2:4").ends_with("ALL 2:4"));
    let line = told(&mut imap, "UID SEARCH RETURN (MIN MAX COUNT) NOT 3");
    assert!(line.contains(" UID MIN 1 MAX 5 COUNT 4"), "{line}");
    ok(&mut imap, "SEARCH RETURN (SAVE) OR SUBJECT m1 SUBJECT m3");
    ok(&mut imap, "STORE $ +FLAGS (\\Flagged)");
    assert!(told(&mut imap, "SEARCH RETURN (ALL) FLAGGED").ends_with("ALL 2,4"));
    assert!(told(&mut imap, "SEARCH RETURN (ALL) NOT $").ends_with("ALL 1,3,5"));
    ok(&mut imap, "UID MOVE $ Archive");
    assert_eq!(imap.select("Archive").unwrap(), 2);
    // RFC 7162 §3.1.5: the modseq of what was found.
    imap.select("INBOX").unwrap();
    assert!(told(&mut imap, "SEARCH RETURN (ALL) MODSEQ 1").contains(" MODSEQ "));
}

/// RFC 9051: what rev2 changes is changed only for who asked.
// Covers: CAPABILITY IMAP4rev2, CAPABILITY ENABLE.
#[test]
fn rev2_is_there_for_who_enables_it() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    fill(&mut imap, "INBOX", 2);
    assert!(ok(&mut imap, "SELECT INBOX").line_with(" RECENT").is_some());
    assert!(ok(&mut imap, "SEARCH ALL").line_with("SEARCH 1 2").is_some());
    // RFC 9051 §6.3.1: while nothing is selected.
    assert_eq!(imap.command("ENABLE IMAP4rev2").unwrap().status, "BAD");
    ok(&mut imap, "UNSELECT");
    assert!(ok(&mut imap, "ENABLE IMAP4rev2").line_with("ENABLED IMAP4rev2").is_some());
    let selected = ok(&mut imap, "SELECT INBOX");
    assert!(selected.line_with(" RECENT").is_none(), "{selected:?}");
    assert!(selected.lines().iter().any(|line| line.starts_with("LIST ")), "{selected:?}");
    assert!(ok(&mut imap, "SEARCH ALL").line_with("ESEARCH").is_some());
    let binary =
        b"Content-Type: application/x-a\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n";
    imap.append("INBOX", "", binary).unwrap().ok().unwrap();
    let answer = ok(&mut imap, "FETCH 3 BINARY.PEEK[1]");
    let line = answer.untagged.iter().find(|line| line.windows(6).any(|part| part == b"BINARY"));
    let line = line.unwrap();
    let text = String::from_utf8_lossy(line).into_owned();
    assert!(
        line.windows(3).any(|part| part == [0, 1, 2]) || literal_of(line) == Some(&[0, 1, 2]),
        "{text}"
    );
    assert!(ok(&mut imap, "FETCH 3 BINARY.SIZE[1]").line_with("BINARY.SIZE[1] 3").is_some());
    // EXAMINE and UNSELECT change nothing.
    ok(&mut imap, "STORE 1 +FLAGS (\\Deleted)");
    assert!(ok(&mut imap, "EXAMINE INBOX").text.contains("[READ-ONLY]"));
    assert_eq!(imap.command("STORE 1 +FLAGS (\\Seen)").unwrap().status, "NO");
    ok(&mut imap, "CLOSE");
    ok(&mut imap, "SELECT INBOX");
    ok(&mut imap, "UNSELECT");
    assert_eq!(imap.select("INBOX").unwrap(), 3);
    ok(&mut imap, "CLOSE");
    assert_eq!(imap.select("INBOX").unwrap(), 2);
    let bye = ok(&mut imap, "LOGOUT");
    assert!(bye.line_with("BYE").is_some() && imap.stream.rest().unwrap().is_empty());
}

/// RFC 7162: sequence and UID vanish for who enabled it, also in another session at once.
// Covers: CAPABILITY QRESYNC, CAPABILITY CONDSTORE.
#[test]
fn qresync_tells_what_vanished() {
    let office = Office::start();
    let (mut one, mut other) = (office.imap("alice"), office.imap("alice"));
    fill(&mut one, "INBOX", 6);
    ok(&mut one, "ENABLE QRESYNC");
    let selected = ok(&mut one, "SELECT INBOX");
    let (validity, modseq) =
        (selected.code("UIDVALIDITY").unwrap(), selected.code("HIGHESTMODSEQ").unwrap());
    other.select("INBOX").unwrap();
    ok(&mut other, "STORE 2:3,5 +FLAGS.SILENT (\\Deleted)");
    let expunged = ok(&mut other, "EXPUNGE").lines();
    assert_eq!(expunged.iter().filter(|line| line.ends_with("EXPUNGE")).count(), 3, "{expunged:?}");
    let told = ok(&mut one, "NOOP");
    assert!(told.line_with("VANISHED 2:3,5").is_some(), "{told:?}");
    ok(&mut one, "UNSELECT");
    // What the client knows: only those of them that are gone are told.
    let known = format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:4))");
    let told = ok(&mut one, &known);
    assert!(told.line_with("VANISHED (EARLIER) 2:3").is_some(), "{told:?}");
    let fetched = ok(&mut one, &format!("UID FETCH 1:* FLAGS (CHANGEDSINCE {modseq} VANISHED)"));
    assert!(fetched.line_with("VANISHED (EARLIER) 2:3,5").is_some(), "{fetched:?}");
    let moved = ok(&mut one, "UID MOVE 6 Archive");
    assert!(moved.line_with("VANISHED 6").is_some(), "{moved:?}");
    // Another UIDVALIDITY: nothing is told, all is new.
    let told = ok(&mut one, "SELECT INBOX (QRESYNC (1 1))");
    assert!(told.line_with("VANISHED").is_none(), "{told:?}");
    assert!(ok(&mut one, "STATUS INBOX (HIGHESTMODSEQ)").line_with("HIGHESTMODSEQ").is_some());
}

/// A7: nesting and parts beyond the bounds are opaque, and the message is whole.
#[test]
fn nesting_without_end_is_one_opaque_part() {
    let mut office = Office::start();
    let before = office.process().resident_bytes();
    let deep: String = (0..10_000)
        .map(|level| {
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
        })
        .collect();
    let deep = format!("Subject: deep\r\n{deep}\r\nend\r\n").into_bytes();
    let wide = "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n".repeat(20_000);
    let wide = format!(
        "Subject: wide\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{wide}--b--\r\n"
    )
    .into_bytes();
    let mut russian = b"Subject: dolls\r\n".to_vec();
    russian.extend(b"Content-Type: message/rfc822\r\n\r\n".repeat(5_000));
    let mut imap = office.imap("alice");
    let all = [deep, wide, russian];
    for text in &all {
        let reply = office.smtp().send("ana@sender.test", &["bob@example.test"], text).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
        imap.append("INBOX", "", text).unwrap().ok().unwrap();
    }
    imap.select("INBOX").unwrap();
    for (at, text) in all.iter().enumerate() {
        let number = at + 1;
        for item in ["BODYSTRUCTURE", "BODY", "ENVELOPE", "BODY.PEEK[1.1.1.1.1.1.1]"] {
            ok(&mut imap, &format!("FETCH {number} {item}"));
        }
        let read = ok(&mut imap, &format!("FETCH {number} BODY.PEEK[]"));
        let line = read.untagged.iter().find(|line| line.windows(5).any(|w| w == b"FETCH"));
        assert_eq!(literal_of(line.unwrap()), Some(text.as_slice()));
    }
    assert!(ok(&mut imap, "SEARCH SUBJECT wide BODY x").line_with("SEARCH 2").is_some());
    let read = office.wait_for("bob", "INBOX", 3);
    for (text, (_, read)) in all.iter().zip(&read) {
        assert_eq!(tests::message::without_trace(read), Some(text.as_slice()));
    }
    let grown = office.process().resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "nesting cost {grown} bytes");
}

/// More addresses and parts than the stored summary has room for: read from the message.
#[test]
fn what_a_summary_has_no_room_for_is_there() {
    let office = Office::start();
    let noise = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let people: Vec<String> =
        (0..900).map(|number| format!("p{:x}@example.test", noise(number))).collect();
    let parts: String = (0..600)
        .map(|number| {
            let name = noise(number + 5_000);
            format!("--b\r\nContent-Type: text/plain; name=f{name:x}\r\n\r\npart {number}\r\n")
        })
        .collect();
    let to = format!("To: {}\r\n", people.join(",\r\n "));
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let text = format!("From: a@sender.test\r\n{to}Subject: many\r\n{head}{parts}--b--\r\n");
    office
        .smtp()
        .send("a@sender.test", &["alice@example.test"], text.as_bytes())
        .unwrap()
        .expect(250)
        .unwrap();
    office.wait_for("alice", "INBOX", 1);
    let mut imap = office.imap("alice");
    imap.append("INBOX", "", text.as_bytes()).unwrap().ok().unwrap();
    imap.select("INBOX").unwrap();
    let last = people[899].split('@').next().unwrap();
    for number in [1, 2] {
        let line = |imap: &mut Imap, item: &str| {
            ok(imap, &format!("FETCH {number} {item}")).line_with("FETCH (").unwrap()
        };
        assert!(line(&mut imap, "ENVELOPE").contains(&format!("(NIL NIL \"{last}\" ")));
        assert!(line(&mut imap, "BODYSTRUCTURE").contains(&format!("\"f{:x}\"", noise(5_599))));
        let fields = line(&mut imap, "BODY.PEEK[HEADER.FIELDS (TO SUBJECT)]");
        assert!(fields.contains(&format!("{to}Subject: many\r\n\r\n")), "{number}");
        assert!(line(&mut imap, "BODY.PEEK[600]").contains("part 599"));
    }
    for keys in [format!("TO {last}"), format!("HEADER To {last}"), "BODY \"part 599\"".to_owned()]
    {
        assert!(
            ok(&mut imap, &format!("SEARCH {keys}")).line_with("SEARCH 1 2").is_some(),
            "{keys}"
        );
    }
}

/// Limits of a tree of mailboxes and of keywords are named.
#[test]
fn names_and_keywords_are_limited() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    ok(&mut imap, &format!("CREATE {}", "n".repeat(255)));
    assert_eq!(imap.command(&format!("CREATE {}", "n".repeat(256))).unwrap().status, "NO");
    let deep = vec!["level"; 200].join("/");
    assert_eq!(imap.command(&format!("CREATE {deep}")).unwrap().status, "NO");
    fill(&mut imap, "INBOX", 1);
    imap.select("INBOX").unwrap();
    let keywords = |from: usize, to: usize| -> String {
        (from..to).map(|number| format!("key{number}")).collect::<Vec<_>>().join(" ")
    };
    for from in (0..1_000).step_by(100) {
        ok(&mut imap, &format!("STORE 1 +FLAGS.SILENT ({})", keywords(from, from + 100)));
    }
    refused(&mut imap, &format!("STORE 1 +FLAGS.SILENT ({})", keywords(1_000, 1_001)), "[LIMIT]");
    let told = ok(&mut imap, "FETCH 1 FLAGS").line_with("FETCH").unwrap();
    assert!(told.contains("key999") && !told.contains("key1000"), "{}", told.len());
}

/// RFC 9051 §6.4.4: every key of SEARCH, on messages of several charsets.
#[test]
fn every_search_key_finds_what_it_should() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    let koi8 = BASE64.encode(b"\xf0\xd2\xc9\xd7\xc5\xd4 world\r\n");
    let messages = [
        // 1: ISO-8859-1, quoted-printable; old, flagged.
        "From: ana@sender.test\r\nTo: alice@example.test\r\nCc: carol@example.test\r\n\
         Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\nDate: Mon, 3 Feb 2020 10:00:00 +0000\r\n\
         Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         caf=E9 au lait\r\n"
            .to_owned(),
        // 2: KOI8-R, base64, in a part; another in ISO-2022-JP.
        format!(
            "From: boris@sender.test\r\nBcc: dora@example.test\r\nSubject: two\r\n\
             Date: Tue, 4 Feb 2020 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=koi8-r\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{koi8}\r\n--b\r\n\
             Content-Type: text/html; charset=iso-2022-jp\r\n\r\n<p>\x1b$B$3$s$K$A$O\x1b(B</p>\r\n--b--\r\n"
        ),
        // 3: large, of an unknown charset.
        format!("From: x@sender.test\r\nSubject: three\r\nContent-Type: text/plain; charset=x-none\r\n\r\nplain {}\r\n", "words ".repeat(2_000)),
    ];
    for (options, text) in [
        ("(\\Flagged $Work) \"03-Feb-2020 12:00:00 +0000\" ", &messages[0]),
        ("(\\Seen \\Answered \\Draft) \"04-Feb-2020 12:00:00 +0000\" ", &messages[1]),
        ("(\\Deleted) ", &messages[2]),
    ] {
        imap.append("INBOX", options, text.as_bytes()).unwrap().ok().unwrap();
    }
    imap.select("INBOX").unwrap();
    for (keys, expected) in [
        ("ALL", "1 2 3"),
        ("2:*", "2 3"),
        ("UID 1,3", "1 3"),
        ("ANSWERED", "2"),
        ("UNANSWERED", "1 3"),
        ("DELETED", "3"),
        ("UNDELETED", "1 2"),
        ("DRAFT", "2"),
        ("UNDRAFT", "1 3"),
        ("FLAGGED", "1"),
        ("UNFLAGGED", "2 3"),
        ("SEEN", "2"),
        ("UNSEEN", "1 3"),
        ("KEYWORD $Work", "1"),
        ("UNKEYWORD $Work", "2 3"),
        ("BEFORE 4-Feb-2020", "1"),
        ("ON 4-Feb-2020", "2"),
        ("SINCE 4-Feb-2020", "2 3"),
        ("SENTBEFORE 4-Feb-2020", "1"),
        ("SENTON 4-Feb-2020", "2"),
        ("SENTSINCE 3-Feb-2020 SENTBEFORE 5-Feb-2020", "1 2"),
        ("LARGER 10000", "3"),
        ("SMALLER 10000", "1 2"),
        ("FROM BORIS", "2"),
        ("TO alice@", "1"),
        ("CC carol", "1"),
        ("BCC dora", "2"),
        ("SUBJECT three", "3"),
        ("HEADER Mime-Version \"\"", "2"),
        ("OR FROM ana SUBJECT three", "1 3"),
        ("NOT (FROM ana OR SUBJECT two SUBJECT three)", "1 2 3"),
        ("CHARSET UTF-8 SUBJECT gr\u{fc}\u{df}e", "1"),
        ("CHARSET UTF-8 SUBJECT GR\u{dc}", "1"),
        ("CHARSET UTF-8 BODY caf\u{e9}", "1"),
        ("CHARSET UTF-8 TEXT \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}", "2"),
        ("CHARSET UTF-8 BODY \u{3053}\u{3093}", "2"),
        ("BODY \"plain words\"", "3"),
        ("TEXT ana@sender", "1"),
        ("BODY ana@sender", ""),
    ] {
        let tag = imap.tag();
        let mut line = format!("{tag} SEARCH {keys}\r\n");
        if !keys.is_ascii() {
            // Text outside ASCII is a literal.
            let (head, text) = keys.rsplit_once(' ').unwrap();
            line = format!("{tag} SEARCH {head} {{{}+}}\r\n{text}\r\n", text.len());
        }
        imap.stream.send(line.as_bytes()).unwrap();
        let answer = imap.answer(&tag).unwrap().ok().unwrap_or_else(|why| panic!("{keys}: {why}"));
        let found = answer.line_with("SEARCH").unwrap();
        assert_eq!(found.trim_start_matches("SEARCH").trim(), expected, "{keys}");
    }
    assert!(imap.command("SEARCH CHARSET X-NONE TEXT a").unwrap().text.contains("[BADCHARSET"));
}
