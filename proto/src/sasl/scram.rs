//! Server side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), over decoded bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::verifier::{Hash, Keys, Verifiers, equal, mac, sha256};
use super::{Malformed, Nonce};
use crate::Tls;

/// Longest client nonce taken, in bytes; clients send 24 or so.
const CLIENT_NONCE_BYTES_MAX: usize = 512;

/// What the connection offers to bind to.
#[derive(Clone, Debug, Default)]
pub(super) struct Binding {
    /// The mechanism is -PLUS: the client must bind.
    pub(super) plus: bool,
    /// -PLUS was offered to the client, so one that says we did not was lied to.
    pub(super) plus_offered: bool,
    pub(super) tls: Option<Tls>,
}

/// client-first-message, parsed.
#[derive(Debug)]
pub(super) struct ClientFirst {
    pub(super) user: String,
    pub(super) authzid: Option<String>,
    /// What `c=` in the final message must decode to.
    expected_binding: Vec<u8>,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// RFC 5802 §7: gs2-header client-first-message-bare.
    pub(super) fn parse(message: &[u8], binding: &Binding) -> Result<Self, Malformed> {
        let message = std::str::from_utf8(message).map_err(|_| Malformed("not UTF-8"))?;
        let (flag, rest) = message.split_once(',').ok_or(Malformed("no GS2 header"))?;
        let (authzid, bare) = rest.split_once(',').ok_or(Malformed("no GS2 header"))?;
        let mut expected_binding = format!("{flag},{authzid},").into_bytes();
        expected_binding.extend_from_slice(bound(flag, binding)?);
        let authzid = match authzid {
            "" => None,
            _ => Some(saslname(authzid.strip_prefix("a=").ok_or(Malformed("bad authzid"))?)?),
        };
        // RFC 5802 §5.1: "m=" is for extensions that must be understood; we know none.
        let (name, rest) = bare.split_once(',').ok_or(Malformed("no user name"))?;
        let user = saslname(name.strip_prefix("n=").ok_or(Malformed("no user name"))?)?;
        let nonce = rest.split(',').next().and_then(|part| part.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce)).ok_or(Malformed("bad nonce"))?;
        if user.is_empty() {
            return Err(Malformed("no user name"));
        }
        Ok(Self { user, authzid, expected_binding, nonce: nonce.into(), bare: bare.into() })
    }

    /// server-first-message: nonce, salt, iterations.
    pub(super) fn challenge(self, verifiers: Verifiers, nonce: &Nonce) -> Challenged {
        let nonce = format!("{}{}", self.nonce, STANDARD.encode(nonce.0));
        let salt = STANDARD.encode(verifiers.salt());
        let server_first = format!("r={nonce},s={salt},i={}", verifiers.iterations());
        Challenged { first: self, verifiers, nonce, server_first }
    }
}

/// After server-first-message.
#[derive(Debug)]
pub(super) struct Challenged {
    first: ClientFirst,
    verifiers: Verifiers,
    nonce: String,
    server_first: String,
}

/// The client has proved that it knows a password.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) user: String,
    pub(super) authzid: Option<String>,
    pub(super) verifier: usize,
    /// `v=…`, the server's proof.
    pub(super) server_final: String,
}

impl Challenged {
    pub(super) fn message(&self) -> &str {
        &self.server_first
    }

    /// Takes client-final-message. `Ok(Err(user))`: well-formed, but no password of this user.
    pub(super) fn check(self, message: &[u8]) -> Result<Result<Proved, String>, Malformed> {
        let message = std::str::from_utf8(message).map_err(|_| Malformed("not UTF-8"))?;
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or(Malformed("no proof in the message"))?;
        let proof: Hash = decode(proof)?.try_into().map_err(|_| Malformed("bad proof"))?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c="));
        let binding = decode(binding.ok_or(Malformed("no channel binding"))?)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r="));
        if nonce != Some(&*self.nonce) {
            return Err(Malformed("another nonce"));
        }
        // RFC 5802 §6: what the client is bound to must be this very connection.
        if binding != self.first.expected_binding {
            return Err(Malformed("another channel binding"));
        }
        let signed = |key: &Hash| {
            let parts = [&*self.first.bare, ",", &self.server_first, ",", without_proof];
            mac(key, &parts.map(str::as_bytes))
        };
        let fits = |keys: &Keys| {
            let mut client_key = signed(&keys.stored);
            client_key.iter_mut().zip(proof).for_each(|(byte, proof)| *byte ^= proof);
            equal(&sha256(&client_key), &keys.stored)
        };
        let found = self.verifiers.find(fits);
        let Some((verifier, keys)) = found.and_then(|n| Some((n, self.verifiers.keys().nth(n)?)))
        else {
            return Ok(Err(self.first.user));
        };
        let server_final = format!("v={}", STANDARD.encode(signed(&keys.server)));
        let ClientFirst { user, authzid, .. } = self.first;
        Ok(Ok(Proved { user, authzid, verifier, server_final }))
    }
}

/// RFC 5802 §6: the channel binding data that the GS2 flag asks for.
fn bound<'a>(flag: &str, binding: &'a Binding) -> Result<&'a [u8], Malformed> {
    let kind = match flag {
        "n" if !binding.plus => return Ok(&[]),
        // The client could bind and believes that we cannot: somebody took -PLUS off our list.
        "y" if !binding.plus && !binding.plus_offered => return Ok(&[]),
        _ if binding.plus => flag.strip_prefix("p=").ok_or(Malformed("no channel binding"))?,
        _ => return Err(Malformed("wrong channel binding flag")),
    };
    let tls = binding.tls.as_ref().ok_or(Malformed("no TLS to bind to"))?;
    let data = match kind {
        // RFC 9266
        "tls-exporter" => tls.exporter.as_ref().map(<[u8; 32]>::as_slice),
        // RFC 5929 §4: the binding of whoever cannot export keys.
        "tls-server-end-point" => tls.server_end_point.as_deref(),
        _ => None,
    };
    data.ok_or(Malformed("unsupported channel binding type"))
}

/// RFC 5802 §5.1: "," and "=" in names are written "=2C" and "=3D"; any other "=" is an error.
fn saslname(text: &str) -> Result<String, Malformed> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (c, rest) = part
            .strip_prefix("2C")
            .map(|rest| (',', rest))
            .or_else(|| part.strip_prefix("3D").map(|rest| ('=', rest)))
            .ok_or(Malformed("bad escape in a name"))?;
        name.push(c);
        name.push_str(rest);
    }
    super::name(name)
}

fn is_nonce(nonce: &str) -> bool {
    (1..=CLIENT_NONCE_BYTES_MAX).contains(&nonce.len())
        && nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b',')
}

fn decode(text: &str) -> Result<Vec<u8>, Malformed> {
    STANDARD.decode(text).map_err(|_| Malformed("bad base64"))
}
