//! A SCRAM-SHA-256 client (RFC 5802, RFC 7677), with or without channel binding; from the RFCs, so
//! that it shares no code with the server.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// The client's side of one exchange. Messages are given and taken in base64, as on the wire.
#[derive(Clone, Debug)]
pub struct Scram {
    password: String,
    gs2: String,
    binding: Vec<u8>,
    bare: String,
    server_signature: Option<Vec<u8>>,
}

impl Scram {
    /// Without channel binding: `n` says that this client has none, `y` that it believes the
    /// server has none.
    #[must_use]
    pub fn unbound(flag: char, user: &str, password: &str) -> Self {
        Self::new(format!("{flag},,"), Vec::new(), user, password)
    }

    /// Bound to `data` of this kind (`tls-exporter`, `tls-server-end-point`).
    #[must_use]
    pub fn bound(kind: &str, data: &[u8], user: &str, password: &str) -> Self {
        Self::new(format!("p={kind},,"), data.to_vec(), user, password)
    }

    fn new(gs2: String, binding: Vec<u8>, user: &str, password: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={NONCE}");
        Self { password: password.to_owned(), gs2, binding, bare, server_signature: None }
    }

    /// client-first-message.
    #[must_use]
    pub fn first(&self) -> String {
        BASE64.encode(format!("{}{}", self.gs2, self.bare))
    }

    /// client-final-message, to the server's first.
    /// # Panics
    /// If what the server said is not of the form that RFC 5802 §7 gives.
    #[must_use]
    pub fn last(&mut self, server_first: &str) -> String {
        let server_first = String::from_utf8(BASE64.decode(server_first.trim()).unwrap()).unwrap();
        let field =
            |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
        let nonce = field("r=");
        assert!(nonce.starts_with(NONCE) && nonce.len() >= NONCE.len() + 18, "{server_first}");
        let iterations: NonZeroU32 = field("i=").parse().unwrap();
        assert!(iterations.get() >= 4_096, "RFC 7677 §4: {server_first}");
        let mut salted = [0; 32];
        let salt = BASE64.decode(field("s=")).unwrap();
        let password = self.password.as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut salted);
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let bound = [self.gs2.as_bytes(), &self.binding].concat();
        let unproved = format!("c={},r={nonce}", BASE64.encode(bound));
        let message = format!("{},{server_first},{unproved}", self.bare);
        let signature = mac(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.server_signature = Some(mac(&mac(&salted, b"Server Key"), message.as_bytes()));
        BASE64.encode(format!("{unproved},p={}", BASE64.encode(proof)))
    }

    /// Whether the server's last message proves that it knows the verifier.
    #[must_use]
    pub fn proves_server(&self, server_last: &str) -> bool {
        let said = BASE64.decode(server_last.trim()).unwrap_or_default();
        let said = String::from_utf8(said).unwrap_or_default();
        let signature = said.strip_prefix("v=").and_then(|text| BASE64.decode(text).ok());
        signature.is_some() && signature == self.server_signature
    }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}
