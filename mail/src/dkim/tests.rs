use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::Ed25519KeyPair;

use super::*;

fn ed25519() -> SigningKey {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    SigningKey::from_pkcs8(pair.to_pkcs8v1().unwrap().as_ref()).unwrap()
}

#[test]
fn keys_are_read_and_not_shown() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let rsa = SigningKey::from_pkcs8(der.as_ref()).unwrap();
    assert_eq!(format!("{rsa:?}"), "SigningKey(\"rsa-sha256\")");
    assert!(
        rsa.record().unwrap().starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A")
    );
    let ed25519 = ed25519();
    assert_eq!(ed25519.record().unwrap().len(), "v=DKIM1; k=ed25519; p=".len() + 44);
    assert!(SigningKey::from_pkcs8(b"no key").is_err());
}

// RFC 6376 §3.4.5
// RFC 6376 §3.4.2, §3.4.4.
#[test]
fn bodies_and_fields_are_relaxed_as_in_the_example() {
    assert_eq!(relaxed_field(b"A: X\r\n"), b"a:X\r\n");
    assert_eq!(relaxed_field(b"B : Y\t\r\n\tZ  \r\n"), b"b:Y Z\r\n");
    let check = |body: &[u8], relaxed: &[u8]| {
        let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, relaxed);
        let mut hasher = BodyHasher::new();
        hasher.write(body);
        assert_eq!(hasher.finish(), *expected.as_ref(), "{body:?}");
        // However it is cut.
        let mut hasher = BodyHasher::new();
        body.chunks(1).for_each(|byte| hasher.write(byte));
        assert_eq!(hasher.finish(), *expected.as_ref(), "{body:?}");
    };
    check(b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n");
    check(b"", b"");
    check(b"\r\n\r\n", b"");
    check(b"  \r\n \t\r\n", b"");
    check(b"a", b"a\r\n");
    check(b"a\r\n\r\nb  ", b"a\r\n\r\nb\r\n");
    check(b"a\rb\nc\r", b"a\rb\nc\r\r\n");
    let long = b"word  word\r\n".repeat(2_000);
    check(&long, &b"word word\r\n".repeat(2_000));
}

// RFC 6376 §5.4.2.
#[test]
fn readers_fields_are_signed_once_more_than_they_are_there() {
    let header = b"From: a@b.test\r\nTo: c@d.test\r\nTO: e@f.test\r\nX: y\r\n\r\n";
    let names = signed_names(header, true);
    let count = |name: &str| names.iter().filter(|one| **one == name).count();
    assert_eq!((count("From"), count("To"), count("Subject"), count("X")), (2, 3, 1, 0));
    // The last is signed first.
    assert_eq!(signed_fields(header, &["To", "To", "To"]), b"to:e@f.test\r\nto:c@d.test\r\n");
    let signer = Signer { domain: "b.test".into(), selector: "s1".into(), key: ed25519() };
    let field = signer.sign(header, &body_hash(header), Timestamp::from_seconds(9)).unwrap();
    assert_eq!(crate::trace::check_field(&field), Ok(()));
    assert!(field.lines().all(|line| line.len() <= 80), "{field}");
    assert!(field.contains(" d=b.test; s=s1;") && !field.contains(" l="), "{field}");
}
