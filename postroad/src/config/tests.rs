//! Golden texts of mistakes, and what the documentation promises.

use super::*;

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    Config::parse(text, "postroad.toml", Path::new("/etc/postroad"), environment)
}

const GOOD: &str = r#"
[office]
hostname = "mail.example.org"
roles = ["smtp", "deliver"]
[store]
directory = "store"
[listeners.smtp]
address = "127.0.0.1:2525"
[limits]
message_size_max = "25MiB"
drain = "5s"
"#;

#[test]
fn a_good_file_is_taken() {
    let config = parse_with(GOOD, &[]).unwrap();
    assert_eq!(config.store.directory, Path::new("/etc/postroad/store"));
    assert_eq!(config.limits.message_size_max, ByteSize(25 << 20));
    assert_eq!(config.limits.drain, Duration::from_secs(5));
    assert!(config.has(Role::Deliver) && !config.has(Role::Imap));
    let listening = config.listening();
    assert_eq!(listening.len(), 1);
    assert_eq!(listening[0].1.tls, net::TlsMode::StartTls);
}

#[test]
fn the_environment_overrides() {
    let config = parse_with(
        GOOD,
        &[
            ("POSTROAD_OFFICE__ROLES", "imap, maintain"),
            ("POSTROAD_LISTENERS__IMAP__ADDRESS", "127.0.0.1:0,[::1]:0"),
            ("POSTROAD_LIMITS__CONNECTIONS_MAX", "7"),
            ("POSTROAD_OFFICE__EDGE", "12"),
            ("POSTROAD_CONFIG", "/elsewhere"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.office.roles, [Role::Imap, Role::Maintain]);
    assert_eq!(config.listening().len(), 2);
    assert_eq!(config.limits.connections_max, 7);
    assert_eq!(config.edge(), "12");
}

/// Golden: what is told is the interface.
fn check(text: &str, environment: &[(&str, &str)], expected: &str) {
    let mistakes = parse_with(text, environment).unwrap_err().to_string();
    assert_eq!(mistakes, expected.trim_matches('\n'), "\n{mistakes}\n");
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    check(
        r#"[ofice]
region = "home"
[office]
hostnam = "mail.example.org"
hostname = "mail.example.org"
roles = ["smtp", "pop3"]
[limits]
message_size_max = 25
drain = "soon"
connections_max = "many"
zzz = true
[listeners.smtp]
address = ["localhost:25", "127.0.0.1:25"]
proxies = ["192.0.2.1/24"]
[listeners.odd]
address = "127.0.0.1:25"
"#,
        &[("POSTROAD_LIMITS__HANDSHAKE", "x"), ("POSTROAD_LIMIT__DRAIN", "5s")],
        r#"
postroad.toml:1: unknown key `ofice`
  fix: did you mean `office`?
postroad.toml:4: unknown key `office.hostnam`
  fix: did you mean `office.hostname`?
postroad.toml:6: `office.roles` cannot be "pop3"
  fix: write a role: smtp, submission, imap, http, deliver, maintain, replicate, relay or bounce
postroad.toml:8: `limits.message_size_max` cannot be 25
  fix: write a size, like "25MiB" (B, KiB, MiB, GiB)
postroad.toml:9: `limits.drain` cannot be "soon"
  fix: write a time, like "30s" (ms, s, m, h, d)
postroad.toml:10: `limits.connections_max` cannot be "many"
  fix: write a whole number
postroad.toml:11: unknown key `limits.zzz`
  fix: remove it; known here: message_size_max, quota, connections_max, connections_per_address_max, connections_per_minute_max, trusted, handshake, content_window, content_min, write_stall, drain
postroad.toml:13: `listeners.smtp.address` cannot be "localhost:25"
  fix: write an address with a port, like "192.0.2.1:25" or "[::]:25"
postroad.toml:14: `listeners.smtp.proxies` cannot be "192.0.2.1/24"
  fix: write a network, like "192.0.2.0/24", "2001:db8::/32" or one address
postroad.toml:15: `listeners.odd` does not say what is spoken there
  fix: add protocol and tls, or use one of the six known names
environment variable POSTROAD_LIMITS__HANDSHAKE: `limits.handshake` cannot be "x"
  fix: write a time, like "30s" (ms, s, m, h, d)
environment variable POSTROAD_LIMIT__DRAIN: unknown key `limit`
  fix: did you mean `limits`?
"#,
    );
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let text = "[office]\nhostname = mail\n";
    let mistakes = parse_with(text, &[]).unwrap_err();
    assert_eq!(mistakes.list[0].origin, Origin::Line(2), "{mistakes}");
    assert!(mistakes.list[0].problem.starts_with("not TOML"), "{mistakes}");
}

#[test]
fn what_contradicts_is_told() {
    check(
        r#"[office]
hostname = "mail.example.org"
region = "Riga!"
[listeners.smtp]
address = "127.0.0.1:25"
[listeners.imap]
address = "127.0.0.1:25"
[login]
iterations = 10
[tls.certificates.a]
chain = "a.pem"
"#,
        &[],
        r#"
postroad.toml:1: the role submission has no listener
  fix: add [listeners.submission] with an address, or list office.roles without submission
postroad.toml:3: `office.region` cannot be "Riga!"
  fix: write 1 to 32 lower-case letters, digits and hyphens
postroad.toml:4: `listeners.smtp` uses 127.0.0.1:25, as `listeners.imap` does
  fix: give each listener its own address or port
postroad.toml:9: `login.iterations` is too small
  fix: write at least 4096
postroad.toml:10: `tls.certificates.a` is not whole
  fix: name both files: chain and key
"#,
    );
}

#[test]
fn the_example_is_a_good_configuration() {
    let environment = [("POSTROAD_OFFICE__HOSTNAME", "mail.example.org")];
    let config = parse_with(&example(), &environment).unwrap();
    assert_eq!(config.listeners.len(), 6);
    // With each default taken in, but for what has none, it is still good.
    let mut sample = false;
    let uncommented: String = example()
        .lines()
        .filter(|line| {
            // Keys of a section that needs a name belong to nothing here.
            if line.trim_start_matches("# ").starts_with('[') {
                sample = line.contains(".NAME");
            }
            !sample
        })
        .filter(|line| !line.ends_with('…') && !line.contains("NAME"))
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
                format!("{key}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let config = parse_with(&uncommented, &environment).unwrap();
    assert_eq!(config.limits.connections_max, 10_000);
}

/// The page cannot drift from the code: `BLESS=1` writes it.
#[test]
fn the_documentation_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == markdown(), "docs/configuration.md is stale: cargo xtask bless");
}

#[test]
fn who_validates_must_be_named() {
    let text = "[dns]\nvalidates = true\nattempts = 0\ntimeout = \"1ms\"\n";
    let told = Config::parse(text, "c", Path::new("/"), std::iter::empty()).unwrap_err();
    let told = told.to_string();
    for part in ["`dns.validates` without `dns.servers`", "`dns.attempts`", "`dns.timeout`"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let text = format!("{GOOD}[dns]\nservers = [\"127.0.0.1:5300\"]\nvalidates = true\n");
    let config = parse_with(&text, &[]).unwrap();
    let resolvers = config.resolvers();
    assert!(resolvers.trust_ad && resolvers.servers == ["127.0.0.1:5300".parse().unwrap()]);
}

#[test]
fn an_authority_needs_somewhere_to_look() {
    let acme = "[acme]\ndirectory = \"http://a.test\"\ncontact = [\"me\"]\nnames = [\"a b\"]\n";
    let roles = GOOD.replace("\"deliver\"]", "\"http\"]\n");
    let told = parse_with(&format!("{roles}{acme}"), &[]).unwrap_err().to_string();
    for part in [
        "`acme.directory` is no https URL",
        "`acme.directory` without a listener",
        "`acme.contact`",
        "`acme.names` has \"a b\"",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let good =
        "[listeners.acme]\naddress = \"127.0.0.1:80\"\n[acme]\ndirectory = \"https://a.test\"\n";
    let config = parse_with(&format!("{roles}{good}"), &[]).unwrap();
    let acme = config.acme().unwrap();
    assert_eq!(acme.names, ["mail.example.org"]);
    assert_eq!(acme.certificate(), Path::new("/etc/postroad/store/acme.pem"));
    assert!(matches!(config.certificates(), net::TlsConfig::Kept { .. }));
}
