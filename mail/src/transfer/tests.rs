use super::*;

#[track_caller]
fn check(encoding: &Encoding, text: &[u8], expected: &[u8]) {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(show(&decode(encoding, text)), show(expected));
    for cut in 0..=text.len() {
        let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
        decoder.feed(&text[..cut], &mut out);
        decoder.feed(&text[cut..], &mut out);
        decoder.finish(&mut out);
        assert_eq!(show(&out), show(expected), "cut at {cut}");
    }
    let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
    text.iter().for_each(|byte| decoder.feed(&[*byte], &mut out));
    decoder.finish(&mut out);
    assert_eq!(show(&out), show(expected), "byte by byte");
}

// RFC 2045 §6, §6.7.
#[test]
fn quoted_printable() {
    let quoted = |text: &str, expected: &str| {
        check(&Encoding::QuotedPrintable, text.as_bytes(), expected.as_bytes());
    };
    quoted("plain\r\ntext", "plain\r\ntext");
    quoted("B=C3=bcch=\r\ner=3D", "Bücher=");
    quoted("soft= \t\r\nbreak=\nand=", "softbreakand");
    quoted("not =ZZ =4 =", "not =ZZ =4 ");
    quoted("==41=4", "=A=4");
    quoted("=\r=\r\n", "=\r");
    quoted("a= b", "a= b");
    let long = format!("={}x", " ".repeat(1000));
    quoted(&long, &long);
}

#[test]
fn base64() {
    let base64 = |text: &str, expected: &str| {
        check(&Encoding::Base64, text.as_bytes(), expected.as_bytes());
    };
    base64("", "");
    base64("QQ==", "A");
    base64("QUI=\r\n", "AB");
    base64("QUJD\r\nRA", "ABCD");
    base64("Q U!J-D", "ABC");
    base64("QQ==QUI=Qw", "AABC");
    base64("Q", "");
    base64("====", "");
}

#[test]
fn other_encodings_are_passed_on() {
    check(&Encoding::Other("x".into()), b"=41\0\xff", b"=41\0\xff");
    check(&Encoding::Binary, b"\0\xff\r\n", b"\0\xff\r\n");
}

// RFC 2047 §4.2.
#[test]
fn words() {
    let mut out = Vec::new();
    quoted_word_into(b"a_b=20=C3=BC=?=4", &mut out);
    assert_eq!(out, "a b ü=?=4".as_bytes());
    out.clear();
    base64_into(b"QUI=", &mut out);
    assert_eq!(out, b"AB");
}
