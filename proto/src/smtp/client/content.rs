//! Content as it goes out: dots stuffed, and never a bare CR or LF (A1).

use memchr::memchr3;

/// The content cannot be sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsendable(pub(super) &'static str);

const BARE: Unsendable = Unsendable("the content has a CR or LF that is not part of a CRLF");
const NUL: Unsendable = Unsendable("the content has a NUL");

/// Checks content piece by piece, and stuffs dots for DATA (RFC 5321 §4.5.2).
#[derive(Debug)]
pub(super) struct Encoder {
    /// For DATA; chunks of BDAT go as they are.
    stuff: bool,
    /// BODY=BINARYMIME: everything goes.
    binary: bool,
    at_line_start: bool,
    after_cr: bool,
}

impl Encoder {
    pub(super) const fn data() -> Self {
        Self { stuff: true, binary: false, at_line_start: true, after_cr: false }
    }

    pub(super) const fn chunks(binary: bool) -> Self {
        Self { stuff: false, binary, at_line_start: true, after_cr: false }
    }

    pub(super) const fn is_chunked(&self) -> bool {
        !self.stuff
    }

    /// Appends `piece` to `out`. After an error nothing may follow, the end least of all.
    pub(super) fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Unsendable> {
        if self.binary {
            out.extend_from_slice(piece);
            return Ok(());
        }
        out.reserve(piece.len() + 64);
        let mut rest = piece;
        while let Some((&first, after)) = rest.split_first() {
            if self.after_cr {
                if first != b'\n' {
                    return Err(BARE);
                }
                out.push(b'\n');
                (self.after_cr, self.at_line_start) = (false, true);
                rest = after;
                continue;
            }
            if self.at_line_start && self.stuff && first == b'.' {
                out.push(b'.');
            }
            self.at_line_start = false;
            let Some(end) = memchr3(b'\r', b'\n', 0, rest) else {
                out.extend_from_slice(rest);
                return Ok(());
            };
            let (line, from_end) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            out.extend_from_slice(line);
            match from_end.first() {
                Some(b'\r') => {}
                Some(b'\n') => return Err(BARE),
                _ => return Err(NUL),
            }
            out.push(b'\r');
            self.after_cr = true;
            rest = from_end.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// What ends the content: for DATA a line's end if there was none, and the final dot.
    pub(super) const fn end(&self) -> Result<&'static [u8], Unsendable> {
        if self.after_cr {
            return Err(BARE);
        }
        Ok(match (self.stuff, self.at_line_start) {
            (false, _) => b"",
            (true, true) => b".\r\n",
            (true, false) => b"\r\n.\r\n",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(pieces: &[&[u8]]) -> Result<Vec<u8>, Unsendable> {
        let mut encoder = Encoder::data();
        let mut out = vec![];
        for piece in pieces {
            encoder.encode(piece, &mut out)?;
        }
        out.extend_from_slice(encoder.end()?);
        Ok(out)
    }

    #[track_caller]
    fn check(content: &[u8], expected: Result<&[u8], Unsendable>) {
        for split in 0..=content.len() {
            let (a, b) = content.split_at(split);
            let found = encode(&[a, b]);
            assert_eq!(found.as_deref().map_err(|e| *e), expected, "split at {split}");
        }
    }

    #[test]
    fn dots_are_stuffed_at_the_start_of_lines_only() {
        check(b"", Ok(b".\r\n"));
        check(b".", Ok(b"..\r\n.\r\n"));
        check(b"a.b\r\n", Ok(b"a.b\r\n.\r\n"));
        check(b"a\r\n.\r\nb", Ok(b"a\r\n..\r\nb\r\n.\r\n"));
        check(b".a\r\n..\r\n\r\n.\r\n", Ok(b"..a\r\n...\r\n\r\n..\r\n.\r\n"));
        check("\r\n.\u{e9}\r\n".as_bytes(), Ok("\r\n..\u{e9}\r\n.\r\n".as_bytes()));
    }

    /// A1, the other direction: no way of ending a message that others might take for the end is
    /// ever sent.
    #[test]
    fn no_bare_line_end_is_ever_sent() {
        for bad in [
            &b"a\n.\n"[..],
            b"a\n.\r",
            b"a\r.\n",
            b"a\r.\r",
            b"a\n.\r\n",
            b"a\r.\r\n",
            b"a\r\n.\n",
            b"a\r\n.\r",
            b"a\r\n.\r\r\n",
            b"a\r\r\n.\r\r\n",
            b"\n",
            b"\r",
        ] {
            check(bad, Err(BARE));
        }
        check(b"a\r\n\0.\r\n", Err(NUL));
    }

    #[test]
    fn chunks_go_as_they_are_but_for_bare_line_ends_in_text() {
        let mut out = vec![];
        let mut text = Encoder::chunks(false);
        text.encode(b".\r\n.\r\n", &mut out).unwrap();
        assert_eq!((out.as_slice(), text.end()), (&b".\r\n.\r\n"[..], Ok(&b""[..])));
        assert_eq!(text.encode(b"a\nb", &mut out), Err(BARE));
        let mut binary = Encoder::chunks(true);
        out.clear();
        binary.encode(b"a\n\0\r", &mut out).unwrap();
        assert_eq!((out.as_slice(), binary.end()), (&b"a\n\0\r"[..], Ok(&b""[..])));
    }
}
