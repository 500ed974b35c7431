//! What a refusal leads to, by its class, by where in the dialogue it comes, and by its code: which of
//! our addresses is next, when, how often, and what the sender is told (docs/refusals.md).

use std::time::Duration;

use tests::message::message;
use tests::office::{Office, PASSWORD};
use tests::sink::{At, Rule, Seen, Sink};
use tests::smtp::Smtp;
use tests::wait;
use tests::zones::Zones;

/// Our addresses, in their order: the first two are in one network.
const EGRESSES: [(&str, &str, &str); 3] =
    [("a", "127.0.0.11", "one"), ("b", "127.0.0.12", "one"), ("c", "127.0.0.13", "two")];

/// Wait before a second try, where one is waited for; with its jitter at least [`SOON`].
const RETRY: &str = "2s";

/// What comes sooner was not waited for.
const SOON: Duration = Duration::from_millis(1_450);

/// Wait before a second try, where none is waited for: what is waited for does not come in time.
const NEVER: &str = "1h";

/// By then everything has arrived that ever will, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is refused.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    /// Everybody, always.
    All,
    /// Whoever comes first, once.
    First,
    /// The first egress only, always.
    A,
}

use Who::{A, All, First};

/// What becomes of the message.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Delivered,
    /// The sender has the words.
    Bounced,
}

use End::{Bounced, Delivered};

/// A way that refusals go: (who is refused, egresses in the order of their tries, whether each try
/// but the first comes at once, the end).
type Way = (Who, &'static str, bool, End);

/// (class, words of a 5xx, its way, words of a 4xx, its way).
const CLASSES: [(&str, &str, Way, &str, Way); 9] = [
    (
        "egress",
        "554 5.7.1 Service unavailable; Client host [127.0.0.11] blocked using zen.spamhaus.org",
        (A, "ab", true, Delivered),
        "450 4.7.1 Service unavailable; Client host [127.0.0.11] blocked using zen.spamhaus.org",
        (A, "ab", true, Delivered),
    ),
    (
        "sender",
        "550 5.7.1 Email rejected per DMARC policy for example.test",
        (All, "a", true, Bounced),
        "450 4.1.8 <alice@example.test>: Sender address rejected: Domain not found",
        (First, "aa", false, Delivered),
    ),
    (
        "rate",
        "550 5.1.0 <alice@example.test> sender rejected. AUP#In-1310",
        (A, "ab", false, Delivered),
        "450 4.7.28 Mail flood detected",
        (A, "ab", false, Delivered),
    ),
    (
        "greylist",
        "550 5.7.1 Greylisting in action, please come back later",
        (First, "aa", false, Delivered),
        "450 4.2.0 Recipient address rejected: Greylisted, please try again",
        (First, "aa", false, Delivered),
    ),
    (
        "content",
        "554 5.7.1 Spam message rejected",
        (All, "a", true, Bounced),
        "451 4.7.1 Spam message rejected",
        (First, "aa", false, Delivered),
    ),
    (
        "mailbox",
        "550 5.1.1 <x@y.test>: Recipient address rejected: User unknown in virtual mailbox table",
        (All, "a", true, Bounced),
        "452 4.2.2 <x@y.test>: user is over quota",
        (First, "aa", false, Delivered),
    ),
    (
        "system",
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; \
         Error: open resolver; https://www.spamhaus.org/returnc/pub/192.0.2.53",
        (First, "aa", false, Delivered),
        "451 4.3.0 Temporary system problem. Try again later",
        (First, "aa", false, Delivered),
    ),
    (
        "relay",
        "554 5.7.1 <x@y.test>: Relay access denied",
        (All, "a", true, Bounced),
        "454 4.7.1 <x@y.test>: Relay access denied",
        (First, "aa", false, Delivered),
    ),
    (
        "unknown",
        "550 5.7.1 Message refused",
        (All, "ac", true, Bounced),
        "450 4.7.1 Message refused",
        (First, "aa", false, Delivered),
    ),
];

/// Where in the dialogue.
const STAGES: [(&str, At); 4] =
    [("greeting", At::Greeting), ("mail", At::Sender), ("rcpt", At::Recipient), ("end", At::End)];

struct Row {
    domain: String,
    stage: At,
    words: String,
    way: Way,
    sink: Sink,
}

impl Row {
    fn new(name: &str, stage: At, rules: Vec<Rule>, words: &str, way: Way) -> Self {
        let sink = Sink::start();
        sink.set(rules);
        Self { domain: format!("{name}.test"), stage, words: words.to_owned(), way, sink }
    }

    fn recipient(&self) -> String {
        format!("x@{}", self.domain)
    }

    fn tries(&self) -> Vec<Seen> {
        self.sink.seen().into_iter().filter(|seen| seen.step == self.stage).collect()
    }
}

fn refusal(who: Who, stage: At, words: &str) -> Rule {
    let rule = Rule::say(stage, words);
    match who {
        All => rule,
        First => rule.times(1),
        A => rule.client(EGRESSES[0].1),
    }
}

/// Every class at every stage with either code, and what is not of that pattern.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (class, permanent, way5, temporary, way4) in CLASSES {
        for (stage, at) in STAGES {
            for (code, words, way) in [(5, permanent, way5), (4, temporary, way4)] {
                let name = format!("{class}-{stage}-{code}");
                rows.push(Row::new(&name, at, vec![refusal(way.0, at, words)], words, way));
            }
        }
    }
    let rcpt = At::Recipient;
    // A network that is refused is left, not only the address.
    let words = "550 SC-001 (X) Unfortunately, messages from 127.0.0.11 weren't sent.";
    let rule = refusal(A, rcpt, words);
    rows.push(Row::new("network", rcpt, vec![rule], words, (A, "ac", true, Delivered)));
    // The same refusal from two networks: it is not the address.
    let words = CLASSES[0].1;
    let rule = refusal(All, rcpt, words);
    rows.push(Row::new("listed-everywhere", rcpt, vec![rule], words, (All, "abc", true, Bounced)));
    // Who waits for a greylist and is blocked meanwhile goes on through another address.
    let rules = vec![refusal(First, rcpt, CLASSES[3].3), refusal(A, rcpt, words)];
    rows.push(Row::new("grey-then-listed", rcpt, rules, words, (A, "aab", false, Delivered)));
    // Nobody knows these words.
    let words = "550 xyzzy plugh";
    let rule = refusal(All, rcpt, words);
    rows.push(Row::new("unmatched", rcpt, vec![rule], words, (All, "ac", true, Bounced)));
    rows
}

/// A rule of the admin's own, before the shipped ones: nobody greylists with a 5xx, but some do.
const OWN: &str = r#"[[rule]]
id = "odd-partner"
pattern = '^550 5\.7\.1 Greylisting in action'
class = "greylist"
scope = "ip"
hold = "3s"
sample = "550 5.7.1 Greylisting in action, please come back later"
"#;

fn office(rows: &[Row], (retry, retry_max): (&str, &str)) -> Office {
    let mut office = Office::start();
    let own = office.scratch().join("refusals.toml");
    std::fs::write(&own, OWN).unwrap();
    let egresses = EGRESSES.map(|(name, address, network)| {
        format!("[egresses.{name}]\naddress = \"{address}\"\nnetwork = \"{network}\"\n")
    });
    office.configure(&[("", &egresses.join("\n"))]);
    let routes: Vec<_> = rows.iter().map(|row| (row.domain.as_str(), row.sink.address())).collect();
    let retry = format!("retry = \"{retry}\"\nretry_max = \"{retry_max}\"");
    office.route(&routes, &[&retry, &format!("refusals = {own:?}")]);
    office
}

#[test]
fn every_class_at_every_stage_is_treated_as_its_class_says() {
    // What comes at once comes where nothing else ever would.
    let (at_once, waited_for): (Vec<_>, Vec<_>) = rows().into_iter().partition(|row| row.way.2);
    play(&at_once, (NEVER, NEVER));
    play(&waited_for, (RETRY, "4s"));
}

fn play(rows: &[Row], retry: (&str, &str)) {
    let office = office(rows, retry);
    let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    for row in rows {
        let text = String::from_utf8(message(&row.domain)).unwrap();
        let text = text.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo");
        let reply = smtp.send("alice@example.test", &[&row.recipient()], text.as_bytes()).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
    }
    let bounced = rows.iter().filter(|row| row.way.3 == Bounced).count();
    let mut delivered = rows.iter().filter(|row| row.way.3 == Delivered);
    let start = wait::now();
    // What does not arrive in time is judged below, with what was tried.
    while delivered.clone().any(|row| row.sink.received().is_empty()) && start.elapsed() < PATIENCE
    {
        wait::pause(Duration::from_millis(50));
    }
    let arrived = delivered.all(|row| !row.sink.received().is_empty());
    let reports = match arrived {
        true => office.wait_for("alice", "INBOX", bounced),
        false => office.wait_for("alice", "INBOX", bounced.min(1)),
    };
    let reports: Vec<String> = reports
        .iter()
        .map(|(_, text)| String::from_utf8_lossy(text).replace("\r\n ", " "))
        .collect();
    let mut wrong = Vec::new();
    for row in rows {
        if let Err(why) = judge(row, &reports) {
            wrong.push(format!("{}: {why}", row.domain));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert_eq!(reports.len(), bounced, "more reports than bounces");
    office.assert_quiet(&["no rule knows this refusal"]);
}

fn queue(office: &Office) -> Vec<serde_json::Value> {
    let queue = office.admin(&["queue", "list", "--json"], "");
    serde_json::from_str(&queue).unwrap()
}

/// A rule of the admin's own that holds an address for a day.
const LONG: &str = r#"[[rule]]
id = "slow-partner"
pattern = '^450 4\.7\.28 Tomorrow'
class = "rate"
scope = "ip"
hold = "24h"
sample = "450 4.7.28 Tomorrow, please"
"#;

/// A long hold is kept to: by other messages too, and where no other address is left, the message
/// waits for its end, not for its own next try.
#[test]
fn a_long_hold_is_waited_for() {
    let sink = Sink::start();
    sink.add(Rule::say(At::Recipient, "450 4.7.28 Tomorrow, please"));
    let row = Row::new("slow", At::Recipient, Vec::new(), "", (All, "abc", false, Delivered));
    let mut office = office(&[row], ("200ms", "400ms"));
    let own = office.scratch().join("refusals.toml");
    std::fs::write(&own, LONG).unwrap();
    office.configure(&[("", &format!("[routes.\"long.test\"]\nhosts = [\"{}\"]", sink.address()))]);
    office.submit("one@long.test", "one@long.test");
    let until = wait::until("a message that waits for the end of a hold", || {
        let items = queue(&office);
        let (due, made) = (items[0]["due_ms"].as_u64()?, items[0]["created_ms"].as_u64()?);
        (due > made + 20 * 3_600_000).then_some(due - made)
    });
    assert!(until < 30 * 3_600_000, "{until}");
    let tried = || sink.seen().iter().filter(|seen| seen.step == At::Recipient).count();
    assert_eq!(tried(), 3, "each address once");
    office.submit("two@long.test", "two@long.test");
    wait::until("another one that waits too", || {
        let items = queue(&office);
        let late = |item: &serde_json::Value| {
            item["due_ms"].as_u64() > item["created_ms"].as_u64().map(|ms| ms + 20 * 3_600_000)
        };
        (items.len() == 2 && items.iter().all(late)).then_some(())
    });
    assert_eq!(tried(), 3, "held addresses are left alone");
    office.assert_quiet(&[]);
}

/// A destination whose DNSSEC is bogus is called by nobody (F4); when its time is over, the sender is
/// told why.
#[test]
fn a_bogus_destination_is_waited_for_and_then_told_of() {
    let zone = [("bogus.test", "@ MX 10 mx\nmx A 127.1.0.14", true)];
    let zones = Zones::start_forged(&zone, &[("bogus.test", "127.1.0.14", "127.1.0.16")]);
    let sinks = ["127.1.0.14:25", "127.1.0.16:25"].map(|at| Sink::bind(at.parse().unwrap()));
    let mut office = Office::start();
    office.configure(&[("", &zones.configuration())]);
    office.by_exchangers(&["retry = \"200ms\"", "retry_max = \"400ms\"", "lifetime = \"4s\""]);
    office.submit("x@bogus.test", "x@bogus.test");
    let told = office.wait_for("alice", "INBOX", 1).remove(0).1;
    let text = String::from_utf8_lossy(&told).into_owned();
    let part = "Final-Recipient: rfc822; x@bogus.test\r\nAction: failed\r\nStatus: 5.4.";
    assert!(text.contains(part) && text.contains("DNSSEC"), "{text}");
    assert!(sinks.iter().all(|sink| sink.seen().is_empty()), "somebody was called");
    office.assert_quiet(&[]);
}

fn judge(row: &Row, reports: &[String]) -> Result<(), String> {
    let (_, egresses, at_once, end) = row.way;
    let tries = row.tries();
    let name = |seen: &Seen| {
        let client = seen.client.to_string();
        EGRESSES.iter().find(|(_, address, _)| *address == client).map_or("?", |(name, ..)| name)
    };
    let tried: String = tries.iter().map(name).collect();
    if tried != egresses {
        return Err(format!("tried through {tried}, not {egresses}"));
    }
    // One of the tries was waited for: one that had another before it.
    let gaps = tries.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at));
    if !at_once && gaps.clone().all(|gap| gap < SOON) {
        return Err(format!("no wait between tries: {:?}", gaps.collect::<Vec<_>>()));
    }
    let received = row.sink.received();
    let copies = usize::from(end == Delivered);
    if received.len() != copies || received.iter().any(|one| !one.acknowledged) {
        return Err(format!("{} copies, {copies} expected", received.len()));
    }
    let field = format!("Final-Recipient: rfc822; {}\r\n", row.recipient());
    let told: Vec<_> = reports.iter().filter(|report| report.contains(&field)).collect();
    if told.len() != 1 - copies {
        return Err(format!("{} reports, {} expected", told.len(), 1 - copies));
    }
    for report in told {
        let field = format!("Diagnostic-Code: smtp; {}", row.words);
        for part in ["Action: failed\r\n", "Return-Path: <>\r\n", &field] {
            if !report.contains(part) {
                return Err(format!("{part:?} is not in the report:\n{report}"));
            }
        }
    }
    Ok(())
}

/// Words that no rule knows are kept for whoever writes the rule, each once whatever its numbers;
/// those that a rule knows since are not listed.
#[test]
fn words_that_no_rule_knows_are_listed_until_one_does() {
    let sink = Sink::start();
    sink.add(Rule::say(At::Recipient, "550 5.9.9 Frobnication 17 missing").holds("x@"));
    sink.add(Rule::say(At::Recipient, "550 5.9.9 Frobnication 18 missing").holds("y@"));
    sink.add(Rule::say(At::Recipient, "550 5.1.1 No such user here").holds("z@"));
    let mut office = Office::start_sending(&[("far.test", sink.address())]);
    let listed = |office: &Office| -> Vec<serde_json::Value> {
        let said = office.admin(&["refusals", "list", "--unmatched", "--json"], "");
        serde_json::from_str(&said).unwrap()
    };
    assert!(listed(&office).is_empty());
    for user in ["x", "y", "z"] {
        let mut smtp = Smtp::connect_tls(office.listener("submissions")).unwrap();
        smtp.login("alice@example.test", PASSWORD).unwrap();
        let text = String::from_utf8(message(user)).unwrap();
        let text = text.replace("ana@sender.test>\r\nTo", "alice@example.test>\r\nTo");
        let to = format!("{user}@far.test");
        let reply = smtp.send("alice@example.test", &[&to], text.as_bytes()).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
    }
    office.wait_for("alice", "INBOX", 3);
    let found = listed(&office);
    assert_eq!(found.len(), 1, "{found:?}");
    let words = found[0]["words"].as_str().unwrap();
    assert!(words.starts_with("550 5.9.9 Frobnication 1"), "{words}");
    assert_eq!(found[0]["stage"], "recipient", "{found:?}");
    let doctor = office.admin(&["doctor"], "");
    assert!(doctor.contains("1 refusals that no rule knows"), "{doctor}");
    assert!(office.admin(&["refusals", "list", "--unmatched"], "").contains("Frobnication"));
    // The rule that the list asks for.
    let own = office.scratch().join("own.toml");
    let rule = "[[rule]]\nid = \"own-frob\"\npattern = '^550 5\\.9\\.9 Frobnication'\n\
        sample = '550 5.9.9 Frobnication 3 missing'\nclass = \"mailbox\"\nscope = \"recipient\"\n";
    std::fs::write(&own, rule).unwrap();
    office.configure(&[("[relay]", &format!("refusals = \"{}\"", own.display()))]);
    assert!(listed(&office).is_empty());
    let rules = office.admin(&["refusals", "list"], "");
    assert!(rules.lines().nth(1).is_some_and(|line| line.contains("own-frob")), "{rules}");
}
