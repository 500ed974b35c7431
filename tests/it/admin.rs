//! Admin commands, while the server runs.

use tests::imap::Imap;
use tests::message::message;
use tests::office::{Office, PASSWORD};

#[test]
fn accounts_and_aliases_are_managed_while_the_server_runs() {
    let office = Office::start();
    office.admin(&["account", "add", "carol@example.test"], "carols-secret-9\n");
    office.admin(
        &["alias", "add", "team@example.test", "alice@example.test", "carol@example.test"],
        "",
    );
    let listed = office.admin(&["account", "list", "--json"], "");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert!(listed.to_string().contains("carol@example.test"), "{listed}");
    let reply =
        office.smtp().send("ana@sender.test", &["team@example.test"], &message("team")).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    office.wait_for("alice", "INBOX", 1);
    let imap = office.listener("imap");
    let mut carol = Imap::login(imap, "carol@example.test", "carols-secret-9").unwrap();
    tests::wait::until("carol's copy", || (carol.select("INBOX").unwrap() == 1).then_some(()));

    office.admin(&["account", "passwd", "carol@example.test"], "another-secret-9\n");
    assert!(Imap::login(imap, "carol@example.test", "carols-secret-9").is_err());
    Imap::login(imap, "carol@example.test", "another-secret-9").unwrap();
    office.admin(&["alias", "remove", "team@example.test"], "");
    office.admin(&["account", "remove", "carol@example.test"], "");
    let mut smtp = office.smtp();
    smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
    for gone in ["team", "carol"] {
        tests::wait::until("the address to be gone", || {
            let reply = smtp.command(&format!("RCPT TO:<{gone}@example.test>")).unwrap();
            (reply.code == 550).then_some(())
        });
    }
}

#[test]
fn domains_are_added_and_removed() {
    let office = Office::start();
    office.admin(&["domain", "add", "Second.Test"], "");
    office.admin(&["account", "add", "dora@second.test"], "doras-secret-9\n");
    let shown = office.admin(&["domain", "show", "second.test", "--json"], "");
    serde_json::from_str::<serde_json::Value>(&shown).unwrap();
    assert!(office.admin(&["domain", "list"], "").contains("second.test"));
    let reply =
        office.smtp().send("ana@sender.test", &["DORA+news@second.test"], &message("d")).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let mut imap =
        Imap::login(office.listener("imap"), "dora@second.test", "doras-secret-9").unwrap();
    tests::wait::until("dora's copy", || (imap.select("INBOX").unwrap() == 1).then_some(()));
}

#[test]
fn mistakes_are_one_clear_line() {
    let office = Office::start();
    for wrong in [
        vec!["account", "show", "nobody@example.test"],
        vec!["account", "add", "x@not-ours.test"],
        vec!["alias", "add", "a@example.test", "nobody@example.test"],
        vec!["domain", "remove", "missing.test"],
        vec!["queue", "show", "zz"],
    ] {
        let output = office.try_admin(&wrong, "long-enough-secret-1\n");
        assert!(!output.status.success(), "{wrong:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with("error: ") && !said.contains("panicked"), "{wrong:?}: {said}");
        assert!(said.trim().lines().count() <= 2, "one line and a hint: {said}");
    }
}

#[test]
fn doctor_and_queue_tell_the_state() {
    let office = Office::start();
    let report = office.admin(&["doctor", "--json"], "");
    serde_json::from_str::<serde_json::Value>(&report).unwrap();
    let queue = office.admin(&["queue", "list", "--json"], "");
    serde_json::from_str::<serde_json::Value>(&queue).unwrap();
}

#[test]
fn a_configuration_with_mistakes_is_told_all_of_them() {
    let office = Office::start();
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("nonsense = 1\n{text}\n[limitz]\nx = 1\n")).unwrap();
    let output = office.try_admin(&["config", "check"], "");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("nonsense") && said.contains("limitz") && said.contains("limits"),
        "{said}"
    );
    std::fs::write(&config, text).unwrap();
    office.admin(&["config", "check"], "");
}

#[test]
fn passwords_are_nowhere_in_the_clear() {
    let mut office = Office::start();
    office.admin(&["account", "add", "eve@example.test"], "canary-secret-4711\n");
    assert!(
        Imap::login(office.listener("imap"), "eve@example.test", "canary-secret-wrong").is_err()
    );
    Imap::login(office.listener("imap"), "eve@example.test", "canary-secret-4711").unwrap();
    assert!(office.process().terminate());
    let mut folders = vec![office.scratch().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            for secret in ["canary-secret", PASSWORD] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{} holds a password", path.display());
            }
        }
    }
}

#[test]
fn health_and_metrics_are_served() {
    let office = Office::start();
    let get = |path: &str| {
        let mut stream = tests::stream::Stream::connect(office.listener("http")).unwrap();
        stream
            .send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        String::from_utf8_lossy(&stream.rest().unwrap()).into_owned()
    };
    assert!(get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(get("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = get("/metrics");
    assert!(metrics.contains("postroad_") && metrics.contains("region=\""), "{metrics}");
    assert!(get("/nothing").starts_with("HTTP/1.1 404"));
}

/// What domains publish is served by HTTPS, and nothing of the operator's.
#[test]
fn policies_are_served_over_https() {
    let mut office = Office::start();
    office.configure(&[("", "[listeners.https]\naddress = \"127.0.0.1:0\"")]);
    let get = |host: &str, path: &str| {
        let mut stream = tests::stream::Stream::connect_tls(office.listener("https")).unwrap();
        let asked = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.send(asked.as_bytes()).unwrap();
        String::from_utf8_lossy(&stream.rest().unwrap()).into_owned()
    };
    let policy = get("mta-sts.example.test", "/.well-known/mta-sts.txt");
    assert!(policy.starts_with("HTTP/1.1 200"), "{policy}");
    assert!(policy.contains("\r\n\r\nversion: STSv1\r\nmode: "), "{policy}");
    let nobody = get("mta-sts.other.test", "/.well-known/mta-sts.txt");
    assert!(nobody.starts_with("HTTP/1.1 404"), "{nobody}");
    assert!(get("mta-sts.example.test", "/metrics").starts_with("HTTP/1.1 404"));
}

/// What has to be published is shown, as the admin guide says.
#[test]
fn dns_records_of_a_domain_are_shown() {
    let office = Office::start();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let guide = std::fs::read_to_string(root.join("docs/admin.md")).unwrap();
    let block = guide.split_once("<!-- domain records -->").unwrap().1;
    let block = block.split("```").nth(1).unwrap();
    let mut shown = String::new();
    for line in block.lines().filter(|line| line.starts_with("postroad ")) {
        let line = line.split(" #").next().unwrap().trim();
        let arguments: Vec<_> = line.split(' ').skip(1).collect();
        shown.push_str(&office.admin(&arguments, ""));
    }
    for part in [
        "example.test. IN MX 10 ",
        "\"v=spf1 mx -all\"",
        "_dmarc.example.test. IN TXT \"v=DMARC1; p=none; ",
        "p=quarantine",
        "_mta-sts.example.test. IN TXT \"v=STSv1; id=",
        "_smtp._tls.example.test. IN TXT \"v=TLSRPTv1; ",
        "_submissions._tcp.example.test. IN SRV 0 1 ",
        "_imaps._tcp.example.test. IN SRV 0 1 ",
    ] {
        assert!(shown.contains(part), "no {part}: {shown}");
    }
    let refused = office.try_admin(&["domain", "set", "example.test", "dmarc", "perhaps"], "");
    assert!(!refused.status.success());
}
