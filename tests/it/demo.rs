//! `postroad demo`: how everybody first meets it.

use tests::message::{message, without_trace};
use tests::office::Office;

#[test]
fn a_message_sent_by_smtp_is_read_by_imap() {
    let mut office = Office::start();
    let sent = message("first");
    let reply = office.smtp().send("ana@sender.test", &["alice@example.test"], &sent).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let read = office.wait_for("alice", "INBOX", 1);
    assert_eq!(read.len(), 1);
    assert_eq!(without_trace(&read[0].1), Some(sent.as_slice()));
    assert!(office.process().terminate(), "a drained office ends well");
    office.assert_quiet(&[]);
}

#[test]
fn what_was_received_is_there_after_a_kill() {
    let mut office = Office::start();
    let sent = message("kept");
    let reply = office.smtp().send("ana@sender.test", &["bob@example.test"], &sent).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    office.kill();
    office.restart();
    let read = office.wait_for("bob", "INBOX", 1);
    assert_eq!(without_trace(&read[0].1), Some(sent.as_slice()));
}
