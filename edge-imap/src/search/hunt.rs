//! Looking for several strings at once in the text of one message: of a header as people read
//! it, of a part with its transfer encoding and charset undone, in pieces of bounded size.

use mail::header;
use mail::part::Part;
use mail::text::{Needle, TextDecoder};
use mail::transfer::Decoder;

/// Which strings have been found.
#[derive(Debug)]
pub(crate) struct Hunt {
    needles: Vec<Needle>,
    found: Vec<bool>,
}

impl Hunt {
    /// Begins with nothing found.
    pub(crate) fn new(needles: &[Needle]) -> Self {
        Self { needles: needles.to_vec(), found: vec![false; needles.len()] }
    }

    /// Whether nothing is left to look for.
    pub(crate) fn is_over(&self) -> bool {
        self.found.iter().all(|found| *found)
    }

    /// The next piece of a text.
    pub(crate) fn see(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        for (needle, found) in self.needles.iter_mut().zip(&mut self.found) {
            *found = *found || needle.feed(text);
        }
    }

    /// The text ended; what comes next does not continue it.
    pub(crate) fn rest(&mut self) {
        self.needles.iter_mut().for_each(Needle::restart);
    }

    /// A header: each field's name and text, decoded.
    pub(crate) fn see_header(&mut self, header: &[u8]) {
        for field in header::fields(header) {
            if self.is_over() {
                return;
            }
            self.see(&String::from_utf8_lossy(field.name));
            self.see(": ");
            self.see(&header::decode_text(field.value));
            self.rest();
        }
    }

    /// For each string, whether it was found.
    pub(crate) fn found(&self) -> &[bool] {
        &self.found
    }
}

/// Reads the body of one text part into a hunt.
pub(crate) struct TextReader {
    transfer: Decoder,
    charset: TextDecoder,
    /// Text of an HTML part, gathered up to [`HTML_BYTES_MAX`] to be read as it is shown.
    html: Option<String>,
}

/// Of an HTML part so much is also searched as it is shown; beyond it, as it is written only.
const HTML_BYTES_MAX: usize = 1024 * 1024;

impl TextReader {
    /// A reader of the body of `part`; `None` if it is no text.
    pub(crate) fn of(part: &Part) -> Option<Self> {
        if part.media != "text" && part.media != "message" || !part.children().is_empty() {
            return None;
        }
        Some(Self {
            transfer: Decoder::new(&part.encoding),
            charset: TextDecoder::new(part.param("charset").unwrap_or_default()),
            html: part.is("text", "html").then(String::new),
        })
    }

    /// The next bytes of the body as it is stored.
    pub(crate) fn feed(&mut self, bytes: &[u8], hunt: &mut Hunt) {
        let mut decoded = Vec::with_capacity(bytes.len());
        self.transfer.feed(bytes, &mut decoded);
        self.decoded(&decoded, hunt);
    }

    /// The body has ended.
    pub(crate) fn finish(mut self, hunt: &mut Hunt) {
        let mut decoded = Vec::new();
        self.transfer.finish(&mut decoded);
        self.decoded(&decoded, hunt);
        let mut last = String::new();
        self.charset.finish(&mut last);
        self.text(&last, hunt);
        hunt.rest();
        if let Some(html) = self.html.filter(|_| !hunt.is_over()) {
            hunt.see(&mail_parser::decoders::html::html_to_text(&html));
            hunt.rest();
        }
    }

    fn decoded(&mut self, decoded: &[u8], hunt: &mut Hunt) {
        let mut text = String::new();
        self.charset.feed(decoded, &mut text);
        self.text(&text, hunt);
    }

    fn text(&mut self, text: &str, hunt: &mut Hunt) {
        hunt.see(text);
        if let Some(html) = &mut self.html
            && html.len() + text.len() <= HTML_BYTES_MAX
        {
            html.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::part::{Encoding, Param};

    fn part(subtype: &str, encoding: &str, charset: &str) -> Part {
        let value = charset.as_bytes().to_vec();
        Part {
            subtype: subtype.into(),
            encoding: Encoding::parse(encoding),
            params: vec![Param { name: "charset".into(), value }],
            ..Part::plain(0..0, 0..0)
        }
    }

    fn check(part: &Part, body: &[u8], needle: &str, expected: bool) {
        for size in [1, 7, 100_000] {
            let mut hunt = Hunt::new(&[Needle::new(needle)]);
            let mut reader = TextReader::of(part).unwrap();
            body.chunks(size).for_each(|piece| reader.feed(piece, &mut hunt));
            reader.finish(&mut hunt);
            assert_eq!(hunt.found(), [expected], "{needle} in {part:?} by {size}");
        }
    }

    #[test]
    fn text_is_found_in_its_charset_and_encoding() {
        check(&part("plain", "", ""), b"Hello World", "hello world", true);
        check(&part("plain", "", "utf-8"), "naïve".as_bytes(), "NAÏVE", true);
        let latin = part("plain", "quoted-printable", "ISO-8859-1");
        check(&latin, b"caf=E9 au l=\r\nait", "café au lait", true);
        check(&part("plain", "base64", "koi8-r"), b"8NLJ18XU", "привет", true);
        check(&part("plain", "base64", "utf-8"), b"YWJj", "YWJj", false);
        check(&part("plain", "x-odd", "x-odd"), b"plain", "plain", true);
    }

    #[test]
    fn html_is_found_as_written_and_as_shown() {
        let html = part("html", "", "utf-8");
        let body = "<p>Price: <b>5 &euro;</b></p>".as_bytes();
        check(&html, body, "price: 5 €", true);
        check(&html, body, "<b>5", true);
        check(&html, body, "script", false);
    }

    #[test]
    fn fields_are_found_decoded_and_one_by_one() {
        let mut hunt = Hunt::new(&["grüße: an", "subject: gr", "b c"].map(Needle::new));
        hunt.see_header(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=: an alle\r\nA: b\r\nC: d\r\n\r\n");
        assert_eq!(hunt.found(), [true, true, false]);
    }
}
