//! Mail exchangers from the DNS, in a signed zone of the test's own: their order, domains that take no
//! mail, DANE (RFC 7672) and MTA-STS (RFC 8461): what is published is kept to, or the message waits.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tests::certificate::Authority;
use tests::office::Office;
use tests::policies::Policies;
use tests::sink::{At, Sink};
use tests::wait;
use tests::zones::{Zones, loopback};

/// A sink where mail exchangers are: port 25 of an address of its own.
fn exchanger(number: u8) -> Sink {
    Sink::bind(SocketAddr::from((loopback(number), 25)))
}

/// An office that asks this DNS, and may send to this machine.
fn office(zones: &Zones, more: &[(&str, &str)]) -> Office {
    let mut office = Office::start();
    office.configure(&[&[("", zones.configuration().as_str())], more].concat());
    office.by_exchangers(&["retry = \"200ms\"", "retry_max = \"1s\""]);
    office
}

/// Waits for the report about this recipient.
fn report(office: &Office, to: &str) -> String {
    let mut imap = office.imap("alice");
    let field = format!("Final-Recipient: rfc822; {to}\r\n");
    wait::until(&format!("a report about {to}"), || {
        imap.select("INBOX").unwrap();
        let all = imap.messages().unwrap();
        let texts = all.iter().map(|(_, text)| String::from_utf8_lossy(text).replace("\r\n ", " "));
        texts.into_iter().find(|text| text.contains(&field))
    })
}

/// Waits until the queue says why a message to this domain waits, in words that hold `part`.
fn waits(office: &Office, domain: &str, part: &str) {
    let arguments = ["queue", "list", "--destination", domain, "--json"];
    wait::until(&format!("mail for {domain} to wait because of {part}"), || {
        let said = office.admin(&arguments, "");
        serde_json::from_str::<Value>(&said).unwrap().to_string().contains(part).then_some(())
    });
}

// RFC 7505 §3.
#[test]
fn exchangers_are_tried_in_their_order_and_some_domains_take_no_mail() {
    let (first, second, third) = (exchanger(1), exchanger(2), exchanger(3));
    let zones = Zones::start(&[(
        "sent.test",
        &format!(
            "order MX 10 first.order\norder MX 20 second.order\norder MX 30 third.order\n\
             first.order A {}\nsecond.order A {}\nthird.order A {}\n\
             null MX 0 .\n\
             plain A {}\n\
             us MX 10 mail.example.test.\n\
             nowhere MX 10 nobody.sent.test.\n\
             behind MX 10 first.order\nbehind MX 20 mail.example.test.\nbehind MX 30 third.order\n",
            loopback(1),
            loopback(2),
            loopback(3),
            loopback(3)
        ),
        false,
    )]);
    let office = office(&zones, &[]);
    first.set_down(true);
    office.submit("a@order.sent.test", "a@order.sent.test");
    assert_eq!(second.wait_for(1)[0].recipients, ["a@order.sent.test"]);
    first.set_down(false);
    office.submit("b@order.sent.test", "b@order.sent.test");
    assert_eq!(first.wait_for(1)[0].recipients, ["b@order.sent.test"]);
    // RFC 5321 §5.1: without MX records the name itself.
    office.submit("c@plain.sent.test", "c@plain.sent.test");
    assert_eq!(third.wait_for(1)[0].recipients, ["c@plain.sent.test"]);
    for (to, part) in [
        // RFC 7505 §4.2
        ("d@null.sent.test", "Status: 5.1.10\r\n"),
        ("e@missing.sent.test", "Status: 5.1.2\r\n"),
        // We are its only exchanger, and do not know it: a loop.
        ("f@us.sent.test", "Status: 5.4.6\r\n"),
    ] {
        office.submit(to, to);
        let told = report(&office, to);
        assert!(told.contains("Action: failed\r\n") && told.contains(part), "{to}: {told}");
    }
    // Only better exchangers than ourselves are tried.
    office.submit("g@behind.sent.test", "g@behind.sent.test");
    assert_eq!(first.wait_for(2)[1].recipients, ["g@behind.sent.test"]);
    first.set_down(true);
    office.submit("h@behind.sent.test", "h@behind.sent.test");
    waits(&office, "behind.sent.test", "first.order.sent.test");
    office.submit("i@nowhere.sent.test", "i@nowhere.sent.test");
    waits(&office, "nowhere.sent.test", "nobody.sent.test");
    assert_eq!((second.received().len(), third.received().len()), (1, 1));
    office.assert_quiet(&[]);
}

#[test]
fn dane_is_kept_to_or_the_message_waits() {
    let authority = Authority::new();
    let [right, wrong, plain, unsigned] = [4, 5, 6, 7].map(exchanger);
    let [good, bad] = ["good", "bad"].map(|name| authority.issue(&format!("{name}.sent.test")));
    right.set_tls(good.server());
    wrong.set_tls(bad.server());
    unsigned.set_tls(bad.server());
    let tlsa = good.tlsa();
    let at = [4, 5, 6, 7].map(loopback);
    let names = ["right", "wrong", "plain"];
    let mut signed = String::new();
    for (name, at) in names.iter().zip(at) {
        signed +=
            &format!("{name} MX 10 mx.{name}\nmx.{name} A {at}\n_25._tcp.mx.{name} TLSA {tlsa}\n");
    }
    let insecure = format!("@ MX 10 mx\nmx A {}\n_25._tcp.mx TLSA {tlsa}\n", at[3]);
    let zones = Zones::start(&[("sent.test", &signed, true), ("insecure.test", &insecure, false)]);
    let office = office(&zones, &[]);
    for to in ["a@right.sent.test", "a@wrong.sent.test", "a@plain.sent.test", "a@insecure.test"] {
        office.submit(to, to);
    }
    assert!(right.wait_for(1)[0].tls);
    // RFC 7672 §2.2.1: what is not validated is not used; then TLS is as it comes.
    assert!(unsigned.wait_for(1)[0].tls);
    // F4: never in the clear, never under another key.
    waits(&office, "wrong.sent.test", "mx.wrong.sent.test");
    waits(&office, "plain.sent.test", "mx.plain.sent.test");
    wrong.wait_for_step(At::StartTls, 2);
    plain.wait_for_step(At::Hello, 2);
    for sink in [&wrong, &plain] {
        assert_eq!(sink.count(At::Sender), 0, "{:?}", sink.seen());
    }
    // Once they are as published, what waits is sent.
    wrong.set_tls(good.server());
    plain.set_tls(good.server());
    assert!(wrong.wait_for(1)[0].tls && plain.wait_for(1)[0].tls);
    office.assert_quiet(&[]);
}

#[test]
fn policies_of_domains_are_kept_to_or_the_message_waits() {
    const NAMES: [&str; 5] = ["good", "name", "mx", "plain", "testing"];
    let authority = Authority::new();
    let sinks: Vec<Sink> = (0..5).map(|n| exchanger(20 + n)).collect();
    let hosts = NAMES.map(|name| format!("mta-sts.{name}.sts.test"));
    let hosts = hosts.each_ref().map(String::as_str);
    let certificates = NAMES.map(|name| authority.issue(&format!("mx.{name}.sts.test")).server());
    let other = authority.issue("elsewhere.sts.test").server();
    let (mut records, mut policies) = (String::new(), BTreeMap::new());
    for (number, name) in (0..).zip(NAMES) {
        records += &format!(
            "{name} MX 10 mx.{name}\nmx.{name} A {}\nmta-sts.{name} A {}\n\
             _mta-sts.{name} TXT \"v=STSv1; id=1;\"\n",
            loopback(20 + number),
            loopback(30)
        );
        let mode = if name == "testing" { "testing" } else { "enforce" };
        let mx = if name == "mx" { "another" } else { name };
        let policy =
            format!("version: STSv1\r\nmode: {mode}\r\nmx: mx.{mx}.sts.test\r\nmax_age: 86400\r\n");
        policies.insert(format!("{name}.sts.test"), policy);
    }
    let at = SocketAddr::from((loopback(30), 443));
    let served = Policies::serve(at, authority.issue_for(&hosts).server(), policies);
    let zones = Zones::start(&[("sts.test", &records, false)]);
    let office = office(&zones, &[("[tls]", &format!("authorities = {:?}", authority.pem()))]);
    for (sink, name, certificate) in [
        (&sinks[0], "good", Some(&certificates[0])),
        (&sinks[1], "name", Some(&other)),
        (&sinks[2], "mx", Some(&certificates[2])),
        (&sinks[3], "plain", None),
        (&sinks[4], "testing", Some(&other)),
    ] {
        if let Some(certificate) = certificate {
            sink.set_tls(certificate.clone());
        }
        let to = format!("a@{name}.sts.test");
        office.submit(&to, &to);
    }
    assert!(sinks[0].wait_for(1)[0].tls);
    // RFC 8461 §5: a policy that is tested refuses nothing.
    assert!(sinks[4].wait_for(1)[0].tls);
    for name in ["name", "mx", "plain"] {
        waits(&office, &format!("{name}.sts.test"), "sts");
    }
    sinks[1].wait_for_step(At::StartTls, 2);
    sinks[3].wait_for_step(At::Hello, 2);
    for sink in &sinks[1..4] {
        assert_eq!(sink.count(At::Sender), 0, "{:?}", sink.seen());
    }
    assert_eq!(sinks[2].count(At::Greeting), 0, "a host that the policy does not name was called");
    assert_eq!(served.served(), NAMES.len(), "a policy is kept");
    // Once they are as published, what waits is sent.
    sinks[1].set_tls(certificates[1].clone());
    sinks[3].set_tls(certificates[3].clone());
    assert!(sinks[1].wait_for(1)[0].tls && sinks[3].wait_for(1)[0].tls);
}
