//! Whole messages before the judge.

use mail::dkim::{Signer, SigningKey, body_hash};
use mail::verdicts::{Asked, Found};
use mail::{Domain, Path, Timestamp};
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;

use super::judge;
use super::zone::{Rr, Zone};
use crate::policy::{Action, Arrival, Judgement, PolicyOptions};

/// RFC 8463 §A.2
const KEY: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

const PLAIN: &str = "From: Bank <news@bank.test>\r\nTo: ana@example.test\r\nSubject: hello\r\n\r\n\
    Good morning.\r\n";

fn zone() -> Zone {
    Zone::default()
        .txt("bank.test", "v=spf1 ip4:192.0.2.0/28 -all")
        .txt("_dmarc.bank.test", "v=DMARC1; p=reject")
        .txt("s1._domainkey.bank.test", PUBLIC)
        .txt("_dmarc.shop.test", "v=DMARC1; p=quarantine; sp=none; np=reject")
        .txt("mail.shop.test", "v=spf1 ip4:192.0.2.9 ~all")
        .txt("list.test", "v=spf1 ip4:192.0.2.77 -all")
        .with("9.2.0.192.in-addr.arpa", Rr::Ptr("out.shop.test".into()))
        .address("out.shop.test", "192.0.2.9")
}

fn signed(message: &str) -> String {
    use base64::Engine as _;
    let seed = base64::engine::general_purpose::STANDARD.decode(KEY).unwrap();
    let public = base64::engine::general_purpose::STANDARD
        .decode(PUBLIC.rsplit_once("p=").unwrap().1)
        .unwrap();
    let key = Ed25519Key::from_seed_and_public_key(&seed, &public).unwrap();
    let signer =
        DkimSigner::from_key(key).domain("bank.test").selector("s1").headers(["From", "Subject"]);
    let signature = signer.sign(message.as_bytes()).unwrap();
    format!("{}{message}", signature.to_header())
}

async fn judged(
    options: PolicyOptions,
    zone: Zone,
    from: (&str, &str),
    message: &str,
) -> Judgement {
    let sender = (!from.1.is_empty()).then(|| Path::parse(from.1).unwrap());
    let arrival = Arrival {
        peer: from.0.parse().unwrap(),
        helo: "out.shop.test",
        sender: sender.as_ref(),
        host: &Domain::parse("mx.example.test").unwrap(),
        at: Timestamp::from_seconds(1_800_000_000),
        message: message.as_bytes(),
    };
    judge(options, zone).judge(&arrival).await
}

async fn usual(from: (&str, &str), message: &str) -> Judgement {
    judged(PolicyOptions::default(), zone(), from, message).await
}

#[tokio::test(start_paused = true)]
async fn mail_that_spf_proves_passes() {
    let Judgement { verdicts, refused, .. } = usual(("192.0.2.3", "news@bank.test"), PLAIN).await;
    assert!(refused.is_none() && !verdicts.junk);
    assert_eq!(verdicts.spf.unwrap().found, Found::Pass);
    assert_eq!(verdicts.dkim, Some(vec![]));
    let dmarc = verdicts.dmarc.unwrap();
    assert_eq!((dmarc.found, dmarc.asked), (Found::Pass, Asked::Reject));
    assert_eq!(verdicts.arc.unwrap().found, Found::None);
}

// RFC 8601 §2.7.1.
#[tokio::test(start_paused = true)]
async fn mail_that_dkim_proves_passes_from_anywhere() {
    let message = signed(PLAIN);
    let Judgement { verdicts, refused, .. } = usual(("203.0.113.5", "x@list.test"), &message).await;
    assert!(refused.is_none(), "{verdicts:?}");
    let dkim = verdicts.dkim.unwrap();
    assert_eq!((dkim.len(), dkim[0].found), (1, Found::Pass), "{dkim:?}");
    let dmarc = verdicts.dmarc.unwrap();
    assert!(dmarc.dkim_aligned && !dmarc.spf_aligned);
    // A body that was changed is not what was signed.
    let changed = message.replace("Good", "Bad");
    let Judgement { verdicts, refused, .. } = usual(("203.0.113.5", "x@list.test"), &changed).await;
    assert_eq!(verdicts.dkim.unwrap()[0].found, Found::Fail);
    // RFC 8601 §2.7.3: nobody has given this address a name.
    assert_eq!(verdicts.reverse.unwrap().found, Found::PermError);
    let refused = refused.unwrap();
    assert_eq!(refused.code(), 550);
    assert!(format!("{refused:?}").contains("bank.test, whose DMARC policy asks to reject"));
}

// RFC 8601 §3.
#[tokio::test(start_paused = true)]
async fn what_a_domain_asks_for_is_done() {
    // Not aligned: somebody else's SPF.
    let refused = usual(("192.0.2.77", "x@list.test"), PLAIN).await.refused;
    assert_eq!(refused.map(|reply| reply.code()), Some(550));
    let shop = PLAIN.replace("bank.test", "shop.test");
    let Judgement { verdicts, refused, .. } = usual(("192.0.2.77", "x@list.test"), &shop).await;
    assert!(refused.is_none() && verdicts.junk && verdicts.reasons[0].contains("shop.test"));
    // RFC 9989: below it nothing is asked, but for names that do not exist.
    let below = PLAIN.replace("bank.test", "mail.shop.test");
    let Judgement { verdicts, refused, .. } = usual(("192.0.2.77", "x@list.test"), &below).await;
    assert!(refused.is_none() && !verdicts.junk);
    assert_eq!(verdicts.dmarc.unwrap().found, Found::Fail);
    let nowhere = PLAIN.replace("bank.test", "nowhere.shop.test");
    assert!(usual(("192.0.2.77", "x@list.test"), &nowhere).await.refused.is_some());
    // Relaxed: the same organisation is near enough.
    let near = usual(("192.0.2.9", "x@mail.shop.test"), &shop).await;
    assert_eq!(near.verdicts.dmarc.unwrap().found, Found::Pass);
    assert_eq!(near.verdicts.reverse.unwrap().name, "out.shop.test");
    // Noted only: nothing is done.
    let note = PolicyOptions { dmarc: Action::Note, ..PolicyOptions::default() };
    let noted = judged(note, zone(), ("192.0.2.77", "x@list.test"), PLAIN).await;
    assert!(noted.refused.is_none() && !noted.verdicts.junk);
}

// RFC 7372 §3.2; RFC 7208 §8.4.
#[tokio::test(start_paused = true)]
async fn spf_is_refused_only_where_it_is_honoured() {
    let from = ("203.0.113.5", "x@list.test");
    let message = PLAIN.replace("bank.test", "free.test");
    assert!(usual(from, &message).await.refused.is_none());
    let honour = PolicyOptions { spf: Action::Honour, ..PolicyOptions::default() };
    let refused = judged(honour.clone(), zone(), from, &message).await.refused.unwrap();
    assert!(format!("{refused:?}").contains("list.test does not allow"), "{refused:?}");
    // DMARC passes by DKIM: forwarded mail is let through.
    assert!(judged(honour, zone(), from, &signed(PLAIN)).await.refused.is_none());
}

// F1: several From, odd From, From of two domains.
// RFC 9989 §11.5.
// RFC 7208 §2.4.
#[tokio::test(start_paused = true)]
async fn people_see_the_sender_that_was_checked() {
    let from = ("192.0.2.3", "news@bank.test");
    for header in
        ["From: a@b.test\r\nFrom: c@bank.test", "From : a@bank.test", "From\r\n : a@b.test"]
    {
        let refused = usual(from, &format!("{header}\r\n\r\nx\r\n")).await.refused.unwrap();
        assert!(format!("{refused:?}").contains("exactly one"), "{refused:?}");
    }
    let two =
        usual(("192.0.2.9", "x@mail.shop.test"), "From: a@shop.test, b@bank.test\r\n\r\nx\r\n");
    assert_eq!(two.await.refused.map(|reply| reply.code()), Some(550));
    let nobody = usual(from, "Subject: x\r\n\r\nx\r\n").await;
    assert!(nobody.refused.is_none() && nobody.verdicts.junk);
    // No sender: the name of HELO is checked.
    let null = usual(("192.0.2.3", ""), PLAIN).await;
    assert!(null.verdicts.spf.unwrap().helo && null.refused.is_some());
}

// RFC 9989 §5.3.6.
#[tokio::test(start_paused = true)]
async fn trouble_with_dns_never_refuses() {
    let broken = Zone::default()
        .with("_dmarc.bank.test", Rr::Timeout)
        .with("bank.test", Rr::Timeout)
        .with("s1._domainkey.bank.test", Rr::Timeout);
    let honour = PolicyOptions { spf: Action::Honour, ..PolicyOptions::default() };
    let from = ("203.0.113.5", "news@bank.test");
    let judged = judged(honour, broken, from, &signed(PLAIN)).await;
    let Judgement { verdicts, refused, .. } = judged;
    assert!(refused.is_none() && !verdicts.junk);
    assert_eq!(verdicts.spf.unwrap().found, Found::TempError);
    assert_eq!(verdicts.dkim.unwrap()[0].found, Found::TempError);
    assert_eq!(verdicts.dmarc.unwrap().found, Found::TempError);
    // The key does not answer, the policy does.
    let half = zone().with("s2._domainkey.bank.test", Rr::Timeout);
    let message = signed(PLAIN).replace("s=s1", "s=s2");
    let half = judged_by(half, from, &message).await;
    assert!(half.refused.is_none());
    assert_eq!(half.verdicts.dmarc.unwrap().found, Found::TempError);
}

async fn judged_by(zone: Zone, from: (&str, &str), message: &str) -> Judgement {
    judged(PolicyOptions::default(), zone, from, message).await
}

// F2: l=, many signatures, names that are none, From not signed, odd bytes.
// RFC 8301 §3.1; RFC 6008 §3.
// RFC 6376 §5.4.
#[tokio::test(start_paused = true)]
async fn signatures_are_distrusted() {
    let from = ("203.0.113.5", "x@list.test");
    let good = signed(PLAIN);
    for (old, new) in [
        ("c=relaxed/relaxed;", "c=relaxed/relaxed; l=1;"),
        ("d=bank.test", "d=a(.b"),
        ("s=s1", "s=s\0"),
        ("h=Subject:From", "h=Subject"),
        ("a=ed25519-sha256", "a=rsa-sha1"),
    ] {
        let bad = good.replacen(old, new, 1);
        assert_ne!(bad, good, "{old} in {good}");
        let verdicts = usual(from, &bad).await.verdicts;
        let dkim = verdicts.dkim.unwrap();
        assert!(dkim.iter().all(|one| one.found != Found::Pass), "{new}: {dkim:?}");
    }
    let header = good.strip_suffix(PLAIN).unwrap();
    let many = format!("{}{PLAIN}", header.replace("s=s1", "s=sx").repeat(3_000));
    let judged = usual(from, &many).await;
    assert_eq!(judged.verdicts.dkim.unwrap().len(), 10);
}

// F3: a message has so many questions, and so much time.
#[tokio::test(start_paused = true)]
async fn questions_have_a_budget() {
    let options = PolicyOptions { lookups_max: 2, ..PolicyOptions::default() };
    let from = ("192.0.2.3", "news@bank.test");
    let few = judged(options, zone(), from, &signed(PLAIN)).await;
    assert!(few.refused.is_none());
    assert_eq!(few.verdicts.dmarc.unwrap().found, Found::TempError);
}

fn our_signer(domain: &str, selector: &str, rsa: bool) -> (Signer, String) {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    let pkcs8 = if rsa {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        der.as_ref().to_vec()
    } else {
        let seed = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
        seed.to_pkcs8v1().unwrap().as_ref().to_vec()
    };
    let key = SigningKey::from_pkcs8(&pkcs8).unwrap();
    let record = key.record().unwrap();
    (Signer { domain: domain.into(), selector: selector.into(), key }, record)
}

fn signed_by(signer: &Signer, message: &str) -> String {
    let header = &message.as_bytes()[..mail::header::header_length(message.as_bytes())];
    let at = Timestamp::from_seconds(1_800_000_000);
    let field = signer.sign(header, &body_hash(message.as_bytes()), at).unwrap();
    format!("{field}{message}")
}

// RFC 6376, RFC 8463: another implementation believes what we sign.
// RFC 6376 §3.3; RFC 8463 §3.
// RFC 6376 §3.7.
#[tokio::test(start_paused = true)]
async fn our_signatures_are_believed() {
    let (rsa, rsa_record) = our_signer("bank.test", "r1", true);
    let (ed, ed_record) = our_signer("bank.test", "e1", false);
    let from = ("203.0.113.5", "x@list.test");
    for message in [
        PLAIN.to_owned(),
        PLAIN.replace("Subject: hello", "Subject:   a\r\n\tlong  one \r\nTo: b@c.test\r\nX: y"),
        PLAIN.replace("Good morning.\r\n", ""),
        PLAIN.replace("Good morning.\r\n", " a  b \r\n\r\n.c\td\r\n\r\n\r\n"),
        PLAIN.replace("Good morning.", &"caf\u{e9} ".repeat(3_000)),
    ] {
        let zone = zone()
            .txt("r1._domainkey.bank.test", &rsa_record)
            .txt("e1._domainkey.bank.test", &ed_record);
        let message = signed_by(&rsa, &signed_by(&ed, &message));
        let verdicts = judged_by(zone, from, &message).await.verdicts;
        let found: Vec<_> = verdicts.dkim.iter().flatten().map(|one| one.found).collect();
        assert_eq!(found, [Found::Pass, Found::Pass], "{message}");
        // Nobody adds a second Subject, or a Reply-To, to what was signed.
        for added in ["Subject: other", "Reply-To: evil@x.test"] {
            let zone = Zone::default()
                .txt("r1._domainkey.bank.test", &rsa_record)
                .txt("e1._domainkey.bank.test", &ed_record);
            let verdicts = judged_by(zone, from, &format!("{added}\r\n{message}")).await.verdicts;
            assert!(verdicts.dkim.iter().flatten().all(|one| one.found == Found::Fail));
        }
    }
}

// RFC 8617: another implementation believes what we seal, and what was broken on the way is seen.
// RFC 8617 §7.2.1.
// RFC 8617 §5.1.1, §5.1.2.
#[tokio::test(start_paused = true)]
async fn our_seals_are_believed() {
    let (signer, record) = our_signer("list.test", "r1", true);
    let zone = || zone().txt("r1._domainkey.list.test", &record);
    let seal = |message: &str, chain: Found| {
        let results = ["dmarc=pass header.from=bank.test".to_owned()];
        let at = Timestamp::from_seconds(1_800_000_000);
        let seal =
            mail::arc::Seal { signer: &signer, host: "mx.list.test", results: &results, chain, at };
        let header = &message.as_bytes()[..mail::header::header_length(message.as_bytes())];
        let fields = seal.fields(header, &body_hash(message.as_bytes())).unwrap().unwrap();
        format!("{fields}{message}")
    };
    let from = ("203.0.113.5", "x@list.test");
    let mut message = signed(PLAIN);
    let mut chain = Found::None;
    for hop in 1..=3 {
        message = format!("Received: by {hop}\r\n{}", seal(&message, chain));
        let arc = judged_by(zone(), from, &message).await.verdicts.arc.unwrap();
        assert_eq!((arc.found, arc.sets, arc.sealer.as_str()), (Found::Pass, hop, "list.test"));
        chain = arc.found;
    }
    let broken = message.replace("Good", "Bad");
    let judgement = judged_by(zone(), from, &broken).await;
    assert_eq!(judgement.verdicts.arc.unwrap().found, Found::Fail);
    // Changed before it was sealed by somebody who is believed: taken, though DMARC fails.
    let forwarded = seal(&signed(PLAIN).replace("Good", "Bad"), Found::None);
    assert!(judged_by(zone(), from, &forwarded).await.refused.is_some());
    let trusted = vec![Domain::parse("list.test").unwrap()];
    let options = PolicyOptions { arc_trusted: trusted, ..PolicyOptions::default() };
    let judgement = judged(options, zone(), from, &forwarded).await;
    assert!(judgement.refused.is_none());
    assert_eq!(judgement.verdicts.dmarc.unwrap().found, Found::Fail);
}
