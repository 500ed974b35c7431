//! Ids. Bytes of ids sort as the numbers in them: fixed width, big-endian (docs/formats.md).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// Sixteen bytes as 32 lower-case hex digits: how ids are shown, and named in object keys.
fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// An id's text was not the expected number of hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {digits} hex digits")]
pub struct IdSyntax {
    /// How many hex digits this kind of id has.
    pub digits: usize,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], IdSyntax> {
    let wrong = IdSyntax { digits: N * 2 };
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return Err(wrong);
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return Err(wrong) };
        *byte = nibble(*high).ok_or(wrong)? << 4 | nibble(*low).ok_or(wrong)?;
    }
    Ok(bytes)
}

macro_rules! id16 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdSyntax;

            fn from_str(text: &str) -> Result<Self, IdSyntax> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id16! {
    /// One incarnation of an edge that puts ingest segments into one store; also the random id of
    /// a process whose APPENDs and imports make records.
    WriterId
}

id16! {
    /// An account for its whole life; never reused.
    AccountId
}

/// Which life of an account's log: moving or restoring an account opens the next one [o, z].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// An account's log: the account and the epoch of its log. Partition of all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// Which log of it.
    pub epoch: Epoch,
}

impl Account {
    /// `acct` of docs/formats.md: id (16 bytes), epoch (4 bytes, big-endian).
    #[must_use]
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        let (id, epoch) = bytes.split_at_mut(16);
        id.copy_from_slice(&self.id.0);
        epoch.copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` if it is not 20 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, epoch) = bytes.split_at_checked(16)?;
        let epoch = u32::from_be_bytes(epoch.try_into().ok()?);
        Some(Self { id: AccountId(id.try_into().ok()?), epoch: Epoch(epoch) })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.epoch.0)
    }
}

/// Position in an account log; also the modseq of what that entry changed (RFC 7162) and the
/// version of the entry's row. The first entry of an epoch is 1; 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The seq of the entry after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message accepted once: its writer and that writer's counter. COPY and moves keep it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Who made it.
    pub writer: WriterId,
    /// Counted by the writer, from 1.
    pub counter: u64,
}

impl RecordId {
    /// 24 bytes: writer (16), counter (8, big-endian).
    #[must_use]
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (writer, counter) = bytes.split_at_mut(16);
        writer.copy_from_slice(&self.writer.0);
        counter.copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// The id that these bytes are.
    #[must_use]
    pub fn of(bytes: [u8; 24]) -> Self {
        let (mut writer, mut counter) = ([0; 16], [0; 8]);
        let (first, last) = bytes.split_at(16);
        writer.copy_from_slice(first);
        counter.copy_from_slice(last);
        Self { writer: WriterId(writer), counter: u64::from_be_bytes(counter) }
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` if it is not 24 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::of)
    }
}

/// 48 hex digits: the text in "250 2.0.0 stored as …", in `trace`, and the POP3 UIDL.
impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.to_bytes())
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.to_bytes())
    }
}

impl FromStr for RecordId {
    type Err = IdSyntax;

    fn from_str(text: &str) -> Result<Self, IdSyntax> {
        let bytes = parse_hex::<24>(text)?;
        Self::from_bytes(&bytes).ok_or(IdSyntax { digits: 48 })
    }
}

/// IMAP unique identifier of a message in its mailbox (RFC 9051 §2.3.1.1). Never reused (I3).
pub type Uid = NonZeroU32;

/// IMAP UIDVALIDITY of a mailbox (RFC 9051 §2.3.1.1).
pub type UidValidity = NonZeroU32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text_and_bytes_and_sort_as_numbers() {
        let id = RecordId { writer: WriterId([0xab; 16]), counter: 258 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(RecordId::from_bytes(&id.to_bytes()), Some(id));
        assert!(id.to_bytes() < RecordId { counter: 259, ..id }.to_bytes());
        assert_eq!("zz".parse::<RecordId>(), Err(IdSyntax { digits: 48 }));
        assert_eq!("é".repeat(16).parse::<AccountId>(), Err(IdSyntax { digits: 32 }));
        let account = Account { id: AccountId([7; 16]), epoch: Epoch(3) };
        assert_eq!(Account::from_bytes(&account.to_bytes()), Some(account));
    }
}
