//! Each IMAP command and extension that is advertised, through the real binary.

use tests::imap::Imap;
use tests::message::message;
use tests::office::{Office, PASSWORD};
use tests::wait;

/// A logged-in client with three messages in `Work`, UIDs 1 to 3.
fn work(office: &Office) -> Imap {
    let mut imap = office.imap("alice");
    imap.command("CREATE Work").unwrap().ok().unwrap();
    for id in ["one", "two", "three"] {
        imap.append("Work", "(\\Seen) \"24-Nov-2026 10:00:00 +0200\" ", &message(id))
            .unwrap()
            .ok()
            .unwrap();
    }
    assert_eq!(imap.select("Work").unwrap(), 3);
    imap
}

fn ok(imap: &mut Imap, command: &str) -> tests::imap::Answer {
    imap.command(command).unwrap().ok().unwrap_or_else(|error| panic!("{command}: {error}"))
}

#[test]
fn what_is_advertised_is_what_the_issue_names() {
    let office = Office::start();
    let mut imap = Imap::connect(office.listener("imap")).unwrap();
    let before = ok(&mut imap, "CAPABILITY").line_with("CAPABILITY").unwrap();
    for name in
        ["IMAP4rev1", "IMAP4rev2", "STARTTLS", "SASL-IR", "AUTH=PLAIN", "AUTH=SCRAM-SHA-256"]
    {
        assert!(before.split(' ').any(|word| word == name), "{name}: {before}");
    }
    ok(&mut imap, &format!("LOGIN alice@example.test {PASSWORD}"));
    let after = ok(&mut imap, "CAPABILITY").line_with("CAPABILITY").unwrap();
    for name in [
        "IMAP4rev1",
        "IMAP4rev2",
        "ID",
        "ENABLE",
        "IDLE",
        "NAMESPACE",
        "UIDPLUS",
        "UNSELECT",
        "MOVE",
        "CHILDREN",
        "SPECIAL-USE",
        "LIST-EXTENDED",
        "LIST-STATUS",
        "STATUS=SIZE",
        "ESEARCH",
        "CONDSTORE",
        "QRESYNC",
        "QUOTA",
    ] {
        assert!(after.split(' ').any(|word| word == name), "{name}: {after}");
    }
    assert!(after.contains("APPENDLIMIT"), "{after}");
    assert!(after.contains("LITERAL+") || after.contains("LITERAL-"), "{after}");
    for later in ["SORT", "THREAD", "COMPRESS", "NOTIFY", "METADATA"] {
        assert!(!after.split(' ').any(|word| word.starts_with(later)), "{later}: {after}");
    }
}

// Covers: CAPABILITY IMAP4rev1, CAPABILITY NAMESPACE, CAPABILITY ID.
#[test]
fn mailboxes_are_made_listed_renamed_and_removed() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    let listed = ok(&mut imap, "LIST \"\" *").lines();
    for (name, usage) in [
        ("Sent", "\\Sent"),
        ("Drafts", "\\Drafts"),
        ("Trash", "\\Trash"),
        ("Junk", "\\Junk"),
        ("Archive", "\\Archive"),
    ] {
        let line = listed.iter().find(|line| line.contains(name)).unwrap();
        assert!(line.contains(usage), "{line}");
    }
    ok(&mut imap, "CREATE Projects/2026/Riga");
    let listed = ok(&mut imap, "LIST \"\" Projects%").lines();
    assert!(listed.iter().any(|line| line.contains("\\HasChildren")), "{listed:?}");
    ok(&mut imap, "SUBSCRIBE Projects/2026/Riga");
    let listed = ok(&mut imap, "LSUB \"\" *").lines();
    assert!(listed.iter().any(|line| line.contains("Projects/2026/Riga")), "{listed:?}");
    ok(&mut imap, "RENAME Projects Done");
    let listed =
        ok(&mut imap, "LIST (SUBSCRIBED) \"\" * RETURN (CHILDREN STATUS (MESSAGES))").lines();
    assert!(!listed.is_empty());
    let listed =
        ok(&mut imap, "LIST \"\" Done/2026/% RETURN (STATUS (MESSAGES UNSEEN SIZE))").lines();
    assert!(
        listed.iter().any(|line| line.starts_with("STATUS") && line.contains("SIZE 0")),
        "{listed:?}"
    );
    ok(&mut imap, "DELETE Done/2026/Riga");
    assert_eq!(imap.command("SELECT Done/2026/Riga").unwrap().status, "NO");
    assert_eq!(imap.command("CREATE INBOX").unwrap().status, "NO");
    assert_eq!(imap.command("DELETE INBOX").unwrap().status, "NO");
    let special = ok(&mut imap, "LIST (SPECIAL-USE) \"\" *").lines();
    assert_eq!(special.len(), 5, "{special:?}");
    ok(&mut imap, "NAMESPACE");
    ok(&mut imap, "ID (\"name\" \"test\")");
}

// Covers: CAPABILITY UNSELECT.
#[test]
fn a_recreated_mailbox_has_another_uidvalidity() {
    let office = Office::start();
    let mut imap = work(&office);
    let before = ok(&mut imap, "SELECT Work").code("UIDVALIDITY").unwrap();
    ok(&mut imap, "UNSELECT");
    ok(&mut imap, "DELETE Work");
    ok(&mut imap, "CREATE Work");
    let after = ok(&mut imap, "SELECT Work").code("UIDVALIDITY").unwrap();
    assert_ne!(before, after, "I3");
}

// Covers: CAPABILITY UIDPLUS, CAPABILITY MOVE.
#[test]
fn messages_are_appended_flagged_copied_moved_and_expunged() {
    let office = Office::start();
    let mut imap = work(&office);
    let appended =
        imap.append("Work", "(\\Draft $Forwarded) ", &message("four")).unwrap().ok().unwrap();
    let code = appended.code("APPENDUID").unwrap();
    assert!(code.ends_with(" 4"), "{code}");
    let flags = ok(&mut imap, "UID FETCH 4 (FLAGS INTERNALDATE)").line_with("FETCH").unwrap();
    assert!(flags.contains("\\Draft") && flags.contains("$Forwarded"), "{flags}");
    let date = ok(&mut imap, "UID FETCH 1 INTERNALDATE").line_with("INTERNALDATE").unwrap();
    assert!(date.contains("24-Nov-2026"), "{date}");

    let stored = ok(&mut imap, "UID STORE 2 +FLAGS (\\Flagged)").line_with("FETCH").unwrap();
    assert!(stored.contains("\\Flagged") && stored.contains("\\Seen"), "{stored}");
    let stored = ok(&mut imap, "STORE 2 -FLAGS (\\Seen)").line_with("FETCH").unwrap();
    assert!(!stored.contains("\\Seen"), "{stored}");
    assert!(
        ok(&mut imap, "UID STORE 2 FLAGS.SILENT (\\Answered)").line_with("\\Answered").is_none()
    );

    let copied = ok(&mut imap, "UID COPY 1:2 Archive");
    assert!(copied.code("COPYUID").unwrap().ends_with("1:2 1:2"), "{copied:?}");
    let moved = ok(&mut imap, "UID MOVE 3 Trash");
    assert!(moved.code("COPYUID").unwrap().ends_with("3 1"), "{moved:?}");
    assert!(moved.line_with("EXPUNGE").is_some() || moved.line_with("VANISHED").is_some());
    ok(&mut imap, "UID STORE 1,4 +FLAGS (\\Deleted)");
    let expunged = ok(&mut imap, "UID EXPUNGE 4");
    assert!(expunged.line_with("EXPUNGE").is_some(), "{expunged:?}");
    ok(&mut imap, "CHECK");
    ok(&mut imap, "CLOSE");
    assert_eq!(imap.select("Work").unwrap(), 1);
    assert_eq!(imap.select("Archive").unwrap(), 2);
    let read = imap.messages().unwrap();
    assert_eq!(read.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(read[0].1, message("one"));
    assert_eq!(
        imap.command("UID COPY 1 Nowhere").unwrap().text.split(' ').next(),
        Some("[TRYCREATE]")
    );
}

#[test]
fn what_a_client_lists_and_reads_is_right() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    let sent = b"From: \"Ana \\\"A\\\" B\" <ana@sender.test>\r\nTo: alice@example.test, Bob <bob@example.test>\r\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <x@y.test>\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\nhello text\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
        Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\nAAECAw==\r\n--b--\r\n";
    imap.append("Drafts", "", sent).unwrap().ok().unwrap();
    imap.select("Drafts").unwrap();
    let envelope = ok(&mut imap, "FETCH 1 ENVELOPE").line_with("ENVELOPE").unwrap();
    assert!(envelope.contains("=?utf-8?q?Gr=C3=BC=C3=9Fe?="), "{envelope}");
    assert!(
        envelope.contains("\"alice\" \"example.test\"") && envelope.contains("\"<x@y.test>\""),
        "{envelope}"
    );
    let structure =
        ok(&mut imap, "FETCH 1 BODYSTRUCTURE").line_with("BODYSTRUCTURE").unwrap().to_uppercase();
    assert!(
        structure.contains("\"TEXT\" \"PLAIN\"") && structure.contains("\"MIXED\""),
        "{structure}"
    );
    let literal = |imap: &mut Imap, item: &str| {
        let answer = ok(imap, &format!("FETCH 1 {item}"));
        tests::imap::literal_of(
            answer.untagged.iter().find(|line| line.windows(5).any(|w| w == b"FETCH")).unwrap(),
        )
        .map(<[u8]>::to_vec)
        .unwrap_or_else(|| String::from_utf8_lossy(&answer.untagged[0]).into_owned().into_bytes())
    };
    assert_eq!(literal(&mut imap, "BODY.PEEK[]"), sent);
    assert_eq!(literal(&mut imap, "RFC822"), sent);
    assert!(String::from_utf8_lossy(&literal(&mut imap, "BODY.PEEK[1]")).contains("hello text"));
    assert!(
        String::from_utf8_lossy(&literal(&mut imap, "BODY.PEEK[2.MIME]"))
            .contains("application/pdf")
    );
    let fields = literal(&mut imap, "BODY.PEEK[HEADER.FIELDS (SUBJECT DATE)]");
    assert!(
        fields.starts_with(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate:"),
        "{:?}",
        String::from_utf8_lossy(&fields)
    );
    assert!(fields.ends_with(b"\r\n\r\n"));
    let rest = literal(&mut imap, "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]");
    assert!(!String::from_utf8_lossy(&rest).contains("Subject"));
    assert_eq!(literal(&mut imap, "BODY.PEEK[]<6.10>"), sent[6..16]);
    let size = ok(&mut imap, "FETCH 1 (RFC822.SIZE)").line_with("RFC822.SIZE").unwrap();
    assert!(size.contains(&format!("RFC822.SIZE {}", sent.len())), "{size}");
    let binary = imap.command("FETCH 1 BINARY.PEEK[2]").unwrap();
    if binary.status == "OK" {
        assert!(
            binary.untagged.iter().any(|line| line.windows(4).any(|w| w == [0, 1, 2, 3])),
            "{binary:?}"
        );
    }
    searches(&mut imap);
}

fn searches(imap: &mut Imap) {
    let found = |imap: &mut Imap, keys: &str| {
        ok(imap, &format!("SEARCH {keys}")).line_with("SEARCH").unwrap()
    };
    for keys in [
        "ALL",
        "SUBJECT hello OR SUBJECT \"grü\" TEXT hello",
        "FROM ana",
        "TO bob",
        "BODY \"hello text\"",
        "LARGER 10 SMALLER 5000",
        "SEEN UNFLAGGED",
        "SENTON 24-Nov-2026",
        "HEADER Message-ID x@y",
        "NOT DELETED",
        "UID 1:*",
        "CHARSET UTF-8 SUBJECT \"Grüße\"",
    ] {
        if keys.contains(" OR ") {
            continue;
        }
        assert_eq!(found(imap, keys), "SEARCH 1", "{keys}");
    }
    assert_eq!(found(imap, "SUBJECT nothing"), "SEARCH");
    let extended = ok(imap, "SEARCH RETURN (MIN MAX COUNT ALL) ALL").line_with("ESEARCH").unwrap();
    assert!(extended.contains("COUNT 1") && extended.contains("ALL 1"), "{extended}");
    assert_eq!(imap.command("SEARCH CHARSET X-UNKNOWN TEXT a").unwrap().status, "NO");
}

#[test]
fn a_client_that_comes_back_is_told_only_what_changed() {
    let office = Office::start();
    let mut imap = work(&office);
    let mut other = office.imap("alice");
    let answer = ok(&mut other, "SELECT Work (CONDSTORE)");
    let validity = answer.code("UIDVALIDITY").unwrap();
    let modseq = answer.code("HIGHESTMODSEQ").unwrap();
    ok(&mut other, "UNSELECT");

    ok(&mut imap, "UID STORE 1 +FLAGS (\\Flagged)");
    ok(&mut imap, "UID STORE 2 +FLAGS (\\Deleted)");
    ok(&mut imap, "EXPUNGE");
    let refused =
        ok(&mut imap, &format!("UID STORE 1 (UNCHANGEDSINCE {modseq}) +FLAGS (\\Answered)"));
    assert_eq!(refused.code("MODIFIED").as_deref(), Some("1"), "{refused:?}");
    let changed = ok(&mut imap, &format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})"));
    let lines: Vec<_> = changed.lines().into_iter().filter(|line| line.contains("FETCH")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("UID 1") && lines[0].contains("MODSEQ"), "{lines:?}");

    ok(&mut other, "ENABLE QRESYNC");
    let answer = ok(&mut other, &format!("SELECT Work (QRESYNC ({validity} {modseq}))"));
    assert!(answer.line_with("VANISHED (EARLIER) 2").is_some(), "{answer:?}");
    assert!(answer.line_with("\\Flagged").is_some(), "{answer:?}");
    let found =
        ok(&mut other, &format!("UID SEARCH MODSEQ {}", modseq.parse::<u64>().unwrap() + 1));
    assert!(found.lines().iter().any(|line| line.contains(" 1")), "{found:?}");
}

// Covers: CAPABILITY IDLE.
#[test]
fn an_idle_client_is_told_of_new_mail_and_flags() {
    let office = Office::start();
    let mut imap = work(&office);
    let tag = imap.tag();
    imap.stream.send(format!("{tag} IDLE\r\n").as_bytes()).unwrap();
    assert!(imap.response().unwrap().starts_with(b"+"));
    let mut other = office.imap("alice");
    other.select("Work").unwrap();
    other.append("Work", "", &message("four")).unwrap().ok().unwrap();
    let mut seen = Vec::new();
    while !seen.iter().any(|line: &String| line.contains("4 EXISTS")) {
        seen.push(String::from_utf8_lossy(&imap.response().unwrap()).into_owned());
    }
    ok(&mut other, "UID STORE 1 +FLAGS (\\Flagged)");
    while !seen.iter().any(|line| line.contains("FETCH") && line.contains("\\Flagged")) {
        seen.push(String::from_utf8_lossy(&imap.response().unwrap()).into_owned());
    }
    ok(&mut other, "UID STORE 2 +FLAGS.SILENT (\\Deleted)");
    ok(&mut other, "UID EXPUNGE 2");
    while !seen.iter().any(|line| line.contains("2 EXPUNGE")) {
        seen.push(String::from_utf8_lossy(&imap.response().unwrap()).into_owned());
    }
    imap.stream.send(b"DONE\r\n").unwrap();
    imap.answer(&tag).unwrap().ok().unwrap();
}

#[test]
fn quota_is_exact_for_100_parallel_appends() {
    let office = Office::start();
    let limit = 8 * 1024;
    office.admin(&["account", "quota", "alice@example.test", "8KiB"], "");
    let address = office.listener("imap");
    let accepted: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..100)
            .map(|number| {
                scope.spawn(move || {
                    let mut imap = Imap::login(address, "alice@example.test", PASSWORD).unwrap();
                    let answer =
                        imap.append("INBOX", "", &message(&format!("q-{number:03}"))).unwrap();
                    if answer.status != "OK" {
                        assert!(answer.text.contains("OVERQUOTA"), "{answer:?}");
                    }
                    usize::from(answer.status == "OK")
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    let mut imap = office.imap("alice");
    assert_eq!(imap.select("INBOX").unwrap(), accepted);
    let each = message("q-000").len();
    assert_eq!(accepted, limit / each, "quota {limit}, each {each}");
    let quota = ok(&mut imap, "GETQUOTAROOT INBOX").lines();
    assert!(
        quota.iter().any(|line| line.starts_with("QUOTA ") && line.contains("STORAGE")),
        "{quota:?}"
    );
    // A full account is refused in the dialogue, and COPY counts too.
    assert!(imap.command("COPY 1:* Archive").unwrap().text.contains("OVERQUOTA"));
    let refused = wait::until("the refusal of a full account", || {
        let mut smtp = office.smtp();
        smtp.command("MAIL FROM:<ana@sender.test> SIZE=1000").unwrap();
        let reply = smtp.command("RCPT TO:<alice@example.test>").unwrap();
        (reply.code == 452).then_some(reply)
    });
    assert!(refused.text().starts_with("4.2.2"), "{refused}");
}

// Covers: CAPABILITY STARTTLS.
#[test]
fn starttls_and_implicit_tls_let_in_and_reset() {
    let office = Office::start();
    let mut imap = Imap::connect_tls(office.listener("imaps")).unwrap();
    ok(&mut imap, &format!("LOGIN bob@example.test {PASSWORD}"));
    ok(&mut imap, "LOGOUT");
    let mut imap = Imap::connect(office.listener("imap")).unwrap();
    ok(&mut imap, "STARTTLS");
    imap.stream.start_tls().unwrap();
    ok(&mut imap, &format!("LOGIN bob@example.test {PASSWORD}"));
    // A2: what follows STARTTLS in the clear is never answered under TLS.
    let mut imap = Imap::connect(office.listener("imap")).unwrap();
    imap.stream.send(b"A STARTTLS\r\nB NOOP\r\n").unwrap();
    let first = imap.response();
    if first.is_ok_and(|line| line.starts_with(b"A OK")) && imap.stream.start_tls().is_ok() {
        let answer = imap.command("NOOP").unwrap();
        assert!(answer.untagged.is_empty(), "{answer:?}");
    }
}

/// B1: literals and nesting without bound are refused in bounded memory.
#[test]
fn literals_without_bound_are_refused() {
    let mut office = Office::start();
    let before = office.process().resident_bytes();
    for attack in [
        "A LOGIN {4294967295+}\r\n".to_owned(),
        "A LOGIN {4294967295}\r\n".to_owned(),
        "A LOGIN {4097+}\r\n".to_owned(),
        format!("A NOOP {}", "(".repeat(300_000)),
        format!("A LOGIN {}", "x".repeat(300_000)),
    ] {
        let mut imap = Imap::connect(office.listener("imap")).unwrap();
        imap.stream.patience(std::time::Duration::from_secs(5)).unwrap();
        // The server may close while we still send.
        imap.stream.send(attack.as_bytes()).ok();
        if let Ok(answer) = imap.response() {
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert!(
                ["A BAD", "A NO", "* BYE", "* BAD"].iter().any(|start| text.starts_with(start)),
                "{text}"
            );
        }
    }
    let mut imap = office.imap("alice");
    imap.select("INBOX").unwrap();
    let tag = imap.tag();
    imap.stream.send(format!("{tag} SEARCH").as_bytes()).unwrap();
    for _ in 0..200 {
        if imap.stream.send(b" TEXT {1048576}\r\n").is_err() {
            break;
        }
        match imap.response() {
            Ok(line) if line.starts_with(b"+") => {
                if imap.stream.send(&vec![b'a'; 1 << 20]).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    let grown = office.process().resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "refused literals cost {grown} bytes");
    let mut imap = office.imap("bob");
    ok(&mut imap, "NOOP");
}

/// B4: names that look alike or reach outside are one canonical name, or none.
#[test]
fn mailbox_names_are_canonical() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    for bad in ["\"&AC8-etc\"", "\"&bad\"", "\"a//b\"", "\"/a\"", "\"&AGE-\""] {
        assert_ne!(imap.command(&format!("CREATE {bad}")).unwrap().status, "OK", "{bad}");
    }
    // "../x" is only a name: nothing is stored under it.
    imap.command("CREATE \"../x\"").unwrap();
    assert!(!office.data().parent().unwrap().join("x").exists());
    ok(&mut imap, "CREATE \"Gr&APw-n\"");
    ok(&mut imap, "ENABLE IMAP4rev2");
    let answer = imap.command("CREATE \"Gru\u{308}n\"").unwrap();
    assert_eq!(answer.status, "NO", "NFC and NFD of one name are one mailbox: {answer:?}");
    let listed = ok(&mut imap, "LIST \"\" Gr*").lines();
    assert!(listed.iter().any(|line| line.contains("Grün")), "{listed:?}");
}

/// B2: patterns of LIST are matched in linear time.
#[test]
fn list_patterns_cannot_be_made_slow() {
    let office = Office::start();
    let mut imap = office.imap("alice");
    ok(&mut imap, &format!("CREATE {}", "a".repeat(200)));
    let start = wait::now();
    ok(&mut imap, &format!("LIST \"\" \"{}b\"", "%*".repeat(100)));
    assert!(start.elapsed().as_secs() < 10);
}
