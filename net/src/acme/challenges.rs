//! What the authority finds at `/.well-known/acme-challenge/` (RFC 8555 §8.3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{AcmeError, failed};

/// Challenges shown at once.
const SHOWN_MAX: usize = 256;
const TOKEN_BYTES_MAX: usize = 256;

/// Answers to the challenges of orders under way, and nothing else. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<Mutex<BTreeMap<String, String>>>);

impl Challenges {
    /// The answer for this token, if it was issued to us and is still asked for (F5): nothing is
    /// made of what a stranger asks.
    #[must_use]
    pub fn answer(&self, token: &str) -> Option<String> {
        self.lock().get(token).cloned()
    }

    pub(super) fn put(&self, token: &str, answer: String) -> Result<(), AcmeError> {
        // RFC 8555 §8.1: base64url characters only.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(fits) {
            return Err(failed("the authority's token is none"));
        }
        let mut shown = self.lock();
        if shown.len() >= SHOWN_MAX {
            return Err(failed("too many challenges at once"));
        }
        shown.insert(token.to_owned(), answer);
        Ok(())
    }

    pub(super) fn remove(&self, token: &str) {
        self.lock().remove(token);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F5
    /// RFC 8555 §8.1, §8.3.
    #[test]
    fn only_what_was_issued_is_answered_and_only_while_it_is_asked_for() {
        let challenges = Challenges::default();
        challenges.put("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", "answer".into()).unwrap();
        let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
        assert_eq!(challenges.answer(token).as_deref(), Some("answer"));
        for foreign in ["", "../acme.pem", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oB"] {
            assert_eq!(challenges.answer(foreign), None, "{foreign}");
        }
        challenges.remove(token);
        assert_eq!(challenges.answer(token), None);
        for bad in ["", "../x", "a/b", "a b", &"x".repeat(300)] {
            assert!(challenges.put(bad, "x".into()).is_err(), "{bad}");
        }
        for n in 0..SHOWN_MAX {
            challenges.put(&n.to_string(), "x".into()).unwrap();
        }
        assert!(challenges.put("more", "x".into()).is_err());
    }
}
