use super::*;

fn parsed(text: &str) -> Result<SpfRecord, SpfSyntax> {
    SpfRecord::parse(text.as_bytes())
}

// RFC 7208 §4.5.
#[test]
fn records_are_told_from_other_text() {
    assert!(SpfRecord::is_one(b"v=spf1") && SpfRecord::is_one(b"V=SPF1 -all"));
    assert!(!SpfRecord::is_one(b"v=spf10") && !SpfRecord::is_one(b"v=spf1\t-all"));
    assert!(parsed("spf2.0/pra -all").is_err());
}

// RFC 7208 §6, §12.
#[test]
fn terms_are_read() {
    let record =
        parsed("v=spf1 a:b.test/24//64 ip4:192.0.2.0/24 ?mx ~include:c.test -all").unwrap();
    assert_eq!(record.directives.len(), 5);
    let Mechanism::A(Some(_), prefixes) = &record.directives[0].mechanism else { panic!() };
    assert_eq!(*prefixes, Prefixes { v4: 24, v6: 64 });
    assert_eq!(record.directives[4].qualifier, Qualifier::Fail);
    let record = parsed("v=spf1 redirect=_spf.%{d} exp=e.%{o} other=%{d}").unwrap();
    assert!(record.redirect.is_some() && record.explanation.is_some());
}

// RFC 7208 §4.6: an error anywhere spoils the record.
#[test]
fn broken_terms_spoil_the_record() {
    for text in [
        "a:",
        "a/33",
        "a//129",
        "a/024",
        "ip4:1.2.3",
        "ip4:1.2.3.4/33",
        "ip6:::1/129",
        "all:x",
        "include",
        "include:",
        "exists",
        "ptr:",
        "bogus",
        "redirect=a.b redirect=a.b",
        "exp=",
        "a:x.%{q}",
        "a:x.%{d0}",
        "a:x.%{d",
        "a:x.%",
        "a:x.%{c}",
        "a:example.com:8080",
        "a:host",
        "a:x.1",
        "a:x.-b",
        "redirect=abc",
        "x=%{t}",
        "a:caf\u{e9}.test",
        "a\tmx",
        "=x",
    ] {
        assert!(parsed(&format!("v=spf1 {text} -all")).is_err(), "{text}");
    }
}

// RFC 7208 §7.4
// RFC 7208 §6.2; RFC 3986 §2.3.
#[test]
fn macros_expand_as_in_the_examples() {
    let mut variables = Variables {
        ip: "192.0.2.3".parse().unwrap(),
        sender: ("strong-bad", "email.example.com"),
        domain: "email.example.com",
        helo: "helo.test",
        name: "unknown",
        receiver: "mx.test",
        seconds: 7,
    };
    let expand = |text: &str, variables: &Variables<'_>| {
        MacroString::parse_any(text).unwrap().domain(variables)
    };
    for (text, expected) in [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l-}", "strong.bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%%%_%-%{S}", "% %20strong-bad%40email.example.com"),
    ] {
        assert_eq!(expand(text, &variables), expected, "{text}");
    }
    variables.ip = "2001:db8::cb01".parse().unwrap();
    let expected = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.x.test";
    assert_eq!(expand("%{ir}.%{v}.x.test", &variables), expected);
    // RFC 7208 §7.3: labels go from the left.
    let long = format!("{}.test", "abc.".repeat(80));
    let cut = expand(&long, &variables);
    assert!(cut.len() <= 253 && cut.ends_with(".test") && cut.starts_with("abc."));
    let text = MacroString::parse_explanation("see %{c} at %{r}, %{t}").unwrap();
    assert_eq!(text.explanation(&variables), "see 2001:db8::cb01 at mx.test, 7");
}
