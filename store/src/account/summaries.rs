//! Summaries of messages: from memory, or from the chunks of the checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mail::Uid;
use mail::summary::Summary;

use super::{AccountLog, LogError};
use crate::change::MailboxId;
use crate::checkpoint::SummaryChunk;
use crate::context::damaged;
use crate::state::SummaryPlace;

/// Chunks that are got for one call side by side would be many; they are got one by one, each
/// once, and kept in memory within the bound of bodies.
const TRIES_MAX: u32 = 3;

impl AccountLog {
    /// The summaries of these messages, decoded; ask for at most a few hundred at once. A message
    /// that is gone, or has no summary of its own (an import), is left out: scan its bytes.
    /// # Errors
    /// [`LogError`]; [`LogError::Damaged`] needs a person.
    pub async fn summaries(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
    ) -> Result<BTreeMap<Uid, Summary>, LogError> {
        let named: Vec<(Uid, u32)> = self.view(|state| {
            let Some(mailbox) = state.mailbox(mailbox) else { return Vec::new() };
            let arrival = |uid: &Uid| Some((*uid, mailbox.message(uid.get())?.arrival));
            uids.iter().filter_map(arrival).collect()
        });
        let arrivals: Vec<u32> = named.iter().map(|(_, arrival)| *arrival).collect();
        let encoded = self.encoded_summaries(&arrivals).await?;
        let mut summaries = BTreeMap::new();
        for ((uid, _), encoded) in named.into_iter().zip(encoded) {
            // An import has none, which is stored as nothing.
            let Some(encoded) = encoded.filter(|encoded| !encoded.is_empty()) else { continue };
            let summary =
                Summary::decode(&encoded).map_err(|error| LogError::Damaged(Box::new(error)))?;
            summaries.insert(uid, summary);
        }
        Ok(summaries)
    }

    /// The encoded summaries of these arrivals (`Message::arrival`), in their order; `None` where
    /// there is none (any more). From memory for what came since the checkpoint; else one request
    /// per chunk of up to 4,096 arrivals.
    /// # Errors
    /// [`LogError`].
    pub async fn encoded_summaries(
        &self,
        arrivals: &[u32],
    ) -> Result<Vec<Option<Bytes>>, LogError> {
        for _ in 0..TRIES_MAX {
            match self.summaries_now(arrivals).await? {
                Some(found) => return Ok(found),
                // A chunk was merged into another meanwhile: the next root names that.
                None => {
                    let turn = self.lane.lock().await;
                    self.reopen(&turn).await?;
                }
            }
        }
        // I5: what is referred to is never deleted.
        Err(LogError::Damaged("a chunk of summaries is not there".into()))
    }

    /// `None`: a chunk is not there.
    async fn summaries_now(
        &self,
        arrivals: &[u32],
    ) -> Result<Option<Vec<Option<Bytes>>>, LogError> {
        let mut found: Vec<Option<Bytes>> = vec![None; arrivals.len()];
        let mut chunks: BTreeMap<u32, (SummaryChunk, Vec<usize>)> = BTreeMap::new();
        self.view(|state| {
            for (at, arrival) in arrivals.iter().enumerate() {
                match state.summary(*arrival) {
                    Some(SummaryPlace::Here(bytes)) => {
                        if let Some(place) = found.get_mut(at) {
                            *place = Some(bytes.clone());
                        }
                    }
                    Some(SummaryPlace::Chunk(chunk)) => {
                        chunks.entry(chunk.first).or_insert((*chunk, Vec::new())).1.push(at);
                    }
                    None => {}
                }
            }
        });
        for (chunk, wanted) in chunks.into_values() {
            let Some(summaries) = self.chunk(&chunk).await? else { return Ok(None) };
            for at in wanted {
                if let (Some(place), Some(arrival)) = (found.get_mut(at), arrivals.get(at)) {
                    *place = summaries.get(arrival).cloned();
                }
            }
        }
        Ok(Some(found))
    }

    async fn chunk(
        &self,
        chunk: &SummaryChunk,
    ) -> Result<Option<Arc<BTreeMap<u32, Bytes>>>, LogError> {
        let key = chunk.at.key(self.account);
        if let Some(known) = self.bodies.known_summaries(&key, &chunk.at.range()) {
            return Ok(Some(known));
        }
        let got = self.cx.engines.objects.get_ranges(&key, &[chunk.at.range()]).await?;
        let Some(bytes) = got.and_then(|mut parts| parts.pop()) else { return Ok(None) };
        let summaries = Arc::new(chunk.decode(&bytes).map_err(damaged)?);
        self.bodies.remember_summaries(&key, &chunk.at.range(), summaries.clone());
        Ok(Some(summaries))
    }
}
