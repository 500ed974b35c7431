//! Signatures (DKIM) of what functions write in a domain's name.

use mail::dkim::body_hash;
use mail::header::header_length;
use mail::{Domain, Timestamp};
use store::Store;

/// The DKIM-Signature fields of a message of ours. Best effort: a report without a signature is
/// better than none.
pub(crate) async fn signatures(
    store: &Store,
    domain: &str,
    message: &[u8],
    now: Timestamp,
) -> String {
    let Ok(domain) = Domain::parse(domain) else { return String::new() };
    let signers = match store.directory().signers(&domain).await {
        Ok(signers) => signers,
        Err(error) => {
            tracing::warn!(%domain, %error, "a report is not signed");
            return String::new();
        }
    };
    let header = message.get(..header_length(message)).unwrap_or_default();
    let body = body_hash(message);
    signers.iter().filter_map(|signer| signer.sign(header, &body, now).ok()).collect()
}

#[cfg(test)]
mod tests {
    use engine::memory::World;

    use super::*;
    use crate::testing::{accounts, give_key, process};

    #[tokio::test(start_paused = true)]
    async fn what_we_write_is_signed_where_there_is_a_key() {
        let store = process(&World::default(), "a");
        accounts(&store, &["ana"]).await;
        let report = b"From: MAILER-DAEMON@example.test\r\n\r\nnot delivered\r\n";
        let sign = async || signatures(&store, "example.test", report, Timestamp(0)).await;
        assert_eq!(sign().await, "");
        give_key(&store).await;
        let signed = sign().await;
        assert!(signed.starts_with("DKIM-Signature: v=1; a=ed25519-sha256;"), "{signed}");
        assert!(signed.contains(" d=example.test;"), "{signed}");
    }
}
