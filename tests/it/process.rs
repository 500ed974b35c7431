//! The process itself: roles, signals, proxies, the service manager.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tests::message::{message, without_trace};
use tests::office::{Office, PASSWORD, Process, binary};
use tests::smtp::Smtp;
use tests::stream::Stream;
use tests::wait;

/// Free ports, by the environment: the file says fixed ones.
const LISTENERS: [&str; 6] = ["SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "HTTP"];

/// `serve` with these roles on the store of an office.
fn serve(office: &Office, roles: &str) -> Process {
    let mut command = Command::new(binary());
    command.env("POSTROAD_OFFICE__ROLES", roles).env("POSTROAD_OFFICE__EDGE", roles);
    for listener in LISTENERS {
        command.env(format!("POSTROAD_LISTENERS__{listener}__ADDRESS"), "127.0.0.1:0,[::1]:0");
    }
    let config = office.data().join("postroad.toml");
    let arguments = ["serve", "--json", "--config", config.to_str().unwrap()];
    Process::start_by(&mut command, &arguments, &office.log())
}

#[test]
fn roles_split_over_five_processes_work_as_one() {
    let mut office = Office::start();
    assert!(office.process().terminate());
    let mut split = ["smtp", "imap,http", "deliver", "maintain", "replicate"]
        .map(|roles| serve(&office, roles));
    let names = |process: &Process| process.listeners.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&split[0]), ["smtp"]);
    assert_eq!(names(&split[1]), ["http", "imap", "imaps"]);
    assert!(split[2..].iter().all(|process| process.listeners.is_empty()));
    let sent = message("split");
    let mut smtp = Smtp::connect(split[0].listeners["smtp"]).unwrap();
    let reply = smtp.send("ana@sender.test", &["alice@example.test"], &sent).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let imap = split[1].listeners["imap"];
    let mut alice = tests::imap::Imap::login(imap, "alice@example.test", PASSWORD).unwrap();
    wait::until("the message", || (alice.select("INBOX").unwrap() == 1).then_some(()));
    assert_eq!(without_trace(&alice.messages().unwrap()[0].1), Some(sent.as_slice()));
    for process in &mut split {
        assert!(process.terminate(), "each drains by itself");
    }
    office.assert_quiet(&[]);
}

/// A message that is being sent when the process is told to end is finished, and acknowledged only
/// because it is kept; nobody new is let in.
#[test]
fn what_was_begun_is_finished_when_draining() {
    let mut office = Office::start();
    let address = office.listener("smtp");
    let mut idle = office.smtp();
    let mut busy = office.smtp();
    busy.command("MAIL FROM:<ana@sender.test>").unwrap().expect(250).unwrap();
    busy.command("RCPT TO:<bob@example.test>").unwrap().expect(250).unwrap();
    busy.command("DATA").unwrap().expect(354).unwrap();
    busy.stream.send(b"Subject: half\r\n\r\nfirst half").unwrap();
    office.process().signal(Signal::TERM);
    assert_eq!(idle.reply().unwrap().code, 421);
    wait::until("the listener to close", || Stream::connect(address).is_err().then_some(()));
    busy.stream.send(b", second half\r\n.\r\n").unwrap();
    busy.reply().unwrap().expect(250).unwrap();
    assert_eq!(busy.reply().unwrap().code, 421);
    busy.stream.close();
    let process = office.process();
    wait::until("the process to end", || (!process.runs()).then_some(()));
    office.restart();
    let read = office.wait_for("bob", "INBOX", 1);
    assert!(read[0].1.ends_with(b"first half, second half\r\n"));
}

/// An idle session is not left alone with its silence: it is told.
#[test]
fn an_idle_imap_client_is_told_when_draining() {
    let mut office = Office::start();
    let mut imap = office.imap("alice");
    imap.select("INBOX").unwrap();
    let tag = imap.tag();
    imap.stream.send(format!("{tag} IDLE\r\n").as_bytes()).unwrap();
    assert!(imap.response().unwrap().starts_with(b"+"));
    office.process().signal(Signal::TERM);
    let told = String::from_utf8_lossy(&imap.stream.rest().unwrap()).into_owned();
    assert!(told.contains("* BYE"), "{told}");
}

fn certificate(office: &Office) -> String {
    let address = office.listener("imaps");
    let script =
        "import ssl,sys; print(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2]))))";
    let output = Command::new("python3")
        .args(["-c", script, &address.ip().to_string(), &address.port().to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn certificates_are_read_again_and_bad_ones_change_nothing() {
    let mut office = Office::start();
    let other = Office::start();
    let store = |office: &Office| office.data().join("store");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let first = certificate(&office);
    assert_eq!(first, read(&store(&office).join("tls.crt")));
    let mut open = office.imap("alice");
    // A chain without its key: the old pair stays.
    let chain = store(&office).join("tls.crt");
    std::fs::copy(store(&other).join("tls.crt"), &chain).unwrap();
    office.process().signal(Signal::HUP);
    wait::until("the complaint", || {
        read(&office.log()).contains("certificates stay as they were").then_some(())
    });
    assert_eq!(certificate(&office), first);
    std::fs::copy(store(&other).join("tls.key"), store(&office).join("tls.key")).unwrap();
    office.process().signal(Signal::HUP);
    let second = read(&store(&other).join("tls.crt"));
    wait::until("the new certificate", || (certificate(&office) == second).then_some(()));
    // Who was there before noticed nothing.
    open.select("INBOX").unwrap();
    office.assert_quiet(&["certificates stay as they were"]);
}

#[test]
fn a_proxy_of_a_named_network_tells_who_the_client_is() {
    let mut office = Office::start();
    assert!(office.process().terminate());
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let line = "[listeners.smtp]\n";
    assert!(text.contains(line));
    std::fs::write(&config, text.replace(line, &format!("{line}proxies = \"127.0.0.0/8\"\n")))
        .unwrap();
    office.restart();
    let address = office.listener("smtp");
    // PROXY over TCP/IPv4, from 203.0.113.7:1025 to 192.0.2.1:25.
    let header =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x04\x01\x00\x19";
    let mut stream = Stream::connect(address).unwrap();
    stream.send(header).unwrap();
    let mut smtp = Smtp { stream };
    smtp.reply().unwrap().expect(220).unwrap();
    smtp.ehlo().unwrap();
    let sent = message("proxied");
    let reply = smtp.send("ana@sender.test", &["alice@example.test"], &sent).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let read = office.wait_for("alice", "INBOX", 1);
    let head = String::from_utf8_lossy(&read[0].1).into_owned();
    assert!(head.contains("[203.0.113.7]") && !head.contains("[127.0.0.1]"), "{head}");
    // Version 1, and no header at all, get not a word.
    for wrong in ["PROXY TCP4 203.0.113.7 192.0.2.1 1025 25\r\n", "EHLO a.test, and more of it\r\n"]
    {
        let mut stream = Stream::connect(address).unwrap();
        stream.send(wrong.as_bytes()).unwrap();
        assert!(stream.rest().unwrap_or_default().is_empty(), "{wrong}");
    }
    office.assert_quiet(&["connection of a proxy refused"]);
}

#[test]
fn the_service_manager_is_told() {
    let mut office = Office::start();
    assert!(office.process().terminate());
    let path = office.scratch().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let mut command = Command::new(binary());
    command.env("NOTIFY_SOCKET", &path);
    let data = office.data();
    let arguments = ["demo", "--data", data.to_str().unwrap(), "--ports", "os", "--json"];
    let mut process = Process::start_by(&mut command, &arguments, &office.log());
    let said = || {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert_eq!(said(), "READY=1");
    assert!(process.terminate());
    assert_eq!(said(), "STOPPING=1");
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_touched() {
    let office = Office::start();
    let taken = office.listener("imap").to_string();
    let fresh = office.scratch().join("fresh");
    let output = Command::new(binary())
        .args(["demo", "--ports", "os", "--listen", &format!("imap={taken}")])
        .args(["--data", fresh.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("error: cannot listen on") && said.contains(&taken), "{said}");
    assert!(said.contains("hint: another process has this port"), "{said}");
    assert!(!fresh.join("store").exists());
}

/// C1: guessing becomes slow, at every protocol of the process alike, and whom it is
/// guessed at notices nothing, not even from the same address.
#[test]
fn guessing_becomes_slow_and_the_victim_notices_nothing() {
    let mut office = Office::start();
    assert!(office.process().terminate());
    let config = office.data().join("postroad.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("trusted = [\"127.0.0.0/8\", \"::1\"]", "trusted = []");
    let login = "[login]\nfree = 2\ndelay = \"500ms\"\ndelay_max = \"1500ms\"\n";
    std::fs::write(&config, format!("{text}\n{login}")).unwrap();
    office.restart();
    drop(office.imap("alice"));
    let mut smtp = Smtp::connect(office.listener("submission")).unwrap();
    smtp.starttls().unwrap();
    let mut guess = |user: &str| {
        let before = wait::now();
        assert!(smtp.login(user, "guess").is_err());
        before.elapsed().as_millis()
    };
    for _ in 0..3 {
        guess("bob@example.test");
    }
    let (known, unknown) = (guess("bob@example.test"), guess("nobody@example.test"));
    assert!(known >= 500 && unknown >= 1_000, "{known} ms, {unknown} ms");
    // The throttle is one for all protocols: a stranger to IMAP waits, too.
    let before = wait::now();
    drop(office.imap("bob"));
    assert!(before.elapsed().as_millis() >= 1_500, "{:?}", before.elapsed());
    let before = wait::now();
    drop(office.imap("alice"));
    assert!(before.elapsed().as_millis() < 1_000, "{:?}", before.elapsed());
}

/// H3: descriptors run out. Who comes too many is turned away, who is there is served, and nothing
/// that was acknowledged is lost.
#[test]
fn running_out_of_descriptors_loses_nothing() {
    let here = tempfile::tempdir().unwrap();
    let office = Office::start_at(&here.path().join("data"), &["prlimit", "--nofile=260:260"]);
    let mut first = office.smtp();
    let mut imap = office.imap("alice");
    let mut crowd = Vec::new();
    let mut refused = 0;
    for _ in 0..300 {
        let Ok(mut stream) = Stream::connect(office.listener("smtp")) else { continue };
        match stream.line() {
            Ok(Some(line)) if line.starts_with(b"220") => crowd.push(stream),
            _ => refused += 1,
        }
    }
    assert!(refused > 200 && crowd.len() > 10, "{refused} refused, {} let in", crowd.len());
    for number in 0..5 {
        let id = format!("crowded-{number}");
        let reply = first.send("ana@sender.test", &["alice@example.test"], &message(&id)).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
        imap.append("Sent", "", &message(&id)).unwrap().ok().unwrap();
    }
    wait::until("the mail", || (imap.select("INBOX").unwrap() == 5).then_some(()));
    assert_eq!(imap.select("Sent").unwrap(), 5);
    drop(crowd);
    wait::until("room again", || {
        let mut stream = Stream::connect(office.listener("smtp")).ok()?;
        stream.line().ok()??.starts_with(b"220").then_some(())
    });
}
