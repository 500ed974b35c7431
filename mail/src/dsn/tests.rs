use super::*;
use crate::time::Timestamp;

fn report() -> Report {
    let at = |seconds| DateTime::from_timestamp(Timestamp::from_seconds(seconds));
    Report {
        host: "mx.ours.test".into(),
        domain: "ours.test".into(),
        to: Path::parse("ana@ours.test").unwrap(),
        id: "00ff".into(),
        now: at(1_800_000_100),
        arrived: at(1_800_000_000),
        envid: Some("QQ+2B314".into()),
        recipients: vec![Reported {
            recipient: Path::parse("bob@far.test").unwrap(),
            orcpt: Some("rfc822;bob+40far.test".into()),
            action: Action::Failed,
            status: (5, 1, 1),
            server: Some("mx.far.test".into()),
            words: "550 5.1.1 No such user".into(),
            advice: "Check the address.".into(),
            attempts: vec!["egress-2: 550 5.7.1 Blocked".into()],
            tried: Some(at(1_800_000_090)),
            until: None,
        }],
        returned: Returned::Headers(b"Subject: hello\r\n".to_vec()),
    }
}

fn text(report: &Report) -> String {
    String::from_utf8(report.write()).unwrap()
}

// RFC 6522; RFC 3464 §2.3.2, §2.3.4.
// RFC 3461 §4.3; RFC 3463; RFC 3464 §2.3.1, §2.3.3; RFC 3834 §5.
#[test]
fn a_failure_is_told_to_people_and_to_programs() {
    let text = text(&report());
    for part in [
        "From: Mail Delivery System <MAILER-DAEMON@ours.test>\r\n",
        "Subject: Undelivered mail returned to sender\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Content-Type: multipart/report; report-type=delivery-status;\r\n",
        "Your message was NOT delivered to:\r\n\r\n  <bob@far.test>\r\n",
        "    The server mx.far.test said:\r\n      550 5.1.1 No such user\r\n",
        "      egress-2: 550 5.7.1 Blocked\r\n",
        "Reporting-MTA: dns; mx.ours.test\r\n",
        "Original-Envelope-Id: QQ+314\r\n",
        "\r\n\r\nOriginal-Recipient: rfc822; bob@far.test\r\nFinal-Recipient: rfc822; bob@far.test\r\n",
        "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.far.test\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n",
        "Content-Type: text/rfc822-headers\r\n",
        "\r\n\r\nSubject: hello\r\n\r\n--report-00ff-0--\r\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(text.lines().all(|line| line.len() < 998) && !text.contains("\r\r"));
}

#[test]
fn a_delay_says_until_when_and_that_nothing_need_be_done() {
    let mut report = report();
    report.recipients[0].action = Action::Delayed;
    report.recipients[0].until = Some(report.now);
    let text = text(&report);
    assert!(text.contains("Subject: Your message is delayed"), "{text}");
    assert!(text.contains("Action: delayed\r\n") && text.contains("Will-Retry-Until: "));
    assert!(!text.contains("NOT delivered"));
}

#[test]
fn words_of_others_end_no_field() {
    let mut report = report();
    report.recipients[0].words = "550 a\r\nAction: delivered\r\n\r\nb \u{e9}".into();
    report.recipients[0].server = Some("mx\r\n.far.test".into());
    let text = text(&report);
    assert!(text.contains("Diagnostic-Code: smtp; 550 a??Action: delivered????b ?\r\n"));
    assert!(!text.contains("\nAction: delivered"));
}

// RFC 6533.
#[test]
fn addresses_that_are_not_ascii_make_a_global_report() {
    let mut report = report();
    report.recipients[0].recipient = Path::parse("b\u{f6}b@far.test").unwrap();
    report.returned = Returned::Full("Subject: \u{e9}\r\n\r\nhello".into());
    assert!(report.needs_smtputf8());
    let text = text(&report);
    assert!(text.contains("report-type=global-delivery-status"));
    assert!(text.contains("Final-Recipient: utf-8; b\u{f6}b@far.test\r\n"));
    assert!(text.contains("Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit"));
}

// RFC 2046 §5.1.1.
#[test]
fn a_boundary_is_never_in_what_is_returned() {
    let mut report = report();
    report.returned = Returned::Full(b"\r\n--report-00ff-0--\r\n--report-00ff-1".to_vec());
    assert!(text(&report).ends_with("--report-00ff-2--\r\n"));
}

#[test]
fn xtext_goes_both_ways() {
    for text in ["a+b=c", "b\u{f6}b@x.test", "plain", ""] {
        assert_eq!(from_xtext(&to_xtext(text)).as_deref(), Some(text));
    }
    assert_eq!(from_xtext("a+4"), None);
    assert_eq!(from_xtext("a+FF"), None);
}
