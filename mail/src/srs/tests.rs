use super::*;

fn mac(key: u8) -> impl Fn(&[u8]) -> [u8; 32] {
    // Enough of a hash for a test: every byte changes all that come after it.
    move |bytes| {
        let mut sum = [key; 32];
        for (at, byte) in bytes.iter().cycle().take(bytes.len() * 8 + 64).enumerate() {
            let before = sum[(at + 31) % 32];
            sum[at % 32] =
                sum[at % 32].wrapping_mul(31).wrapping_add(*byte) ^ before.rotate_left(3);
        }
        sum
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn ours() -> Domain {
    Domain::parse("ours.test").unwrap()
}

#[test]
fn an_address_comes_back_within_its_days_and_in_any_case() {
    let sender = address("ana+x@far.test");
    for day in [0, 500, 1_023, 20_500] {
        let there = forward(&sender, &ours(), day, &mac(1)).unwrap();
        assert_eq!(there.domain(), &ours());
        assert!(there.local().starts_with("srs0=") && there.local().len() <= 64);
        for later in [0, 1, DAYS_MAX] {
            assert_eq!(reverse(&there, day + later, &mac(1)), Ok(sender.clone()));
        }
        let shouted = address(&there.to_string().to_uppercase());
        assert_eq!(reverse(&shouted, day, &mac(1)), Ok(sender.clone()));
        let late = reverse(&there, day + DAYS_MAX + 1, &mac(1));
        assert_eq!(late, Err(NotReversed::Expired));
        assert_eq!(reverse(&there, day, &mac(2)), Err(NotReversed::Forged), "another key");
    }
}

#[test]
fn what_others_rewrote_goes_back_to_the_first_of_them() {
    let theirs = address("SRS0=hash=tt=far.test=ana@first.test");
    let again = forward(&theirs, &ours(), 7, &mac(1)).unwrap();
    assert!(again.local().starts_with("srs1="), "{again}");
    assert_eq!(reverse(&again, 900, &mac(1)).unwrap(), theirs);
    // A third hop keeps the first.
    let third = Domain::parse("third.test").unwrap();
    let twice = forward(&again, &third, 7, &mac(3)).unwrap();
    assert_eq!(reverse(&twice, 900, &mac(3)).unwrap(), theirs);
}

#[test]
fn nothing_but_our_own_is_reversed() {
    for (text, why) in [
        ("ana@ours.test", NotReversed::Ordinary),
        ("srs@ours.test", NotReversed::Ordinary),
        ("srs0@ours.test", NotReversed::Ordinary),
        ("srs0=@ours.test", NotReversed::Forged),
        ("srs0=abcdefghij=aa=far.test=ana@ours.test", NotReversed::Forged),
        ("srs1=abcdefghij=far.test==x@ours.test", NotReversed::Forged),
    ] {
        assert_eq!(reverse(&address(text), 1, &mac(1)), Err(why), "{text}");
    }
    let there = forward(&address("ana@far.test"), &ours(), 1, &mac(1)).unwrap();
    let bent = there.to_string().replace("=ana@", "=eve@");
    assert_eq!(reverse(&address(&bent), 1, &mac(1)), Err(NotReversed::Forged));
    let long = address(&format!("{}@far.test", "x".repeat(60)));
    assert_eq!(forward(&long, &ours(), 1, &mac(1)), None);
}
