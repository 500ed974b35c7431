//! Mail that addresses of ours send on: under a sender of ours (SRS), sealed (ARC), marked; reports on
//! it find their way back; what comes round again is cut.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tests::message::{id_of, message};
use tests::office::Office;
use tests::sink::{At, Received, Rule, Sink};

/// An office that forwards to `far.test`, for senders of `first.test`.
fn start() -> (Office, Sink, Sink) {
    let (origin, target) = (Sink::start(), Sink::start());
    let routes = [("first.test", origin.address()), ("far.test", target.address())];
    let office = Office::start_sending(&routes);
    let added = office.admin(&["alias", "add", "fwd@example.test", "bo@far.test", "--json"], "");
    let added: serde_json::Value = serde_json::from_str(&added).unwrap();
    assert_eq!(added["outside"], serde_json::json!(["bo@far.test"]), "{added}");
    (office, origin, target)
}

fn send(office: &Office, to: &str, id: &str) {
    let reply = office.smtp().send("cleo@first.test", &[to], &message(id)).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
}

fn is_rewritten(received: &Received) -> bool {
    received.sender.to_ascii_lowercase().starts_with("srs0=")
        && received.sender.ends_with("=first.test=cleo@example.test")
}

#[test]
fn what_is_forwarded_goes_under_our_name_and_a_report_on_it_comes_back() {
    let (office, origin, target) = start();
    send(&office, "fwd@example.test", "on");
    let on = target.wait_for(1).remove(0);
    assert!(is_rewritten(&on), "{}", on.sender);
    assert_eq!(on.recipients, ["bo@far.test"]);
    assert_eq!(on.header("Delivered-To").as_deref(), Some("fwd@example.test"));
    assert_eq!(on.header("Return-Path"), None);
    let sealed = on.header("ARC-Seal").unwrap_or_default();
    assert!(sealed.contains("i=1;") && sealed.contains("d=example.test"), "{sealed}");
    // The other side took it, and cannot deliver it: its report goes to the sender that it knows, in
    // whatever case.
    let report = b"From: <>\r\nSubject: failed\r\nX-Test-Id: back\r\n\r\nno\r\n";
    for sender in [on.sender.clone(), on.sender.to_uppercase()] {
        let reply = office.smtp().send("", &[&sender], report).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
    }
    for back in origin.wait_for(2) {
        assert_eq!(
            (&*back.sender, &back.recipients[..]),
            ("", &["cleo@first.test".to_owned()][..])
        );
        assert_eq!(id_of(&back.content).as_deref(), Some("back"));
        assert_eq!(back.header("Delivered-To"), None);
    }
    // Nobody writes to such an address (I9), and only we make one.
    let refused = |sender: &str, to: &str, code: &str| {
        let reply = office.smtp().send(sender, &[to], report).unwrap();
        assert!(reply.code == 550 && reply.text().contains(code), "<{sender}> to {to}: {reply}");
    };
    refused("eve@first.test", &on.sender, "5.7.1");
    let (head, tail) = on.sender.split_at(5);
    let other = if tail.starts_with('a') { "b" } else { "a" };
    refused("", &format!("{head}{other}{}", &tail[1..]), "5.1.1");
    refused("", &on.sender.replace("cleo", "victim"), "5.1.1");
    refused("", &on.sender.replace("=first.test=", "=victim.test="), "5.1.1");
    assert_eq!(origin.received().len(), 2);
    office.assert_quiet(&[]);
}

#[test]
fn what_the_other_side_refuses_is_told_to_who_sent_it_first() {
    let (office, origin, target) = start();
    target.add(Rule::say(At::Recipient, "550 5.1.1 Bo has left"));
    send(&office, "fwd@example.test", "refused");
    let told = origin.wait_for(1).remove(0);
    assert_eq!((&*told.sender, &told.recipients[..]), ("", &["cleo@first.test".to_owned()][..]));
    let text = told.text();
    for part in [
        // The address that the sender knows; where it leads is nobody's business.
        "Final-Recipient: rfc822; fwd@example.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 Bo has left\r\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(target.received().len(), 0);
    office.assert_quiet(&[]);
}

#[test]
fn who_is_here_and_who_is_not_get_it_both() {
    let (office, origin, target) = start();
    let both = ["both@example.test", "bob@example.test", "bo@far.test", "di@far.test"];
    let all: Vec<&str> = ["alias", "add"].into_iter().chain(both).collect();
    office.admin(&all, "");
    send(&office, "both@example.test", "both");
    let on = target.wait_for(1).remove(0);
    assert!(is_rewritten(&on));
    assert_eq!(on.recipients, ["bo@far.test", "di@far.test"], "one connection, one message");
    let here = office.wait_for("bob", "INBOX", 1);
    assert_eq!(id_of(&here[0].1).as_deref(), Some("both"));
    let here = String::from_utf8_lossy(&here[0].1).into_owned();
    assert!(here.starts_with("Return-Path: <cleo@first.test>\r\n"), "{here}");
    // To where no mail is sent, none is taken.
    let said = office.admin(&["alias", "add", "lost@example.test", "x@nowhere.test"], "");
    assert!(said.contains("no mail is sent to the domain of x@nowhere.test yet"), "{said}");
    let reply = office.smtp().send("cleo@first.test", &["lost@example.test"], &message("lost"));
    assert_eq!(reply.unwrap().code, 550);
    assert!(origin.received().is_empty());
    office.assert_quiet(&[]);
}

/// A port that leads to an address which is known later.
fn door() -> (SocketAddr, Arc<Mutex<Option<SocketAddr>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, leads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(None)));
    let to = leads.clone();
    std::thread::spawn(move || {
        for inner in listener.incoming().flatten() {
            let address: Option<SocketAddr> = *to.lock().unwrap();
            let Some(outer) = address.and_then(|to| TcpStream::connect(to).ok()) else { continue };
            let copies = [(inner.try_clone(), outer.try_clone()), (Ok(outer), Ok(inner))];
            for (from, to) in copies {
                std::thread::spawn(move || copy(from.unwrap(), to.unwrap()));
            }
        }
    });
    (at, leads)
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Read).ok();
    to.shutdown(Shutdown::Write).ok();
}

#[test]
fn two_offices_that_send_it_to_one_another_stop() {
    let origin = Sink::start();
    let (door, leads) = door();
    let routes = |to: &'static str, at| [("first.test", origin.address()), (to, at)];
    let right = Office::start_sending(&routes("left.test", door));
    let left = Office::start_sending(&routes("right.test", right.listener("smtp")));
    *leads.lock().unwrap() = Some(left.listener("smtp"));
    for (office, own, other) in
        [(&left, "left.test", "right.test"), (&right, "right.test", "left.test")]
    {
        office.admin(&["domain", "add", own], "");
        office.admin(&["alias", "add", &format!("x@{own}"), &format!("x@{other}")], "");
    }
    send(&left, "x@left.test", "round");
    // Once round, and the sender has it back: through both who rewrote it.
    let told = origin.wait_for(1).remove(0);
    assert_eq!((&*told.sender, &told.recipients[..]), ("", &["cleo@first.test".to_owned()][..]));
    let text = told.text();
    assert!(text.contains("554 5.4.6 This address has forwarded this message before"), "{text}");
    left.assert_quiet(&["a forwarded message came back"]);
    right.assert_quiet(&[]);
    assert_eq!(origin.received().len(), 1);
}
