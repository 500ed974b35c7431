//! The account row: who someone is, where their mail is kept, and how they prove it.

use std::fmt;

use engine::Key;
use mail::codec::{Malformed, Reader, put_bytes, put_varint};
use mail::{AccountId, Address, Timestamp};

use super::{put_address, take_address};
use crate::rows::{RowValue, put_list, put_text, take_list};

/// Most addresses an account row lists (aliases are rows of their own).
const ADDRESSES_MAX: usize = 100;
/// Most verifiers: the password and app passwords.
const VERIFIERS_MAX: usize = 33;
/// Most hashes taken over from another system.
const IMPORTED_MAX: usize = 8;

/// Key of an account's row. Written by version, absent at first.
#[must_use]
pub fn account_key(id: AccountId) -> Key {
    let mut partition = vec![b'u'];
    partition.extend_from_slice(&id.0);
    Key::new(partition, vec![0])
}

/// What proves one password (SCRAM-SHA-256, RFC 7677); the salt and the iterations are those of
/// the account.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// What people call it: "password", or the name of an app password; at most 63 bytes.
    pub label: String,
    /// When it was set.
    pub set: Timestamp,
    /// `StoredKey`.
    pub stored_key: [u8; 32],
    /// `ServerKey`.
    pub server_key: [u8; 32],
}

/// Never shows the keys.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("label", &self.label).finish_non_exhaustive()
    }
}

/// How an account's owner is known. Passwords themselves are stored nowhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Salt shared by all verifiers, at most 64 bytes.
    pub salt: Vec<u8>,
    /// Iterations shared by all verifiers.
    pub iterations: u32,
    /// The password first, then app passwords; at most 33.
    pub verifiers: Vec<Verifier>,
    /// Hashes taken over from another system (crypt, bcrypt, argon2id, SSHA), until the next PLAIN
    /// login replaces them; at most 8 of 512 bytes.
    pub imported: Vec<String>,
}

/// Never shows what is in it.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("verifiers", &self.verifiers).finish_non_exhaustive()
    }
}

/// What an account may do besides mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything in its region.
    Admin,
    /// Reads mail of others for the record, audited.
    Auditor,
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// These.
    #[must_use]
    pub fn of(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | role.bit()))
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }
}

impl Role {
    const fn bit(self) -> u8 {
        match self {
            Self::Admin => 1,
            Self::Auditor => 2,
        }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// It was removed; its id is never used again.
    pub tombstone: bool,
    /// Region where its mail is kept, at most 63 bytes.
    pub home: String,
    /// Epoch of its log there.
    pub epoch: u32,
    /// Its addresses, the main one first; 1 to 100.
    pub addresses: Vec<Address>,
    /// Name shown to people, at most 255 bytes.
    pub name: String,
    /// May not log in; mail is delivered still.
    pub disabled: bool,
    /// How its owner is known.
    pub credentials: Credentials,
    /// Most bytes of mail; `None`: the configured default.
    pub quota_bytes: Option<u64>,
    /// Most messages; `None`: no such limit.
    pub quota_messages: Option<u64>,
    /// Roles.
    pub roles: Roles,
    /// Its Sieve script, at most 4 KiB here; larger ones are records.
    pub rules: Vec<u8>,
}

impl AccountRow {
    /// An account without credentials.
    #[must_use]
    pub fn new(home: impl Into<String>, epoch: u32, address: Address) -> Self {
        Self { tombstone: false, addresses: vec![address], ..Self::empty(home.into(), epoch) }
    }

    /// The row of a removed account.
    #[must_use]
    pub fn tombstone(epoch: u32) -> Self {
        Self::empty(String::new(), epoch)
    }

    fn empty(home: String, epoch: u32) -> Self {
        Self {
            tombstone: true,
            home,
            epoch,
            addresses: Vec::new(),
            name: String::new(),
            disabled: false,
            credentials: Credentials::default(),
            quota_bytes: None,
            quota_messages: None,
            roles: Roles::default(),
            rules: Vec::new(),
        }
    }
}

fn put_number(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(u8::from(number.is_some()));
    number.iter().for_each(|number| put_varint(out, *number));
}

fn take_number(reader: &mut Reader<'_>) -> Result<Option<u64>, Malformed> {
    match reader.byte()? {
        0 => Ok(None),
        1 => reader.varint().map(Some),
        _ => Err(Malformed("number")),
    }
}

impl Credentials {
    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_bytes(out, &self.salt);
        put_varint(out, u64::from(self.iterations));
        put_list(out, &self.verifiers, VERIFIERS_MAX, |out, one| {
            put_text(out, &one.label, 63)?;
            put_varint(out, one.set.0);
            out.extend_from_slice(&one.stored_key);
            out.extend_from_slice(&one.server_key);
            Some(())
        })?;
        put_list(out, &self.imported, IMPORTED_MAX, |out, hash| put_text(out, hash, 512))?;
        (self.salt.len() <= 64).then_some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let salt = reader.bytes(64)?.to_vec();
        let iterations = reader.varint32()?;
        let verifiers = take_list(reader, VERIFIERS_MAX, |r| {
            let label = r.str(63)?.to_owned();
            let set = Timestamp(r.varint()?);
            Ok(Verifier { label, set, stored_key: r.array()?, server_key: r.array()? })
        })?;
        let imported = take_list(reader, IMPORTED_MAX, |r| Ok(r.str(512)?.to_owned()))?;
        Ok(Self { salt, iterations, verifiers, imported })
    }
}

impl RowValue for AccountRow {
    const NAME: &'static str = "account row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.push(u8::from(self.tombstone) | u8::from(self.disabled) << 1);
        put_text(out, &self.home, 63)?;
        put_varint(out, u64::from(self.epoch));
        put_list(out, &self.addresses, ADDRESSES_MAX, put_address)?;
        put_text(out, &self.name, 255)?;
        self.credentials.put(out)?;
        put_number(out, self.quota_bytes);
        put_number(out, self.quota_messages);
        out.push(self.roles.0);
        put_bytes(out, &self.rules);
        (self.rules.len() <= 4096).then_some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bits = reader.byte()?;
        if bits > 3 {
            return Err(Malformed(Self::NAME));
        }
        let home = reader.str(63)?.to_owned();
        let epoch = reader.varint32()?;
        let addresses = take_list(reader, ADDRESSES_MAX, take_address)?;
        let name = reader.str(255)?.to_owned();
        let credentials = Credentials::take(reader)?;
        let quota_bytes = take_number(reader)?;
        let quota_messages = take_number(reader)?;
        let roles = Roles(reader.byte()?);
        let rules = reader.bytes(4096)?.to_vec();
        let (tombstone, disabled) = (bits & 1 != 0, bits & 2 != 0);
        Ok(Self {
            tombstone,
            home,
            epoch,
            addresses,
            name,
            disabled,
            credentials,
            quota_bytes,
            quota_messages,
            roles,
            rules,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rows::tests::survives;

    pub(in crate::rows::directory) fn account() -> AccountRow {
        let address = Address::parse("ana@example.test").unwrap();
        let verifier = |label: &str| Verifier {
            label: label.into(),
            set: Timestamp(9),
            stored_key: [1; 32],
            server_key: [2; 32],
        };
        AccountRow {
            name: "Ana".into(),
            credentials: Credentials {
                salt: vec![5; 16],
                iterations: 4096,
                verifiers: vec![verifier("password"), verifier("phone")],
                imported: vec!["{SSHA}abc".into()],
            },
            quota_bytes: Some(1 << 30),
            roles: Roles::of(&[Role::Admin]),
            rules: b"keep;".to_vec(),
            ..AccountRow::new("riga", 1, address)
        }
    }

    #[test]
    fn accounts_survive_and_show_no_secret() {
        survives(&account());
        survives(&AccountRow::tombstone(3));
        assert!(account().roles.has(Role::Admin) && !account().roles.has(Role::Auditor));
        let shown = format!("{:?}", account());
        assert!(!shown.contains("[1, 1") && !shown.contains("SSHA"));
    }

    #[test]
    fn the_largest_account_fits_a_row() {
        let mut row = account();
        let verifier = Verifier { label: "v".repeat(63), ..row.credentials.verifiers[0].clone() };
        row.credentials.verifiers = vec![verifier; VERIFIERS_MAX];
        row.rules = vec![b'x'; 4096];
        row.addresses = vec![row.addresses[0].clone(); ADDRESSES_MAX];
        assert!(row.encode().is_ok());
        row.rules.push(b'x');
        assert!(row.encode().is_err());
    }
}
