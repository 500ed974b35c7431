//! All that the demo says, in one place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::serve::Started;

/// The configuration that the demo writes: an ordinary one.
pub(super) fn config(listeners: &[(&str, SocketAddr)]) -> String {
    let mut text = String::from(
        r#"# Written by `postroad demo`; yours to change. `postroad config example` explains every key.

[office]
hostname = "mail.example.test"

[store]
directory = "store"

[tls]
# A self-signed certificate for these is made at the first start.
names = ["localhost", "mail.example.test", "127.0.0.1", "::1"]

[limits]
# Programs on this machine may connect as often as they like.
trusted = ["127.0.0.0/8", "::1"]

[policy]
# No question about mail leaves this machine. Without these lines all of it is checked.
spf = "off"
dkim = false
dmarc = "off"
arc = false
reverse = false

[timing]
# So that a try is quick.
sweep = "10s"

[relay]
# Nothing leaves this machine but to domains with a route (--route, or [routes."DOMAIN"]).
mx = false
spf = false
poll = "2s"
"#,
    );
    for (name, address) in listeners {
        text.push_str(&format!("\n[listeners.{name}]\naddress = \"{address}\"\n"));
    }
    text
}

/// Routes as the configuration has them.
pub(super) fn routes(routes: &BTreeMap<String, String>) -> String {
    let sections = routes.iter().map(|(domain, host)| {
        let [domain, host] = [domain, host].map(|text| toml::Value::String(text.clone()));
        format!("\n[routes.{domain}]\nhosts = [{host}]\n")
    });
    sections.collect()
}

/// The passwords that were made up.
pub(super) fn passwords(made: &[(String, String)]) -> String {
    let mut text = String::from("\nPasswords, shown this once (set others with --password):\n");
    for (address, password) in made {
        text.push_str(&format!("  {address:22} {password}\n"));
    }
    text
}

/// The table of addresses and how to use them.
pub(super) fn welcome(started: &Started, data: &Path) -> String {
    let about = [
        ("smtp", "mail from other servers (port 25 elsewhere), STARTTLS"),
        ("submission", "sending mail, STARTTLS"),
        ("submissions", "sending mail, TLS"),
        ("imap", "reading mail, STARTTLS"),
        ("imaps", "reading mail, TLS"),
        ("http", "/healthz /readyz /metrics"),
    ];
    let mut text = String::from("\nPostroad runs an office for example.test on this machine.\n\n");
    for (name, about) in about {
        for address in started.listeners.get(name).into_iter().flatten() {
            text.push_str(&format!("  {name:12} {:22} {about}\n", address.to_string()));
        }
    }
    let config = data.join("postroad.toml");
    let config = config.display();
    text.push_str(&format!(
        "\n\
        Accounts: admin@example.test, alice@example.test, bob@example.test\n\
        \n\
        In a mail program: user name is the whole address; incoming IMAP and outgoing SMTP as\n\
        above, on this machine; accept the self-signed certificate. From a shell:\n\
        \n  \
        curl -k --url imaps://{} --user alice@example.test\n\
        \n\
        Settings: {config}\n\
        Commands: postroad account list --config {config}\n\
        Ctrl-C ends it; what was acknowledged is kept.\n",
        started
            .listeners
            .get("imaps")
            .and_then(|all| all.first())
            .map_or_else(|| "127.0.0.1".to_owned(), ToString::to_string),
    ));
    text
}
