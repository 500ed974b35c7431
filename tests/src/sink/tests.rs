//! The sink does what its table says.

use super::*;
use crate::smtp::Smtp;

fn send(smtp: &mut Smtp, to: &str, text: &str) -> Vec<String> {
    let mut said = vec![];
    for line in ["MAIL FROM:<me@example.test>", &format!("RCPT TO:<{to}>"), "DATA"] {
        let reply = smtp.command(line).unwrap();
        said.push(reply.to_string());
        if reply.code >= 400 {
            return said;
        }
    }
    smtp.stream.send(format!("{text}\r\n.\r\n").as_bytes()).unwrap();
    said.push(smtp.reply().map_or_else(|_| "gone".to_owned(), |reply| reply.to_string()));
    said
}

#[test]
fn without_rules_everything_is_taken_and_remembered() {
    let sink = Sink::start();
    let mut smtp = Smtp::connect(sink.address()).unwrap();
    let said = send(&mut smtp, "a@sink.test", "Subject: x\r\n y\r\n\r\n..dot");
    assert_eq!(said.last().unwrap(), "250 2.0.0 taken");
    let all = sink.wait_for(1);
    assert_eq!(all[0].text(), "Subject: x\r\n y\r\n\r\n.dot\r\n");
    assert_eq!(all[0].header("subject").as_deref(), Some("x y"));
    assert_eq!(
        (all[0].sender.as_str(), all[0].recipients.as_slice()),
        ("me@example.test", ["a@sink.test".to_owned()].as_slice())
    );
    assert!(all[0].acknowledged && !all[0].tls);
}

#[test]
fn the_table_decides_by_step_client_and_words() {
    let sink = Sink::start();
    sink.set(vec![
        Rule::say(At::Recipient, "550-5.1.1 no\n550 5.1.1 such user").holds("bo@"),
        Rule::say(At::End, "451 4.3.0 later").times(1),
        Rule::new(At::End, Act::KeepAndClose).holds("swallow"),
        Rule::new(At::Greeting, Act::SayAndClose("554 5.7.1 blocked".into())).client("127.0.0.9"),
    ]);
    let mut smtp = Smtp::connect(sink.address()).unwrap();
    assert_eq!(send(&mut smtp, "bo@sink.test", "").last().unwrap(), "550 5.1.1 no 5.1.1 such user");
    assert_eq!(send(&mut smtp, "a@sink.test", "1").last().unwrap(), "451 4.3.0 later");
    assert_eq!(send(&mut smtp, "a@sink.test", "2").last().unwrap(), "250 2.0.0 taken");
    assert_eq!(send(&mut smtp, "a@sink.test", "swallow").last().unwrap(), "gone");
    let acknowledged: Vec<_> = sink.wait_for(2).iter().map(|mail| mail.acknowledged).collect();
    assert_eq!(acknowledged, [true, false]);
    assert_eq!(sink.count(At::Recipient), 4);
    sink.set_down(true);
    assert!(Smtp::connect(sink.address()).is_err());
    sink.set_down(false);
    Smtp::connect(sink.address()).unwrap();
}
