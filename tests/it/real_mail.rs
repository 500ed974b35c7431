//! Real mail goes in by SMTP and by APPEND, and comes out by IMAP byte for byte, minus trace
//! headers: read by Python's imaplib, mbsync and curl.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tests::corpus;
use tests::imap::Imap;
use tests::message::without_trace;
use tests::office::{Office, PASSWORD};
use tests::seeded::Seeded;
use tests::smtp::Smtp;

/// Messages by content, with how many copies there are.
type Bag = BTreeMap<Vec<u8>, usize>;

fn bag(messages: impl IntoIterator<Item = Vec<u8>>) -> Bag {
    let mut bag = Bag::new();
    for message in messages {
        *bag.entry(message).or_default() += 1;
    }
    bag
}

/// Sends all by three connections at once; every one must be acknowledged.
fn send_all(office: &Office, to: &str, messages: &[Vec<u8>]) {
    let address = office.listener("smtp");
    std::thread::scope(|scope| {
        for part in messages.chunks(messages.len().div_ceil(3)) {
            scope.spawn(move || {
                let mut smtp = Smtp::connect(address).unwrap();
                for message in part {
                    let reply = smtp.send("ana@sender.test", &[to], message).unwrap();
                    assert_eq!(reply.code, 250, "{reply}: {}", String::from_utf8_lossy(message));
                }
            });
        }
    });
}

fn append_all(office: &Office, user: &str, mailbox: &str, messages: &[Vec<u8>]) {
    let mut imap = office.imap(user);
    for message in messages {
        imap.append(mailbox, "(\\Seen) ", message).unwrap().ok().unwrap();
    }
}

/// Content of every file of a folder.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| std::fs::read(entry.path()).ok()).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn by_imaplib(office: &Office, user: &str, mailbox: &str) -> Vec<Vec<u8>> {
    let folder = office.scratch().join(format!("imaplib-{user}-{mailbox}"));
    let address = office.listener("imap");
    run(Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/imaplib_read.py"))
        .args([&address.ip().to_string(), &address.port().to_string()])
        .args([&format!("{user}@example.test"), PASSWORD, mailbox])
        .arg(&folder));
    files(&folder)
}

/// By mbsync over TLS; it stores LF line ends.
fn by_mbsync(office: &Office, user: &str, mailbox: &str) -> Vec<Vec<u8>> {
    let folder = office.scratch().join(format!("mbsync-{user}"));
    std::fs::create_dir_all(&folder).unwrap();
    let address = office.listener("imap");
    let config = office.scratch().join(format!("mbsyncrc-{user}"));
    std::fs::write(
        &config,
        format!(
            "FSync no\n\nIMAPAccount a\nHost {}\nPort {}\nUser {user}@example.test\nPass {PASSWORD}\n\
             SSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount a\n\n\
             MaildirStore near\nPath {dir}/\nInbox {dir}/INBOX\n\n\
             Channel c\nFar :far:{mailbox}\nNear :near:{mailbox}\nCreate Near\nSync Pull\n\
             SyncState {dir}/\n",
            address.ip(),
            address.port(),
            dir = folder.display(),
        ),
    )
    .unwrap();
    run(Command::new("mbsync").arg("-c").arg(&config).arg("c"));
    let maildir = folder.join(mailbox);
    let mut found = files(&maildir.join("new"));
    found.extend(files(&maildir.join("cur")));
    found
}

/// The first `count` UIDs by curl, over implicit TLS.
fn by_curl(office: &Office, user: &str, mailbox: &str, count: usize) -> Vec<Vec<u8>> {
    let folder = office.scratch().join(format!("curl-{user}"));
    std::fs::create_dir_all(&folder).unwrap();
    let url = format!("imaps://{}/{mailbox};UID=[1-{count}]", office.listener("imaps"));
    run(Command::new("curl")
        .args(["-sS", "--insecure", "--user", &format!("{user}@example.test:{PASSWORD}")])
        .args([&url, "-o", &format!("{}/#1.eml", folder.display())]));
    files(&folder)
}

fn lf(message: &[u8]) -> Vec<u8> {
    message.iter().copied().filter(|&byte| byte != b'\r').collect()
}

/// mbsync marks each message that it copies by a header line of its own, of 12 random letters.
fn without_tuid(mut message: Vec<u8>) -> Vec<u8> {
    let mark = b"X-TUID: ";
    let found = message.windows(mark.len()).position(|part| part == mark);
    let end = found.map(|at| at + mark.len() + 12 + 1);
    if let (Some(at), Some(end)) = (found, end.filter(|end| *end <= message.len())) {
        message.drain(at..end);
    }
    message
}

fn assert_same(expected: &Bag, found: &Bag, who: &str) {
    let missing = expected.iter().filter(|(message, count)| found.get(*message) != Some(count));
    let missing: Vec<String> = missing
        .take(2)
        .map(|(message, _)| String::from_utf8_lossy(message).chars().take(1_500).collect())
        .collect();
    assert!(missing.is_empty(), "{who} did not read what was sent, for example {missing:#?}");
    assert_eq!(expected.len(), found.len(), "{who} reads messages that were never sent");
}

fn traceless(read: Vec<Vec<u8>>) -> impl Iterator<Item = Vec<u8>> {
    read.into_iter().map(|message| {
        let Some(rest) = without_trace(&message) else {
            panic!("no trace headers: {}", String::from_utf8_lossy(&message))
        };
        rest.to_vec()
    })
}

#[test]
fn real_mail_comes_out_as_it_went_in() {
    let office = Office::start();
    let mail = corpus::spamassassin();
    let folder = office.scratch().join("charsets");
    run(Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/charsets.py"))
        .arg(&folder));
    let charsets = files(&folder);
    assert!(charsets.len() >= 1_400, "{} generated messages", charsets.len());

    send_all(&office, "alice@example.test", &mail);
    send_all(&office, "alice@example.test", &charsets);
    let appended: Vec<Vec<u8>> = mail.iter().step_by(2).chain(&charsets).cloned().collect();
    assert!(appended.len() >= 3_000);
    append_all(&office, "bob", "Archive", &appended);

    let sent = bag(mail.iter().chain(&charsets).cloned());
    let count = mail.len() + charsets.len();
    let mut imap = office.imap("alice");
    tests::wait::until("all deliveries", || (imap.select("INBOX").unwrap() >= count).then_some(()));

    assert_same(&sent, &bag(traceless(by_imaplib(&office, "alice", "INBOX"))), "imaplib");
    let sent_lf = bag(mail.iter().chain(&charsets).map(|message| lf(message)));
    let synced = by_mbsync(&office, "alice", "INBOX").into_iter().map(|message| {
        let crlf: Vec<u8> = message
            .iter()
            .flat_map(|&byte| if byte == b'\n' { vec![b'\r', b'\n'] } else { vec![byte] })
            .collect();
        without_tuid(lf(without_trace(&crlf).unwrap()))
    });
    assert_same(&sent_lf, &bag(synced), "mbsync");

    let kept = bag(appended.iter().cloned());
    assert_same(&kept, &bag(by_imaplib(&office, "bob", "Archive")), "imaplib after APPEND");
    let read = by_curl(&office, "bob", "Archive", 300);
    assert_eq!(read.len(), 300);
    let known = read.iter().filter(|message| kept.contains_key(*message)).count();
    assert_eq!(known, 300, "curl did not read what was appended");
    office.assert_quiet(&[]);
}

/// Damages a message as broken software does: cuts, repeated and overwritten pieces, long lines.
/// Line ends stay CRLF, or SMTP would rightly refuse it.
fn damaged(message: &[u8], seeded: &mut Seeded) -> Vec<u8> {
    let mut out = message.to_vec();
    for _ in 0..1 + seeded.below(6) {
        let at = seeded.below(out.len().max(1));
        let length = seeded.below(200).min(out.len() - at);
        match seeded.below(5) {
            0 => out.truncate(at.max(1)),
            1 => {
                let piece = out[at..at + length].to_vec();
                out.splice(at..at, piece);
            }
            2 => out[at..at + length].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31) | 1),
            3 => {
                out.drain(at..at + length);
            }
            _ => {
                let odd: &[&[u8]] = &[
                    b"--",
                    b"\"",
                    b"=?utf-8?q?",
                    b"boundary=",
                    b"(((",
                    b"\xff\xfe",
                    b":",
                    b" ",
                    b"\r\n\r\n",
                ];
                let piece = seeded.one_of(odd).copied().unwrap_or_default();
                out.splice(at..at, piece.iter().copied());
            }
        }
    }
    let mut clean = Vec::with_capacity(out.len());
    for line in out.split(|&byte| byte == b'\n') {
        clean.extend(line.iter().copied().filter(|&byte| byte != b'\r' && byte != 0));
        clean.extend_from_slice(b"\r\n");
    }
    clean
}

#[test]
fn damaged_mail_comes_out_as_it_went_in() {
    let mut office = Office::start();
    let mut seeded = Seeded::new(20_261_124);
    let mail: Vec<Vec<u8>> = corpus::spamassassin()
        .iter()
        .step_by(6)
        .map(|message| damaged(message, &mut seeded))
        .collect();
    assert!(mail.len() >= 1_000);
    send_all(&office, "alice@example.test", &mail);
    append_all(&office, "bob", "Junk", &mail);
    let read: Vec<Vec<u8>> =
        office.wait_for("alice", "INBOX", mail.len()).into_iter().map(|(_, m)| m).collect();
    let sent = bag(mail.iter().cloned());
    assert_same(&sent, &bag(traceless(read)), "a client");
    let mut imap: Imap = office.imap("bob");
    imap.select("Junk").unwrap();
    let read = imap.messages().unwrap().into_iter().map(|(_, message)| message);
    assert_same(&sent, &bag(read), "a client after APPEND");
    // What lists and shows them must get through them too.
    for fetch in ["ENVELOPE", "BODYSTRUCTURE", "BODY", "(BODY.PEEK[1] RFC822.SIZE)", "PREVIEW"] {
        if fetch != "PREVIEW" {
            imap.command(&format!("FETCH 1:* {fetch}")).unwrap().ok().unwrap();
        }
    }
    imap.command("SEARCH TEXT boundary").unwrap().ok().unwrap();
    assert!(office.process().runs());
    office.assert_quiet(&[]);
}
