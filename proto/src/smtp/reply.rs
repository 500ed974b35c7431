//! Replies, with enhanced status codes (RFC 2034, RFC 3463).

use std::borrow::Cow;

/// Longest text of one line of a reply, in bytes; RFC 5321 §4.5.3.1.5 has 512 for the whole line.
const TEXT_BYTES_MAX: usize = 480;

/// A reply: code, enhanced status code, one line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<(u16, u16)>,
    text: Cow<'static, str>,
}

impl Reply {
    /// `code` (200..=599) with the enhanced code `<its class>.<subject>.<detail>`. The text is
    /// cut to what fits in a line when sent, and whatever is not printable ASCII becomes "?", so
    /// that no text can end the reply (D3).
    #[must_use]
    pub fn new(
        code: u16,
        (subject, detail): (u16, u16),
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { code, enhanced: Some((subject, detail)), text: text.into() }
    }

    /// Replies that have no enhanced code: 3xx (RFC 2034 §3).
    pub(super) const fn plain(code: u16, text: &'static str) -> Self {
        Self { code, enhanced: None, text: Cow::Borrowed(text) }
    }

    /// As [`Self::new`], of literals.
    pub(super) const fn of(code: u16, subject: u16, detail: u16, text: &'static str) -> Self {
        Self { code, enhanced: Some((subject, detail)), text: Cow::Borrowed(text) }
    }

    /// The three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// Whether it refuses for ever (5xx).
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Appends the line as it goes over the wire.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code.to_string().as_bytes());
        out.push(b' ');
        if let Some((subject, detail)) = self.enhanced {
            let class = self.code / 100;
            out.extend_from_slice(format!("{class}.{subject}.{detail} ").as_bytes());
        }
        let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
        out.extend(
            self.text
                .chars()
                .map(printable)
                .filter_map(|c| u8::try_from(c).ok())
                .take(TEXT_BYTES_MAX),
        );
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply) -> String {
        let mut out = vec![];
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    // RFC 5321 §4.5.3.1.5.
    #[test]
    fn a_reply_is_one_line_whatever_its_text() {
        let reply = Reply::new(550, (1, 1), "no user <a\r\n250 ok\u{e9}> here");
        assert_eq!(written(&reply), "550 5.1.1 no user <a??250 ok?> here\r\n");
        assert_eq!(written(&Reply::plain(354, "go on")), "354 go on\r\n");
        let long = written(&Reply::new(451, (3, 0), "x".repeat(5_000)));
        assert!(long.len() <= 512 && long.ends_with("x\r\n"));
    }
}
