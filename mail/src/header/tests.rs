use super::params::{decoded_param, first_token};
use super::*;
use crate::part::Param;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// RFC 5322 §2.2.3, §3.6.8.
#[test]
fn fields_cover_every_byte_before_the_blank_line() {
    let header = b"From x\r\nA: 1\nB :2\r\n 3\r\n\t4\r\nno colon\r\n: x\r\nC:\r\n\r\nbody: 1\r\n";
    let found: Vec<_> = fields(header).collect();
    let names: Vec<_> = found.iter().map(|field| text(field.name)).collect();
    assert_eq!(names, ["", "A", "B", "", "", "C"]);
    assert_eq!(text(found[2].value), "2\r\n 3\r\n\t4");
    assert_eq!(unfold(found[2].value), &b"2 3\t4"[..]);
    let mut at = 0;
    for field in &found {
        assert_eq!(field.range.start, at);
        at = field.range.end;
    }
    assert_eq!(&header[at..at + 4], b"\r\nbo");
    assert_eq!(header_length(header), at + 2);
    assert_eq!(header_length(b"A: b"), 4);
    assert_eq!(header_length(b"\nx"), 1);
    assert!(found[2].is("b"));
}

/// Addresses in IMAP's own notation, `-` for NIL.
fn shown(value: &str) -> String {
    let part = |part: &Option<Vec<u8>>| {
        part.as_ref().map_or("-".into(), |bytes| format!("{:?}", text(bytes)))
    };
    let items = addresses(value.as_bytes());
    let shown = items.iter().map(|item| {
        let parts = [&item.name, &item.route, &item.mailbox, &item.host].map(part);
        format!("({})", parts.join(" "))
    });
    shown.collect::<Vec<_>>().join(" ")
}

// RFC 5322 §3.4, §4.4.
// RFC 5322 §3.2, §3.2.2.
#[test]
fn addresses_are_taken_apart_raw() {
    for (value, expected) in [
        ("", ""),
        (" , ,", ""),
        ("a@b", r#"(- - "a" "b")"#),
        ("Ana B. C <a.b@c.d>", r#"("Ana B. C" - "a.b" "c.d")"#),
        ("\"B, Ana\" <a@b>,c@d", r#"("B, Ana" - "a" "b") (- - "c" "d")"#),
        (
            "=?utf-8?Q?J=C3=BC?= \r\n =?utf-8?Q?x?= <a@b>",
            r#"("=?utf-8?Q?J=C3=BC?= =?utf-8?Q?x?=" - "a" "b")"#,
        ),
        ("a@b (Ana (the) B)", r#"("Ana (the) B" - "a" "b")"#),
        ("<@x,@y:a@b>", r#"(- "@x,@y" "a" "b")"#),
        (
            "Us: a@b, \"C\" <c@d>; , e@f",
            r#"(- - "Us" -) (- - "a" "b") ("C" - "c" "d") (- - - -) (- - "e" "f")"#,
        ),
        ("undisclosed-recipients:;", r#"(- - "undisclosed-recipients" -) (- - - -)"#),
        ("A: B: c@d", r#"(- - "A" -) (- - - -) (- - "B" -) (- - "c" "d") (- - - -)"#),
        ("\"a b\"@c", r#"(- - "a b" "c")"#),
        ("a . b @ c . d (x)", r#"("x" - "a.b" "c.d")"#),
        ("root", r#"(- - "root" "")"#),
        ("root (Charlie)", r#"("Charlie" - "root" "")"#),
        ("Ana <>", r#"("Ana" - "" "")"#),
        ("<>", ""),
        ("\"\" <>", ""),
        ("a@[192.0.2.1]", r#"(- - "a" "[192.0.2.1]")"#),
        ("a@b c@d", r#"(- - "a" "b")"#),
        ("A <a@b> B <c@d>", r#"("A" - "a" "b") (- - "c" "d")"#),
        ("Jürgen <j@b>", r#"("Jürgen" - "j" "b")"#),
        ("\"unclosed <a@b>", r#"(- - "unclosed <a@b>" "")"#),
        ("A <a@b", r#"("A" - "a" "b")"#),
        ("a@b>, c@d", r#"(- - "a" "b") (- - "c" "d")"#),
        ("(x", ""),
        ("<a@b@c>", r#"(- - "a" "b@c")"#),
    ] {
        assert_eq!(shown(value), expected, "{value:?}");
    }
}

// RFC 2045 §5.1, §5.2.
#[test]
fn content_types_are_read_as_they_are_met() {
    let check = |value: &str, expected: &str| {
        let shown =
            content_type(value.as_bytes()).map_or("none".into(), |(media, subtype, params)| {
                let params =
                    params.iter().map(|param| format!("; {}={:?}", param.name, text(&param.value)));
                format!("{media}/{subtype}{}", params.collect::<String>())
            });
        assert_eq!(shown, expected, "{value:?}");
    };
    check(" text/plain; charset=us-ascii", "text/plain; charset=\"us-ascii\"");
    check("TEXT / HTML;Charset=\"UTF-8\" ;;", "text/html; charset=\"UTF-8\"");
    check("text/plain; charset=us-ascii (Plain text)", "text/plain; charset=\"us-ascii\"");
    check("text/plain; charset=a format=flowed", "text/plain; charset=\"a\"; format=\"flowed\"");
    check("text/plain charset=a", "text/plain; charset=\"a\"");
    check("a/b; name=My File (1).pdf; x=y", "a/b; name=\"My File .pdf\"; x=\"y\"");
    check("a/b; name=\"q\\\"uo;te\r\n d\"", "a/b; name=\"q\\\"uo;te d\"");
    check("a/b; name*0*=utf-8''%C3%BC; name*1=x", "a/b; name*0*=\"utf-8''%C3%BC\"; name*1=\"x\"");
    check("a/b; boundary==_x/y:z=", "a/b; boundary=\"=_x/y:z=\"");
    check("a/b; boundary=\"\"", "a/b; boundary=\"\"");
    check("a/b; x; y=; =z", "a/b; y=\"\"");
    check("(c) a/(d)b(e); x=(f)1", "a/b; x=\"(f)1\"");
    check("text", "none");
    check("text/", "none");
    check("/plain", "none");
    check("", "none");
    check("a/b; c=\"unclosed", "a/b; c=\"unclosed\"");
    check("multipart/mixed; boundary=x y", "multipart/mixed; boundary=\"x y\"");
}

// RFC 2183.
#[test]
fn other_values_are_read() {
    let found = disposition(b" Attachment; filename=\"a b.txt\"; size=3").unwrap();
    assert_eq!((found.kind.as_str(), found.params.len()), ("attachment", 2));
    assert!(disposition(b"  ").is_none());
    assert_eq!(token_list(b"de, en (x),,lv"), [b"de", b"en", b"lv"]);
    assert_eq!(first_token(b" Base64 (x)"), "base64");
    assert_eq!(first_token(b"\"7bit\""), "7bit");
    assert_eq!(first_token(b""), "");
}

// RFC 2231 §4; RFC 2047 §5.
#[test]
fn parameters_are_joined_and_decoded_for_people() {
    let decoded = |pairs: &[(&str, &str)]| {
        let params: Vec<_> = pairs
            .iter()
            .map(|(name, value)| Param { name: (*name).into(), value: value.as_bytes().to_vec() })
            .collect();
        decoded_param(&params, "name").unwrap_or("none".into())
    };
    assert_eq!(decoded(&[("name", "=?utf-8?B?w7w=?=.txt")]), "ü.txt");
    assert_eq!(decoded(&[("name", "x"), ("name*", "utf-8'de'%C3%BC%2")]), "ü%2");
    assert_eq!(
        decoded(&[("name*1", "b%20"), ("name*0*", "iso-8859-1''%FC"), ("name*2*", "%E4")]),
        "üb%20ä"
    );
    assert_eq!(decoded(&[("name*1", "b")]), "none");
    assert_eq!(decoded(&[("name*0", "a"), ("name*2", "c")]), "a");
}

// RFC 2047 §2, §6.2; RFC 2231 §5.
#[test]
fn encoded_words_are_decoded() {
    for (value, expected) in [
        ("plain", "plain"),
        (" folded\r\n text ", "folded text"),
        ("=?UTF-8?Q?B=C3=BCcher_x?=", "Bücher x"),
        ("=?utf-8?b?QsO8?= \r\n =?UTF-8?B?Y2hlcg==?=", "Bücher"),
        ("a =?utf-8?q?b?= c", "a b c"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        ("=?iso-8859-1*de?q?=FC?=", "ü"),
        ("=?iso-8859-1?q?=FC?= =?utf-8?q?=C3=BC?=", "üü"),
        ("=?utf-8?q?a?==?utf-8?q?b?=", "ab"),
        ("=?iso-2022-jp?b?GyRCJU8bKEI=?= =?iso-2022-jp?b?GyRCJU8bKEI=?=", "ハハ"),
        ("=?utf-7?q?+Jjo-?= =?utf-7?q?x?=", "☺x"),
        ("=?utf-8?q?a", "=?utf-8?q?a"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?=?utf-8?q?a?=", "=?a"),
        ("=?utf-8?q?a=0D=0Ab?=", "a  b"),
        ("B\u{fc}cher", "Bücher"),
        ("=??q?a?=", "=??q?a?="),
        ("=?utf-8?q??= x", " x"),
    ] {
        assert_eq!(decode_text(value.as_bytes()), expected, "{value:?}");
    }
    assert_eq!(decode_text(b"B\xfccher"), "Bücher");
}

#[test]
fn large_and_hostile_values_cost_linear_time() {
    // A6, 10⁵ addresses; each case would not end if a byte were read as often as there are bytes.
    let big = 100_000;
    assert_eq!(addresses("a@b,".repeat(big).as_bytes()).len(), big);
    assert_eq!(addresses("A:".repeat(big).as_bytes()).len(), 2 * big);
    for piece in ["(", "<", "\"", "\\", "a ", "@", "a@", "(a)", "<@", ":;", "a. ", "=?", "=?a?q?"] {
        let value = piece.repeat(big);
        assert!(addresses(value.as_bytes()).len() <= 2 * big);
        drop(content_type(format!("a/b;{value}").as_bytes()));
        drop(content_type(format!("a/b;x={value}").as_bytes()));
        drop(token_list(value.as_bytes()));
        drop(decode_text(value.as_bytes()));
    }
    let params: String = (0..10_000).map(|n| format!(";name*{n}*=%41")).collect();
    let (_, _, params) = content_type(format!("a/b{params}").as_bytes()).unwrap();
    assert_eq!(params.len(), params::PARAMS_MAX);
    assert_eq!(decoded_param(&params, "name").unwrap().len(), params::PARAMS_MAX);
    let words = "=?utf-8?q?=C3=BC?= ".repeat(big);
    assert_eq!(decode_text(words.as_bytes()).chars().count(), big);
}
