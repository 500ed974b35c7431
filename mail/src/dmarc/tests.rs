use super::*;
use crate::Domain;

fn record(text: &str) -> DmarcRecord {
    DmarcRecord::parse(text.as_bytes()).unwrap()
}

// RFC 7489 §6.2.
// RFC 9989 §4.7.
#[test]
fn records_are_read() {
    let read = record(
        "v=DMARC1; p=Reject; sp=quarantine;np=none; adkim=s; aspf=r; t=n; psd=n; \
        rua=mailto:a@b.test!10m , https://x.test, MAILTO:c@d.test; fo=1; pct=20",
    );
    assert_eq!(read.policy, Some(Asked::Reject));
    assert_eq!(read.below, Some(Asked::Quarantine));
    assert_eq!(read.missing, Some(Asked::None));
    assert_eq!((read.dkim, read.spf), (Alignment::Strict, Alignment::Relaxed));
    assert_eq!(read.suffix, Suffix::Own);
    let reports: Vec<_> =
        read.reports.iter().map(|one| (one.address.as_str(), one.bytes_max)).collect();
    assert_eq!(reports, [("a@b.test", Some(10 << 20)), ("c@d.test", None)]);
    for none in ["", "v=DMARC2; p=none", "p=none; v=DMARC1", "v=spf1 -all", "DMARC1"] {
        assert_eq!(DmarcRecord::parse(none.as_bytes()), None, "{none}");
    }
}

// RFC 9989 §4.10.1.
#[test]
fn a_record_asks_by_where_it_stands() {
    let all = record("v=DMARC1; p=reject; sp=quarantine; np=none");
    assert_eq!(all.asks(true, true), Some(Asked::Reject));
    assert_eq!(all.asks(false, true), Some(Asked::Quarantine));
    assert_eq!(all.asks(false, false), Some(Asked::None));
    let short = record("v=DMARC1; p=reject");
    assert_eq!(short.asks(false, false), Some(Asked::Reject));
    let testing = record("v=DMARC1; p=reject; t=y");
    assert_eq!(testing.asks(true, true), Some(Asked::Quarantine));
    assert_eq!(record("v=DMARC1").asks(true, true), None);
    assert_eq!(record("v=DMARC1; p=x; rua=mailto:a@b.test").asks(true, true), Some(Asked::None));
}

// RFC 9989 §4.10.
#[test]
fn policies_are_looked_for_in_at_most_eight_places() {
    assert_eq!(walk("a.b.test"), ["a.b.test", "b.test", "test"]);
    let long = "a.b.c.d.e.f.g.h.i.j.mail.example.com";
    let names = walk(long);
    assert_eq!(names.len(), WALK_MAX);
    assert_eq!((names[0], names[1]), (long, "g.h.i.j.mail.example.com"));
    assert_eq!(names[7], "com");
    assert_eq!(walk("a.b.c.d.e.f.g.h").len(), 8);
}

// RFC 9989 §4.10.2.
#[test]
fn organisations_are_found_by_the_walk() {
    let plain = record("v=DMARC1; p=none");
    let public = record("v=DMARC1; p=none; psd=y");
    let own = record("v=DMARC1; p=none; psd=n");
    assert_eq!(organisation("a.b.test", &[]), "a.b.test");
    let both = [("a.b.test", plain.clone()), ("b.test", plain.clone())];
    assert_eq!(organisation("a.b.test", &both), "b.test");
    let below = [("b.test", plain.clone()), ("test", public)];
    assert_eq!(organisation("a.b.test", &below), "b.test");
    assert_eq!(organisation("a.b.test", &below[1..]), "b.test");
    let mine = [("a.b.test", own), ("b.test", plain)];
    assert_eq!(organisation("x.a.b.test", &mine), "a.b.test");
    assert_eq!(
        applying("x.a.b.test", &mine).map(|(name, _, own)| (name, own)),
        Some(("a.b.test", false))
    );
    assert_eq!(
        applying("a.b.test", &both).map(|(name, _, own)| (name, own)),
        Some(("a.b.test", true))
    );
    assert!(applying("a.b.test", &[]).is_none());
}

// F1: what people see as the sender is what is checked, or the message is nobody's.
// RFC 9989 §11.5.
#[test]
fn one_author_or_none() {
    let of = |header: &str| Author::of(format!("{header}\r\n\r\nFrom: body@c.test\r\n").as_bytes());
    let one = |text: &str| Author::Domains(vec![Domain::parse(text).unwrap()]);
    assert_eq!(of("From: a@B.test"), one("b.test"));
    assert_eq!(of("To: x\r\nfrom:\r\n \"x@evil.test\" <a@b.test>, c@b.test"), one("b.test"));
    assert_eq!(of("From: a@b\u{e9}.test"), one("xn--b-bga.test"));
    for ambiguous in [
        "From: a@b.test\r\nFrom: c@d.test",
        " From: a@b.test\r\nFrom: c@d.test",
        "From : a@b.test",
        "From\r\n : a@b.test",
        "From: a@b.test\r\nX: y\r\nFROM: a@b.test",
        "From: a@b.test\r\nFrom\t: c@d.test",
    ] {
        assert_eq!(of(ambiguous), Author::Ambiguous, "{ambiguous:?}");
    }
    for nobody in
        ["To: x", "From:", "From: nobody", "From: a@b@c", "From: g:;", "From: <a@[127.0.0.1]>"]
    {
        assert!(matches!(of(nobody), Author::Nobody(_)), "{nobody:?}: {:?}", of(nobody));
    }
    let Author::Domains(two) = of("From: a@b.test, c@d.test") else { panic!() };
    assert_eq!(two.len(), 2);
}
