//! Made-up mail that looks like mail: names, subjects, threads, lists, newsletters, attachments.

use std::fmt::Write;

use super::Numbers;

const NAMES: [&str; 16] = [
    "Ana Bērziņa",
    "José García",
    "Liu Wei",
    "Olga Petrova",
    "John Smith",
    "Mary O'Neill",
    "Fatima Zahra",
    "Kim Min-jun",
    "Anders Holm",
    "Giulia Rossi",
    "Peter van Dijk",
    "Zoë Müller",
    "Ravi Kumar",
    "Emma Brown",
    "Jean-Luc Dubois",
    "Aiko Tanaka",
];
const HOSTS: [&str; 8] = [
    "example.org",
    "mail.example.com",
    "lists.example.net",
    "office.example.test",
    "uni.example.edu",
    "shop.example.co",
    "bugs.example.io",
    "smtp-out.example.email",
];
const WORDS: [&str; 96] = [
    "the",
    "of",
    "and",
    "to",
    "a",
    "in",
    "for",
    "is",
    "on",
    "that",
    "by",
    "this",
    "with",
    "you",
    "it",
    "not",
    "or",
    "be",
    "are",
    "from",
    "at",
    "as",
    "your",
    "all",
    "have",
    "new",
    "more",
    "an",
    "was",
    "we",
    "will",
    "home",
    "can",
    "us",
    "about",
    "if",
    "page",
    "my",
    "has",
    "search",
    "free",
    "but",
    "our",
    "one",
    "other",
    "do",
    "no",
    "information",
    "time",
    "they",
    "site",
    "he",
    "up",
    "may",
    "what",
    "which",
    "their",
    "news",
    "out",
    "use",
    "any",
    "there",
    "see",
    "only",
    "so",
    "his",
    "when",
    "contact",
    "here",
    "business",
    "who",
    "web",
    "also",
    "now",
    "help",
    "get",
    "view",
    "online",
    "first",
    "been",
    "would",
    "how",
    "were",
    "services",
    "some",
    "these",
    "click",
    "its",
    "like",
    "service",
    "than",
    "find",
    "price",
    "date",
    "meeting",
    "invoice",
];

fn pick<'a>(numbers: &mut Numbers, of: &[&'a str]) -> &'a str {
    of[numbers.below(of.len())]
}

fn words(numbers: &mut Numbers, count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        // Names, numbers and odd words between the frequent ones.
        let word = match numbers.below(16) {
            0 => format!("{:x}", numbers.below(1 << 20)),
            1 => pick(numbers, &NAMES).split(' ').next().unwrap().to_owned(),
            // The first ones more often, as in any text.
            _ => WORDS[numbers.below(WORDS.len()).min(numbers.below(WORDS.len()))].to_owned(),
        };
        let end = if index % 12 == 11 { "\r\n" } else { " " };
        write!(text, "{word}{end}").unwrap();
    }
    text.trim_end().to_owned()
}

fn token(numbers: &mut Numbers, length: usize) -> String {
    (0..length)
        .map(|_| char::from_digit(u32::try_from(numbers.below(36)).unwrap(), 36).unwrap())
        .collect()
}

fn message_id(numbers: &mut Numbers) -> String {
    let length = 16 + numbers.below(24);
    format!("<{}@{}>", token(numbers, length), pick(numbers, &HOSTS))
}

fn mailbox(numbers: &mut Numbers) -> String {
    let name = pick(numbers, &NAMES);
    let local = token(numbers, 7);
    let host = pick(numbers, &HOSTS);
    if name.is_ascii() {
        format!("{name} <{local}@{host}>")
    } else {
        let encoded = name.bytes().fold(String::new(), |mut text, byte| {
            if byte.is_ascii_alphabetic() {
                text.push(char::from(byte))
            } else {
                write!(text, "={byte:02X}").unwrap()
            }
            text
        });
        format!("=?utf-8?Q?{encoded}?= <{local}@{host}>")
    }
}

fn body(numbers: &mut Numbers, out: &mut String, depth: usize) {
    let count = 20 + numbers.below(200);
    match numbers.below(if depth > 2 { 5 } else { 10 }) {
        0..=3 => {
            let text = words(numbers, count);
            write!(out, "Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n").unwrap();
        }
        4 => {
            let text = words(numbers, count);
            write!(
                out,
                "Content-Type: text/html; charset=\"UTF-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                 <html><head><style>p {{ color: red }}</style></head><body><p>{text}</p></body></html>\r\n"
            )
            .unwrap();
        }
        5..=7 => {
            let boundary = token(numbers, 28);
            write!(out, "Content-Type: multipart/alternative; boundary=\"{boundary}\"\r\n\r\n")
                .unwrap();
            let text = words(numbers, count);
            write!(
                out,
                "--{boundary}\r\nContent-Type: text/plain; charset=\"UTF-8\"\r\n\r\n{text}\r\n\r\n--{boundary}\r\n\
                 Content-Type: text/html; charset=\"UTF-8\"\r\n\r\n<p>{text}</p>\r\n\r\n--{boundary}--\r\n"
            )
            .unwrap();
        }
        8 => {
            let boundary = format!("----=_Part_{}", token(numbers, 12));
            write!(out, "Content-Type: multipart/mixed; \r\n\tboundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n").unwrap();
            body(numbers, out, depth + 1);
            let (name, content) = (token(numbers, 9), token(numbers, 300));
            write!(
                out,
                "--{boundary}\r\nContent-Type: application/pdf; name=\"{name}.pdf\"\r\nContent-Disposition: attachment; \
                 filename=\"{name}.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{content}\r\n--{boundary}--\r\n"
            )
            .unwrap();
        }
        _ => {
            out.push_str("Content-Type: message/rfc822\r\n\r\n");
            header(numbers, out);
            body(numbers, out, depth + 1);
        }
    }
}

fn header(numbers: &mut Numbers, out: &mut String) {
    let (from, to) = (mailbox(numbers), mailbox(numbers));
    let subject_words = 2 + numbers.below(8);
    let subject = words(numbers, subject_words);
    let day = 1 + numbers.below(28);
    let time = numbers.below(86_400);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let id = message_id(numbers);
    write!(
        out,
        "Received: from {0} by {0}; Tue, {day} Nov 2026 {hour:02}:{minute:02}:{second:02} +0000\r\n\
         From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\n\
         Date: Tue, {day} Nov 2026 {hour:02}:{minute:02}:{second:02} +0100\r\nMessage-ID: {id}\r\nMIME-Version: 1.0\r\n",
        pick(numbers, &HOSTS)
    )
    .unwrap();
    if numbers.below(3) == 0 {
        let references: Vec<_> = (0..=numbers.below(4)).map(|_| message_id(numbers)).collect();
        let parent = references.last().unwrap();
        write!(out, "In-Reply-To: {parent}\r\nReferences: {}\r\n", references.join("\r\n "))
            .unwrap();
    }
    if numbers.below(4) == 0 {
        let list = token(numbers, 8);
        write!(
            out,
            "List-Id: <{list}.lists.example.net>\r\nReply-To: {list}@lists.example.net\r\n"
        )
        .unwrap();
    }
    if numbers.below(4) == 0 {
        let cc = mailbox(numbers);
        write!(out, "Cc: {cc}\r\n").unwrap();
    }
}

/// One message.
pub(super) fn mail(numbers: &mut Numbers) -> String {
    let mut message = String::new();
    header(numbers, &mut message);
    body(numbers, &mut message, 0);
    message
}
