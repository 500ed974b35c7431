//! Mail of our own domains leaves only from addresses that their SPF passes, as long as it can leave
//! at all.

use tests::message::{id_of, message};
use tests::office::Office;
use tests::sink::{At, Rule, Sink};
use tests::zone::{Data, Zone};

/// An office with addresses 127.0.0.11 and .12 that asks this server of names, with these lines in
/// `[relay]`.
fn office(dns: &str, sink: &Sink, relay: &str) -> Office {
    let mut office = Office::start();
    assert!(office.process().terminate());
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("\nspf = false\n"), "{text}");
    let relay = format!("\nspf = true\nretry = \"200ms\"\nretry_max = \"1s\"\n{relay}\n");
    let more = format!(
        "[dns]\nservers = [\"{dns}\"]\ntimeout = \"1s\"\n\n[routes.\"far.test\"]\nhosts = [\"{}\"]\n\n\
         [egresses.a]\naddress = \"127.0.0.11\"\npublic = \"127.0.0.11\"\n\n\
         [egresses.b]\naddress = \"127.0.0.12\"\npublic = \"127.0.0.12\"\n",
        sink.address()
    );
    std::fs::write(&config, text.replace("\nspf = false\n", &relay) + &more).unwrap();
    office.restart();
    office
}

fn policy(text: &str) -> Zone {
    Zone::serve(&[("example.test", Data::Txt(text.to_owned()))])
}

fn clients(sink: &Sink) -> Vec<String> {
    sink.clients().iter().map(ToString::to_string).collect()
}

#[test]
fn only_addresses_that_pass_send_for_a_domain_of_ours() {
    let (zone, sink) = (policy("v=spf1 ip4:127.0.0.12 -all"), Sink::start());
    let office = office(&zone.address().to_string(), &sink, "");
    office.submit("bo@far.test", "own");
    sink.wait_for(1).clear();
    // What is forwarded leaves under a sender of ours.
    office.admin(&["alias", "add", "fwd@example.test", "bo@far.test"], "");
    let reply = office.smtp().send("cleo@first.test", &["fwd@example.test"], &message("on"));
    assert_eq!(reply.unwrap().code, 250);
    sink.wait_for(2).clear();
    assert_eq!(clients(&sink), ["127.0.0.12"]);
    // The administrator is told.
    let shown = office.try_admin(&["domain", "show", "example.test", "--check"], "");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("mail sent from 127.0.0.11 gets \"fail\", not \"pass\""), "{shown}");
    office.assert_quiet(&[]);
}

#[test]
fn a_policy_that_none_passes_and_a_silent_server_of_names_stop_no_mail() {
    let (zone, sink) = (policy("v=spf1 ip4:192.0.2.1 -all"), Sink::start());
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = nobody.local_addr().unwrap().to_string();
    for (dns, said) in [
        (zone.address().to_string(), "no egress passes its SPF"),
        (silent, "whom its SPF lets send is not known"),
    ] {
        let before = sink.received().len();
        let office = office(&dns, &sink, "");
        office.submit("bo@far.test", "anyway");
        let received = sink.wait_for(before + 1);
        assert_eq!(id_of(&received[before].content).as_deref(), Some("anyway"));
        assert_eq!(received[before].client.to_string(), "127.0.0.11");
        office.assert_quiet(&[said]);
    }
}

/// `other-egress-spf` (docs/refusals.md): another address of ours, if it passes.
#[test]
fn who_is_refused_for_spf_tries_another_address_that_passes() {
    let words = "550 5.7.23 SPF validation failed";
    let own = "[[rule]]\nid = \"own-spf\"\npattern = '^550 5\\.7\\.23 '\nclass = \"sender\"\n\
               cause = \"spf\"\nscope = \"domain\"\nnext = \"other-egress-spf\"\nsample = \"550 5.7.23 no\"\n";
    for (text, passes) in
        [("v=spf1 ip4:127.0.0.11 ip4:127.0.0.12 -all", true), ("v=spf1 ip4:127.0.0.11 -all", false)]
    {
        let (zone, sink) = (policy(text), Sink::start());
        sink.add(Rule::say(At::Recipient, words).client("127.0.0.11"));
        let rules = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(rules.path(), own).unwrap();
        let relay = format!("refusals = {:?}", rules.path());
        let office = office(&zone.address().to_string(), &sink, &relay);
        office.submit("bo@far.test", "spf");
        if passes {
            assert_eq!(sink.wait_for(1)[0].client.to_string(), "127.0.0.12");
        } else {
            let told = office.wait_for("alice", "INBOX", 1).remove(0).1;
            assert!(String::from_utf8_lossy(&told).contains(words));
            assert_eq!(clients(&sink), ["127.0.0.11"]);
        }
        office.assert_quiet(&[]);
    }
}
