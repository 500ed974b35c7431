//! Real sockets on loopback, against a small server that says what a script says.

pub(crate) mod certificates;
mod host;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::memory::{Options as WorldOptions, World};
use mail::{BodyType, Path};
use proto::sasl::Password;

use super::*;
use crate::Roots;
use crate::dns::Tlsa;
use certificates::Authority;
use host::Host;

struct Pieces(std::collections::VecDeque<&'static str>);

#[async_trait]
impl Content for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self.0.pop_front() {
            Some("!") => Err("cannot be read".to_owned()),
            other => Ok(other.map(|text| Bytes::from_static(text.as_bytes()))),
        }
    }
}

fn pieces(pieces: &[&'static str]) -> Pieces {
    Pieces(pieces.iter().copied().collect())
}

fn dialer(roots: Roots) -> Tcp {
    let engines = World::new(WorldOptions::default()).process("send");
    Tcp::new(engines.clock, engines.random, roots)
}

fn call(host: &Host, security: Security) -> Call {
    Call {
        from: From { source: None, hello: "out.example.test".into() },
        host: "mx.example.net".into(),
        address: host.address,
        reach: Reach::Anywhere,
        security,
        login: None,
        limits: CallLimits::default(),
    }
}

fn offer(recipients: &[&str]) -> Offer {
    let path = |text: &str| Path::parse(text).unwrap();
    Offer {
        sender: Some(path("me@example.test")),
        recipients: recipients.iter().map(|text| OfferedRecipient::new(path(text))).collect(),
        ret: None,
        envid: None,
        size: None,
        body: BodyType::SevenBit,
        smtputf8: false,
    }
}

const GREETED: &[&str] =
    &["S: 220 mx", "C: EHLO out.example.test", "S: 250-mx", "S: 250 PIPELINING"];
const OFFERED: &[&str] = &[
    "C: MAIL FROM:<me@example.test>",
    "C: RCPT TO:<a@example.net>",
    "S: 250 ok",
    "S: 250 ok",
    "C: DATA",
    "S: 354 go",
];
const STARTTLS: &[&str] = &[
    "S: 220 mx",
    "C: EHLO out.example.test",
    "S: 250-mx",
    "S: 250 STARTTLS",
    "C: STARTTLS",
    "S: 220 go",
    "TLS",
];
const UNDER_TLS: &[&str] = &["C: EHLO out.example.test", "S: 250 mx", "C: QUIT", "S: 221 bye"];

#[tokio::test]
async fn a_message_goes_over_a_socket_and_the_next_one_too() {
    let one = ["C: Subject: x", "C: ", "C: ..dot", "C: .", "S: 250 queued"];
    let last = ["C: QUIT", "S: 221 bye"];
    let host = Host::start(&[&[GREETED, OFFERED, &one, OFFERED, &one, &last].concat()]).await;
    let dialer = dialer(Roots::public());
    let mut channel = dialer.call(call(&host, Security::Opportunistic)).await.unwrap();
    assert!(channel.welcome().features.pipelining && channel.welcome().tls.is_none());
    for _ in 0..2 {
        assert!(channel.offer(&offer(&["a@example.net"])).await.unwrap().is_accepted());
        let mut content = pieces(&["Subject: x\r\n\r", "\n.d", "ot\r\n"]);
        let reply = channel.content(&mut content, &|| true).await.unwrap();
        assert_eq!(reply.to_string(), "250 queued");
    }
    channel.quit().await;
    host.finished().await;
}

/// [c]: whoever may no longer end has sent nothing.
#[tokio::test]
async fn without_leave_the_final_dot_is_not_sent() {
    let host = Host::start(&[&[GREETED, OFFERED, &["C: text", "closed"]].concat()]).await;
    let dialer = dialer(Roots::public());
    let mut channel = dialer.call(call(&host, Security::Never)).await.unwrap();
    channel.offer(&offer(&["a@example.net"])).await.unwrap();
    let fault = channel.content(&mut pieces(&["text\r\n"]), &|| false).await.unwrap_err();
    assert_eq!((fault.stage, fault.unknown), (Stage::Content, false));
    host.finished().await;
    channel.quit().await;
}

#[tokio::test]
async fn content_that_cannot_be_read_or_sent_is_never_ended() {
    for bad in ["!", "bare\nline"] {
        let host = Host::start(&[&[GREETED, OFFERED, &["C: text", "closed"]].concat()]).await;
        let dialer = dialer(Roots::public());
        let mut channel = dialer.call(call(&host, Security::Never)).await.unwrap();
        channel.offer(&offer(&["a@example.net"])).await.unwrap();
        let fault = channel.content(&mut pieces(&["text\r\n", bad]), &|| true).await.unwrap_err();
        assert_eq!((fault.stage, fault.unknown), (Stage::Content, false), "{bad}");
        host.finished().await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_after_the_dot_is_unknown() {
    let host = Host::start(&[&[GREETED, OFFERED, &["C: text", "C: ."]].concat()]).await;
    let dialer = dialer(Roots::public());
    let mut channel = dialer.call(call(&host, Security::Never)).await.unwrap();
    channel.offer(&offer(&["a@example.net"])).await.unwrap();
    let fault = channel.content(&mut pieces(&["text\r\n"]), &|| true).await.unwrap_err();
    assert_eq!((fault.stage, fault.unknown), (Stage::End, true));
}

/// A refusal in the middle of the content is heard although the other side reads no more.
#[tokio::test]
async fn a_refusal_before_the_end_is_heard() {
    let host =
        Host::start(&[&[GREETED, OFFERED, &["S: 552 5.3.4 enough", "stall"]].concat()]).await;
    let dialer = dialer(Roots::public());
    let mut channel = dialer.call(call(&host, Security::Never)).await.unwrap();
    channel.offer(&offer(&["a@example.net"])).await.unwrap();
    struct Endless;
    #[async_trait]
    impl Content for Endless {
        async fn next(&mut self) -> Result<Option<Bytes>, String> {
            Ok(Some(Bytes::from("x\r\n".repeat(20_000))))
        }
    }
    let fault = channel.content(&mut Endless, &|| true).await.unwrap_err();
    assert_eq!(fault.reply.unwrap().to_string(), "552 5.3.4 enough");
    assert!(!fault.unknown && fault.stage == Stage::Content);
}

#[tokio::test]
async fn each_step_has_its_time() {
    let host =
        Host::start(&[&["stall"], &["S: 220 mx", "C: EHLO out.example.test", "stall"]]).await;
    let dialer = dialer(Roots::public());
    let limits = CallLimits {
        greeting: Duration::from_millis(50),
        command: Duration::from_millis(50),
        ..CallLimits::default()
    };
    for (greeting, stage) in [(50, Stage::Greeting), (30_000, Stage::Hello)] {
        let greeting = Duration::from_millis(greeting);
        let limits = CallLimits { greeting, ..limits.clone() };
        let call = Call { limits, ..call(&host, Security::Never) };
        let fault = dialer.call(call).await.err().unwrap();
        assert_eq!((fault.stage, fault.why.as_str()), (stage, "no answer in time"));
    }
}

#[tokio::test]
async fn strangers_names_lead_nowhere_inside() {
    let host = Host::start(&[]).await;
    let dialer = dialer(Roots::public());
    let inside = Call { reach: Reach::Public, ..call(&host, Security::Never) };
    let fault = dialer.call(inside).await.err().unwrap();
    assert_eq!(fault.stage, Stage::Connect);
    assert_eq!(host.connections(), 0);
}

/// [g′]: what is wrong on our side is not the destination's fault.
#[tokio::test]
async fn the_source_address_is_the_egress_s() {
    let host = Host::start(&[&[GREETED, &["C: QUIT", "S: 221 bye"]].concat()]).await;
    let dialer = dialer(Roots::public());
    let from = |source: &str| From {
        source: Some(source.parse::<IpAddr>().unwrap()),
        hello: "out.example.test".into(),
    };
    for source in ["192.0.2.77", "::1"] {
        let call = Call { from: from(source), ..call(&host, Security::Never) };
        assert_eq!(dialer.call(call).await.err().unwrap().stage, Stage::Egress, "{source}");
    }
    let call = Call { from: from("127.0.0.9"), ..call(&host, Security::Never) };
    dialer.call(call).await.unwrap().quit().await;
    assert_eq!(host.finished().await, ["127.0.0.9".parse::<IpAddr>().unwrap()]);
    // Nobody listens there: that is the destination's.
    let gone = Host::start(&[]).await;
    let nobody = self::call(&gone, Security::Never);
    drop(gone);
    assert_eq!(dialer.call(nobody).await.err().unwrap().stage, Stage::Connect);
}

// RFC 7435 §3.
#[tokio::test]
async fn opportunistic_tls_takes_anybody_and_clear_text_after_a_failure() {
    let authority = Authority::new();
    let dialer = dialer(Roots::public());
    let secured = [STARTTLS, UNDER_TLS].concat();
    let host = Host::start_tls(&[&secured], authority.leaf("other.example.net", true)).await;
    let channel = dialer.call(call(&host, Security::Opportunistic)).await.unwrap();
    let tls = channel.welcome().tls.clone().unwrap();
    assert_eq!((tls.version, tls.verified), ("TLSv1.3", Verified::Nothing));
    channel.quit().await;
    host.finished().await;
    // A handshake that fails: once more on a new connection, without.
    let broken = [&STARTTLS[..6], &["no TLS"]].concat();
    let clear = [&STARTTLS[..4], &["C: QUIT", "S: 221 bye"]].concat();
    let host = Host::start(&[&broken, &clear]).await;
    let channel = dialer.call(call(&host, Security::Opportunistic)).await.unwrap();
    assert!(channel.welcome().tls.is_none() && channel.welcome().tls_failure.is_some());
    channel.quit().await;
    host.finished().await;
    // F4: never where it is demanded.
    let host = Host::start(&[&broken, &clear]).await;
    let demanded = call(&host, Security::Require(Verify::Nobody));
    let fault = dialer.call(demanded).await.err().unwrap();
    assert_eq!((fault.stage, host.connections()), (Stage::Tls, 1));
}

// RFC 8461 §4.1.
// RFC 8461 §4.2.
#[tokio::test]
async fn names_are_verified_by_the_authorities() {
    let authority = Authority::new();
    let dialer = dialer(authority.roots());
    let names = |names: &[&str]| Verify::Names(names.iter().map(|n| (*n).to_owned()).collect());
    for (own, current, asked, good) in [
        ("mx.example.net", true, "mx.example.net", true),
        ("*.example.net", true, "mx.example.net", true),
        ("mx.example.net", true, "*.example.net", true),
        ("mx.example.net", true, "other.example.net", false),
        ("*.example.net", true, "example.net", false),
        ("a.mx.example.net", true, "*.example.net", false),
        ("mx.example.net", false, "mx.example.net", false),
    ] {
        let secured = [STARTTLS, UNDER_TLS].concat();
        let host = Host::start_tls(&[&secured], authority.leaf(own, current)).await;
        let result = dialer.call(call(&host, Security::Require(names(&[asked])))).await;
        assert_eq!(result.is_ok(), good, "{own} {asked}");
        match result {
            Ok(channel) => {
                assert_eq!(channel.welcome().tls.as_ref().unwrap().verified, Verified::Names);
                channel.quit().await;
            }
            Err(fault) => assert_eq!(fault.stage, Stage::Tls, "{fault}"),
        }
    }
    // Another authority's.
    let other = Authority::new();
    let host = Host::start_tls(&[STARTTLS], other.leaf("mx.example.net", true)).await;
    let result = dialer.call(call(&host, Security::Require(names(&["mx.example.net"])))).await;
    assert_eq!(result.err().unwrap().stage, Stage::Tls);
}

// RFC 8314 §3.3.
#[tokio::test]
async fn tls_from_the_first_byte_and_a_login() {
    let authority = Authority::new();
    let script = [
        "TLS",
        "S: 220 mx",
        "C: EHLO out.example.test",
        "S: 250-mx",
        "S: 250 AUTH PLAIN",
        "C: AUTH PLAIN AGFuYQBzZWNyZXQ=",
        "S: 235 ok",
        "C: QUIT",
        "S: 221 bye",
    ];
    let host = Host::start_tls(&[&script], authority.leaf("mx.example.net", true)).await;
    let names = Verify::Names(vec!["mx.example.net".into()]);
    let login = Login { user: "ana".into(), password: Password::new("secret".into()) };
    let call = Call { login: Some(login), ..call(&host, Security::Implicit(names)) };
    dialer(authority.roots()).call(call).await.unwrap().quit().await;
    host.finished().await;
}

/// RFC 7671, RFC 7672, as far as a certificate can tell.
/// RFC 7671 §4, §5.2.2; RFC 7672 §3.1, §3.1.3.
#[tokio::test]
async fn dane_takes_the_certificate_that_is_published_and_no_other() {
    let authority = Authority::new();
    let leaf = authority.leaf("mx.example.net", true);
    let old = authority.leaf("mx.example.net", false);
    let other = authority.leaf("other.example.net", true);
    let ca = authority.der();
    let own = |selector, matching| leaf.tlsa(3, selector, matching);
    let anchor = |selector, matching| certificates::tlsa(&ca, 2, selector, matching);
    let wrong = Tlsa { data: vec![0; 32], ..own(1, 1) };
    let check = async |host: &certificates::Leaf, records: &[Tlsa], good: Option<Verified>| {
        let secured = [STARTTLS, UNDER_TLS].concat();
        let server = Host::start_tls(&[&secured], host.clone()).await;
        let verify = Verify::Dane(records.to_vec(), vec!["mx.example.net".into()]);
        // No public authority has signed it; DANE does not ask for one.
        let result = dialer(Roots::public()).call(call(&server, Security::Require(verify))).await;
        let verified = result.as_ref().ok().map(|c| c.welcome().tls.as_ref().unwrap().verified);
        assert_eq!(verified, good, "{records:?} {:?}", result.as_ref().err());
        if let Ok(channel) = result {
            channel.quit().await;
        }
        assert_eq!(server.connections(), 1);
    };
    let dane = Some(Verified::Dane);
    for selector in [0, 1] {
        for matching in [0, 1, 2] {
            check(&leaf, &[own(selector, matching)], dane).await;
        }
    }
    for (selector, matching) in [(0, 0), (0, 1), (1, 1), (1, 2)] {
        check(&leaf, &[anchor(selector, matching)], dane).await;
    }
    check(&leaf, std::slice::from_ref(&wrong), None).await;
    check(&leaf, &[wrong.clone(), own(1, 1)], dane).await;
    // Dates and names count for trust anchors only (RFC 7671 §5.1).
    check(&old, &[old.tlsa(3, 1, 1)], dane).await;
    check(&old, &[anchor(0, 1)], None).await;
    check(&other, &[other.tlsa(3, 1, 1)], dane).await;
    check(&other, &[anchor(0, 1)], None).await;
    // An anchor that nothing leads to, and one that is only the leaf.
    check(&leaf, &[certificates::tlsa(&Authority::new().der(), 2, 0, 0)], None).await;
    // Not usable at all: TLS with anybody (RFC 7672 §2.2); not usable beside a wrong one: as wrong.
    let unusable = [
        Tlsa { usage: 1, ..own(1, 1) },
        Tlsa { matching: 9, ..own(1, 1) },
        Tlsa { data: vec![1; 31], ..own(1, 1) },
        Tlsa { selector: 2, ..own(1, 1) },
    ];
    check(&other, &unusable, Some(Verified::Nothing)).await;
    check(&leaf, &[unusable.as_slice(), &[wrong]].concat(), None).await;
}

#[tokio::test]
async fn leave_is_asked_after_all_content_and_before_the_end() {
    let host =
        Host::start(&[&[GREETED, OFFERED, &["C: text", "C: .", "S: 250 ok"]].concat()]).await;
    let mut channel = dialer(Roots::public()).call(call(&host, Security::Never)).await.unwrap();
    channel.offer(&offer(&["a@example.net"])).await.unwrap();
    struct Last<'a>(Option<&'static str>, &'a AtomicBool);
    #[async_trait]
    impl Content for Last<'_> {
        async fn next(&mut self) -> Result<Option<Bytes>, String> {
            let next = self.0.take().map(|text| Bytes::from_static(text.as_bytes()));
            self.1.store(next.is_none(), Ordering::SeqCst);
            Ok(next)
        }
    }
    let read = AtomicBool::new(false);
    let may_end = || read.load(Ordering::SeqCst);
    let reply = channel.content(&mut Last(Some("text\r\n"), &read), &may_end).await.unwrap();
    assert_eq!(reply.code, 250);
}
