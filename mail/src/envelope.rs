//! The SMTP envelope: sender, recipients and the parameters that travel with them (RFC 5321,
//! RFC 3461 delivery status notifications, RFC 6531). Stored beside each record in a segment.

use crate::address::{Address, Path};
use crate::codec::{Malformed, Reader, put_option, put_str, put_varint};

/// Most recipients of one transaction (docs/rules.md); beyond it the edge answers 452.
pub const RECIPIENTS_MAX: usize = 1_000;

/// Longest ENVID in its xtext form (RFC 3461 §4.4).
pub const ENVID_BYTES_MAX: usize = 100;

/// Longest ORCPT in its xtext form with its type (RFC 3461 §4.2).
pub const ORCPT_BYTES_MAX: usize = 500;

const VERSION: u8 = 1;
const TEXT_MAX: usize = 1024;

/// An envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who is told of failures; `None` is the null sender `<>`.
    pub sender: Option<Path>,
    /// Who shall get it.
    pub recipients: Vec<Recipient>,
    /// BODY= of MAIL FROM.
    pub body: BodyType,
    /// Whether MAIL FROM had SMTPUTF8.
    pub smtputf8: bool,
    /// RET= of MAIL FROM.
    pub ret: Option<Ret>,
    /// ENVID= of MAIL FROM, as it came (xtext).
    pub envid: Option<String>,
}

/// One recipient of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub path: Path,
    /// NOTIFY= of RCPT TO.
    pub notify: Notify,
    /// ORCPT= of RCPT TO, as it came (`type;xtext`).
    pub orcpt: Option<String>,
}

/// What the content may hold (RFC 1652, RFC 3030).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyType {
    /// `7BIT`, also when nothing is said.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
    /// `BINARYMIME`.
    BinaryMime,
}

/// How much of the message a bounce returns (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// `FULL`.
    Full,
    /// `HDRS`.
    Headers,
}

/// When the sender wants to be told (RFC 3461 §4.1); bits, because several may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify(pub u8);

impl Notify {
    /// Nothing was said: failures are told.
    pub const UNSAID: Self = Self(0);
    /// `NEVER`; alone.
    pub const NEVER: Self = Self(1);
    /// `SUCCESS`.
    pub const SUCCESS: Self = Self(2);
    /// `FAILURE`.
    pub const FAILURE: Self = Self(4);
    /// `DELAY`.
    pub const DELAY: Self = Self(8);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is something RFC 3461 §4.1 allows: NEVER stands alone.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 <= 14 && (self.0 & 1 == 0 || self.0 == 1)
    }
}

impl Recipient {
    /// A recipient without parameters.
    #[must_use]
    pub const fn new(path: Path) -> Self {
        Self { path, notify: Notify::UNSAID, orcpt: None }
    }
}

impl Envelope {
    /// An envelope without parameters.
    #[must_use]
    pub const fn new(sender: Option<Path>, recipients: Vec<Recipient>) -> Self {
        Self {
            sender,
            recipients,
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        }
    }

    /// The stored form: version, flags, ENVID, sender, count, recipients.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let body = match self.body {
            BodyType::SevenBit => 0,
            BodyType::EightBitMime => 1,
            BodyType::BinaryMime => 2,
        };
        let ret = match self.ret {
            None => 0,
            Some(Ret::Full) => 1,
            Some(Ret::Headers) => 2,
        };
        out.push(body | u8::from(self.smtputf8) << 2 | ret << 3);
        put_option(&mut out, self.envid.as_deref().map(str::as_bytes));
        out.push(u8::from(self.sender.is_some()));
        self.sender.iter().for_each(|path| put_path(&mut out, path));
        put_varint(&mut out, self.recipients.len() as u64);
        for recipient in &self.recipients {
            put_path(&mut out, &recipient.path);
            out.push(recipient.notify.0);
            put_option(&mut out, recipient.orcpt.as_deref().map(str::as_bytes));
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    /// # Errors
    /// [`Malformed`] if it is not that.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Malformed("envelope version"));
        }
        let flags = reader.byte()?;
        let body = match flags & 3 {
            0 => BodyType::SevenBit,
            1 => BodyType::EightBitMime,
            2 => BodyType::BinaryMime,
            _ => return Err(Malformed("envelope flags")),
        };
        let ret = match flags >> 3 {
            0 => None,
            1 => Some(Ret::Full),
            2 => Some(Ret::Headers),
            _ => return Err(Malformed("envelope flags")),
        };
        let envid = take_text(&mut reader)?;
        let sender = match reader.byte()? {
            0 => None,
            1 => Some(take_path(&mut reader)?),
            _ => return Err(Malformed("envelope sender")),
        };
        let mut recipients = Vec::new();
        for _ in 0..reader.count(RECIPIENTS_MAX)? {
            let path = take_path(&mut reader)?;
            let notify = Some(Notify(reader.byte()?)).filter(|notify| notify.is_valid());
            let notify = notify.ok_or(Malformed("notify"))?;
            recipients.push(Recipient { path, notify, orcpt: take_text(&mut reader)? });
        }
        reader.end()?;
        Ok(Self { sender, recipients, body, smtputf8: flags & 4 != 0, ret, envid })
    }
}

/// Text as written, then the canonical form where it differs.
fn put_path(out: &mut Vec<u8>, path: &Path) {
    let canonical = path.address().to_string();
    put_str(out, path.text());
    put_str(out, if canonical == path.text() { "" } else { &canonical });
}

fn take_path(reader: &mut Reader<'_>) -> Result<Path, Malformed> {
    let text = reader.str(TEXT_MAX)?;
    let canonical = reader.str(TEXT_MAX)?;
    let canonical = if canonical.is_empty() { text } else { canonical };
    let address = Address::parse(canonical).map_err(|_| Malformed("address"))?;
    Ok(Path::stored(text.into(), address))
}

fn take_text(reader: &mut Reader<'_>) -> Result<Option<String>, Malformed> {
    let Some(bytes) = reader.option(TEXT_MAX)? else { return Ok(None) };
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed("text"))?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn full() -> Envelope {
        Envelope {
            sender: Some(path("Ana@Bücher.example")),
            recipients: vec![
                Recipient::new(path("bo@example.org")),
                Recipient {
                    path: path("\"b o\"@[192.0.2.1]"),
                    notify: Notify::SUCCESS.with(Notify::DELAY),
                    orcpt: Some("rfc822;bo+40x".into()),
                },
            ],
            body: BodyType::BinaryMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("x+2B".into()),
        }
    }

    // RFC 3461 §4.2, §4.4.
    #[test]
    fn envelopes_survive_their_encoding() {
        for envelope in [Envelope::new(None, Vec::new()), full()] {
            assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
    }

    #[test]
    fn damage_is_seen_or_gives_another_envelope_but_never_a_panic() {
        let good = full().encode();
        for cut in 0..good.len() {
            assert!(Envelope::decode(&good[..cut]).is_err());
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                if let Ok(other) = Envelope::decode(&bad) {
                    assert_eq!(Envelope::decode(&other.encode()), Ok(other));
                }
            }
        }
        assert!(Envelope::decode(&[&good[..], &[0]].concat()).is_err());
    }

    #[test]
    fn the_stored_form_stays_readable() {
        // Version 1. What was once stored is read for ever: never change this, add others.
        const STORED: &str = "\
            011605782b32420113416e614042c3bc636865722e6578616d706c6519616e6140786e2d2d6263686572\
            2d6b76612e6578616d706c65020e626f406578616d706c652e6f7267000000112262206f22405b313932\
            2e302e322e315d000a0e7266633832323b626f2b343078\
        ";
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&full().encode()), STORED);
    }

    // RFC 3461 §4.1.
    #[test]
    fn notify_never_stands_alone() {
        assert!(Notify::NEVER.is_valid() && !Notify::NEVER.with(Notify::DELAY).is_valid());
        assert!(Notify::SUCCESS.with(Notify::FAILURE).with(Notify::DELAY).is_valid());
        assert!(!Notify(16).is_valid());
    }
}
