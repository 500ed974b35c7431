use super::*;

/// Feeds `input` to a scanner in the pieces that end at `cuts`; returns content, what is left over
/// after the end, and the fault. `None`: it did not end.
fn data(input: &[u8], cuts: &[usize]) -> Option<(Vec<u8>, Vec<u8>, Option<Fault>)> {
    let mut scanner = Data::new();
    let (mut content, mut waiting) = (vec![], vec![]);
    let mut from = 0;
    for cut in cuts.iter().copied().chain([input.len()]) {
        waiting.extend_from_slice(&input[from..cut]);
        from = cut;
        loop {
            let piece = scanner.scan(&waiting);
            content.extend_from_slice(&waiting[piece.content]);
            waiting.drain(..piece.consumed);
            match piece.then {
                Then::More => {}
                Then::CrLf => panic!("only in chunks"),
                Then::Starved => break,
                Then::End => {
                    waiting.extend_from_slice(&input[from..]);
                    return Some((content, waiting, scanner.fault));
                }
            }
        }
        assert!(waiting.len() < 3, "held back: {waiting:?}");
    }
    None
}

/// The same at every split into two and three pieces, and byte by byte.
#[track_caller]
fn check(input: &[u8], content: &[u8], rest: &[u8], fault: Option<Fault>) {
    let expected = Some((content.to_vec(), rest.to_vec(), fault));
    let same = |cuts: &[usize]| {
        let found = data(input, cuts);
        if fault.is_none() {
            assert_eq!(found, expected, "{:?} cut at {cuts:?}", input.escape_ascii().to_string());
        } else {
            // How much came before the fault depends on the cuts, and is thrown away anyway.
            let (_, found_rest, found_fault) = found.unwrap();
            assert_eq!((&*found_rest, found_fault), (rest, fault), "cut at {cuts:?}");
        }
    };
    same(&[]);
    same(&(1..input.len()).collect::<Vec<_>>());
    for a in 0..=input.len() {
        for b in a..=input.len() {
            same(&[a, b]);
        }
    }
}

// RFC 5321 §4.5.2
#[test]
fn data_ends_at_a_dot_alone_and_other_dots_are_unstuffed() {
    check(b".\r\n", b"", b"", None);
    check(b".\r\nQUIT\r\n", b"", b"QUIT\r\n", None);
    check(b"a\r\n.\r\nx", b"a\r\n", b"x", None);
    check(b"..\r\n.\r\n", b".\r\n", b"", None);
    check(b"..a\r\n...\r\n\r\n..\r\n.\r\n", b".a\r\n..\r\n\r\n.\r\n", b"", None);
    // RFC 5321 §4.5.2: also a dot that was not doubled goes, if there is more on its line.
    check(b".a\r\n.\r\n", b"a\r\n", b"", None);
    check(b"\r\n\r\n.\r\n", b"\r\n\r\n", b"", None);
    check(b"a.\r\nb\r\n.\r\n", b"a.\r\nb\r\n", b"", None);
    check("ä\r\n.\r\n".as_bytes(), "ä\r\n".as_bytes(), b"", None);
}

/// A1: what some servers have taken for the end of a message.
const SMUGGLED: [&[u8]; 11] = [
    b"\n.\n",
    b"\n.\r",
    b"\r.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
];

// A1: CVE-2023-51764, -51765, -51766.
#[test]
fn nothing_else_ends_data_and_every_bare_line_end_is_a_fault() {
    for sequence in SMUGGLED {
        let fault = if sequence.contains(&0) { Fault::Nul } else { Fault::BareLineEnd };
        let inner = [b"a", sequence, b"MAIL FROM:<x@y>\r\n"].concat();
        assert_eq!(data(&inner, &[]), None, "{:?}", sequence.escape_ascii().to_string());
        check(&[&*inner, b".\r\nQUIT\r\n"].concat(), b"", b"QUIT\r\n", Some(fault));
        // At the very start of the content too.
        let start = [sequence, b"x\r\n.\r\n"].concat();
        check(&start, b"", b"", Some(fault));
    }
    check(b"x\r\r\n.\r\n", b"", b"", Some(Fault::BareLineEnd));
    check(b"x\0\r\n.\r\n", b"", b"", Some(Fault::Nul));
}

#[test]
fn a_fault_throws_the_rest_away_but_the_end_is_still_found() {
    let mut scanner = Data::new();
    scanner.fail(Fault::TooLarge);
    scanner.fail(Fault::Nul);
    let piece = scanner.scan(b"abc\r\n.\r\n");
    assert_eq!((piece.consumed, piece.content, piece.then), (5, 0..0, Then::More));
    assert_eq!(scanner.scan(b".\r\n").then, Then::End);
    assert_eq!(scanner.fault, Some(Fault::TooLarge));
}

/// Content of one message in chunks, each given to the scanner in pieces of `step` bytes.
fn chunks(binary: bool, parts: &[&[u8]], step: usize) -> Result<Vec<u8>, Fault> {
    let mut scanner = Chunk::new(binary);
    let mut content = vec![];
    for part in parts {
        scanner.begin(part.len() as u64);
        // What follows the chunk is not touched.
        let input = [part, &b"BDAT 0\r\n"[..]].concat();
        let (mut from, mut to) = (0, 0);
        loop {
            let piece = scanner.scan(&input[from..to]);
            content.extend_from_slice(&input[from..to][piece.content]);
            from += piece.consumed;
            match piece.then {
                Then::More => {}
                Then::CrLf => content.extend_from_slice(b"\r\n"),
                Then::Starved => to = (to + step).min(input.len()),
                Then::End => break,
            }
        }
        assert_eq!(from, part.len());
    }
    scanner.finish();
    scanner.fault.map_or(Ok(content), Err)
}

// A1: bare LF in BDAT becomes CRLF, and is kept with BODY=BINARYMIME.
#[test]
fn chunks_mend_a_bare_lf_and_refuse_a_bare_cr_wherever_they_are_cut() {
    #[track_caller]
    fn check(binary: bool, message: &[u8], expected: Result<&[u8], Fault>) {
        for step in [1, 2, 3, 100] {
            for a in 0..=message.len() {
                for b in a..=message.len() {
                    let parts = [&message[..a], &message[a..b], &message[b..]];
                    let found = chunks(binary, &parts, step);
                    assert_eq!(found.as_deref(), expected.as_ref().map(|e| *e), "{a} {b} {step}");
                }
            }
        }
    }
    check(false, b"a\r\n.\r\n..b\r\n", Ok(b"a\r\n.\r\n..b\r\n"));
    check(false, b"a\nb\n\nc\r\n\n", Ok(b"a\r\nb\r\n\r\nc\r\n\r\n"));
    check(false, b"a\rb\r\n", Err(Fault::BareLineEnd));
    check(false, b"a\r\r\nb\r\n", Err(Fault::BareLineEnd));
    check(false, b"a\r", Err(Fault::BareLineEnd));
    check(false, b"a\0\r\n", Err(Fault::Nul));
    check(true, b"a\rb\nc\0\r\r\n", Ok(b"a\rb\nc\0\r\r\n"));
    check(true, b"\r", Ok(b"\r"));
    check(false, b"", Ok(b""));
}
