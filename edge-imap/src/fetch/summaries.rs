//! Summaries of a group of messages: fetched together, decoded one by one, so that a group of
//! large ones (64 KiB each, decoded) is never in memory at once (I8).

use bytes::Bytes;
use mail::summary::Summary;
use store::{AccountLog, LogError};

use crate::selection::Listed;

/// The encoded summaries of these messages, at most 8 KiB each; `None` where there is none.
/// Damaged ones count as missing, for the message itself has all that is in them.
pub(crate) async fn encoded(
    log: &AccountLog,
    listed: &[Listed],
) -> Result<Vec<Option<Bytes>>, LogError> {
    let arrivals: Vec<u32> = listed.iter().map(|listed| listed.arrival).collect();
    match log.encoded_summaries(&arrivals).await {
        Err(LogError::Damaged(error)) => {
            tracing::error!(%error, "summaries are damaged, messages are read instead");
            Ok(vec![None; listed.len()])
        }
        found => found,
    }
}

/// A summary decoded; `None`: scan the message.
pub(crate) fn decoded(listed: &Listed, encoded: Option<Bytes>) -> Option<Summary> {
    // An import has none, which is stored as nothing.
    let encoded = encoded.filter(|encoded| !encoded.is_empty())?;
    Summary::decode(&encoded)
        .inspect_err(|error| {
            tracing::error!(%error, uid = %listed.uid, "a summary is damaged");
        })
        .ok()
}
