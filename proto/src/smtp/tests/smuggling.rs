//! A1 through the whole core: what may and may not end a message.

use super::super::*;
use super::replay::{Run, config};

/// A1.
const SEQUENCES: [&[u8]; 11] = [
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

const SMUGGLED: &[u8] =
    b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nsmuggled\r\n.\r\n";

fn in_data(config: Config) -> Run {
    let mut run = Run::new(config, false, false);
    run.feed(b"HELO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<ana@example.test>\r\nDATA\r\n");
    assert!(run.said.ends_with("354 Go on, end with <CRLF>.<CRLF>\r\n"));
    run.said.clear();
    run
}

// CVE-2023-51764, CVE-2023-51765, CVE-2023-51766, RUSTSEC-2021-0069
#[test]
fn no_sequence_but_crlf_dot_crlf_ends_a_message_at_any_split() {
    for sequence in SEQUENCES {
        let shown = sequence.escape_ascii().to_string();
        let whole = [b"innocent", sequence, SMUGGLED].concat();
        for split in 0..=whole.len() {
            let mut run = in_data(config());
            run.feed(&whole[..split]);
            run.feed(&whole[split..]);
            // One message, and that one refused: the smuggled commands were its text.
            assert_eq!(run.stored, 0, "{shown} at {split}");
            assert_eq!(run.said.matches("\r\n").count(), 1, "{shown} at {split}: {}", run.said);
            assert!(run.said.starts_with("550 5.6.0 "), "{shown} at {split}: {}", run.said);
            assert!(run.taking.is_none(), "{shown}: the edge was told to throw it away");
            run.said.clear();
            run.feed(b"NOOP\r\n");
            assert_eq!(run.said, "250 2.0.0 OK\r\n", "{shown}: in step again");
        }
    }
}

#[test]
fn a_bare_line_end_is_refused_wherever_it_is_and_nobody_is_exempt() {
    for bare in [&b"\n"[..], b"\r", b"\0"] {
        for text in ["", "a", "a\r\n", "a\r\n\r\nb"] {
            let whole = [text.as_bytes(), bare, b"x\r\n.\r\n"].concat();
            let mut run = in_data(config());
            run.feed(&whole);
            assert!(run.said.starts_with("550 5.6.0 "), "{}", run.said);
            assert_eq!(run.stored, 0);
        }
    }
}

#[test]
fn a_message_that_never_ends_is_cut_off_without_being_kept() {
    let mut run = in_data(config());
    for _ in 0..70 {
        run.feed(&[b'x'; 1_000]);
    }
    assert!(run.closed && run.taking.is_none() && run.stored == 0);
    assert_eq!(run.said, "552 5.3.4 Message too large\r\n[close]");
}

#[test]
fn long_text_lines_are_taken_and_kept() {
    let mut config = config();
    config.limits.message_bytes_max = 10_000_000;
    let mut run = in_data(config);
    for _ in 0..100 {
        run.feed(&[b'x'; 50_000]);
    }
    run.feed(b"\r\n.\r\n");
    assert_eq!(run.stored, 1, "{}", run.said);
    assert_eq!(run.contents[0].len(), 5_000_000 + "\\r\\n".len());
}
