use super::*;

fn classify(rules: &Rules, words: &str, mx: &str) -> Finding {
    rules.classify(&Reply::parse(words).unwrap(), Stage::Recipient, mx)
}

/// Every rule's pattern matches its own sample, and no earlier rule does.
#[test]
fn every_rule_decides_about_its_own_sample() {
    let rules = Rules::shipped();
    assert!(rules.len() >= 231, "{} rules", rules.len());
    for rule in &rules.0.rules {
        let mx = rule.mx.first().map_or_else(|| "mx.example.net".into(), |mx| format!("a.{mx}."));
        let found = classify(&rules, &rule.sample, &mx);
        assert_eq!(found, rule.finding, "{}", rule.sample);
        assert!(file::check(rule).is_ok(), "{}", rule.finding.rule);
    }
    let ids: std::collections::BTreeSet<_> =
        rules.0.rules.iter().map(|rule| rule.finding.rule.clone()).collect();
    assert_eq!(ids.len(), rules.len(), "an id names two rules");
}

#[test]
fn a_rule_of_one_operator_says_nothing_of_others() {
    let rules = Rules::shipped();
    let words = "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to \
                 IP reputation.";
    let at = |mx| classify(&rules, words, mx).rule;
    assert_eq!(&*at("hotmail-com.olc.protection.outlook.com"), "ms-ip-rate-reputation");
    assert_eq!(&*at("OLC.Protection.Outlook.COM."), "ms-ip-rate-reputation");
    assert_ne!(&*at("evilolc.protection.outlook.com"), "ms-ip-rate-reputation");
    assert_ne!(&*at("mx.example.net"), "ms-ip-rate-reputation");
}

#[test]
fn what_no_rule_knows_is_left_to_its_code() {
    let rules = Rules::shipped();
    let permanent = classify(&rules, "550 qwertz uiop", "mx.example.net");
    assert_eq!((&*permanent.rule, permanent.class), (UNMATCHED, Class::Unknown));
    assert_eq!(permanent.next, Some(Next::OtherEgressOnce));
    let temporary = classify(&rules, "450 qwertz uiop", "mx.example.net");
    assert_eq!(
        (&*temporary.rule, temporary.class, temporary.next),
        (UNMATCHED, Class::System, None)
    );
    let greeting = Reply::parse("554 qwertz uiop").unwrap();
    assert_eq!(rules.classify(&greeting, Stage::Greeting, "mx.example.net").scope, Scope::Ip);
    // Any bytes, any length.
    let odd = Reply { code: 599, enhanced: None, text: "\u{fffd}\u{0}".repeat(5_000) };
    assert_eq!(&*rules.classify(&odd, Stage::End, "").rule, UNMATCHED);
}

#[test]
fn own_rules_come_first_and_are_checked() {
    let own = r#"
        [[rule]]
        id = "partner"
        mx = ["mx.partner.test"]
        pattern = '^550 5\.1\.1 '
        class = "egress"
        scope = "ip"
        hold = "90m"
        sample = "550 5.1.1 You are not on our list"
    "#;
    let rules = Rules::with_own(own).unwrap();
    let words = "550 5.1.1 You are not on our list";
    let found = classify(&rules, words, "mx.partner.test");
    assert_eq!((&*found.rule, found.class), ("partner", Class::Egress));
    assert_eq!(found.hold, Some(Duration::from_secs(5_400)));
    assert_ne!(&*classify(&rules, words, "mx.other.test").rule, "partner");
    for (find, instead, problem) in [
        ("\"egress\"", "\"address\"", "no class"),
        ("\"ip\"", "\"host\"", "no scope"),
        ("\"90m\"", "\"soon\"", "no time"),
        ("^550 5", "^(550 5", "unclosed group"),
        ("^550 5", "^551 5", "does not match its own sample"),
        ("hold =", "holds =", "unknown field"),
        ("[[rule]]", "version = 2\n[[rule]]", "version"),
    ] {
        let wrong = Rules::with_own(&own.replace(find, instead)).unwrap_err().to_string();
        assert!(wrong.contains(problem), "{wrong}");
    }
}

#[test]
fn refusals_that_differ_in_numbers_only_have_one_shape() {
    let shapes = [
        "550 5.7.0 Nope for <a@b.test>, see 4F2A-1 (1.2.3.4)",
        "550 5.7.0 NOPE for <x@y.test>, see 99 (5.6.7.8)",
    ]
    .map(shape);
    assert_eq!(shapes, ["550 5.7.0 nope for * see * *"; 2]);
    assert_ne!(shape("551 5.7.0 Nope"), shape("550 5.7.0 Nope"));
    for (mx, expected) in [
        ("MX1.mail.example.com.", "example.com"),
        ("mx.example.co.uk", "example.co.uk"),
        ("mx1.web.de", "web.de"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("", ""),
    ] {
        assert_eq!(operator(mx), expected);
    }
}
