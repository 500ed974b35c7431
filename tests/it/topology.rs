//! Where it listens, and processes beside each other: IPv6, certificates from files, roles, and
//! changes that others see at once.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::cluster::Cluster;
use tests::imap::Imap;
use tests::message::{message, without_trace};
use tests::office::{Office, PASSWORD, Process, binary};
use tests::smtp::Smtp;
use tests::stream::Stream;
use tests::wait;

const ALICE: &str = "alice@example.test";

/// Everything that is offered, over IPv6.
#[test]
fn every_listener_works_over_ipv6() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("demo");
    let mut arguments: Vec<String> =
        ["demo", "--password", PASSWORD, "--json", "--data"].map(str::to_owned).to_vec();
    arguments.push(data.display().to_string());
    for name in ["smtp", "submission", "submissions", "imap", "imaps", "http"] {
        arguments.extend(["--listen".to_owned(), format!("{name}=[::1]:0")]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut process = Process::start(&arguments, &here.path().join("log"));
    assert_eq!(process.listeners.len(), 6);
    assert!(process.listeners.values().all(SocketAddr::is_ipv6), "{:?}", process.listeners);
    let at = |name: &str| process.listeners[name];
    let sent = message("six");
    let mut smtp = Smtp::connect(at("smtp")).unwrap();
    smtp.starttls().unwrap();
    smtp.send("ana@sender.test", &[ALICE], &sent).unwrap().expect(250).unwrap();
    for tls in [false, true] {
        let mut smtp = match tls {
            true => Smtp::connect_tls(at("submissions")).unwrap(),
            false => Smtp::connect(at("submission")).unwrap(),
        };
        smtp.login(ALICE, PASSWORD).unwrap();
        smtp.send(ALICE, &[ALICE], b"From: alice@example.test\r\n\r\nx\r\n")
            .unwrap()
            .expect(250)
            .unwrap();
    }
    let mut imap = Imap::connect_tls(at("imaps")).unwrap();
    imap.command(&format!("LOGIN {ALICE} {PASSWORD}")).unwrap().ok().unwrap();
    wait::until("the messages", || (imap.select("INBOX").unwrap() == 3).then_some(()));
    let read = Imap::login(at("imap"), ALICE, PASSWORD)
        .and_then(|mut imap| imap.select("INBOX").and_then(|_| imap.messages()))
        .unwrap();
    let head = String::from_utf8_lossy(&read[0].1).into_owned();
    assert_eq!(without_trace(&read[0].1), Some(sent.as_slice()));
    assert!(head.contains("[IPv6:::1]") && head.contains("with ESMTPS"), "{head}");
    let mut http = Stream::connect(at("http")).unwrap();
    http.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert!(http.rest().unwrap().starts_with(b"HTTP/1.1 200"));
    assert!(process.terminate());
}

/// A certificate for this name, by openssl.
fn make_certificate(folder: &Path, name: &str) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName=DNS:{name}")])
        .arg("-keyout")
        .arg(folder.join(format!("{name}.key")))
        .arg("-out")
        .arg(folder.join(format!("{name}.crt")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The certificate that a client asking for this name is shown.
fn shown(at: SocketAddr, name: &str) -> String {
    let script = "import socket,ssl,sys\n\
        c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE\n\
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
        t = c.wrap_socket(s, server_hostname=sys.argv[3] or None)\n\
        print(ssl.DER_cert_to_PEM_cert(t.getpeercert(True)))";
    let output = Command::new("python3")
        .args(["-c", script, &at.ip().to_string(), &at.port().to_string(), name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Real certificates from files; the name asked for chooses; a renewed one comes with SIGHUP.
#[test]
fn certificates_from_files_are_shown_by_name() {
    let mut office = Office::start();
    let folder = office.scratch().to_path_buf();
    let mut sections = String::new();
    for (number, name) in ["one.test", "two.test"].iter().enumerate() {
        make_certificate(&folder, name);
        let at = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
        sections.push_str(&format!(
            "[tls.certificates.c{number}]\nchain = \"{}\"\nkey = \"{}\"\n\n",
            at("crt"),
            at("key")
        ));
    }
    office.configure(&[("", &sections)]);
    let imaps = office.listener("imaps");
    let read = |name: &str| {
        let file = folder.join(format!("{name}.crt"));
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    };
    for name in ["one.test", "two.test"] {
        assert_eq!(shown(imaps, name), read(name), "{name}");
        assert_eq!(shown(office.listener("submissions"), name), read(name), "{name}");
    }
    assert!(!shown(imaps, "").is_empty(), "who asks for no name is served, too");
    let before = read("two.test");
    make_certificate(&folder, "two.test");
    assert_ne!(read("two.test"), before);
    office.process().signal(rustix::process::Signal::HUP);
    wait::until("the new one", || (shown(imaps, "two.test") == read("two.test")).then_some(()));
    assert_eq!(shown(imaps, "one.test"), read("one.test"));
}

/// A certificate that cannot be used is told before anything is touched.
#[test]
fn a_certificate_without_its_key_is_told_at_the_start() {
    let here = tempfile::tempdir().unwrap();
    for name in ["one.test", "two.test"] {
        make_certificate(here.path(), name);
    }
    let config = here.path().join("postroad.toml");
    let text = "[office]\nroles = [\"imap\"]\n[store]\ndirectory = \"store\"\n[listeners.imaps]\naddress = \"127.0.0.1:0\"\n\
        [tls.certificates.x]\nchain = \"one.test.crt\"\nkey = \"two.test.key\"\n";
    std::fs::write(&config, text).unwrap();
    let output = Command::new(binary())
        .args(["serve", "--config", config.to_str().unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("error: ") && said.contains("two.test.key"), "{said}");
}

fn login(cluster: &Cluster, process: &str) -> Imap {
    Imap::login(cluster.listener(process, "imap"), ALICE, PASSWORD).unwrap()
}

/// Two edges and the functions, in three processes on one store: what one does the other shows at
/// once, to who asks and to who waits.
#[test]
fn processes_see_each_others_changes_at_once() {
    let edge = "smtp submission imap http";
    let cluster =
        Cluster::start(&[("one", edge), ("two", edge), ("work", "deliver maintain replicate")]);
    let (mut here, mut there) = (login(&cluster, "one"), login(&cluster, "two"));
    // Asking: what was acknowledged there is there when asked for here.
    for number in 1..=20 {
        here.append("INBOX", "", &message(&format!("m{number}"))).unwrap().ok().unwrap();
        assert_eq!(there.select("INBOX").unwrap(), number);
        let (from, to) = (if number % 2 == 0 { "two" } else { "one" }, format!("box{number}"));
        login(&cluster, from).command(&format!("CREATE {to}")).unwrap().ok().unwrap();
        here.command(&format!("STATUS {to} (MESSAGES)")).unwrap().ok().unwrap();
        there.command(&format!("STATUS {to} (MESSAGES)")).unwrap().ok().unwrap();
    }
    here.select("INBOX").unwrap();
    here.command("STORE 3 +FLAGS.SILENT (\\Deleted)").unwrap().ok().unwrap();
    let told = there.command("NOOP").unwrap().ok().unwrap();
    assert!(told.line_with("3 FETCH").is_some_and(|line| line.contains("\\Deleted")), "{told:?}");
    // Waiting: IDLE is told of what comes at the other edge, by SMTP, too.
    let tag = there.tag();
    there.stream.send(format!("{tag} IDLE\r\n").as_bytes()).unwrap();
    assert!(there.response().unwrap().starts_with(b"+"));
    here.command("EXPUNGE").unwrap().ok().unwrap();
    let mut until = |part: &str| {
        while !String::from_utf8_lossy(&there.response().unwrap()).contains(part) {}
    };
    until("3 EXPUNGE");
    let mut smtp = Smtp::connect(cluster.listener("one", "smtp")).unwrap();
    smtp.send("ana@sender.test", &[ALICE], &message("last")).unwrap().expect(250).unwrap();
    until("20 EXISTS");
    // The directory: at both, whoever changes it.
    cluster.admin("one", &["alias", "add", "new@example.test", ALICE], "");
    for edge in ["one", "two"] {
        let mut smtp = Smtp::connect(cluster.listener(edge, "smtp")).unwrap();
        smtp.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
        smtp.command("RCPT TO:<new@example.test>").unwrap().expect(250).unwrap();
    }
    cluster.admin("two", &["account", "passwd", ALICE], "another-secret-9\n");
    for edge in ["one", "two"] {
        let at = cluster.listener(edge, "imap");
        Imap::login(at, ALICE, "another-secret-9").unwrap();
        assert!(Imap::login(at, ALICE, PASSWORD).is_err(), "{edge}: the old password");
    }
}

/// Each role alone opens what is its own and nothing else.
#[test]
fn each_role_runs_alone() {
    let mut office = Office::start();
    assert!(office.process().terminate());
    let config = office.data().join("postroad.toml");
    for (role, listeners) in [
        ("smtp", &["smtp"][..]),
        ("submission", &["submission", "submissions"]),
        ("imap", &["imap", "imaps"]),
        ("http", &["http"]),
        ("deliver", &[]),
        ("maintain", &[]),
        ("replicate", &[]),
    ] {
        let mut command = Command::new(binary());
        command.env("POSTROAD_OFFICE__ROLES", role);
        for name in ["SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "HTTP"] {
            command.env(format!("POSTROAD_LISTENERS__{name}__ADDRESS"), "127.0.0.1:0");
        }
        let arguments = ["serve", "--json", "--config", config.to_str().unwrap()];
        let mut process = Process::start_by(&mut command, &arguments, &office.log());
        let names: Vec<&String> = process.listeners.keys().collect();
        assert_eq!(names, listeners, "{role}");
        assert!(process.terminate(), "{role}");
    }
    for wrong in ["smpt", ""] {
        let output = Command::new(binary())
            .args(["serve", "--config", config.to_str().unwrap()])
            .env("POSTROAD_OFFICE__ROLES", wrong)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("error: "), "{wrong}: {said}");
        assert!(wrong.is_empty() || said.contains("smtp"), "the nearest: {said}");
    }
}

/// A terminal is told in words.
#[test]
fn events_are_words_on_a_terminal() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("demo");
    let command = format!(
        "{} demo --data {} --ports os --password {PASSWORD} --json & \
         pid=$!; while ! grep -q 'postroad::[s]erve' {log}; do sleep 0.05; done; kill -TERM $pid; wait $pid",
        binary().display(),
        data.display(),
        log = here.path().join("typescript").display(),
    );
    let output = Command::new("timeout")
        .args(["60", "script", "-qefc", &command])
        .arg(here.path().join("typescript"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = std::fs::read_to_string(here.path().join("typescript")).unwrap();
    assert!(output.status.success(), "{output:?}: {said}");
    let line = said.lines().find(|line| line.contains("postroad::serve")).unwrap();
    assert!(line.contains("INFO") && !line.trim_start().starts_with('{'), "{said}");
}
