//! What the admin guide and the help show is so: each command is run as it stands there, and what
//! follows it there is of the shape of what it says.

use std::path::Path;

use tests::message::message;
use tests::office::{Office, PASSWORD};
use tests::sink::Sink;
use tests::smtp::Smtp;
use tests::wait;
use tests::zones::Zones;

use crate::coverage::{ask, verbs};

/// What stands in for the names in the examples.
struct Names {
    item: String,
    record: String,
    message_id: String,
    /// A key that no longer signs.
    selector: String,
}

/// An office with a message that waits for example.net, and a DNS that does not have all it should.
fn office() -> (Office, Sink, Zones) {
    let sink = Sink::start();
    sink.set_down(true);
    let zones = Zones::start(&[
        (
            "example.org",
            "@ MX 10 mail.example.test.\n@ TXT \"v=spf1 ip4:198.51.100.0/24 -all\"\n",
            false,
        ),
        ("example.test", "mail A 192.0.2.25\n", false),
    ]);
    let mut office = Office::start_sending(&[("example.net", sink.address())]);
    office.configure(&[("", &zones.configuration())]);
    (office, sink, zones)
}

/// Alice sends to example.net and to bob.
fn waiting(office: &Office, id: &str) -> Names {
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    let text = String::from_utf8(message(id)).unwrap();
    let text = text.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo");
    let to = ["zed@example.net", "bob@example.test"];
    let reply = smtp.send("alice@example.test", &to, text.as_bytes()).unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    let field = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap();
    let record = reply.text().rsplit(' ').next().unwrap().to_owned();
    let item = wait::until("a try", || {
        let listed = office.admin(&["queue", "list", "--json"], "");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let items = listed.as_array().unwrap().iter();
        let mut tried = items.filter(|item| item["tries"].as_u64() > Some(0));
        let of_it = tried.find(|item| item["id"].as_str().unwrap().starts_with(&record))?;
        Some(of_it["id"].as_str().unwrap().to_owned())
    });
    Names { item, record, message_id: field.to_owned(), selector: String::new() }
}

/// The words of a command line, as a shell takes them; what is redirected is left out.
fn words(line: &str, names: &Names, config: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap();
    let line = line.split(" < ").next().unwrap().split(" > ").next().unwrap();
    let (mut all, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            (_, c) => word.push(c),
        }
    }
    all.push(word);
    assert_eq!(all[0], "postroad", "{line}");
    let named = |word: String| match word.as_str() {
        "ITEM" => names.item.clone(),
        "RECORD" => names.record.clone(),
        "MESSAGE-ID" => names.message_id.clone(),
        "r202601" if !names.selector.is_empty() => names.selector.clone(),
        "/etc/postroad/postroad.toml" => config.to_owned(),
        _ => word,
    };
    all.into_iter().skip(1).filter(|word| !word.is_empty()).map(named).collect()
}

/// Runs it; what it printed. What looks around may end with 1.
fn run(office: &Office, line: &str, names: &Names) -> String {
    let config = office.data().join("postroad.toml");
    let arguments = words(line, names, config.to_str().unwrap());
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // It is given by whoever runs it, here as there.
    arguments.retain(|word| *word != "--config" && Path::new(word) != config);
    let looks = arguments.contains(&"doctor") || arguments.contains(&"--check");
    let output = wait::until(line, || {
        let output = office.try_admin(&arguments, "long-enough-9\n");
        // An item that is being tried just now is left alone: come again.
        let busy = arguments[0] == "queue" && !output.status.success();
        (!busy).then_some(output)
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || looks && output.status.code() == Some(1), "{line}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first two columns, with what differs each time taken out.
fn shape(line: &str) -> Vec<String> {
    let columns = line.trim_end().split("  ").map(str::trim).filter(|column| !column.is_empty());
    // Numbers, addresses, and how well this machine is.
    let varies = |column: &str| {
        column.contains(|c: char| c.is_ascii_digit() || "@<".contains(c))
            || ["ok", "warning", "failure"].contains(&column.to_lowercase().as_str())
    };
    columns
        .take(2)
        .map(|column| if varies(column) { "*".to_owned() } else { column.to_owned() })
        .collect()
}

#[test]
fn the_guide_s_commands_do_what_the_guide_shows() {
    let (office, _sink, _zones) = office();
    let names = waiting(&office, "guide");
    office.wait_for("bob", "INBOX", 1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let guide = std::fs::read_to_string(root.join("docs/admin.md")).unwrap();
    // Blocks without a language hold commands and what they say.
    let blocks = guide.split("\n```").skip(1).step_by(2).filter(|block| block.starts_with('\n'));
    let (mut commands, mut shown) = (0, 0);
    for block in blocks {
        let mut said = String::new();
        for line in block.lines().filter(|line| !line.is_empty()) {
            if line.starts_with("postroad ") {
                said = run(&office, line, &names);
                commands += 1;
                continue;
            }
            shown += 1;
            let wanted = shape(line);
            let found = said.lines().any(|line| shape(line) == wanted);
            assert!(found, "{line:?}: {wanted:?} is not in\n{said}");
        }
    }
    assert!(commands > 25 && shown > 15, "{commands} {shown}");
}

/// Adding comes first, removing last, from the inside to the outside.
fn order(line: &str) -> usize {
    const LAST: [&str; 5] =
        ["queue remove", "alias remove", "domain keys remove", "account remove", "domain remove"];
    let verb = line.trim_start_matches("postroad ");
    if ["domain add", "account add", "alias add"].iter().any(|add| verb.starts_with(add)) {
        return 0;
    }
    LAST.iter().position(|last| verb.starts_with(last)).map_or(1, |at| at + 2)
}

#[test]
fn the_examples_of_the_help_run() {
    let (office, _sink, _zones) = office();
    let mut names = waiting(&office, "help");
    let mut all = Vec::new();
    verbs(&[], &mut all);
    let mut lines = Vec::new();
    for verb in all {
        let arguments: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
        let help = ask(&arguments);
        let lines_before = lines.len();
        for line in help.lines() {
            let Some((before, command)) = line.split_once("postroad ") else { continue };
            if before.trim().is_empty() || before.ends_with(": ") && !before.starts_with("Usage") {
                lines.push(format!("postroad {command}"));
            }
        }
        assert!(lines.len() > lines_before, "{verb} shows no example");
    }
    // Whole servers are started by all other tests.
    lines.retain(|line| !line.starts_with("postroad demo") && !line.starts_with("postroad serve"));
    lines.sort_by_key(|line| order(line));
    // Who the examples speak of, besides those they make.
    let domain = lines.iter().position(|line| line.starts_with("postroad domain add")).unwrap();
    let first = lines.remove(domain);
    run(&office, &first, &names);
    run(&office, "postroad account add bo@example.org", &names);
    let mut prepared = false;
    for line in &lines {
        if order(line) > 0 && !prepared {
            prepared = true;
            let text = String::from_utf8(message("told")).unwrap();
            let old = text.lines().find(|line| line.starts_with("Message-ID: ")).unwrap();
            let text = text.replace(old, "Message-ID: <1@example.net>");
            let reply = office.smtp().send("x@example.net", &["ana@example.org"], text.as_bytes());
            assert_eq!(reply.unwrap().code, 250);
            wait::until("ana's message", || {
                let lately = office.admin(&["trace", "--account", "ana@example.org"], "");
                lately.contains("delivered").then_some(())
            });
        }
        if line.starts_with("postroad domain keys remove") {
            run(&office, "postroad domain keys rotate example.org --activate", &names);
            let keys = office.admin(&["domain", "keys", "list", "example.org", "--json"], "");
            let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
            let retired = keys.as_array().unwrap().iter().find(|key| key["state"] == "retired");
            names.selector = retired.unwrap()["selector"].as_str().unwrap().to_owned();
        }
        if line.starts_with("postroad domain remove") {
            run(&office, "postroad account remove bo@example.org --force", &names);
        }
        run(&office, line, &names);
    }
}
