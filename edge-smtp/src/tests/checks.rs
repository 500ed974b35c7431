//! Mail from outside, with the checks on.

use std::sync::Arc;

use net::ThrottleOptions;
use proto::smtp::Role;

use super::office::Office;
use crate::policy::tests::zone::{Rr, Zone};
use crate::{
    Blocklist, Blocklists, Greylist, GreylistOptions, Judge, ListAction, Options, PolicyOptions,
};

fn zone() -> Arc<Zone> {
    let zone = Zone::default()
        .txt("bank.test", "v=spf1 ip4:192.0.2.0/24 -all")
        .txt("_dmarc.bank.test", "v=DMARC1; p=reject")
        .txt("_dmarc.shop.test", "v=DMARC1; p=quarantine")
        .with("9.2.0.192.in-addr.arpa", Rr::Ptr("out.bank.test".into()))
        .address("out.bank.test", "192.0.2.9")
        .address("66.113.0.203.zen.test", "127.0.0.2");
    Arc::new(zone)
}

async fn office(tune: impl FnOnce(&mut Options, &engine::Engines)) -> Office {
    Office::start_tuned(Role::Mx, 4096, ThrottleOptions::default(), |options, engines| {
        let judge = Judge::new(PolicyOptions::default(), zone(), engines.clock.clone());
        options.judge = Some(Arc::new(judge.unwrap()));
        tune(options, engines);
    })
    .await
}

fn from(domain: &str) -> String {
    format!(
        "Authentication-Results: mx.example.test; dmarc=pass\r\nFrom: x@{domain}\r\n\r\nhello\r\n"
    )
}

// RFC 8601 §4.
#[tokio::test(start_paused = true)]
async fn what_was_found_is_told_and_done() {
    let office = office(|_, _| {}).await;
    let to = ["ana@example.test"];
    let mut good = office.connect("192.0.2.9").await;
    good.send("<x@bank.test>", &to, &from("bank.test")).await.expect(250);
    let mut bad = office.connect("203.0.113.9").await;
    let reply = bad.send("<x@bank.test>", &to, &from("bank.test")).await;
    let expected = "550 5.7.1 Not taken: neither SPF nor DKIM shows that this is from bank.test";
    assert!(reply.text.starts_with(expected), "{}", reply.text);
    bad.send("<x@shop.test>", &to, &from("shop.test")).await.expect(250);
    let stored = office.stored().await;
    let [good, junk] = &stored[..] else { panic!("two messages: {}", stored.len()) };
    let unfolded = good.prefix.replace("\r\n\t", " ");
    let results = "Authentication-Results: mx.example.test; iprev=pass (out.bank.test) \
        policy.iprev=192.0.2.9; spf=pass smtp.mailfrom=bank.test; dkim=none; \
        dmarc=pass (p=reject) header.from=bank.test; arc=none";
    assert_eq!(unfolded.lines().nth(1), Some(results));
    assert!(unfolded.contains("Received: from client.test (out.bank.test [192.0.2.9])"));
    assert!(!good.body.contains("Authentication-Results"), "forged: {}", good.body);
    assert!(junk.prefix.contains("dmarc=fail (p=quarantine) header.from=shop.test"));
    assert!(junk.verdicts.junk && !good.verdicts.junk);
}

#[tokio::test(start_paused = true)]
async fn who_is_listed_may_write_to_postmaster_only() {
    let office = office(|options, engines| {
        let action = ListAction::Reject;
        let list = Blocklist { name: "zen".into(), zone: "zen.test".into(), action };
        let lists = Blocklists::new(vec![list], zone(), engines.clock.clone(), vec![]);
        options.blocklists = Some(Arc::new(lists));
    });
    let office = office.await;
    let mut client = office.connect("203.0.113.66").await;
    client.say("EHLO x.test").await.expect(250);
    client.say("MAIL FROM:<x@y.test>").await.expect(250);
    let reply = client.say("RCPT TO:<ana@example.test>").await;
    let expected = "550 5.7.1 Not taken: your address 203.0.113.66 is listed by zen.test";
    assert!(reply.text.starts_with(expected), "{}", reply.text);
    client.say("RCPT TO:<postmaster@example.test>").await.expect(250);
    let mut other = office.connect("203.0.113.67").await;
    other.send("<x@y.test>", &["ana@example.test"], &from("y.test")).await.expect(250);
}

// RFC 6647 §4.
#[tokio::test(start_paused = true)]
async fn who_is_new_comes_again() {
    let office = office(|options, engines| {
        let greylist = Greylist::new(GreylistOptions::default(), engines.clock.clone());
        options.greylist = Some(Arc::new(greylist));
    });
    let office = office.await;
    for (pause, expected) in [(0, "451 4.7.1 You are new here"), (301, "250 ")] {
        office.pause(pause).await;
        let mut client = office.connect("203.0.113.66").await;
        client.say("EHLO x.test").await.expect(250);
        client.say("MAIL FROM:<x@y.test>").await.expect(250);
        client.say("RCPT TO:<nobody@example.test>").await.expect(550);
        let reply = client.say("RCPT TO:<ana@example.test>").await;
        assert!(reply.text.starts_with(expected), "{}", reply.text);
    }
    assert_eq!(office.written().0, 0, "I12");
}
