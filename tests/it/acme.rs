//! Certificates from an authority that speaks ACME: Debian's pebble.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tests::certificate::Authority;
use tests::office::Process;
use tests::wait;
use tests::zones::Zones;

/// A running authority; killed on drop.
struct Pebble {
    dir: TempDir,
    child: Child,
    directory: String,
}

impl Pebble {
    /// It looks at port `http` of each name, which it finds by `dns`.
    fn start(authority: &Authority, http: u16, dns: SocketAddr) -> Self {
        let dir = tempfile::Builder::new().prefix("pebble-").tempdir().unwrap();
        let certificate = authority.issue("acme.authority.test");
        let (port, management) = (free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": certificate.chain,
            "privateKey": certificate.key,
            "httpPort": http,
            "tlsPort": 1,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let path = dir.path().join("pebble.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("pebble")
            .arg("-config")
            .arg(&path)
            .args(["-dnsserver", &dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            // A nonce is refused now and then, as the RFC allows: it must be tried again.
            .env("PEBBLE_WFE_NONCEREJECT", "5")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait::until("pebble to listen", || TcpStream::connect(address).ok());
        let directory = format!("https://acme.authority.test:{port}/dir");
        Self { dir, child, directory }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Issuer of the certificate that a listener shows.
fn issuer(to: SocketAddr) -> String {
    let script = "openssl s_client -connect \"$1\" -servername mx.office.test </dev/null 2>/dev/null \
                  | openssl x509 -noout -issuer -subject -ext subjectAltName";
    let output = Command::new("sh").args(["-c", script, "sh", &to.to_string()]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Status line and body of a GET.
fn get(to: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(to).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: mx.office.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    reader.read_line(&mut head).unwrap();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    format!("{head}{rest}")
}

#[test]
fn a_certificate_is_got_and_used_without_a_restart() {
    let authority = Authority::new();
    let zones = Zones::start(&[
        ("office.test", "mx A 127.0.0.1\nmail A 127.0.0.1\n", false),
        ("authority.test", "acme A 127.0.0.1\n", false),
    ]);
    let http = free_port();
    let pebble = Pebble::start(&authority, http, zones.address());
    let dir = tempfile::Builder::new().prefix("office-").tempdir().unwrap();
    let (config, log) = (dir.path().join("postroad.toml"), dir.path().join("log"));
    let text = format!(
        "[office]\nhostname = \"mx.office.test\"\nroles = [\"imap\", \"http\"]\n\n\
         [store]\ndirectory = \"store\"\n\n\
         [acme]\ndirectory = \"{}\"\ncontact = [\"mailto:postmaster@office.test\"]\n\
         names = [\"mx.office.test\", \"mail.office.test\"]\nauthorities = \"{}\"\n\n\
         [listeners.imaps]\naddress = \"127.0.0.1:0\"\n\n\
         [listeners.acme]\naddress = \"127.0.0.1:{http}\"\n\n{}\n",
        pebble.directory,
        authority.pem().display(),
        zones.configuration()
    );
    std::fs::write(&config, text).unwrap();
    let start = || Process::start(&["serve", "--json", "--config", config.to_str().unwrap()], &log);
    let mut office = start();
    let imaps = office.listeners["imaps"];
    let shown = wait::until("a certificate of pebble's", || {
        let shown = issuer(imaps);
        shown.contains("Pebble Intermediate").then_some(shown)
    });
    for name in ["DNS:mail.office.test", "DNS:mx.office.test"] {
        assert!(shown.contains(name), "{shown}\n{}", pebble.log());
    }
    // F5: nothing but what is asked for just now, and nothing of the operator's.
    let listener = |name: &str| office.listeners[name];
    let world = listener("acme");
    assert_eq!(world.port(), http);
    for path in [
        "/.well-known/acme-challenge/x",
        "/.well-known/acme-challenge/../../acme.pem",
        "/.well-known/acme-challenge/..%2facme.pem",
        "/metrics",
        "/",
    ] {
        let answer = get(world, path);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    // doctor compares clocks with the authority's, and knows the certificate.
    let doctor = Command::new(tests::office::binary())
        .args(["doctor", "--json", "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let check = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["found"].to_string()
    };
    assert!(check("time").contains("s of acme.authority.test"), "{report:#}");
    assert!(check("certificates").contains("acme.pem is valid for"), "{report:#}");
    // The account and the certificate are kept: a new process asks for nothing.
    let orders = |log: &str| log.matches("POST /order-plz").count();
    let before = orders(&pebble.log());
    assert!(before >= 1, "{}", pebble.log());
    office.kill();
    let office = start();
    let shown = issuer(office.listeners["imaps"]);
    assert!(shown.contains("Pebble Intermediate"), "{shown}");
    assert_eq!(orders(&pebble.log()), before);
    let names = walk(dir.path()).into_iter();
    let kept: Vec<_> = names.filter(|name| name.starts_with("acme")).collect();
    assert_eq!(kept, ["acme-account.json", "acme.lock", "acme.pem"]);
}

/// Names of the files in a folder and below.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut names = vec![];
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            names.extend(walk(&entry.path()));
        } else {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    names
}
