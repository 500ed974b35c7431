//! What goes on top of a message that an address of ours forwards: Delivered-To, and a seal (ARC,
//! RFC 8617) that tells the next server what was found when it came here.
//!
//! Without keys, or when the message cannot be read, it goes without a seal: forwarding does not
//! wait for it.

use mail::arc::Seal;
use mail::dkim::BodyHasher;
use mail::header::{fields, header_length};
use mail::verdicts::{AuthenticationResults, Found};
use mail::{Address, Timestamp, Verdicts, trace};
use store::Store;
use store::place::Slot;
use store::segment::IndexRecord;

/// Bytes read at once: one frame.
const PIECE: u64 = 256 * 1024;

/// Longest header that is sealed.
const HEADER_BYTES_MAX: usize = 1024 * 1024 + trace::PREFIX_BYTES_MAX;

/// The fields for a record that `by` forwards; `host` is our name.
pub(super) async fn fields_of(
    store: &Store,
    place: Slot,
    record: &IndexRecord,
    by: &Address,
    host: &str,
    now: Timestamp,
) -> String {
    let mut all = trace::delivered_to(by);
    match sealed(store, place, record, by, host, now).await {
        Ok(Some(seal)) => all.insert_str(0, &seal),
        Ok(None) => {}
        Err(why) => tracing::warn!(record = %record.location.id, why, "forwarded without a seal"),
    }
    all
}

async fn sealed(
    store: &Store,
    place: Slot,
    record: &IndexRecord,
    by: &Address,
    host: &str,
    now: Timestamp,
) -> Result<Option<String>, String> {
    let signers = store.directory().signers(by.domain()).await.map_err(|why| why.to_string())?;
    // RFC 8617 §4.1.2: RSA is what everybody verifies.
    let rsa = signers.iter().find(|signer| signer.key.algorithm() == "rsa-sha256");
    let Some(signer) = rsa.or(signers.first()) else { return Ok(None) };
    let verdicts = Verdicts::decode(&record.verdicts).map_err(|why| why.to_string())?;
    let (header, body) = read(store, place, record).await?;
    let has_chain = fields(&header).any(|field| field.is("ARC-Seal"));
    let chain = match &verdicts.arc {
        Some(arc) => arc.found,
        // Nobody looked at it, so nobody can vouch for it.
        None if has_chain => return Ok(None),
        None => Found::None,
    };
    // Who the client was is not known any more.
    let shown = Verdicts { reverse: None, ..verdicts };
    let peer = std::net::Ipv4Addr::UNSPECIFIED.into();
    let results = AuthenticationResults { host, peer, verdicts: &shown }.results();
    let seal = Seal { signer, host, results: &results, chain, at: now };
    seal.fields(&header, &body).map_err(|why| why.to_string())
}

/// The header as it leaves, and the hash of the body, read piece by piece.
async fn read(
    store: &Store,
    place: Slot,
    record: &IndexRecord,
) -> Result<(Vec<u8>, [u8; 32]), String> {
    let (prefix, end) = (record.location.prefix_bytes(), record.location.size());
    let piece = async |range: std::ops::Range<u64>| {
        let read = store.read_record(place, range).await.map_err(|why| why.to_string())?;
        read.ok_or_else(|| "the record is not there".to_owned())
    };
    let mut header = Vec::new();
    if prefix > 0 {
        header.extend_from_slice(trace::without_return_path(&piece(0..prefix).await?));
    }
    let own = header.len();
    let mut hasher = BodyHasher::new();
    let (mut at, mut in_body) = (prefix, false);
    while at < end {
        let until = end.min(at.saturating_add(PIECE));
        let bytes = piece(at..until).await?;
        at = until;
        if in_body {
            hasher.write(&bytes);
            continue;
        }
        header.extend_from_slice(&bytes);
        let message = header.get(own..).unwrap_or_default();
        let length = header_length(message);
        let whole = message.get(..length).unwrap_or_default();
        if whole.ends_with(b"\n\r\n") || whole.ends_with(b"\n\n") || whole == b"\r\n" {
            hasher.write(message.get(length..).unwrap_or_default());
            header.truncate(own + length);
            in_body = true;
        } else if header.len() > HEADER_BYTES_MAX {
            return Err("the header is too large".to_owned());
        }
    }
    Ok((header, hasher.finish()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use engine::memory::World;
    use mail::verdicts::{ArcVerdict, SpfVerdict};
    use store::names;
    use store::place::SegmentRef;

    use super::*;
    use crate::testing::{accept_as, accounts, give_key, process};

    // RFC 8617 §4.1.2.
    #[tokio::test(start_paused = true)]
    async fn what_is_forwarded_tells_what_was_found() {
        let world = World::default();
        let store = process(&world, "edge");
        accounts(&store, &["ana"]).await;
        let spf = SpfVerdict { found: Found::Pass, domain: "a.test".into(), helo: false };
        let verdicts =
            Verdicts { spf: Some(spf), arc: Some(ArcVerdict::default()), ..Verdicts::default() };
        let body = format!("From: a@a.test\r\n\r\n{}", "line\r\n".repeat(60_000));
        let verdicts = Bytes::from(verdicts.encode());
        accept_as(&store, &["ana"], body.as_bytes(), verdicts).await.unwrap();
        let key = world.object_keys().into_iter().find(|key| names::parse_ingest(key).is_some());
        let key = key.unwrap();
        let (writer, number) = names::parse_ingest(&key).unwrap();
        let index = store.segment_index(&key).await.unwrap().unwrap();
        let place = Slot { segment: SegmentRef::Ingest { writer, number }, index: 0 };
        let by = Address::parse("ana@example.test").unwrap();
        let seal = async || {
            let now = Timestamp::from_seconds(7);
            fields_of(&store, place, &index.records[0], &by, "mx.example.test", now).await
        };
        assert_eq!(seal().await, "Delivered-To: ana@example.test\r\n", "no key, no seal");
        give_key(&store).await;
        let text = seal().await;
        assert!(text.starts_with("ARC-Seal: i=1; a=ed25519-sha256; cv=none;"), "{text}");
        assert!(text.ends_with("\r\nDelivered-To: ana@example.test\r\n"), "{text}");
        let results = "ARC-Authentication-Results: i=1; mx.example.test;\r\n\
            \tspf=pass smtp.mailfrom=a.test;\r\n\tarc=none\r\n";
        assert!(text.contains(results), "{text}");
        let expected = mail::dkim::body_hash(body.as_bytes());
        let (_, hash) = read(&store, place, &index.records[0]).await.unwrap();
        assert_eq!(hash, expected);
    }
}
