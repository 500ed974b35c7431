//! Real mail clients, set up as the admin guide says.

use std::path::Path;
use std::process::{Command, Stdio};

use tests::message::without_trace;
use tests::office::{Office, PASSWORD};

fn text(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The block of the admin guide that follows this line, with the demo's ports and passwords put in.
fn settings(after: &str, office: &Office) -> String {
    let guide = text("docs/admin.md");
    let (_, rest) = guide.split_once(after).unwrap_or_else(|| panic!("the guide lacks {after:?}"));
    let block = rest.split("```").nth(1).unwrap().trim_start_matches("muttrc\n").to_owned();
    block
        .replace("127.0.0.1:2143", &office.listener("imap").to_string())
        .replace("127.0.0.1:2587", &office.listener("submission").to_string())
        .replace("PASSWORD", PASSWORD)
}

#[test]
fn mutt_sends_and_reads_with_the_settings_of_the_guide() {
    let office = Office::start();
    let home = office.scratch().join("home");
    std::fs::create_dir_all(&home).unwrap();
    let muttrc = home.join("muttrc");
    std::fs::write(&muttrc, settings("<!-- muttrc of alice -->", &office)).unwrap();
    let mutt = |arguments: &[&str], input: &str| {
        let file = home.join("input");
        std::fs::write(&file, input).unwrap();
        let output = Command::new("timeout")
            .args(["60", "mutt", "-F", muttrc.to_str().unwrap()])
            .args(arguments)
            .env("HOME", &home)
            .env("TERM", "xterm")
            .stdin(Stdio::from(std::fs::File::open(&file).unwrap()))
            .output()
            .unwrap();
        assert!(output.status.success(), "mutt: {}", String::from_utf8_lossy(&output.stderr));
    };
    mutt(&["-s", "from mutt", "bob@example.test"], "Hello Bob, Grüße!\n");
    let read = office.wait_for("bob", "INBOX", 1);
    let read = String::from_utf8_lossy(without_trace(&read[0].1).unwrap()).into_owned();
    assert!(read.contains("Subject: from mutt") && read.contains("Hello Bob"), "{read}");
    // The copy that mutt keeps is an APPEND; and it reads what bob answers.
    let kept = office.wait_for("alice", "Sent", 1);
    assert!(String::from_utf8_lossy(&kept[0].1).contains("from mutt"));
    let answer = b"From: bob@example.test\r\nTo: alice@example.test\r\nSubject: answer of bob\r\n\r\nHi!\r\n";
    office.smtp().send("bob@example.test", &["alice@example.test"], answer).unwrap();
    office.wait_for("alice", "INBOX", 1);
    let saved = home.join("saved");
    // A key that mutt does not know ends the script: it must get through every one of these.
    let push = format!(
        "set quit=yes confirmappend=no confirmcreate=no; push '<copy-message>{}<enter><quit>'",
        saved.display()
    );
    let status = Command::new("timeout")
        .args(["60", "script", "-qec"])
        .arg(format!("mutt -F {} -e \"{push}\"", muttrc.display()))
        .arg("/dev/null")
        .env("HOME", &home)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "mutt ended with {status}");
    let read = std::fs::read_to_string(&saved).unwrap();
    assert!(read.contains("answer of bob"), "{read}");
}

// Covers: EHLO AUTH=PLAIN, EHLO AUTH=LOGIN.
#[test]
fn swaks_submits_with_each_mechanism() {
    let office = Office::start();
    let submissions = office.listener("submissions");
    for (number, mechanism) in ["PLAIN", "LOGIN"].iter().enumerate() {
        let output = Command::new("swaks")
            .args([
                "--server",
                &submissions.ip().to_string(),
                "--port",
                &submissions.port().to_string(),
            ])
            .args(["--tls-on-connect", "--auth", mechanism])
            .args(["--auth-user", "alice@example.test", "--auth-password", PASSWORD])
            .args(["--from", "alice@example.test", "--to", "bob@example.test"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        office.wait_for("bob", "INBOX", number + 1);
    }
    let submission = office.listener("submission");
    let output = Command::new("swaks")
        .args(["--server", &submission.ip().to_string(), "--port", &submission.port().to_string()])
        .args(["--tls", "--auth", "PLAIN", "--auth-user", "alice@example.test"])
        .args(["--auth-password", PASSWORD, "--from", "alice@example.test"])
        .args(["--to", "someone@elsewhere.test"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("550 5.7.1"), "{said}");
}
