//! Reports in and out.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::*;
use crate::verdicts::{Asked, Found};

/// As large mail services write them today.
const OLD: &str = r#"<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>google.com</org_name>
    <email>noreply-dmarc-support@google.com</email>
    <report_id>123&amp;4</report_id>
    <date_range><begin>1700000000</begin><end>1700086399</end></date_range>
  </report_metadata>
  <policy_published>
    <domain>Example.test</domain><adkim>r</adkim><aspf>s</aspf><p>reject</p><sp>none</sp><pct>100</pct>
  </policy_published>
  <record>
    <row><source_ip>192.0.2.1</source_ip><count>12</count>
      <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>
        <reason><type>forwarded</type></reason></policy_evaluated></row>
    <identifiers><header_from>example.test</header_from></identifiers>
    <auth_results>
      <dkim><domain>example.test</domain><result>pass</result><selector>s1</selector></dkim>
      <dkim><domain>list.test</domain><result>hardfail</result></dkim>
      <spf><domain>list.test</domain><result>softfail</result></spf>
    </auth_results>
  </record>
  <record>
    <row><source_ip>nonsense</source_ip><count>3</count></row>
    <identifiers><header_from>example.test</header_from></identifiers>
  </record>
</feedback>"#;

fn seen() -> DmarcSeen {
    DmarcSeen {
        source: "2001:db8::1".parse().unwrap(),
        disposition: Disposition::Reject,
        dkim_aligned: false,
        spf_aligned: true,
        forwarded: true,
        header_from: "a<b&\"c.test".to_owned(),
        envelope_from: String::new(),
        signatures: vec![SeenSignature {
            domain: "d.test".to_owned(),
            selector: "s".to_owned(),
            found: Found::Fail,
        }],
        spf: Some(SeenSpf { domain: "h.test".to_owned(), helo: false, found: Found::Pass }),
    }
}

/// A message with this in it.
fn message(kind: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!(
        "From: a@b.test\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; \
         boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: \
         {kind}\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{text}\r\n--b--\r\n"
    )
    .into_bytes()
}

/// An archive of one file; its sizes behind it, as streaming writers do, if `streamed`.
fn zip(name: &str, bytes: &[u8], streamed: bool) -> Vec<u8> {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    let packed = packer.finish().unwrap();
    let size = if streamed { 0 } else { u32::try_from(packed.len()).unwrap() };
    let mut out = b"PK\x03\x04\x14\0".to_vec();
    out.extend_from_slice(&(if streamed { 8_u16 } else { 0 }).to_le_bytes());
    out.extend_from_slice(&8_u16.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&packed);
    out.extend_from_slice(b"PK\x01\x02 and so on");
    out
}

#[test]
fn a_report_of_the_old_form_is_read() {
    let report = AggregateReport::read(OLD).unwrap();
    assert_eq!((report.organisation.as_str(), report.id.as_str()), ("google.com", "123&4"));
    assert_eq!((report.begin, report.end, report.cut), (1_700_000_000, 1_700_086_399, 3));
    assert_eq!(report.policy.domain, "example.test");
    assert_eq!(
        (report.policy.asked, report.policy.below),
        (Some(Asked::Reject), Some(Asked::None))
    );
    let [row] = report.rows.as_slice() else { panic!("{report:?}") };
    assert_eq!((row.count, row.seen.passed(), row.seen.forwarded), (12, true, true));
    let found: Vec<_> = row.seen.signatures.iter().map(|one| one.found).collect();
    assert_eq!(found, [Found::Pass, Found::Fail]);
    assert_eq!(row.seen.spf.as_ref().unwrap().found, Found::SoftFail);
}

// RFC 9990 §3.1, §3.1.1.10, §3.1.1.13, §3.1.2.3.
#[test]
fn what_we_write_is_what_we_read() {
    let mut report = AggregateReport::read(OLD).unwrap();
    report.rows.push(AggregateRow { count: 7, seen: seen() });
    report.cut = 0;
    assert_eq!(AggregateReport::read(&report.write()).unwrap(), report);
    assert_eq!(DmarcSeen::decode(&seen().encode()).unwrap(), seen());
    // A bounce: no sender, and what HELO says is no identity of DMARC.
    let mut bounce = seen();
    bounce.envelope_from = String::new();
    bounce.spf.iter_mut().for_each(|spf| spf.helo = true);
    report.rows = vec![AggregateRow { count: 1, seen: bounce }];
    let text = report.write();
    assert!(text.contains("<envelope_from></envelope_from>"), "{text}");
    assert!(text.contains("<spf>") && !text.contains("<scope>"), "{text}");
    for cut in 0..seen().encode().len() {
        assert!(DmarcSeen::decode(&seen().encode()[..cut]).is_err());
    }
}

#[test]
fn what_is_no_report_is_not_taken_for_one() {
    let nested = format!("<feedback>{}", "<a>".repeat(100_000));
    let entity = OLD
        .replace(
            "<feedback>",
            "<!DOCTYPE f [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><feedback>",
        )
        .replace("google.com</org", "&b;</org");
    for bad in ["", "<", "<feedback/>", "<feedback></feedback>", "<html></html>", &nested, &entity]
    {
        assert!(AggregateReport::read(bad).is_err(), "{}", bad.get(..60).unwrap_or(bad));
    }
    for cut in (0..OLD.len()).step_by(7) {
        assert!(OLD.get(..cut).is_some_and(|part| AggregateReport::read(part).is_err()));
    }
    for bad in ["", "{}", "[]", "{\"organization-name\":7}", "{\"policies\":"] {
        assert!(TlsReport::read(bad).is_err(), "{bad}");
    }
}

#[test]
fn reports_are_unpacked_whatever_they_are_packed_in_and_called() {
    let xml = Unpacked::Xml(OLD.to_owned());
    for (kind, name, bytes) in [
        ("application/gzip", "a!b!1!2.xml.gz", gzip(OLD.as_bytes())),
        ("application/octet-stream", "a.gz", gzip(OLD.as_bytes())),
        ("application/zip", "a!b!1!2.zip", zip("a.xml", OLD.as_bytes(), false)),
        ("application/x-zip-compressed", "a", zip("a.xml", OLD.as_bytes(), true)),
        ("text/xml", "a.xml", OLD.as_bytes().to_vec()),
        ("application/zip", "lies.zip", OLD.as_bytes().to_vec()),
    ] {
        assert_eq!(unpack(&message(kind, name, &bytes)), Ok(xml.clone()), "{kind} {name}");
    }
    let mut folder = b"PK\x03\x04\x14\0\0\0\0\0".to_vec();
    folder.extend_from_slice(&[0; 16]);
    folder.extend_from_slice(&[2, 0, 0, 0, b'd', b'/']);
    folder.extend(zip("d/a.xml", OLD.as_bytes(), true));
    assert_eq!(unpack(&message("application/zip", "a.zip", &folder)), Ok(xml));
    let only = b"From: a@b.test\r\nContent-Type: text/plain\r\n\r\nhello\r\n";
    assert!(unpack(only).is_err());
}

#[test]
fn bombs_are_not_unpacked() {
    let large = vec![b' '; REPORT_BYTES_MAX + 1];
    let packed = gzip(&large);
    assert!(packed.len() < 100_000);
    for (kind, bytes) in
        [("application/gzip", packed), ("application/zip", zip("a.xml", &large, true))]
    {
        let said = unpack(&message(kind, "a", &bytes));
        assert_eq!(said, Err(NoReport("it unpacks to too much")), "{kind}");
    }
    // Broken ones, cut anywhere.
    let whole = zip("a.xml", OLD.as_bytes(), false);
    for cut in 4..60 {
        assert!(unpack(&message("application/zip", "a.zip", &whole[..cut])).is_err());
    }
}

// RFC 8460 §4.2, §4.3.
#[test]
fn a_report_of_tls_comes_back() {
    let policy = TlsPolicy {
        kind: TlsPolicyKind::Sts,
        lines: vec!["version: STSv1".to_owned()],
        hosts: vec!["mx.far.test".to_owned()],
    };
    let ok = TlsSeen {
        policy: policy.clone(),
        outcome: TlsOutcome::Success,
        from: None,
        host: String::new(),
        to: None,
    };
    let bad = TlsSeen {
        policy,
        outcome: TlsOutcome::HostMismatch,
        from: Some("192.0.2.1".parse().unwrap()),
        host: "mx.far.test".to_owned(),
        to: Some("2001:db8::2".parse().unwrap()),
    };
    assert_eq!(TlsSeen::decode(&bad.encode()).unwrap(), bad);
    let report = TlsReport {
        organisation: "us".to_owned(),
        report_id: "1".to_owned(),
        policies: TlsReport::policies_of("far.test", [(&ok, 5), (&bad, 2)].into_iter()),
        ..TlsReport::default()
    };
    let text = report.write();
    for part in ["\"sts\"", "\"certificate-host-mismatch\"", "\"total-failure-session-count\": 2"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(TlsReport::read(&text).unwrap(), report);
    // Some write one host as text.
    let other = text.replace("[\n          \"mx.far.test\"\n        ]", "\"mx.far.test\"");
    assert_ne!(other, text);
    assert!(TlsReport::read(&other).is_ok());
    let targets =
        TlsReportTargets::parse("v=TLSRPTv1; rua=mailto:a@b.test,https://c.test/x").unwrap();
    assert_eq!(
        (targets.addresses, targets.urls),
        (vec!["a@b.test".to_owned()], vec!["https://c.test/x".to_owned()])
    );
    assert_eq!(TlsReportTargets::parse("v=DMARC1; rua=mailto:a@b.test"), None);
}

// RFC 8460 §5.3; RFC 9990 §4.2; RFC 8689 §4.
#[test]
fn a_letter_brings_what_is_in_it() {
    let to = crate::Path::parse("dmarc@far.test").unwrap();
    for (kind, report) in [(ReportKind::Dmarc, OLD), (ReportKind::Tls, "{}")] {
        let letter = Letter {
            kind,
            submitter: "example.test",
            host: "mail.example.test",
            organisation: "Us \"and\" \r\nBcc: x",
            from: "postmaster@example.test",
            to: &to,
            domain: "far.test",
            id: "r1",
            begin: 0,
            end: 86_399,
            now: crate::DateTime::from_timestamp(crate::Timestamp(0)),
            report,
        };
        let text = letter.write();
        let required = String::from_utf8_lossy(&text).contains("\r\nTLS-Required: No\r\n");
        assert_eq!(required, kind == ReportKind::Tls);
        assert!(text.is_ascii() && !String::from_utf8_lossy(&text).contains("\nBcc"));
        let (Unpacked::Xml(found) | Unpacked::Json(found)) = unpack(&text).unwrap();
        assert_eq!(found, report);
    }
}

#[test]
fn digests_are_bounded_and_come_back() {
    let mut report = AggregateReport::read(OLD).unwrap();
    let row = report.rows[0].clone();
    for n in 0..5_000_u32 {
        let mut row = row.clone();
        row.seen.source =
            std::net::IpAddr::from(u128::from(n).wrapping_mul(u128::MAX / 9).to_be_bytes());
        row.count = u64::from(n % 700 + 1) << 30;
        report.rows.push(row);
    }
    let digest = Digest::of_dmarc(&report);
    let bytes = digest.encode();
    assert!(bytes.len() <= DIGEST_BYTES_MAX);
    assert_eq!(Digest::decode(&bytes).unwrap(), digest);
    let DigestBody::Dmarc { sources, others, .. } = &digest.body else { panic!() };
    let all: u64 = sources.iter().map(|(_, one)| one.messages).sum::<u64>() + others.messages;
    assert_eq!(all, report.rows.iter().map(|row| row.count).sum::<u64>() + report.cut);
    let text = r#"{"organization-name":"Far","date-range":{"start-datetime":"2026-01-02T00:00:00Z",
        "end-datetime":"2026-01-03T01:59:59.5+02:00"},"contact-info":"a@b.test","report-id":"x",
        "policies":[{"policy":{"policy-type":"sts","policy-domain":"Example.test"},"summary":
        {"total-successful-session-count":5,"total-failure-session-count":1},"failure-details":
        [{"result-type":"certificate-expired","failed-session-count":1,"extra":[]}]}]}"#;
    let digests = Digest::of_tls(&TlsReport::read(text).unwrap());
    assert_eq!((digests[0].domain.as_str(), digests.len()), ("example.test", 1));
    assert_eq!(
        (rfc3339(digests[0].begin), rfc3339(digests[0].end)),
        ("2026-01-02T00:00:00Z".to_owned(), "2026-01-02T23:59:59Z".to_owned())
    );
    assert_eq!(Digest::decode(&digests[0].encode()).unwrap(), digests[0]);
}
