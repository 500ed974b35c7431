//! Servers that mean ill, or are no SMTP servers at all.

use super::play::{check, check_whole};
use super::*;

const HELLO: &str = "S: 220 mx\nC: EHLO out.example.test\n";
const OFFERED: &str = "S: 220 mx\nC: EHLO out.example.test\nS: 250-mx\nS: 250 PIPELINING\n= ready\n\
    > offer a\nC: MAIL FROM:<me@example.test>\nC: RCPT TO:<a@example.net>\n\
    S: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n";

/// A3 (CVE-2021-38371): what came with the 220 was not protected.
#[test]
fn bytes_behind_the_answer_to_starttls_end_the_connection() {
    for evil in ["250 mx", "250-mx", "2"] {
        check_whole(
            &options(),
            &format!(
                "{HELLO}S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: {evil}\n\
                 = fault starttls: bytes after the answer to STARTTLS\n"
            ),
        );
    }
}

#[test]
fn an_answer_to_nothing_ends_the_connection() {
    // Two greetings: the second is no answer to EHLO.
    check_whole(
        &options(),
        "S: 220 mx\nS: 250 SIZE 1\n= fault hello: an answer to nothing: 250 SIZE 1\n",
    );
    check_whole(
        &options(),
        &format!("{HELLO}S: 250 mx\nS: 250 ok\n= fault sender: an answer to nothing: 250 ok\n"),
    );
    let three = OFFERED.replace("S: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n", "");
    check_whole(
        &options(),
        &format!("{three}S: 250 ok\nS: 250 ok\nS: 354 go\n= fault recipient: refused: 354 go\n"),
    );
    check_whole(
        &options(),
        &format!(
            "{three}S: 250 ok\nS: 250 ok\nS: 250 ok\n= fault recipient: an answer to nothing: 250 ok\n"
        ),
    );
    // Accepted before it was sent: the acceptance is not believed.
    check_whole(
        &options(),
        &format!(
            "{OFFERED}> begin\nC: DATA\nS: 354 go\nS: 250 queued\n\
             = fault content: an answer to nothing: 250 queued\n"
        ),
    );
}

// RFC 5321 §3.8.
#[test]
fn a_421_ends_the_connection_wherever_it_comes() {
    let bye = "421 4.3.2 bye";
    let fault = |stage: &str| format!("S: {bye}\n= fault {stage}: refused: {bye}\n");
    check(&options(), &fault("greeting"));
    check(&options(), &format!("{HELLO}{}", fault("hello")));
    let tls = format!("{HELLO}S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n{}", fault("starttls"));
    check(&options(), &tls);
    let three = OFFERED.replace("S: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n", "");
    check(&options(), &format!("{three}{}", fault("sender")));
    check(&options(), &format!("{three}S: 250 ok\n{}", fault("recipient")));
    check(&options(), &format!("{OFFERED}> begin\nC: DATA\n{}", fault("data")));
    // While the content goes out, and instead of an answer to it: refused, not unknown.
    let data = format!("{OFFERED}> begin\nC: DATA\nS: 354 go\n");
    check_whole(&options(), &format!("{data}S: {bye}\n= fault content: refused: {bye}\n"));
    check(
        &options(),
        &format!("{data}> end\nC: .\nS: {bye}\n= done {bye}\n> quit\nC: QUIT\n= closed\n"),
    );
    // While nothing was asked: seen before the next transaction.
    check_whole(
        &options(),
        &format!("{HELLO}S: 250 mx\nS: {bye}\n= fault sender: refused: {bye}\n"),
    );
}

#[test]
fn no_smtp_server_at_all() {
    let no = "no SMTP reply";
    for words in ["SSH-2.0-OpenSSH_9.2", "HTTP/1.1 400 Bad Request", "+OK POP3", "* OK IMAP", "\\n"]
    {
        check_whole(&options(), &format!("S: {words}\n= fault greeting: {no}\n"));
    }
    check_whole(&options(), &format!("{HELLO}S: 250-mx\nS: 25\n= fault hello: {no}\n"));
    check_whole(&options(), "S: 354 go\n= fault greeting: refused: 354 go\n");
    let data = format!("{OFFERED}> begin\nC: DATA\n");
    check(
        &options(),
        &format!("{data}S: 250 ok\n= fault data: an answer that makes no sense: 250 ok\n"),
    );
    // An answer to the end that says neither yes nor no: nobody knows.
    check(
        &options(),
        &format!(
            "{data}S: 354 go\n> end\nC: .\nS: 354 go\n\
             = fault end: an answer that makes no sense: 354 go (unknown)\n"
        ),
    );
    check(
        &options(),
        &format!("{data}S: 354 go\n> end\nC: .\nS: ok!\n= fault end: {no} (unknown)\n"),
    );
}

#[test]
fn endless_answers_end_in_bounded_memory() {
    let mut client = Client::new(options(), None);
    client.receive(b"220 ");
    for _ in 0..1_000 {
        client.receive(&[b'x'; 1_000]);
    }
    assert!(matches!(client.step(), Step::Failed(fault) if fault.stage == Stage::Greeting));
    assert!(matches!(client.step(), Step::Closed));
    let mut client = Client::new(options(), None);
    client.receive(b"220 mx\r\n");
    assert!(matches!(client.step(), Step::Send(_)));
    for _ in 0..100_000 {
        client.receive(b"250-SIZE 1\r\n");
    }
    assert!(matches!(client.step(), Step::Failed(fault) if fault.stage == Stage::Hello));
}

/// A1: a bare line end in the content is never sent, and the message not ended.
#[test]
fn content_that_could_be_taken_for_two_messages_is_never_sent() {
    let data = format!("{OFFERED}> begin\nC: DATA\nS: 354 go\n");
    let bare = "the content has a CR or LF that is not part of a CRLF";
    for bad in ["a\\n.\\nMAIL FROM:<>", "a\\r.\\r", "a\\n.\\r\\n", "a\\r\\n.\\n"] {
        check_whole(&options(), &format!("{data}> content {bad}\n= fault content: {bare}\n"));
    }
    check_whole(&options(), &format!("{data}> content a\\r\n> end\n= fault content: {bare}\n"));
}

#[test]
fn a_name_that_cannot_stand_in_ehlo_is_not_said() {
    let options = Options { hello: "a\r\nMAIL FROM:<>".into(), ..options() };
    check_whole(
        &options,
        "S: 220 mx\nC: EHLO localhost\nS: 250 mx\n= ready\n> quit\nC: QUIT\nS: 221\n= closed\n",
    );
}
