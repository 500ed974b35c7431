use super::*;

#[track_caller]
fn canonical(text: &str, expected: &str) {
    let path = Path::parse(text).unwrap();
    assert_eq!(path.text(), text);
    assert_eq!(path.address().to_string(), expected);
    assert_eq!(Address::parse(expected).as_ref(), Ok(path.address()), "{expected} reads back");
}

// RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3.
#[test]
fn addresses_have_one_canonical_form() {
    canonical("Ana@Example.ORG", "ana@example.org");
    canonical("ana@xn--bcher-kva.example", "ana@xn--bcher-kva.example");
    canonical("ana@BÜCHER.example", "ana@xn--bcher-kva.example");
    canonical("ana@bu\u{308}cher.example", "ana@xn--bcher-kva.example");
    canonical("JOSE\u{301}@example.org", "josé@example.org");
    canonical("\"Ana\"@example.org", "ana@example.org");
    canonical("\"a\\na\"@example.org", "ana@example.org");
    canonical("\"Ana B\"@example.org", "\"ana b\"@example.org");
    canonical("\"a\\\"\\\\@b\"@example.org", "\"a\\\"\\\\@b\"@example.org");
    canonical("\"a..b\"@example.org", "\"a..b\"@example.org");
    canonical("a@[192.0.2.1]", "a@[192.0.2.1]");
    canonical("a@[IPv6:2001:DB8:0::1]", "a@[ipv6:2001:db8::1]");
    canonical("!#$%&'*+-/=?^_`{|}~@a", "!#$%&'*+-/=?^_`{|}~@a");
    canonical("a@_spf.example.org", "a@_spf.example.org");
}

// RFC 5321 §4.1.2, §4.1.3.
#[test]
fn what_is_no_address_is_refused_and_says_why() {
    use AddressSyntax as E;
    for (text, error) in [
        ("", E::NoDomain),
        ("postmaster", E::NoDomain),
        ("a@", E::Domain),
        ("@b", E::Local),
        ("@a,@b:c@d", E::Local),
        ("a@b@c", E::Local),
        ("\"a@b\"", E::NoDomain),
        ("\"a@b", E::Local),
        ("\"a\u{7}\"@b", E::Local),
        ("\"a\r\n\"@b", E::Local),
        ("\"\"@b", E::Local),
        ("a b@c", E::Local),
        (".a@b", E::Local),
        ("a..b@c", E::Local),
        ("a\0@b", E::Local),
        ("a\u{85}@b", E::Local),
        ("a@b..c", E::Domain),
        ("a@b.", E::Domain),
        ("a@-b", E::Domain),
        ("a@b c", E::Domain),
        ("a@127.0.0.1", E::Domain),
        ("a@[127.1]", E::Domain),
        ("a@[::1]", E::Domain),
        ("a@[IPv6:::g]", E::Domain),
        ("a@[192.0.2.1", E::Domain),
        ("a@xn--zzzzzzzz--", E::Domain),
        ("a@xn--a", E::Domain),
        ("a@b/c", E::Domain),
        ("a@b\u{2024}\u{2024}c", E::Domain),
        ("u%a@b>", E::Domain),
    ] {
        assert_eq!(Path::parse(text).map(|path| path.address), Err(error), "{text:?}");
    }
}

// RFC 5321 §4.5.3.1.1, §4.5.3.1.2, §4.5.3.1.3.
#[test]
fn lengths_are_bounded() {
    let local = |bytes: usize| format!("{}@example.org", "a".repeat(bytes));
    assert!(Path::parse(&local(64)).is_ok());
    assert_eq!(Path::parse(&local(65)), Err(AddressSyntax::TooLong));
    assert_eq!(Path::parse(&"a".repeat(100_000)), Err(AddressSyntax::TooLong));
    let domain = |labels: usize| format!("{}a", "a234567890.".repeat(labels));
    assert!(Domain::parse(&domain(22)).is_ok());
    assert_eq!(Domain::parse(&domain(23)), Err(AddressSyntax::Domain));
    assert!(Domain::parse(&"a".repeat(63)).is_ok());
    assert!(Domain::parse(&"a".repeat(64)).is_err());
    // Text in U-labels may be short and its A-labels long.
    assert!(Domain::parse(&format!("{}.example", "ü".repeat(63))).is_err());
}

// RFC 5233; RFC 5321 §4.1.1.3.
#[test]
fn detail_and_catch_all_are_derived() {
    let address = Address::parse("ana+Shop+2@example.org").unwrap();
    assert_eq!(address.without_detail(), Address::parse("ana@example.org").ok());
    assert_eq!(address.detail(), Some("shop+2"));
    assert_eq!(Address::parse("+x@example.org").unwrap().without_detail(), None);
    assert_eq!(Address::parse("ana@example.org").unwrap().without_detail(), None);
    let all = Address::catch_all(address.domain());
    assert!(all.is_catch_all());
    assert_eq!(Address::parse("@Example.org"), Ok(all));
    assert_eq!(Path::postmaster(address.domain()).text(), "postmaster@example.org");
    assert_eq!(Domain::parse("BÜcher.example").unwrap().to_unicode(), "bücher.example");
}

#[test]
fn every_canonical_form_is_stable_under_random_spellings() {
    let letters = [
        'a', 'Z', '"', '\\', '@', '.', ' ', 'É', 'e', '\u{301}', 'İ', 'ß', '[', ']', '-', '1', '+',
        '\0',
    ];
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push(letters[usize::try_from(state >> 40).unwrap() % letters.len()]);
        }
        for text in [text.clone(), format!("{text}@b.example"), format!("\"{text}\"@b.example")] {
            if let Ok(address) = Address::parse(&text) {
                let shown = address.to_string();
                assert_eq!(Address::parse(&shown), Ok(address), "{text:?} {shown:?}");
            }
        }
    }
}

#[test]
fn the_canonical_form_of_every_letter_is_its_own_canonical_form() {
    let changes = |letter: &char| {
        letter.is_ascii()
            || letter.to_lowercase().ne([*letter])
            || std::iter::once(*letter).nfc().ne([*letter])
    };
    for letter in ('\0'..=char::MAX).filter(changes) {
        for text in [format!("{letter}@b.example"), format!("\"a{letter}\"@b.example")] {
            if let Ok(address) = Address::parse(&text) {
                assert_eq!(Address::parse(&address.to_string()), Ok(address), "{letter:?}");
            }
        }
    }
    // Letters that grow: the longest local part still reads back.
    for letter in ['İ', '\u{1d160}', '\u{fb2c}', '\u{37e}', 'ẞ'] {
        let local = letter.to_string().repeat(LOCAL_BYTES_MAX / letter.len_utf8());
        let path = Path::parse(&format!("{local}@b.example")).unwrap();
        assert_eq!(Address::parse(&path.address().to_string()).as_ref(), Ok(path.address()));
    }
}
