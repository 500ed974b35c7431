//! Reports between mail servers: those that others send about our domains are kept and summed, and
//! others get theirs, once, about mail in their name and TLS to their servers. Python's own modules
//! write and read them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::message::message;
use tests::office::{Office, PASSWORD};
use tests::sink::{Received, Sink};
use tests::smtp::Smtp;
use tests::wait;
use tests::zones::Zones;

fn python(arguments: &[&str]) -> Vec<u8> {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/report.py");
    let output = Command::new("python3").arg(tool).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn read(office: &Office, received: &Received) -> Value {
    let path: PathBuf = office.scratch().join("report.eml");
    std::fs::write(&path, &received.content).unwrap();
    serde_json::from_slice(&python(&["read", path.to_str().unwrap()])).unwrap()
}

// Issue: DMARC and TLS-RPT reports in (stored, `report` command).
#[test]
fn reports_about_our_domains_are_summed_and_odd_ones_only_delivered() {
    let office = Office::start();
    let mut smtp = office.smtp();
    let mut count = 0;
    let mut send = |content: &[u8]| {
        let reply = smtp.send("noreply@far.test", &["postmaster@example.test"], content).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
        count += 1;
    };
    for kind in ["gzip", "zip", "xml", "tls"] {
        send(&python(&["make", kind, "example.test"]));
    }
    // Twice the same, about somebody else, one that is none, and a bomb (F3).
    send(&python(&["make", "gzip", "example.test"]));
    send(&python(&["make", "gzip", "elsewhere.test"]));
    send(b"Subject: Report Domain: example.test\r\n\r\nhello\r\n");
    send(&python(&["bomb"]));
    let mut sums = Value::Null;
    wait::until("eight reports to be read", || {
        let said = office.admin(&["report", "show", "example.test", "--json"], "");
        sums = serde_json::from_str(&said).unwrap();
        (sums["reports"] == 4 && sums["malformed"] == 2 && sums["foreign"] == 1).then_some(())
    });
    let source = |at: usize| {
        let of = |name: &str| sums["sources"][at][name].as_u64().unwrap();
        let names = ["messages", "passed", "dkim", "spf", "rejected", "reporters"];
        (sums["sources"][at]["source"].as_str().unwrap().to_owned(), names.map(of))
    };
    assert_eq!(source(0), ("192.0.2.1".to_owned(), [30, 30, 30, 30, 0, 3]));
    assert_eq!(source(1), ("198.51.100.7".to_owned(), [9, 0, 0, 0, 0, 3]));
    assert_eq!((&sums["tls"][0]["succeeded"], &sums["tls"][0]["failed"]), (&41.into(), &2.into()));
    assert_eq!(sums["tls"][0]["failures"][0]["kind"], "certificate-expired");
    let listed = office.admin(&["report", "list", "--json"], "");
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 4);
    let people = office.admin(&["report", "show", "example.test"], "");
    assert!(people.contains("198.51.100.7") && people.contains("certificate-expired"), "{people}");
    // Each is in the mailbox all the same.
    office.wait_for("admin", "INBOX", count);
    office.assert_quiet(&[]);
}

/// An office that reports every four seconds, and the zones that it asks.
fn reporting() -> (Zones, Office) {
    let records = "@ MX 10 mx\nmx A 127.1.3.1\n@ TXT \"v=spf1 -all\"\n\
        _dmarc TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@far.test!10m,mailto:x@victim.test\"\n\
        _smtp._tls TXT \"v=TLSRPTv1; rua=mailto:tls@far.test\"\n";
    let victim = "@ MX 10 mx\nmx A 127.1.3.2\n";
    // Above them is nothing, which has to be an answer too.
    let all = [("far.test", records, false), ("victim.test", victim, false), ("test", "", false)];
    let zones = Zones::start(&all);
    let mut office = Office::start();
    assert!(office.process().terminate());
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let relay = "mx = true\nnetworks = [\"127.0.0.0/8\"]\nretry = \"200ms\"\nretry_max = \"1s\"";
    let checked = text.replace("\nmx = false\n", &format!("\n{relay}\n"));
    let checked = checked.replace("\ndmarc = \"off\"\n", "\ndmarc = \"honour\"\n");
    assert_eq!(checked.matches("honour").count(), 1, "{text}");
    let reports = "[reports]\ninterval = \"4s\"\norganisation = \"Example & Co\"";
    std::fs::write(&config, format!("{checked}\n{}\n{reports}\n", zones.configuration())).unwrap();
    office.restart();
    (zones, office)
}

// Issue: DMARC and TLS-RPT reports out.
// RFC 8460 §5.3; RFC 9990 §4, §4.2.
#[test]
fn others_are_told_once_of_mail_in_their_name_and_of_tls_to_their_servers() {
    let (_zones, office) = reporting();
    let far = Sink::bind("127.1.3.1:25".parse().unwrap());
    let victim = Sink::bind("127.1.3.2:25".parse().unwrap());
    let mut smtp = office.smtp();
    let pretended = b"From: Boss <boss@far.test>\r\nSubject: money\r\n\r\nnow\r\n";
    for _ in 0..3 {
        let reply = smtp.send("x@evil.test", &["alice@example.test"], pretended).unwrap();
        assert_eq!(reply.code, 550, "{reply}");
    }
    let own = String::from_utf8(message("hello")).unwrap();
    let own = own.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo");
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    smtp.send("alice@example.test", &["bob@far.test"], own.as_bytes())
        .unwrap()
        .expect(250)
        .unwrap();
    let to = |name: &str| {
        let all = far.received().into_iter();
        all.filter(|one| one.recipients.iter().any(|to| to.contains(name))).collect::<Vec<_>>()
    };
    let (mut rows, mut dmarc) = (0, Vec::new());
    // All in one time, or in two.
    wait::until("reports about all three messages", || {
        dmarc = to("dmarc@far.test").iter().map(|one| read(&office, one)).collect::<Vec<_>>();
        rows = dmarc.iter().map(sum).sum();
        (rows >= 3).then_some(())
    });
    assert_eq!(rows, 3);
    let said = &dmarc[0];
    let subject = said["Subject"].as_str().unwrap();
    assert!(subject.starts_with("Report Domain: far.test Submitter: example.test"), "{subject}");
    assert!(said["From"].as_str().unwrap().contains("<postmaster@example.test>"), "{said}");
    assert_eq!(said["report"]["policy_published"][0]["p"][0], "reject");
    assert_eq!(said["report"]["report_metadata"][0]["org_name"][0], "Example & Co");
    let record = &said["report"]["record"][0];
    let evaluated = &record["row"][0]["policy_evaluated"][0];
    assert_eq!(
        (&evaluated["disposition"][0], &evaluated["spf"][0]),
        (&"reject".into(), &"fail".into())
    );
    assert_eq!(record["identifiers"][0]["header_from"][0], "far.test");
    assert_eq!(record["identifiers"][0]["envelope_from"][0], "evil.test");
    let (begin, end) = {
        let range = &said["report"]["report_metadata"][0]["date_range"][0];
        (range["begin"][0].as_str().unwrap(), range["end"][0].as_str().unwrap())
    };
    assert_eq!(said["file"], format!("example.test!far.test!{begin}!{end}.xml.gz"));
    wait::until("a report of TLS", || (!to("tls@far.test").is_empty()).then_some(()));
    let tls = read(&office, &to("tls@far.test")[0]);
    assert_eq!(
        (&tls["kind"], &tls["TLS-Report-Domain"]),
        (&"multipart/report".into(), &"far.test".into())
    );
    let policy = &tls["report"]["policies"][0];
    assert_eq!(policy["policy"]["policy-type"], "no-policy-found");
    assert_eq!(policy["summary"]["total-failure-session-count"], 1);
    assert_eq!(policy["failure-details"][0]["result-type"], "starttls-not-supported");
    // Signed, without a sender, and nothing about the reports themselves: nobody gets more.
    let all = to("@far.test");
    for one in all.iter().filter(|one| !one.recipients[0].contains("bob")) {
        assert!(one.sender.trim_matches(['<', '>']).is_empty(), "{}", one.sender);
        assert!(String::from_utf8_lossy(&one.content).contains("DKIM-Signature:"));
    }
    wait::until("the queue to be empty", || {
        let said = office.admin(&["queue", "list", "--json"], "");
        serde_json::from_str::<Vec<Value>>(&said).unwrap().is_empty().then_some(())
    });
    assert_eq!(to("tls@far.test").len(), 1);
    assert!(victim.seen().is_empty(), "who did not agree gets none: {:?}", victim.seen());
    office.assert_quiet(&[]);
}

/// Messages that a report tells of.
fn sum(said: &Value) -> u64 {
    let records = said["report"]["record"].as_array().unwrap().iter();
    records.map(|one| one["row"][0]["count"][0].as_str().unwrap().parse::<u64>().unwrap()).sum()
}
