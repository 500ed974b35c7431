//! Torture: everything that reads bytes, fed with damaged mail from seeds. Nothing may panic, and
//! what comes out must be sound. A failure names its seed.

mod mails;

use crate::address::Address;
use crate::codec::Reader;
use crate::date::{Date, DateTime};
use crate::envelope::{Envelope, Recipient};
use crate::header::{self, filter::Filter, filter::Unwanted};
use crate::mailbox::{ListPattern, MailboxName, utf7};
use crate::part::Encoding;
use crate::structure::tests::{assert_sound, random_message};
use crate::structure::{Limits, Scanned, Scanner};
use crate::summary::Summary;
use crate::text::{TextDecoder, charset_to_text};
use crate::trace::{Prefix, without_return_path};
use crate::transfer;
use crate::uidset::UidSet;
use crate::{FlagSet, Path};

/// Numbers that follow from a seed.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// What breaks parsers when it stands where nobody expects it.
const PIECES: [&[u8]; 32] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\r\n\r\n",
    b"\n\n",
    b"--",
    b"\xff",
    b"\"",
    b"\\",
    b"(",
    b")",
    b"<",
    b">",
    b"@",
    b",",
    b";",
    b":",
    b"=",
    b"=?utf-8?q?",
    b"?=",
    b"=?b?b?",
    b" ",
    b"\t",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
    b"--x\r\n",
    b"--x--\r\n",
    b"From: ",
    b"''%",
    b"*0*=",
    b"\xe2\x80",
];

/// Damages `bytes` a few times.
fn mutate(numbers: &mut Numbers, bytes: &mut Vec<u8>) {
    for _ in 0..=numbers.below(5) {
        let at = numbers.below(bytes.len() + 1);
        let end = (at + numbers.below(40)).min(bytes.len());
        match numbers.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let piece = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            2 => bytes.truncate(at),
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(numbers.below(256)).unwrap();
                }
            }
            _ => {
                let piece = PIECES[numbers.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
}

fn scan(numbers: &mut Numbers, message: &[u8]) -> Scanned {
    let mut whole = Scanner::new(Limits::default());
    whole.feed(message);
    let whole = whole.finish();
    let mut pieces = Scanner::new(Limits::default());
    let mut rest = message;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + numbers.below(200)).min(rest.len()));
        pieces.feed(piece);
        rest = after;
    }
    assert!(pieces.finish() == whole);
    whole
}

/// Everything that takes bytes apart.
fn read_everything(bytes: &[u8]) {
    let size = bytes.len();
    let mut at = 0;
    for field in header::fields(bytes) {
        assert_eq!(field.range.start, at);
        at = field.range.end;
        assert!(header::addresses(field.value).len() <= 2 * size + 2);
        // A Latin-1 byte becomes two bytes, an invalid one three.
        assert!(header::decode_text(field.value).len() <= 3 * size + 3);
        drop(header::content_type(field.value));
        if let Some(found) = header::disposition(field.value) {
            drop(header::params::decoded_param(&found.params, "filename"));
        }
        assert!(header::token_list(field.value).len() <= size);
        if let Some(time) = DateTime::parse(field.value) {
            assert_eq!(DateTime::parse(time.to_string().as_bytes()), Some(time));
            assert_eq!(DateTime::parse_imap(&time.to_imap()), Some(time));
        }
        assert!(header::unfold(field.value).len() <= size);
    }
    assert!(at <= size && header::header_length(bytes) >= at);
    for encoding in [Encoding::Base64, Encoding::QuotedPrintable] {
        assert!(transfer::decode(&encoding, bytes).len() <= size);
    }
    let removed = Unwanted::AuthenticationResults("x".into());
    let (mut filter, mut out) = (Filter::new(vec![Unwanted::Bcc, removed]), Vec::new());
    filter.feed(bytes, &mut out);
    filter.finish(&mut out);
    assert!(out.len() <= size && (filter.removed() > 0 || out == bytes));
    assert!(without_return_path(bytes).len() <= size);
}

/// Everything that takes text apart.
fn read_text(text: &str) {
    if let Ok(address) = Address::parse(text) {
        assert_eq!(Address::parse(&address.to_string()), Ok(address));
    }
    if let Ok(path) = Path::parse(text) {
        let envelope = Envelope::new(Some(path.clone()), vec![Recipient::new(path)]);
        assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    }
    if let Ok(name) = MailboxName::parse(text) {
        assert_eq!(MailboxName::parse(name.as_str()).as_ref(), Ok(&name));
        assert_eq!(MailboxName::parse_utf7(&name.to_utf7()).as_ref(), Ok(&name));
        assert!(ListPattern::new("", name.as_str()).unwrap().matches(&name));
        assert!(ListPattern::new("", "*").unwrap().matches(&name));
    }
    assert_eq!(utf7::decode(&utf7::encode(text)).as_deref(), Some(text));
    if let Some(decoded) = utf7::decode(text) {
        assert_eq!(utf7::encode(&decoded), text);
    }
    if let Ok(set) = UidSet::parse(text, 9) {
        assert!(set.is_empty() || UidSet::parse(&set.to_string(), 0) == Ok(set));
    }
    let mut flags = FlagSet::default();
    if flags.add_name(text).is_ok() {
        assert!(!flags.is_empty());
    }
    if let Some(time) = DateTime::parse_imap(text) {
        assert_eq!(DateTime::parse_imap(&time.to_imap()), Some(time));
    }
    assert!(Date::parse_imap(text).is_none_or(|date| Date::from_days(date.days()) == date));
    let mut prefix = Prefix::new();
    if prefix.push(text).is_ok() {
        assert_eq!(header::fields(text.as_bytes()).count(), 1);
    }
}

#[test]
fn damaged_mail_is_read_without_a_panic_and_soundly() {
    for seed in 0..1_500 {
        let mut numbers = Numbers::new(seed);
        let mut message = match seed % 3 {
            0 => random_message(&mut numbers),
            _ => mails::mail(&mut numbers).into_bytes(),
        };
        mutate(&mut numbers, &mut message);
        let scanned = scan(&mut numbers, &message);
        assert_sound(&scanned, message.len() as u64);
        read_everything(&message);
        for field in &scanned.summary.fields {
            read_everything(&field.raw);
        }
    }
}

#[test]
fn damaged_text_is_read_without_a_panic_and_soundly() {
    const SEEDS: [&str; 14] = [
        "ana@example.org",
        "\"a b\"@[192.0.2.1]",
        "böb@bücher.example",
        "a@[IPv6:2001:db8::1]",
        "INBOX/Entwürfe",
        "&ZeVnLIqe-/&U,BTFw-",
        "1:3,5,7:*",
        "$Forwarded",
        "17-Jul-1996 02:44:25 -0700",
        "1-Feb-1994",
        "X: y\r\n z\r\n",
        "Fri, 21 Nov 1997 09:55:06 -0600",
        "%/*",
        "xn--bcher-kva.example",
    ];
    for seed in 0..20_000 {
        let mut numbers = Numbers::new(seed);
        let mut bytes = SEEDS[numbers.below(SEEDS.len())].as_bytes().to_vec();
        mutate(&mut numbers, &mut bytes);
        read_text(&String::from_utf8_lossy(&bytes));
        read_everything(&bytes);
    }
}

#[test]
fn damaged_formats_are_refused_or_read_as_something_sound() {
    for seed in 0..4_000 {
        let mut numbers = Numbers::new(seed);
        let message = mails::mail(&mut numbers);
        let summary = scan(&mut numbers, message.as_bytes()).summary;
        // Before compression, so that damage reaches the format.
        let mut raw = summary.raw();
        assert_eq!(Summary::decode_raw(&mut Reader::new(&raw)).as_ref(), Ok(&summary));
        mutate(&mut numbers, &mut raw);
        if let Ok(other) = Summary::decode_raw(&mut Reader::new(&raw)) {
            let again = Summary::decode(&other.encode()).unwrap();
            assert!(again == other || again.cut);
        }
        let mut flags = FlagSet::default();
        flags.add_name("$Forwarded").unwrap();
        flags.add_name("\\Seen").unwrap();
        let mut raw = Vec::new();
        flags.encode(&mut raw);
        (0..numbers.below(9))
            .map(|n| u32::try_from(n * 5).unwrap())
            .collect::<UidSet>()
            .encode(&mut raw);
        mutate(&mut numbers, &mut raw);
        let mut reader = Reader::new(&raw);
        if let Ok(flags) = FlagSet::decode(&mut reader) {
            assert!(flags.keywords().is_sorted());
        }
        if let Ok(set) = UidSet::decode(&mut reader) {
            assert!(set.is_empty() || UidSet::parse(&set.to_string(), 0) == Ok(set));
        }
    }
}

/// What is read of others' DNS and of mail that is judged or forwarded.
#[test]
fn damaged_records_and_verdicts_do_no_harm() {
    const SEEDS: [&str; 6] = [
        "v=spf1 a:b.test/24//64 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?mx ~include:%{ir}.%{v}.c.test \
         exists:%{l1r-}.d.test ptr redirect=_spf.%{d2} exp=e.%{o}",
        "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=r; psd=n; t=y; \
         rua=mailto:a@b.test!10m,mailto:c@d.test",
        "From: \"a\" <a@b.test>, c@d.test\r\nARC-Seal: i=1; cv=none; b=x\r\nTo: g:;\r\n\r\nbody\r\n",
        "ARC-Seal: i=2; cv=pass\r\nARC-Message-Signature: i=2\r\n\
         ARC-Authentication-Results: i=2; x\r\nFrom : a@b.test\r\n\r\n",
        "see %{c} at %{r} since %{t}, %{S}%%%_%-",
        "a.b.c.d.e.f.g.h.i.j.example.test",
    ];
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let key = crate::dkim::SigningKey::from_pkcs8(pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
    let signer = crate::dkim::Signer { domain: "l.test".into(), selector: "s".into(), key };
    for seed in 0..20_000 {
        let mut numbers = Numbers::new(seed);
        let mut bytes = SEEDS[numbers.below(SEEDS.len())].as_bytes().to_vec();
        mutate(&mut numbers, &mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        drop(crate::spf::SpfRecord::parse(&bytes));
        if let Some(record) = crate::dmarc::DmarcRecord::parse(&bytes) {
            assert!(record.reports.len() <= 5);
        }
        let walk = crate::dmarc::walk(&text);
        assert!(walk.len() <= 8 && walk[0] == text);
        drop(crate::dmarc::Author::of(&bytes));
        let variables = crate::spf::Variables {
            ip: [192, 0, 2, 1].into(),
            sender: (&text, "b.test"),
            domain: &text,
            helo: &text,
            name: "unknown",
            receiver: "mx.test",
            seconds: 7,
        };
        if let Ok(explanation) = crate::spf::MacroString::parse_explanation(&text) {
            assert!(explanation.explanation(&variables).len() <= 1024);
        }
        if seed % 20 == 0 {
            let body = crate::dkim::body_hash(&bytes);
            let field = signer.sign(&bytes, &body, crate::Timestamp(0)).unwrap();
            assert_eq!(crate::trace::check_field(&field), Ok(()));
            let seal = crate::arc::Seal {
                signer: &signer,
                host: "mx.test",
                results: &[],
                chain: crate::verdicts::Found::Pass,
                at: crate::Timestamp(0),
            };
            drop(seal.fields(&bytes, &body).unwrap());
        }
        let mut raw = crate::Verdicts { reasons: vec![text], ..Default::default() }.encode();
        mutate(&mut numbers, &mut raw);
        if let Ok(verdicts) = crate::Verdicts::decode(&raw) {
            assert_eq!(crate::Verdicts::decode(&verdicts.encode()), Ok(verdicts));
        }
    }
}

#[test]
fn noise_in_every_charset_is_decoded_alike_in_one_piece_and_in_many() {
    const LABELS: [&str; 16] = [
        "utf-8",
        "utf-16",
        "utf-16be",
        "iso-2022-jp",
        "shift_jis",
        "euc-jp",
        "euc-kr",
        "gb18030",
        "big5",
        "koi8-r",
        "windows-1252",
        "cp850",
        "iso-8859-16",
        "utf-7",
        "hz-gb-2312",
        "iso-2022-kr",
    ];
    for seed in 0..600 {
        let mut numbers = Numbers::new(seed);
        // Lines, for those charsets that are decoded by lines.
        let mut bytes: Vec<u8> =
            (0..numbers.below(200)).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
        mutate(&mut numbers, &mut bytes);
        let label = LABELS[numbers.below(LABELS.len())].as_bytes();
        let whole = charset_to_text(label, &bytes);
        let (mut decoder, mut text) = (TextDecoder::new(label), String::new());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + numbers.below(7)).min(rest.len()));
            decoder.feed(piece, &mut text);
            rest = after;
        }
        decoder.finish(&mut text);
        assert_eq!(text, whole, "{} of seed {seed}", String::from_utf8_lossy(label));
    }
}

#[test]
fn summaries_of_usual_mail_are_within_their_budget() {
    let mut numbers = Numbers::new(1);
    let mut sizes: Vec<_> = (0..2_000)
        .map(|_| {
            let message = mails::mail(&mut numbers);
            scan(&mut numbers, message.as_bytes()).summary.encode().len()
        })
        .collect();
    sizes.sort_unstable();
    let (median, p95) = (sizes[sizes.len() / 2], sizes[sizes.len() * 95 / 100]);
    println!("summaries: median {median}, 95 % {p95}, largest {} bytes", sizes[sizes.len() - 1]);
    // docs/rules.md, Budgets.
    assert!(median <= 450 && p95 <= 600, "median {median}, 95 % {p95}");
}
