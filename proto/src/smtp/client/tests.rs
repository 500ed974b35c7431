//! Transcripts of a client: `S:` what the server says, `C:` what the client must say, `>` what it
//! is told to do, `=` what it must tell. Played whole, byte by byte, split and cut at every point.

mod hostile;
mod play;

use mail::{BodyType, Notify, Path, Ret};

use super::*;
use crate::sasl::{Nonce, Password};
use play::{check, check_whole};

fn options() -> Options {
    Options {
        hello: "out.example.test".into(),
        starttls: StartTls::Offered,
        login: None,
        clear_login: false,
        chunking: false,
    }
}

fn required() -> Options {
    Options { starttls: StartTls::Required, ..options() }
}

fn with_login() -> Options {
    let password = Password::new("secret".into());
    let login = Credentials { user: "ana".into(), password, nonce: Nonce([0; 18]) };
    Options { login: Some(login), ..options() }
}

/// `a,b8s` is an offer to two recipients, with flags.
fn offer(text: &str) -> Offer {
    let (names, flags) = text.split_once(' ').unwrap_or((text, ""));
    let path = |name: &str| Path::parse(&format!("{name}@example.net")).unwrap();
    let recipients = names.split(',').map(|name| OfferedRecipient {
        notify: if flags.contains('d') { Notify::FAILURE } else { Notify::UNSAID },
        ..OfferedRecipient::new(path(name))
    });
    Offer {
        sender: Some(Path::parse("me@example.test").unwrap()),
        recipients: recipients.collect(),
        ret: flags.contains('d').then_some(Ret::Full),
        envid: None,
        size: flags.contains('s').then_some(100),
        body: match flags {
            _ if flags.contains('8') => BodyType::EightBitMime,
            _ if flags.contains('b') => BodyType::BinaryMime,
            _ => BodyType::SevenBit,
        },
        smtputf8: flags.contains('u'),
    }
}

// RFC 5321 §3.1, §4.2.
#[test]
fn a_message_goes_to_a_server_that_knows_nothing() {
    check(
        &options(),
        "S: 220 old ready\nC: EHLO out.example.test\nS: 502 what?\nC: HELO out.example.test\n\
         S: 250 hello\n= ready\n> offer a,b s\nC: MAIL FROM:<me@example.test>\nS: 250 ok\n\
         C: RCPT TO:<a@example.net>\nS: 550-No such\nS: 550 user\n\
         C: RCPT TO:<b@example.net>\nS: 251 will forward\n\
         = offered 250 ok; 550 No such user; 251 will forward\n\
         > begin\nC: DATA\nS: 354 go\n> content .a\\r\\nb\n> end\nC: ..a\nC: b\nC: .\n\
         S: 250 2.0.0 queued as 1\n= done 250 2.0.0 queued as 1\n> quit\nC: QUIT\nS: 221 bye\n= closed\n",
    );
}

// RFC 5321 §4.1.1.5, §4.1.4; RFC 2920 §3.1.
#[test]
fn several_messages_go_in_pipelines_and_what_was_left_open_is_reset() {
    check(
        &options(),
        "S: 220-mx\nS: 220 ESMTP\nC: EHLO out.example.test\n\
         S: 250-mx\nS: 250-PIPELINING\nS: 250-SIZE 1000\nS: 250-8BITMIME\nS: 250 DSN\n= ready\n\
         > offer a,b 8sd\nC: MAIL FROM:<me@example.test> SIZE=100 BODY=8BITMIME RET=FULL\n\
         C: RCPT TO:<a@example.net> NOTIFY=FAILURE\nC: RCPT TO:<b@example.net> NOTIFY=FAILURE\n\
         S: 250 ok\nS: 450 4.2.1 later\nS: 452 4.2.2 full\n\
         = offered 250 ok; 450 4.2.1 later; 452 4.2.2 full\n\
         > offer c\nC: RSET\nC: MAIL FROM:<me@example.test>\nC: RCPT TO:<c@example.net>\n\
         S: 250 reset\nS: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n\
         > begin\nC: DATA\nS: 354 go\n> end\nC: .\nS: 250 ok\n= done 250 ok\n\
         > offer d\nC: MAIL FROM:<me@example.test>\nC: RCPT TO:<d@example.net>\n\
         S: 550 5.7.1 no\nS: 503 5.5.1 MAIL first\n= offered 550 5.7.1 no; 550 5.7.1 no\n\
         > offer e\nC: MAIL FROM:<me@example.test>\nC: RCPT TO:<e@example.net>\n\
         S: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n\
         > begin\nC: DATA\nS: 354 go\n> end\nC: .\nS: 554 5.6.0 no spam\n= done 554 5.6.0 no spam\n\
         > offer f\nC: RSET\nC: MAIL FROM:<me@example.test>\nC: RCPT TO:<f@example.net>\n\
         S: 250 ok\nS: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n\
         > begin\nC: DATA\nS: 451 4.3.0 not now\n= done 451 4.3.0 not now\n\
         > quit\nC: QUIT\nS: 221 bye\n= closed\n",
    );
}

#[test]
fn what_is_learnt_in_clear_is_forgotten_under_tls() {
    check(
        &required(),
        "S: 220 mx\nC: EHLO out.example.test\nS: 250-mx\nS: 250-PIPELINING\nS: 250 STARTTLS\n\
         C: STARTTLS\nS: 220 go\n[tls]\nC: EHLO out.example.test\nS: 250 mx\n= ready\n\
         > offer a,b\nC: MAIL FROM:<me@example.test>\nS: 451 4.7.1 greylisted\n\
         = offered 451 4.7.1 greylisted; 451 4.7.1 greylisted; 451 4.7.1 greylisted\n\
         > quit\nC: QUIT\nS: 221\n= closed\n",
    );
}

/// F4: stripped or refused, a demanded STARTTLS is never given up.
/// RFC 3207 §4.1.
#[test]
fn where_tls_is_demanded_nothing_goes_in_clear() {
    let hello = "S: 220 mx\nC: EHLO out.example.test\n";
    check(&required(), &format!("{hello}S: 250 mx\n= fault starttls: STARTTLS is not offered\n"));
    check(&required(), &format!("{hello}S: 502 no\n= fault hello: refused: 502 no\n"));
    let refused = "S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 no TLS\n";
    check(&required(), &format!("{hello}{refused}= fault starttls: refused: 454 4.7.0 no TLS\n"));
    // Otherwise on without, and it is told.
    check(
        &options(),
        &format!(
            "{hello}{refused}= ready\n= no tls: 454 4.7.0 no TLS\n> quit\nC: QUIT\nS: 221 bye\n= closed\n"
        ),
    );
}

// RFC 3030 §2, §3.
#[test]
fn chunks_carry_binary_content() {
    check(
        &options(),
        "S: 220 mx\nC: EHLO out.example.test\n\
         S: 250-mx\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: 250 BINARYMIME\n= ready\n\
         > offer a b\nC: MAIL FROM:<me@example.test> BODY=BINARYMIME\nC: RCPT TO:<a@example.net>\n\
         S: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n\
         > begin\n> content .a\\nb\\r\\n\nC: BDAT 6\nC: .a\\nb\nS: 250 6 octets\n\
         > end\nC: BDAT 0 LAST\nS: 250 queued\n= done 250 queued\n\
         > offer a b\nC: MAIL FROM:<me@example.test> BODY=BINARYMIME\nC: RCPT TO:<a@example.net>\n\
         S: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n\
         > begin\n> content x\\r\\n\nC: BDAT 3\nC: x\nS: 552 5.3.4 too much\n= done 552 5.3.4 too much\n\
         > offer a\nC: RSET\nC: MAIL FROM:<me@example.test>\nC: RCPT TO:<a@example.net>\n\
         S: 250 ok\nS: 250 ok\nS: 250 ok\n= offered 250 ok; 250 ok\n> quit\nC: QUIT\nS: 221\n= closed\n",
    );
}

// RFC 4954 §4.
#[test]
fn a_smarthost_wants_a_login() {
    let hello = "S: 220 mx\nC: EHLO out.example.test\n";
    let tls =
        "S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n[tls]\nC: EHLO out.example.test\n";
    // PLAIN under TLS: \0ana\0secret.
    check(
        &with_login(),
        &format!(
            "{hello}{tls}S: 250-mx\nS: 250 AUTH PLAIN LOGIN\nC: AUTH PLAIN AGFuYQBzZWNyZXQ=\n\
             S: 235 2.7.0 welcome\n= ready\n> quit\nC: QUIT\nS: 221\n= closed\n"
        ),
    );
    check(
        &with_login(),
        &format!(
            "{hello}{tls}S: 250-mx\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\n\
             C: YW5h\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 535 5.7.8 wrong\n\
             = fault login: refused: 535 5.7.8 wrong\n"
        ),
    );
    // Nothing is revealed in clear, nor is mail sent without the login.
    let none = "no mechanism of AUTH that may be used on this connection";
    check(&with_login(), &format!("{hello}S: 250-mx\nS: 250 AUTH PLAIN\n= fault login: {none}\n"));
    check(
        &with_login(),
        &format!("{hello}S: 250-mx\nS: 250 AUTH SCRAM-SHA-256\n= fault login: {none}\n"),
    );
    check(&with_login(), &format!("{hello}{tls}S: 250 mx\n= fault login: AUTH is not offered\n"));
    let clear = Options { clear_login: true, ..with_login() };
    check(
        &clear,
        &format!(
            "{hello}S: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGFuYQBzZWNyZXQ=\nS: 235 ok\n= ready\n> quit\nC: QUIT\nS: 221\n= closed\n"
        ),
    );
    // A server that cannot prove that it knows the password is not given mail.
    check(
        &clear,
        &format!(
            "{hello}S: 250-mx\nS: 250 AUTH SCRAM-SHA-256\n\
             C: AUTH SCRAM-SHA-256 biwsbj1hbmEscj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n\
             S: 235 ok\n= fault login: login failed: success before the exchange was over\n"
        ),
    );
}

// RFC 1870 §6.1; RFC 9422 §4.
#[test]
fn what_the_server_does_not_offer_is_refused_in_our_words() {
    check(
        &options(),
        "S: 220 mx\nC: EHLO out.example.test\nS: 250-mx\nS: 250-LIMITS RCPTMAX=1\nS: 250 SIZE 10\n= ready\n\
         > offer a 8\n= offered 554 5.6.3 The message needs 8BITMIME, which this host does not offer; \
         554 5.6.3 The message needs 8BITMIME, which this host does not offer\n\
         > offer a s\n= offered 552 5.3.4 Message of 100 bytes is over the 10 that this host takes; \
         552 5.3.4 Message of 100 bytes is over the 10 that this host takes\n\
         > offer a,b\nC: MAIL FROM:<me@example.test>\nS: 250 ok\nC: RCPT TO:<a@example.net>\nS: 250 ok\n\
         = offered 250 ok; 250 ok; 452 4.5.3 This host takes no more recipients at once\n\
         > quit\nC: QUIT\nS: 221\n= closed\n",
    );
}

#[test]
fn a_refusal_in_the_greeting_is_told_as_it_was_said() {
    check(
        &options(),
        "S: 554-5.7.1 Client host blocked\nS: 554 5.7.1 see http://example.com\n\
         = fault greeting: refused: 554 5.7.1 Client host blocked see http://example.com\n",
    );
    check_whole(
        &options(),
        "S: 220 mx\nC: EHLO out.example.test\nS: 421 4.3.2 going down\n= fault hello: refused: 421 4.3.2 going down\n",
    );
}
