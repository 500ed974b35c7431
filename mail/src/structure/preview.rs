//! The preview: the first words of the first text that a person would read (RFC 8970 §3.1).

use mail_parser::decoders::html::add_html_token;

use crate::part::{Encoding, Part};
use crate::summary::PREVIEW_BYTES_MAX;
use crate::text::charset_to_text;
use crate::transfer;

/// Bytes of a body that are looked at. HTML has its styles in front.
const PLAIN_BYTES_MAX: usize = 4 * 1024;
const HTML_BYTES_MAX: usize = 32 * 1024;

/// Texts that are tried until one has words.
const TRIES_MAX: u32 = 8;

/// Collects the preview while bodies stream by.
#[derive(Debug, Default)]
pub(super) struct Preview {
    text: String,
    capture: Option<Capture>,
    tries: u32,
}

#[derive(Debug)]
struct Capture {
    encoding: Encoding,
    charset: Vec<u8>,
    html: bool,
    bytes: Vec<u8>,
}

impl Preview {
    /// A leaf begins; its body comes next.
    pub(super) fn offer(&mut self, part: &Part) {
        let html = part.is("text", "html");
        let wanted = html || part.is("text", "plain");
        if !wanted || part.is_attachment() || !self.text.is_empty() || self.tries >= TRIES_MAX {
            return;
        }
        self.tries += 1;
        self.capture = Some(Capture {
            encoding: part.encoding.clone(),
            charset: part.param("charset").unwrap_or_default().to_vec(),
            html,
            bytes: Vec::new(),
        });
    }

    /// Body bytes go by.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let Some(capture) = &mut self.capture else { return };
        let most = if capture.html { HTML_BYTES_MAX } else { PLAIN_BYTES_MAX };
        let room = most.saturating_sub(capture.bytes.len());
        capture.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The leaf ends.
    pub(super) fn close(&mut self) {
        let Some(capture) = self.capture.take() else { return };
        let decoded = transfer::decode(&capture.encoding, &capture.bytes);
        let text = charset_to_text(&capture.charset, &decoded);
        self.text = if capture.html { shorten(&strip_html(&text)) } else { shorten(&text) };
    }

    /// The preview, at most [`PREVIEW_BYTES_MAX`] bytes.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The first [`PREVIEW_BYTES_MAX`] bytes, cut between characters, white space made single.
fn shorten(text: &str) -> String {
    let mut out = String::new();
    let mut space = false;
    for letter in text.chars() {
        // Zero-width padding that newsletters put behind their first line is no text either.
        let invisible =
            matches!(letter, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{feff}');
        if letter.is_whitespace() || letter.is_control() || invisible {
            space |= !invisible;
            continue;
        }
        let width = letter.len_utf8() + usize::from(space && !out.is_empty());
        if out.len() + width > PREVIEW_BYTES_MAX {
            break;
        }
        if space && !out.is_empty() {
            out.push(' ');
        }
        space = false;
        out.push(letter);
    }
    out
}

/// The text of HTML, roughly: tags, comments and what is never shown are spaces, entities are
/// characters. Not for display: nothing is made safe here.
fn strip_html(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 4);
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, tagged) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        rest = if tagged.starts_with('<') {
            after_tag(tagged, &mut out)
        } else {
            after_entity(tagged, &mut out)
        };
    }
    out.push_str(rest);
    out
}

/// What follows the tag or comment at the start of `text`, and its content if it is never shown.
fn after_tag<'a>(text: &'a str, out: &mut String) -> &'a str {
    let past = |text: &'a str, end: &str| text.split_once(end).map_or("", |(_, after)| after);
    if text.starts_with("<!--") {
        return past(text, "-->");
    }
    let name: &str = text.get(1..).unwrap_or_default();
    if !name.starts_with(|letter: char| letter.is_ascii_alphabetic() || "/!?".contains(letter)) {
        out.push('<');
        return name;
    }
    let (closes, name) = name.strip_prefix('/').map_or((false, name), |name| (true, name));
    let length = name.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(name.len());
    let name = name.get(..length).unwrap_or_default().to_ascii_lowercase();
    let inline = ["a", "b", "i", "em", "strong", "span", "font", "u", ""].contains(&name.as_str());
    if !inline {
        out.push(' ');
    }
    let after = past(text, ">");
    match name.as_str() {
        "style" | "script" | "title" if !closes => {
            let mut rest = after;
            // The end tag in any case.
            while let Some((_, end)) = rest.split_once("</") {
                let is_end =
                    end.get(..name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(&name));
                if is_end {
                    return past(end, ">");
                }
                rest = end;
            }
            ""
        }
        _ => after,
    }
}

/// What follows the entity at the start of `text`; its character goes to `out`.
fn after_entity<'a>(text: &'a str, out: &mut String) -> &'a str {
    const ENTITY_BYTES_MAX: usize = 33;
    let end = text.bytes().take(ENTITY_BYTES_MAX).position(|byte| byte == b';');
    match end.and_then(|end| text.split_at_checked(end + 1)) {
        Some((entity, rest)) if entity.is_ascii() => {
            add_html_token(out, entity.as_bytes(), false);
            rest
        }
        _ => {
            out.push('&');
            text.get(1..).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_stripped() {
        for (html, expected) in [
            ("<p>Hello&nbsp;<b>W</b>orld</p><p>x", "Hello World x"),
            ("<head><TITLE>t</TITLE><style>p > a {}</style><!-- <p>no --></head>a&lt;b", "a<b"),
            ("<script>if (a</b) {}</SCRIPT >x", "x"),
            ("<style>never closed", ""),
            ("a < b &amp; c &unknown; &#252;&#xfc; &", "a < b & c &unknown; üü &"),
            ("<p", ""),
            ("<!-- unclosed", ""),
            ("é<é>&é;", "é<é>&é;"),
            ("line<br>\r\nline<div>x</div>y", "line line x y"),
        ] {
            assert_eq!(shorten(&strip_html(html)), expected, "{html:?}");
        }
    }

    // RFC 8970 §3.1.
    #[test]
    fn previews_are_short_and_end_between_characters() {
        assert_eq!(shorten(" a\r\n\t b \u{200b}\0c "), "a b c");
        assert_eq!(shorten(&"ü".repeat(300)).len(), 256);
        assert_eq!(shorten(&format!("a{}", "ü".repeat(300))).len(), 255);
        assert_eq!(shorten(&"x ".repeat(300)).len(), 255);
    }

    #[test]
    fn stripping_is_linear() {
        for piece in ["<", "<style>", "</", "<!--", "&", "&amp", "<p ", "<title></x"] {
            assert!(strip_html(&piece.repeat(50_000)).len() <= piece.len() * 50_000 + 50_000);
        }
    }
}
