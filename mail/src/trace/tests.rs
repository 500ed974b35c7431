use super::*;

fn received<'a>(helo: &'a str, recipient: Option<&'a Path>) -> Received<'a> {
    Received {
        helo,
        peer: Some([192, 0, 2, 1].into()),
        peer_name: Some("client.example.org"),
        by: "mx.example.test",
        with: With { extended: true, tls: true, ..With::default() },
        tls: Some("TLSv1.3 TLS_AES_256_GCM_SHA384"),
        id: "00ff",
        recipient,
        when: DateTime { seconds: 1_795_553_535, offset_minutes: 0 },
    }
}

// RFC 5321 §4.4.
#[test]
fn received_says_who_how_and_when() {
    let path = Path::parse("ana@example.test").unwrap();
    assert_eq!(
        received("client", Some(&path)).field(),
        "Received: from client (client.example.org [192.0.2.1]) by mx.example.test\r\n\
         \twith ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384) id 00ff for <ana@example.test>;\r\n\
         \tTue, 24 Nov 2026 20:52:15 +0000\r\n"
    );
    let v6 = Received { peer: "2001:db8::1".parse().ok(), peer_name: None, ..received("x", None) };
    assert!(v6.field().contains("from x ([IPv6:2001:db8::1]) by"));
    let hidden = Received { peer: None, ..received("laptop", None) };
    assert!(hidden.field().starts_with("Received: by mx.example.test with ESMTPS"));
}

#[test]
fn nothing_that_a_client_says_breaks_the_field() {
    let long = "a".repeat(100_000);
    for helo in ["", "a\r\nX: y", "(", "a; b", "x\0y", "\u{2028}", "[127.0.0.1]", "<>", &long] {
        let field = received(helo, None).field();
        assert!(field.len() < 1_000);
        let mut prefix = Prefix::new();
        assert_eq!(prefix.push(&field), Ok(()), "{helo:?}");
        assert_eq!(field.matches(['(', ')', ';']).count(), 5, "{field}");
        assert_eq!(received_count(prefix.as_bytes()), 1);
    }
}

// RFC 3848; RFC 6531 §4.3.
#[test]
fn the_keyword_says_what_was_used() {
    let keyword = |extended, utf8, tls, auth| With { extended, utf8, tls, auth }.keyword();
    assert_eq!(keyword(false, false, false, false), "SMTP");
    assert_eq!(keyword(true, false, false, false), "ESMTP");
    assert_eq!(keyword(true, false, true, true), "ESMTPSA");
    assert_eq!(keyword(true, true, true, false), "UTF8SMTPS");
}

#[test]
fn a_prefix_is_always_whole_fields() {
    let mut prefix = Prefix::new();
    let sender = Path::parse("bo@example.org").unwrap();
    prefix.push(&return_path(Some(&sender))).unwrap();
    prefix.push("X: a\r\n b\r\n").unwrap();
    for bad in [
        "",
        "X: a",
        "X: a\n",
        "\r\n",
        " X: a\r\n",
        "X a\r\n",
        "X: a\r\nY: b\r\n",
        "X: a\rb\r\n",
        "X: \0\r\n",
        "X: a\r\n\r\n",
    ] {
        assert_eq!(prefix.push(bad), Err(NotAField), "{bad:?}");
    }
    assert_eq!(prefix.push(&format!("X: {}\r\n", "a".repeat(PREFIX_BYTES_MAX))), Err(NotAField));
    assert_eq!(prefix.as_bytes(), b"Return-Path: <bo@example.org>\r\nX: a\r\n b\r\n");
    assert_eq!(without_return_path(prefix.as_bytes()), b"X: a\r\n b\r\n");
    assert_eq!(without_return_path(b"X: a\r\n b\r\n"), b"X: a\r\n b\r\n");
    assert_eq!(return_path(None), "Return-Path: <>\r\n");
}

#[test]
fn loops_are_seen() {
    let address = Address::parse("ana@example.test").unwrap();
    let header = format!(
        "Received: a\r\nreceived: b\r\n{}Delivered-To: not an address\r\n\r\nReceived: c\r\n",
        delivered_to(&address)
    );
    assert_eq!(received_count(header.as_bytes()), 2);
    assert!(was_delivered_to(header.as_bytes(), &address));
    assert!(was_delivered_to(b"delivered-to: Ana@EXAMPLE.test\n", &address));
    assert!(!was_delivered_to(header.as_bytes(), &Address::parse("bo@example.test").unwrap()));
}
