//! What is kept of a password: a SCRAM-SHA-256 verifier (RFC 5802 §3, RFC 7677). PLAIN and LOGIN
//! are checked against it too, so nothing else is ever stored.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::prep::{PasswordSyntax, saslprep};

/// Iterations of new verifiers.
pub const ITERATIONS: u32 = 32_768;
/// Fewest iterations taken (RFC 7677 §4).
pub const ITERATIONS_MIN: u32 = 4_096;
/// Most iterations taken: a verifier must not cost more than about a second of CPU.
pub const ITERATIONS_MAX: u32 = 1_000_000;
/// Bytes of the salt of new verifiers.
pub const SALT_BYTES: usize = 16;
/// Most verifiers (password and app passwords) of one account.
pub const VERIFIERS_MAX: usize = 100;

const SALT_BYTES_MAX: usize = 64;
const NAME: &str = "SCRAM-SHA-256";

pub(super) type Hash = [u8; 32];

/// A verifier of one password. Its text form is RFC 5803's:
/// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, the three in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Salt; all verifiers of one account share it.
    salt: Vec<u8>,
    /// PBKDF2 iterations; all verifiers of one account share them.
    iterations: NonZeroU32,
    keys: Keys,
}

/// The two keys of RFC 5802 §3.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) stored: Hash,
    pub(super) server: Hash,
}

/// A verifier's text or numbers were not of the form and within the bounds said here: it is not
/// used, the account needs a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM-SHA-256 verifier: {0}")]
pub struct VerifierSyntax(&'static str);

/// A new verifier cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// Ask for another password.
    #[error(transparent)]
    Password(#[from] PasswordSyntax),
    /// Give a salt of 8..=64 bytes and [`ITERATIONS_MIN`]`..=`[`ITERATIONS_MAX`] iterations.
    #[error(transparent)]
    Parameters(#[from] VerifierSyntax),
}

impl Verifier {
    /// The verifier of `password` under a random `salt` (of [`SALT_BYTES`], or the salt that the
    /// account's other verifiers have). Costs `iterations` HMACs: milliseconds of CPU.
    ///
    /// # Errors
    /// [`DeriveError`]: what was wrong with the password or with the numbers.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Result<Self, DeriveError> {
        let password = saslprep(password)?;
        let iterations = checked(salt, iterations)?;
        let keys = Keys::of(&password, salt, iterations);
        Ok(Self { salt: salt.to_vec(), iterations, keys })
    }

    /// The verifier of these parts, as a directory keeps them.
    ///
    /// # Errors
    /// [`VerifierSyntax`]: the salt or the iterations are out of bounds.
    pub fn from_keys(
        salt: &[u8],
        iterations: u32,
        stored_key: [u8; 32],
        server_key: [u8; 32],
    ) -> Result<Self, VerifierSyntax> {
        let iterations = checked(salt, iterations)?;
        let keys = Keys { stored: stored_key, server: server_key };
        Ok(Self { salt: salt.to_vec(), iterations, keys })
    }

    /// `StoredKey` and `ServerKey` (RFC 5802 §3), for a directory to keep. Not the password, but
    /// `ServerKey` lets its holder pose as the server.
    #[must_use]
    pub const fn parts(&self) -> (&[u8; 32], &[u8; 32]) {
        (&self.keys.stored, &self.keys.server)
    }

    /// The salt: give it to [`Self::derive`] for the account's further passwords.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iterations: give them to [`Self::derive`] for the account's further passwords.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// Whether `password` is this verifier's. Constant time but for the password's own length.
    /// An account with several is checked by [`Verifiers::check`], at the cost of one.
    #[must_use]
    pub fn check(&self, password: &str) -> bool {
        Verifiers { first: self.clone(), more: Vec::new() }.check(password).is_some()
    }
}

/// All verifiers of one account: one or more, of one salt and iteration count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifiers {
    first: Verifier,
    more: Vec<Keys>,
}

/// The verifiers cannot belong to one account: none, over [`VERIFIERS_MAX`], or with different
/// salts or iteration counts. The account needs its passwords set anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("verifiers of one account must be 1 to {VERIFIERS_MAX} and share salt and iterations")]
pub struct NotOneAccount;

impl Verifiers {
    /// The verifiers of one account, in the order in which their indices are told back.
    ///
    /// # Errors
    /// [`NotOneAccount`].
    pub fn new(verifiers: Vec<Verifier>) -> Result<Self, NotOneAccount> {
        if verifiers.len() > VERIFIERS_MAX {
            return Err(NotOneAccount);
        }
        let mut verifiers = verifiers.into_iter();
        let first = verifiers.next().ok_or(NotOneAccount)?;
        let alike = |v: Verifier| {
            (v.salt == first.salt && v.iterations == first.iterations)
                .then_some(v.keys)
                .ok_or(NotOneAccount)
        };
        let more = verifiers.map(alike).collect::<Result<_, _>>()?;
        Ok(Self { first, more })
    }

    /// C1: what an unknown `user` is given, so that the dialogue and its cost are those of a known
    /// one. The same user always gets the same salt; no password fits. `secret` is the server's
    /// (the same at all edges of a domain), `iterations` those of new accounts (bounded to what a
    /// verifier may have).
    #[must_use]
    pub fn fake(secret: &[u8], user: &str, iterations: u32) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let part = |label: &str| {
            let mut context = hmac::Context::with_key(&secret);
            context.update(label.as_bytes());
            context.update(user.as_bytes());
            hash(context.sign().as_ref())
        };
        let iterations = iterations.clamp(ITERATIONS_MIN, ITERATIONS_MAX);
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let salt = part("salt\0").into_iter().take(SALT_BYTES).collect();
        // Nobody knows a preimage of these, so no password and no proof fits.
        let keys = Keys { stored: part("stored\0"), server: part("server\0") };
        Self { first: Verifier { salt, iterations, keys }, more: Vec::new() }
    }

    /// Which verifier (index in the list given to [`Self::new`]) is of `password`, if any. Costs
    /// one derivation, however many verifiers there are; constant time but for their number.
    #[must_use]
    pub fn check(&self, password: &str) -> Option<usize> {
        let password = saslprep(password).ok()?;
        let keys = Keys::of(&password, &self.first.salt, self.first.iterations);
        self.find(|candidate| equal(&candidate.stored, &keys.stored))
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.first.salt
    }

    pub(super) const fn iterations(&self) -> NonZeroU32 {
        self.first.iterations
    }

    /// All are looked at, so that time does not tell which one matched.
    pub(super) fn find(&self, mut matches: impl FnMut(&Keys) -> bool) -> Option<usize> {
        let mut found = None;
        for (index, keys) in self.keys().enumerate() {
            if matches(keys) {
                found = Some(index);
            }
        }
        found
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Keys> {
        std::iter::once(&self.first.keys).chain(&self.more)
    }
}

impl Keys {
    /// RFC 5802 §3: SaltedPassword, ClientKey, StoredKey, ServerKey.
    fn of(prepared: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted: Hash = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, iterations, salt, prepared.as_bytes(), &mut salted);
        let client = mac(&salted, &[b"Client Key"]);
        Self { stored: sha256(&client), server: mac(&salted, &[b"Server Key"]) }
    }
}

pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    parts.iter().for_each(|part| context.update(part));
    hash(context.sign().as_ref())
}

pub(super) fn sha256(bytes: &[u8]) -> Hash {
    hash(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(super) fn equal(a: &Hash, b: &Hash) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// SHA-256's output is 32 bytes; anything else would be a fault of the library and fits nothing.
fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap_or_default()
}

fn checked(salt: &[u8], iterations: u32) -> Result<NonZeroU32, VerifierSyntax> {
    if !(8..=SALT_BYTES_MAX).contains(&salt.len()) {
        return Err(VerifierSyntax("the salt must have 8 to 64 bytes"));
    }
    NonZeroU32::new(iterations)
        .filter(|n| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&n.get()))
        .ok_or(VerifierSyntax("iterations must be 4096 to 1000000"))
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&*self.salt, &self.keys.stored, &self.keys.server].map(|part| STANDARD.encode(part));
        write!(f, "{NAME}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl FromStr for Verifier {
    type Err = VerifierSyntax;

    fn from_str(text: &str) -> Result<Self, VerifierSyntax> {
        let shape = VerifierSyntax("expected SCRAM-SHA-256$iterations:salt$stored:server");
        let rest = text.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('$')).ok_or(shape)?;
        let (cost, keys) = rest.split_once('$').ok_or(shape)?;
        let (iterations, salt) = cost.split_once(':').ok_or(shape)?;
        let (stored, server) = keys.split_once(':').ok_or(shape)?;
        let decode = |part: &str| STANDARD.decode(part).map_err(|_| VerifierSyntax("bad base64"));
        let key = |part: &str| -> Result<Hash, VerifierSyntax> {
            decode(part)?.try_into().map_err(|_| VerifierSyntax("a key must have 32 bytes"))
        };
        let salt = decode(salt)?;
        let iterations = checked(&salt, iterations.parse().map_err(|_| shape)?)?;
        Ok(Self { salt, iterations, keys: Keys { stored: key(stored)?, server: key(server)? } })
    }
}

/// Never shows keys: whoever has them can log in as the server or guess offline.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({NAME}, {} iterations, •••)", self.iterations)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 16] = [7; 16];

    fn verifier(password: &str) -> Verifier {
        Verifier::derive(password, &SALT, ITERATIONS_MIN).unwrap()
    }

    // RFC 5803.
    #[test]
    fn a_verifier_survives_its_text_and_shows_no_key() {
        let kept = verifier("pencil");
        let text = kept.to_string();
        assert!(text.starts_with("SCRAM-SHA-256$4096:"));
        assert_eq!(text.parse(), Ok(kept.clone()));
        assert!(kept.check("pencil") && !kept.check("Pencil") && !kept.check(""));
        let shown = format!("{kept:?} {:?}", Verifiers::new(vec![kept.clone()]));
        let stored = text.split(['$', ':']).nth(3).unwrap();
        assert!(shown.contains("•••") && !shown.contains(stored));
    }

    // RFC 7677 §3: user, pencil, W22ZaJ0SNY7soEsUEjb6gQ==, 4096.
    #[test]
    fn the_keys_are_those_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let kept = Verifier::derive("pencil", &salt, 4096).unwrap();
        assert_eq!(
            kept.to_string(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    // RFC 7677 §4.
    #[test]
    fn texts_out_of_bounds_are_refused() {
        let good = verifier("x").to_string();
        for bad in [
            "",
            "SCRAM-SHA-1$4096:AAAAAAAAAAA=$a:b",
            &good.replace("4096", "4095"),
            &good.replace("4096", "1000001"),
            &good.replace("4096", "-4096"),
            &good.replace(":", ";"),
            good.trim_end_matches('='),
            "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
        ] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad}");
        }
        assert!(Verifier::derive("x", &[1; 4], ITERATIONS).is_err());
        assert!(Verifier::derive("a\u{1}", &SALT, ITERATIONS_MIN).is_err());
    }

    #[test]
    fn several_passwords_of_one_account_share_salt_and_iterations() {
        let all =
            Verifiers::new(vec![verifier("one"), verifier("two"), verifier("three")]).unwrap();
        assert_eq!(all.check("one"), Some(0));
        assert_eq!(all.check("three"), Some(2));
        assert_eq!(all.check("four"), None);
        let other = Verifier::derive("two", &[8; 16], ITERATIONS_MIN).unwrap();
        assert_eq!(Verifiers::new(vec![verifier("one"), other]), Err(NotOneAccount));
        assert_eq!(Verifiers::new(vec![]), Err(NotOneAccount));
        assert_eq!(Verifiers::new(vec![verifier("a"); VERIFIERS_MAX + 1]), Err(NotOneAccount));
    }

    // C1: unknown users look like known ones, always the same, and let nobody in.
    #[test]
    fn an_unknown_user_has_a_verifier_that_nothing_fits() {
        let nobody = Verifiers::fake(b"secret", "nobody", ITERATIONS_MIN);
        assert_eq!(nobody, Verifiers::fake(b"secret", "nobody", ITERATIONS_MIN));
        assert_ne!(nobody.salt(), Verifiers::fake(b"secret", "noone", ITERATIONS_MIN).salt());
        assert_ne!(nobody.salt(), Verifiers::fake(b"other", "nobody", ITERATIONS_MIN).salt());
        assert_eq!(nobody.salt().len(), SALT_BYTES);
        assert_eq!(nobody.check("secret"), None);
        assert_eq!(Verifiers::fake(b"", "", 0).iterations().get(), ITERATIONS_MIN);
    }
}
