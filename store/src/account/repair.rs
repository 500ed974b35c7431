//! An account that cannot be replayed, made whole by voiding what stands in the way: an admin's
//! act, audited by the entries themselves [U].

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use mail::{Account, Seq};

use super::{AccountLog, ChangeError, LogError, open};
use crate::bodies::Bodies;
use crate::change::Change;
use crate::context::Context;
use crate::hints::Hints;
use crate::ingest::Spools;

/// Entries voided at once at most: a whole ring.
const VOIDED_MAX: usize = 128;

/// Voids every entry that cannot be replayed, in order, until the account can be read; returns
/// which. `reason` says who and why.
pub(crate) async fn repair(
    cx: &Arc<Context>,
    bodies: &Arc<Bodies>,
    spools: &Arc<Spools>,
    hints: &Arc<Hints>,
    account: Account,
    reason: &str,
) -> Result<Vec<Seq>, LogError> {
    let ring = super::Ring::new(cx.clone(), account);
    let mut broken = BTreeSet::new();
    let loaded = loop {
        match open::load_without(cx, &ring, account, &broken).await {
            Ok(loaded) => break loaded,
            Err(LogError::Broken { seq }) if broken.len() < VOIDED_MAX && broken.insert(seq) => {}
            Err(error) => return Err(error),
        }
    };
    let log = AccountLog::of(cx, bodies, spools, hints, account, loaded);
    let reason: String = reason.chars().take(120).collect();
    for seq in &broken {
        tracing::warn!(%account, %seq, %reason, "an entry is voided");
        let change = Change::Void { seq: *seq, reason: reason.clone() };
        log.change(|_| Ok::<_, Infallible>(change.clone())).await.map_err(|error| match error {
            ChangeError::Refused(never) => match never {},
            ChangeError::Log(error) => error,
        })?;
    }
    Ok(broken.into_iter().collect())
}
