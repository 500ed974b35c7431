use aws_lc_rs::signature::Ed25519KeyPair;

use super::*;
use crate::dkim::{SigningKey, body_hash};

const MESSAGE: &str = "From: a@b.test\r\nSubject: x\r\n\r\nbody\r\n";

fn sealed(message: &str, chain: Found) -> Option<String> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let key = SigningKey::from_pkcs8(pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
    let signer = Signer { domain: "l.test".into(), selector: "s1".into(), key };
    let results = ["spf=pass smtp.mailfrom=b.test".to_owned(), "dkim=none".to_owned()];
    let at = Timestamp::from_seconds(9);
    let seal = Seal { signer: &signer, host: "mx.l.test", results: &results, chain, at };
    let header = &message.as_bytes()[..crate::header::header_length(message.as_bytes())];
    let fields = seal.fields(header, &body_hash(message.as_bytes())).unwrap();
    fields.map(|fields| format!("{fields}{message}"))
}

// RFC 8617 §5.1.1, §5.1.2.
#[test]
fn sets_are_numbered_and_tell_what_the_chain_was_worth() {
    let first = sealed(MESSAGE, Found::None).unwrap();
    for field in FIELDS {
        assert!(first.contains(&format!("{field}: i=1;")), "{first}");
    }
    assert!(first.contains("cv=none;"), "{first}");
    let second = sealed(&first, Found::Pass).unwrap();
    assert!(second.starts_with("ARC-Seal: i=2;") && second.contains("cv=pass;"), "{second}");
    let failed = sealed(&first, Found::Fail).unwrap();
    assert!(failed.contains("cv=fail;"));
    // RFC 8617 §5.1: nothing is added to a chain that has failed.
    assert_eq!(sealed(&failed, Found::Fail), None);
    let odd = format!("ARC-Seal: i=x; cv=none\r\n{MESSAGE}");
    assert_eq!(sealed(&odd, Found::Fail), None);
    for field in fields(second.as_bytes()) {
        let text = second.get(field.range.clone()).unwrap();
        assert_eq!(crate::trace::check_field(text), Ok(()), "{text}");
    }
}
