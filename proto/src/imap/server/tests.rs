//! What a connection costs; the dialogue itself is tested by `tests/imap`.

use super::*;
use crate::sasl::Mechanism;

fn config() -> Arc<Config> {
    Arc::new(Config {
        host: "mail.example".into(),
        starttls: false,
        mechanisms: Mechanism::ALL.to_vec(),
        append_limit: 1_000,
        id: Vec::new(),
        login_time: Duration::from_secs(120),
        autologout_time: Duration::from_secs(1_800),
    })
}

/// Runs until it waits; answers everything with OK or Go.
fn run(server: &mut Server) {
    loop {
        match server.step(Instant(1)) {
            Step::Ask(Ask::IdleStart) => server.answer(Answer::Go),
            Step::Ask(_) => server.answer(Answer::Ok(None, "done".into())),
            Step::Wait => return,
            _ => {}
        }
    }
}

fn say(server: &mut Server, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let taken = server.receive(bytes);
        bytes = &bytes[taken..];
        run(server);
    }
}

fn held(server: &Server) -> usize {
    let Server { out, lent, chunk, frame, .. } = server;
    out.capacity() + lent.capacity() + chunk.capacity() + frame.capacity()
}

#[test]
fn a_connection_that_waits_holds_no_buffer() {
    assert!(size_of::<Server>() <= 768, "{}", size_of::<Server>());
    let mut server = Server::new(config(), IpAddr::from([127, 0, 0, 1]));
    run(&mut server);
    assert_eq!(held(&server), 0);
    say(&mut server, b"a LOGIN ana {6+}\r\nsecret\r\n");
    assert!(server.is_logged_in());
    assert_eq!(held(&server), 0);
    say(&mut server, b"b SELECT INBOX\r\n");
    let search = format!("c SEARCH TEXT {{60000+}}\r\n{}\r\n", "x".repeat(60_000));
    say(&mut server, search.as_bytes());
    assert_eq!(held(&server), 0);
    say(&mut server, b"d IDLE\r\n");
    assert!(server.is_idling());
    assert_eq!(held(&server), 0);
    say(&mut server, b"DONE\r\n");
    assert!(!server.is_idling());
    assert_eq!(held(&server), 0);
}

/// I8, B1: a stranger holds at most 64 KiB, whatever is sent.
#[test]
fn a_stranger_holds_little() {
    let literals = "x LOGIN {4096+}\r\n".to_owned() + &"a".repeat(4_096) + " {4096+}\r\n";
    for attack in ["x".repeat(200_000), literals + &"b".repeat(200_000), " {1+}\r\n".repeat(9_999)]
    {
        let mut server = Server::new(config(), IpAddr::from([192, 0, 2, 1]));
        server.secured(Tls::default());
        run(&mut server);
        let mut most = 0;
        for chunk in attack.as_bytes().chunks(1_000) {
            let mut rest = chunk;
            while !rest.is_empty() && !matches!(server.state, State::Closing) {
                let taken = server.receive(rest);
                rest = &rest[taken..];
                most = most.max(held(&server));
                if !matches!(server.step(Instant(1)), Step::Wait | Step::Send(_)) {
                    break;
                }
            }
        }
        assert!(most <= 64 << 10, "{most}");
    }
}
