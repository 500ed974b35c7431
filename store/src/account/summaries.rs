//! Summaries of messages, as clients list them.

use std::collections::BTreeMap;

use mail::Uid;
use mail::summary::Summary;

use super::{AccountLog, LogError};
use crate::change::MailboxId;
use crate::state::SummaryPlace;

impl AccountLog {
    /// The summaries of these messages, decoded; ask for at most a few hundred at once. A message
    /// that is gone, or has no summary of its own (an import), is left out: scan its bytes.
    /// # Errors
    /// [`LogError`]; [`LogError::Damaged`] needs a person.
    #[expect(clippy::unused_async, reason = "summaries of checkpoints are read from objects")]
    pub async fn summaries(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
    ) -> Result<BTreeMap<Uid, Summary>, LogError> {
        self.view(|state| {
            let mut summaries = BTreeMap::new();
            let Some(mailbox) = state.mailbox(mailbox) else { return Ok(summaries) };
            for uid in uids {
                let Some(message) = mailbox.message(uid.get()) else { continue };
                if let Some(SummaryPlace::Here(encoded)) = mailbox.summary(&message) {
                    let summary = Summary::decode(encoded)
                        .map_err(|error| LogError::Damaged(Box::new(error)))?;
                    summaries.insert(*uid, summary);
                }
            }
            Ok(summaries)
        })
    }
}
