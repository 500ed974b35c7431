//! Transcripts: `C:` what the client says, `S:` what it must be told, whole, byte by byte, and cut,
//! timed out and drained at every point. See `transcripts/README.md` for the format.

mod limits;
mod replay;
mod smuggling;

use replay::{Transcript, all};

#[test]
fn transcripts_come_out_as_written_however_the_bytes_come() {
    for transcript in all() {
        transcript.whole();
        transcript.byte_by_byte();
        transcript.split_at_every_point();
    }
}

/// Promise 1: whatever happens, only what was whole is stored, and only what is stored is
/// acknowledged.
#[test]
fn a_connection_that_ends_anywhere_leaves_nothing_half_acknowledged() {
    for transcript in all() {
        transcript.cut_at_every_point();
    }
}

#[test]
fn a_deadline_or_a_drain_at_any_point_ends_with_a_421() {
    for transcript in all() {
        transcript.late_at_every_point();
        transcript.drained_at_every_point();
    }
}

#[test]
fn there_is_a_transcript_for_every_command() {
    let texts: Vec<String> = all().map(Transcript::into_text).collect();
    for verb in [
        "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "HELP", "VRFY",
        "STARTTLS", "AUTH",
    ] {
        assert!(texts.iter().any(|text| text.contains(&format!("C: {verb}"))), "{verb}");
    }
}
