use super::*;

#[track_caller]
fn check(label: &str, bytes: &[u8], expected: &str) {
    assert_eq!(charset_to_text(label.as_bytes(), bytes), expected, "{label}");
    let (mut decoder, mut out) = (TextDecoder::new(label.as_bytes()), String::new());
    bytes.iter().for_each(|byte| decoder.feed(&[*byte], &mut out));
    decoder.finish(&mut out);
    assert_eq!(out, expected, "{label} byte by byte");
}

// RFC 2152; RFC 1557; RFC 1843.
#[test]
fn charsets_of_mail_are_decoded() {
    check("utf-8", "Bücher 😀\n".as_bytes(), "Bücher 😀\n");
    check("UTF-8", b"\xef\xbb\xbfx\xff", "x\u{fffd}");
    check("", "Bücher".as_bytes(), "Bücher");
    check("us-ascii", b"B\xfccher \x80", "Bücher €");
    check("x-unknown", b"B\xfccher", "Bücher");
    check("iso-8859-1", b"\xe1\x80", "á€");
    check("ISO-8859-2", b"\xb1\xe6", "ąć");
    check("iso-8859-15", b"\xa4", "€");
    check("iso-8859-16", b"\xaa", "Ș");
    check("windows-1251", b"\xcf\xf0\xe8\xe2\xe5\xf2", "Привет");
    check("koi8-r", b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет");
    check("koi8-u", b"\xf3\xd7\xa6\xd4", "Світ");
    check("iso-2022-jp", b"\x1b$B%O%m!<\x1b(B.", "ハロー.");
    check("shift_jis", b"\x83n\x83\x8D\x81[", "ハロー");
    check("euc-jp", b"\xa5\xcf\xa5\xed\xa1\xbc", "ハロー");
    check("gb2312", b"\xc4\xe3\xba\xc3", "你好");
    check("gb18030", b"\xc4\xe3\xba\xc3", "你好");
    check("big5", b"\xa7A\xa6n", "你好");
    check("euc-kr", b"\xbe\xc8\xb3\xe7", "안녕");
    check("hz-gb-2312", b"a~~~{Dc:C~}b~\nc~{Dc\nDc~}", "a~你好bc你\nDc");
    check("iso-2022-kr", b"\x1b$)C\x0e>H3g\x0f!\nab", "안녕!\nab");
    check("utf-7", b"Hi +Jjo-!\n+ZeVnLIqe", "Hi ☺!\n日本語");
    check("utf-7", b"a\n\n", "a\n\n");
    check("UTF-7", b"1 +- 1 +BD8EQAQ4 +BDI. +BDI-a+b\r\n", "1 + 1 при в. вa\r\n");
    check("utf-7", b"+2D3eAA-+2D0-+ +", "😀\u{fffd}+ +");
    check("utf-16le", b"a\0b\0", "ab");
    check("utf-16", b"\xfe\xff\0a\0b", "ab");
    check("utf-16", b"\xff\xfea\0b\0", "ab");
    check("cp850", b"\x81", "ü");
    check("macintosh", b"\x87", "á");
}

#[test]
fn decoding_is_total_and_its_memory_bounded() {
    let mut state = 3_u64;
    let noise: Vec<u8> = (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few line ends, many escapes.
            *b"\x1b$B~{\x0e+/\x80\xff\x00Aa-"
                .get(usize::try_from(state >> 60).unwrap())
                .unwrap_or(&b'x')
        })
        .collect();
    for label in [
        "utf-8",
        "utf-7",
        "utf-16",
        "hz",
        "iso-2022-kr",
        "iso-2022-jp",
        "gb18030",
        "big5",
        "cp850",
        "euc-jp",
        "shift_jis",
        "x",
        "",
        "iso-8859-11",
        "koi8-u",
        "unicode",
        "replacement",
    ] {
        let (mut decoder, mut out) = (TextDecoder::new(label.as_bytes()), String::new());
        for piece in noise.chunks(1000) {
            decoder.feed(piece, &mut out);
        }
        decoder.finish(&mut out);
        assert!(!out.is_empty() && out.len() <= noise.len() * 3 + 3, "{label}");
        assert!(!charset_to_text(label.as_bytes(), &noise[..5000]).is_empty());
        for end in 0..40 {
            drop(charset_to_text(label.as_bytes(), &noise[..end]));
        }
    }
    assert_eq!(charset_to_text(&[0xff; 10_000], b"x"), "x");
}

#[test]
fn needles_are_found_across_pieces_without_case() {
    let found = |needle: &str, text: &str| {
        let mut whole = Needle::new(needle);
        let found = whole.feed(text);
        let mut pieces = Needle::new(needle);
        text.chars().for_each(|letter| {
            pieces.feed(letter.encode_utf8(&mut [0; 4]));
        });
        assert_eq!(pieces.is_found(), found, "{needle:?} in {text:?}");
        assert_eq!(whole.is_in(text), found);
        found
    };
    assert!(found("", ""));
    assert!(found("bücher", "viele BÜCHER"));
    assert!(found("BÜCHER", "viele bu\u{308}cher"));
    assert!(found("привет", "ПРИВЕТ"));
    assert!(found("aab", "aaab"));
    assert!(!found("aab", "aaa b"));
    let mut needle = Needle::new("ab");
    assert!(!needle.feed("a"));
    needle.restart();
    assert!(!needle.feed("b"));
}
