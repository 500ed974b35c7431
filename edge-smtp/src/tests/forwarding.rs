//! Addresses that stand for senders whose mail we forwarded, and mail that comes back to whoever
//! forwarded it.

use std::sync::Arc;

use mail::{Address, Domain, srs};
use net::ThrottleOptions;
use proto::smtp::Role;

use super::office::Office;
use crate::Leaving;

fn key() -> srs::Key {
    Arc::new(|bytes: &[u8]| {
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        sum.as_ref().try_into().unwrap()
    })
}

async fn office() -> Office {
    let tune = |options: &mut crate::Options, _: &engine::Engines| {
        options.returns = Some(key());
        let far = ["far.test".to_owned()].into_iter().collect();
        options.leaving = Leaving { all: false, domains: Arc::new(far) };
    };
    Office::start_tuned(Role::Mx, 4096, ThrottleOptions::default(), tune).await
}

/// The address at `example.test` that stands for a sender, made so many days ago.
fn made(office: &Office, sender: &str, days: u64) -> String {
    let today = srs::day(office.engines.index.now()) + 2_048;
    let domain = Domain::parse("example.test").unwrap();
    let sender = Address::parse(sender).unwrap();
    let key = key();
    srs::forward(&sender, &domain, today - days, &|bytes| key(bytes)).unwrap().to_string()
}

#[tokio::test]
async fn a_rewritten_sender_takes_reports_for_a_while_and_nothing_else() {
    let office = office().await;
    let mut client = office.connect("192.0.2.1").await;
    client.say("EHLO far.test").await.expect(250);
    client.say("MAIL FROM:<>").await.expect(250);
    for (sender, days, reply) in [
        ("cleo@far.test", 0, "250"),
        ("cleo@far.test", srs::DAYS_MAX, "250"),
        ("cleo@far.test", srs::DAYS_MAX + 1, "550 5.1.6"),
        // Nothing is sent there.
        ("cleo@other.test", 0, "550 5.1.2"),
        // Somebody here, by now; or nobody.
        ("ana@example.test", 0, "250"),
        ("nobody@example.test", 0, "550 5.1.1"),
    ] {
        let said = client.say(&format!("RCPT TO:<{}>", made(&office, sender, days))).await;
        assert!(said.text.starts_with(reply), "{sender}, {days} days: {}", said.text);
    }
    // Forged; of another domain of ours the key is the same, of one that is not ours nothing is.
    let good = made(&office, "cleo@far.test", 0);
    for (address, reply) in [
        (good.replace("cleo", "dora"), "550 5.1.1"),
        (good.replace("@example.test", "@far.test"), "550 5.7.1"),
        (good.replace("@example.test", "@catch.test"), "250"),
        ("srs0=@example.test".to_owned(), "550 5.1.1"),
        ("srs1=a==b@catch.test".to_owned(), "550 5.1.1"),
    ] {
        let said = client.say(&format!("RCPT TO:<{address}>")).await;
        assert!(said.text.starts_with(reply), "{address}: {}", said.text);
    }
    client.say("DATA").await.expect(354);
    client.say("Subject: failed\r\n\r\nno\r\n.").await.expect(250);
    // In its place stands whom it stands for.
    let stored = office.stored().await.remove(0);
    assert_eq!(stored.recipients, ["cleo@far.test", "ana@example.test"], "each once (I6)");
    client.say("MAIL FROM:<eve@far.test>").await.expect(250);
    let said = client.say(&format!("RCPT TO:<{good}>")).await;
    assert!(said.text.starts_with("550 5.7.1"), "nobody writes to it: {}", said.text);
}

#[tokio::test]
async fn what_comes_back_to_who_forwarded_it_is_refused_and_to_others_taken() {
    let office = office().await;
    let text = "Delivered-To: away@example.test\r\nDelivered-To: Ana@example.test\r\n\
                Subject: x\r\n\r\nx\r\n";
    let mut client = office.connect("192.0.2.1").await;
    for (to, code) in
        [("away@example.test", 554), ("ana@example.test", 250), ("half@example.test", 250)]
    {
        client.send("<cleo@far.test>", &[to], text).await.expect(code);
    }
    let again = text.replace("away@", "half@");
    client.send("<cleo@far.test>", &["ana@example.test"], &again).await.expect(250);
    client.send("<cleo@far.test>", &["half@example.test"], &again).await.expect(554);
    assert_eq!(office.stored().await.len(), 3);
}
