//! An account that was removed is erased when nobody can want it back any more.

use std::collections::BTreeMap;

use mail::Account;
use store::Store;
use store::place::SegmentRef;
use store::rows::MaintenanceWhy;
use store::state::State;

use super::account::is_done;
use crate::handler::Error;

/// Erases an account if the directory says that it was removed. Whether anything was let go.
pub(super) async fn erase(store: &Store, account: Account) -> Result<bool, Error> {
    let directory = store.directory();
    directory.apply_new().await?;
    directory.refresh();
    // The request was written before the account was removed, which then perhaps failed.
    if directory.account(account.id).await?.is_some() {
        return Ok(false);
    }
    let log = store.account(account).await?;
    log.fresh().await?;
    let known: Vec<SegmentRef> = log.view(|state: &State| {
        state.segments().map(|known| known.segment).filter(SegmentRef::is_released).collect()
    });
    let mut watermarks = BTreeMap::new();
    for segment in known {
        // [F]: something may still come from it into this account.
        if !is_done(store, account, segment, &mut watermarks).await? {
            let again = store.engines().index.now().after(store.options().timing.audit);
            store.items().ask_maintenance(again, account, MaintenanceWhy::Removed).await?;
            return Ok(false);
        }
    }
    let deleted = log.erase().await?;
    tracing::info!(%account, deleted, "an account that was removed is erased");
    Ok(true)
}
