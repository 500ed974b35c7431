//! All that a running server says it can do has a black-box test: commands, extensions, listeners,
//! classes of refusals, verbs of the command line. What is said and tested nowhere turns this red.
//!
//! A command, a listener, a class and a verb are tested where a test says them. An extension is a
//! behaviour: the test of it says so above itself, `// Covers: EHLO SIZE, CAPABILITY IDLE`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tests::imap::Imap;
use tests::office::{Office, PASSWORD, binary};
use tests::smtp::Smtp;

const MARK: &str = "// Covers: ";

/// Commands of IMAP and its extensions (IANA's registries, and RFC 3501), whether we know them or
/// not.
const IMAP_COMMANDS: &str = "CAPABILITY NOOP LOGOUT STARTTLS AUTHENTICATE LOGIN ENABLE SELECT \
    EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LIST LSUB NAMESPACE STATUS APPEND IDLE CHECK \
    CLOSE UNSELECT EXPUNGE SEARCH FETCH STORE COPY MOVE ID GETQUOTA GETQUOTAROOT SETQUOTA GETACL \
    SETACL DELETEACL LISTRIGHTS MYRIGHTS SORT THREAD COMPRESS NOTIFY GETMETADATA SETMETADATA \
    GENURLAUTH RESETKEY URLFETCH CONVERT CONVERSIONS LANGUAGE COMPARATOR UNAUTHENTICATE REPLACE \
    ESEARCH CANCELUPDATE UIDBATCHES JMAPACCESS XLIST";

/// Those that are said with UID before them.
const UID_COMMANDS: &str = "SEARCH FETCH STORE COPY MOVE EXPUNGE SORT THREAD REPLACE BATCHES";

/// The tests, and what they talk through.
struct Sources {
    /// Name and text of each file.
    files: Vec<(String, String)>,
}

impl Sources {
    fn read() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        for folder in ["it", "src"] {
            for entry in std::fs::read_dir(here.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if name.ends_with(".rs") && name != "coverage.rs" {
                    files
                        .push((format!("{folder}/{name}"), std::fs::read_to_string(path).unwrap()));
                }
            }
        }
        Self { files }
    }

    /// Whether a literal begins with the command, or a line in a literal does.
    fn say(&self, command: &str) -> bool {
        let begins = |before: &str| {
            ["\"", "\\n", "\\r\\n", "\"a ", "{tag} ", "\\na "]
                .iter()
                .any(|end| before.ends_with(end))
        };
        let ends =
            |after: &str| [" ", "\"", "\\r", ":", "{"].iter().any(|end| after.starts_with(end));
        self.files.iter().any(|(_, text)| {
            text.match_indices(command)
                .any(|(at, _)| begins(&text[..at]) && ends(&text[at + command.len()..]))
        })
    }

    /// Whether these words stand as literals behind one another, as in the arguments of a command.
    fn run(&self, verb: &str) -> bool {
        let words: Vec<String> = verb.split(' ').map(|word| format!("\"{word}\"")).collect();
        let listed = words.join(", ");
        self.files.iter().any(|(_, text)| text.contains(&listed))
    }

    /// What the tests say of themselves that they cover. A mark stands above a test.
    fn marks(&self) -> BTreeSet<String> {
        let mut marks = BTreeSet::new();
        for (name, text) in &self.files {
            let lines: Vec<&str> = text.lines().collect();
            for (at, line) in lines.iter().enumerate() {
                let Some(what) = line.strip_prefix(MARK) else { continue };
                let next = lines[at..].iter().find(|line| !line.starts_with("//"));
                assert_eq!(next, Some(&"#[test]"), "{name}:{}: a mark without a test", at + 1);
                marks.extend(what.trim_end_matches('.').split(", ").map(str::to_owned));
            }
        }
        marks
    }
}

#[track_caller]
fn none_is_missing(what: &str, missing: &[String]) {
    assert!(missing.is_empty(), "no black-box test of {what}: {}", missing.join(", "));
}

/// The keywords that EHLO tells, each mechanism of AUTH a keyword of its own.
fn keywords(smtp: &mut Smtp) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in smtp.ehlo().unwrap() {
        let mut words = line.split(' ');
        let keyword = words.next().unwrap();
        found.insert(format!("EHLO {keyword}"));
        if keyword == "AUTH" {
            found.extend(words.map(|mechanism| format!("EHLO AUTH={mechanism}")));
        }
    }
    found
}

/// All that the listeners for mail tell of themselves, before and under TLS, before and after the
/// login.
fn extensions(office: &Office) -> BTreeSet<String> {
    let mut found = keywords(&mut office.smtp());
    for name in ["smtp", "submission"] {
        let mut smtp = Smtp::connect(office.listener(name)).unwrap();
        found.extend(keywords(&mut smtp));
        smtp.command("STARTTLS").unwrap().expect(220).unwrap();
        smtp.stream.start_tls().unwrap();
        found.extend(keywords(&mut smtp));
    }
    found.extend(keywords(&mut Smtp::connect_tls(office.listener("submissions")).unwrap()));
    let mut tell = |imap: &mut Imap| {
        let answer = imap.command("CAPABILITY").unwrap().ok().unwrap();
        let line = answer.line_with("CAPABILITY").unwrap();
        for name in line.split(' ').skip_while(|word| *word != "CAPABILITY").skip(1) {
            // The limit's value is not part of its name.
            let name = if name.starts_with("APPENDLIMIT=") { "APPENDLIMIT" } else { name };
            found.insert(format!("CAPABILITY {name}"));
        }
    };
    tell(&mut Imap::connect(office.listener("imap")).unwrap());
    let mut imap = Imap::connect_tls(office.listener("imaps")).unwrap();
    tell(&mut imap);
    imap.command(&format!("LOGIN alice@example.test {PASSWORD}")).unwrap().ok().unwrap();
    tell(&mut imap);
    found
}

#[test]
fn each_extension_that_is_told_has_a_test_and_an_rfc() {
    let told = extensions(&Office::start());
    assert!(told.len() > 40, "{told:?}");
    let marks = Sources::read().marks();
    let missing: Vec<String> = told.difference(&marks).cloned().collect();
    none_is_missing("extensions", &missing);
    // And nothing is said to be covered that nobody offers; who comes from elsewhere in the clear is
    // told LOGINDISABLED, and all here come from loopback.
    let gone = marks.difference(&told).filter(|name| *name != "CAPABILITY LOGINDISABLED");
    let gone: Vec<&String> = gone.collect();
    assert!(gone.is_empty(), "covered, and not offered: {gone:?}");
    let rfcs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rfc.md");
    let rfcs = std::fs::read_to_string(rfcs).unwrap();
    let named: BTreeSet<&str> = rfcs
        .lines()
        .filter(|line| line.starts_with("### RFC "))
        .filter_map(|line| line.split('`').nth(1))
        .flat_map(|names| names.split(' '))
        .collect();
    let without: Vec<&String> = told
        .iter()
        // LOGIN is in no RFC.
        .filter(|name| !name.ends_with("AUTH=LOGIN"))
        .filter(|name| !named.contains(name.split(' ').nth(1).unwrap()))
        .collect();
    assert!(without.is_empty(), "docs/rfc.md tells no RFC of {without:?}");
}

#[test]
fn each_smtp_command_has_a_test() {
    let office = Office::start();
    let sources = Sources::read();
    let mut commands = BTreeSet::new();
    for listener in ["smtp", "submission"] {
        let mut smtp = Smtp::connect(office.listener(listener)).unwrap();
        let help = smtp.command("HELP").unwrap().expect(214).unwrap().text();
        let words = help.split(' ').filter(|word| word.chars().all(char::is_uppercase));
        commands.extend(words.map(str::to_owned));
    }
    assert!(commands.len() >= 12 && commands.contains("BDAT"), "{commands:?}");
    let missing: Vec<_> = commands.into_iter().filter(|one| !sources.say(one)).collect();
    none_is_missing("commands", &missing);
}

#[test]
fn each_imap_command_has_a_test() {
    let office = Office::start();
    let sources = Sources::read();
    let uid = UID_COMMANDS.split(' ').map(|word| format!("UID {word}"));
    let all = IMAP_COMMANDS.split_whitespace().map(str::to_owned).chain(uid);
    let mut known = 0;
    let mut missing = Vec::new();
    for command in all {
        // Wrong arguments: known or not, it is BAD; only the words tell.
        let mut imap = office.imap("alice");
        let answer = imap.command(&format!("{command} (")).unwrap();
        assert_eq!(answer.status, "BAD", "{command} (");
        if answer.text.contains("unknown command") {
            continue;
        }
        known += 1;
        if !sources.say(&command) {
            missing.push(command);
        }
    }
    assert!(known > 35, "{known}");
    none_is_missing("commands", &missing);
}

pub(crate) fn ask(arguments: &[&str]) -> String {
    let output = Command::new(binary()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The verbs below these words, as their help tells them.
pub(crate) fn verbs(words: &[&str], found: &mut Vec<String>) {
    let help = ask(&[words, &["--help"]].concat());
    let below: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    if below.is_empty() {
        found.push(words.join(" "));
    }
    for verb in below {
        verbs(&[words, &[verb]].concat(), found);
    }
}

#[test]
fn each_verb_of_the_command_line_has_a_test() {
    let mut found = Vec::new();
    verbs(&[], &mut found);
    assert!(found.len() > 25 && found.contains(&"queue list".to_owned()), "{found:?}");
    let sources = Sources::read();
    let missing: Vec<_> = found.into_iter().filter(|verb| !sources.run(verb)).collect();
    none_is_missing("verbs", &missing);
}

#[test]
fn each_listener_has_a_test() {
    let told = ask(&["config", "document"]);
    let (_, names) = told.split_once("The names `").unwrap();
    let (names, _) = names.split_once(" imply ").unwrap();
    let names: Vec<&str> =
        names.split('`').filter(|name| name.chars().all(char::is_lowercase)).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    assert!(names.len() >= 8 && names.contains(&"submissions"), "{names:?}");
    let sources = Sources::read();
    let uses = |name: &str| {
        let asked = format!("listener(\"{name}\")");
        sources.files.iter().any(|(_, text)| text.contains(&asked))
    };
    let missing: Vec<_> = names.into_iter().filter(|name| !uses(name)).map(str::to_owned).collect();
    none_is_missing("listeners", &missing);
}

#[test]
fn each_class_of_refusal_has_a_test() {
    let told = Office::start().admin(&["refusals", "list", "--json"], "");
    let rules: serde_json::Value = serde_json::from_str(&told).unwrap();
    let classes: BTreeSet<&str> =
        rules.as_array().unwrap().iter().filter_map(|rule| rule["class"].as_str()).collect();
    assert!(classes.len() >= 8, "{classes:?}");
    let sources = Sources::read();
    let (_, table) = sources.files.iter().find(|(name, _)| name == "it/refusals.rs").unwrap();
    let missing: Vec<_> = classes
        .into_iter()
        .filter(|class| !table.contains(&format!("\n        \"{class}\",\n")))
        .map(str::to_owned)
        .collect();
    none_is_missing("classes", &missing);
}
