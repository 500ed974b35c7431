use super::*;

fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).unwrap()
}

// RFC 9051 §5.1.
#[test]
fn names_have_one_canonical_form() {
    for (text, expected) in [
        ("inbox", "INBOX"),
        ("Inbox/x", "INBOX/x"),
        ("inboxes", "inboxes"),
        ("x/inbox", "x/inbox"),
        ("Cafe\u{301}", "Café"),
        ("a b\\\"&~", "a b\\\"&~"),
        ("...", "..."),
    ] {
        assert_eq!(name(text).as_str(), expected);
    }
    assert!(name("INBOX").is_inbox() && !name("INBOX/x").is_inbox());
    assert_eq!(name("a/b/c").parent(), Some(name("a/b")));
    assert_eq!(name("a/b/c").last_level(), "c");
    assert_eq!(name("a").parent(), None);
}

#[test]
fn what_cannot_be_a_name_is_refused() {
    use NameSyntax as E;
    for (text, error) in [
        ("", E::EmptyLevel),
        ("/a", E::EmptyLevel),
        ("a/", E::EmptyLevel),
        ("a//b", E::EmptyLevel),
        ("../x", E::EmptyLevel),
        ("a/./b", E::EmptyLevel),
        ("a\0", E::Character),
        ("a\r\n", E::Character),
        ("a\u{85}", E::Character),
        ("a\u{2028}", E::Character),
        ("a*", E::Character),
        ("%", E::Character),
        ("#news", E::Character),
    ] {
        assert_eq!(MailboxName::parse(text), Err(error), "{text:?}");
    }
    let level = "a".repeat(255);
    assert!(MailboxName::parse(&level).is_ok());
    assert_eq!(MailboxName::parse(&format!("{level}a")), Err(E::TooLong));
    assert_eq!(MailboxName::parse(&[&*level; 4].join("/")), Err(E::TooLong));
    assert_eq!(MailboxName::parse(&"a/".repeat(100_000)), Err(E::TooLong));
    assert_eq!(MailboxName::parse_for_create("a/b/"), Ok(name("a/b")));
    assert_eq!(MailboxName::parse_for_create("/"), Err(E::EmptyLevel));
}

#[test]
fn renaming_moves_all_that_is_below() {
    let renamed = |text: &str| name(text).renamed(&name("a/b"), &name("x")).unwrap();
    assert_eq!(renamed("a/b"), Some(name("x")));
    assert_eq!(renamed("a/b/c/d"), Some(name("x/c/d")));
    assert_eq!(renamed("a/bc"), None);
    assert_eq!(renamed("a"), None);
    let long = name(&[&*"l".repeat(250); 3].join("/"));
    let below = name(&format!("a/{}", "m".repeat(250)));
    assert_eq!(below.renamed(&name("a"), &long), Err(NameSyntax::TooLong));
}

// RFC 3501 §5.1.3.
#[test]
fn modified_utf7_has_one_form() {
    for (text, encoded) in [
        ("", ""),
        ("plain ~", "plain ~"),
        ("a&b", "a&-b"),
        ("台北", "&U,BTFw-"),
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("Entwürfe", "Entw&APw-rfe"),
        ("😀", "&2D3eAA-"),
        ("é&é", "&AOk-&-&AOk-"),
    ] {
        assert_eq!(utf7::encode(text), encoded);
        assert_eq!(utf7::decode(encoded).as_deref(), Some(text));
    }
    for bad in [
        "&",
        "&U,BTFw",
        "&AC8-",
        "&AGE-",
        "&Jjo!",
        "&Jjo-&Jjo-",
        "&Jjp-",
        "&J-",
        "&JjoA-",
        "&2D0-",
        "&3gDYPQ-",
        "é",
        "&AGEA4Q-",
        "&Jj/-",
        "a\n",
        "&AOn-",
        "&AAA",
        "&AAA=-",
        "&==-",
    ] {
        assert_eq!(utf7::decode(bad), None, "{bad:?}");
    }
    assert_eq!(MailboxName::parse_utf7("&AC8-"), Err(NameSyntax::Utf7));
    assert_eq!(MailboxName::parse_utf7("&AAA-"), Err(NameSyntax::Character));
    // "e" and a combining accent: another spelling of "é", one name.
    assert_eq!(
        MailboxName::parse_utf7("Cafe&AwE-").map(|name| name.to_utf7()),
        Ok("Caf&AOk-".into())
    );
}

/// The rule itself, with all its backtracking.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..]))
        }
        ([b'%', rest @ ..], _) => {
            naive(rest, text)
                || (text.first().is_some_and(|byte| *byte != b'/') && naive(pattern, &text[1..]))
        }
        ([a, rest @ ..], [b, after @ ..]) => a == b && naive(rest, after),
        _ => false,
    }
}

#[test]
fn patterns_match_as_the_rule_says() {
    let pieces = ["a", "b", "/", "*", "%", "é", "ab", "a/"];
    let mut state = 5_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        let pattern: String = (0..random(7)).map(|_| pieces[random(8)]).collect();
        let text: String = (0..=random(7)).map(|_| pieces[[0, 1, 2, 5, 6, 7][random(6)]]).collect();
        if let Ok(name) = MailboxName::parse(&text) {
            let cut = (0..=random(pattern.len() + 1))
                .rev()
                .find(|at| pattern.is_char_boundary(*at))
                .unwrap_or(0);
            let (reference, rest) = pattern.split_at(cut.min(pattern.len()));
            let found = ListPattern::new(reference, rest).unwrap().matches(&name);
            assert_eq!(found, naive(pattern.as_bytes(), text.as_bytes()), "{pattern:?} {text:?}");
        }
    }
}

#[test]
fn patterns_know_inbox_and_long_names() {
    let matches =
        |pattern: &str, text: &str| ListPattern::new("", pattern).unwrap().matches(&name(text));
    assert!(matches("inbox", "INBOX") && matches("InB%", "INBOX") && matches("inbox/*", "INBOX/x"));
    assert!(!matches("inbox/X", "INBOX/x") && !matches("x/inbox", "x/INBOX"));
    assert!(matches("Cafe\u{301}", "Café"));
    let long = [&*"a".repeat(200); 4].join("/");
    assert!(matches(&long, &long) && matches(&long.replace('/', "%/%"), &long));
    assert!(!matches(&format!("{long}b"), &long));
    // B2: would not end with backtracking.
    let hostile = "%*".repeat(999);
    for _ in 0..1_000 {
        assert!(matches(&hostile, &long) && !matches(&format!("{hostile}b"), &long));
    }
    assert_eq!(ListPattern::new(&long, &"*".repeat(2_000)).err(), Some(pattern::PatternTooLong));
}
