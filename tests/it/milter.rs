//! A filter that speaks the milter protocol has a word on what comes in: libmilter itself, which
//! Postfix and Sendmail ask too.

use std::path::Path;
use std::process::{Child, Command};

use tests::office::Office;
use tests::wait;

/// The filter; it ends with the test.
struct Filter(Child);

impl Drop for Filter {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn filter(socket: &Path) -> Filter {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/filter.py");
    // Debian's own Python, which has its module.
    let child = Command::new("/usr/bin/python3").arg(tool).arg(socket).spawn().unwrap();
    wait::until("the filter to listen", || socket.exists().then_some(()));
    Filter(child)
}

fn with_milter(socket: &Path, more: &str) -> Office {
    let mut office = Office::start();
    let lines = format!("[spam]\nmilter = \"unix:{}\"\ntime = \"3s\"\n{more}", socket.display());
    office.configure(&[("", &lines)]);
    office
}

// Issue: a seam for a spam filter: milter protocol; its verdict goes to Junk.
#[test]
fn what_a_milter_says_is_done_and_text_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("milter");
    let filter = filter(&socket);
    let office = with_milter(&socket, "");
    let mut smtp = office.smtp();
    let mut send = |subject: &str, body: &str, to: &[&str]| {
        let message = format!("From: x@far.test\r\nSubject: {subject}\r\n\r\n{body}\r\n");
        smtp.send("x@far.test", to, message.as_bytes()).unwrap()
    };
    let alice = ["alice@example.test"];
    let refused = send("reject", "hello", &alice);
    assert_eq!(refused.code, 550, "{refused}");
    assert!(refused.text().contains("no such words here"), "{refused}");
    assert_eq!(send("later", "hello", &alice).code, 451);
    let large = "0123456789abcde\r\n".repeat(20_000);
    let size = format!("size {}", large.len() + 2);
    for (subject, body) in [("fine", "hello"), ("change", "hello"), (size.as_str(), large.as_str())]
    {
        assert_eq!(send(subject, body, &alice).code, 250, "{subject}");
    }
    for subject in ["discard", "hold", "mark"] {
        assert_eq!(send(subject, "hello", &alice).code, 250, "{subject}");
    }
    let inbox = office.wait_for("alice", "INBOX", 3);
    let changed = String::from_utf8_lossy(&inbox[1].1).into_owned();
    assert!(changed.ends_with("Subject: change\r\n\r\nhello\r\n"), "{changed}");
    assert_eq!(office.wait_for("alice", "Junk", 3).len(), 3);
    // Too slow, and then not there: mail flows without it.
    assert_eq!(send("stall", "hello", &alice).code, 250);
    drop(filter);
    assert_eq!(send("fine", "hello", &alice).code, 250);
    assert_eq!(office.wait_for("alice", "INBOX", 5).len(), 5);
    office.assert_quiet(&["the milter gave no answer"]);
}

#[test]
fn without_the_milter_mail_waits_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let office = with_milter(&dir.path().join("nobody"), "on_failure = \"later\"\n");
    let message = b"From: x@far.test\r\nSubject: fine\r\n\r\nhello\r\n";
    let reply = office.smtp().send("x@far.test", &["alice@example.test"], message).unwrap();
    assert_eq!(reply.code, 451, "{reply}");
}
