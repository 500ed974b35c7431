//! Keys that sign: RSA (RFC 6376 §3.3) and Ed25519 (RFC 8463).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;

/// A key cannot be read, or cannot sign. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this DKIM key cannot be used")]
pub struct KeyFault;

/// A private key. Cloning shares it; nothing shows it.
#[derive(Clone)]
pub struct SigningKey(Arc<Pair>);

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.algorithm()).finish()
    }
}

impl SigningKey {
    /// Reads a key in PKCS #8.
    /// # Errors
    /// [`KeyFault`]: it is neither Ed25519 nor RSA of 1,024 bits or more.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyFault> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            return Ok(Self(Arc::new(Pair::Ed25519(pair))));
        }
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyFault)?;
        if pair.public_modulus_len() < 128 {
            return Err(KeyFault);
        }
        Ok(Self(Arc::new(Pair::Rsa(pair))))
    }

    /// `rsa-sha256` or `ed25519-sha256`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match &*self.0 {
            Pair::Ed25519(_) => "ed25519-sha256",
            Pair::Rsa(_) => "rsa-sha256",
        }
    }

    /// The TXT record to publish, without the DNS format's quotes.
    /// # Errors
    /// [`KeyFault`]: the public half cannot be had.
    pub fn record(&self) -> Result<String, KeyFault> {
        match &*self.0 {
            Pair::Ed25519(pair) => {
                let public = pair.public_key().as_ref();
                Ok(format!("v=DKIM1; k=ed25519; p={}", base64(public)))
            }
            Pair::Rsa(pair) => {
                let public: PublicKeyX509Der<'_> =
                    pair.public_key().as_der().map_err(|_| KeyFault)?;
                Ok(format!("v=DKIM1; k=rsa; p={}", base64(public.as_ref())))
            }
        }
    }

    /// The signature of these bytes, in base64.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<String, KeyFault> {
        match &*self.0 {
            // RFC 8463 §3: the hash is signed.
            Pair::Ed25519(pair) => Ok(base64(pair.sign(digest(&SHA256, bytes).as_ref()).as_ref())),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                // PKCS #1 v1.5 takes no randomness.
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature)
                    .map_err(|_| KeyFault)?;
                Ok(base64(&signature))
            }
        }
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
